//! HTTP/2, gRPC, TLS, opaque bytes and tunnels through a sidecar, over real sockets.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod detection;
mod grpc;
mod h2_clients;
mod h2_refusals;
mod h2_upstreams;
mod hbone;
mod hooks;
mod inbound_tls;
mod opaque;
mod origination;
mod robustness;
mod rotation;

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
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

/// A server that runs `serve` for each connection, in a thread of its own.
fn tcp_server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, serve) = (stream.unwrap(), Arc::clone(&serve));
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// A server that sends back what it gets, and ends when its client has.
fn tcp_echo() -> SocketAddr {
    tcp_server(|mut stream| {
        let mut back = stream.try_clone().unwrap();
        let _copied = std::io::copy(&mut stream, &mut back);
        let _gone = back.shutdown(Shutdown::Write);
    })
}
