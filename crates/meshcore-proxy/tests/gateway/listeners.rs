//! Listeners that come and go.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use meshcore_testkit::{Application, Client, MeshBuilder, ask};
use serde_json::Value;

use crate::{at, document, free_port, gateway, route, server};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n\r\n";

fn mesh_of(application: &Application, ports: &[u16]) -> MeshBuilder {
    let servers: Vec<Value> =
        ports.iter().map(|port| server(*port, "http", &["*"], Value::Null)).collect();
    MeshBuilder::new()
        .service("app", 80)
        .endpoint("v1", application.address())
        .resource("gateways", document("edge", &servers))
        .resource("routes", route(&["*"], &["default/edge"], "", "app"))
}

#[test]
fn a_hundred_changes_of_listeners_lose_nothing() {
    let application = Application::echo("app");
    let (stays, one, other) = (free_port(), free_port(), free_port());
    let edge = gateway(&mesh_of(&application, &[stays, one])).workers(2).start();
    let is_over = Arc::new(AtomicBool::new(false));
    let asking = {
        let is_over = Arc::clone(&is_over);
        std::thread::spawn(move || {
            let mut asked = 0_u64;
            while !is_over.load(Ordering::Relaxed) {
                assert_eq!(ask(at(stays), GET).status(), 200);
                asked = asked.saturating_add(1);
            }
            asked
        })
    };
    let mut kept = Client::connect(at(stays));
    for revision in 2..102 {
        let now = if revision % 2 == 0 { other } else { one };
        edge.apply(&mesh_of(&application, &[stays, now]), revision);
        assert_eq!(ask(at(now), GET).status(), 200, "open when the change is in force");
        assert_eq!(kept.ask("GET / HTTP/1.1\r\nHost: a.com\r\n\r\n").status(), 200);
    }
    is_over.store(true, Ordering::Relaxed);
    assert!(asking.join().unwrap() > 0);
}

#[test]
fn a_listener_that_is_gone_can_be_had_by_others() {
    let application = Application::echo("app");
    let (stays, goes) = (free_port(), free_port());
    let edge = gateway(&mesh_of(&application, &[stays, goes])).start();
    let mut client = Client::connect(at(goes));
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a.com\r\n\r\n").status(), 200);
    let supervised = edge.proxy().sockets().unwrap();
    edge.apply(&mesh_of(&application, &[stays]), 2);
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a.com\r\n\r\n").status(), 404);
    let deadline = std::time::Instant::now() + meshcore_testkit::WITHIN;
    while TcpListener::bind(at(goes)).is_err() {
        assert!(std::time::Instant::now() < deadline, "somebody listens still");
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    drop(supervised);
}

#[test]
fn a_port_in_use_is_refused_and_nothing_changes() {
    let application = Application::echo("app");
    let port = free_port();
    let edge = gateway(&mesh_of(&application, &[port])).start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = taken.local_addr().unwrap().port();
    let mesh = mesh_of(&application, &[other]).build(2);
    let refused = edge.proxy().apply(&mesh, None).unwrap_err().to_string();
    assert!(refused.contains(&format!("gateway listener 127.0.0.1:{other}")), "{refused}");
    assert!(refused.contains("mesh.yaml"), "{refused}");
    assert_eq!(ask(at(port), GET).status(), 200);
}

#[test]
fn another_process_takes_the_sockets_over() {
    let application = Application::echo("app");
    let port = free_port();
    let mesh = mesh_of(&application, &[port]);
    let before = gateway(&mesh).start();
    let after = gateway(&mesh).take_over(&before).start();
    before.proxy().hand_over();
    before.wait_until_ended();
    assert_eq!(ask(at(port), GET).status(), 200);
    drop(after);
}
