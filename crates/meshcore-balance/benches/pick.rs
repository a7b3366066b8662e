//! How long does it take to choose one of many endpoints, and does it grow with their number?
//! Unit: nanoseconds a choice. Target: below 100 ns among 10,000.
#![expect(clippy::unwrap_used, reason = "as in tests")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use meshcore_balance::{Cursors, Health, Known, Loads, pick};

#[path = "../src/scene.rs"]
mod scene;

fn picks(c: &mut Criterion) {
    let mut group = c.benchmark_group("pick");
    for policy in ["least_request", "round_robin", "random"] {
        for (name, count, weights) in
            [("equal", 10, [1, 1]), ("equal", 10_000, [1, 1]), ("weighted", 10_000, [1, 3])]
        {
            let weights: Vec<u32> = weights.into_iter().cycle().take(count).collect();
            let snapshot = scene::snapshot(policy, &weights);
            let cluster = scene::cluster(&snapshot);
            let (mut loads, health) = (Loads::default(), Health::default());
            for endpoint in cluster.endpoints.iter().step_by(2) {
                loads.begin(endpoint.id);
            }
            let known = Known { loads: &loads, health: &health, tried: &[], now_ms: 0 };
            let (mut cursors, mut random) = (Cursors::default(), scene::random(1));
            assert!(pick(cluster, &known, &mut cursors, &mut random).is_some());
            group.bench_function(BenchmarkId::new(format!("{policy}, {name}"), count), |b| {
                b.iter(|| {
                    pick(black_box(cluster), &known, &mut cursors, &mut random).map(|one| one.id)
                });
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_millis(500));
    targets = picks
}
criterion_main!(benches);
