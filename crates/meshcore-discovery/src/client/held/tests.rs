use serde_json::{Value, json};

use super::*;

/// Takes a mesh unless a document of it is bad; knows what is in force.
#[derive(Default)]
struct Picky {
    bad: Vec<&'static str>,
    in_force: Option<Mesh>,
    tries: usize,
}

impl Sink for Picky {
    fn apply(&mut self, mesh: &Mesh) -> Result<(), Unfit> {
        self.tries = self.tries.saturating_add(1);
        let routes = mesh.routes.iter().map(|route| &route.origin);
        // What stands in for a policy has one rule without anything in it, which is never bad.
        let policies = mesh.authorizations.iter().filter(|policy| policy.rules.is_empty());
        let mut origins = routes.chain(policies.map(|policy| &policy.origin));
        if let Some(origin) = origins.find(|origin| self.bad.contains(&origin.name.as_str())) {
            return Err(Unfit { origin: Some(Box::new(origin.clone())), reason: "is bad".into() });
        }
        self.in_force = Some(mesh.clone());
        Ok(())
    }

    fn carried(&self) -> HashMap<String, u64> {
        HashMap::new()
    }
}

impl Picky {
    fn routes(&self) -> Vec<(String, u32)> {
        let mesh = self.in_force.as_ref().unwrap();
        mesh.routes.iter().map(|route| (route.origin.name.clone(), route.origin.line)).collect()
    }

    fn policies(&self) -> Vec<(String, usize)> {
        let mesh = self.in_force.as_ref().unwrap();
        let all = mesh.authorizations.iter();
        all.map(|policy| (policy.origin.name.clone(), policy.rules.len())).collect()
    }
}

fn given(name: &str, value: &Value) -> Given {
    Given { name: name.into(), version: "1".into(), value: value.to_string().into() }
}

/// A route whose line tells its generation.
fn route(name: &str, line: u32) -> Given {
    let origin = json!({"kind": "VirtualService", "namespace": "prod", "name": name, "line": line});
    let value = json!({"route": {"origin": origin, "hosts": ["a"], "gateways": ["mesh"]}});
    given(&format!("route/prod/{name}"), &value)
}

/// A policy that denies nothing.
fn policy(name: &str) -> Given {
    let origin = json!({"kind": "AuthorizationPolicy", "namespace": "prod", "name": name});
    let value = json!({"authorization": {"origin": origin, "action": "deny"}});
    given(&format!("authorization/prod/{name}"), &value)
}

fn change(revision: &str, given: Vec<Given>) -> Change {
    Change { revision: revision.into(), given, removed: Vec::new() }
}

fn names(refusals: &[Refusal]) -> Vec<&str> {
    let mut names: Vec<&str> = refusals.iter().map(|refusal| refusal.name.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn what_is_refused_stays_as_it_was_and_the_rest_is_in_force() {
    let (mut held, mut sink) = (Held::new(None), Picky::default());
    let first = change("1", vec![route("a", 1), route("b", 1), route("c", 1)]);
    assert!(held.put(first, &mut sink).is_empty());
    let second = change("2", vec![route("b", 2), route("c", 2)]);
    assert!(held.put(second, &mut sink).is_empty());
    sink.bad = vec!["d"];
    let third = change("3", vec![route("a", 3), route("d", 3)]);
    assert_eq!(names(&held.put(third, &mut sink)), ["route/prod/d"]);
    let expected = [("a".into(), 3), ("b".into(), 2), ("c".into(), 2)];
    assert_eq!(sink.routes(), expected);
    assert_eq!((held.revision(), held.said.as_str()), (3, "3"));
}

#[test]
fn what_cannot_be_read_is_refused_by_its_name() {
    let (mut held, mut sink) = (Held::new(None), Picky::default());
    held.put(change("1", vec![route("a", 1)]), &mut sink);
    let unknown = given("route/prod/x", &json!({"route": {"hosts": [], "new": 1}}));
    let bad_again = Given { value: "{".into(), ..route("a", 2) };
    let refusals = held.put(change("2", vec![unknown, bad_again, route("b", 2)]), &mut sink);
    assert_eq!(names(&refusals), ["route/prod/a", "route/prod/x"]);
    assert_eq!(sink.routes(), [("a".into(), 1), ("b".into(), 2)]);
}

#[test]
fn something_strict_stands_in_for_a_policy_that_never_was_in_force() {
    let (mut held, mut sink) = (Held::new(None), Picky { bad: vec!["p"], ..Picky::default() });
    let refusals = held.put(change("1", vec![policy("p"), policy("q")]), &mut sink);
    assert_eq!(names(&refusals), ["authorization/prod/p"]);
    assert_eq!(sink.policies(), [("p".into(), 1), ("q".into(), 0)]);
    assert!(!held.versions().contains_key("authorization/prod/p"), "it is to be sent again");

    let junk = Given { value: "junk".into(), ..policy("r") };
    held.put(change("2", vec![junk]), &mut sink);
    assert_eq!(sink.policies(), [("p".into(), 1), ("q".into(), 0), ("r".into(), 1)]);

    sink.bad.clear();
    assert!(held.put(change("3", vec![policy("p"), policy("r")]), &mut sink).is_empty());
    assert_eq!(sink.policies(), [("p".into(), 0), ("q".into(), 0), ("r".into(), 0)]);
}

#[test]
fn a_policy_in_force_stays_when_its_next_one_is_bad() {
    let (mut held, mut sink) = (Held::new(None), Picky::default());
    held.put(change("1", vec![policy("p")]), &mut sink);
    let junk = Given { value: "junk".into(), ..policy("p") };
    assert_eq!(names(&held.put(change("2", vec![junk]), &mut sink)), ["authorization/prod/p"]);
    assert_eq!(sink.policies(), [("p".into(), 0)]);
}

#[test]
fn a_fault_of_nothing_that_changed_refuses_the_whole_change() {
    let (mut held, mut sink) = (Held::new(None), Picky::default());
    held.put(change("1", vec![route("a", 1), route("z", 1)]), &mut sink);
    sink.bad = vec!["z"]; // by something else that changes
    let mut second = change("2", vec![route("a", 2)]);
    second.removed.push("route/prod/none".into());
    assert_eq!(names(&held.put(second, &mut sink)), ["route/prod/a"]);
    assert_eq!(sink.routes(), [("a".into(), 1), ("z".into(), 1)]);
    assert_eq!(held.said, "1");
}

#[test]
fn many_faults_end_after_some_tries() {
    let all: Vec<&'static str> = (0..100_u32).map(|n| &*format!("r{n}").leak()).collect();
    let (mut held, mut sink) = (Held::new(None), Picky { bad: all.clone(), ..Picky::default() });
    let given = all.iter().map(|name| route(name, 1)).collect();
    assert_eq!(held.put(change("1", given), &mut sink).len(), 100);
    assert!(sink.tries <= TRIES + 1);
    assert_eq!(held.count(), 0);
}

#[test]
fn revisions_only_grow() {
    let (mut held, mut sink) = (Held::new(None), Picky::default());
    for (said, expected) in [("7", 7), ("5", 7), ("what", 7), ("9", 9)] {
        held.put(change(said, vec![route(said, 1)]), &mut sink);
        assert_eq!(held.revision(), expected, "{said}");
        assert_eq!(sink.in_force.as_ref().unwrap().revision, expected);
    }
}

#[test]
fn the_first_sink_decides_what_is_held() {
    let mut held = Held::new(None);
    held.put(change("1", vec![route("a", 1), route("b", 1), policy("p")]), &mut Picky::default());
    let mut sink = Picky { bad: vec!["b", "p"], ..Picky::default() };
    assert_eq!(names(&held.put_all(&mut sink)), ["authorization/prod/p", "route/prod/b"]);
    assert_eq!(sink.routes(), [("a".into(), 1)]);
    assert_eq!(sink.policies(), [("p".into(), 1)]);
}

#[test]
fn hosts_that_were_found_are_those_that_were_asked_for() {
    let (mut held, mut sink) = (Held::new(None), Picky::default());
    let found = |key: &str, names: Value| given(key, &json!({"found": names}));
    let keys = vec![
        found("self", json!(["settings/mesh"])),
        found("host/reviews", json!(["service/prod/reviews"])),
        found("host/nothing", json!([])),
    ];
    held.put(change("1", keys), &mut sink);
    assert_eq!(sink.in_force.as_ref().unwrap().asked.as_deref(), Some(&["reviews".to_owned()][..]));
    assert_eq!(held.found("host/nothing"), Some(&[][..]));
    held.put(change("2", vec![found("*", json!([]))]), &mut sink);
    assert_eq!(sink.in_force.unwrap().asked, None);
}

#[test]
fn a_fault_that_panics_refuses_the_change_and_no_more() {
    struct Panics(Picky);
    impl Sink for Panics {
        fn apply(&mut self, mesh: &Mesh) -> Result<(), Unfit> {
            assert!(mesh.routes.iter().all(|route| route.origin.name != "odd"), "a bug");
            self.0.apply(mesh)
        }

        fn carried(&self) -> HashMap<String, u64> {
            HashMap::new()
        }
    }
    let mut sink = Panics(Picky::default());
    let mut held = Held::new(None);
    assert!(held.put(change("1", vec![route("a", 1)]), &mut sink).is_empty());
    let refusals = held.put(change("2", vec![route("odd", 2)]), &mut sink);
    assert_eq!(names(&refusals), ["route/prod/odd"]);
    assert!(held.put(change("3", vec![route("b", 3)]), &mut sink).is_empty());
    assert_eq!(sink.0.routes(), [("a".to_owned(), 1), ("b".to_owned(), 3)]);
}
