//! A port where nobody listens, and nobody else will.

use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

/// A port that refuses connections while this lives: it is bound, so no other test is given it.
#[derive(Debug)]
pub struct ClosedPort {
    address: SocketAddr,
    _bound: Socket,
}

impl Default for ClosedPort {
    fn default() -> Self {
        Self::new()
    }
}

impl ClosedPort {
    /// A closed port on loopback.
    pub fn new() -> Self {
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        bound.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = bound.local_addr().unwrap().as_socket().unwrap();
        Self { address, _bound: bound }
    }

    /// Who connects here is refused.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
