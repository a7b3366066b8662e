//! What is spoken on a port that does not say.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use meshcore_testkit::h2::{H2Application, H2Client, run};
use meshcore_testkit::{Application, Client, MeshBuilder, Sidecar, WITHIN};
use serde_json::json;

use crate::{tcp_echo, tcp_server};

fn beside(application: SocketAddr, protocol: &str) -> Sidecar {
    let unknown = ([127, 0, 0, 1], 1).into();
    let mesh = MeshBuilder::new()
        .service_speaking("api", 80, protocol)
        .mesh_endpoint("v1", unknown)
        .settings(json!({"detection_timeout_ms": 1000}));
    Sidecar::of("api").inbound(80, application).mesh(&mesh).start()
}

fn through(sidecar: &Sidecar, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(sidecar.inbound()).unwrap();
    stream.set_read_timeout(Some(WITHIN)).unwrap();
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

#[test]
fn http1_is_found_byte_by_byte_and_with_any_method() {
    let application = Application::echo("v1");
    let sidecar = beside(application.address(), "detect");
    for method in ["GET", "PROPFIND", "M-SEARCH", "X"] {
        let mut client = Client::connect(sidecar.inbound());
        for byte in format!("{method} /a HTTP/1.1\r\nhost: api\r\n\r\n").bytes() {
            client.send([byte]);
        }
        assert_eq!(client.answer().status(), 200, "{method}");
        assert_eq!(application.last().line(), format!("{method} /a HTTP/1.1"));
    }
    sidecar.series("istio_requests_total", &[("response_code", "200")], 4);
}

#[test]
fn http2_is_found_in_a_preface_that_comes_in_pieces() {
    let application = H2Application::echo();
    let sidecar = beside(application.address(), "detect");
    run(async {
        let (mut ours, theirs) = tokio::io::duplex(64 * 1024);
        let mut stream = tokio::net::TcpStream::connect(sidecar.inbound()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let mut preface = [0; 24];
            ours.read_exact(&mut preface).await.unwrap();
            for piece in preface.chunks(1) {
                stream.write_all(piece).await.unwrap();
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
            let _ended = tokio::io::copy_bidirectional(&mut ours, &mut stream).await;
        });
        let client = H2Client::over(theirs).await;
        assert_eq!(client.get("api", "/").await.unwrap().status, 200);
    });
    sidecar.series("istio_requests_total", &[("response_code", "200")], 1);
}

#[test]
fn what_is_not_http_passes_as_it_is() {
    let sidecar = beside(tcp_echo(), "detect");
    let all: Vec<u8> = (0..=255).collect();
    let cases: [&[u8]; 7] = [
        b"EHLO example.com\r\nQUIT\r\n",
        b"GET / HTTP/3.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"\x16\x04\x01garbage that is no TLS",
        b"G",
        b"PRI * HT",
        &all,
    ];
    for bytes in cases {
        assert_eq!(through(&sidecar, bytes), bytes, "{:?}", String::from_utf8_lossy(bytes));
    }
    let labels = [("reporter", "destination")];
    sidecar.series("istio_tcp_connections_closed_total", &labels, 7);
}

#[test]
fn garbage_on_a_port_that_declares_http_goes_nowhere() {
    let application = Application::echo("v1");
    let sidecar = beside(application.address(), "http");
    for bytes in [&b"EHLO example.com\r\n\r\n"[..], b"\0\0\0\0\r\n\r\n"] {
        let answer = String::from_utf8(through(&sidecar, bytes)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    assert!(application.seen().is_empty());
}

#[test]
fn what_is_no_http_is_closed_without_an_answer_where_http2_is_declared() {
    for protocol in ["http2", "grpc"] {
        let application = H2Application::echo();
        let sidecar = beside(application.address(), protocol);
        // Source of the first: h2spec, "Sends invalid connection preface".
        let cases: [&[u8]; 4] = [
            b"INVALID CONNECTION PREFACE\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
            b"\x16\x04\x01garbage",
            b"EHLO example.com\r\n",
        ];
        for bytes in cases {
            assert!(through(&sidecar, bytes).is_empty(), "{:?}", String::from_utf8_lossy(bytes));
        }
        let labels = [("reason", "not HTTP")];
        sidecar.series("meshcore_requests_rejected_total", &labels, 4);
        let answer = Client::connect(sidecar.inbound()).ask("GET / HTTP/1.1\r\nhost: api\r\n\r\n");
        assert_eq!(answer.status(), 200, "HTTP/1 is still taken");
    }
}

#[test]
fn half_a_preface_goes_nowhere_where_http_is_declared() {
    let application = Application::echo("v1");
    for protocol in ["http", "http2"] {
        let sidecar = beside(application.address(), protocol);
        assert!(through(&sidecar, b"PRI * HT").is_empty());
    }
    assert!(application.seen().is_empty());
}

#[test]
fn a_silent_client_hears_a_server_that_speaks_first() {
    let application = tcp_server(|mut stream| {
        stream.write_all(b"220 ready\r\n").unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
    });
    let sidecar = beside(application, "detect");
    let started = Instant::now();
    let mut stream = TcpStream::connect(sidecar.inbound()).unwrap();
    stream.set_read_timeout(Some(WITHIN)).unwrap();
    let mut greeting = [0; 11];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"220 ready\r\n");
    let took = started.elapsed();
    assert!(took < Duration::from_millis(3500), "it is waited for once, not twice: {took:?}");
}

#[test]
fn a_silent_client_of_an_http_port_may_take_its_time() {
    let application = Application::echo("v1");
    let sidecar = beside(application.address(), "http");
    let mut client = Client::connect(sidecar.inbound());
    assert!(client.is_silent_for(Duration::from_millis(2500)), "longer than anything is guessed");
    assert_eq!(client.ask("GET / HTTP/1.1\r\nhost: api\r\n\r\n").status(), 200);
}
