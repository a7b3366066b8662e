//! Hosts that the mesh does not know, and calls that would come back.

use std::net::SocketAddr;

use meshcore_testkit::{Application, Client, ClosedPort, MeshBuilder, Sidecar, origin};
use serde_json::json;

use crate::mesh_of;

fn to(sidecar: &Sidecar, host: &str) -> meshcore_testkit::Answer {
    let request = format!("GET /out HTTP/1.1\r\nHost: {host}\r\n\r\n");
    Client::connect(sidecar.outbound()).ask(request)
}

fn registry_only() -> MeshBuilder {
    MeshBuilder::new().settings(json!({"outbound_policy": "registry_only"}))
}

#[test]
fn an_unknown_host_is_reached_by_address_and_by_name() {
    let app = Application::echo("outside");
    let sidecar = Sidecar::outbound_to(&MeshBuilder::new());
    let port = app.address().port();
    for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}")] {
        let answer = to(&sidecar, &host);
        assert!(answer.text().starts_with("outside\nGET /out HTTP/1.1"), "{host}: {answer:?}");
        assert_eq!(app.last().fields("host"), [host]);
    }
    let labels = [
        ("destination_service_name", "PassthroughCluster"),
        ("destination_service", "unknown"),
        ("response_code", "200"),
    ];
    sidecar.series("istio_requests_total", &labels, 2);
}

#[test]
fn a_service_that_is_found_by_name_is_reached_by_the_first_request() {
    let app = Application::echo("named");
    let service = json!({
        "origin": origin("ServiceEntry", "named"),
        "host": "named.example", "name": "named.example", "namespace": "default",
        "ports": [{"number": 80, "name": "main", "protocol": "http"}],
        "location": "external", "resolution": "dns",
        "endpoints": [{
            "origin": origin("WorkloadEntry", "named"), "name": "named", "namespace": "default",
            "address": "localhost", "ports": {"main": app.address().port()},
            "service_account": "default",
        }],
    });
    let sidecar = Sidecar::outbound_to(&registry_only().resource("services", service));
    let answer = to(&sidecar, "named.example");
    assert!(answer.text().starts_with("named\n"), "{answer:?}");
}

#[test]
fn an_unknown_host_that_does_not_answer_is_a_503() {
    let closed = ClosedPort::new();
    let sidecar = Sidecar::outbound_to(&MeshBuilder::new());
    assert_eq!(to(&sidecar, &closed.address().to_string()).status(), 503);
    let labels = [("destination_service_name", "PassthroughCluster"), ("response_flags", "UF")];
    sidecar.series("istio_requests_total", &labels, 1);
}

#[test]
fn an_unknown_host_is_refused_where_egress_is_restricted() {
    let app = Application::echo("outside");
    let sidecar = Sidecar::outbound_to(&registry_only().service("app", 80));
    for host in [app.address().to_string(), "example.com".to_owned(), "app:81".to_owned()] {
        assert_eq!(to(&sidecar, &host).status(), 502, "{host}");
    }
    let labels = [("destination_service_name", "BlackHoleCluster"), ("response_code", "502")];
    sidecar.series("istio_requests_total", &labels, 3);
    assert_eq!(app.seen(), []);
}

#[test]
fn a_change_of_the_policy_holds_for_the_next_request() {
    let app = Application::echo("outside");
    let sidecar = Sidecar::outbound_to(&registry_only());
    let mut client = Client::connect(sidecar.outbound());
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", app.address());
    assert_eq!(client.ask(&request).status(), 502);
    sidecar.apply(&MeshBuilder::new(), 2);
    assert_eq!(client.ask(&request).status(), 200);
    sidecar.apply(&registry_only(), 3);
    assert_eq!(client.ask(&request).status(), 502);
}

#[test]
fn a_call_that_would_come_back_is_refused() {
    let sidecar =
        Sidecar::of("web").outbound().inbound(80, SocketAddr::from(([127, 0, 0, 1], 1))).start();
    let (outbound, inbound) = (sidecar.outbound().port(), sidecar.inbound().port());
    for host in [
        format!("127.0.0.1:{outbound}"),
        format!("127.0.0.1:{inbound}"),
        format!("localhost:{outbound}"),
        format!("0.0.0.0:{outbound}"),
        format!("[::ffff:127.0.0.1]:{outbound}"),
        format!("[::ffff:7f00:1]:{inbound}"),
    ] {
        assert_eq!(to(&sidecar, &host).status(), 508, "{host}");
    }
    sidecar.apply(&mesh_of(&[sidecar.outbound()]), 2);
    assert_eq!(to(&sidecar, "app").status(), 508);
}
