//! Leaving without losing a request, and changing what is in force without losing one.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use meshcore_testkit::{Application, Client, Gate, Scripted, Sidecar, Step, WITHIN, host, rule};
use serde_json::json;

use crate::{get, mesh_of};

/// Waits until connections to the listener are refused.
fn wait_until_refused(address: std::net::SocketAddr) {
    let deadline = Instant::now() + WITHIN;
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "still listening");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

#[test]
fn a_request_ends_and_an_idle_client_leaves_before_the_process() {
    let gate = Gate::default();
    let script = vec![Step::head(), Step::Wait(gate.clone()), Step::answer(200, "late")];
    let upstream = Scripted::start([script]);
    let sidecar = Sidecar::outbound_to(&mesh_of(&[upstream.address()]));
    let mut idle = Client::connect(sidecar.outbound());
    let mut busy = Client::connect(sidecar.outbound());
    busy.send(get("/"));
    upstream.wait_for(0, "\r\n\r\n");
    sidecar.proxy().drain();
    assert!(idle.is_closed());
    wait_until_refused(sidecar.outbound());
    assert!(!sidecar.proxy().has_ended());
    gate.open();
    let answer = busy.answer();
    assert_eq!((answer.text().as_str(), answer.field("connection")), ("late", Some("close")));
    assert!(busy.is_closed());
    sidecar.wait_until_ended();
    assert_eq!(sidecar.sum("meshcore_drained_connections_total", &[("end", "cut")]), 0);
    assert!(sidecar.sum("meshcore_drained_connections_total", &[("end", "finished")]) >= 1);
}

#[test]
fn an_idle_connection_that_was_used_is_closed_as_well() {
    let app = Application::echo("v1");
    let sidecar = Sidecar::outbound_to(&mesh_of(&[app.address()]));
    let mut client = Client::connect(sidecar.outbound());
    assert_eq!(client.ask(get("/")).status(), 200);
    sidecar.proxy().drain();
    assert!(client.is_closed());
    sidecar.wait_until_ended();
}

#[test]
fn a_drain_has_a_limit() {
    let upstream = Scripted::start([vec![Step::head(), Step::UntilClosed]]);
    let limit = Duration::from_millis(200);
    let mesh = mesh_of(&[upstream.address()]);
    let sidecar = Sidecar::of("web").outbound().mesh(&mesh).drain(limit).start();
    let mut client = Client::connect(sidecar.outbound());
    client.send(get("/"));
    upstream.wait_for(0, "\r\n\r\n");
    let started = Instant::now();
    sidecar.proxy().drain();
    sidecar.wait_until_ended();
    assert!(started.elapsed() >= limit);
    assert!(client.is_closed());
    assert_eq!(sidecar.sum("meshcore_drained_connections_total", &[("end", "cut")]), 1);
}

#[test]
fn a_second_stop_cuts() {
    let upstream = Scripted::start([vec![Step::head(), Step::UntilClosed]]);
    let mesh = mesh_of(&[upstream.address()]);
    let limit = Duration::from_hours(1);
    let sidecar = Sidecar::of("web").outbound().mesh(&mesh).drain(limit).start();
    let mut client = Client::connect(sidecar.outbound());
    client.send(get("/"));
    upstream.wait_for(0, "\r\n\r\n");
    sidecar.proxy().drain();
    wait_until_refused(sidecar.outbound());
    assert!(!sidecar.proxy().has_ended());
    sidecar.proxy().stop();
    sidecar.wait_until_ended();
    assert!(client.is_closed());
}

#[test]
fn no_request_is_lost_while_what_is_in_force_changes() {
    let apps: Vec<Application> = ["v1", "v2"].into_iter().map(Application::echo).collect();
    let addresses: Vec<_> = apps.iter().map(Application::address).collect();
    let subset = |name: &str| {
        let forward = json!({"forward": [{"host": host("app"), "subset": name, "weight": 1}]});
        rule(forward, json!({}))
    };
    let meshes = [
        mesh_of(&addresses),
        mesh_of(&addresses[..1]),
        mesh_of(&addresses).policy("app", json!({}), &["v2"]).route("app", [subset("v2")]),
        mesh_of(&addresses[1..]).policy("app", json!({"load_balancer": "random"}), &[]),
    ];
    let sidecar = Sidecar::of("web").outbound().mesh(&meshes[0]).workers(2).start();
    let (is_over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::connect(sidecar.outbound());
                while !is_over.load(Ordering::Relaxed) {
                    let answer = client.ask(get("/"));
                    assert_eq!(answer.status(), 200, "{answer:?}");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for revision in 2..202 {
            sidecar.apply(&meshes[revision % meshes.len()], revision as u64);
            let seen = answered.load(Ordering::Relaxed);
            let deadline = Instant::now() + WITHIN;
            while answered.load(Ordering::Relaxed) < seen + 4 {
                assert!(Instant::now() < deadline, "no answers under revision {revision}");
                std::thread::yield_now();
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(answered.load(Ordering::Relaxed) >= 800);
    let all = answered.load(Ordering::Relaxed) as u64;
    let deadline = Instant::now() + WITHIN;
    while sidecar.sum("istio_requests_total", &[("response_code", "200")]) < all {
        assert!(Instant::now() < deadline, "not all are counted");
        std::thread::park_timeout(Duration::from_millis(2));
    }
    assert_eq!(sidecar.sum("istio_requests_total", &[]), all);
}
