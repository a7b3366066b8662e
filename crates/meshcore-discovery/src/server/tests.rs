//! What clients are told, without connections.

use std::collections::{BTreeMap, BTreeSet};

use meshcore_model::Identity;
use serde_json::{Value, json};

use super::client::ClientId;
use super::requests::Ended;
use super::*;
use crate::wire::{self, DeltaRequest, DeltaResponse};
use crate::world::{Name, Stored};

/// A client and what it has, as it would be on the other side.
struct Client {
    id: ClientId,
    has: BTreeMap<String, String>,
    nonce: String,
}

fn service(namespace: &str, name: &str, selector: &Value) -> (Name, Stored) {
    resource(
        &format!("service/{namespace}/{name}"),
        &json!({"service": {
            "origin": {"kind": "Service", "namespace": namespace, "name": name},
            "host": format!("{name}.{namespace}.svc.cluster.local"), "name": name,
            "namespace": namespace, "ports": [{"number": 80, "name": "http", "protocol": "http"}],
            "location": "internal", "resolution": "static", "selector": selector,
        }}),
    )
}

fn workload(namespace: &str, app: &str, number: u32) -> (Name, Stored) {
    resource(
        &format!("workload/{namespace}/{app}-{number}"),
        &json!({"workload": {
            "origin": {"kind": "Pod", "namespace": namespace, "name": app},
            "name": format!("{app}-{number}"), "namespace": namespace,
            "address": format!("10.0.{}.{}", number / 256, number % 256),
            "labels": {"app": app}, "service_account": app,
        }}),
    )
}

fn resource(name: &str, value: &Value) -> (Name, Stored) {
    (name.into(), Stored::read(value.to_string().as_bytes()).unwrap())
}

fn facts(namespace: &str, workload: &str, service: Option<&str>) -> Facts {
    Facts {
        id: format!("{workload}.{namespace}"),
        namespace: namespace.into(),
        workload: workload.into(),
        addresses: vec![[10, 9, 9, 9].into()],
        service: service.map(str::to_owned),
        starts_healthy: true,
        ..Facts::default()
    }
}

fn state() -> State {
    let mut state = State::new(Settings::default(), Limits { keys: 8, ..Limits::default() });
    let web = |name| service("one", name, &json!({"app": name}));
    let all = vec![web("a"), web("b"), workload("one", "a", 1), workload("one", "b", 2)];
    state.update(1, all, Vec::new(), Instant::now()).unwrap();
    state
}

fn keys(keys: &[&str]) -> DeltaRequest {
    let resource_names_subscribe = keys.iter().map(|key| (*key).into()).collect();
    DeltaRequest { resource_names_subscribe, ..DeltaRequest::default() }
}

impl Client {
    fn join(state: &mut State, namespace: &str, first: &DeltaRequest) -> Self {
        let (id, now) = (state.number(), Instant::now());
        state.join(id, facts(namespace, "w", None), None, now);
        state.begin(id, first, now).unwrap();
        let has = first.initial_resource_versions.clone().into_iter().collect();
        Self { id, has, nonce: String::new() }
    }

    /// Takes what is sent, without an answer; the names of it.
    fn hear(&mut self, state: &mut State) -> Option<BTreeSet<String>> {
        let pieces = state.respond(self.id, Instant::now())?;
        Some(pieces.iter().flat_map(|piece| self.take(piece)).collect())
    }

    fn take(&mut self, piece: &DeltaResponse) -> BTreeSet<String> {
        self.nonce.clone_from(&piece.nonce);
        for one in &piece.resources {
            self.has.insert(one.name.clone(), one.version.clone());
        }
        for name in &piece.removed_resources {
            self.has.remove(name).expect("it was there");
        }
        let changed = piece.resources.iter().map(|one| one.name.clone());
        changed.chain(piece.removed_resources.iter().map(|name| format!("-{name}"))).collect()
    }

    fn answer(&self, state: &mut State, error_detail: Option<wire::Status>) {
        let response_nonce = self.nonce.clone();
        let request = DeltaRequest { response_nonce, error_detail, ..DeltaRequest::default() };
        state.request(self.id, &request, Instant::now()).unwrap();
    }

    /// Takes what is sent, and acknowledges it.
    fn told(&mut self, state: &mut State) -> BTreeSet<String> {
        let heard = self.hear(state).unwrap_or_default();
        self.answer(state, None);
        heard
    }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_client_is_told_what_it_asks_for_and_then_what_changes() {
    let mut state = state();
    let mut client = Client::join(&mut state, "one", &keys(&["host/a"]));
    let first = names(&["host/a", "self", "service/one/a", "workload/one/a-1"]);
    assert_eq!(client.told(&mut state), first);
    assert_eq!(client.hear(&mut state), None);

    let more = vec![workload("one", "a", 3), workload("one", "b", 4)];
    state.update(2, more, Vec::new(), Instant::now()).unwrap();
    assert_eq!(client.told(&mut state), names(&["host/a", "workload/one/a-3"]));
    state.update(3, Vec::new(), vec!["workload/one/a-1".into()], Instant::now()).unwrap();
    assert_eq!(client.told(&mut state), names(&["host/a", "-workload/one/a-1"]));
    state.update(4, vec![workload("one", "b", 5)], Vec::new(), Instant::now()).unwrap();
    assert_eq!(client.hear(&mut state), None, "it does not concern the client");
    assert_eq!(state.clients[&client.id].acknowledged_revision, 3);
}

#[test]
fn what_several_keys_need_stays_until_none_does() {
    let mut state = state();
    let mut client = Client::join(&mut state, "one", &keys(&["host/a", "host/a.one", "host/A"]));
    client.told(&mut state);
    let dropped = |keys: &[&str]| DeltaRequest {
        resource_names_unsubscribe: keys.iter().map(|key| (*key).into()).collect(),
        ..DeltaRequest::default()
    };
    state.request(client.id, &dropped(&["host/a", "host/A"]), Instant::now()).unwrap();
    assert_eq!(client.told(&mut state), names(&["-host/a", "-host/A"]));
    state.update(2, vec![workload("one", "a", 3)], Vec::new(), Instant::now()).unwrap();
    assert_eq!(client.told(&mut state), names(&["host/a.one", "workload/one/a-3"]));
    state.request(client.id, &dropped(&["host/a.one", "self", "nothing"]), Instant::now()).unwrap();
    client.told(&mut state);
    assert_eq!(client.has.into_keys().collect::<Vec<_>>(), ["self"]);
    state.leave(client.id, Instant::now());
    assert_eq!(state.answers.len(), 0, "nobody asks any more");
}

#[test]
fn who_comes_back_is_sent_nothing_that_is_the_same() {
    let mut state = state();
    let mut client = Client::join(&mut state, "one", &keys(&["host/a", "host/b"]));
    client.told(&mut state);
    state.leave(client.id, Instant::now());
    state.update(2, vec![workload("one", "b", 7)], Vec::new(), Instant::now()).unwrap();
    let mut first = keys(&["host/a", "host/b"]);
    first.initial_resource_versions = client.has.into_iter().collect();
    first.initial_resource_versions.insert("service/one/gone".into(), "?".into());
    let mut client = Client::join(&mut state, "one", &first);
    let told = client.told(&mut state);
    assert_eq!(told, names(&["host/b", "workload/one/b-7", "-service/one/gone"]));
    assert!(state.clients[&client.id].is_current());
}

#[test]
fn who_comes_back_to_what_is_the_same_is_told_so() {
    let mut state = state();
    let mut client = Client::join(&mut state, "one", &keys(&["host/a"]));
    client.told(&mut state);
    let mut first = keys(&["host/a"]);
    first.initial_resource_versions = client.has.into_iter().collect();
    let mut client = Client::join(&mut state, "one", &first);
    assert_eq!(client.hear(&mut state), Some(names(&[])), "an empty response, with the revision");
    client.answer(&mut state, None);
    assert_eq!(client.hear(&mut state), None);
}

#[test]
fn who_does_not_answer_is_sent_the_difference_later() {
    let mut state = state();
    let mut client = Client::join(&mut state, "one", &keys(&["host/a"]));
    client.hear(&mut state);
    for revision in 2..200 {
        let passing = vec![workload("one", "a", revision)];
        let before: Vec<Name> = vec![format!("workload/one/a-{}", revision - 1).into()];
        state.update(revision.into(), passing, before, Instant::now()).unwrap();
        assert_eq!(client.hear(&mut state), None, "one response is not answered");
    }
    client.answer(&mut state, None);
    let told = client.told(&mut state);
    assert_eq!(told, names(&["host/a", "-workload/one/a-1", "workload/one/a-199"]));
}

#[test]
fn a_refusal_is_kept_until_the_resource_is_another() {
    let mut state = state();
    let mut client = Client::join(&mut state, "one", &keys(&["host/a"]));
    client.hear(&mut state);
    let refused = json!([
        {"name": "service/one/a", "reason": "ports: none"},
        {"name": "service/two/never-sent", "reason": "?"},
    ]);
    let details = wire::Any { type_url: wire::REFUSALS.into(), value: refused.to_string().into() };
    let nack = wire::Status { code: 3, message: "no".into(), details: vec![details] };
    client.answer(&mut state, Some(nack));
    let kept = |state: &State| -> Vec<String> {
        state.clients[&client.id].refused.keys().map(ToString::to_string).collect()
    };
    assert_eq!(kept(&state), ["service/one/a"]);
    assert_eq!(state.clients[&client.id].acknowledged_revision, 1);
    assert_eq!(client.hear(&mut state), None, "the same is not sent again");
    let other = service("one", "a", &json!({"app": "a", "x": "y"}));
    state.update(2, vec![other], Vec::new(), Instant::now()).unwrap();
    assert!(client.told(&mut state).contains("service/one/a"));
    let kept: Vec<_> = state.clients[&client.id].refused.keys().collect();
    assert!(kept.is_empty(), "{kept:?}");
}

#[test]
fn answers_that_nobody_waits_for_change_nothing() {
    let mut state = state();
    let mut client = Client::join(&mut state, "one", &keys(&["host/a"]));
    client.hear(&mut state);
    let real = std::mem::replace(&mut client.nonce, "nonsense".into());
    client.answer(&mut state, None);
    assert!(state.clients[&client.id].outstanding.is_some());
    assert_eq!(state.counts.stale_answers, 1);
    client.nonce = real;
    client.answer(&mut state, None);
    assert!(state.clients[&client.id].is_current());
}

#[test]
fn a_large_response_comes_in_pieces_and_the_last_one_is_answered() {
    let mut state = state();
    let many = (10..4000).map(|number| {
        let (name, mut one) = workload("one", "a", number);
        one.bytes = vec![b' '; 1000].into();
        (name, one)
    });
    state.update(2, many.collect(), Vec::new(), Instant::now()).unwrap();
    let client = Client::join(&mut state, "one", &keys(&["host/a"]));
    let pieces = state.respond(client.id, Instant::now()).unwrap();
    assert!(pieces.len() >= 4, "{}", pieces.len());
    let sizes = pieces.iter().map(prost::Message::encoded_len);
    assert!(sizes.clone().all(|size| size <= 1 << 20), "{:?}", sizes.collect::<Vec<_>>());
    let (last, others) = pieces.split_last().unwrap();
    assert_eq!(last.system_version_info, "2");
    assert!(others.iter().all(|piece| piece.system_version_info == "2+"));
    let answer = |nonce: &str| DeltaRequest { response_nonce: nonce.into(), ..Default::default() };
    state.request(client.id, &answer(&others[0].nonce), Instant::now()).unwrap();
    assert!(!state.clients[&client.id].is_current());
    state.request(client.id, &answer(&last.nonce), Instant::now()).unwrap();
    assert!(state.clients[&client.id].is_current());
}

#[test]
fn keys_have_bounds() {
    let mut state = state();
    let client = Client::join(&mut state, "one", &keys(&["host/a"]));
    let mut ask = |wanted: &[&str]| state.request(client.id, &keys(wanted), Instant::now());
    assert!(matches!(ask(&["nonsense/a"]), Err(Ended::Malformed(_))));
    assert!(ask(&["host/c", "host/d", "host/e", "host/f", "host/g", "host/h"]).is_ok());
    assert!(matches!(ask(&["host/i"]), Err(Ended::TooMuch(_))));
    assert!(ask(&["host/a"]).is_ok(), "it has this one");
}

#[test]
fn nothing_is_said_before_the_mesh_is_known() {
    let mut state = State::new(Settings::default(), Limits::default());
    let mut client = Client::join(&mut state, "one", &keys(&["host/a"]));
    assert_eq!(client.hear(&mut state), None);
    state.update(0, vec![workload("one", "a", 1)], Vec::new(), Instant::now()).unwrap();
    assert_eq!(client.told(&mut state), names(&["host/a", "self"]));
}

#[test]
fn a_change_is_taken_whole_or_not_at_all() {
    let server = server();
    let good = ("workload/one/a-1".to_owned(), workload("one", "a", 1).1.bytes);
    let change = |name: &str, json: &'static str| (name.to_owned(), bytes::Bytes::from(json));
    for (case, bad, part) in [
        ("no JSON", change("route/one/r", "{"), "route/one/r: EOF"),
        ("a field", change("trust", r#"{"found": [], "x": 1}"#), "trust: "),
        ("an answer", change("host/a", r#"{"found": []}"#), "only the server makes"),
        ("no name", change("", "{}"), "is no name"),
        ("twice", good.clone(), "named twice"),
    ] {
        let error = server.update(1, &[good.clone(), bad], &[]).unwrap_err().to_string();
        assert!(error.contains(part), "{case}: {error}");
        assert_eq!(server.state.lock().revision, None);
    }
    server.update(7, &[good], &[]).unwrap();
    let stale = UpdateError::Stale { offered: 7, current: 7 };
    assert_eq!(server.update::<&[u8]>(7, &[], &[]), Err(stale));
}

fn server() -> Server {
    let options = Options {
        state: None,
        settings: Settings::default(),
        version: "test".into(),
        grace: Duration::from_secs(30),
        limits: Limits::default(),
    };
    Server::open(options, None).unwrap()
}

fn register(state: &mut State, namespace: &str, account: &str) -> Result<ClientId, String> {
    let identity = Identity::new("cluster.local", namespace, account).unwrap();
    let facts = facts(namespace, "a-vm", Some("a"));
    let (id, now) = (state.number(), Instant::now());
    let registration = state.registration(&facts, &identity)?.unwrap();
    state.join(id, facts, Some(identity), now);
    state.enter(id, registration, now)?;
    state.begin(id, &DeltaRequest::default(), now).unwrap();
    Ok(id)
}

#[test]
fn a_workload_that_registers_is_an_endpoint_while_it_is_healthy() {
    let mut state = state();
    let mut watching = Client::join(&mut state, "one", &keys(&["host/a"]));
    watching.told(&mut state);
    let id = register(&mut state, "one", "a").unwrap();
    let name = "workload/one/a-vm@10.9.9.9";
    assert_eq!(watching.told(&mut state), names(&["host/a", name]));
    let mut own = Client { id, has: BTreeMap::new(), nonce: String::new() };
    assert_eq!(own.told(&mut state), names(&["self", "service/one/a", name]));

    let ill = wire::Status { code: 2, ..Default::default() };
    state.hear_health(id, Some(&ill), Instant::now());
    assert_eq!(watching.told(&mut state), names(&["host/a", &format!("-{name}")]));
    assert!(own.has.contains_key(name) && own.told(&mut state).is_empty(), "it knows who it is");
    state.hear_health(id, None, Instant::now());
    assert_eq!(watching.told(&mut state), names(&["host/a", name]));
    let left = wire::Status { code: 1, ..Default::default() };
    state.hear_health(id, Some(&left), Instant::now());
    assert_eq!(watching.told(&mut state), names(&["host/a", &format!("-{name}")]));
}

#[test]
fn a_registration_of_another_identity_stands() {
    let mut state = state();
    register(&mut state, "one", "a").unwrap();
    assert!(register(&mut state, "one", "a").is_ok(), "the same again");
    let other = register(&mut state, "one", "b").unwrap_err();
    assert!(other.contains("is registered by spiffe://cluster.local/ns/one/sa/a"), "{other}");
}

#[test]
fn a_workload_is_withdrawn_when_documents_do_not_let_it_stand_any_more() {
    let mut state = state();
    let group = |account: &str| {
        resource(
            "group/one/vm",
            &json!({"workload_group": {
                "origin": {"kind": "WorkloadGroup", "namespace": "one", "name": "vm"}, "name": "vm",
                "namespace": "one", "labels": {"app": "a"}, "service_account": account,
            }}),
        )
    };
    state.update(2, vec![group("robot")], Vec::new(), Instant::now()).unwrap();
    let mut watching = Client::join(&mut state, "one", &keys(&["host/a"]));
    watching.told(&mut state);
    let identity = Identity::new("cluster.local", "one", "robot").unwrap();
    let facts = Facts { group: Some("vm".into()), ..facts("one", "a-vm", Some("a")) };
    let registration = state.registration(&facts, &identity).unwrap().unwrap();
    state.enter(99, registration, Instant::now()).unwrap();
    let name = "workload/one/a-vm@10.9.9.9";
    assert_eq!(watching.told(&mut state), names(&["host/a", name]));
    state.update(3, vec![group("other")], Vec::new(), Instant::now()).unwrap();
    assert_eq!(watching.told(&mut state), names(&["host/a", &format!("-{name}")]));
    state.update(4, vec![group("robot")], Vec::new(), Instant::now()).unwrap();
    assert_eq!(watching.told(&mut state), names(&["host/a", name]));
}
