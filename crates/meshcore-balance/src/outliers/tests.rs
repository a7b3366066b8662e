use std::sync::Arc;

use super::*;
use crate::scene;

fn policy() -> OutlierDetection {
    OutlierDetection {
        consecutive_5xx: 3,
        consecutive_gateway_errors: 0,
        consecutive_local_failures: 2,
        split_local_errors: false,
        interval_ms: 10_000,
        base_ejection_ms: 30_000,
        max_ejection_percent: 100,
        min_health_percent: 0,
    }
}

fn cluster(policy: &OutlierDetection, endpoints: usize) -> Arc<Cluster> {
    let policy = serde_json::json!({"outlier_detection": policy});
    Arc::clone(scene::cluster(&scene::with(&policy, &vec![1; endpoints])))
}

/// The number of the observation, counted from 1, that takes the endpoint out.
fn ejected_at(policy: &OutlierDetection, seen: &[Seen]) -> Option<usize> {
    let cluster = cluster(policy, 10);
    let mut outliers = Outliers::default();
    let id = cluster.endpoints[0].id;
    let each = seen.iter().map(|seen| outliers.observe(&cluster, id, *seen, 0));
    each.zip(1..).find_map(|(ejection, number)| ejection.map(|_| number))
}

#[test]
fn failures_in_a_row_take_an_endpoint_out() {
    use Seen::{Connected, LocalFailure, Status};
    let gateway =
        OutlierDetection { consecutive_5xx: 0, consecutive_gateway_errors: 2, ..policy() };
    let split = OutlierDetection { split_local_errors: true, ..policy() };
    let off = OutlierDetection { consecutive_5xx: 0, ..policy() };
    let bad = Status(500);
    for (name, policy, seen, expected) in [
        ("three", policy(), vec![bad, bad, bad], Some(3)),
        ("not in a row", policy(), vec![bad, bad, Status(200), bad, bad], None),
        ("4xx is no failure", policy(), vec![Status(404); 9], None),
        ("any 5xx", policy(), vec![bad, Status(503), Status(599)], Some(3)),
        ("no answer is a 5xx", policy(), vec![bad, LocalFailure, bad], Some(3)),
        ("gateway", gateway.clone(), vec![Status(502), Status(504)], Some(2)),
        ("500 is not of a gateway", gateway, vec![Status(502), bad, Status(502)], None),
        ("split: apart", split.clone(), vec![bad, bad, LocalFailure], None),
        ("split: two", split.clone(), vec![LocalFailure, LocalFailure], Some(2)),
        ("split: reset", split, vec![LocalFailure, Connected, LocalFailure], None),
        ("off", off, vec![bad; 99], None),
    ] {
        assert_eq!(ejected_at(&policy, &seen), expected, "{name}");
    }
}

fn fail(outliers: &mut Outliers, cluster: &Cluster, at: usize, now: u64) -> Option<Ejection> {
    let id = cluster.endpoints[at].id;
    let mut each = (0..3).map(|_| outliers.observe(cluster, id, Seen::Status(500), now));
    each.find_map(|ejection| ejection)
}

#[test]
fn the_time_out_grows_and_shrinks_again() {
    let cluster = cluster(&policy(), 1);
    let id = cluster.endpoints[0].id;
    let mut outliers = Outliers::default();
    assert_eq!(fail(&mut outliers, &cluster, 0, 0), Some(Ejection { id, until_ms: 30_000 }));
    assert!(outliers.is_out(id, 29_999) && !outliers.is_out(id, 30_000));
    assert_eq!(fail(&mut outliers, &cluster, 0, 10_000), None, "it is out already");
    let second = fail(&mut outliers, &cluster, 0, 30_000);
    assert_eq!(second, Some(Ejection { id, until_ms: 90_000 }), "twice as long");
    let good =
        |outliers: &mut Outliers, now| outliers.observe(&cluster, id, Seen::Status(200), now);
    for at_ms in [90_000, 100_000, 110_000] {
        assert_eq!(good(&mut outliers, at_ms), None);
    }
    let third = fail(&mut outliers, &cluster, 0, 111_000);
    assert_eq!(third, Some(Ejection { id, until_ms: 141_000 }), "two good intervals are forgiven");
}

#[test]
fn the_time_out_has_a_limit() {
    let cluster = cluster(&policy(), 1);
    let mut outliers = Outliers::default();
    let mut now = 0;
    let mut longest = 0;
    for _ in 0..30 {
        let ejection = fail(&mut outliers, &cluster, 0, now).unwrap();
        longest = longest.max(ejection.until_ms - now);
        now = ejection.until_ms;
    }
    assert_eq!(longest, LONGEST_MS);
}

#[test]
fn not_too_many_are_out() {
    for (percent, most) in [(0, 0), (10, 1), (25, 3), (50, 5), (100, 10)] {
        let policy = OutlierDetection { max_ejection_percent: percent, ..policy() };
        let cluster = cluster(&policy, 10);
        let mut outliers = Outliers::default();
        let mut out = 0;
        for endpoint in &cluster.endpoints {
            for _ in 0..3 {
                let seen = Seen::Status(503);
                let found = outliers.observe(&cluster, endpoint.id, seen, 0);
                out += usize::from(found.is_some());
            }
        }
        assert_eq!(out, most, "{percent} percent of 10");
    }
}

#[test]
fn endpoints_that_are_gone_are_forgotten() {
    let before = cluster(&policy(), 3);
    let mut outliers = Outliers::default();
    fail(&mut outliers, &before, 2, 0);
    let after = cluster(&policy(), 1);
    outliers.observe(&after, after.endpoints[0].id, Seen::Status(500), 10_000);
    assert_eq!(outliers.states.len(), 1);
}

#[test]
fn without_outlier_detection_nothing_is_an_outlier() {
    let cluster = Arc::clone(scene::cluster(&scene::snapshot("random", &[1])));
    assert_eq!(fail(&mut Outliers::default(), &cluster, 0, 0), None);
}

#[test]
fn an_endpoint_comes_back_without_a_past() {
    let cluster = cluster(&policy(), 1);
    let id = cluster.endpoints[0].id;
    let mut outliers = Outliers::default();
    assert!(fail(&mut outliers, &cluster, 0, 29_000).is_some());
    for _ in 0..100 {
        let under_way = outliers.observe(&cluster, id, Seen::Status(500), 30_000);
        assert_eq!(under_way, None);
    }
    // Back at 59 s, whenever the next check is.
    for _ in 0..2 {
        assert_eq!(outliers.observe(&cluster, id, Seen::Status(500), 59_000), None);
    }
    let third = outliers.observe(&cluster, id, Seen::Status(500), 59_000);
    assert_eq!(third, Some(Ejection { id, until_ms: 119_000 }));
}
