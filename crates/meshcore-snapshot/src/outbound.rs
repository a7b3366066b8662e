//! Where this node's calls go, by the authority or the address they were made to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use meshcore_model::ServiceLabels;
use meshcore_model::{Origin, Protocol};

use crate::authority::Authority;
use crate::cidr::Cidr;
use crate::map::Map;
use crate::route_table::RouteTable;
use crate::rule::Destinations;

/// Port of a request whose authority has none. Source: RFC 9110 section 4.2.1.
const HTTP_PORT: u16 = 80;

/// The hosts that this node may call.
#[derive(Debug, Default)]
pub struct Outbound {
    pub(crate) exact: Map<Box<[u8]>, Arc<VirtualHost>>,
    /// Virtual addresses of services.
    pub(crate) addresses: Map<IpAddr, Vec<Arc<VirtualHost>>>,
    /// Suffixes of wildcard hosts, without `*.`.
    pub(crate) suffixes: Map<Box<[u8]>, Arc<VirtualHost>>,
    pub(crate) any: Option<Arc<VirtualHost>>,
    /// Wildcards whose names are in `exact`, one by one as they were asked for.
    pub(crate) wild: Vec<Arc<VirtualHost>>,
    pub(crate) tcp: TcpTable,
}

/// A host, or a wildcard, with its rules.
#[derive(Debug)]
pub struct VirtualHost {
    /// Fully qualified host; may begin with `*.` or be `*`.
    pub host: Arc<str>,
    /// Labels of the service; of an unknown one, when only a route knows the host.
    pub service: Arc<ServiceLabels>,
    /// Ports of the service; empty takes any port.
    pub ports: Box<[VirtualHostPort]>,
    /// What DNS says of the host; nothing when it is others who know.
    pub addresses: Box<[IpAddr]>,
    /// The rules of the route that has the host; `None` when none has.
    pub(crate) routed: Option<Arc<RouteTable>>,
    /// The one rule that sends everything to the service.
    pub(crate) unrouted: Arc<RouteTable>,
    /// Ports that no rule of the route is for.
    pub(crate) unrouted_ports: Box<[u16]>,
}

/// A port of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VirtualHostPort {
    /// Number.
    pub number: u16,
    /// What is spoken.
    pub protocol: Protocol,
}

/// What is known about an authority.
#[derive(Debug, Clone, Copy)]
pub enum Lookup<'a> {
    /// The host has this port.
    Found {
        /// The host.
        vhost: &'a VirtualHost,
        /// Port of the service.
        port: u16,
    },
    /// The mesh does not know the host.
    Unknown {
        /// Port the request was sent to.
        port: u16,
    },
    /// The host does not have this port.
    UnknownPort {
        /// The host.
        vhost: &'a VirtualHost,
        /// Port the request was sent to.
        port: u16,
    },
    /// The authority is not `host[:port]`.
    Malformed,
}

/// What a TCP connection was made to.
#[derive(Debug, Clone, Copy)]
pub enum TcpDestination<'a> {
    /// An authority with its port, as in CONNECT.
    Authority(&'a [u8]),
    /// The original destination of a redirected connection.
    Address(SocketAddr),
}

impl Outbound {
    /// The host and port that a request is for.
    ///
    /// The port is that of `original`, the destination of a redirected connection; without it,
    /// that of the authority; without that, 80, or the service's only HTTP port if it has no
    /// port 80.
    pub fn http(&self, authority: &[u8], original: Option<SocketAddr>) -> Lookup<'_> {
        let Some(authority) = Authority::parse(authority) else { return Lookup::Malformed };
        let named = original.map(|address| address.port()).or(authority.port());
        let wanted = named.unwrap_or(HTTP_PORT);
        let Some(vhost) = self.host(&authority, wanted) else {
            return Lookup::Unknown { port: wanted };
        };
        if vhost.has_port(wanted) {
            return Lookup::Found { vhost, port: wanted };
        }
        match (named, vhost.only_http_port()) {
            (None, Some(port)) => Lookup::Found { vhost, port },
            (None, None) | (Some(_), _) => Lookup::UnknownPort { vhost, port: wanted },
        }
    }

    /// Where a TCP connection goes: by the rules of a route, else to the service.
    pub fn tcp(&self, destination: TcpDestination<'_>) -> Option<&TcpRoute> {
        let (host, address, port) = match destination {
            TcpDestination::Address(address) => (None, Some(address.ip()), address.port()),
            TcpDestination::Authority(authority) => {
                let authority = Authority::parse(authority)?;
                let (address, port) = (authority.address(), authority.port()?);
                (Some(authority), address, port)
            }
        };
        let named = host.and_then(|host| {
            self.tcp.hosts.get(&HostPort(host.host(), port)).or_else(|| {
                suffixes(host.host()).find_map(|end| self.tcp.suffixes.get(&HostPort(end, port)))
            })
        });
        let position = named.or_else(|| self.tcp.by_address(address?, port));
        self.tcp.services.get(*position?)?.route(address)
    }

    /// What is spoken on connections to an address; to be found out when it is not declared.
    pub fn protocol(&self, destination: SocketAddr) -> Protocol {
        let port = destination.port();
        let here = self.addresses.get(&destination.ip().to_canonical());
        let declared = here.into_iter().flatten().find_map(|vhost| vhost.protocol(port));
        declared.unwrap_or(Protocol::Detect)
    }

    /// The addresses of a name in lower case, as DNS gives them; `None` when the mesh has none.
    pub fn addresses_of(&self, name: &[u8]) -> Option<&[IpAddr]> {
        let wild = || suffixes(name).find_map(|suffix| self.suffixes.get(suffix));
        let vhost = self.exact.get(name).or_else(wild)?;
        (!vhost.addresses.is_empty()).then_some(&*vhost.addresses)
    }

    /// Whether services have this address.
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.contains_key(&address.to_canonical())
    }

    /// All hosts, each once.
    pub fn hosts(&self) -> impl Iterator<Item = &Arc<VirtualHost>> {
        let wild = self.suffixes.values().chain(&self.any).chain(&self.wild);
        let exact = self.exact.iter().filter(|(name, vhost)| ***name == *vhost.host.as_bytes());
        exact.map(|(_, vhost)| vhost).chain(wild)
    }

    pub(crate) fn host(&self, authority: &Authority<'_>, port: u16) -> Option<&VirtualHost> {
        let host = authority.host();
        if let Some(vhost) = self.exact.get(host) {
            return Some(vhost);
        }
        if let Some(address) = authority.address() {
            let here = self.addresses.get(&address).map_or(&[][..], Vec::as_slice);
            let vhost = here.iter().find(|vhost| vhost.has_port(port)).or(here.first());
            return vhost.or(self.any.as_ref()).map(Arc::as_ref);
        }
        suffixes(host)
            .find_map(|suffix| self.suffixes.get(suffix))
            .or(self.any.as_ref())
            .map(Arc::as_ref)
    }
}

impl VirtualHost {
    /// The rules for requests to a port: those of the route that has the host, else one rule
    /// named `default` to the service.
    pub fn routes(&self, port: u16) -> &RouteTable {
        match &self.routed {
            Some(routed) if !self.unrouted_ports.contains(&port) => routed,
            Some(_) | None => &self.unrouted,
        }
    }

    /// All tables of rules that [`Self::routes`] chooses from.
    pub fn tables(&self) -> impl Iterator<Item = &RouteTable> {
        let has_unrouted = self.routed.is_none() || !self.unrouted_ports.is_empty();
        let unrouted = has_unrouted.then_some(&*self.unrouted);
        self.routed.as_deref().into_iter().chain(unrouted)
    }

    /// Whether the host has this port.
    pub fn has_port(&self, number: u16) -> bool {
        self.ports.is_empty() || self.ports.iter().any(|port| port.number == number)
    }

    /// What is spoken on a port.
    pub fn protocol(&self, number: u16) -> Option<Protocol> {
        self.ports.iter().find(|port| port.number == number).map(|port| port.protocol)
    }

    fn only_http_port(&self) -> Option<u16> {
        let is_http = |port: &&VirtualHostPort| match port.protocol {
            Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::Detect => true,
            Protocol::Tls | Protocol::Tcp => false,
        };
        let mut ports = self.ports.iter().filter(is_http);
        let first = ports.next()?;
        ports.next().is_none().then_some(first.number)
    }
}

/// What follows each dot of a host, longest first: the wildcards it may be under.
pub(crate) fn suffixes(host: &[u8]) -> impl Iterator<Item = &[u8]> {
    let dots = host.iter().enumerate().filter(|(_, byte)| **byte == b'.');
    dots.filter_map(move |(at, _)| host.get(at.saturating_add(1)..))
}

/// Services by what a TCP connection can be made to. Numbers are positions in `services`.
#[derive(Debug, Default)]
pub(crate) struct TcpTable {
    pub(crate) services: Vec<TcpService>,
    pub(crate) hosts: Map<(Box<[u8]>, u16), usize>,
    pub(crate) suffixes: Map<(Box<[u8]>, u16), usize>,
    pub(crate) addresses: Map<(IpAddr, u16), usize>,
    /// Most specific first.
    pub(crate) blocks: Vec<(Cidr, u16, usize)>,
    /// Services without an address: any connection to the port.
    pub(crate) ports: Map<u16, usize>,
}

impl TcpTable {
    fn by_address(&self, address: IpAddr, port: u16) -> Option<&usize> {
        let address = address.to_canonical();
        self.addresses
            .get(&(address, port))
            .or_else(|| {
                let hit = |(block, number, _): &&(Cidr, u16, usize)| {
                    *number == port && block.contains(address)
                };
                self.blocks.iter().find(hit).map(|(_, _, position)| position)
            })
            .or_else(|| self.ports.get(&port))
    }
}

/// The rules for one port of a service.
#[derive(Debug, Default)]
pub(crate) struct TcpService {
    pub(crate) rules: Vec<(Box<[Cidr]>, TcpRoute)>,
}

impl TcpService {
    /// The first rule that has the address in its subnets, or has none.
    pub(crate) fn route(&self, address: Option<IpAddr>) -> Option<&TcpRoute> {
        let holds = |(subnets, _): &&(Box<[Cidr]>, TcpRoute)| {
            subnets.is_empty()
                || address.is_some_and(|address| subnets.iter().any(|one| one.contains(address)))
        };
        self.rules.iter().find(holds).map(|(_, route)| route)
    }
}

/// Where the connections to a port of a service go.
#[derive(Debug, Clone)]
pub struct TcpRoute {
    /// Port of the service; what [`crate::WeightedDestination::cluster`] asks for.
    pub port: u16,
    /// Labels of the service.
    pub service: Arc<ServiceLabels>,
    /// The document: that of the rule, else of the service.
    pub origin: Arc<Origin>,
    /// Chosen by weight.
    pub destinations: Destinations,
}

#[derive(Hash)]
struct HostPort<'a>(&'a [u8], u16);

impl hashbrown::Equivalent<(Box<[u8]>, u16)> for HostPort<'_> {
    fn equivalent(&self, key: &(Box<[u8]>, u16)) -> bool {
        self.0 == &*key.0 && self.1 == key.1
    }
}
