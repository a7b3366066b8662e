//! Which endpoint a request goes to, and how many may.

use std::time::Duration;

use meshcore_testkit::{Application, Client, FullListener, Gate, Scripted, Sidecar, Step};
use serde_json::{Value, json};

use crate::{get, mesh_of};

fn sidecar(endpoints: &[std::net::SocketAddr], policy: Value) -> Sidecar {
    Sidecar::outbound_to(&mesh_of(endpoints).policy("app", policy, &[]))
}

#[test]
fn round_robin_takes_turns() {
    let apps: Vec<Application> = ["v1", "v2", "v3"].into_iter().map(Application::echo).collect();
    let addresses: Vec<_> = apps.iter().map(Application::address).collect();
    let sidecar = sidecar(&addresses, json!({"load_balancer": "round_robin"}));
    let mut client = Client::connect(sidecar.outbound());
    for _ in 0..30 {
        client.ask(get("/"));
    }
    assert!(apps.iter().all(|app| app.seen().len() == 10));
}

#[test]
fn random_reaches_everybody() {
    let apps: Vec<Application> = ["v1", "v2", "v3"].into_iter().map(Application::echo).collect();
    let addresses: Vec<_> = apps.iter().map(Application::address).collect();
    let sidecar = sidecar(&addresses, json!({"load_balancer": "random"}));
    let mut client = Client::connect(sidecar.outbound());
    for _ in 0..300 {
        client.ask(get("/"));
    }
    for app in &apps {
        let count = app.seen().len();
        assert!((50..=150).contains(&count), "{count} of 300");
    }
}

#[test]
fn the_less_busy_endpoint_gets_the_request() {
    let gate = Gate::default();
    let busy = Scripted::start([vec![
        Step::head(),
        Step::Wait(gate.clone()),
        Step::answer(200, "busy"),
        Step::UntilClosed,
    ]]);
    let free = Application::echo("free");
    let sidecar =
        sidecar(&[busy.address(), free.address()], json!({"load_balancer": "least_request"}));
    // Sooner or later the busy endpoint gets a request, and holds it; of two endpoints both are
    // looked at, so that all others go to the free one.
    let mut asked = 0;
    let _held = loop {
        let mut client = Client::connect(sidecar.outbound());
        client.send(get("/"));
        while busy.connections() == 0 && client.is_silent_for(Duration::from_millis(1)) {}
        if busy.connections() > 0 {
            break client;
        }
        asked += 1;
        assert!(asked < 1000, "the endpoint was never chosen");
    };
    busy.wait_for(0, "\r\n\r\n");
    for _ in 0..20 {
        let mut client = Client::connect(sidecar.outbound());
        assert!(client.ask(get("/")).text().starts_with("free\n"));
    }
    assert_eq!(busy.connections(), 1);
    gate.open();
}

/// An upstream that holds its answers until the gate opens.
fn held(gate: &Gate) -> Scripted {
    Scripted::start([vec![
        Step::head(),
        Step::Wait(gate.clone()),
        Step::answer(200, "held"),
        Step::head(),
        Step::answer(200, "next"),
        Step::UntilClosed,
    ]])
}

/// A pool of one connection and one place in line, and the request that has the connection until
/// the gate opens.
fn full(gate: &Gate) -> (Scripted, Sidecar, Client) {
    let upstream = held(gate);
    let pool = json!({"connection_pool": {"max_connections": 1, "max_pending_requests": 1}});
    let sidecar = sidecar(&[upstream.address()], pool);
    let mut first = Client::connect(sidecar.outbound());
    first.send(get("/first"));
    upstream.wait_for(0, "\r\n\r\n");
    (upstream, sidecar, first)
}

#[test]
fn a_full_pool_queues_one_and_refuses_the_next() {
    let gate = Gate::default();
    let (_upstream, sidecar, mut first) = full(&gate);
    let mut second = Client::connect(sidecar.outbound());
    second.send(get("/second"));
    let mut refused = 0;
    while refused == 0 {
        // Until the second waits, a third may take its place in the queue.
        let mut third = Client::connect(sidecar.outbound());
        third.send(get("/third"));
        if !third.is_silent_for(Duration::from_millis(20)) {
            assert_eq!(third.answer().status(), 503);
            refused += 1;
        }
    }
    let labels = [("response_code", "503"), ("response_flags", "UO")];
    sidecar.series("istio_requests_total", &labels, 1);
    gate.open();
    assert_eq!(first.answer().text(), "held");
    assert_eq!(second.answer().status(), 200);
}

#[test]
fn an_idle_connection_elsewhere_does_not_block_a_full_pool() {
    let (one, two) = (Application::echo("v1"), Application::echo("v2"));
    let policy = json!({
        "load_balancer": "round_robin",
        "connection_pool": {"max_connections": 1, "max_pending_requests": 10},
    });
    let sidecar = sidecar(&[one.address(), two.address()], policy);
    let mut client = Client::connect(sidecar.outbound());
    for _ in 0..6 {
        assert_eq!(client.ask(get("/")).status(), 200);
    }
    assert_eq!((one.seen().len(), two.seen().len()), (3, 3));
}

#[test]
fn an_idle_connection_of_another_worker_does_not_block_a_full_pool() {
    let app = Application::echo("v1");
    let policy = json!({"connection_pool": {"max_connections": 1, "max_pending_requests": 10}});
    let mesh = mesh_of(&[app.address()]).policy("app", policy, &[]);
    let sidecar = Sidecar::of("web").outbound().mesh(&mesh).workers(2).start();
    for _ in 0..8 {
        // The kernel gives connections to workers by their port, so both get some.
        assert_eq!(Client::connect(sidecar.outbound()).ask(get("/")).status(), 200);
    }
}

#[test]
fn requests_at_a_time_are_limited() {
    let gate = Gate::default();
    let upstream = held(&gate);
    let sidecar = sidecar(&[upstream.address()], json!({"connection_pool": {"max_requests": 1}}));
    let mut first = Client::connect(sidecar.outbound());
    first.send(get("/first"));
    upstream.wait_for(0, "\r\n\r\n");
    let mut second = Client::connect(sidecar.outbound());
    assert_eq!(second.ask(get("/second")).status(), 503);
    gate.open();
    assert_eq!(first.answer().text(), "held");
    sidecar.series("istio_requests_total", &[("response_flags", "UO")], 1);
    sidecar.series("istio_requests_total", &[("response_code", "200")], 1);
    assert_eq!(second.ask(get("/second")).text(), "next");
}

#[test]
fn a_connection_carries_no_more_than_its_share() {
    let app = Application::echo("v1");
    let pool = json!({"connection_pool": {"max_requests_per_connection": 1}});
    let sidecar = sidecar(&[app.address()], pool);
    let mut client = Client::connect(sidecar.outbound());
    for _ in 0..4 {
        assert_eq!(client.ask(get("/")).status(), 200);
    }
    let connections: Vec<usize> = app.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 1, 2, 3]);
}

#[test]
fn an_idle_connection_is_closed_at_its_limit() {
    let upstream =
        Scripted::start([vec![Step::head(), Step::answer(200, "ok"), Step::UntilClosed]]);
    let pool = json!({"connection_pool": {"http_idle_timeout_ms": 500}});
    let sidecar = sidecar(&[upstream.address()], pool);
    assert_eq!(Client::connect(sidecar.outbound()).ask(get("/")).status(), 200);
    upstream.wait_until_closed(0);
    sidecar.series("meshcore_upstream_connections_open", &[], 0);
}

#[test]
fn a_connection_that_takes_too_long_to_make_is_a_503() {
    let full = FullListener::new();
    let sidecar =
        sidecar(&[full.address()], json!({"connection_pool": {"connect_timeout_ms": 50}}));
    let mut client = Client::connect(sidecar.outbound());
    assert_eq!(client.ask(get("/")).status(), 503);
    sidecar.series("istio_requests_total", &[("response_flags", "UF,URX")], 1);
}

#[test]
fn who_has_left_waits_no_more() {
    let gate = Gate::default();
    let (upstream, sidecar, mut first) = full(&gate);
    for left in 1..=5 {
        let mut impatient = Client::connect(sidecar.outbound());
        impatient.send(get("/impatient"));
        assert!(impatient.is_silent_for(Duration::from_millis(20)), "there is room in the line");
        drop(impatient);
        sidecar.series("istio_requests_total", &[("response_flags", "DC")], left);
    }
    gate.open();
    assert_eq!(first.answer().text(), "held");
    assert!(!upstream.text(0).contains("/impatient"));
}
