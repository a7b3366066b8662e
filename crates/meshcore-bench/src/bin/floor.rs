//! The least that a proxy can cost: `floor http|tcp --port PORT --origin PORT`.
//!
//! Bytes are moved from one socket to the other by a bare epoll, and the only thing that is looked
//! at is where an HTTP/1 message ends. It knows its peers: requests have no bodies, answers have a
//! length, and heads come whole. Nothing of what a proxy is for is done.
#![forbid(unsafe_code)]

#[path = "floor/http.rs"]
mod http;
#[path = "floor/tcp.rs"]
mod tcp;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use meshcore_bench::{Arguments, Failure};

/// The token of the listener.
const LISTENER: usize = usize::MAX;

fn main() -> Result<(), Failure> {
    let arguments = Arguments::read()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.needed("port")?))?;
    let origin = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.needed("origin")?));
    match arguments.word(0) {
        "http" => http::Relay::new(origin)?.serve(&listener),
        "tcp" => tcp::Relay::new(origin)?.serve(&listener),
        other => Err(format!("no floor {other:?}: http or tcp").into()),
    }
}
