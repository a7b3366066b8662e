//! Requests that can be read in more than one way, or in none, reach no application.

use meshcore_testkit::{Application, Client, Scripted, Step};

use crate::{get, sidecar_to};

/// What is sent, and the status that is answered.
const REFUSED: &[(&str, u16)] = &[
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: app\r\nHost: app\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: app\r\nHost: other\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: user@app\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: app/path\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: app:port\r\n\r\n", 400),
    ("GET  / HTTP/1.1\r\nHost: app\r\n\r\n", 400),
    ("GET /a b HTTP/1.1\r\nHost: app\r\n\r\n", 400),
    ("GET a HTTP/1.1\r\nHost: app\r\n\r\n", 400),
    ("GET /\0 HTTP/1.1\r\nHost: app\r\n\r\n", 400),
    ("GET /#fragment HTTP/1.1\r\nHost: app\r\n\r\n", 400),
    ("G(T / HTTP/1.1\r\nHost: app\r\n\r\n", 400),
    ("GET / HTTP/1.2\r\nHost: app\r\n\r\n", 505),
    ("GET / HTTP/3.0\r\nHost: app\r\n\r\n", 505),
    ("GET / http/1.1\r\nHost: app\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: app\r\nBad Name: x\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: app\r\nName : x\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: app\r\n: x\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: app\r\nno colon\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: app\r\nX: a\r\n b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: app\r\nX: a\0b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: app\r\nX: a\rb\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    ("POST / HTTP/1.1\r\nHost: app\r\nContent-Length: +1\r\n\r\na", 400),
    ("POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 1,2\r\n\r\na", 400),
    ("POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 0x1\r\n\r\na", 400),
    ("POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 99999999999999999999\r\n\r\na", 400),
    (
        "POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
         0\r\n\r\n",
        400,
    ),
    ("POST / HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: app\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.0\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: app\r\nExpect: magic\r\nContent-Length: 0\r\n\r\n", 417),
    ("GET http://app/ HTTP/1.1\r\nHost: other\r\n\r\n", 400),
    ("\x16\x03\x01\x02\0", 400),
    ("SSH-2.0-OpenSSH\r\n", 400),
];

#[test]
fn malformed_requests_are_refused_and_closed_and_reach_no_application() {
    let app = Application::echo("v1");
    let sidecar = sidecar_to(&[app.address()]);
    let hidden = "GET /smuggled HTTP/1.1\r\nHost: app\r\n\r\n";
    for (request, status) in REFUSED {
        let mut client = Client::connect(sidecar.outbound());
        client.send(format!("{request}{hidden}"));
        let answer = client.answer();
        assert_eq!(answer.status(), *status, "{request:?}: {answer:?}");
        assert_eq!(answer.field("connection"), Some("close"), "{request:?}");
        assert!(client.is_closed(), "{request:?}");
    }
    assert_eq!(app.seen(), []);
}

#[test]
fn heads_have_limits() {
    let app = Application::echo("v1");
    let sidecar = sidecar_to(&[app.address()]);
    let long = "x".repeat(200_000);
    for (request, statuses) in [
        (format!("GET / HTTP/1.1\r\nHost: app\r\nX: {long}\r\n\r\n"), [431, 431]),
        (format!("GET / HTTP/1.1\r\nHost: app\r\n{}\r\n", "X: y\r\n".repeat(5000)), [431, 431]),
        (format!("GET /{long} HTTP/1.1\r\nHost: app\r\n\r\n"), [414, 431]),
    ] {
        let mut client = Client::connect(sidecar.outbound());
        let _cut = client.try_send(&request); // it may be refused before it is all sent
        let answer = client.answer();
        assert!(statuses.contains(&answer.status()), "{request:.40}: {answer:?}");
        assert_eq!(answer.field("connection"), Some("close"));
    }
    assert_eq!(app.seen(), []);
}

#[test]
fn a_head_that_comes_byte_by_byte_is_taken() {
    let app = Application::echo("v1");
    let sidecar = sidecar_to(&[app.address()]);
    let mut client = Client::connect(sidecar.outbound());
    for byte in get("/slow").bytes() {
        client.send([byte]);
    }
    assert_eq!(client.answer().status(), 200);
}

#[test]
fn malformed_requests_are_counted_by_their_reason() {
    let upstream = Scripted::start([vec![Step::UntilClosed]]);
    let sidecar = sidecar_to(&[upstream.address()]);
    let mut client = Client::connect(sidecar.outbound());
    assert_eq!(client.ask("GET / HTTP/1.1\r\n\r\n").status(), 400);
    let labels = [("response_code", "400"), ("response_flags", "DPE")];
    sidecar.series("istio_requests_total", &labels, 1);
    assert_eq!(sidecar.sum("meshcore_requests_rejected_total", &[]), 1);
}
