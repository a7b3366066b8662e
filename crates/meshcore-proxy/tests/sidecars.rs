//! Two sidecars between a client and an application, over real sockets.

use std::net::SocketAddr;

use meshcore_testkit::{Application, Client, MeshBuilder, Scripted, Sidecar, Step, TestCa, ask};
use serde_json::json;

/// A sidecar beside a caller, and one beside the application that it calls.
struct Pair {
    server: Sidecar,
    client: Sidecar,
}

fn mesh(inbound: SocketAddr, allow: &str) -> MeshBuilder {
    let principal = format!("cluster.local/ns/default/sa/{allow}");
    let rules = json!([{"from": [{"principals": {"any": [{"exact": principal}]}}]}]);
    MeshBuilder::new()
        .service("reviews", 9080)
        .mesh_endpoint("v1", inbound)
        .authorization("reviews", "reviews", "allow", rules)
}

fn pair(allow: &str) -> Pair {
    let ca = TestCa::default();
    let application = Application::echo("v1");
    let unknown = SocketAddr::from(([127, 0, 0, 1], 1));
    let server = Sidecar::of("reviews")
        .inbound(9080, application.address())
        .mesh(&mesh(unknown, allow))
        .materials(ca.materials("reviews"))
        .start();
    let mesh = mesh(server.inbound(), allow);
    server.apply(&mesh, 2);
    let client = Sidecar::of("web").outbound().mesh(&mesh).materials(ca.materials("web")).start();
    Pair { server, client }
}

#[test]
fn a_request_goes_through_both_sidecars_with_mutual_tls() {
    let pair = pair("web");
    let request = "GET /a?b HTTP/1.1\r\nHost: reviews:9080\r\nConnection: close\r\n\r\n";
    for _ in 0..3 {
        let answer = ask(pair.client.outbound(), request);
        assert_eq!(answer.status(), 200, "{answer:?}");
        let asked = answer.text();
        assert!(asked.starts_with("v1\nGET /a?b HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("URI=spiffe://cluster.local/ns/default/sa/web"), "{asked}");
        assert!(asked.contains("x-request-id: "), "{asked}");
    }
    let labels = [
        ("reporter", "destination"),
        ("source_principal", "spiffe://cluster.local/ns/default/sa/web"),
        ("destination_workload", "reviews"),
        ("connection_security_policy", "mutual_tls"),
        ("response_code", "200"),
    ];
    pair.server.series("istio_requests_total", &labels, 3);
}

#[test]
fn a_client_that_leaves_cancels_its_request_behind_both_sidecars() {
    let ca = TestCa::default();
    let upstream = Scripted::start([vec![Step::head(), Step::UntilClosed]]);
    let mesh = |inbound| MeshBuilder::new().service("reviews", 9080).mesh_endpoint("v1", inbound);
    let server = Sidecar::of("reviews")
        .inbound(9080, upstream.address())
        .mesh(&mesh(upstream.address()))
        .materials(ca.materials("reviews"))
        .start();
    let client = Sidecar::of("web")
        .outbound()
        .mesh(&mesh(server.inbound()))
        .materials(ca.materials("web"))
        .start();
    let mut caller = Client::connect(client.outbound());
    caller.send("GET / HTTP/1.1\r\nHost: reviews:9080\r\n\r\n");
    upstream.wait_for(0, "\r\n\r\n");
    drop(caller);
    upstream.wait_until_closed(0);
    server.series("istio_requests_total", &[("response_flags", "DC")], 1);
    client.series("istio_requests_total", &[("response_flags", "DC")], 1);
}

#[test]
fn policy_denies_and_says_who() {
    let pair = pair("somebody-else");
    let request = "GET / HTTP/1.1\r\nHost: reviews:9080\r\nConnection: close\r\n\r\n";
    let answer = ask(pair.client.outbound(), request);
    assert_eq!((answer.status(), answer.text().as_str()), (403, "RBAC: access denied"));
}

#[test]
fn a_drained_pair_ends() {
    let pair = pair("web");
    pair.client.proxy().drain();
    pair.server.proxy().drain();
    pair.client.wait_until_ended();
    pair.server.wait_until_ended();
}
