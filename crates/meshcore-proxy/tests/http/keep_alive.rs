//! Connections that carry more than one request, on both sides.

use meshcore_testkit::{Application, Client, Reply, Scripted, Step, ask};

use crate::{get, post, sidecar_to};

#[test]
fn requests_of_one_client_share_one_upstream_connection() {
    let app = Application::echo("v1");
    let sidecar = sidecar_to(&[app.address()]);
    let mut client = Client::connect(sidecar.outbound());
    for n in 0..5 {
        let answer = client.ask(get(&format!("/{n}")));
        assert_eq!(answer.status(), 200);
        assert!(answer.text().starts_with(&format!("v1\nGET /{n} HTTP/1.1")), "{answer:?}");
    }
    let connections: Vec<usize> = app.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0; 5]);
    sidecar.series("meshcore_upstream_connections_reused_total", &[], 4);
}

#[test]
fn the_next_client_uses_the_connection_of_the_last() {
    let app = Application::echo("v1");
    let sidecar = sidecar_to(&[app.address()]);
    let request = "GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n";
    for _ in 0..3 {
        let answer = ask(sidecar.outbound(), request);
        assert_eq!(answer.field("connection"), Some("close"));
    }
    assert!(app.seen().iter().all(|seen| seen.connection == 0), "{:?}", app.seen());
    assert!(app.seen().iter().all(|seen| seen.field("connection") != Some("close")));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let app = Application::start(|seen| Reply::new(200, seen.line()));
    let sidecar = sidecar_to(&[app.address()]);
    let mut client = Client::connect(sidecar.outbound());
    let requests: String = (0..20).map(|n| post(&format!("/{n}"), "", "body")).collect();
    client.send(requests);
    for n in 0..20 {
        assert_eq!(client.answer().text(), format!("POST /{n} HTTP/1.1"));
    }
    assert!(app.seen().iter().all(|seen| seen.body == b"body"));
}

#[test]
fn garbage_after_a_good_request_is_refused_after_its_answer() {
    let app = Application::echo("v1");
    let sidecar = sidecar_to(&[app.address()]);
    let mut client = Client::connect(sidecar.outbound());
    client.send(get("/good") + "\0\0garbage\r\n\r\n");
    assert_eq!(client.answer().status(), 200);
    let refused = client.answer();
    assert_eq!((refused.status(), refused.field("connection")), (400, Some("close")));
    assert!(client.is_closed());
    assert_eq!(app.seen().len(), 1);
}

#[test]
fn an_empty_line_before_a_request_is_ignored() {
    let app = Application::echo("v1");
    let sidecar = sidecar_to(&[app.address()]);
    let mut client = Client::connect(sidecar.outbound());
    assert_eq!(client.ask(format!("{}\r\n{}", get("/1"), get("/2"))).status(), 200);
    assert_eq!(client.answer().status(), 200);
    assert_eq!(client.ask(format!("\r\n{}", get("/3"))).status(), 200);
    assert_eq!(app.seen().len(), 3);
}

#[test]
fn options_of_the_server_as_a_whole_are_asked_for() {
    let app = Application::echo("v1");
    let sidecar = sidecar_to(&[app.address()]);
    let mut client = Client::connect(sidecar.outbound());
    assert_eq!(client.ask("OPTIONS * HTTP/1.1\r\nHost: app\r\n\r\n").status(), 200);
    assert_eq!(app.last().line(), "OPTIONS * HTTP/1.1");
}

#[test]
fn a_client_that_asks_to_close_is_closed_after_its_answer() {
    let app = Application::echo("v1");
    let sidecar = sidecar_to(&[app.address()]);
    let mut client = Client::connect(sidecar.outbound());
    client.send(post("/", "Connection: close\r\n", "body") + &get("/ignored"));
    assert_eq!(client.answer().status(), 200);
    assert!(client.is_closed());
    assert_eq!(app.seen().len(), 1);
}

#[test]
fn http_1_0_is_answered_and_closed() {
    let app = Application::echo("v1");
    let sidecar = sidecar_to(&[app.address()]);
    let answer = ask(sidecar.outbound(), "GET /old HTTP/1.0\r\nHost: app\r\n\r\n");
    assert_eq!(answer.status(), 200);
    assert!(app.last().head.starts_with("GET /old HTTP/1.1\r\n"), "{:?}", app.last());
}

#[test]
fn http_1_0_may_opt_into_keep_alive() {
    let app = Application::echo("v1");
    let sidecar = sidecar_to(&[app.address()]);
    let mut client = Client::connect(sidecar.outbound());
    for _ in 0..2 {
        let answer = client.ask("GET / HTTP/1.0\r\nHost: app\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(answer.field("connection"), Some("keep-alive"), "{answer:?}");
    }
    assert_eq!(app.seen().len(), 2);
}

#[test]
fn http_1_0_gets_a_chunked_answer_without_chunks() {
    let app = Application::start(|_| {
        Reply::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    });
    let sidecar = sidecar_to(&[app.address()]);
    let mut client = Client::connect(sidecar.outbound());
    client.send("GET / HTTP/1.0\r\nHost: app\r\nConnection: keep-alive\r\n\r\n");
    let all = String::from_utf8(client.read_to_end()).unwrap();
    assert!(all.ends_with("\r\n\r\nabc"), "{all}");
    assert!(!all.contains("chunked"), "{all}");
}

#[test]
fn an_answer_until_close_is_passed_on_and_its_connection_not_kept() {
    let script = [Step::head(), Step::write("HTTP/1.1 200 OK\r\n\r\nto the end")];
    let upstream = Scripted::start([script.to_vec()]);
    let sidecar = sidecar_to(&[upstream.address()]);
    let mut client = Client::connect(sidecar.outbound());
    for _ in 0..2 {
        let answer = client.ask(get("/"));
        assert_eq!(answer.text(), "to the end");
        assert_eq!(answer.field("transfer-encoding"), Some("chunked"));
    }
    assert_eq!(upstream.connections(), 2);
    let old = ask(sidecar.outbound(), "GET / HTTP/1.0\r\nHost: app\r\n\r\n");
    assert_eq!(old.text(), "to the end");
}

#[test]
fn a_connection_that_the_upstream_announces_to_close_is_not_kept() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    let upstream = Scripted::start([vec![Step::head(), Step::write(answer), Step::UntilClosed]]);
    let sidecar = sidecar_to(&[upstream.address()]);
    let mut client = Client::connect(sidecar.outbound());
    for _ in 0..2 {
        let answer = client.ask(get("/"));
        assert_eq!((answer.text().as_str(), answer.field("connection")), ("ok", None));
    }
    assert_eq!(upstream.connections(), 2);
    upstream.wait_until_closed(0);
}

#[test]
fn a_kept_connection_that_was_closed_is_not_used() {
    let upstream = Scripted::start([vec![Step::head(), Step::answer(200, "ok")]]);
    let sidecar = sidecar_to(&[upstream.address()]);
    let mut client = Client::connect(sidecar.outbound());
    for n in 0..4 {
        assert_eq!(client.ask(post("/", "", "x")).status(), 200, "request {n}");
        upstream.wait_until_over(n);
        // The close is a packet of its own; the kernel has it before the next connection.
        drop(std::net::TcpStream::connect(upstream.address()));
    }
}

/// The upstream takes the second request on a kept connection and closes it without an answer.
fn stale() -> Scripted {
    let first = [Step::head(), Step::answer(200, "first"), Step::until("second")];
    Scripted::start([first.to_vec(), vec![Step::head(), Step::answer(200, "again")]])
}

#[test]
fn an_idempotent_request_on_a_stale_connection_is_sent_again() {
    let upstream = stale();
    let sidecar = sidecar_to(&[upstream.address()]);
    let mut client = Client::connect(sidecar.outbound());
    assert_eq!(client.ask(get("/first")).text(), "first");
    assert_eq!(client.ask(get("/second")).text(), "again");
}

#[test]
fn a_post_on_a_stale_connection_is_not_sent_again() {
    let upstream = stale();
    let sidecar = sidecar_to(&[upstream.address()]);
    let mut client = Client::connect(sidecar.outbound());
    assert_eq!(client.ask(get("/first")).text(), "first");
    assert_eq!(client.ask(post("/second", "", "x")).status(), 503);
    assert_eq!(upstream.connections(), 1);
    let labels = [("response_code", "503"), ("response_flags", "UC")];
    sidecar.series("istio_requests_total", &labels, 1);
}

#[test]
fn bytes_of_the_upstream_out_of_turn_reach_nobody() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let smuggled = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let script = vec![Step::head(), Step::write(format!("{answer}{smuggled}")), Step::UntilClosed];
    let good = vec![Step::head(), Step::answer(200, "good")];
    let upstream = Scripted::start([script, good]);
    let sidecar = sidecar_to(&[upstream.address()]);
    let mut client = Client::connect(sidecar.outbound());
    assert_eq!(client.ask(get("/")).text(), "ok");
    assert_eq!(client.ask(get("/")).text(), "good");
    assert_eq!(upstream.connections(), 2);
}
