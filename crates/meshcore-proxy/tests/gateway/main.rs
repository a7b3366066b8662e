//! A gateway over real sockets: its listeners, its TLS, its hosts.
#![expect(clippy::needless_pass_by_value, clippy::unwrap_used, reason = "tests")]

mod listeners;
mod modes;
mod plain;

use std::net::{SocketAddr, TcpListener};

use meshcore_testkit::tls::Pair;
use meshcore_testkit::{MeshBuilder, Sidecar, SidecarBuilder, host, origin};
use serde_json::{Value, json};

/// A gateway named `edge`, on 127.0.0.1.
fn gateway(mesh: &MeshBuilder) -> SidecarBuilder {
    Sidecar::of("edge").listen("gateway", "127.0.0.1").mesh(mesh)
}

/// A port that is free, as long as nobody else takes it.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn at(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// A document of gateways with these servers.
fn document(name: &str, servers: &[Value]) -> Value {
    json!({"origin": origin("Gateway", name), "selector": {"app": "edge"}, "servers": servers})
}

/// A server of these hosts.
fn server(port: u16, protocol: &str, hosts: &[&str], tls: Value) -> Value {
    let hosts: Vec<Value> = hosts.iter().map(|host| json!({"host": host})).collect();
    json!({"port": port, "protocol": protocol, "hosts": hosts, "tls": tls})
}

/// Sends requests for `hosts`, bound to `gateways`, to a service.
fn route(hosts: &[&str], gateways: &[&str], path: &str, service: &str) -> Value {
    let matches = if path.is_empty() { json!([]) } else { json!([{"path": {"prefix": path}}]) };
    json!({
        "origin": origin("VirtualService", service), "hosts": hosts, "gateways": gateways,
        "http": [{
            "name": "to", "line": 9, "matches": matches,
            "action": {"forward": [{"host": host(service), "weight": 1}]},
            "retries": {"attempts": 0, "on": []},
        }],
    })
}

/// Sends connections to a service.
fn tcp_route(hosts: &[&str], sni_hosts: &[&str], service: &str) -> Value {
    json!({
        "origin": origin("VirtualService", service), "hosts": hosts, "gateways": ["default/edge"],
        "tcp": [{
            "matches": [{"sni_hosts": sni_hosts}],
            "destinations": [{"host": host(service), "weight": 1}],
        }],
    })
}

/// A credential that holds a pair, and perhaps an authority.
fn credential(name: &str, pair: &Pair, authorities: Option<String>) -> Value {
    json!({
        "origin": origin("Secret", name), "certificate": pair.certificate_pem,
        "key": pair.key_pem, "authorities": authorities,
    })
}
