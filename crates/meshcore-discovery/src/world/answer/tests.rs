//! What is answered is enough: a snapshot of it routes as one of the whole mesh does.

use std::net::SocketAddr;
use std::sync::Arc;

use meshcore_model::{Mesh, Node};
use meshcore_snapshot::{Cluster, ClusterId, Lookup, RouteTable, RuleAction, Snapshot};
use meshcore_snapshot::{TcpDestination, WeightedDestination};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::world::{Stored, Touched};

const HOSTS: [&str; 9] = [
    "a.one.svc.cluster.local",
    "b.one.svc.cluster.local",
    "a.two.svc.cluster.local",
    "c.two.svc.cluster.local",
    "*.one.svc.cluster.local",
    "api.test",
    "*.test",
    "a",
    "*",
];
const NAMESPACES: [&str; 3] = ["one", "two", "istio-system"];
const APPS: [&str; 3] = ["a", "b", "c"];
/// What a client may call. Some of it nobody has.
const CALLED: [&str; 15] = [
    "a",
    "b",
    "c",
    "a.one",
    "a.two",
    "c.two.svc",
    "a.one.svc.cluster.local",
    "b.one.svc.cluster.local",
    "c.two.svc.cluster.local",
    "w.one.svc.cluster.local",
    "api.test",
    "x.y.test",
    "10.0.0.1",
    "10.9.0.1",
    "nowhere.example",
];

fn origin(kind: &str, namespace: &str, name: &str) -> Value {
    json!({"kind": kind, "namespace": namespace, "name": name})
}

fn exported(choice: u8) -> Value {
    match choice {
        0 => json!(["own"]),
        1 => json!([{"namespace": "one"}]),
        2 => json!(["nobody"]),
        _ => json!([]),
    }
}

type Choice = (u8, u8, u8, u8, u8);

fn service(number: usize, (host, namespace, export, kind, addresses): Choice) -> Value {
    let host = HOSTS[usize::from(host) % (HOSTS.len() - 1)];
    let namespace = NAMESPACES[usize::from(namespace) % 2];
    let workload = json!({
        "origin": origin("ServiceEntry", namespace, "e"), "name": "e", "namespace": namespace,
        "address": "10.9.0.9", "service_account": "e", "mtls": true, "labels": {"version": "v1"},
    });
    let (selector, endpoints, resolution) = match kind % 4 {
        0 => (Value::Null, json!([workload]), "static"),
        1 => (Value::Null, json!([]), if host.starts_with('*') { "none" } else { "dns" }),
        2 => (json!({}), json!([]), "static"),
        _ => (json!({"app": APPS[usize::from(kind / 4) % 3]}), json!([]), "static"),
    };
    let addresses = match addresses % 6 {
        0 => json!(["10.0.0.1"]),
        1 => json!(["10.0.0.2", "10.0.0.1"]),
        2 => json!(["10.0.0.0/29"]),
        _ => json!([]),
    };
    let mut ports = vec![json!({"number": 80, "name": "http", "protocol": "http"})];
    if kind % 3 == 0 {
        ports.push(json!({"number": 90, "name": "tcp", "protocol": "tcp"}));
    }
    json!({"service": {
        "origin": origin("Service", namespace, &format!("s{number}")), "host": host,
        "name": host.split('.').next().unwrap(), "namespace": namespace, "ports": ports,
        "addresses": addresses, "location": "internal", "resolution": resolution,
        "export_to": exported(export), "selector": selector, "endpoints": endpoints,
    }})
}

fn workload(number: usize, (app, namespace, version, _, _): Choice) -> Value {
    let namespace = NAMESPACES[usize::from(namespace) % 2];
    json!({"workload": {
        "origin": origin("Pod", namespace, &format!("w{number}")), "name": format!("w{number}"),
        "namespace": namespace, "address": format!("10.9.0.{}", number + 1),
        "service_account": "sa", "mtls": true,
        "labels": {"app": APPS[usize::from(app) % 3], "version": format!("v{}", version % 2)},
    }})
}

fn route(number: usize, (host, namespace, export, to, kind): Choice) -> Value {
    let pick = |choice: u8| HOSTS[usize::from(choice) % HOSTS.len()];
    let namespace = NAMESPACES[usize::from(namespace) % 2];
    let destination = json!({"host": pick(to), "weight": 1});
    let retries = json!({"attempts": 0, "on": []});
    let mut http = vec![json!({
        "name": "r", "retries": retries, "action": {"forward": [destination]},
        "matches": if kind % 2 == 0 { json!([{"path": {"prefix": "/x"}}]) } else { json!([]) },
        "mirrors": if kind % 5 == 0 {
            json!([{"destination": {"host": pick(kind), "weight": 1}, "share_ppm": 1}])
        } else {
            json!([])
        },
    })];
    if kind % 7 == 0 {
        http = vec![];
    }
    let tcp = if kind % 3 == 0 { json!([{"destinations": [destination]}]) } else { json!([]) };
    let gateway = if kind % 11 == 0 { "one/edge" } else { "mesh" };
    json!({"route": {
        "origin": origin("VirtualService", namespace, &format!("r{number}")),
        "hosts": [pick(host), pick(host.wrapping_add(kind))], "gateways": [gateway],
        "export_to": exported(export), "http": http, "tcp": tcp,
    }})
}

fn policy(number: usize, (host, namespace, export, selector, kind): Choice) -> Value {
    let selector = match selector % 4 {
        0 => json!({"app": "a"}),
        1 => json!({"app": "b"}),
        _ => Value::Null,
    };
    let namespace = NAMESPACES[usize::from(namespace) % 3];
    let balancer = ["round_robin", "random"][usize::from(kind % 2)];
    json!({"traffic_policy": {
        "origin": origin("DestinationRule", namespace, &format!("p{number}")),
        "host": HOSTS[usize::from(host) % HOSTS.len()], "export_to": exported(export),
        "workload_selector": selector, "policy": {"load_balancer": balancer},
        "subsets": [{"name": "v1", "labels": {"version": "v1"}}],
    }})
}

fn auth(number: usize, (namespace, selector, mode, _, _): Choice) -> Value {
    let namespace = NAMESPACES[usize::from(namespace) % 3];
    let selector = if selector % 2 == 0 { json!({}) } else { json!({"app": "a"}) };
    let mode = ["disable", "strict"][usize::from(mode % 2)];
    json!({"peer_auth": {
        "origin": origin("PeerAuthentication", namespace, &format!("pa{number}")),
        "selector": selector, "mode": mode,
    }})
}

type Maker = fn(usize, Choice) -> Value;

/// Resources of all kinds, by name.
fn resources() -> impl Strategy<Value = Vec<(Name, Stored)>> {
    let many = |kind: &'static str, make: Maker, most: usize| {
        prop::collection::vec(any::<Choice>(), 0..most).prop_map(move |choices| {
            let one = |(number, choice)| {
                let json = make(number, choice).to_string();
                let stored = Stored::read(json.as_bytes()).unwrap();
                (Name::from(format!("{kind}/{number:02}")), stored)
            };
            choices.into_iter().enumerate().map(one).collect::<Vec<_>>()
        })
    };
    let all = (
        many("service", service, 8),
        many("workload", workload, 8),
        many("route", route, 6),
        many("policy", policy, 6),
        many("auth", auth, 5),
    );
    all.prop_map(|(a, b, c, d, e)| [a, b, c, d, e].concat())
}

fn assembled<'a>(resources: impl Iterator<Item = &'a Resource>) -> Mesh {
    let mut mesh = Mesh { revision: 1, ..Mesh::default() };
    for resource in resources {
        match resource.clone() {
            Resource::Settings(settings) => mesh.settings = *settings,
            Resource::Service(service) => mesh.services.push(*service),
            Resource::Workload(workload) => mesh.workloads.push(*workload),
            Resource::Route(route) => mesh.routes.push(*route),
            Resource::TrafficPolicy(policy) => mesh.traffic_policies.push(*policy),
            Resource::PeerAuth(auth) => mesh.peer_auths.push(*auth),
            Resource::Authorization(policy) => mesh.authorizations.push(*policy),
            Resource::Gateway(gateway) => mesh.gateways.push(*gateway),
            Resource::Credential(credential) => mesh.credentials.push(*credential),
            Resource::WorkloadGroup(_) | Resource::Trust(_) | Resource::Found(_) => {}
        }
    }
    mesh
}

fn node() -> Node {
    serde_json::from_value(json!({
        "name": "w0", "namespace": "one", "labels": {"app": "a", "version": "v0"},
        "identity": "spiffe://cluster.local/ns/one/sa/sa", "address": "10.9.0.1",
        "ports": [{"number": 80, "application": "127.0.0.1:80"}], "listen": {},
    }))
    .unwrap()
}

fn own() -> Arc<Own> {
    Arc::new(Own {
        workloads: vec!["workload/00".into()],
        labels: node().labels,
        addresses: vec![node().address],
        group: None,
    })
}

fn asked(key: Key) -> Asked {
    Asked { namespace: "one".into(), key }
}

fn described(snapshot: &Snapshot, called: &str) -> String {
    let mut text = String::new();
    for port in [80, 90, 99] {
        let authority = format!("{called}:{port}");
        text += &match snapshot.outbound.http(authority.as_bytes(), None) {
            Lookup::Found { vhost, port } | Lookup::UnknownPort { vhost, port } => {
                let table = vhost.routes(port);
                format!("{} {:?} {}\n", vhost.host, vhost.ports, table_of(snapshot, table, port))
            }
            unknown => format!("{unknown:?}\n"),
        };
        let mut destinations = vec![TcpDestination::Authority(authority.as_bytes())];
        if let Ok(address) = called.parse() {
            destinations.push(TcpDestination::Address(SocketAddr::new(address, port)));
        }
        for destination in destinations {
            let route = snapshot.outbound.tcp(destination);
            text += &route.map_or("no tcp\n".into(), |route| {
                let to = of_destinations(snapshot, route.destinations.all(), route.port);
                format!("tcp {} {} {to}\n", route.origin, route.service.host)
            });
        }
    }
    text
}

fn table_of(snapshot: &Snapshot, table: &RouteTable, port: u16) -> String {
    let mut text = format!("{:?}\n", table.entries());
    for rule in table.rules() {
        let mirrors = rule.mirrors.iter().map(|mirror| &mirror.destination);
        text += &format!("  {} {:?} {}", rule.origin, rule.timeout_ms, rule.index);
        text += &match &rule.action {
            RuleAction::Forward(to) => of_destinations(snapshot, to.all(), port),
            other => format!("{other:?}"),
        };
        text += &of_destinations(snapshot, mirrors, port);
    }
    text
}

fn of_destinations<'a>(
    snapshot: &Snapshot,
    all: impl IntoIterator<Item = &'a WeightedDestination>,
    port: u16,
) -> String {
    let one = |to: &WeightedDestination| {
        format!("\n    {} {} {}", to.host, to.weight, cluster(snapshot, to.cluster(port)))
    };
    all.into_iter().map(one).collect()
}

fn cluster(snapshot: &Snapshot, id: Option<ClusterId>) -> String {
    let Some(id) = id else { return "missing".into() };
    let one: &Cluster = snapshot.cluster(id);
    let endpoints: Vec<_> = one.endpoints.iter().collect();
    let shown = endpoints.iter().map(|one| {
        format!("\n      {:?} {:?} {:?} {:?}", one.address, one.weight, one.transport, one.labels)
    });
    format!(
        "{} {:?} {:?} {:?} {:?} {:?}{}",
        one.name,
        one.protocol,
        one.load_balancer,
        one.resolution,
        one.transport,
        one.policy_origin,
        shown.collect::<String>()
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_snapshot_of_the_answer_routes_as_one_of_the_whole_mesh(resources in resources()) {
        let mut world = World::default();
        world.apply(resources.clone(), []);
        let whole = assembled(resources.iter().map(|(_, stored)| &*stored.resource));
        let Ok(whole) = Snapshot::compile(&whole, &node(), &[], None) else { return Ok(()) };
        let own = answer(&world, &asked(Key::Own(own()))).names;
        for called in CALLED {
            let mut names = answer(&world, &asked(Key::Host(called.into()))).names;
            names.extend(own.clone());
            let part = names.iter().map(|name| &*world.get(name).unwrap().resource);
            let part = Snapshot::compile(&assembled(part), &node(), &[], None).unwrap();
            prop_assert_eq!(described(&part, called), described(&whole, called), "{}", called);
        }
    }

    #[test]
    fn what_a_change_does_not_touch_is_answered_as_before(
        before in resources(),
        after in resources(),
    ) {
        let mut world = World::default();
        world.apply(before.clone(), []);
        let questions = || {
            let hosts = CALLED.iter().map(|called| Key::Host((*called).into()));
            hosts.chain([Key::Own(own()), Key::Everything]).map(asked)
        };
        let answered: Vec<Answered> = questions().map(|asked| answer(&world, &asked)).collect();
        let gone = before.iter().map(|(name, _)| name).filter(|name| {
            after.iter().all(|(kept, _)| kept != *name)
        });
        let touched: Touched = world.apply(after.clone(), gone.cloned().collect::<Vec<_>>());
        for (asked, before) in questions().zip(answered) {
            let now = answer(&world, &asked);
            let is_concerned = before.looked.iter().any(|look| touched.looks.contains(look));
            let has_changed = now.names != before.names
                || now.names.iter().any(|name| touched.names.contains(name));
            prop_assert!(is_concerned || !has_changed, "{:?}", asked);
        }
    }
}

#[test]
fn what_is_exported_to_others_is_not_answered() {
    let mut world = World::default();
    let hidden = service(0, (2, 1, 0, 3, 5));
    let stored = Stored::read(hidden.to_string().as_bytes()).unwrap();
    world.apply([(Name::from("service/hidden"), stored)], []);
    let host = || Key::Host("a.two.svc.cluster.local".into());
    assert!(answer(&world, &asked(host())).names.is_empty());
    assert!(answer(&world, &asked(Key::Everything)).names.is_empty());
    let owner = Asked { namespace: "two".into(), key: host() };
    assert_eq!(answer(&world, &owner).names.len(), 1);
}

#[test]
fn keys_are_read() {
    let own = own();
    let read = |text: &str| Key::parse(text, &own, true);
    assert_eq!(read("host/A.One.").unwrap(), Key::Host("a.one".into()));
    let gateway = Key::Gateway { own: Arc::clone(&own), is_proved: true };
    assert_eq!(read("gateway").unwrap(), gateway);
    assert_eq!(read("address/::ffff:10.0.0.1").unwrap(), Key::Address([10, 0, 0, 1].into()));
    for text in ["", "host/", "host/a b", "address/a", "gateway/edge", "other/a", "Self", "self/"] {
        assert!(read(text).is_err(), "{text}");
    }
    assert!(read(&format!("host/{}", "a".repeat(300))).is_err());
}

fn gateway(name: &str, label: &str) -> (Name, Stored) {
    let gateway = json!({"gateway": {
        "origin": {"kind": "Gateway", "namespace": "two", "name": name},
        "selector": {"istio": label},
        "servers": [{
            "port": 443, "protocol": "http", "hosts": [{"host": "*"}],
            "tls": {"mode": "simple", "certificates": [{"credential": "edge"}]},
        }],
    }});
    let stored = Stored::read(gateway.to_string().as_bytes()).unwrap();
    (format!("listener/two/{name}").into(), stored)
}

fn credential(namespace: &str, name: &str) -> (Name, Stored) {
    let credential = json!({"credential": {
        "origin": {"kind": "Secret", "namespace": namespace, "name": name},
    }});
    let stored = Stored::read(credential.to_string().as_bytes()).unwrap();
    (format!("credential/{namespace}/{name}").into(), stored)
}

#[test]
fn gateways_get_what_selects_them_and_keys_for_a_proof_alone() {
    let mut world = World::default();
    let bound = json!({"route": {
        "origin": {"kind": "VirtualService", "namespace": "one", "name": "shop"},
        "hosts": ["shop.example"], "gateways": ["two/edge"],
    }});
    let bound = Stored::read(bound.to_string().as_bytes()).unwrap();
    world.apply([gateway("edge", "edge"), gateway("other", "other")], []);
    world.apply([credential("one", "edge"), credential("one", "unnamed")], []);
    world.apply([credential("two", "edge"), (Name::from("route/one/shop"), bound)], []);
    let labels = Labels::from([("istio".to_owned(), "edge".to_owned())]);
    let own = Arc::new(Own { labels, ..Own::default() });
    let names = |is_proved| {
        let key = Key::Gateway { own: Arc::clone(&own), is_proved };
        answer(&world, &asked(key)).names.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(names(true), ["credential/one/edge", "listener/two/edge", "route/one/shop"]);
    assert_eq!(names(false), ["listener/two/edge", "route/one/shop"]);
    let everything = answer(&world, &asked(Key::Everything)).names;
    assert!(everything.iter().all(|name| !name.starts_with("credential/")));
}
