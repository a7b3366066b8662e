//! A service with some endpoints, for tests.

use std::sync::Arc;

use meshcore_model::{Mesh, Node};
use meshcore_snapshot::{Cluster, Snapshot};
use serde_json::{Value, json};

/// A snapshot whose one service has an endpoint for each weight.
pub(crate) fn snapshot(load_balancer: &str, weights: &[u32]) -> Snapshot {
    with(&json!({"load_balancer": load_balancer}), weights)
}

/// The same with any policy.
pub(crate) fn with(policy: &Value, weights: &[u32]) -> Snapshot {
    let origin = json!({"kind": "Service", "namespace": "prod", "name": "web"});
    let endpoints: Vec<Value> = weights
        .iter()
        .zip(0_u32..)
        .map(|(weight, index)| {
            let [_, a, b, c] = index.to_be_bytes();
            json!({
                "origin": origin, "name": format!("web-{index}"), "namespace": "prod",
                "address": format!("10.{a}.{b}.{c}"), "service_account": "web", "weight": weight,
            })
        })
        .collect();
    let mesh: Mesh = serde_json::from_value(json!({
        "revision": 1,
        "services": [{
            "origin": origin, "host": "web.prod.svc.cluster.local", "name": "web",
            "namespace": "prod", "location": "internal", "resolution": "static",
            "ports": [{"number": 80, "name": "http", "protocol": "http"}],
            "endpoints": endpoints,
        }],
        "traffic_policies": [{
            "origin": origin, "host": "web.prod.svc.cluster.local", "policy": policy,
        }],
    }))
    .unwrap();
    let node: Node = serde_json::from_value(json!({
        "name": "app", "namespace": "prod", "address": "10.255.0.1", "listen": {},
        "identity": "spiffe://cluster.local/ns/prod/sa/app",
    }))
    .unwrap();
    Snapshot::compile(&mesh, &node, &[], None).unwrap()
}

/// The one cluster.
pub(crate) fn cluster(snapshot: &Snapshot) -> &Arc<Cluster> {
    snapshot.clusters().next().unwrap()
}

/// A random number generator with a seed. Source: Vigna's `SplitMix64`.
pub(crate) fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
