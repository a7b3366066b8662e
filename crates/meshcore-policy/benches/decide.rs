//! How long do a route lookup and an authorization take, and does the first grow with the number
//! of rules? Unit: nanoseconds a decision. Targets: flat from 10 to 10,000 rules; 20 rules of
//! authorization under 1 us; a mesh with 10,000 rules compiled under 100 ms.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "as in tests")]
#![expect(clippy::arithmetic_side_effects, reason = "as in tests")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use meshcore_model::Identity;
use meshcore_policy::{authorize_http, normalize_path, select_route};
use meshcore_snapshot::Snapshot;
use serde_json::{Value, json};

#[expect(dead_code, reason = "shared with the tests")]
#[path = "../src/scene.rs"]
mod scene;

mod request {
    pub(crate) use meshcore_policy::{Peer, Request};
}

use scene::{Message, peer, policies, route, snapshot, table, vhost};

fn routes(c: &mut Criterion) {
    let mut group = c.benchmark_group("select_route");
    for count in [10, 1_000, 10_000] {
        for form in ["exact", "prefix", "segment_prefix"] {
            let rules: Vec<Value> = (0..count)
                .map(|i| json!({"matches": [{"path": {form: format!("/api/v1/item-{i}")}}]}))
                .collect();
            let snapshot = snapshot(json!({"routes": [route(&rules)]}));
            let last = count - 1;
            let message = Message::get(format!("/api/v1/item-{last}"));
            let name = format!("r{last}");
            let select = || select_route(vhost(&snapshot), 9080, &message);
            if form == "exact" {
                assert_eq!(select().map(|matched| &**matched.name), Some(&*name));
            }
            let vhost = vhost(&snapshot);
            group.bench_function(BenchmarkId::new(form, count), |b| {
                b.iter(|| select_route(black_box(vhost), 9080, black_box(&message)));
            });
        }
    }
    group.finish();
}

fn compilation(c: &mut Criterion) {
    let rules: Vec<Value> = (0..10_000)
        .map(|i| {
            json!({
                "matches": [{"path": {"prefix": format!("/api/v1/item-{i}")}}],
                "action": {"forward": [{"host": "reviews.prod.svc.cluster.local", "weight": 1}]},
            })
        })
        .collect();
    let (mesh, node) = (scene::mesh(json!({"routes": [route(&rules)]})), scene::node());
    c.bench_function("compile/10,000 rules", |b| {
        b.iter(|| Snapshot::compile(black_box(&mesh), &node, &[], None).unwrap());
    });
}

fn authorization(c: &mut Criterion) {
    let rule = |i: u32| {
        json!({
            "from": [{"principals": {"any": [
                {"exact": format!("cluster.local/ns/shop/sa/app-{i}")},
                {"exact": format!("cluster.local/ns/shop/sa/job-{i}")},
            ]}}],
            "to": [{
                "methods": {"any": [{"exact": "GET"}]},
                "paths": {"any": [{"prefix": format!("/api/{i}/")}]},
            }],
        })
    };
    let rules: Vec<Value> = (0..20).map(rule).collect();
    let all = snapshot(json!({"authorizations": policies(&[("allow", json!(rules))])}));
    let identity: Identity = "spiffe://cluster.local/ns/shop/sa/app-19".parse().unwrap();
    let message = Message::get("/api/19/x");
    let (table, peer) = (table(&all), peer(Some(&identity)));
    assert!(authorize_http(table, &message, &peer).allowed);
    c.bench_function("authorize/20 rules, the last allows", |b| {
        b.iter(|| authorize_http(black_box(table), black_box(&message), &peer));
    });
}

fn normalization(c: &mut Criterion) {
    let mode = meshcore_model::PathNormalization::DecodeAndMergeSlashes;
    for path in ["/api/v1/reviews/12345", "/api/%2e%2e/v1//reviews/./12345"] {
        c.bench_function(&format!("normalize {path}"), |b| {
            b.iter(|| normalize_path(black_box(path.as_bytes()), mode));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_millis(500));
    targets = routes, compilation, authorization, normalization
}
criterion_main!(benches);
