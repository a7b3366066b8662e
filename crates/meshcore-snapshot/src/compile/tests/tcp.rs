use super::*;
use crate::TcpDestination;

fn found(snapshot: &Snapshot, destination: &str) -> Option<String> {
    let destination = match destination.parse() {
        Ok(address) => TcpDestination::Address(address),
        Err(_) => TcpDestination::Authority(destination.as_bytes()),
    };
    let route = snapshot.outbound.tcp(destination)?;
    let cluster = route.destinations.choose(0)?.cluster(route.port)?;
    Some(snapshot.cluster(cluster).name.to_string())
}

fn tcp(port: u16) -> Value {
    json!({"ports": [{"number": port, "name": "tcp", "protocol": "tcp"}]})
}

#[test]
fn a_connection_finds_its_service() {
    let with_address = with(service("prod", "db"), tcp(5432));
    let with_address = with(with_address, json!({"addresses": ["10.96.0.5"]}));
    let headless = with(service("prod", "mq"), tcp(5672));
    let block = with(entry("block.example", "none"), tcp(5432));
    let block = with(block, json!({"addresses": ["10.96.0.0/16"]}));
    let narrow = with(entry("narrow.example", "none"), tcp(5432));
    let narrow = with(narrow, json!({"addresses": ["10.96.7.0/24"]}));
    let by_port = with(entry("port.example", "dns"), tcp(6379));
    let wild = with(entry("*.wild.example", "none"), tcp(443));
    let snapshot = compiled(json!({
        "services": [with_address, headless, block, narrow, by_port, wild, service("prod", "reviews")],
        "workloads": [workload("prod", "mq", "v1", "10.0.4.1")],
    }));
    for (destination, expected) in [
        ("10.96.0.5:5432", Some("outbound|5432||db.prod.svc.cluster.local")),
        ("10.96.0.6:5432", Some("outbound|5432||block.example")),
        ("10.96.7.6:5432", Some("outbound|5432||narrow.example")),
        ("10.0.4.1:5672", Some("outbound|5672||mq.prod.svc.cluster.local")),
        ("10.0.4.2:5672", None),
        ("1.2.3.4:6379", Some("outbound|6379||port.example")),
        ("db:5432", Some("outbound|5432||db.prod.svc.cluster.local")),
        ("DB.prod.svc.cluster.local.:5432", Some("outbound|5432||db.prod.svc.cluster.local")),
        ("db:5433", None),
        ("db", None),
        ("a.wild.example:443", Some("outbound|443||*.wild.example")),
        ("reviews:9080", Some("outbound|9080||reviews.prod.svc.cluster.local")),
        ("unknown.example:6379", None),
    ] {
        assert_eq!(found(&snapshot, destination).as_deref(), expected, "{destination}");
    }
}

#[test]
fn rules_for_tcp() {
    let db = "db.prod.svc.cluster.local";
    let to = |host: &str| json!([{"host": host, "weight": 1}]);
    let routes = |rules: Value| json!([route("prod", "db", &[db], json!({"tcp": rules}))]);
    let other = "other.prod.svc.cluster.local";
    let (own, moved) =
        ("outbound|5432||db.prod.svc.cluster.local", "outbound|5432||other.prod.svc.cluster.local");
    for (name, rules, expected) in [
        ("all", json!([{"destinations": to(other)}]), moved),
        ("port", json!([{"matches": [{"port": 5432}], "destinations": to(other)}]), moved),
        ("another port", json!([{"matches": [{"port": 1}], "destinations": to(other)}]), own),
        (
            "subnet",
            json!([{"matches": [{"destination_subnets": ["10.96.0.0/24"]}], "destinations": to(other)}]),
            moved,
        ),
        (
            "another subnet",
            json!([{"matches": [{"destination_subnets": ["10.1.0.0/24"]}], "destinations": to(other)}]),
            own,
        ),
        (
            "another client",
            json!([{"matches": [{"source_namespace": "test"}], "destinations": to(other)}]),
            own,
        ),
        ("the first", json!([{"destinations": to(db)}, {"destinations": to(other)}]), own),
    ] {
        let address = json!({"addresses": ["10.96.0.5"]});
        let snapshot = compiled(json!({
            "services": [with(with(service("prod", "db"), tcp(5432)), address), with(service("prod", "other"), tcp(5432))],
            "routes": routes(rules),
        }));
        assert_eq!(found(&snapshot, "10.96.0.5:5432").as_deref(), Some(expected), "{name}");
    }
}
