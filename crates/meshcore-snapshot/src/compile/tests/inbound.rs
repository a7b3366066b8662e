use meshcore_model::{Identity, MtlsMode, Protocol};

use super::*;

#[test]
fn ports_of_the_application() {
    let port = |number: u16, target: u16, protocol: &str| {
        json!({
            "number": number, "name": format!("p{number}"), "protocol": protocol, "target_port": target,
        })
    };
    let web = with(
        service("prod", "web"),
        json!({"ports": [port(80, 9080, "grpc"), port(81, 9999, "http")], "created": "2024-01-02T00:00:00Z"}),
    );
    let older = with(
        service("prod", "front"),
        json!({"ports": [port(8000, 9080, "http")], "selector": {"app": "web"}, "created": "2024-01-01T00:00:00Z"}),
    );
    let elsewhere = with(service("test", "web"), json!({"ports": [port(80, 9080, "tcp")]}));
    let auth = json!([{"origin": origin("PeerAuthentication", "prod", "web"), "selector": {"app": "web"}, "ports": {"9080": "strict"}}]);
    let snapshot = compiled(json!({"services": [web, older, elsewhere], "peer_auths": auth}));
    let inbound = &snapshot.inbound;
    let port = inbound.port(9080).unwrap();
    assert_eq!(port.application, "127.0.0.1:9080".parse().unwrap());
    assert_eq!((port.protocol, port.mtls), (Protocol::Http, MtlsMode::Strict));
    assert_eq!(&*port.service.host, "front.prod.svc.cluster.local", "the oldest service");
    assert_eq!(&*port.workload.workload, "web-v1");
    for (number, host, known) in [
        (80, "web.prod.svc.cluster.local", true),
        (8000, "front.prod.svc.cluster.local", true),
        (81, "web.prod.svc.cluster.local", false),
        (80, "web.test.svc.cluster.local", false),
        (9080, "web.prod.svc.cluster.local", false),
    ] {
        assert_eq!(inbound.by_service(number, host).is_some(), known, "{number} {host}");
    }
    assert!(inbound.only().is_some() && inbound.port(9999).is_none());
}

#[test]
fn listed_endpoints_are_of_this_node_by_their_address() {
    let endpoint = with(workload("prod", "x", "v1", "10.0.0.1"), json!({"ports": {"http": 9080}}));
    let listed = json!({"location": "internal", "endpoints": [endpoint]});
    let snapshot = compiled(json!({"services": [with(entry("web.example", "static"), listed)]}));
    assert!(snapshot.inbound.by_service(80, "web.example").is_some());
}

#[test]
fn a_port_without_a_service_is_found_by_its_number() {
    let snapshot = compiled(json!({}));
    let port = snapshot.inbound.port(9080).unwrap();
    assert_eq!((port.protocol, port.mtls), (Protocol::Detect, MtlsMode::Permissive));
    assert_eq!(&*port.service.name, "web");
}

#[test]
fn a_redirected_connection_finds_its_port_declared_or_not() {
    let auth = json!([{
        "origin": origin("PeerAuthentication", "prod", "web"), "selector": {"app": "web"},
        "mode": "strict", "ports": {"9080": null, "9081": "permissive"},
    }]);
    let mesh = mesh(json!({"peer_auths": auth}));
    let plain = Snapshot::compile(&mesh, &node(), &[], None).unwrap();
    assert!(plain.inbound.redirected(9080).is_some() && plain.inbound.redirected(9081).is_none());
    let intercepted = Node { intercepted: true, ..node() };
    let snapshot = Snapshot::compile(&mesh, &intercepted, &[], None).unwrap();
    for (number, expected, mtls) in [
        (9080, 9080, MtlsMode::Strict),
        (9081, 9081, MtlsMode::Permissive),
        (22, 0, MtlsMode::Strict),
    ] {
        let port = snapshot.inbound.redirected(number).unwrap();
        assert_eq!((port.number, port.mtls), (expected, mtls), "{number}");
    }
    assert_eq!(snapshot.inbound.ports().len(), 1, "only what is declared can be asked for by name");
}

#[test]
fn peers_are_known_by_proof_before_address() {
    let snapshot = compiled(json!({"workloads": [
        workload("prod", "reviews", "v1", "10.0.1.1"),
        workload("prod", "reviews", "v2", "10.0.1.2"),
        workload("prod", "ratings", "v1", "10.0.1.3"),
        workload("prod", "a", "v1", "10.0.1.4"),
        workload("prod", "b", "v1", "10.0.1.4"),
    ]}));
    let identity = |account: &str| Identity::new("cluster.local", "prod", account).unwrap();
    let find = |address: &str, account: Option<&str>| {
        let identity = account.map(identity);
        snapshot
            .peer_by(address.parse().unwrap(), identity.as_ref())
            .map(|labels| format!("{}/{}", labels.app, labels.version))
    };
    for (address, account, expected) in [
        ("10.0.1.1", None, Some("reviews/v1")),
        ("::ffff:10.0.1.1", None, Some("reviews/v1")),
        ("10.0.1.1", Some("reviews"), Some("reviews/v1")),
        ("10.0.1.2", Some("reviews"), Some("reviews/v2")),
        // The address is of another: what its identity has in common.
        ("10.0.1.1", Some("ratings"), Some("ratings/v1")),
        ("127.0.0.1", Some("reviews"), Some("reviews/")),
        ("127.0.0.1", None, None),
        ("127.0.0.1", Some("nobody"), None),
        ("10.0.1.4", None, None),
        ("10.0.1.4", Some("b"), Some("b/v1")),
    ] {
        assert_eq!(find(address, account).as_deref(), expected, "{address} {account:?}");
    }
}
