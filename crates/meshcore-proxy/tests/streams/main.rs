//! HTTP/2, gRPC, TLS, opaque bytes and tunnels through a sidecar, over real sockets.
#![expect(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::panic, reason = "tests")]

mod grpc;
mod h2_clients;
mod h2_upstreams;
mod inbound_tls;
mod rotation;

use std::time::{Duration, Instant};

use meshcore_testkit::WITHIN;

/// Bytes that differ, so that an order that was changed shows.
fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect()
}

/// Waits until something holds, which nobody tells of.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + WITHIN;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
