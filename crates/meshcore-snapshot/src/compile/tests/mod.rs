//! Tests of the whole compiler, by what a request would find.

mod asked;
mod cells;
mod clusters;
mod gateway;
mod hosts;
mod inbound;
mod rejected;
mod tcp;

use meshcore_model::{Mesh, Node};
use serde_json::{Value, json};

use crate::{Cluster, Endpoint, Rejected, Snapshot};

/// The document of a resource, from a file.
fn origin(kind: &str, namespace: &str, name: &str) -> Value {
    json!({"kind": kind, "namespace": namespace, "name": name, "file": "mesh.yaml", "line": 3})
}

/// `a` with the fields of `b` in place of its own.
fn with(mut a: Value, b: Value) -> Value {
    let Value::Object(fields) = b else { panic!("fields are an object") };
    for (key, value) in fields {
        a[key] = value;
    }
    a
}

/// A Kubernetes service that selects `app: <name>`, with one HTTP port 9080.
fn service(namespace: &str, name: &str) -> Value {
    json!({
        "origin": origin("Service", namespace, name),
        "host": format!("{name}.{namespace}.svc.cluster.local"),
        "name": name, "namespace": namespace,
        "ports": [{"number": 9080, "name": "http", "protocol": "http"}],
        "location": "internal", "resolution": "static", "selector": {"app": name},
    })
}

/// A ServiceEntry with one HTTP port 80.
fn entry(host: &str, resolution: &str) -> Value {
    json!({
        "origin": origin("ServiceEntry", "prod", host), "host": host, "name": host,
        "namespace": "prod", "ports": [{"number": 80, "name": "http", "protocol": "http"}],
        "location": "external", "resolution": resolution,
    })
}

/// A workload of `app: <app>` and this version, with a sidecar.
fn workload(namespace: &str, app: &str, version: &str, address: &str) -> Value {
    json!({
        "origin": origin("Pod", namespace, &format!("{app}-{version}")),
        "name": format!("{app}-{version}"), "namespace": namespace, "address": address,
        "labels": {"app": app, "version": version}, "service_account": app, "mtls": true,
    })
}

/// A DestinationRule of this namespace.
fn policy(namespace: &str, host: &str, fields: Value) -> Value {
    let document = json!({"origin": origin("DestinationRule", namespace, host), "host": host});
    with(document, fields)
}

/// A VirtualService of this namespace.
fn route(namespace: &str, name: &str, hosts: &[&str], fields: Value) -> Value {
    let document = json!({
        "origin": origin("VirtualService", namespace, name), "hosts": hosts, "gateways": ["mesh"],
    });
    with(document, fields)
}

/// An HTTP rule to a host.
fn rule(name: &str, host: &str) -> Value {
    json!({
        "name": name, "retries": {"attempts": 0, "on": []},
        "action": {"forward": [{"host": host, "weight": 1}]},
    })
}

fn node() -> Node {
    serde_json::from_value(json!({
        "name": "web-v1", "namespace": "prod", "labels": {"app": "web"},
        "identity": "spiffe://cluster.local/ns/prod/sa/web", "address": "10.0.0.1",
        "ports": [{"number": 9080, "application": "127.0.0.1:9080"}], "listen": {},
    }))
    .unwrap()
}

fn mesh(parts: Value) -> Mesh {
    serde_json::from_value(with(json!({"revision": 1}), parts)).unwrap()
}

fn compiled(parts: Value) -> Snapshot {
    Snapshot::compile(&mesh(parts), &node(), &[], None).unwrap()
}

fn refused(parts: Value) -> Rejected {
    Snapshot::compile(&mesh(parts), &node(), &[], None).unwrap_err()
}

fn cluster<'a>(snapshot: &'a Snapshot, name: &str) -> &'a Cluster {
    snapshot.clusters().find(|cluster| &*cluster.name == name).unwrap()
}

/// Addresses that are dialled.
fn dialled(cluster: &Cluster) -> Vec<String> {
    cluster.endpoints.iter().map(|endpoint| endpoint.dial.to_string()).collect()
}

fn only(cluster: &Cluster) -> &Endpoint {
    assert_eq!(cluster.endpoints.len(), 1);
    &cluster.endpoints[0]
}
