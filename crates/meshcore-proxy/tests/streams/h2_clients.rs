//! Clients that speak HTTP/2: what they may do, and what they are told.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Request};
use meshcore_testkit::h2::{
    H2Application, H2Client, end, piece, read_all, read_answer, request, run, send_all,
};
use meshcore_testkit::{Gate, MeshBuilder, Scripted, Sidecar, Step};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::h2_refusals::{block, frame};
use crate::{eventually, pattern};

pub(crate) const HOST: &str = "api:80";

pub(crate) fn speaking(protocol: &str, address: std::net::SocketAddr) -> Sidecar {
    let mesh = MeshBuilder::new().service_speaking("api", 80, protocol).endpoint("v1", address);
    Sidecar::outbound_to(&mesh)
}

pub(crate) fn to_h2(application: &H2Application) -> Sidecar {
    speaking("http2", application.address())
}

#[test]
fn a_request_with_prior_knowledge_reaches_an_http2_application() {
    let application = H2Application::echo();
    let sidecar = to_h2(&application);
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        let answer = client.ask(request("POST", HOST, "/a?b=c", &[]), b"hello").await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
        assert_eq!(answer.field("x-method"), Some("POST"));
        assert_eq!(answer.field("x-uri"), Some("http://api:80/a?b=c"));
        assert!(answer.field("x-got-x-request-id").is_some());
    });
}

#[test]
fn a_hundred_streams_are_carried_side_by_side() {
    let all_here = Arc::new(tokio::sync::Barrier::new(100));
    let application = H2Application::start(move |call| {
        let all_here = Arc::clone(&all_here);
        async move {
            all_here.wait().await; // none is answered before all have come
            let path = call.head.uri.path().to_owned();
            call.answer(200, path.as_bytes()).await;
        }
    });
    let sidecar = to_h2(&application);
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        let mut asked = Vec::new();
        for n in 0..100 {
            let client = client.clone();
            asked.push(tokio::spawn(async move {
                let path = format!("/{n}");
                let answer = client.get(HOST, &path).await.unwrap();
                assert_eq!((answer.status, answer.text()), (200, path));
            }));
        }
        for one in asked {
            one.await.unwrap();
        }
        assert_eq!(application.connections(), 1, "one connection is made, not one for each");
    });
}

#[test]
fn large_bodies_flow_both_ways_at_once() {
    const LENGTH: usize = 5 * 1024 * 1024;
    // It sends as much as it gets, while it gets it.
    let application = H2Application::start(|mut call| async move {
        let mut send = call.begin(200, &[]).unwrap();
        while let Some(Ok(piece)) = call.piece().await {
            send_all(&mut send, &piece).await.unwrap();
        }
        end(&mut send, None);
    });
    let sidecar = to_h2(&application);
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        let body = pattern(LENGTH);
        let ask = || client.ask(request("POST", HOST, "/", &[]), &body);
        let (first, second) = tokio::join!(ask(), ask());
        assert!(first.unwrap().body == body && second.unwrap().body == body);
    });
}

#[test]
fn trailers_go_both_ways() {
    let application = H2Application::echo();
    let sidecar = to_h2(&application);
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "42".parse().unwrap());
        let head = request("POST", HOST, "/", &[("te", "trailers")]);
        let answer = client.ask_with(head, b"body", Some(trailers)).await.unwrap();
        assert_eq!(answer.trailers.unwrap().get("x-sum").unwrap(), "42");
        assert_eq!(answer.fields.get("x-got-te").unwrap(), "trailers");
    });
}

#[test]
fn a_reset_by_the_client_resets_the_stream_upstream() {
    for answered in [false, true] {
        let (tell, mut told) = mpsc::unbounded_channel();
        let application = H2Application::start(move |mut call| {
            let tell = tell.clone();
            async move {
                let mut begun = answered.then(|| call.begin(200, &[]).unwrap());
                tell.send(None).unwrap();
                let reason = match &mut begun {
                    Some(send) => std::future::poll_fn(|cx| send.poll_reset(cx)).await,
                    None => call.reset_by_client().await,
                };
                tell.send(Some(reason.unwrap())).unwrap();
            }
        });
        let sidecar = to_h2(&application);
        run(async {
            let client = H2Client::connect(sidecar.outbound()).await;
            let (response, mut send) =
                client.begin(request("GET", HOST, "/", &[]), true).await.unwrap();
            assert_eq!(told.recv().await.unwrap(), None);
            let response = if answered { Some(response.await.unwrap()) } else { None };
            send.send_reset(Reason::CANCEL);
            assert_eq!(told.recv().await.unwrap(), Some(Reason::CANCEL), "answered: {answered}");
            drop(response);
        });
    }
}

#[test]
fn a_reset_by_the_client_closes_the_http1_connection_upstream() {
    for answer in [&b""[..], b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n"] {
        let application =
            Scripted::start([vec![Step::head(), Step::write(answer), Step::UntilClosed]]);
        let sidecar = speaking("http", application.address());
        run(async {
            let client = H2Client::connect(sidecar.outbound()).await;
            let (response, mut send) =
                client.begin(request("GET", HOST, "/", &[]), true).await.unwrap();
            let response = if answer.is_empty() { None } else { Some(response.await.unwrap()) };
            application.wait_for(0, "\r\n\r\n");
            send.send_reset(Reason::CANCEL);
            application.wait_until_closed(0);
            drop(response);
        });
    }
}

#[test]
fn a_reset_by_the_application_is_told_as_it_can_be() {
    let application = H2Application::start(|mut call| async move {
        if call.head.uri.path() == "/late" {
            let mut send = call.begin(200, &[]).unwrap();
            send.send_data(Bytes::from_static(b"part"), false).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            send.send_reset(Reason::INTERNAL_ERROR);
        } else {
            call.respond.send_reset(Reason::INTERNAL_ERROR);
        }
    });
    let sidecar = to_h2(&application);
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        assert_eq!(client.get(HOST, "/early").await.unwrap().status, 503);
        let error = client.get(HOST, "/late").await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
        assert_eq!(client.get(HOST, "/early").await.unwrap().status, 503, "the connection lives");
    });
    sidecar.series(
        "istio_requests_total",
        &[("response_code", "503"), ("response_flags", "UR")],
        2,
    );
    sidecar.series(
        "istio_requests_total",
        &[("response_code", "200"), ("response_flags", "UR")],
        1,
    );
}

#[test]
fn a_drain_says_goodbye_and_lets_streams_end() {
    let gate = Arc::new(tokio::sync::Notify::new());
    let opened = Arc::clone(&gate);
    let application = H2Application::start(move |call| {
        let gate = Arc::clone(&gate);
        async move {
            if call.head.uri.path() == "/slow" {
                gate.notified().await;
            }
            call.answer(200, b"whole").await;
        }
    });
    let sidecar = to_h2(&application);
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        let (response, _send) =
            client.begin(request("GET", HOST, "/slow", &[]), true).await.unwrap();
        eventually("the call comes", || application.calls() == 1);
        sidecar.proxy().drain();
        // Streams are taken until the client knows, and none is cut off.
        let error = loop {
            match client.get(HOST, "/new").await {
                Ok(answer) => assert_eq!(answer.status, 200),
                Err(error) => break error,
            }
        };
        assert!(error.is_go_away() && error.reason() == Some(Reason::NO_ERROR), "{error}");
        assert!(!client.has_ended() && !sidecar.proxy().has_ended());
        opened.notify_one();
        assert_eq!(read_answer(response).await.unwrap().text(), "whole");
        client.ended().await.unwrap();
    });
    sidecar.wait_until_ended();
}

#[test]
fn an_idle_connection_ends_with_a_drain() {
    let application = H2Application::echo();
    let sidecar = to_h2(&application);
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        assert_eq!(client.get(HOST, "/").await.unwrap().status, 200);
        sidecar.proxy().drain();
        client.ended().await.unwrap();
    });
    sidecar.wait_until_ended();
}

#[test]
fn informational_answers_pass_in_both_versions() {
    let hints = "HTTP/1.1 103 -\r\nlink: </a.css>\r\n\r\n";
    let answer = format!("{hints}HTTP/1.1 200 -\r\ncontent-length: 2\r\n\r\nok");
    let http1 = Scripted::start([vec![Step::head(), Step::write(answer), Step::UntilClosed]]);
    let http2 = H2Application::start(|mut call| async move {
        let hints = http::Response::builder().status(103).header("link", "</a.css>");
        call.respond.send_informational(hints.body(()).unwrap()).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        call.answer(200, b"ok").await;
    });
    for sidecar in [speaking("http", http1.address()), to_h2(&http2)] {
        run(async {
            let client = H2Client::connect(sidecar.outbound()).await;
            let (mut response, _send) =
                client.begin(request("GET", HOST, "/", &[]), true).await.unwrap();
            let early =
                std::future::poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
            assert_eq!(early.status(), 103);
            assert_eq!(early.headers().get("link").unwrap(), "</a.css>");
            let answer = read_answer(response).await.unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        });
    }
}

#[test]
fn informational_answers_of_http2_reach_an_http1_client() {
    let application = H2Application::start(|mut call| async move {
        let hints = http::Response::builder().status(103).header("link", "</a.css>");
        call.respond.send_informational(hints.body(()).unwrap()).unwrap();
        call.answer(200, b"ok").await;
    });
    let sidecar = to_h2(&application);
    let mut client = meshcore_testkit::Client::connect(sidecar.outbound());
    client.send("GET / HTTP/1.1\r\nhost: api\r\n\r\n");
    let early = client.answer();
    assert_eq!((early.status(), early.field("link")), (103, Some("</a.css>")));
    let answer = client.answer();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
}

#[test]
fn extended_connect_is_not_offered() {
    let application = H2Application::echo();
    let sidecar = to_h2(&application);
    run(async {
        let stream = TcpStream::connect(sidecar.outbound()).await.unwrap();
        let (send, connection) =
            h2::client::Builder::new().handshake::<_, Bytes>(stream).await.unwrap();
        tokio::spawn(connection);
        let mut send = send.ready().await.unwrap();
        let (response, _stream) = send.send_request(request("GET", HOST, "/", &[]), true).unwrap();
        response.await.unwrap(); // the settings of the server have come
        assert!(!send.is_extended_connect_protocol_enabled());
    });
}

#[test]
fn a_client_that_does_not_read_holds_its_own_stream_back_alone() {
    let application = H2Application::start(|mut call| async move {
        let size = if call.head.uri.path() == "/large" { 8 * 1024 * 1024 } else { 2 };
        let Ok(mut send) = call.begin(200, &[]) else { return };
        if send_all(&mut send, &pattern(size)).await.is_ok() {
            end(&mut send, None);
        }
    });
    let sidecar = to_h2(&application);
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        let (slow, _send) = client.begin(request("GET", HOST, "/large", &[]), true).await.unwrap();
        let mut slow = slow.await.unwrap().into_body();
        let first = piece(&mut slow).await.unwrap().unwrap();
        for _ in 0..20 {
            assert_eq!(client.get(HOST, "/small").await.unwrap().body.len(), 2);
        }
        let (rest, _) = read_all(&mut slow).await.unwrap();
        assert_eq!(first.len() + rest.len(), 8 * 1024 * 1024);
    });
}

#[test]
fn a_slow_answer_holds_no_other_back() {
    // A request that the application never answers does not hold others of its connection back.
    let gate = Gate::default();
    let script = vec![Step::head(), Step::Wait(gate.clone()), Step::answer(200, "late")];
    let quick = vec![Step::head(), Step::answer(200, "quick"), Step::UntilClosed];
    let application = Scripted::start([script, quick]);
    let sidecar = speaking("http", application.address());
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        let (slow, _send) = client.begin(request("GET", HOST, "/1", &[]), true).await.unwrap();
        application.wait_for(0, "\r\n\r\n");
        assert_eq!(client.get(HOST, "/2").await.unwrap().text(), "quick");
        gate.open();
        assert_eq!(read_answer(slow).await.unwrap().text(), "late");
    });
}

#[test]
fn a_connect_without_a_port_is_refused() {
    let application = H2Application::echo();
    let sidecar = to_h2(&application);
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        let head = Request::builder().method("CONNECT").uri("api").body(()).unwrap();
        let error = client.ask(head, &[]).await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::PROTOCOL_ERROR));
    });
}

#[test]
fn a_client_that_is_gone_ends_all_its_requests() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let application = H2Application::start(move |mut call| {
        let tell = tell.clone();
        async move { tell.send(call.reset_by_client().await.unwrap()).unwrap() }
    });
    let sidecar = to_h2(&application);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut begun = Vec::new();
    let client = runtime.block_on(H2Client::connect(sidecar.outbound()));
    for _ in 0..3 {
        let asking = client.begin(request("GET", HOST, "/", &[]), true);
        begun.push(runtime.block_on(asking).unwrap());
    }
    eventually("the calls come", || application.calls() == 3);
    runtime.shutdown_background(); // its sockets are closed, without a word
    for _ in 0..3 {
        assert_eq!(told.blocking_recv().unwrap(), Reason::CANCEL);
    }
}

#[test]
fn many_cancelled_at_once_do_no_harm_to_others() {
    let gate = Arc::new(tokio::sync::Notify::new());
    let opened = Arc::clone(&gate);
    let application = H2Application::start(move |mut call| {
        let gate = Arc::clone(&gate);
        async move {
            if call.head.uri.path() == "/kept" {
                gate.notified().await;
                call.answer(200, b"whole").await;
            } else {
                let _reset = call.reset_by_client().await;
            }
        }
    });
    let sidecar = to_h2(&application);
    let bytes = |cancelled: u32| {
        let head = |path| {
            let method = (":method", "GET");
            block(&[method, (":scheme", "http"), (":path", path), (":authority", HOST)])
        };
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(4, 0, 0, &[]));
        bytes.extend(frame(1, 0b101, 1, &head("/kept")));
        for n in 1..=cancelled {
            bytes.extend(frame(1, 0b101, 2 * n + 1, &head("/cancelled")));
            bytes.extend(frame(3, 0, 2 * n + 1, &8_u32.to_be_bytes()));
        }
        bytes
    };
    run(async {
        // A caller that gives up a hundred at once, and one that attacks by doing nothing else.
        for (cancelled, is_an_attack) in [(99, false), (5000, true)] {
            let mut stream = TcpStream::connect(sidecar.outbound()).await.unwrap();
            let _may_be_closed = stream.write_all(&bytes(cancelled)).await;
            if !is_an_attack {
                opened.notify_one();
            }
            let mut came = Vec::new();
            let mut piece = [0; 4096];
            loop {
                let count = stream.read(&mut piece).await.unwrap_or(0);
                came.extend_from_slice(&piece[..count]);
                let whole = came.windows(5).any(|window| window == b"whole");
                if whole || count == 0 {
                    assert_eq!(!whole, is_an_attack, "{cancelled}");
                    break;
                }
            }
        }
    });
}
