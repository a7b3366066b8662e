//! Upstreams that answer with nonsense, or not at all.

use meshcore_testkit::{Application, Client, ClosedPort, Scripted, Sidecar, Step};

use crate::{get, mesh_of, sidecar_to};

fn answering(bytes: impl AsRef<[u8]>) -> Scripted {
    Scripted::start([
        vec![Step::head(), Step::write(bytes), Step::UntilClosed],
        vec![Step::head(), Step::answer(200, "good"), Step::UntilClosed],
    ])
}

#[test]
fn nonsense_is_a_502_and_leaks_to_nobody() {
    let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(200_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(2000));
    let secret = "SECRET";
    for answer in [
        "GARBAGE SECRET\r\n\r\n",
        "HTTP/1.1 999999 SECRET\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\nSECRET",
        "HTTP/3.0 200 OK\r\n\r\nSECRET",
        "HTTP/1.1 200 OK\r\nbad name: SECRET\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\0SECRET\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\ncontent-length: 7\r\n\r\nSECRET",
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n\r\nSECRET",
        "HTTP/1.1 200 OK\r\ncontent-length: -6\r\n\r\nSECRET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nSECRET",
        "HTTP/1.1 200 OK\r\n folded: SECRET\r\n\r\n",
        &large,
        &many,
    ] {
        let upstream = answering(answer);
        let sidecar = sidecar_to(&[upstream.address()]);
        let mut client = Client::connect(sidecar.outbound());
        let refused = client.ask(get("/"));
        assert_eq!(refused.status(), 502, "{answer:.80} {refused:?}");
        assert!(!refused.text().contains(secret), "{refused:?}");
        assert_eq!(client.ask(get("/")).text(), "good", "{answer:.80}");
        upstream.wait_until_closed(0);
        let labels = [("response_code", "502"), ("response_flags", "UPE")];
        sidecar.series("istio_requests_total", &labels, 1);
    }
}

#[test]
fn an_upstream_that_closes_without_an_answer_is_a_503() {
    for script in [vec![Step::head()], vec![Step::head(), Step::Reset]] {
        let upstream = Scripted::start([script]);
        let sidecar = sidecar_to(&[upstream.address()]);
        let mut client = Client::connect(sidecar.outbound());
        let answer = client.ask(get("/"));
        assert_eq!(answer.status(), 503);
        let labels = [("response_code", "503"), ("response_flags", "UC")];
        sidecar.series("istio_requests_total", &labels, 1);
    }
}

#[test]
fn an_upstream_that_refuses_is_a_503() {
    let closed = ClosedPort::new();
    let sidecar = sidecar_to(&[closed.address()]);
    let mut client = Client::connect(sidecar.outbound());
    assert_eq!(client.ask(get("/")).status(), 503);
    let labels = [("response_code", "503"), ("response_flags", "UF,URX")];
    sidecar.series("istio_requests_total", &labels, 1);
}

#[test]
fn a_client_that_leaves_while_it_waits_cancels_the_upstream() {
    let upstream = Scripted::start([vec![Step::head(), Step::UntilClosed]]);
    let sidecar = sidecar_to(&[upstream.address()]);
    let mut client = Client::connect(sidecar.outbound());
    client.send(get("/"));
    upstream.wait_for(0, "\r\n\r\n");
    drop(client);
    upstream.wait_until_closed(0);
    let labels = [("response_code", "499"), ("response_flags", "DC")];
    sidecar.series("istio_requests_total", &labels, 1);
}

#[test]
fn a_client_that_leaves_in_the_answer_cancels_the_upstream() {
    let endless = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let mut script =
        vec![Step::head(), Step::write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")];
    script.extend(std::iter::repeat_n(Step::write(endless), 2000));
    let upstream = Scripted::start([script]);
    let sidecar = sidecar_to(&[upstream.address()]);
    let mut client = Client::connect(sidecar.outbound());
    client.send(get("/"));
    client.read_until("xxx");
    drop(client);
    upstream.wait_until_over(0);
    sidecar.series("istio_requests_total", &[("response_flags", "DC")], 1);
}

#[test]
fn one_bad_upstream_leaves_the_other_alone() {
    let bad = answering("GARBAGE\r\n\r\n");
    let good = Application::echo("good");
    let mesh = mesh_of(&[bad.address()]).service("other", 80).endpoint("v1", good.address());
    let sidecar = Sidecar::outbound_to(&mesh);
    let mut client = Client::connect(sidecar.outbound());
    assert_eq!(client.ask(get("/")).status(), 502);
    let answer = client.ask("GET / HTTP/1.1\r\nHost: other\r\n\r\n");
    assert!(answer.text().starts_with("good\n"));
}
