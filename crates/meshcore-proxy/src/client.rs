//! Who is at the other end of a connection.

use std::net::SocketAddr;
use std::rc::Rc;

use meshcore_model::Identity;
use meshcore_policy::Peer;
use meshcore_snapshot::{InboundPort, Snapshot};

use crate::gateway::Entrance;

/// Which way a connection goes through this sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Direction {
    /// From the application to the mesh.
    Outbound,
    /// From the mesh to the application.
    Inbound,
    /// Into the mesh or out of it, through a gateway.
    Gateway,
}

/// What is known of the client of one connection; the same for all of its requests.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) direction: Direction,
    /// Where it connected from.
    pub(crate) peer: SocketAddr,
    /// Where it connected to: our own address.
    pub(crate) local: SocketAddr,
    /// Where it wanted to connect to, when it was redirected here.
    pub(crate) original: Option<SocketAddr>,
    /// Who it proved to be.
    pub(crate) identity: Option<Identity>,
    /// Server name it asked for.
    pub(crate) sni: Option<Box<str>>,
    /// Port of the application (inbound); 0 on an HBONE connection, whose tunnels choose theirs.
    pub(crate) port: u16,
    /// How it came in at a gateway.
    pub(crate) entrance: Option<Rc<Entrance>>,
}

impl Client {
    /// As policy sees it at a port of the application.
    pub(crate) fn as_peer(&self, snapshot: &Snapshot, port: &InboundPort) -> Peer<'_> {
        Peer {
            identity: self.identity.as_ref(),
            address: self.peer.ip(),
            remote: self.peer.ip(),
            destination: (snapshot.node.address, self.port_of(port)).into(),
            sni: self.sni.as_deref(),
        }
    }

    /// The number of a port that it came to, also of one that the mesh does not know.
    pub(crate) const fn port_of(&self, port: &InboundPort) -> u16 {
        if port.number == 0 { self.port } else { port.number }
    }

    /// Where the application listens that it came to. A port that the mesh does not know is
    /// where the connection was made to.
    pub(crate) fn application(&self, port: &InboundPort) -> SocketAddr {
        match self.original {
            Some(original) if port.number == 0 => original,
            Some(_) | None => port.application,
        }
    }

    /// The port that it came to: any, if it was redirected.
    pub(crate) fn inbound_port<'s>(&self, snapshot: &'s Snapshot) -> Option<&'s InboundPort> {
        match self.original {
            Some(_) => snapshot.inbound.redirected(self.port),
            None => snapshot.inbound.port(self.port),
        }
    }

    /// As policy sees it at a gateway.
    pub(crate) fn as_gateway_peer(&self) -> Peer<'_> {
        Peer {
            identity: self.identity.as_ref(),
            address: self.peer.ip(),
            remote: self.peer.ip(),
            destination: self.local,
            sni: self.sni.as_deref(),
        }
    }

    /// Whether it is an HBONE connection itself, not what is inside.
    pub(crate) const fn is_hbone(&self) -> bool {
        matches!(self.direction, Direction::Inbound) && self.port == 0
    }

    /// Whether it proved who it is.
    pub(crate) const fn is_mtls(&self) -> bool {
        self.identity.is_some()
    }
}
