//! What a gateway serves, by listener, server name and host.

use std::net::SocketAddr;
use std::sync::Arc;

use meshcore_model::ServerTlsMode;
use meshcore_model::{CertificateSource, ClientProof, Credential, Origin, ServerTls};

use crate::authority::Authority;
use crate::authorization::AuthorizationTable;
use crate::map::Map;
use crate::outbound::{Outbound, TcpRoute, TcpService, VirtualHost, suffixes};

/// The listeners of a gateway.
#[derive(Debug, Default)]
pub struct Gateway {
    pub(crate) listeners: Vec<GatewayListener>,
    /// Who may come in.
    pub authorization: Arc<AuthorizationTable>,
    /// Servers that are not opened, and why.
    pub left_out: Vec<(Arc<Origin>, String)>,
}

/// A listener of a gateway.
#[derive(Debug)]
pub struct GatewayListener {
    /// Where it listens.
    pub address: SocketAddr,
    /// Port that clients and documents know it by.
    pub port: u16,
    /// The document, at the line of the first server.
    pub origin: Arc<Origin>,
    /// What is served.
    pub serves: Serves,
}

/// What a listener of a gateway serves.
#[derive(Debug)]
pub enum Serves {
    /// HTTP, in plain text.
    Http(GatewayHosts),
    /// Bytes.
    Tcp(GatewayTcp),
    /// TLS: what is in it depends on the server name.
    Tls(GatewayTls),
}

/// Hosts of HTTP requests.
#[derive(Debug, Default)]
pub struct GatewayHosts(pub(crate) Box<Outbound>);

/// Where connections go whose bytes are not looked at.
#[derive(Debug, Default)]
pub struct GatewayTcp(pub(crate) TcpService);

/// What is in TLS, by server name.
#[derive(Debug, Default)]
pub struct GatewayTls {
    pub(crate) chains: Vec<GatewayChain>,
    pub(crate) exact: Map<Box<[u8]>, usize>,
    /// Suffixes of wildcards, without `*.`.
    pub(crate) suffixes: Map<Box<[u8]>, usize>,
    pub(crate) any: Option<usize>,
}

/// What becomes of TLS with some server names.
#[derive(Debug)]
pub enum GatewayChain {
    /// It ends here, and has HTTP in it.
    Http(Arc<Termination>, GatewayHosts),
    /// It ends here, and has bytes in it.
    Tcp(Arc<Termination>, GatewayTcp),
    /// It goes on as it is.
    PassThrough(GatewayTcp),
}

/// How TLS ends here.
#[derive(Debug, PartialEq, Eq)]
pub struct Termination {
    /// The document, at the line of the server.
    pub origin: Arc<Origin>,
    /// What is shown and asked for.
    pub tls: ServerTls,
    /// Those of the credentials it names that there are.
    pub credentials: Box<[Credential]>,
    /// HTTP is in it.
    pub is_http: bool,
}

impl Gateway {
    /// All listeners.
    pub fn listeners(&self) -> &[GatewayListener] {
        &self.listeners
    }

    /// The listener at an address.
    pub fn listener(&self, address: SocketAddr) -> Option<&GatewayListener> {
        self.listeners.iter().find(|one| one.address == address)
    }

    /// All that ends TLS.
    pub fn terminations(&self) -> impl Iterator<Item = &Arc<Termination>> {
        self.listeners
            .iter()
            .flat_map(|listener| match &listener.serves {
                Serves::Http(_) | Serves::Tcp(_) => &[][..],
                Serves::Tls(tls) => &tls.chains,
            })
            .filter_map(GatewayChain::termination)
    }
}

impl GatewayHosts {
    /// The host of a request; `None` when it is not served, or the authority is malformed.
    pub fn find(&self, authority: &[u8]) -> Option<&VirtualHost> {
        let authority = Authority::parse(authority)?;
        self.0.host(&authority, authority.port().unwrap_or_default())
    }

    /// All hosts.
    pub fn all(&self) -> impl Iterator<Item = &Arc<VirtualHost>> {
        self.0.hosts()
    }
}

impl GatewayTcp {
    /// Where a connection to `local` goes.
    pub fn route(&self, local: SocketAddr) -> Option<&TcpRoute> {
        self.0.route(Some(local.ip()))
    }
}

impl GatewayTls {
    /// What is served under a server name in lower case; without one, what is served under any.
    pub fn chain(&self, name: Option<&[u8]>) -> Option<&GatewayChain> {
        let by_name = name.and_then(|name| {
            let wild = || suffixes(name).find_map(|end| self.suffixes.get(end));
            self.exact.get(name).or_else(wild)
        });
        self.chains.get(*by_name.or(self.any.as_ref())?)
    }

    /// All of it.
    pub fn chains(&self) -> &[GatewayChain] {
        &self.chains
    }

    /// Enters a server name, unless another chain has it.
    pub(crate) fn enter(&mut self, name: &str, chain: usize) -> bool {
        match name.strip_prefix("*.") {
            Some(suffix) => self.suffixes.try_insert(suffix.as_bytes().into(), chain).is_ok(),
            None if name == "*" => {
                let is_free = self.any.is_none();
                self.any.get_or_insert(chain);
                is_free
            }
            None => self.exact.try_insert(name.as_bytes().into(), chain).is_ok(),
        }
    }
}

impl GatewayChain {
    /// How TLS ends here, if it does.
    pub fn termination(&self) -> Option<&Arc<Termination>> {
        match self {
            Self::Http(termination, _) | Self::Tcp(termination, _) => Some(termination),
            Self::PassThrough(_) => None,
        }
    }
}

impl Termination {
    /// The credential of this name.
    pub fn credential(&self, name: &str) -> Option<&Credential> {
        self.credentials.iter().find(|credential| credential.origin.name == name)
    }

    /// Whether a client that was let in by `before` has shown all that this asks for.
    pub fn asks_no_more_than(&self, before: &Self) -> bool {
        std::ptr::eq(self, before) || self.asked() == before.asked()
    }

    /// What a client has to show, and by whom it is trusted.
    fn asked(&self) -> (ServerTlsMode, &ClientProof, Vec<Trust<'_>>) {
        let own = self.tls.certificates.iter().filter_map(|source| match source {
            CertificateSource::Credential(name) => Some(name),
            CertificateSource::Files { .. } => None,
        });
        let trust = |name: &String| {
            let found = self.credential(name)?;
            Some((found.authorities.as_deref(), found.revocations.as_deref()))
        };
        let named = self.tls.clients.credential.iter().chain(own);
        (self.tls.mode, &self.tls.clients, named.map(trust).collect())
    }
}

/// Authorities and what they took back; `None` is no such credential.
type Trust<'t> = Option<(Option<&'t str>, Option<&'t str>)>;
