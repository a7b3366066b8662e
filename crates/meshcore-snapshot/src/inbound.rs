//! What this node serves.

use std::net::SocketAddr;
use std::sync::Arc;

use meshcore_model::{MtlsMode, Protocol};
use meshcore_model::{ServiceLabels, WorkloadLabels};

use crate::authorization::AuthorizationTable;
use crate::map::Map;

/// The ports of this node's application.
#[derive(Debug, Default)]
pub struct Inbound {
    pub(crate) ports: Vec<InboundPort>,
    /// Service port and host to a position in `ports`.
    pub(crate) services: Map<(u16, Box<str>), usize>,
    /// Where connections are redirected to us: ports that the mesh does not know, but policy does.
    pub(crate) undeclared: Vec<InboundPort>,
    /// Where connections are redirected to us: all other ports, with the number 0.
    pub(crate) rest: Option<InboundPort>,
}

/// A port of this node's application.
#[derive(Debug)]
pub struct InboundPort {
    /// Number that other workloads and policies know; 0 stands for any that is not declared.
    pub number: u16,
    /// Istio's name of it in logs, `inbound|<port>||`.
    pub cluster: Arc<str>,
    /// Where the application listens.
    pub application: SocketAddr,
    /// What is spoken.
    pub protocol: Protocol,
    /// Whether plain text is taken.
    pub mtls: MtlsMode,
    /// Who may call.
    pub authorization: Arc<AuthorizationTable>,
    /// The service that the port belongs to; the oldest, when there are several.
    pub service: Arc<ServiceLabels>,
    /// Labels of this node.
    pub workload: Arc<WorkloadLabels>,
}

impl Inbound {
    /// All ports.
    pub fn ports(&self) -> &[InboundPort] {
        &self.ports
    }

    /// The port of this number.
    pub fn port(&self, number: u16) -> Option<&InboundPort> {
        self.ports.iter().find(|port| port.number == number)
    }

    /// What holds for a port that a redirected connection was made to, declared or not. `None`
    /// when it is not declared and connections are not redirected.
    pub fn redirected(&self, number: u16) -> Option<&InboundPort> {
        let undeclared = || self.undeclared.iter().find(|port| port.number == number);
        self.port(number).or_else(undeclared).or(self.rest.as_ref())
    }

    /// The port behind a service's port, as a mesh client names it in its SNI or authority.
    pub fn by_service(&self, port: u16, host: &str) -> Option<&InboundPort> {
        let position = self.services.get(&Key(port, host))?;
        self.ports.get(*position)
    }

    /// The port, when there is just one.
    pub fn only(&self) -> Option<&InboundPort> {
        match self.ports.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

/// A borrowed key of [`Inbound::services`].
#[derive(Hash)]
struct Key<'a>(u16, &'a str);

impl hashbrown::Equivalent<(u16, Box<str>)> for Key<'_> {
    fn equivalent(&self, key: &(u16, Box<str>)) -> bool {
        self.0 == key.0 && self.1 == &*key.1
    }
}
