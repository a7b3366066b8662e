//! How long does it take to make a snapshot of a mesh of 1,000 services, and does a sidecar that is
//! called pay more than one that only calls? Unit: milliseconds a snapshot. Target: below 50 ms.
#![expect(clippy::unwrap_used, reason = "as in tests")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use meshcore_model::{Mesh, Node};
use meshcore_snapshot::{Lookup, Snapshot};
use serde_json::{Value, json};

const SERVICES: u32 = 1_000;

/// Services with three workloads each, a route that splits by version, a policy, and callers.
fn mesh() -> Mesh {
    let each = |make: fn(u32) -> Value| -> Vec<Value> { (0..SERVICES).map(make).collect() };
    let mesh = json!({
        "revision": 1,
        "services": each(service),
        "routes": each(route),
        "traffic_policies": each(traffic_policy),
        "authorizations": each(authorization),
    });
    serde_json::from_value(mesh).unwrap()
}

fn origin(kind: &str, name: &str) -> Value {
    json!({"kind": kind, "namespace": "shop", "name": name, "file": "mesh.yaml", "line": 1})
}

fn host(number: u32) -> String {
    format!("app-{number}.shop.svc.cluster.local")
}

fn service(number: u32) -> Value {
    let (name, [_, _, high, low]) = (format!("app-{number}"), number.to_be_bytes());
    let endpoint = |last: u8| {
        json!({
            "origin": origin("WorkloadEntry", &name), "name": format!("{name}-{last}"),
            "namespace": "shop", "address": format!("10.{high}.{low}.{last}"),
            "ports": {"http": 8080}, "service_account": name,
            "labels": {"app": name, "version": if last == 1 { "v2" } else { "v1" }},
        })
    };
    json!({
        "origin": origin("ServiceEntry", &name), "host": host(number), "name": name,
        "namespace": "shop", "ports": [{"number": 8080, "name": "http", "protocol": "http"}],
        "location": "internal", "resolution": "static",
        "endpoints": [endpoint(1), endpoint(2), endpoint(3)],
    })
}

fn route(number: u32) -> Value {
    let to = |subset, weight| json!({"host": host(number), "subset": subset, "weight": weight});
    json!({
        "origin": origin("VirtualService", &format!("app-{number}")),
        "hosts": [host(number)], "gateways": ["mesh"],
        "http": [{
            "name": "split", "action": {"forward": [to("v1", 90), to("v2", 10)]},
            "retries": {"attempts": 2, "on": ["connect-failure"]},
        }],
    })
}

fn traffic_policy(number: u32) -> Value {
    let subset = |version| json!({"name": version, "labels": {"version": version}});
    json!({
        "origin": origin("DestinationRule", &format!("app-{number}")),
        "host": host(number), "policy": {}, "subsets": [subset("v1"), subset("v2")],
    })
}

fn authorization(number: u32) -> Value {
    let caller = format!("cluster.local/ns/shop/sa/app-{}", number / 2);
    json!({
        "origin": origin("AuthorizationPolicy", &format!("app-{number}")),
        "selector": {"app": format!("app-{number}")}, "action": "allow",
        "rules": [{"from": [{"principals": {"any": [{"exact": caller}]}}]}],
    })
}

fn node(ports: &Value) -> Node {
    serde_json::from_value(json!({
        "name": "app-7-1", "namespace": "shop", "labels": {"app": "app-7"},
        "identity": "spiffe://cluster.local/ns/shop/sa/app-7", "address": "10.0.7.1",
        "ports": ports, "listen": {},
    }))
    .unwrap()
}

fn compilation(c: &mut Criterion) {
    let mesh = mesh();
    let mut group = c.benchmark_group("compile/1,000 services");
    let served = json!([{"number": 8080, "application": "127.0.0.1:8080"}]);
    for (name, ports) in [("a caller", json!([])), ("a service", served)] {
        let node = node(&ports);
        let snapshot = Snapshot::compile(&mesh, &node, &[], None).unwrap();
        let last = format!("{}:8080", host(SERVICES - 1));
        let found = snapshot.outbound.http(last.as_bytes(), None);
        assert!(matches!(found, Lookup::Found { .. }), "never time a wrong answer");
        group.bench_function(name, |b| {
            b.iter(|| Snapshot::compile(black_box(&mesh), &node, &[], None).unwrap());
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_millis(500));
    targets = compilation
}
criterion_main!(benches);
