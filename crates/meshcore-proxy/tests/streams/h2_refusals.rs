//! Requests of HTTP/2 clients that are refused, and go nowhere.

use std::time::Duration;

use h2::Reason;
use meshcore_testkit::h2::{H2Application, H2Client, request, run};
use meshcore_testkit::{Application, MeshBuilder, Sidecar, host, rule};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::h2_clients::{HOST, speaking, to_h2};

#[test]
fn a_header_that_is_too_large_is_refused_and_goes_nowhere() {
    let application = H2Application::echo();
    let sidecar = to_h2(&application);
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        let large = "x".repeat(15 * 1024);
        let fields: Vec<(String, &str)> =
            (0..6).map(|n| (format!("x-{n}"), large.as_str())).collect();
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let answer = client.ask(request("GET", HOST, "/", &fields), &[]).await;
        match answer {
            Ok(answer) => assert_eq!(answer.status, 431),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(application.calls(), 0);
        assert_eq!(client.get(HOST, "/").await.unwrap().status, 200, "the connection lives");
    });
}

/// A header block of literals without indexing. Source: RFC 7541 section 6.2.2.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Sends a head as it is; the code with which the stream was reset, or the connection ended.
async fn refusal_of(sidecar: &Sidecar, fields: &[(&str, &str)]) -> Reason {
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const GOAWAY: u8 = 7;
    let mut stream = TcpStream::connect(sidecar.outbound()).await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    bytes.extend(frame(HEADERS, 0b101, 1, &block(fields)));
    stream.write_all(&bytes).await.unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).await.unwrap();
        let code = match head[3] {
            RST_STREAM => &payload[..4],
            GOAWAY => &payload[4..8],
            HEADERS => panic!("it was answered"),
            _other => continue,
        };
        return Reason::from(u32::from_be_bytes(code.try_into().unwrap()));
    }
}

#[test]
fn malformed_pseudo_fields_are_protocol_errors_and_go_nowhere() {
    let application = H2Application::echo();
    let sidecar = to_h2(&application);
    let good = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", HOST)];
    let without = |name: &str| good.iter().filter(|(n, _)| *n != name).copied().collect::<Vec<_>>();
    let with = |field: (&'static str, &'static str)| {
        let mut fields = good.to_vec();
        fields.push(field);
        fields
    };
    let cases = [
        without(":method"),
        without(":scheme"),
        without(":path"),
        with((":path", "/twice")),
        with((":status", "200")),
        with((":unknown", "x")),
        with(("connection", "close")),
        with(("transfer-encoding", "chunked")),
        with(("te", "gzip")),
        with(("Upper", "case")),
        with(("host", "another")),
        {
            let mut late = vec![("x-first", "1")];
            late.extend_from_slice(&good);
            late
        },
        // Extended CONNECT was not offered.
        vec![
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", HOST),
        ],
    ];
    run(async {
        for case in cases {
            let reason = refusal_of(&sidecar, &case).await;
            assert_eq!(reason, Reason::PROTOCOL_ERROR, "{case:?}");
        }
    });
    assert_eq!((application.calls(), application.connections()), (0, 0));
}

#[test]
fn a_body_that_is_not_as_long_as_it_says_is_a_protocol_error() {
    let application = Application::echo("v1");
    let sidecar = speaking("http", application.address());
    run(async {
        for body in [&b"ab"[..], b"abcdefgh"] {
            let client = H2Client::connect(sidecar.outbound()).await;
            let head = request("POST", HOST, "/", &[("content-length", "5")]);
            let error = client.ask(head, body).await.unwrap_err();
            assert_eq!(error.reason(), Some(Reason::PROTOCOL_ERROR), "{error}");
        }
    });
    assert!(application.seen().iter().all(|seen| seen.body.len() != 5), "no whole request comes");
    assert_eq!(application.seen().len(), 0);
}

#[test]
fn streams_that_were_given_up_but_are_still_worked_on_are_bounded() {
    // Injected delays end by themselves alone.
    let application = Application::echo("v1");
    let forward = json!({"forward": [{"host": host("api"), "weight": 1}]});
    let mesh = MeshBuilder::new()
        .service_speaking("api", 80, "http")
        .endpoint("v1", application.address())
        .route("api", [rule(forward, json!({"fault": {"delay": [60_000, 1_000_000]}}))]);
    let sidecar = Sidecar::outbound_to(&mesh);
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        for _round in 0..2 {
            let mut streams = Vec::new();
            for _stream in 0..100 {
                streams.push(client.begin(request("GET", HOST, "/", &[]), true).await.unwrap());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            drop(streams);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let asking = tokio::time::timeout(Duration::from_secs(5), client.get(HOST, "/"));
        let error = asking.await.expect("an answer at once").unwrap_err();
        assert_eq!(error.reason(), Some(Reason::REFUSED_STREAM), "{error}");
        assert!(!client.has_ended(), "others on the connection go on");
    });
}

#[test]
fn streams_that_were_given_up_wait_for_no_connection() {
    // It takes connections and never speaks.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let sidecar = speaking("http2", silent.local_addr().unwrap());
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        let mut streams = Vec::new();
        for _stream in 0..100 {
            streams.push(client.begin(request("GET", HOST, "/", &[]), true).await.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(streams);
        sidecar.series("meshcore_requests_active", &[], 0);
        assert!(!client.has_ended());
    });
}
