use super::*;
use crate::{Lookup, VirtualHost};

fn found(snapshot: &Snapshot, authority: &str, original: Option<&str>) -> String {
    let original = original.map(|address| address.parse().unwrap());
    match snapshot.outbound.http(authority.as_bytes(), original) {
        Lookup::Found { vhost, port } => format!("{} {port}", vhost.host),
        Lookup::UnknownPort { vhost, port } => format!("no port {} {port}", vhost.host),
        Lookup::Unknown { port } => format!("unknown {port}"),
        Lookup::Malformed => "malformed".to_owned(),
    }
}

#[test]
fn every_spelling_of_a_host_is_the_host() {
    let snapshot = compiled(json!({"services": [
        service("prod", "reviews"),
        with(service("test", "ratings"), json!({"addresses": ["10.96.0.7", "fd00::7"]})),
        entry("*.example.com", "none"),
    ]}));
    let reviews = "reviews.prod.svc.cluster.local 9080";
    let ratings = "ratings.test.svc.cluster.local 9080";
    for (authority, expected) in [
        ("reviews:9080", reviews),
        ("reviews", reviews),
        ("Reviews.PROD", reviews),
        ("reviews.prod.svc", reviews),
        ("reviews.prod.svc.cluster.local", reviews),
        ("reviews.prod.svc.cluster.local.:9080", reviews),
        ("reviews:80", "no port reviews.prod.svc.cluster.local 80"),
        ("ratings", "unknown 80"),
        ("ratings.test", ratings),
        ("10.96.0.7:9080", ratings),
        ("[FD00::7]:9080", ratings),
        ("10.96.0.8", "unknown 80"),
        ("a.example.com", "*.example.com 80"),
        ("b.a.example.com", "*.example.com 80"),
        ("example.com", "unknown 80"),
        ("xexample.com", "unknown 80"),
        ("other.prod", "unknown 80"),
        ("reviews:0", "malformed"),
        ("user@reviews", "malformed"),
    ] {
        assert_eq!(found(&snapshot, authority, None), expected, "{authority}");
    }
}

#[test]
fn names_have_their_own_addresses_or_those_of_their_workloads() {
    let auto = json!({"auto_addresses": ["240.240.0.1", "2001:2::1"]});
    let snapshot = compiled(json!({
        "services": [
            with(service("prod", "ratings"), json!({"addresses": ["10.96.0.7", "10.97.0.0/16"]})),
            service("prod", "reviews"),
            with(entry("db.example", "dns"), auto.clone()),
            entry("outside.example", "dns"),
            with(entry("*.wild.example", "none"), json!({"addresses": ["10.96.0.8"]})),
        ],
        "workloads": [workload("prod", "reviews", "v1", "10.0.1.1")],
        "routes": [route("prod", "virtual", &["virtual.example"], json!({
            "http": [rule("r", "reviews.prod.svc.cluster.local")],
        }))],
    }));
    for (name, expected) in [
        ("ratings", Some("10.96.0.7")),
        ("ratings.prod.svc.cluster.local", Some("10.96.0.7")),
        ("reviews.prod", Some("10.0.1.1")),
        ("db.example", Some("240.240.0.1 2001:2::1")),
        ("a.wild.example", Some("10.96.0.8")),
        ("outside.example", None),
        ("virtual.example", None),
        ("wild.example", None),
    ] {
        let found = snapshot.outbound.addresses_of(name.as_bytes());
        let found = found.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(found.map(|all| all.join(" ")).as_deref(), expected, "{name}");
    }
    let to = "240.240.0.1:80".parse().unwrap();
    assert!(snapshot.outbound.tcp(crate::TcpDestination::Address(to)).is_some());
    assert_eq!(found(&snapshot, "db.example", Some("240.240.0.1:80")), "db.example 80");
}

#[test]
fn the_original_destination_decides_the_port() {
    let two = json!([
        {"number": 9080, "name": "http", "protocol": "http"},
        {"number": 9081, "name": "http-2", "protocol": "http"},
    ]);
    let both = with(service("prod", "reviews"), json!({"ports": two}));
    let with_80 = json!([
        {"number": 80, "name": "http", "protocol": "http"},
        {"number": 9081, "name": "http-2", "protocol": "http"},
    ]);
    let web = with(service("prod", "ratings"), json!({"ports": with_80}));
    let mixed = json!([
        {"number": 5432, "name": "tcp", "protocol": "tcp"},
        {"number": 9080, "name": "http", "protocol": "http"},
    ]);
    let mixed = with(service("prod", "details"), json!({"ports": mixed}));
    let snapshot = compiled(json!({"services": [both, web, mixed]}));
    for (authority, original, expected) in [
        ("reviews", Some("10.96.0.1:9081"), "reviews.prod.svc.cluster.local 9081"),
        ("reviews:1234", Some("10.96.0.1:9081"), "reviews.prod.svc.cluster.local 9081"),
        ("reviews", None, "no port reviews.prod.svc.cluster.local 80"),
        ("reviews", Some("10.96.0.1:80"), "no port reviews.prod.svc.cluster.local 80"),
        ("ratings", None, "ratings.prod.svc.cluster.local 80"),
        ("details", None, "details.prod.svc.cluster.local 9080"),
        ("unknown", Some("1.2.3.4:8080"), "unknown 8080"),
    ] {
        assert_eq!(found(&snapshot, authority, original), expected, "{authority} {original:?}");
    }
}

#[test]
fn what_is_not_exported_is_not_seen() {
    for (name, export_to, seen) in [
        ("all", json!([]), true),
        ("*", json!(["all"]), true),
        (".", json!(["own"]), false),
        ("~", json!(["nobody"]), false),
        ("named", json!([{"namespace": "prod"}]), true),
        ("another", json!([{"namespace": "shop"}]), false),
    ] {
        let service = with(service("test", "ratings"), json!({"export_to": export_to}));
        let snapshot = compiled(json!({"services": [service]}));
        let is_known = found(&snapshot, "ratings.test", None) != "unknown 80";
        assert_eq!(is_known, seen, "{name}");
    }
}

const REVIEWS: &str = "reviews.prod.svc.cluster.local";

/// Name of the first rule for requests to `reviews:9080`.
fn first_rule(routes: Vec<Value>) -> String {
    let snapshot = compiled(json!({"services": [service("prod", "reviews")], "routes": routes}));
    let Lookup::Found { vhost, port } = snapshot.outbound.http(b"reviews:9080", None) else {
        panic!("the mesh has reviews")
    };
    rules(vhost, port)[0].clone()
}

fn rules(vhost: &VirtualHost, port: u16) -> Vec<String> {
    vhost.routes(port).rules().iter().map(|rule| rule.name.to_string()).collect()
}

fn named(namespace: &str, name: &str, hosts: &[&str], fields: Value) -> Value {
    route(namespace, name, hosts, with(json!({"http": [rule(name, REVIEWS)]}), fields))
}

#[test]
fn one_route_has_a_host() {
    let at = |time: &str| json!({"created": time});
    let none = || json!({});
    for (expected, routes) in [
        ("default", vec![]),
        ("a", vec![named("prod", "a", &[REVIEWS], none())]),
        // The oldest; they are not merged.
        (
            "b",
            vec![
                named("prod", "a", &[REVIEWS], at("2024-02-01T00:00:00Z")),
                named("prod", "b", &[REVIEWS], at("2024-01-01T00:00:00Z")),
            ],
        ),
        ("a", vec![named("prod", "b", &[REVIEWS], none()), named("prod", "a", &[REVIEWS], none())]),
        // The more specific, whatever the age.
        (
            "b",
            vec![
                named("prod", "a", &["*.prod.svc.cluster.local"], at("2024-01-01T00:00:00Z")),
                named("prod", "b", &[REVIEWS], at("2024-02-01T00:00:00Z")),
            ],
        ),
        (
            "b",
            vec![
                named("prod", "a", &["*"], none()),
                named("prod", "b", &["*.svc.cluster.local"], none()),
            ],
        ),
        ("a", vec![named("prod", "a", &["*"], none())]),
        ("default", vec![named("prod", "a", &["*.test.svc.cluster.local"], none())]),
        // Those that only this namespace sees, then its own, then others.
        (
            "b",
            vec![
                named("prod", "a", &[REVIEWS], none()),
                named("prod", "b", &[REVIEWS], json!({"export_to": ["own"]})),
            ],
        ),
        ("b", vec![named("test", "a", &[REVIEWS], none()), named("prod", "b", &[REVIEWS], none())]),
        ("default", vec![named("test", "a", &[REVIEWS], json!({"export_to": ["own"]}))]),
        ("default", vec![named("prod", "a", &[REVIEWS], json!({"gateways": ["prod/front"]}))]),
        ("a", vec![named("prod", "a", &[REVIEWS], json!({"gateways": ["prod/front", "mesh"]}))]),
        // A route without a rule for this node does not have the host.
        (
            "b",
            vec![
                route(
                    "prod",
                    "a",
                    &[REVIEWS],
                    json!({"http": [
                        with(rule("a", REVIEWS), json!({"matches": [{"source_namespace": "test"}]})),
                    ]}),
                ),
                named("prod", "b", &[REVIEWS], none()),
            ],
        ),
    ] {
        let name = format!("{routes:#?}");
        assert_eq!(first_rule(routes), expected, "{name}");
    }
}

#[test]
fn matches_for_other_clients_are_left_out() {
    let none: [&str; 0] = [];
    for (expected, wanted) in [
        (true, json!({"source_labels": {"app": "web"}})),
        (false, json!({"source_labels": {"app": "web", "version": "v9"}})),
        (true, json!({"source_namespace": "prod"})),
        (false, json!({"source_namespace": "test"})),
        (true, json!({"gateways": ["mesh"]})),
        (false, json!({"gateways": ["prod/front"]})),
        // Gateways that match decide alone.
        (true, json!({"gateways": ["mesh"], "source_labels": {"app": "other"}})),
        (true, json!({"gateways": none})),
    ] {
        let name = wanted.to_string();
        let only = with(rule("only", REVIEWS), json!({"matches": [wanted]}));
        let routes = vec![route("prod", "a", &[REVIEWS], json!({"http": [only]}))];
        assert_eq!(first_rule(routes) == "only", expected, "{name}");
    }
}

#[test]
fn hosts_that_only_a_route_knows() {
    let routes = [
        named("prod", "exact", &["shop.example"], json!({})),
        named("prod", "wild", &["*.shop.example"], json!({})),
    ];
    let snapshot = compiled(json!({"services": [service("prod", "reviews")], "routes": routes}));
    for (authority, expected) in
        [("shop.example", "exact"), ("shop.example:8080", "exact"), ("a.shop.example", "wild")]
    {
        let Lookup::Found { vhost, port } = snapshot.outbound.http(authority.as_bytes(), None)
        else {
            panic!("{authority} is known")
        };
        assert_eq!(rules(vhost, port), [expected]);
    }
    assert_eq!(snapshot.outbound.hosts().count(), 3);
}

#[test]
fn a_destination_without_a_port_takes_the_only_one_or_the_requests() {
    let ports = json!([
        {"number": 9080, "name": "http", "protocol": "http"},
        {"number": 9081, "name": "http-2", "protocol": "http"},
    ]);
    let two = with(service("prod", "ratings"), json!({"ports": ports}));
    let subsets = json!({"subsets": [{"name": "v1", "labels": {"version": "v1"}}]});
    let policies = [policy("prod", REVIEWS, subsets)];
    let snapshot = |destination: Value| {
        let forward = json!({"action": {"forward": [destination]}});
        let http = json!({"http": [with(rule("r", REVIEWS), forward)]});
        compiled(json!({
            "services": [service("prod", "reviews"), two.clone()],
            "traffic_policies": policies,
            "routes": [route("prod", "a", &["shop.example"], http)],
        }))
    };
    let ratings = "ratings.prod.svc.cluster.local";
    for (destination, port, expected) in [
        (
            json!({"host": REVIEWS, "weight": 0}),
            80,
            Some("outbound|9080||reviews.prod.svc.cluster.local"),
        ),
        (
            json!({"host": REVIEWS, "weight": 0, "subset": "v1"}),
            80,
            Some("outbound|9080|v1|reviews.prod.svc.cluster.local"),
        ),
        (json!({"host": REVIEWS, "weight": 0, "subset": "v2"}), 80, None),
        (json!({"host": REVIEWS, "weight": 0, "port": 80}), 80, None),
        (
            json!({"host": ratings, "weight": 0}),
            9081,
            Some("outbound|9081||ratings.prod.svc.cluster.local"),
        ),
        (json!({"host": ratings, "weight": 0}), 80, None),
        (json!({"host": "nowhere", "weight": 0}), 80, None),
    ] {
        let name = destination.to_string();
        let snapshot = snapshot(destination);
        let Lookup::Found { vhost, .. } = snapshot.outbound.http(b"shop.example", None) else {
            panic!("the route has the host")
        };
        let rule = &vhost.routes(port).rules()[0];
        let crate::RuleAction::Forward(destinations) = &rule.action else { panic!("it forwards") };
        let cluster = destinations.choose(0).unwrap().cluster(port);
        let found = cluster.map(|id| snapshot.cluster(id).name.to_string());
        assert_eq!(found.as_deref(), expected, "{name}");
    }
}
