//! Certificates that change under load, and sessions that resume.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use meshcore_testkit::{Application, Client, MeshBuilder, Sidecar, TestCa, ask};
use serde_json::json;

use crate::eventually;

const GET: &str = "GET / HTTP/1.1\r\nhost: api\r\n\r\n";
const GET_ONCE: &str = "GET / HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n";

struct Pair {
    server: Sidecar,
    client: Sidecar,
}

fn pair(ca: &TestCa, application: &Application, policy: serde_json::Value) -> Pair {
    let mesh = MeshBuilder::new().service("api", 80);
    let unknown = ([127, 0, 0, 1], 1).into();
    let server = Sidecar::of("api")
        .inbound(80, application.address())
        .materials(ca.materials("api"))
        .mesh(&mesh.clone().mesh_endpoint("v1", unknown))
        .start();
    let mesh = mesh.mesh_endpoint("v1", server.inbound()).policy("api", policy, &[]);
    let client = Sidecar::of("web").outbound().materials(ca.materials("web")).mesh(&mesh).start();
    Pair { server, client }
}

#[test]
fn fifty_rotations_under_load_fail_no_request() {
    let ca = TestCa::default();
    let application = Application::echo("v1");
    // Each request needs a handshake of its own, so that every certificate is used.
    let once = json!({"connection_pool": {"max_requests_per_connection": 1}});
    let pair = pair(&ca, &application, once);
    let (is_over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (is_over, answered) = (Arc::clone(&is_over), Arc::clone(&answered));
            let address = pair.client.outbound();
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(client.ask(GET).status(), 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for _ in 0..50 {
        let before = answered.load(Ordering::Relaxed);
        pair.client.proxy().rotate(ca.materials("web"));
        pair.server.proxy().rotate(ca.materials("api"));
        eventually("requests go on", || answered.load(Ordering::Relaxed) > before + 4);
    }
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    let answered = u64::try_from(answered.load(Ordering::Relaxed)).unwrap();
    pair.client.series("meshcore_tls_handshakes_total", &[("side", "client")], answered);
    pair.server.series("meshcore_tls_handshakes_total", &[("side", "server")], answered);
}

#[test]
fn sessions_resume_and_are_counted_on_both_sides() {
    let ca = TestCa::default();
    let application = Application::echo("v1");
    let once = json!({"connection_pool": {"max_requests_per_connection": 1}});
    let pair = pair(&ca, &application, once);
    let mut client = Client::connect(pair.client.outbound());
    for _ in 0..4 {
        assert_eq!(client.ask(GET).status(), 200);
    }
    for (sidecar, side) in [(&pair.client, "client"), (&pair.server, "server")] {
        sidecar.series("meshcore_tls_handshakes_total", &[("side", side)], 4);
        sidecar.series("meshcore_tls_handshakes_resumed_total", &[], 3);
    }
}

#[test]
fn a_new_certificate_keeps_connections_and_new_trust_does_not() {
    let (ca, friend) = (TestCa::default(), TestCa::new("friend.org"));
    let application = Application::echo("v1");
    let pair = pair(&ca, &application, json!({}));
    let handshakes = |count| {
        pair.client.series("meshcore_tls_handshakes_total", &[("side", "client")], count);
    };
    for _ in 0..3 {
        assert_eq!(ask(pair.client.outbound(), GET_ONCE).status(), 200);
    }
    handshakes(1);
    pair.client.proxy().rotate(ca.materials("web"));
    assert_eq!(ask(pair.client.outbound(), GET_ONCE).status(), 200);
    handshakes(1);
    pair.client.proxy().rotate(ca.materials_trusting("web", &friend));
    assert_eq!(ask(pair.client.outbound(), GET_ONCE).status(), 200);
    handshakes(2);
    // What was opened under the old trust is closed, though nobody asks for it.
    pair.client.proxy().rotate(ca.materials("web"));
    eventually("the old connections are closed", || {
        pair.server.sum("meshcore_connections_open", &[]) == 0
    });
    assert_eq!(ask(pair.client.outbound(), GET_ONCE).status(), 200);
    handshakes(3);
}

#[test]
fn http2_connections_of_an_old_trust_take_no_new_streams() {
    let (ca, friend) = (TestCa::default(), TestCa::new("friend.org"));
    let application = Application::echo("v1");
    let pair = pair(&ca, &application, json!({"connection_pool": {"h2_upgrade": "always"}}));
    for expected in [1, 1, 2] {
        if expected == 2 {
            pair.client.proxy().rotate(ca.materials_trusting("web", &friend));
        }
        assert_eq!(ask(pair.client.outbound(), GET_ONCE).status(), 200);
        let side = [("side", "client")];
        pair.client.series("meshcore_tls_handshakes_total", &side, expected);
    }
    eventually("the old connection ends", || {
        pair.server.sum("meshcore_connections_open", &[]) == 1
    });
}
