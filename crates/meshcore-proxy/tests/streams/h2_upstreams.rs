//! Upstreams that speak HTTP/2, and requests that change their version on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use h2::Reason;
use http::HeaderMap;
use meshcore_testkit::h2::{H2Application, H2Client, read_answer, request, run};
use meshcore_testkit::{
    Application, Client, MeshBuilder, Reply, Scripted, Sidecar, Step, ask, host,
};
use serde_json::json;
use tokio::sync::Notify;

const HOST: &str = "api:80";

fn mesh(protocol: &str) -> MeshBuilder {
    MeshBuilder::new().service_speaking("api", 80, protocol)
}

fn to_h2(application: &H2Application) -> Sidecar {
    Sidecar::outbound_to(&mesh("http2").endpoint("v1", application.address()))
}

#[test]
fn streams_that_a_leaving_application_refused_are_served_by_a_new_connection() {
    // The first call of the first connection says good-bye and is answered late.
    let late = Arc::new(Notify::new());
    let release = Arc::clone(&late);
    let application = H2Application::start(move |call| {
        let late = Arc::clone(&late);
        async move {
            if call.connection == 0 {
                call.go_away();
                late.notified().await;
            }
            let body = format!("connection {}", call.connection);
            call.answer(200, body.as_bytes()).await;
        }
    });
    let sidecar = to_h2(&application);
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        let (first, _send) = client.begin(request("GET", HOST, "/", &[]), true).await.unwrap();
        while application.calls() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for _ in 0..5 {
            let answer = client.ask(request("POST", HOST, "/", &[]), b"body").await.unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (200, "connection 1"));
        }
        release.notify_one();
        assert_eq!(read_answer(first).await.unwrap().text(), "connection 0", "the old one ends");
        assert_eq!(application.connections(), 2);
    });
    sidecar.series("istio_requests_total", &[("response_code", "200")], 6);
}

#[test]
fn a_refused_stream_is_tried_on_a_connection_of_its_own_without_a_policy_for_retries() {
    let calls = Arc::new(AtomicUsize::new(0));
    let application = H2Application::start(move |mut call| {
        let number = calls.fetch_add(1, Ordering::SeqCst);
        async move {
            match number {
                1 => call.respond.send_reset(Reason::REFUSED_STREAM),
                _ => call.answer(200, b"ok").await,
            }
        }
    });
    let never = json!({"default_retries": {"attempts": 0, "on": []}});
    let mesh = mesh("http2").endpoint("v1", application.address()).settings(never);
    let sidecar = Sidecar::outbound_to(&mesh);
    for _ in 0..3 {
        let answer = ask(
            sidecar.outbound(),
            "POST / HTTP/1.1\r\nhost: api\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        );
        assert_eq!(answer.status(), 200);
    }
    assert_eq!((application.calls(), application.connections()), (4, 2));
}

#[test]
fn an_application_that_ends_its_connection_fails_its_calls_alone() {
    let application = H2Application::start(|call| async move {
        match call.head.uri.path() {
            "/end" => {
                call.end_connection(Reason::INTERNAL_ERROR);
                std::future::pending::<()>().await;
            }
            _ => call.answer(200, b"ok").await,
        }
    });
    let sidecar = to_h2(&application);
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        for _ in 0..3 {
            let answer = client.ask(request("POST", HOST, "/end", &[]), &[]).await.unwrap();
            assert_eq!(answer.status, 503);
            assert_eq!(client.get(HOST, "/").await.unwrap().status, 200);
        }
    });
}

#[test]
fn what_is_no_http2_is_an_error_of_the_upstream() {
    let application = Scripted::start([vec![
        Step::Bytes(24),
        Step::write("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"),
        Step::UntilClosed,
    ]]);
    let sidecar = Sidecar::outbound_to(&mesh("http2").endpoint("v1", application.address()));
    let request = "POST / HTTP/1.1\r\nhost: api\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(ask(sidecar.outbound(), request).status(), 502);
}

#[test]
fn a_server_that_never_speaks_http2_is_given_up() {
    let silent = Scripted::start([vec![Step::UntilClosed]]);
    let closing = Scripted::start([vec![Step::Bytes(24)]]);
    let never = json!({"default_retries": {"attempts": 0, "on": []}});
    let pool = json!({"connection_pool": {"connect_timeout_ms": 100}});
    for (address, message) in [
        (silent.address(), "upstream connect timeout"),
        (closing.address(), "upstream refused the connection"),
    ] {
        let mesh = mesh("http2").endpoint("v1", address).settings(never.clone());
        let sidecar = Sidecar::outbound_to(&mesh.policy("api", pool.clone(), &[]));
        let mut client = Client::connect(sidecar.outbound());
        let answer = client.ask("GET / HTTP/1.1\r\nhost: api\r\n\r\n");
        assert_eq!((answer.status(), answer.text().as_str()), (503, message));
        sidecar.series("istio_requests_total", &[("response_flags", "UF")], 1);
    }
}

#[test]
fn a_full_connection_gets_a_sibling() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(2);
    let all_here = Arc::new(tokio::sync::Barrier::new(6));
    let application = H2Application::with(builder, move |call| {
        let all_here = Arc::clone(&all_here);
        async move {
            if call.head.uri.path() == "/together" {
                all_here.wait().await;
            }
            call.answer(200, b"ok").await;
        }
    });
    let sidecar = to_h2(&application);
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        let together = (0..6).map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get(HOST, "/together").await.unwrap().status })
        });
        for one in together.collect::<Vec<_>>() {
            assert_eq!(one.await.unwrap(), 200);
        }
        assert_eq!(application.connections(), 3, "two on each");
    });
}

#[test]
fn many_requests_at_once_share_the_first_connection_within_its_limit() {
    let application = H2Application::echo();
    let pool = json!({"connection_pool": {"max_connections": 1}});
    let mesh = mesh("http2").endpoint("v1", application.address()).policy("api", pool, &[]);
    let sidecar = Sidecar::outbound_to(&mesh);
    run(async {
        let clients = (0..20).map(|_| async {
            let client = H2Client::connect(sidecar.outbound()).await;
            client.get(HOST, "/").await.unwrap().status
        });
        let clients: Vec<_> = clients.collect();
        for status in futures_of(clients).await {
            assert_eq!(status, 200);
        }
        assert_eq!(application.connections(), 1);
    });
}

/// An application that takes two streams at a time and holds each until it is let go.
fn two_at_a_time(gate: &Arc<tokio::sync::Semaphore>) -> H2Application {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(2);
    let gate = Arc::clone(gate);
    H2Application::with(builder, move |call| {
        let gate = Arc::clone(&gate);
        async move {
            if call.head.uri.path() == "/held" {
                gate.acquire().await.unwrap().forget();
            }
            call.answer(200, b"ok").await;
        }
    })
}

#[test]
fn requests_wait_for_streams_of_a_full_pool() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let application = two_at_a_time(&gate);
    let pool = json!({"connection_pool": {"max_connections": 1, "max_pending_requests": 8}});
    let mesh = mesh("http2").endpoint("v1", application.address()).policy("api", pool, &[]);
    let sidecar = Sidecar::outbound_to(&mesh);
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        let ask = || {
            let client = client.clone();
            tokio::spawn(async move { client.get(HOST, "/held").await.unwrap().status })
        };
        let waiting: Vec<_> = (0..10).map(|_| ask()).collect();
        crate::eventually("eight wait", || sidecar.sum("meshcore_requests_pending", &[]) == 8);
        assert_eq!(client.get(HOST, "/one-more").await.unwrap().status, 503, "no more may wait");
        gate.add_permits(10);
        for one in waiting {
            assert_eq!(one.await.unwrap(), 200);
        }
        assert_eq!((application.connections(), application.calls()), (1, 10));
    });
    sidecar.series("istio_requests_total", &[("response_flags", "UO")], 1);
}

#[test]
fn a_connection_that_has_ended_makes_room_at_once() {
    let application = H2Application::start(|call| async move {
        let farewell = call.head.uri.path() == "/last";
        if farewell {
            call.go_away();
        }
        call.answer(200, b"ok").await;
    });
    let pool = json!({"connection_pool": {"max_connections": 1}});
    let mesh = mesh("http2").endpoint("v1", application.address()).policy("api", pool, &[]);
    let sidecar = Sidecar::outbound_to(&mesh);
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        // So many that waiting for the next second each time would be too late.
        for _ in 0..60 {
            assert_eq!(client.get(HOST, "/last").await.unwrap().status, 200);
            crate::eventually("it ends", || application.open_connections() == 0);
        }
    });
}

#[test]
fn an_answer_may_come_before_the_end_of_the_question() {
    const LENGTH: usize = 4 * 1024 * 1024;
    let http2 = H2Application::start(|mut call| async move {
        call.answer_head(413, &[]); // and the body is not read
    });
    let http1 = Scripted::start([vec![
        Step::head(),
        Step::write("HTTP/1.1 413 -\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
        Step::UntilClosed,
    ]]);
    for (protocol, address) in [("http2", http2.address()), ("http", http1.address())] {
        let sidecar = Sidecar::outbound_to(&mesh(protocol).endpoint("v1", address));
        run(async {
            let client = H2Client::connect(sidecar.outbound()).await;
            let body = vec![7; LENGTH];
            let answer = client.ask(request("POST", HOST, "/", &[]), &body).await.unwrap();
            assert_eq!(answer.status, 413, "{protocol}");
            let next = client.get(HOST, "/").await.unwrap();
            assert_eq!(next.status, 413, "{protocol}: the connection lives");
        });
    }
}

#[test]
fn a_body_is_sent_again_with_its_request() {
    let calls = Arc::new(AtomicUsize::new(0));
    let application = H2Application::start(move |mut call| {
        let number = calls.fetch_add(1, Ordering::SeqCst);
        async move {
            let (body, _) = call.read().await.unwrap();
            match number {
                0 | 1 => call.answer(503, b"not now").await,
                _ => call.answer(200, &body).await,
            }
        }
    });
    let retries = json!({"attempts": 3, "on": ["5xx"], "backoff_ms": 1});
    let forward = json!({"forward": [{"host": host("api"), "weight": 1}]});
    let rule = meshcore_testkit::rule(forward, json!({"retries": retries}));
    let mesh = mesh("http2").endpoint("v1", application.address()).route("api", [rule]);
    let sidecar = Sidecar::outbound_to(&mesh);
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        let body = crate::pattern(50_000);
        let answer = client.ask(request("POST", HOST, "/", &[]), &body).await.unwrap();
        assert!(answer.status == 200 && answer.body == body);
    });
    assert_eq!(application.calls(), 3);
}

/// All outputs, the futures running at the same time.
async fn futures_of<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        let mut all = true;
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(done) => *output = Some(done),
                    std::task::Poll::Pending => all = false,
                }
            }
        }
        if all { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

#[test]
fn http1_becomes_http2_where_the_port_is_declared_so() {
    let application = H2Application::echo();
    let sidecar = to_h2(&application);
    let mut client = Client::connect(sidecar.outbound());
    let answer = client.ask(
        "POST /a?b HTTP/1.1\r\nHost: API\r\nConnection: x-hop\r\nX-Hop: 1\r\nTE: trailers\r\n\
         Cookie: a=1; b=2\r\nX-Two: 1\r\nX-Two: 2\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
         3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 5\r\n\r\n",
    );
    assert_eq!((answer.status(), answer.text().as_str()), (200, "abcde"));
    assert_eq!(answer.field("x-uri"), Some("http://api/a?b"));
    assert_eq!(answer.field("x-got-cookie"), Some("a=1; b=2"));
    assert_eq!(answer.field("x-got-te"), Some("trailers"));
    for gone in ["x-got-x-hop", "x-got-connection", "x-got-transfer-encoding", "x-got-host"] {
        assert_eq!(answer.field(gone), None, "{gone}");
    }
    assert!(answer.trailers.contains("x-sum: 5"), "{answer:?}");
    let next = client.ask("GET / HTTP/1.1\r\nhost: api\r\n\r\n");
    assert_eq!(next.status(), 200, "the connection goes on");
}

#[test]
fn http1_becomes_http2_where_the_policy_says_so() {
    let application = H2Application::echo();
    let pool = json!({"connection_pool": {"h2_upgrade": "always"}});
    let mesh = mesh("http").endpoint("v1", application.address()).policy("api", pool, &[]);
    let sidecar = Sidecar::outbound_to(&mesh);
    let answer =
        ask(sidecar.outbound(), "GET / HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n");
    assert_eq!((answer.status(), answer.field("x-method")), (200, Some("GET")));
}

#[test]
fn answers_of_http2_without_a_body_do_not_leave_an_http1_client_waiting() {
    let application = H2Application::start(|mut call| async move {
        match call.head.uri.path() {
            "/empty" => call.answer_head(200, &[]),
            "/none" => call.answer_head(204, &[]),
            "/same" => call.answer_head(304, &[("etag", "\"a\"")]),
            // A body that has no bytes, ended by a frame of its own.
            _late => call.answer(200, &[]).await,
        }
    });
    let sidecar = to_h2(&application);
    let mut client = Client::connect(sidecar.outbound());
    for (path, status) in [("/empty", 200), ("/none", 204), ("/same", 304), ("/late", 200)] {
        let answer = client.ask(format!("GET {path} HTTP/1.1\r\nhost: api\r\n\r\n"));
        assert_eq!((answer.status(), answer.body.len()), (status, 0), "{path}");
    }
    for path in ["/empty", "/late"] {
        client.send(format!("HEAD {path} HTTP/1.1\r\nhost: api\r\n\r\n"));
        let answer = client.answer_to_head();
        assert_eq!((answer.status(), answer.field("transfer-encoding")), (200, None), "{path}");
    }
    let last = client.ask("GET /empty HTTP/1.1\r\nhost: api\r\n\r\n");
    assert_eq!(last.status(), 200, "nothing was left over on the connection");
}

#[test]
fn http2_becomes_http1_where_the_port_is_declared_so() {
    let application = Application::start(|seen| {
        let body = String::from_utf8_lossy(&seen.body).into_owned();
        Reply::raw(format!(
            "HTTP/1.1 200 OK\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
             Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nTransfer-Encoding: chunked\r\n\r\n\
             {:x}\r\n{body}\r\n0\r\nx-sum: 9\r\n\r\n",
            body.len(),
        ))
    });
    let sidecar = Sidecar::outbound_to(&mesh("http").endpoint("v1", application.address()));
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        let head = request(
            "POST",
            HOST,
            "/a?b",
            &[("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers"), ("x-one", "1")],
        );
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sent", "7".parse().unwrap());
        let answer = client.ask_with(head, b"hello", Some(trailers)).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
        for gone in ["connection", "x-hop", "keep-alive", "transfer-encoding"] {
            assert!(answer.fields.get(gone).is_none(), "{gone}");
        }
        assert_eq!(answer.fields.get_all("set-cookie").iter().count(), 2);
        assert_eq!(answer.trailers.unwrap().get("x-sum").unwrap(), "9");
    });
    let seen = application.last();
    assert_eq!(seen.line(), "POST /a?b HTTP/1.1");
    assert_eq!(seen.fields("host"), ["api:80"]);
    assert_eq!(seen.fields("cookie"), ["a=1; b=2"]);
    assert_eq!(seen.field("transfer-encoding"), Some("chunked"));
    assert!(seen.trailers.contains("x-sent: 7"), "{seen:?}");
}

#[test]
fn a_request_for_another_protocol_stays_on_http1() {
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let application = Scripted::start([vec![
        Step::head(),
        Step::write(switch),
        Step::until("ping"),
        Step::write("pong"),
        Step::UntilClosed,
    ]]);
    let pool = json!({"connection_pool": {"h2_upgrade": "always"}});
    let mesh = mesh("http").endpoint("v1", application.address()).policy("api", pool, &[]);
    let sidecar = Sidecar::outbound_to(&mesh);
    let mut client = Client::connect(sidecar.outbound());
    client.send("GET / HTTP/1.1\r\nhost: api\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    assert_eq!(client.answer().status(), 101);
    client.send("ping");
    client.read_until("pong");
    assert!(application.text(0).starts_with("GET / HTTP/1.1\r\n"));
}

#[test]
fn a_stream_that_is_refused_by_all_is_an_error_in_the_end() {
    let application = H2Application::start(|mut call| async move {
        call.respond.send_reset(Reason::REFUSED_STREAM);
    });
    let retries = json!({"attempts": 3, "on": ["refused-stream"], "backoff_ms": 1});
    let rule = json!({
        "name": "default", "line": 9, "retries": retries,
        "action": {"forward": [{"host": host("api"), "weight": 1}]},
    });
    let mesh = mesh("http2").endpoint("v1", application.address()).route("api", [rule]);
    let sidecar = Sidecar::outbound_to(&mesh);
    let answer =
        ask(sidecar.outbound(), "GET / HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n");
    assert_eq!(answer.status(), 503);
    sidecar.series("meshcore_retries_total", &[], 3);
    sidecar.series("istio_requests_total", &[("response_flags", "UR,URX")], 1);
}
