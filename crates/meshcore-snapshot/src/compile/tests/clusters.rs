use meshcore_model::LoadBalancer;

use super::*;
use crate::{Resolution, Transport, UpstreamProtocol};

const REVIEWS: &str = "reviews.prod.svc.cluster.local";
const WHOLE: &str = "outbound|9080||reviews.prod.svc.cluster.local";
const V1: &str = "outbound|9080|v1|reviews.prod.svc.cluster.local";

fn reviews(parts: Value) -> Snapshot {
    let base = json!({
        "services": [service("prod", "reviews")],
        "workloads": [
            workload("prod", "reviews", "v1", "10.0.1.1"),
            workload("prod", "reviews", "v2", "10.0.1.2"),
            workload("test", "reviews", "v1", "10.0.2.1"),
            workload("prod", "ratings", "v1", "10.0.3.1"),
        ],
    });
    compiled(with(base, parts))
}

#[test]
fn a_service_selects_workloads_and_a_subset_some_of_them() {
    let subsets = json!({"subsets": [
        {"name": "v1", "labels": {"version": "v1"}}, {"name": "all"}, {"name": "v3", "labels": {"version": "v3"}},
    ]});
    let snapshot = reviews(json!({"traffic_policies": [policy("prod", REVIEWS, subsets)]}));
    let of = |name: &str| dialled(cluster(&snapshot, name));
    assert_eq!(of(WHOLE), ["10.0.1.1:9080", "10.0.1.2:9080"]);
    assert_eq!(of(V1), ["10.0.1.1:9080"]);
    assert_eq!(of("outbound|9080|all|reviews.prod.svc.cluster.local").len(), 2);
    assert!(of("outbound|9080|v3|reviews.prod.svc.cluster.local").is_empty());
    let v1 = cluster(&snapshot, V1);
    assert_eq!((&*v1.subset, v1.port, v1.protocol), ("v1", 9080, UpstreamProtocol::Http1));
    assert_eq!(v1.policy_origin.as_ref().unwrap().kind, "DestinationRule");
}

#[test]
fn target_ports() {
    let port =
        |fields: Value| with(json!({"number": 80, "name": "http", "protocol": "http"}), fields);
    let named = json!({"http": 8081});
    for (name, port, ports, expected) in [
        ("the same", port(json!({})), json!({}), Some("10.0.1.1:80")),
        ("a number", port(json!({"target_port": 8080})), json!({}), Some("10.0.1.1:8080")),
        (
            "the workload's own",
            port(json!({"target_port": 8080})),
            named.clone(),
            Some("10.0.1.1:8081"),
        ),
        ("a name", port(json!({"target_port_name": "http"})), named.clone(), Some("10.0.1.1:8081")),
        ("a name it lacks", port(json!({"target_port_name": "web", "name": "x"})), named, None),
    ] {
        let snapshot = compiled(json!({
            "services": [with(service("prod", "reviews"), json!({"ports": [port]}))],
            "workloads": [with(workload("prod", "reviews", "v1", "10.0.1.1"), json!({"ports": ports}))],
        }));
        let found = dialled(cluster(&snapshot, "outbound|80||reviews.prod.svc.cluster.local"));
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{name}");
    }
}

fn balancer(name: &str) -> Value {
    json!({"policy": {"load_balancer": name}})
}

/// How `reviews` in `test` is balanced for the node in `prod`.
fn balanced(policies: Vec<Value>) -> LoadBalancer {
    let snapshot = compiled(json!({
        "services": [service("test", "reviews")], "traffic_policies": policies,
    }));
    cluster(&snapshot, "outbound|9080||reviews.test.svc.cluster.local").load_balancer
}

#[test]
fn the_first_namespace_with_a_policy_decides() {
    use LoadBalancer::{LeastRequest, Random, RoundRobin};
    let host = "reviews.test.svc.cluster.local";
    let at = |time: &str, name: &str| with(balancer(name), json!({"created": time}));
    let private = |name: &str| with(balancer(name), json!({"export_to": ["own"]}));
    let selector =
        |app: &str, name: &str| with(balancer(name), json!({"workload_selector": {"app": app}}));
    for (name, policies, expected) in [
        ("none", vec![], LeastRequest),
        (
            "client before service",
            vec![
                policy("test", host, balancer("random")),
                policy("prod", host, balancer("round_robin")),
            ],
            RoundRobin,
        ),
        (
            "service before root",
            vec![
                policy("istio-system", host, balancer("random")),
                policy("test", host, balancer("round_robin")),
            ],
            RoundRobin,
        ),
        ("root", vec![policy("istio-system", host, balancer("random"))], Random),
        (
            "a wildcard of the client before the service's own",
            vec![
                policy("test", host, balancer("random")),
                policy("prod", "*.cluster.local", balancer("round_robin")),
            ],
            RoundRobin,
        ),
        (
            "most specific",
            vec![
                policy("prod", "*", balancer("random")),
                policy("prod", "*.test.svc.cluster.local", balancer("round_robin")),
            ],
            RoundRobin,
        ),
        ("a third namespace", vec![policy("shop", host, balancer("random"))], LeastRequest),
        ("not exported", vec![policy("test", host, private("random"))], LeastRequest),
        ("the client's own need not be", vec![policy("prod", host, private("random"))], Random),
        (
            "the oldest",
            vec![
                policy("prod", host, at("2024-02-01T00:00:00Z", "random")),
                policy("prod", host, at("2024-01-01T00:00:00Z", "round_robin")),
            ],
            RoundRobin,
        ),
        (
            "for this workload",
            vec![
                policy("prod", host, balancer("random")),
                policy("prod", host, selector("web", "round_robin")),
            ],
            RoundRobin,
        ),
        (
            "for another workload",
            vec![
                policy("prod", host, balancer("random")),
                policy("prod", host, selector("other", "round_robin")),
            ],
            Random,
        ),
        (
            "selectors are of the client's namespace",
            vec![policy("test", host, selector("web", "random"))],
            LeastRequest,
        ),
    ] {
        assert_eq!(balanced(policies), expected, "{name}");
    }
}

#[test]
fn documents_of_a_host_are_merged_in_a_namespace() {
    let first = json!({
        "created": "2024-01-01T00:00:00Z",
        "subsets": [{"name": "v1", "labels": {"version": "v1"}}],
    });
    let second = json!({
        "created": "2024-01-02T00:00:00Z", "policy": {"load_balancer": "random"},
        "subsets": [{"name": "v1", "labels": {"version": "v2"}}, {"name": "v2", "labels": {"version": "v2"}}],
    });
    let snapshot = reviews(json!({"traffic_policies": [
        policy("prod", REVIEWS, second), policy("prod", REVIEWS, first),
    ]}));
    assert_eq!(dialled(cluster(&snapshot, V1)), ["10.0.1.1:9080"], "the first of a name");
    let v2 = cluster(&snapshot, "outbound|9080|v2|reviews.prod.svc.cluster.local");
    assert_eq!(v2.load_balancer, LoadBalancer::Random, "the first with a policy");
}

#[test]
fn ports_replace_and_subsets_override_a_block_at_a_time() {
    use LoadBalancer::{LeastRequest, Random, RoundRobin};
    let pool = |requests: u32| json!({"max_requests": requests});
    let of = |policy: Value, subset: Value, name: &str| {
        let fields = json!({
            "policy": policy,
            "subsets": [{"name": "v1", "labels": {"version": "v1"}, "policy": subset}],
        });
        let snapshot =
            reviews(json!({"traffic_policies": [super::policy("prod", REVIEWS, fields)]}));
        let cluster = cluster(&snapshot, name);
        (cluster.load_balancer, cluster.limits.max_requests)
    };
    let whole = || json!({"load_balancer": "random", "connection_pool": pool(7)});
    let port = |policy: Value| with(whole(), json!({"ports": [[9080, policy]]}));
    let none = || json!({});
    for (name, policy, subset, cluster, expected) in [
        ("whole", whole(), none(), WHOLE, (Random, 7)),
        (
            "a port does not inherit",
            port(json!({"load_balancer": "round_robin"})),
            none(),
            WHOLE,
            (RoundRobin, u32::MAX),
        ),
        (
            "another port",
            with(whole(), json!({"ports": [[80, none()]]})),
            none(),
            WHOLE,
            (Random, 7),
        ),
        ("a subset inherits", whole(), none(), V1, (Random, 7)),
        (
            "a subset overrides a block",
            whole(),
            json!({"connection_pool": pool(3)}),
            V1,
            (Random, 3),
        ),
        (
            "a subset is over the port",
            port(json!({"load_balancer": "round_robin"})),
            json!({"connection_pool": pool(3)}),
            V1,
            (RoundRobin, 3),
        ),
        (
            "a subset's port does not inherit",
            whole(),
            json!({"ports": [[9080, {"connection_pool": pool(3)}]]}),
            V1,
            (LeastRequest, 3),
        ),
    ] {
        assert_eq!(of(policy, subset, cluster), expected, "{name}");
    }
}

#[test]
fn limits_have_istios_defaults() {
    let snapshot = reviews(json!({"settings": {"connect_timeout_ms": 1_234}}));
    let limits = &cluster(&snapshot, WHOLE).limits;
    assert_eq!(limits.connect_timeout_ms, 1_234);
    assert_eq!((limits.tcp_idle_timeout_ms, limits.http_idle_timeout_ms), (3_600_000, 3_600_000));
    assert_eq!((limits.max_connections, limits.max_retries), (u32::MAX, u32::MAX));
    assert!(!limits.h2_upgrade);
}

#[test]
fn upstream_protocols() {
    use UpstreamProtocol::{AsClient, Http1, Http2, Tcp};
    let upgrade = json!({"h2_upgrade": "always"});
    let client = json!({"use_client_protocol": true});
    for (declared, pool, expected) in [
        ("http", json!({}), Http1),
        ("http", upgrade.clone(), Http2),
        ("http", client.clone(), AsClient),
        ("http2", json!({}), Http2),
        ("grpc", client, Http2),
        ("detect", json!({}), AsClient),
        ("detect", upgrade, Http2),
        ("tcp", json!({}), Tcp),
        ("tls", json!({}), Tcp),
    ] {
        let ports = json!([{"number": 9080, "name": "p", "protocol": declared}]);
        let fields = json!({"policy": {"connection_pool": pool}});
        let snapshot = compiled(json!({
            "services": [with(service("prod", "reviews"), json!({"ports": ports}))],
            "traffic_policies": [policy("prod", REVIEWS, fields)],
        }));
        assert_eq!(cluster(&snapshot, WHOLE).protocol, expected, "{declared} {pool}");
    }
}

/// The transport to the one endpoint of `reviews`, and the address that is dialled.
fn transport(parts: Value, service_fields: Value, workload_fields: Value) -> (Transport, String) {
    let base = json!({
        "services": [with(service("prod", "reviews"), service_fields)],
        "workloads": [with(workload("prod", "reviews", "v1", "10.0.1.1"), workload_fields)],
    });
    let snapshot = compiled(with(base, parts));
    let endpoint = only(cluster(&snapshot, WHOLE));
    (endpoint.transport.clone(), endpoint.dial.to_string())
}

fn tls(tls: Value) -> Value {
    json!({"traffic_policies": [policy("prod", REVIEWS, json!({"policy": {"tls": tls}}))]})
}

#[test]
fn mutual_tls_is_automatic_where_both_sides_can() {
    let auth = |mode: &str| {
        json!({"peer_auths": [{
            "origin": origin("PeerAuthentication", "prod", "default"), "mode": mode,
        }]})
    };
    let by_port = json!({"peer_auths": [{
        "origin": origin("PeerAuthentication", "prod", "reviews"), "selector": {"app": "reviews"},
        "ports": {"9080": "disable"},
    }]});
    let mutual = || tls(json!({"istio_mutual": {}}));
    let none = || json!({});
    let no_sidecar = || json!({"mtls": false});
    for (name, parts, service, workload, expected) in [
        ("both can", none(), none(), none(), true),
        ("strict", auth("strict"), none(), none(), true),
        ("the server does not take it", auth("disable"), none(), none(), false),
        ("its port does not", by_port, none(), none(), false),
        ("it has no sidecar", none(), none(), no_sidecar(), false),
        ("off in the mesh", json!({"settings": {"auto_mtls": false}}), none(), none(), false),
        ("outside of the mesh", none(), json!({"location": "external"}), none(), false),
        ("a tls block: off", tls(json!("disable")), none(), none(), false),
        ("a tls block: forced", mutual(), none(), no_sidecar(), true),
        ("forced outside", mutual(), json!({"location": "external"}), no_sidecar(), true),
    ] {
        let (transport, _) = transport(parts, service, workload);
        assert_eq!(matches!(transport, Transport::Mtls { .. }), expected, "{name}: {transport:?}");
    }
}

fn expected(transport: &Transport) -> Vec<&str> {
    match transport {
        Transport::Mtls { expected, .. } | Transport::Hbone { expected, .. } => {
            expected.iter().map(meshcore_model::Identity::as_str).collect()
        }
        Transport::Plain | Transport::Originate { .. } => panic!("not mutual"),
    }
}

#[test]
fn the_server_has_its_own_identity_or_one_that_is_named() {
    let none = || json!({});
    let own = "spiffe://cluster.local/ns/prod/sa/reviews";
    let other = "spiffe://cluster.local/ns/prod/sa/other";
    let (found, dial) = transport(none(), none(), none());
    assert_eq!((expected(&found), dial.as_str()), (vec![own], "10.0.1.1:9080"));
    let Transport::Mtls { sni, .. } = &found else { panic!("mutual") };
    assert_eq!(&**sni, "outbound_.9080_._.reviews.prod.svc.cluster.local");

    let aliases = json!({"settings": {"trust_domain_aliases": ["old.example"]}});
    let (found, _) = transport(aliases, none(), none());
    assert_eq!(expected(&found), [own, "spiffe://old.example/ns/prod/sa/reviews"]);

    let (found, _) = transport(none(), json!({"subject_alt_names": [other]}), none());
    assert_eq!(expected(&found), [other]);

    let named = tls(json!({"istio_mutual": {"subject_alt_names": [other], "sni": "a.example"}}));
    let (found, _) = transport(named, none(), none());
    assert_eq!(expected(&found), [other]);
    let Transport::Mtls { sni, .. } = &found else { panic!("mutual") };
    assert_eq!(&**sni, "a.example");
}

#[test]
fn the_sni_names_the_subset() {
    let subsets = json!({"subsets": [{"name": "v1", "labels": {"version": "v1"}}]});
    let snapshot = reviews(json!({"traffic_policies": [policy("prod", REVIEWS, subsets)]}));
    let Transport::Mtls { sni, .. } = &only(cluster(&snapshot, V1)).transport else {
        panic!("mutual")
    };
    assert_eq!(&**sni, "outbound_.9080_.v1_.reviews.prod.svc.cluster.local");
}

#[test]
fn the_sidecars_own_port_is_dialled() {
    let none = || json!({});
    let ports =
        |protocol: &str| json!({"ports": [{"number": 9080, "name": "p", "protocol": protocol}]});
    let sidecar = || json!({"inbound_port": 15_006, "hbone_port": 15_008});
    let (found, dial) = transport(none(), none(), sidecar());
    assert!(matches!(found, Transport::Mtls { .. }));
    assert_eq!(dial, "10.0.1.1:15006");
    let (found, dial) = transport(none(), ports("tcp"), sidecar());
    let Transport::Hbone { authority, .. } = &found else { panic!("{found:?}") };
    assert_eq!((&**authority, dial.as_str()), ("10.0.1.1:9080", "10.0.1.1:15008"));
    assert_eq!(expected(&found), ["spiffe://cluster.local/ns/prod/sa/reviews"]);
    let (_, dial) = transport(none(), ports("tcp"), json!({"inbound_port": 15_006}));
    assert_eq!(dial, "10.0.1.1:15006", "without tunnels, mutual TLS");
    let (found, dial) = transport(tls(json!("disable")), none(), sidecar());
    assert_eq!((found, dial.as_str()), (Transport::Plain, "10.0.1.1:9080"));
}

#[test]
fn tls_to_a_server_outside() {
    let host = "api.example.com";
    let simple = json!({"policy": {"tls": {"originate": {}}}});
    let names = json!({"subject_alt_names": ["alt.example.com"]});
    let snapshot = compiled(json!({
        "services": [with(entry(host, "none"), names)],
        "traffic_policies": [policy("prod", host, simple)],
    }));
    let cluster = cluster(&snapshot, "outbound|80||api.example.com");
    assert_eq!(cluster.resolution, Resolution::OriginalDst);
    let Transport::Originate { tls, host: default } = &cluster.transport else {
        panic!("{:?}", cluster.transport)
    };
    assert_eq!((&**default, &*tls.subject_alt_names), (host, &["alt.example.com".to_owned()][..]));
}

#[test]
fn names_become_endpoints_when_they_are_resolved() {
    let addresses = |all: &[&str]| all.iter().map(|one| one.parse().unwrap()).collect::<Vec<_>>();
    for (resolution, expected) in [("dns", 2), ("dns_round_robin", 1)] {
        let parts = json!({"services": [entry("api.example.com", resolution)]});
        let name = "outbound|80||api.example.com";
        let before = compiled(parts.clone());
        assert!(cluster(&before, name).endpoints.is_empty());
        assert!(before.with_resolved("other.example.com", &addresses(&["1.1.1.1"])).is_none());
        let found = addresses(&["1.1.1.1", "2.2.2.2"]);
        let after = before.with_resolved("api.example.com", &found).unwrap();
        assert_eq!(cluster(&after, name).endpoints.len(), expected, "{resolution}");
        assert_eq!(dialled(cluster(&after, name))[0], "1.1.1.1:80");
        assert!(after.with_resolved("api.example.com", &found).is_none(), "nothing changes");

        let first = cluster(&after, name).endpoints[0].id;
        let next = Snapshot::compile(&mesh(parts), &node(), &[], Some(&after)).unwrap();
        assert_eq!(cluster(&next, name).endpoints[0].id, first, "a new revision keeps the answer");
        let moved = after.with_resolved("api.example.com", &addresses(&["3.3.3.3"])).unwrap();
        assert_ne!(cluster(&moved, name).endpoints[0].id, first);
    }
}

#[test]
fn names_among_listed_endpoints_are_resolved() {
    let endpoint = |name: &str, address: &str| {
        with(
            workload("prod", "api", name, address),
            json!({"mtls": false, "ports": {"http": 8080}}),
        )
    };
    let listed = json!({"endpoints": [endpoint("a", "A.example.com"), endpoint("b", "10.0.0.9"), endpoint("c", "unix:///run/api")]});
    let snapshot =
        compiled(json!({"services": [with(entry("api.example.com", "static"), listed)]}));
    let cluster = cluster(&snapshot, "outbound|80||api.example.com");
    assert_eq!(dialled(cluster), ["10.0.0.9:8080"]);
    let Resolution::Dns { targets, .. } = &cluster.resolution else { panic!("names") };
    assert_eq!(&*targets[0].host, "a.example.com");
    let alone = json!({"endpoints": [endpoint("c", "unix:///run/api")]});
    let snapshot = compiled(json!({"services": [with(entry("api.example.com", "static"), alone)]}));
    assert_eq!(
        dialled(super::cluster(&snapshot, "outbound|80||api.example.com")),
        ["unix:///run/api"]
    );
}

#[test]
fn what_stays_the_same_keeps_its_id_and_its_memory() {
    let parts = |weight: u32, mode: &str| {
        json!({
            "services": [service("prod", "reviews"), service("prod", "ratings")],
            "workloads": [
                with(workload("prod", "reviews", "v1", "10.0.1.1"), json!({"weight": weight})),
                workload("prod", "reviews", "v2", "10.0.1.2"),
                workload("prod", "ratings", "v1", "10.0.3.1"),
            ],
            "peer_auths": [{
                "origin": origin("PeerAuthentication", "prod", "p"), "selector": {"version": "v2"}, "mode": mode,
            }],
        })
    };
    let first = compiled(parts(1, "strict"));
    let next = |parts: Value| Snapshot::compile(&mesh(parts), &node(), &[], Some(&first)).unwrap();
    let ids = |snapshot: &Snapshot| -> Vec<_> {
        cluster(snapshot, WHOLE).endpoints.iter().map(|one| one.id).collect()
    };
    let reweighted = next(parts(5, "strict"));
    assert_eq!(ids(&first), ids(&reweighted));
    let ratings = |snapshot: &Snapshot| {
        let name = "outbound|9080||ratings.prod.svc.cluster.local";
        std::sync::Arc::clone(snapshot.clusters().find(|one| &*one.name == name).unwrap())
    };
    assert!(std::sync::Arc::ptr_eq(&ratings(&first), &ratings(&reweighted)));
    assert_eq!(cluster(&first, WHOLE).id, cluster(&reweighted, WHOLE).id);

    let plain = next(parts(1, "disable"));
    assert_eq!(ids(&first)[0], ids(&plain)[0]);
    assert_ne!(ids(&first)[1], ids(&plain)[1], "another transport is another endpoint");
    assert!(!ids(&first).contains(&ids(&plain)[1]), "an id is never given twice");
}

#[test]
fn a_cluster_that_is_gone_has_no_endpoints() {
    let first = reviews(json!({}));
    let id = cluster(&first, WHOLE).id;
    let later = Snapshot::compile(&mesh(json!({})), &node(), &[], Some(&first)).unwrap();
    assert!(later.cluster(id).endpoints.is_empty());
    assert_eq!(later.clusters().count(), 0);
}
