use super::*;
use crate::{Lookup, TcpDestination};

fn found(snapshot: &Snapshot, authority: &str) -> String {
    match snapshot.outbound.http(authority.as_bytes(), None) {
        Lookup::Found { vhost, .. } => vhost.host.to_string(),
        Lookup::UnknownPort { .. } => "no port".to_owned(),
        Lookup::Unknown { .. } => "unknown".to_owned(),
        Lookup::Malformed => "malformed".to_owned(),
    }
}

fn parts(asked: &[&str]) -> Value {
    json!({
        "services": [
            with(service("prod", "reviews"), json!({"addresses": ["10.96.0.7"]})),
            service("prod", "ratings"),
            entry("*.example.com", "none"),
        ],
        "routes": [route("prod", "r", &["reviews.prod.svc.cluster.local"], json!({
            "http": [rule("to-ratings", "ratings.prod.svc.cluster.local")],
        }))],
        "asked": asked,
    })
}

#[test]
fn only_what_was_asked_for_has_a_name() {
    let reviews = "reviews.prod.svc.cluster.local";
    let snapshot = compiled(parts(&["reviews.prod", "a.example.com"]));
    for (authority, expected) in [
        ("reviews:9080", reviews),
        ("reviews.prod.svc.cluster.local:9080", reviews),
        ("ratings:9080", "unknown"),
        ("10.96.0.7:9080", "unknown"),
        ("a.example.com", "*.example.com"),
        ("b.example.com", "unknown"),
    ] {
        assert_eq!(found(&snapshot, authority), expected, "{authority}");
    }
    let ratings = cluster(&snapshot, "outbound|9080||ratings.prod.svc.cluster.local");
    assert_eq!(&*ratings.host, "ratings.prod.svc.cluster.local", "a route leads there");
    let hosts: Vec<&str> = snapshot.outbound.hosts().map(|vhost| &*vhost.host).collect();
    assert_eq!(hosts, [reviews, "*.example.com"]);
    assert_eq!(found(&compiled(parts(&["10.96.0.7"])), "10.96.0.7:9080"), reviews);
    assert_eq!(found(&compiled(parts(&[])), "reviews:9080"), "unknown");
}

#[test]
fn connections_find_what_was_asked_for() {
    let tcp = |name: &str, more: Value| {
        let ports = json!([{"number": 5432, "name": "tcp", "protocol": "tcp"}]);
        with(with(service("prod", name), json!({"ports": ports})), more)
    };
    let parts = |asked: &[&str]| {
        compiled(json!({"asked": asked, "services": [
            tcp("db", json!({"addresses": ["10.96.0.9"]})),
            tcp("block", json!({"addresses": ["10.97.0.0/16"]})),
        ]}))
    };
    let to = |snapshot: &Snapshot, destination| {
        let destination: std::net::SocketAddr = str::parse(destination).unwrap();
        let route = snapshot.outbound.tcp(TcpDestination::Address(destination));
        route.map(|route| route.service.name.to_string())
    };
    let snapshot = parts(&["10.96.0.9", "10.97.1.1"]);
    assert_eq!(to(&snapshot, "10.96.0.9:5432").as_deref(), Some("db"));
    assert_eq!(to(&snapshot, "10.97.1.1:5432").as_deref(), Some("block"));
    assert_eq!(to(&snapshot, "10.97.1.2:5432"), None);
    let by_name = TcpDestination::Authority(b"db.prod:5432");
    assert!(snapshot.outbound.tcp(by_name).is_none());
    assert!(parts(&["db.prod"]).outbound.tcp(by_name).is_some());
}
