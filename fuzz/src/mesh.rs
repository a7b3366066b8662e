//! The mesh model as it crosses the border: JSON to resources to a snapshot.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::LazyLock;

use meshcore_model::{Authorization, AuthorizationAction, AuthorizationRule, Mesh, Node};
use meshcore_policy::{
    Peer, Request, authorize_http, authorize_tcp, explain_http, explain_route, redirect_location,
    rewrite_path, select_route,
};
use meshcore_snapshot::{Lookup, RuleAction, Snapshot};
use serde_json::json;

/// What is accepted is written the same, compiles the same each time, and answers for all of its
/// hosts and ports; what is refused names the document and the field. A rule that denies
/// everything denies everything.
pub(crate) fn run(data: &[u8]) {
    let Ok(mesh) = serde_json::from_slice::<Mesh>(data) else { return };
    let written = serde_json::to_vec(&mesh).expect("a model can be written");
    let again = serde_json::from_slice::<Mesh>(&written).expect("what was written can be read");
    assert_eq!(again, mesh);
    for node in &*NODES {
        match Snapshot::compile(&mesh, node, &[], None) {
            Ok(snapshot) => {
                answers(&snapshot);
                let after = Snapshot::compile(&mesh, node, &[], Some(&snapshot));
                let after = after.expect("what is in force can be put in force again");
                assert_eq!(after.clusters().count(), snapshot.clusters().count());
                let _resolved = snapshot.with_resolved("origin.test", &[HERE]);
                denies(mesh.clone(), node);
            }
            Err(rejected) => {
                assert!(!rejected.field.is_empty() && !rejected.reason.is_empty());
                let again = Snapshot::compile(&mesh, node, &[], None);
                assert_eq!(again.err(), Some(rejected), "refused for another reason");
            }
        }
    }
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A caller, and a workload of a service.
static NODES: LazyLock<[Node; 2]> = LazyLock::new(|| {
    ["web", "reviews"].map(|name| {
        let node = json!({
            "name": name, "namespace": "default", "labels": {"app": name, "version": "v1"},
            "identity": format!("spiffe://cluster.local/ns/default/sa/{name}"),
            "address": HERE, "ports": [{"number": 9080, "application": "127.0.0.1:9080"}],
            "listen": {},
        });
        serde_json::from_value(node).expect("a node")
    })
});

/// A request that says the same in every respect.
struct Asked<'a>(&'a [u8]);

impl Request for Asked<'_> {
    fn method(&self) -> &[u8] {
        b"GET"
    }

    fn path(&self) -> &[u8] {
        b"/a/b"
    }

    fn query(&self) -> Option<&[u8]> {
        Some(b"user=a")
    }

    fn authority(&self) -> &[u8] {
        self.0
    }

    fn scheme(&self) -> &[u8] {
        b"http"
    }

    fn for_each_value<'a>(&'a self, _name: &str, mut each: impl FnMut(&'a [u8])) {
        each(b"a");
        each(b"\xff");
    }
}

fn peer(node: &Node) -> Peer<'_> {
    let destination = SocketAddr::new(HERE, 9080);
    let identity = Some(&node.identity);
    Peer { identity, address: HERE, remote: HERE, destination, sni: Some("a") }
}

fn answers(snapshot: &Snapshot) {
    for host in snapshot.outbound.hosts() {
        for port in &*host.ports {
            let authority = format!("{}:{}", host.host, port.number);
            let asked = Asked(authority.as_bytes());
            let found = snapshot.outbound.http(asked.0, None);
            let Lookup::Found { vhost, port } = found else { continue };
            let matched = select_route(vhost, port, &asked);
            let (explained, _steps) = explain_route(vhost, port, &asked);
            let name =
                |rule: Option<&meshcore_snapshot::Rule>| rule.map(|rule| rule.origin.clone());
            let matched_rule = matched.as_ref().map(|matched| matched.rule);
            assert_eq!(name(matched_rule), name(explained.as_ref().map(|matched| matched.rule)));
            let Some(matched) = matched else { continue };
            if let Some(rewrite) = &matched.rule.rewrite {
                let path = rewrite_path(rewrite, matched.form, asked.path());
                assert!(path.is_none_or(|path| path.first() == Some(&b'/')));
            }
            if let RuleAction::Redirect(redirect) = &matched.rule.action {
                let location = redirect_location(redirect, matched.form, &asked);
                assert!(location.windows(3).any(|three| three == b"://"));
            }
        }
    }
    for port in snapshot.inbound.ports() {
        let (peer, asked) = (peer(&snapshot.node), Asked(b"a"));
        let verdict = authorize_http(&port.authorization, &asked, &peer);
        let (explained, _steps) = explain_http(&port.authorization, &asked, &peer);
        assert_eq!(verdict.allowed, explained.allowed, "explained otherwise than decided");
        let _decided = authorize_tcp(&port.authorization, &peer);
    }
}

fn denies(mut mesh: Mesh, node: &Node) {
    let origin = json!({"kind": "AuthorizationPolicy", "namespace": mesh.settings.root_namespace,
        "name": "deny-all", "file": "deny.yaml", "line": 1});
    mesh.authorizations.push(Authorization {
        origin: serde_json::from_value(origin).expect("an origin"),
        selector: meshcore_model::Selector::default(),
        action: AuthorizationAction::Deny,
        dry_run: false,
        rules: vec![AuthorizationRule::default()],
    });
    let snapshot = Snapshot::compile(&mesh, node, &[], None).expect("compiled without it");
    for port in snapshot.inbound.ports() {
        let (peer, asked) = (peer(&snapshot.node), Asked(b"a"));
        assert!(!authorize_http(&port.authorization, &asked, &peer).allowed);
        assert!(!authorize_tcp(&port.authorization, &peer).allowed);
    }
}
