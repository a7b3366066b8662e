use serde_json::{Value, json};

use super::*;
use crate::world::Touched;

const GRACE: Duration = Duration::from_secs(30);

fn registration(name: &str, service: &str, account: &str) -> Registration {
    serde_json::from_value(json!({
        "identity": format!("spiffe://cluster.local/ns/one/sa/{account}"), "workload": name,
        "service": format!("{service}.one.svc.cluster.local"), "group": null, "version": "v1",
        "labels": {}, "address": "10.0.0.1", "locality": "", "ports": {}, "inbound_port": null,
        "hbone_port": null, "is_healthy": true,
    }))
    .unwrap()
}

fn service(name: &str, selector: Value) -> (Name, Stored) {
    let json = json!({"service": {
        "origin": {"kind": "Service", "namespace": "one", "name": name},
        "host": format!("{name}.one.svc.cluster.local"), "name": name, "namespace": "one",
        "ports": [], "location": "internal", "resolution": "static", "selector": selector,
    }});
    let stored = Stored::read(json.to_string().as_bytes()).unwrap();
    (format!("service/one/{name}").into(), stored)
}

fn group(name: &str, account: &str, labels: Value) -> (Name, Stored) {
    let json = json!({"workload_group": {
        "origin": {"kind": "WorkloadGroup", "namespace": "one", "name": name}, "name": name,
        "namespace": "one", "labels": labels, "service_account": account,
    }});
    let stored = Stored::read(json.to_string().as_bytes()).unwrap();
    (format!("group/one/{name}").into(), stored)
}

fn world(resources: impl IntoIterator<Item = (Name, Stored)>) -> World {
    let mut world = World::default();
    let _: Touched = world.apply(resources, []);
    world
}

fn full(names: &[&str]) -> Registry {
    let mut registry = Registry::default();
    for (stream, name) in names.iter().enumerate() {
        registry.enter(registration(name, "web", "web"), stream as u64);
    }
    registry
}

fn name(workload: &str) -> Name {
    registration(workload, "web", "web").resource()
}

#[test]
fn a_stream_that_is_gone_costs_the_workload_after_a_while() {
    let (mut registry, start) = (full(&["a", "b", "c", "d"]), Instant::now());
    registry.disconnect(&name("a"), 0, start);
    assert!(registry.expire(GRACE, start + GRACE / 2).is_empty());
    assert_eq!(registry.expire(GRACE, start + GRACE), [name("a")]);
    assert!(registry.get(&name("a")).is_none());
}

#[test]
fn who_is_back_in_time_stays_and_the_old_stream_has_no_say() {
    let (mut registry, start) = (full(&["a"]), Instant::now());
    registry.disconnect(&name("a"), 0, start);
    registry.enter(registration("a", "web", "web"), 9);
    registry.disconnect(&name("a"), 0, start);
    assert!(!registry.remove(&name("a"), 0));
    assert!(!registry.set_health(&name("a"), 0, false));
    assert!(registry.expire(GRACE, start + GRACE * 2).is_empty());
    assert!(registry.set_health(&name("a"), 9, false));
    assert!(!registry.set_health(&name("a"), 9, false), "nothing changed");
    assert!(registry.remove(&name("a"), 9));
}

#[test]
fn when_most_are_gone_all_are_held_until_most_are_back() {
    let (mut registry, start) = (full(&["a", "b", "c", "d", "e"]), Instant::now());
    for (stream, one) in ["a", "b", "c"].iter().enumerate() {
        registry.disconnect(&name(one), stream as u64, start);
    }
    assert!(registry.expire(GRACE, start + GRACE * 100).is_empty());
    assert!(registry.is_holding());
    registry.enter(registration("a", "web", "web"), 10);
    assert_eq!(registry.expire(GRACE, start + GRACE * 100), [name("b"), name("c")]);
    assert!(!registry.is_holding());
}

#[test]
fn the_few_of_a_small_mesh_are_not_held() {
    let (mut registry, start) = (full(&["a", "b"]), Instant::now());
    registry.disconnect(&name("a"), 0, start);
    registry.disconnect(&name("b"), 1, start);
    assert_eq!(registry.expire(GRACE, start + GRACE).len(), 2);
}

#[test]
fn only_who_documents_let_stand_behind_a_service_may_register() {
    let (web, other) =
        (service("web", json!({"app": "web"})), service("other", json!({"app": "o"})));
    let team = service("team", json!({"team": "x"}));
    let canary = service("web-canary", json!({"app": "web", "version": "v1"}));
    let vm = group("vm", "robot", json!({"app": "o", "team": "x"}));
    let world = world([web, other, team, canary, vm]);
    let labelled = |labels: Value| Registration {
        labels: serde_json::from_value(labels).unwrap(),
        ..registration("w", "web", "web")
    };
    let grouped = |account: &str, group: &str| Registration {
        group: Some(group.into()),
        ..registration("w", "other", account)
    };
    let strayed = || Registration { group: Some("vm".into()), ..registration("w", "web", "robot") };
    for (case, wanted, refused) in [
        ("own name", registration("w", "web", "web"), None),
        ("another's name", registration("w", "other", "web"), Some("may not stand behind")),
        ("a service that is not there yet", registration("w", "new", "new"), None),
        ("further labels", labelled(json!({"zone": "a"})), None),
        ("labels of another service", labelled(json!({"team": "x"})), Some("team.one")),
        ("the selector's labels win", labelled(json!({"app": "o"})), None),
        ("a group", grouped("robot", "vm"), None),
        ("a group that does not lead there", strayed(), Some("may not stand behind")),
        ("a group of another account", grouped("web", "vm"), Some("is for the service account")),
        ("a group that is not there", grouped("robot", "none"), Some("no WorkloadGroup one/none")),
    ] {
        match (admit(&world, &wanted), refused) {
            (Ok(()), None) => {}
            (Err(why), Some(part)) => assert!(why.contains(part), "{case}: {why}"),
            (found, _) => panic!("{case}: {found:?}"),
        }
    }
}

#[test]
fn a_workload_has_the_labels_that_documents_give() {
    let vm = group("vm", "robot", json!({"app": "o"}));
    let world = world([service("web", json!({"app": "x", "tier": "front"})), vm]);
    let mut one = registration("w", "web", "web");
    one.labels.insert("app".into(), "mine".into());
    one.labels.insert("zone".into(), "a".into());
    let workload = one.workload(&world);
    let expected = json!({"app": "x", "tier": "front", "version": "v1", "zone": "a"});
    assert_eq!(serde_json::to_value(&workload.labels).unwrap(), expected);
    assert_eq!((workload.service_account.as_str(), workload.mtls), ("web", true));
    one.group = Some("vm".into());
    assert_eq!(one.workload(&world).labels["app"], "o");
}

#[test]
fn a_short_name_is_a_service_of_the_own_namespace() {
    let world = world([service("web", json!({"app": "web"}))]);
    for name in ["web", "web.one", "web.one.svc", "WEB.one.svc.cluster.local"] {
        let found = registration::service_named(&world, "one", name);
        assert_eq!(found.map(|found| &*found.name), Some("web"), "{name}");
    }
    for name in ["web.two", "we", "web.on", "web.one.svc.cluster.locale", ""] {
        assert!(registration::service_named(&world, "one", name).is_none(), "{name}");
    }
}
