//! Timeouts, retries and faults.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use meshcore_testkit::{Application, Client, ClosedPort, Gate, MeshBuilder, Reply, Scripted};
use meshcore_testkit::{Sidecar, Step, host, rule};
use serde_json::{Value, json};

use crate::{get, mesh_of, post};

/// A rule that forwards to `app` with these fields.
fn forward(more: Value) -> Value {
    rule(json!({"forward": [{"host": host("app"), "weight": 1}]}), more)
}

fn retries(attempts: u32, on: &[&str], statuses: &[u16]) -> Value {
    json!({"attempts": attempts, "on": on, "statuses": statuses, "backoff_ms": 1})
}

fn sidecar(endpoints: &[SocketAddr], more: Value) -> Sidecar {
    Sidecar::outbound_to(&mesh_of(endpoints).route("app", [forward(more)]))
}

/// Answers 503 so many times, then 200.
fn failing(times: usize) -> Application {
    let left = std::sync::atomic::AtomicUsize::new(times);
    Application::start(move |seen| {
        let fails = left
            .try_update(
                std::sync::atomic::Ordering::SeqCst,
                std::sync::atomic::Ordering::SeqCst,
                |n| n.checked_sub(1),
            )
            .is_ok();
        Reply::new(if fails { 503 } else { 200 }, &seen.body)
    })
}

#[test]
fn a_request_that_takes_too_long_is_a_504() {
    let upstream = Scripted::start([vec![Step::head(), Step::UntilClosed]]);
    let sidecar = sidecar(&[upstream.address()], json!({"timeout_ms": 50}));
    let mut client = Client::connect(sidecar.outbound());
    let started = Instant::now();
    let answer = client.ask(get("/"));
    assert_eq!((answer.status(), answer.text().as_str()), (504, "upstream request timeout"));
    assert!(started.elapsed() >= Duration::from_millis(50));
    upstream.wait_until_closed(0);
    let labels = [("response_code", "504"), ("response_flags", "UT")];
    sidecar.series("istio_requests_total", &labels, 1);
    assert_eq!(client.ask(get("/")).status(), 504);
}

#[test]
fn an_answer_that_takes_too_long_is_cut() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    let upstream = Scripted::start([vec![Step::head(), Step::write(half), Step::UntilClosed]]);
    let sidecar = sidecar(&[upstream.address()], json!({"timeout_ms": 500}));
    let mut client = Client::connect(sidecar.outbound());
    client.send(get("/"));
    let error = client.try_answer(false).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    sidecar.series("istio_requests_total", &[("response_flags", "UT")], 1);
}

#[test]
fn each_try_has_a_timeout_of_its_own() {
    let slow = vec![Step::head(), Step::UntilClosed];
    let good = vec![Step::head(), Step::answer(200, "good"), Step::UntilClosed];
    let upstream = Scripted::start([slow.clone(), slow, good]);
    let mut policy = retries(2, &["5xx"], &[]);
    policy["per_try_timeout_ms"] = json!(500);
    let sidecar = sidecar(&[upstream.address()], json!({"retries": policy}));
    assert_eq!(Client::connect(sidecar.outbound()).ask(get("/")).text(), "good");
    upstream.wait_until_closed(0);
    upstream.wait_until_closed(1);
    sidecar.series("meshcore_retries_total", &[], 2);
}

#[test]
fn a_refused_connection_never_surfaces_while_another_endpoint_lives() {
    let app = Application::echo("v2");
    let default = MeshBuilder::new().build(1).settings.default_retries;
    let default = serde_json::to_value(default).unwrap();
    let closed = ClosedPort::new();
    let endpoints = [closed.address(), app.address()];
    let sidecar = sidecar(&endpoints, json!({"retries": default}));
    let mut client = Client::connect(sidecar.outbound());
    for n in 0..50 {
        assert_eq!(client.ask(post("/", "", "body")).status(), 200, "request {n}");
    }
    assert!(app.seen().iter().all(|seen| seen.body == b"body"));
    assert!(sidecar.sum("meshcore_upstream_connections_failed_total", &[]) > 0);
}

#[test]
fn without_attempts_a_refused_connection_is_a_503() {
    let closed = ClosedPort::new();
    let never = json!({"retries": retries(0, &["connect-failure"], &[])});
    let sidecar = sidecar(&[closed.address()], never);
    assert_eq!(Client::connect(sidecar.outbound()).ask(get("/")).status(), 503);
    let labels = [("response_code", "503"), ("response_flags", "UF")];
    sidecar.series("istio_requests_total", &labels, 1);
    sidecar.series("meshcore_retries_total", &[], 0);
}

#[test]
fn statuses_are_retried_where_the_rule_says() {
    for (policy, failures, expected, requests) in [
        (retries(2, &["5xx"], &[]), 2, 200, 3),
        (retries(2, &["gateway-error"], &[]), 1, 200, 2),
        (retries(2, &[], &[503]), 1, 200, 2),
        (retries(2, &[], &[500]), 1, 503, 1),
        (retries(0, &["5xx"], &[]), 1, 503, 1),
        (retries(1, &["5xx"], &[]), 2, 503, 2),
    ] {
        let app = failing(failures);
        let sidecar = sidecar(&[app.address()], json!({"retries": policy}));
        let mut client = Client::connect(sidecar.outbound());
        let answer = client.ask(post("/", "", "body"));
        assert_eq!(answer.status(), expected, "{policy}");
        assert_eq!(answer.text(), "body");
        assert_eq!(app.seen().len(), requests, "{policy}");
        assert!(app.seen().iter().all(|seen| seen.body == b"body"));
        assert_eq!(client.ask(get("/next")).status(), 200);
    }
}

#[test]
fn a_used_up_limit_of_retries_shows_in_the_flags() {
    let app = failing(10);
    let sidecar = sidecar(&[app.address()], json!({"retries": retries(2, &["5xx"], &[])}));
    assert_eq!(Client::connect(sidecar.outbound()).ask(get("/")).status(), 503);
    assert_eq!(app.seen().len(), 3);
    let labels = [("response_code", "503"), ("response_flags", "URX")];
    sidecar.series("istio_requests_total", &labels, 1);
}

#[test]
fn another_host_is_chosen_for_the_next_try() {
    let (bad, good) = (failing(usize::MAX), Application::echo("good"));
    let policy = retries(1, &["5xx"], &[]);
    let sidecar = sidecar(&[bad.address(), good.address()], json!({"retries": policy}));
    let mut client = Client::connect(sidecar.outbound());
    for _ in 0..30 {
        assert_eq!(client.ask(get("/")).status(), 200);
    }
    assert!(!bad.seen().is_empty());
}

#[test]
fn grpc_statuses_are_retried_where_the_rule_says() {
    let unavailable = "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 14\r\n\
                       content-length: 0\r\n\r\n";
    let script = |answer| vec![Step::head(), Step::write(answer), Step::UntilClosed];
    let good = "HTTP/1.1 200 OK\r\ngrpc-status: 0\r\ncontent-length: 0\r\n\r\n";
    for (on, expected) in [("unavailable", "0"), ("connect-failure", "14")] {
        let upstream = Scripted::start([script(unavailable), script(good)]);
        let policy = retries(2, &[on], &[]);
        let sidecar = sidecar(&[upstream.address()], json!({"retries": policy}));
        let answer = Client::connect(sidecar.outbound()).ask(get("/"));
        assert_eq!(answer.field("grpc-status"), Some(expected), "{on}");
    }
}

#[test]
fn a_body_is_sent_again_up_to_its_limit_and_not_beyond() {
    for (length, is_repeated) in [(64 * 1024, true), (64 * 1024 + 1, false), (300_000, false)] {
        let app = failing(1);
        let policy = retries(2, &["5xx"], &[]);
        let sidecar = sidecar(&[app.address()], json!({"retries": policy}));
        let mut client = Client::connect(sidecar.outbound());
        let body = "b".repeat(length);
        let answer = client.ask(post("/", "", &body));
        assert_eq!(answer.status(), if is_repeated { 200 } else { 503 }, "{length}");
        assert!(app.seen().iter().all(|seen| seen.body.len() == length));
        assert_eq!(app.seen().len(), if is_repeated { 2 } else { 1 }, "{length}");
    }
}

#[test]
fn a_reset_is_retried_with_the_whole_body() {
    let reset = vec![Step::until("bbb"), Step::Reset];
    let good = vec![Step::until("bbbb"), Step::answer(200, "good"), Step::UntilClosed];
    let upstream = Scripted::start([reset, good]);
    let policy = retries(2, &["reset"], &[]);
    let sidecar = sidecar(&[upstream.address()], json!({"retries": policy}));
    let mut client = Client::connect(sidecar.outbound());
    assert_eq!(client.ask(post("/", "", "bbbb")).text(), "good");
    assert!(upstream.text(1).ends_with("\r\n\r\nbbbb"), "{}", upstream.text(1));
}

#[test]
fn a_chunked_body_is_sent_again_with_its_trailers() {
    let app = failing(2);
    let policy = retries(2, &["5xx"], &[]);
    let sidecar = sidecar(&[app.address()], json!({"retries": policy}));
    let request = "POST / HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n4\r\ndefg\r\n0\r\nx-sum: 7\r\n\r\n";
    let answer = Client::connect(sidecar.outbound()).ask(request);
    assert_eq!((answer.status(), answer.text().as_str()), (200, "abcdefg"));
    let seen = app.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|one| one.body == b"abcdefg" && one.trailers.trim() == "x-sum: 7"));
}

#[test]
fn retries_at_a_time_are_limited() {
    let gate = Gate::default();
    let bad = vec![Step::head(), Step::answer(503, "bad"), Step::UntilClosed];
    let held = vec![Step::head(), Step::Wait(gate.clone()), Step::answer(200, "held")];
    let upstream = Scripted::start([bad.clone(), held, bad]);
    let mesh = mesh_of(&[upstream.address()])
        .policy("app", json!({"connection_pool": {"max_retries": 1}}), &[])
        .route("app", [forward(json!({"retries": retries(2, &["5xx"], &[])}))]);
    let sidecar = Sidecar::outbound_to(&mesh);
    let mut first = Client::connect(sidecar.outbound());
    first.send(get("/"));
    upstream.wait_for(1, "\r\n\r\n");
    assert_eq!(Client::connect(sidecar.outbound()).ask(get("/")).status(), 503);
    assert_eq!(upstream.connections(), 3);
    sidecar.series("meshcore_retries_refused_total", &[], 1);
    sidecar.series("istio_requests_total", &[("response_flags", "UO")], 1);
    gate.open();
    assert_eq!(first.answer().text(), "held");
}

#[test]
fn nothing_is_retried_once_the_answer_has_begun() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    let upstream = Scripted::start([vec![Step::head(), Step::write(half)]]);
    let policy = retries(2, &["5xx", "reset"], &[]);
    let sidecar = sidecar(&[upstream.address()], json!({"retries": policy}));
    let mut client = Client::connect(sidecar.outbound());
    client.send(get("/"));
    assert!(client.try_answer(false).is_err());
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn faults_are_injected() {
    let app = Application::echo("v1");
    let abort = json!({"fault": {"abort": [418, 1_000_000]}});
    let faulty = sidecar(&[app.address()], abort);
    let mut client = Client::connect(faulty.outbound());
    let answer = client.ask(get("/"));
    assert_eq!((answer.status(), answer.text().as_str()), (418, "fault filter abort"));
    assert_eq!(client.ask(get("/")).status(), 418);
    assert_eq!(app.seen(), []);
    let labels = [("response_code", "418"), ("response_flags", "FI")];
    faulty.series("istio_requests_total", &labels, 2);

    let delay = json!({"fault": {"delay": [60, 1_000_000]}});
    let slow = sidecar(&[app.address()], delay);
    let started = Instant::now();
    assert_eq!(Client::connect(slow.outbound()).ask(get("/")).status(), 200);
    assert!(started.elapsed() >= Duration::from_millis(60));
    slow.series("istio_requests_total", &[("response_flags", "DI")], 1);

    let never = json!({"fault": {"abort": [418, 0], "delay": [60_000, 0]}});
    let healthy = sidecar(&[app.address()], never);
    assert_eq!(Client::connect(healthy.outbound()).ask(get("/")).status(), 200);
}

#[test]
fn an_abort_without_a_body_leaves_nothing_on_the_connection() {
    let app = Application::echo("v1");
    for status in [204, 304] {
        let fault = json!({"abort": [status, 1_000_000]});
        let sidecar = sidecar(&[app.address()], json!({"fault": fault}));
        let mut client = Client::connect(sidecar.outbound());
        for _ in 0..2 {
            let answer = client.ask(get("/"));
            assert_eq!((answer.status(), answer.text().as_str()), (status, ""));
        }
        assert!(client.is_silent_for(Duration::from_millis(50)));
    }
}

#[test]
fn an_endpoint_that_never_answers_is_taken_out() {
    let hanging = Scripted::start([vec![Step::head(), Step::UntilClosed]]);
    let app = Application::echo("v2");
    let policy = json!({
        "load_balancer": "round_robin",
        "outlier_detection": {
            "consecutive_5xx": 2, "consecutive_gateway_errors": 0,
            "consecutive_local_failures": 0, "split_local_errors": false,
            "interval_ms": 1000, "base_ejection_ms": 60_000, "max_ejection_percent": 100,
            "min_health_percent": 0,
        },
    });
    let mesh = mesh_of(&[hanging.address(), app.address()])
        .policy("app", policy, &[])
        .route("app", [forward(json!({"timeout_ms": 100}))]);
    let sidecar = Sidecar::outbound_to(&mesh);
    let mut client = Client::connect(sidecar.outbound());
    let statuses: Vec<u16> = (0..12).map(|_| client.ask(get("/")).status()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 504).count(), 2, "{statuses:?}");
    assert_eq!(sidecar.sum("meshcore_endpoints_ejected_total", &[]), 1);
}

#[test]
fn a_slow_upload_is_not_held_against_the_endpoint() {
    let app = Application::echo("v1");
    let policy = json!({
        "outlier_detection": {
            "consecutive_5xx": 1, "consecutive_gateway_errors": 0,
            "consecutive_local_failures": 0, "split_local_errors": false,
            "interval_ms": 1000, "base_ejection_ms": 60_000, "max_ejection_percent": 100,
            "min_health_percent": 0,
        },
    });
    let mesh = mesh_of(&[app.address()])
        .policy("app", policy, &[])
        .route("app", [forward(json!({"timeout_ms": 100}))]);
    let sidecar = Sidecar::outbound_to(&mesh);
    let mut slow = Client::connect(sidecar.outbound());
    slow.send("POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 10\r\n\r\nhalf");
    assert_eq!(slow.answer().status(), 504);
    assert_eq!(sidecar.sum("meshcore_endpoints_ejected_total", &[]), 0);
}
