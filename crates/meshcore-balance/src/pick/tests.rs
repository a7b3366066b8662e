use std::collections::HashMap;

use meshcore_snapshot::Snapshot;
use serde_json::json;

use super::*;
use crate::scene::{cluster, random, snapshot, with};

/// How often each endpoint is chosen in so many picks, and the order of the picks.
fn picks(snapshot: &Snapshot, known: &Known<'_>, count: usize) -> (Vec<u32>, Vec<usize>) {
    let cluster = cluster(snapshot);
    let positions: HashMap<EndpointId, usize> =
        cluster.endpoints.iter().enumerate().map(|(at, one)| (one.id, at)).collect();
    let (mut cursors, mut random) = (Cursors::default(), random(7));
    let order: Vec<usize> = (0..count)
        .map(|_| positions[&pick(cluster, known, &mut cursors, &mut random).unwrap().id])
        .collect();
    let mut counts = vec![0; cluster.endpoints.len()];
    for at in &order {
        counts[*at] += 1;
    }
    (counts, order)
}

fn idle<'a>(loads: &'a Loads, health: &'a Health, tried: &'a [EndpointId]) -> Known<'a> {
    Known { loads, health, tried, now_ms: 0 }
}

fn is_near(counts: &[u32], shares: &[u32]) -> bool {
    let total: u32 = shares.iter().sum();
    let picks: u32 = counts.iter().sum();
    counts.iter().zip(shares).all(|(count, share)| {
        let expected = f64::from(picks) * f64::from(*share) / f64::from(total);
        (f64::from(*count) - expected).abs() <= 4.0 * expected.sqrt()
    })
}

#[test]
fn idle_endpoints_are_chosen_as_their_weights_say() {
    let (loads, health) = Default::default();
    for policy in ["least_request", "random", "round_robin"] {
        for weights in [&[1, 1, 1, 1][..], &[90, 10], &[1, 2, 3, 4], &[5, 1]] {
            let snapshot = snapshot(policy, weights);
            let (counts, _) = picks(&snapshot, &idle(&loads, &health, &[]), 20_000);
            assert!(is_near(&counts, weights), "{policy} {weights:?}: {counts:?}");
        }
    }
}

#[test]
fn turns_are_exact_and_spread() {
    let (loads, health) = Default::default();
    let known = idle(&loads, &health, &[]);
    let equal = snapshot("round_robin", &[1, 1, 1]);
    let (_, order) = picks(&equal, &known, 9);
    assert_eq!(order[..3], order[3..6]);
    assert_eq!(picks(&equal, &known, 300).0, [100, 100, 100]);
    let weighted = snapshot("round_robin", &[5, 1, 4]);
    let (counts, order) = picks(&weighted, &known, 1_000);
    assert_eq!(counts, [500, 100, 400]);
    let in_a_row = order.chunk_by(|a, b| a == b).map(<[usize]>::len).max();
    assert!(in_a_row.unwrap() <= 2, "turns of one endpoint are spread");
}

#[test]
fn the_less_busy_of_two_is_taken() {
    let snapshot = snapshot("least_request", &[1, 1]);
    let cluster = cluster(&snapshot);
    let (mut loads, health) = (Loads::default(), Health::default());
    loads.begin(cluster.endpoints[0].id);
    let (counts, _) = picks(&snapshot, &idle(&loads, &health, &[]), 100);
    assert_eq!(counts, [0, 100]);
}

#[test]
fn loads_are_compared_by_weight() {
    let snapshot = snapshot("least_request", &[3, 1]);
    let cluster = cluster(&snapshot);
    let (mut loads, health) = (Loads::default(), Health::default());
    for _ in 0..2 {
        loads.begin(cluster.endpoints[0].id);
    }
    loads.begin(cluster.endpoints[1].id);
    let (counts, _) = picks(&snapshot, &idle(&loads, &health, &[]), 100);
    assert_eq!(counts, [100, 0], "two thirds are less than one");
}

#[test]
fn two_choices_keep_the_busiest_near_the_average() {
    let snapshot = snapshot("least_request", &[1; 100]);
    let cluster = cluster(&snapshot);
    let (mut loads, health) = (Loads::default(), Health::default());
    let (mut cursors, mut random) = (Cursors::default(), random(11));
    for _ in 0..10_000 {
        let known = idle(&loads, &health, &[]);
        let id = pick(cluster, &known, &mut cursors, &mut random).unwrap().id;
        loads.begin(id);
    }
    let most = cluster.endpoints.iter().map(|one| loads.of(one.id)).max().unwrap();
    assert!(most <= 105, "{most} of 100 on average");
}

#[test]
fn tried_endpoints_are_avoided_while_there_are_others() {
    let (loads, health) = Default::default();
    for policy in ["least_request", "random", "round_robin"] {
        let snapshot = snapshot(policy, &[1, 1, 8]);
        let ids: Vec<_> = cluster(&snapshot).endpoints.iter().map(|one| one.id).collect();
        let (counts, _) = picks(&snapshot, &idle(&loads, &health, &ids[2..]), 100);
        assert_eq!(counts[2], 0, "{policy}");
        let (counts, _) = picks(&snapshot, &idle(&loads, &health, &ids[1..]), 100);
        assert_eq!(counts, [100, 0, 0], "{policy}");
        let (counts, _) = picks(&snapshot, &idle(&loads, &health, &ids), 100);
        assert_eq!(counts.iter().sum::<u32>(), 100, "{policy}: tried ones are better than none");
    }
}

#[test]
fn endpoints_that_are_out_are_avoided_while_there_are_others() {
    let loads = Loads::default();
    for policy in ["least_request", "random", "round_robin"] {
        let snapshot = snapshot(policy, &[1; 50]);
        let cluster = cluster(&snapshot);
        let ids: Vec<_> = cluster.endpoints.iter().map(|one| one.id).collect();
        let mut health = Health::default();
        for id in &ids[1..] {
            health.failed(cluster.id, *id, 0);
        }
        let (counts, _) = picks(&snapshot, &idle(&loads, &health, &[]), 100);
        assert_eq!(counts[0], 100, "{policy}");
        let later = Known { now_ms: 100, ..idle(&loads, &health, &[]) };
        assert!(picks(&snapshot, &later, 100).0[0] < 50, "{policy}: they come back");
        let (counts, _) = picks(&snapshot, &idle(&loads, &health, &ids[..1]), 100);
        assert_eq!(counts[0], 0, "{policy}: one that is out is better than one that was tried");
        health.failed(cluster.id, ids[0], 0);
        let (counts, _) = picks(&snapshot, &idle(&loads, &health, &[]), 1_000);
        assert!(counts.iter().all(|count| *count > 0), "{policy}: all are out, so all are used");
    }
}

#[test]
fn with_too_few_left_all_are_used() {
    let policy = json!({"load_balancer": "random", "outlier_detection": {
        "consecutive_5xx": 5, "consecutive_gateway_errors": 0, "consecutive_local_failures": 0,
        "split_local_errors": false, "interval_ms": 10_000, "base_ejection_ms": 30_000,
        "max_ejection_percent": 100, "min_health_percent": 50,
    }});
    let snapshot = with(&policy, &[1, 1, 1, 1]);
    let cluster = cluster(&snapshot);
    let (loads, mut health) = (Loads::default(), Health::default());
    for (out, uses_all) in [(1, false), (2, false), (3, true)] {
        health.eject(cluster.id, cluster.endpoints[out - 1].id, 1_000);
        let (counts, _) = picks(&snapshot, &idle(&loads, &health, &[]), 200);
        assert_eq!(counts[0] > 0, uses_all, "{out} of 4 are out");
    }
}

#[test]
fn nothing_is_chosen_from_nothing() {
    let snapshot = snapshot("least_request", &[]);
    let (loads, health) = Default::default();
    let found = pick(
        cluster(&snapshot),
        &idle(&loads, &health, &[]),
        &mut Cursors::default(),
        &mut random(1),
    );
    assert!(found.is_none());
}
