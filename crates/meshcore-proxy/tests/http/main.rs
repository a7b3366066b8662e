//! HTTP/1.1 and routing of one sidecar, over real sockets.
#![expect(clippy::arithmetic_side_effects, clippy::unwrap_used, reason = "tests")]

mod balance;
mod bodies;
mod discovery;
mod drain;
mod faulty_upstream;
mod interim;
mod keep_alive;
mod malformed;
mod pages;
mod passthrough;
mod policy;
mod records;
mod retries;
mod routing;
mod takeover;

use std::net::SocketAddr;

use meshcore_testkit::{MeshBuilder, Sidecar};

/// A sidecar whose application calls one service, `app`, with these endpoints.
fn sidecar_to(endpoints: &[SocketAddr]) -> Sidecar {
    Sidecar::outbound_to(&mesh_of(endpoints))
}

/// A mesh of one service, `app` on port 80, with these endpoints as versions v1, v2, ...
fn mesh_of(endpoints: &[SocketAddr]) -> MeshBuilder {
    endpoints.iter().enumerate().fold(MeshBuilder::new().service("app", 80), |mesh, (at, one)| {
        mesh.endpoint(&format!("v{}", at + 1), *one)
    })
}

/// A request for the service `app` whose connection stays open.
fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: app\r\n\r\n")
}

/// A request for the service `app` with these further fields and a body.
fn post(path: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: app\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
}
