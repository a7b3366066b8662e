//! Two sidecars between a client and an application, over real sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshcore_model::{Mesh, Node};
use meshcore_proxy::hooks::NoHooks;
use meshcore_proxy::{Options, Proxy};
use meshcore_tls::ca::Authority;
use meshcore_tls::{Materials, TrustBundle};
use serde_json::{Value, json};

/// An application that answers every request with its name and what it was asked.
fn application(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut seen = Vec::new();
                let mut bytes = [0; 4096];
                while let Ok(count) = stream.read(&mut bytes) {
                    if count == 0 {
                        return;
                    }
                    seen.extend_from_slice(&bytes[..count]);
                    while let Some(end) = seen.windows(4).position(|w| w == b"\r\n\r\n") {
                        let head = String::from_utf8_lossy(&seen[..end]).into_owned();
                        seen.drain(..end + 4);
                        let body = format!("{name}\n{head}\n");
                        let length = body.len();
                        let answer =
                            format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
                        stream.write_all(answer.as_bytes()).unwrap();
                    }
                }
            });
        }
    });
    address
}

fn origin(kind: &str, name: &str) -> Value {
    json!({"kind": kind, "namespace": "default", "name": name})
}

fn mesh(inbound: SocketAddr, revision: u64, allow: &str) -> Mesh {
    let host = "reviews.default.svc.cluster.local";
    serde_json::from_value(json!({
        "revision": revision,
        "services": [{
            "origin": origin("ServiceEntry", "reviews"),
            "host": host, "name": "reviews", "namespace": "default",
            "ports": [{"number": 9080, "name": "http", "protocol": "http"}],
            "location": "internal", "resolution": "static",
            "endpoints": [{
                "origin": origin("WorkloadEntry", "reviews-v1"),
                "name": "reviews-v1", "namespace": "default",
                "address": inbound.ip().to_string(), "service_account": "reviews",
                "labels": {"app": "reviews", "version": "v1"},
                "mtls": true, "inbound_port": inbound.port(),
            }],
        }],
        "authorizations": [{
            "origin": origin("AuthorizationPolicy", "reviews"),
            "selector": {"app": "reviews"}, "action": "allow",
            "rules": [{"from": [{"principals": {"any": [
                {"exact": format!("cluster.local/ns/default/sa/{allow}")}]}}]}],
        }],
    }))
    .unwrap()
}

fn node(name: &str, listen: &Value, ports: &Value) -> Node {
    serde_json::from_value(json!({
        "name": name, "namespace": "default",
        "labels": {"app": name},
        "identity": format!("spiffe://cluster.local/ns/default/sa/{name}"),
        "address": "127.0.0.1", "ports": ports, "listen": listen,
    }))
    .unwrap()
}

fn options() -> Options {
    Options { workers: 1, drain: Duration::from_secs(5), version: "test".into() }
}

fn materials(authority: &Authority, name: &str) -> Materials {
    let identity = format!("spiffe://cluster.local/ns/default/sa/{name}").parse().unwrap();
    let issued = authority.issue(&identity, Duration::from_secs(3600)).unwrap();
    let bundle = TrustBundle::from_pem([("cluster.local", authority.root_pem())]).unwrap();
    Materials::from_pem(issued.chain_pem.as_bytes(), issued.key_pem.as_bytes(), bundle).unwrap()
}

struct Pair {
    server: Proxy,
    client: Proxy,
}

fn pair(allow: &str) -> Pair {
    let authority = Authority::create("cluster.local", Duration::from_secs(86_400)).unwrap();
    let app = application("v1");
    let any = "127.0.0.1:0";
    let unknown: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let server = node(
        "reviews",
        &json!({"inbound": any, "admin": any}),
        &json!([{"number": 9080, "application": app}]),
    );
    let server = Proxy::start(
        &mesh(unknown, 1, allow),
        &server,
        Vec::new(),
        Some(materials(&authority, "reviews")),
        options(),
        Arc::new(NoHooks),
    )
    .unwrap();
    let inbound = server.addresses().inbound.unwrap();
    server.apply(&mesh(inbound, 2, allow), None).unwrap();
    let client = node("web", &json!({"outbound": any, "admin": any}), &json!([]));
    let client = Proxy::start(
        &mesh(inbound, 2, allow),
        &client,
        Vec::new(),
        Some(materials(&authority, "web")),
        options(),
        Arc::new(NoHooks),
    )
    .unwrap();
    Pair { server, client }
}

fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// The series that begins and ends so, waiting for it: a request is counted after its answer.
fn series_with(proxy: &Proxy, begin: &str, end: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let metrics = String::from_utf8(proxy.metrics(false)).unwrap();
        let found = metrics.lines().find(|line| line.starts_with(begin) && line.ends_with(end));
        if let Some(line) = found {
            return line.to_owned();
        }
        assert!(Instant::now() < deadline, "no {begin}...{end} in {metrics}");
        std::thread::yield_now();
    }
}

#[test]
fn a_request_goes_through_both_sidecars_with_mutual_tls() {
    let pair = pair("web");
    let outbound = pair.client.addresses().outbound.unwrap();
    let request = "GET /a?b HTTP/1.1\r\nHost: reviews:9080\r\nConnection: close\r\n\r\n";
    for _ in 0..3 {
        let answer = ask(outbound, request);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("\r\n\r\nv1\nGET /a?b HTTP/1.1\r\n"), "{answer}");
        let forwarded = "URI=spiffe://cluster.local/ns/default/sa/web";
        assert!(answer.contains(forwarded), "{answer}");
        assert!(answer.contains("x-request-id: "), "{answer}");
    }
    let series = series_with(&pair.server, "istio_requests_total{", " 3");
    for part in [
        "reporter=\"destination\"",
        "source_principal=\"spiffe://cluster.local/ns/default/sa/web\"",
        "destination_workload=\"reviews\"",
        "connection_security_policy=\"mutual_tls\"",
        "response_code=\"200\"",
    ] {
        assert!(series.contains(part), "{part} in {series}");
    }
}

#[test]
fn policy_denies_and_says_who() {
    let pair = pair("somebody-else");
    let outbound = pair.client.addresses().outbound.unwrap();
    let answer = ask(outbound, "GET / HTTP/1.1\r\nHost: reviews:9080\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.ends_with("RBAC: access denied"), "{answer}");
}

#[test]
fn a_drained_pair_ends() {
    let pair = pair("web");
    pair.client.drain();
    pair.server.drain();
    let deadline = Instant::now() + Duration::from_secs(5);
    while !(pair.client.has_ended() && pair.server.has_ended()) {
        assert!(Instant::now() < deadline, "still running");
        std::thread::yield_now();
    }
}
