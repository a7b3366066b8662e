//! Bodies: lengths, chunks, trailers, and both directions at a time.

use std::io::{Read, Write};
use std::net::Shutdown;

use meshcore_testkit::{Application, Client, Reply, Scripted, Step, ask};

use crate::{get, post, sidecar_to};

const MEBIBYTE: usize = 1024 * 1024;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| b'a' + u8::try_from(at % 23).unwrap()).collect()
}

fn chunked(body: &[u8], size: usize, trailers: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in body.chunks(size) {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
    out
}

/// Sends a request from a thread of its own, so that its size does not matter.
fn ask_large(client: &mut Client, request: Vec<u8>) -> meshcore_testkit::Answer {
    let mut stream = client.stream().try_clone().unwrap();
    let sending = std::thread::spawn(move || stream.write_all(&request).unwrap());
    let answer = client.answer();
    sending.join().unwrap();
    answer
}

#[test]
fn large_chunked_bodies_with_trailers_go_both_ways() {
    let app = Application::start(|seen| {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n";
        let body = chunked(&seen.body, 70_000, "x-sum: back\r\n");
        Reply::raw([&head[..], &body].concat())
    });
    let sidecar = sidecar_to(&[app.address()]);
    let mut client = Client::connect(sidecar.outbound());
    let body = pattern(2 * MEBIBYTE);
    for size in [1000, 16 * 1024, 300_000] {
        let head = "POST / HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\
                    Trailer: x-sum\r\nTE: trailers\r\n\r\n";
        let request = [head.as_bytes(), &chunked(&body, size, "x-sum: there\r\n")].concat();
        let answer = ask_large(&mut client, request);
        assert_eq!(answer.body, body);
        assert_eq!(answer.trailers.trim(), "x-sum: back");
        let seen = app.last();
        assert_eq!(seen.body, body);
        assert_eq!(seen.trailers.trim(), "x-sum: there");
        assert_eq!(seen.field("content-length"), None);
    }
}

#[test]
fn a_body_with_a_length_keeps_it() {
    let app = Application::echo("v1");
    let sidecar = sidecar_to(&[app.address()]);
    let mut client = Client::connect(sidecar.outbound());
    let body = String::from_utf8(pattern(MEBIBYTE)).unwrap();
    let answer = ask_large(&mut client, post("/", "", &body).into_bytes());
    assert!(answer.body.ends_with(body.as_bytes()));
    let seen = app.last();
    assert_eq!(seen.body, body.as_bytes());
    assert_eq!(seen.field("content-length"), Some("1048576"));
    assert_eq!(seen.field("transfer-encoding"), None);
}

#[test]
fn an_answer_may_come_before_the_request_is_read() {
    let answer = pattern(MEBIBYTE);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {MEBIBYTE}\r\n\r\n");
    let write = Step::write([head.as_bytes(), &answer].concat());
    let upstream = Scripted::start([vec![Step::head(), write, Step::Bytes(MEBIBYTE)]]);
    let sidecar = sidecar_to(&[upstream.address()]);
    let mut client = Client::connect(sidecar.outbound());
    let head = format!("POST / HTTP/1.1\r\nHost: app\r\nContent-Length: {MEBIBYTE}\r\n\r\n");
    let answered = ask_large(&mut client, [head.as_bytes(), &pattern(MEBIBYTE)].concat());
    assert!(answered.body == answer);
    upstream.wait_until_over(0);
    let captured = upstream.captured(0);
    assert!(captured.ends_with(&pattern(MEBIBYTE)));
}

#[test]
fn both_directions_flow_at_a_time() {
    // Neither side sends the rest before it has the first part of the other.
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nleft";
    let script =
        vec![Step::until("one-"), Step::write(head), Step::until("two"), Step::write("over")];
    let upstream = Scripted::start([script]);
    let sidecar = sidecar_to(&[upstream.address()]);
    let mut client = Client::connect(sidecar.outbound());
    client.send("POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 7\r\n\r\none-");
    client.read_until("left");
    client.send("two");
    client.read_until("over");
}

#[test]
fn an_early_answer_to_a_large_body_reaches_the_client() {
    let answer = "HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno";
    let upstream = Scripted::start([vec![
        Step::head(),
        Step::write(answer),
        Step::Shutdown,
        Step::UntilClosed,
    ]]);
    let sidecar = sidecar_to(&[upstream.address()]);
    let mut client = Client::connect(sidecar.outbound());
    client.send("POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 100\r\n\r\nonly some");
    let answer = client.answer();
    assert_eq!((answer.status(), answer.text().as_str()), (413, "no"));
}

#[test]
fn an_answer_before_a_reset_reaches_the_client() {
    let answer = Step::answer(403, "no");
    let upstream = Scripted::start([vec![Step::head(), answer, Step::Reset]]);
    let sidecar = sidecar_to(&[upstream.address()]);
    for _ in 0..20 {
        let mut client = Client::connect(sidecar.outbound());
        client.send("POST / HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n");
        let status = client.answer().status();
        assert!(matches!(status, 403 | 503), "{status}");
    }
}

#[test]
fn head_has_no_body_and_keeps_its_length() {
    let app = Application::start(|_| {
        Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\netag: a\r\n\r\n")
    });
    let sidecar = sidecar_to(&[app.address()]);
    let mut client = Client::connect(sidecar.outbound());
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: app\r\n\r\n");
        let answer = client.answer_to_head();
        assert_eq!((answer.status(), answer.field("content-length")), (200, Some("1000")));
    }
    assert!(app.seen().iter().all(|seen| seen.connection == 0));
}

#[test]
fn statuses_without_a_body_have_none() {
    for (status, field) in [(204, ""), (304, "content-length: 7\r\netag: a\r\n"), (304, "")] {
        let answer = format!("HTTP/1.1 {status} -\r\n{field}\r\n");
        let app = Application::start(move |_| Reply::raw(&answer));
        let sidecar = sidecar_to(&[app.address()]);
        let mut client = Client::connect(sidecar.outbound());
        for _ in 0..2 {
            let answer = client.ask(get("/"));
            assert_eq!((answer.status(), answer.body.len()), (status, 0));
            assert_eq!(answer.field("transfer-encoding"), None);
            if status == 204 {
                assert_eq!(answer.field("content-length"), None);
            }
        }
        assert!(app.seen().iter().all(|seen| seen.connection == 0), "{status} {field}");
    }
}

#[test]
fn a_body_of_no_bytes_is_a_body_of_no_bytes() {
    let app = Application::echo("v1");
    let sidecar = sidecar_to(&[app.address()]);
    let mut client = Client::connect(sidecar.outbound());
    assert_eq!(client.ask(post("/", "", "")).status(), 200);
    assert_eq!(app.last().field("content-length"), Some("0"));
    let chunked = "POST / HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(client.ask(chunked).status(), 200);
    assert_eq!(app.last().body, b"");
    assert_eq!(client.ask(get("/")).status(), 200);
    assert_eq!(app.last().field("content-length"), None);
    assert_eq!(app.last().field("transfer-encoding"), None);
}

#[test]
fn an_upstream_that_closes_in_the_body_cuts_the_client_off() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let upstream = Scripted::start([vec![Step::head(), Step::write(answer)]]);
        let sidecar = sidecar_to(&[upstream.address()]);
        let mut client = Client::connect(sidecar.outbound());
        client.send(get("/"));
        let error = client.try_answer(false).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{answer}");
        let labels = [("response_code", "200"), ("response_flags", "UC")];
        sidecar.series("istio_requests_total", &labels, 1);
    }
}

#[test]
fn a_client_that_closes_in_its_body_reaches_no_application() {
    let app = Application::echo("v1");
    let sidecar = sidecar_to(&[app.address()]);
    let mut client = Client::connect(sidecar.outbound());
    client.send("POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 10\r\n\r\nhalf");
    client.stream().shutdown(Shutdown::Both).unwrap();
    let labels = [("response_code", "499"), ("response_flags", "DC")];
    sidecar.series("istio_requests_total", &labels, 1);
    assert_eq!(app.seen().len(), 0);
}

#[test]
fn a_malformed_chunk_is_refused_and_the_upstream_cut() {
    let upstream = Scripted::start([vec![Step::UntilClosed]]);
    let sidecar = sidecar_to(&[upstream.address()]);
    let mut client = Client::connect(sidecar.outbound());
    client.send("POST / HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    upstream.wait_for(0, "abc");
    client.send("zz\r\nGET /smuggled HTTP/1.1\r\nHost: app\r\n\r\n");
    assert_eq!(client.answer().status(), 400);
    assert!(client.is_closed());
    upstream.wait_until_closed(0);
    assert!(!upstream.text(0).contains("smuggled"));
    assert!(!upstream.text(0).ends_with("0\r\n\r\n"), "the body was not whole");
}

#[test]
fn a_client_that_reads_slowly_holds_its_upstream_back() {
    let length = 64 * MEBIBYTE;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
    let write = Step::write([head.as_bytes(), &vec![b'x'; length]].concat());
    let upstream = Scripted::start([vec![Step::head(), write]]);
    let sidecar = sidecar_to(&[upstream.address()]);
    let mut client = Client::connect(sidecar.outbound());
    client.send(get("/"));
    client.read_until("\r\n\r\n");
    assert_eq!(sidecar.sum("istio_requests_total", &[]), 0);
    let mut rest = vec![0; length - 64 * 1024];
    client.stream().read_exact(&mut rest).unwrap();
    assert!(rest.iter().all(|byte| *byte == b'x'));
    drop(client);
    let answered =
        ask(sidecar.admin(), "GET /ready HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\n\r\n");
    assert_eq!(answered.status(), 200);
}
