use std::net::SocketAddr;

use super::*;
use crate::{GatewayChain, GatewayHosts, Serves, VirtualHost};

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

fn document(namespace: &str, name: &str, servers: Value) -> Value {
    json!({
        "origin": origin("Gateway", namespace, name), "selector": {"istio": "edge"},
        "servers": servers,
    })
}

fn server(port: u16, protocol: &str, hosts: &[&str]) -> Value {
    let host = |text: &&str| match text.split_once('/') {
        Some((namespace, host)) => json!({"namespace": namespace, "host": host}),
        None => json!({"host": text}),
    };
    let hosts: Vec<Value> = hosts.iter().map(host).collect();
    json!({"port": port, "protocol": protocol, "hosts": hosts})
}

fn tls(server: Value, mode: &str, credential: &str) -> Value {
    with(server, json!({"tls": {"mode": mode, "certificates": [{"credential": credential}]}}))
}

fn bound(namespace: &str, name: &str, hosts: &[&str], http: Value) -> Value {
    route(namespace, name, hosts, json!({"gateways": ["prod/edge"], "http": http}))
}

/// A mesh as the gateway `edge` in the namespace `prod` sees it.
fn edge(parts: Value) -> Snapshot {
    let mut node = node();
    node.labels = serde_json::from_value(json!({"istio": "edge"})).unwrap();
    node.listen.gateway = Some([10, 0, 0, 1].into());
    Snapshot::compile(&mesh(parts), &node, &[], None).unwrap()
}

fn serves(snapshot: &Snapshot, port: u16) -> &Serves {
    &snapshot.gateway.as_ref().unwrap().listener(at(port)).unwrap().serves
}

fn http(snapshot: &Snapshot, port: u16) -> &GatewayHosts {
    match serves(snapshot, port) {
        Serves::Http(hosts) => hosts,
        other @ (Serves::Tcp(_) | Serves::Tls(_)) => panic!("{other:?}"),
    }
}

fn names<'v>(vhost: Option<&'v VirtualHost>, path: &str) -> Option<&'v str> {
    let (rule, _) = vhost?.routes(80).first(path.as_bytes(), |_| true)?;
    Some(&rule.name)
}

#[test]
fn only_a_gateway_opens_what_selects_it() {
    let parts = json!({"gateways": [
        document("prod", "edge", json!([server(80, "http", &["*"])])),
        with(
            document("prod", "other", json!([server(81, "http", &["*"])])),
            json!({"selector": {"istio": "other"}}),
        ),
    ]});
    assert!(compiled(parts.clone()).gateway.is_none());
    let snapshot = edge(parts);
    let gateway = snapshot.gateway.as_ref().unwrap();
    let open: Vec<_> = gateway.listeners().iter().map(|one| (one.address, one.port)).collect();
    assert_eq!(open, [(at(80), 80)]);
}

#[test]
fn a_port_is_that_behind_the_service_of_the_gateway() {
    let front = with(
        service("prod", "edge"),
        json!({
            "selector": {"istio": "edge"},
            "ports": [{"number": 80, "name": "http", "protocol": "http", "target_port": 8080}],
        }),
    );
    let servers = json!([
        server(80, "http", &["*"]),
        with(server(443, "http", &["*"]), json!({"target_port": 8443, "bind": "10.0.0.9"})),
    ]);
    let parts = json!({"services": [front], "gateways": [document("prod", "edge", servers)]});
    let snapshot = edge(parts);
    let gateway = snapshot.gateway.as_ref().unwrap();
    assert_eq!(gateway.listener(at(8080)).unwrap().port, 80);
    assert!(gateway.listener("10.0.0.9:8443".parse().unwrap()).is_some());
}

#[test]
fn routes_are_bound_by_name_namespace_and_common_hosts() {
    let gateways =
        json!([document("prod", "edge", json!([server(80, "http", &["*.a.com", "prod/b.com"])]))]);
    let routes = json!([
        bound("prod", "narrow", &["x.a.com"], json!([rule("narrow", "s")])),
        bound("prod", "wide", &["*"], json!([rule("wide", "s")])),
        bound("test", "foreign", &["b.com"], json!([rule("foreign", "s")])),
        with(
            bound("test", "hidden", &["x.a.com"], json!([rule("hidden", "s")])),
            json!({"export_to": ["own"]}),
        ),
        route("prod", "elsewhere", &["x.a.com"], json!({"http": [rule("elsewhere", "s")]})),
    ]);
    let snapshot = edge(json!({"gateways": gateways, "routes": routes}));
    let hosts = http(&snapshot, 80);
    for (authority, expected) in [
        ("x.a.com", Some("narrow")),
        ("X.a.com:8080", Some("narrow")),
        ("y.a.com", Some("wide")),
        ("b.com", Some("wide")),
        ("a.com", None),
        ("c.com", None),
        ("b.com/x", None),
    ] {
        assert_eq!(names(hosts.find(authority.as_bytes()), "/"), expected, "{authority}");
    }
}

#[test]
fn routes_of_one_host_are_appended_the_oldest_first_and_catch_alls_last() {
    let path = |name: &str, path: &str| {
        with(rule(name, "s"), json!({"matches": [{"path": {"prefix": path}}]}))
    };
    let older = with(
        bound("prod", "older", &["a.com"], json!([path("all", "/"), path("never", "/y")])),
        json!({"created": "2024-01-01T00:00:00Z"}),
    );
    let newer = with(
        bound("prod", "newer", &["a.com"], json!([path("x", "/x"), path("last", "/")])),
        json!({"created": "2024-01-02T00:00:00Z"}),
    );
    let gateways = json!([document("prod", "edge", json!([server(80, "http", &["*"])]))]);
    let snapshot = edge(json!({"gateways": gateways, "routes": [newer, older]}));
    let vhost = http(&snapshot, 80).find(b"a.com");
    assert_eq!(names(vhost, "/x/1"), Some("x"));
    assert_eq!(names(vhost, "/y"), Some("all"), "what follows a catch-all is cut off");
    assert_eq!(names(vhost, "/"), Some("all"));
}

#[test]
fn a_match_may_be_for_another_gateway() {
    let to = |name: &str, gateways: Value| {
        with(rule(name, "s"), json!({"matches": [{"gateways": gateways}]}))
    };
    let rules = json!([to("mesh", json!(["mesh"])), to("edge", json!(["prod/edge"]))]);
    let gateways = json!([document("prod", "edge", json!([server(80, "http", &["*"])]))]);
    let routes = json!([bound("prod", "both", &["a.com"], rules)]);
    let snapshot = edge(json!({"gateways": gateways, "routes": routes}));
    assert_eq!(names(http(&snapshot, 80).find(b"a.com"), "/"), Some("edge"));
}

#[test]
fn tls_is_told_apart_by_server_name_and_the_older_has_it() {
    let older = with(
        document(
            "prod",
            "edge",
            json!([
                tls(server(443, "http", &["a.com", "*.w.com"]), "simple", "a"),
                tls(server(443, "tcp", &["*"]), "mutual", "b"),
            ]),
        ),
        json!({"created": "2024-01-01T00:00:00Z"}),
    );
    let newer = with(
        document(
            "prod",
            "late",
            json!([
                tls(server(443, "http", &["a.com"]), "simple", "late"),
                server(443, "http", &["*"]),
            ]),
        ),
        json!({"created": "2024-01-02T00:00:00Z"}),
    );
    let credentials = json!([
        {"origin": origin("Secret", "prod", "a"), "certificate": "mine"},
        {"origin": origin("Secret", "test", "b"), "certificate": "of another namespace"},
    ]);
    let snapshot = edge(json!({"gateways": [newer, older], "credentials": credentials}));
    let Serves::Tls(table) = serves(&snapshot, 443) else { panic!("it is TLS") };
    let credential = |name: Option<&str>| {
        let chain = table.chain(name.map(str::as_bytes)).unwrap();
        let termination = chain.termination().unwrap();
        let known = ["a", "b", "late"].map(|name| termination.credential(name).is_some());
        (matches!(chain, GatewayChain::Http(..)), known)
    };
    assert_eq!(credential(Some("a.com")), (true, [true, false, false]));
    assert_eq!(credential(Some("x.w.com")), (true, [true, false, false]));
    assert_eq!(credential(Some("c.com")), (false, [false, false, false]));
    assert_eq!(credential(None), (false, [false, false, false]));
    let left_out = &snapshot.gateway.as_ref().unwrap().left_out;
    let why: Vec<&str> = left_out.iter().map(|(_, why)| why.as_str()).collect();
    assert_eq!(why.len(), 2, "{why:?}");
}

#[test]
fn tls_that_goes_on_needs_a_route_for_its_name() {
    let servers =
        json!([with(server(443, "tcp", &["*.com"]), json!({"tls": {"mode": "passthrough"}}))]);
    let to = json!([{"host": "s.prod.svc.cluster.local", "weight": 1}]);
    let rules = json!([
        {"matches": [{"sni_hosts": ["a.com"], "port": 443}], "destinations": to},
        {"matches": [{"sni_hosts": ["b.com"], "port": 444}], "destinations": to},
        {"matches": [{}], "destinations": to},
    ]);
    let routes = json!([route(
        "prod",
        "r",
        &["a.com", "b.com"],
        json!({"gateways": ["prod/edge"], "tcp": rules})
    )]);
    let gateways = json!([document("prod", "edge", servers)]);
    let snapshot = edge(json!({"gateways": gateways, "routes": routes}));
    let Serves::Tls(table) = serves(&snapshot, 443) else { panic!("it is TLS") };
    assert!(matches!(table.chain(Some(b"a.com")), Some(GatewayChain::PassThrough(_))));
    assert!(table.chain(Some(b"b.com")).is_none(), "its route is for another port");
    assert!(table.chain(Some(b"c.com")).is_none() && table.chain(None).is_none());
}

#[test]
fn a_sidecar_follows_tls_routes_of_the_host_that_is_called() {
    let service = with(
        entry("out.com", "static"),
        json!({
            "ports": [{"number": 443, "name": "tls", "protocol": "tls"}], "addresses": ["10.9.9.9"],
        }),
    );
    let other = with(
        entry("other.com", "static"),
        json!({"ports": [{"number": 8443, "name": "tls", "protocol": "tls"}]}),
    );
    let to = json!([{"host": "other.com", "port": 8443, "weight": 1}]);
    let rules = json!([{"matches": [{"sni_hosts": ["out.com"]}], "destinations": to}]);
    let routes = json!([route("prod", "r", &["out.com"], json!({"tcp": rules}))]);
    let snapshot = compiled(json!({"services": [service, other], "routes": routes}));
    let found = snapshot.outbound.tcp(crate::TcpDestination::Authority(b"out.com:443")).unwrap();
    assert_eq!(&*found.destinations.all()[0].host, "other.com");
}
