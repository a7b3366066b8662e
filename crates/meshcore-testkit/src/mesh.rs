//! Small meshes, written in the model's own words.

use std::net::SocketAddr;

use meshcore_model::Mesh;
use serde_json::{Value, json};

/// A mesh that is put together step by step. All is in the namespace `default`.
#[derive(Debug, Clone)]
pub struct MeshBuilder {
    mesh: Value,
}

/// The host of a service of this mesh.
pub fn host(name: &str) -> String {
    format!("{name}.default.svc.cluster.local")
}

/// Where a resource comes from.
pub fn origin(kind: &str, name: &str) -> Value {
    json!({
        "kind": kind, "namespace": "default", "name": name, "file": "mesh.yaml", "line": 7,
    })
}

/// A rule that does `action`, with more fields or others than a plain one.
#[expect(clippy::needless_pass_by_value, reason = "written in place by every caller")]
pub fn rule(action: Value, more: Value) -> Value {
    let mut rule = json!({
        "name": "default", "line": 9, "action": action,
        "retries": {"attempts": 0, "on": []},
    });
    merge(&mut rule, &more);
    rule
}

impl Default for MeshBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl MeshBuilder {
    /// A mesh of nothing.
    pub fn new() -> Self {
        Self {
            mesh: json!({
                "revision": 0, "settings": {}, "services": [], "routes": [],
                "traffic_policies": [], "peer_auths": [], "authorizations": [],
                "gateways": [], "credentials": [],
            }),
        }
    }

    /// A service with one port that speaks HTTP.
    #[must_use]
    pub fn service(self, name: &str, port: u16) -> Self {
        self.service_speaking(name, port, "http")
    }

    /// A service with one port that speaks `protocol`.
    #[must_use]
    pub fn service_speaking(mut self, name: &str, port: u16, protocol: &str) -> Self {
        self.list("services").push(json!({
            "origin": origin("ServiceEntry", name),
            "host": host(name), "name": name, "namespace": "default",
            "ports": [{"number": port, "name": "main", "protocol": protocol}],
            "location": "internal", "resolution": "static", "endpoints": [],
        }));
        self
    }

    /// Another port of the last service.
    #[must_use]
    pub fn port(mut self, number: u16, name: &str, protocol: &str) -> Self {
        let ports = last(self.list("services")).get_mut("ports").and_then(Value::as_array_mut);
        let port = json!({"number": number, "name": name, "protocol": protocol});
        ports.unwrap().push(port);
        self
    }

    /// A workload of the last service, in plain text, for all of its ports.
    #[must_use]
    pub fn endpoint(self, version: &str, address: SocketAddr) -> Self {
        self.endpoint_with(version, address, json!({}))
    }

    /// A workload of the last service behind a sidecar that takes mutual TLS at `inbound`.
    #[must_use]
    pub fn mesh_endpoint(self, version: &str, inbound: SocketAddr) -> Self {
        let more = json!({"mtls": true, "inbound_port": inbound.port()});
        self.endpoint_with(version, inbound, more)
    }

    /// A workload of the last service, with more fields or others than a plain one.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "written in place by every caller")]
    pub fn endpoint_with(mut self, version: &str, address: SocketAddr, more: Value) -> Self {
        let service = last(self.list("services"));
        let name = service["name"].as_str().unwrap().to_owned();
        let is_mesh = more.get("inbound_port").is_some();
        let names = service["ports"].as_array().unwrap().iter();
        let ports: serde_json::Map<String, Value> = names
            .filter(|_| !is_mesh)
            .map(|port| (port["name"].as_str().unwrap().to_owned(), json!(address.port())))
            .collect();
        let mut endpoint = json!({
            "origin": origin("WorkloadEntry", &format!("{name}-{version}")),
            "name": format!("{name}-{version}"), "namespace": "default",
            "address": address.ip().to_string(), "ports": ports,
            "labels": {"app": name, "version": version}, "service_account": name,
        });
        merge(&mut endpoint, &more);
        service["endpoints"].as_array_mut().unwrap().push(endpoint);
        self
    }

    /// Rules for the HTTP requests of a service, in order.
    #[must_use]
    pub fn route(mut self, name: &str, rules: impl IntoIterator<Item = Value>) -> Self {
        let rules: Vec<Value> = rules.into_iter().collect();
        self.list("routes").push(json!({
            "origin": origin("VirtualService", name),
            "hosts": [host(name)], "gateways": ["mesh"], "http": rules,
        }));
        self
    }

    /// Policy for clients of a service (a `TrafficPolicy`'s `policy`), and its subsets: one for
    /// each version.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "written in place by every caller")]
    pub fn policy(mut self, name: &str, policy: Value, versions: &[&str]) -> Self {
        let subsets: Vec<Value> = versions
            .iter()
            .map(|version| json!({"name": version, "labels": {"version": version}}))
            .collect();
        self.list("traffic_policies").push(json!({
            "origin": origin("DestinationRule", name),
            "host": host(name), "policy": policy, "subsets": subsets,
        }));
        self
    }

    /// An authorization policy for the workload `app`.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "written in place by every caller")]
    pub fn authorization(mut self, name: &str, app: &str, action: &str, rules: Value) -> Self {
        self.list("authorizations").push(json!({
            "origin": origin("AuthorizationPolicy", name),
            "selector": {"app": app}, "action": action, "rules": rules,
        }));
        self
    }

    /// What all workloads take: `disable`, `permissive` or `strict`.
    #[must_use]
    pub fn mtls(mut self, mode: &str) -> Self {
        self.list("peer_auths")
            .push(json!({"origin": origin("PeerAuthentication", mode), "mode": mode}));
        self
    }

    /// Settings of the mesh, in place of earlier ones of the same name.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "written in place by every caller")]
    pub fn settings(mut self, settings: Value) -> Self {
        merge(&mut self.mesh["settings"], &settings);
        self
    }

    /// A resource in the model's own words, in the list of that name.
    #[must_use]
    pub fn resource(mut self, list: &str, resource: Value) -> Self {
        self.list(list).push(resource);
        self
    }

    /// The mesh as this revision.
    pub fn build(&self, revision: u64) -> Mesh {
        let mut mesh = self.mesh.clone();
        mesh["revision"] = json!(revision);
        serde_json::from_value(mesh).unwrap()
    }

    fn list(&mut self, name: &str) -> &mut Vec<Value> {
        self.mesh[name].as_array_mut().unwrap()
    }
}

fn last(list: &mut [Value]) -> &mut Value {
    list.last_mut().expect("a service comes first")
}

fn merge(base: &mut Value, more: &Value) {
    let (Some(base), Some(more)) = (base.as_object_mut(), more.as_object()) else {
        panic!("{more} is not an object");
    };
    for (key, value) in more {
        base.insert(key.clone(), value.clone());
    }
}
