//! A small mesh and messages, for tests.

use std::net::SocketAddr;

use meshcore_model::{Identity, Mesh, Node};
use meshcore_snapshot::{AuthorizationTable, InboundPort, Lookup, Snapshot, VirtualHost};
use serde_json::{Value, json};

use crate::request::{Peer, Request};

/// A request as a test writes it.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) authority: Vec<u8>,
    pub(crate) scheme: &'static str,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

impl Message {
    pub(crate) fn get(target: impl AsRef<[u8]>) -> Self {
        Self {
            method: b"GET".to_vec(),
            target: target.as_ref().to_vec(),
            authority: b"reviews".to_vec(),
            scheme: "http",
            headers: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn to(mut self, authority: impl AsRef<[u8]>) -> Self {
        self.authority = authority.as_ref().to_vec();
        self
    }

    pub(crate) fn by(mut self, method: impl AsRef<[u8]>) -> Self {
        self.method = method.as_ref().to_vec();
        self
    }

    fn split(&self) -> (&[u8], Option<&[u8]>) {
        let mut parts = self.target.splitn(2, |byte| *byte == b'?');
        (parts.next().unwrap_or_default(), parts.next())
    }
}

impl Request for Message {
    fn method(&self) -> &[u8] {
        &self.method
    }

    fn path(&self) -> &[u8] {
        self.split().0
    }

    fn query(&self) -> Option<&[u8]> {
        self.split().1
    }

    fn authority(&self) -> &[u8] {
        &self.authority
    }

    fn scheme(&self) -> &[u8] {
        self.scheme.as_bytes()
    }

    fn for_each_value<'a>(&'a self, name: &str, mut each: impl FnMut(&'a [u8])) {
        for (_, value) in self.headers.iter().filter(|(known, _)| known == name) {
            each(value);
        }
    }
}

pub(crate) fn node() -> Node {
    serde_json::from_value(json!({
        "name": "reviews-v1", "namespace": "prod", "labels": {"app": "reviews"},
        "identity": "spiffe://cluster.local/ns/prod/sa/reviews", "address": "10.0.0.1",
        "ports": [{"number": 9080, "application": "127.0.0.1:9080"}], "listen": {},
    }))
    .unwrap()
}

pub(crate) fn origin(kind: &str, namespace: &str, name: &str) -> Value {
    json!({"kind": kind, "namespace": namespace, "name": name, "file": "mesh.yaml", "line": 1})
}

/// A mesh with the service `reviews` in `prod` on ports 9080 and 9081, and more of `parts`.
pub(crate) fn snapshot(parts: Value) -> Snapshot {
    Snapshot::compile(&mesh(parts), &node(), &[], None).unwrap()
}

pub(crate) fn mesh(parts: Value) -> Mesh {
    let mut mesh = json!({"revision": 1, "services": [{
        "origin": origin("Service", "prod", "reviews"),
        "host": "reviews.prod.svc.cluster.local", "name": "reviews", "namespace": "prod",
        "ports": [
            {"number": 9080, "name": "http", "protocol": "http"},
            {"number": 9081, "name": "http-more", "protocol": "http"},
        ],
        "location": "internal", "resolution": "static", "selector": {"app": "reviews"},
    }]});
    let Value::Object(parts) = parts else { panic!("parts are an object") };
    for (key, value) in parts {
        mesh[key] = value;
    }
    serde_json::from_value(mesh).unwrap()
}

/// A route for `reviews` with these rules; what a rule leaves out is Istio's default.
pub(crate) fn route(rules: &[Value]) -> Value {
    let rules: Vec<Value> = rules
        .iter()
        .enumerate()
        .map(|(index, rule)| {
            let mut whole = json!({
                "name": format!("r{index}"),
                "action": {"respond": {"status": 200}},
                "retries": {"attempts": 2, "on": ["connect-failure"]},
            });
            for (key, value) in rule.as_object().unwrap() {
                whole[key] = value.clone();
            }
            whole
        })
        .collect();
    json!({
        "origin": origin("VirtualService", "prod", "reviews"),
        "hosts": ["reviews.prod.svc.cluster.local"], "gateways": ["mesh"], "http": rules,
    })
}

pub(crate) fn vhost(snapshot: &Snapshot) -> &VirtualHost {
    let Lookup::Found { vhost, .. } = snapshot.outbound.http(b"reviews:9080", None) else {
        panic!("the mesh has reviews")
    };
    vhost
}

pub(crate) fn table(snapshot: &Snapshot) -> &AuthorizationTable {
    let port: &InboundPort = snapshot.inbound.only().unwrap();
    &port.authorization
}

/// A policy of `prod` for the node, its name `p<index>`.
pub(crate) fn policies(policies: &[(&str, Value)]) -> Value {
    let policies = policies.iter().enumerate().map(|(index, (action, rules))| {
        json!({
            "origin": origin("AuthorizationPolicy", "prod", &format!("p{index}")),
            "action": action, "rules": rules,
        })
    });
    json!(policies.collect::<Vec<_>>())
}

pub(crate) const DESTINATION: ([u8; 4], u16) = ([10, 0, 0, 1], 9080);

/// A peer at 10.0.0.9 whose client is 1.2.3.4.
pub(crate) fn peer(identity: Option<&Identity>) -> Peer<'_> {
    Peer {
        identity,
        address: [10, 0, 0, 9].into(),
        remote: [1, 2, 3, 4].into(),
        destination: SocketAddr::from(DESTINATION),
        sni: Some("outbound_.9080_._.reviews.prod.svc.cluster.local"),
    }
}
