//! Clusters and their endpoints.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use meshcore_model::{Identity, LoadBalancer, Origin, OutlierDetection, Protocol, TlsOrigination};
use meshcore_model::{ServiceLabels, WorkloadLabels};

use crate::ids::{ClusterId, EndpointId};

/// A port of a service, or a subset of it, as this node calls it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// Id; the same for the same name in every snapshot.
    pub id: ClusterId,
    /// Istio's name, `outbound|<port>|<subset>|<host>`.
    pub name: Arc<str>,
    /// Fully qualified host of the service.
    pub host: Arc<str>,
    /// Subset; empty is the whole service.
    pub subset: Arc<str>,
    /// Port of the service.
    pub port: u16,
    /// What the port declares.
    pub declared: Protocol,
    /// What is spoken to the endpoints.
    pub protocol: UpstreamProtocol,
    /// How an endpoint is chosen.
    pub load_balancer: LoadBalancer,
    /// When an endpoint is taken out for a while.
    pub outlier_detection: Option<OutlierDetection>,
    /// Limits on connections and requests.
    pub limits: Limits,
    /// How the endpoints are found.
    pub resolution: Resolution,
    /// The endpoints with an address.
    pub endpoints: Box<[Endpoint]>,
    /// Security of connections that have no endpoint ([`Resolution::OriginalDst`]).
    pub transport: Transport,
    /// Labels of the service.
    pub service: Arc<ServiceLabels>,
    /// The service's document.
    pub service_origin: Arc<Origin>,
    /// The document of the traffic policy in force.
    pub policy_origin: Option<Arc<Origin>>,
    pub(crate) weights: Weights,
}

/// The weights of a cluster's endpoints, made ready for choosing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Weights {
    /// Sum of the weights up to and with each endpoint; empty when all weights are equal.
    sums: Box<[u64]>,
    stride: u64,
}

impl Weights {
    fn of(endpoints: &[Endpoint]) -> Self {
        let first = endpoints.first().map(|one| one.weight);
        if endpoints.iter().all(|one| Some(one.weight) == first) {
            return Self::default();
        }
        let add = |sum: &mut u64, one: &Endpoint| {
            *sum = sum.saturating_add(u64::from(one.weight));
            Some(*sum)
        };
        let sums: Box<[u64]> = endpoints.iter().scan(0, add).collect();
        let stride = stride(sums.last().copied().unwrap_or(0));
        Self { sums, stride }
    }

    /// Whether all weights are equal.
    pub fn are_equal(&self) -> bool {
        self.sums.is_empty()
    }

    /// Sum of the weights; 0 when they are equal.
    pub fn total(&self) -> u64 {
        self.sums.last().copied().unwrap_or(0)
    }

    /// Position of the endpoint that a point below [`Weights::total`] falls on.
    pub fn position(&self, point: u64) -> usize {
        self.sums.partition_point(|sum| *sum <= point)
    }

    /// The points `stride * n mod total` meet every endpoint exactly as often as its weight says
    /// in `total` steps, and spread the turns of each over them.
    pub fn stride(&self) -> u64 {
        self.stride
    }
}

/// The number nearest to the golden section of `total` that has no divisor in common with it.
/// Source: Knuth, The Art of Computer Programming, volume 3, section 6.4 (the golden section
/// spreads its multiples most evenly).
fn stride(total: u64) -> u64 {
    let golden = total.saturating_mul(618) / 1000;
    (golden.max(1)..total).find(|number| divisor(*number, total) == 1).unwrap_or(1)
}

fn divisor(mut a: u64, mut b: u64) -> u64 {
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    a
}

impl Cluster {
    /// The weights of the endpoints.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The endpoint of this id.
    pub fn endpoint(&self, id: EndpointId) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.id == id)
    }

    pub(crate) fn weigh(&mut self) {
        self.weights = Weights::of(&self.endpoints);
    }
}

/// What is spoken to the endpoints of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// What the client spoke.
    AsClient,
    /// Opaque bytes.
    Tcp,
}

/// How the endpoints of a cluster are found.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolution {
    /// They are known.
    Static,
    /// By resolving names; see [`crate::Snapshot::with_resolved`].
    Dns {
        /// Names, each with the addresses last found for it.
        targets: Box<[DnsTarget]>,
        /// Only the first address of each is used.
        first_only: bool,
    },
    /// The address that the client wanted.
    OriginalDst,
}

/// A name whose addresses are endpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct DnsTarget {
    /// The name.
    pub host: Arc<str>,
    /// Port of the endpoints.
    pub port: u16,
    /// Addresses last found; empty before the first answer.
    pub addresses: Box<[IpAddr]>,
    /// Port that is dialled, when it is not `port`.
    pub(crate) dial_port: Option<u16>,
    pub(crate) weight: u32,
    pub(crate) locality: Arc<str>,
    pub(crate) transport: Transport,
    pub(crate) labels: Arc<WorkloadLabels>,
}

/// Where a request of a cluster may be sent to.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Id; see [`EndpointId`].
    pub id: EndpointId,
    /// Address of the application, as logs name it.
    pub address: EndpointAddress,
    /// Address that is connected to: that of the application's sidecar, when it has its own.
    pub dial: EndpointAddress,
    /// Share among the endpoints of the cluster.
    pub weight: u32,
    /// `region/zone/subzone`; may be empty.
    pub locality: Arc<str>,
    /// How the connection is secured.
    pub transport: Transport,
    /// Labels of the workload.
    pub labels: Arc<WorkloadLabels>,
}

/// An address that can be connected to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EndpointAddress {
    /// TCP.
    Socket(SocketAddr),
    /// Path of a Unix socket.
    Unix(Arc<str>),
}

impl std::fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix://{path}"),
        }
    }
}

/// How a connection to an endpoint is secured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// Not at all.
    Plain,
    /// The mesh's mutual TLS.
    Mtls {
        /// Server name, `outbound_.<port>_.<subset>_.<host>` unless policy sets another.
        sni: Arc<str>,
        /// The server has one of these identities.
        expected: Arc<[Identity]>,
    },
    /// A tunnel: HTTP/2 CONNECT over the mesh's mutual TLS.
    Hbone {
        /// Authority of the CONNECT request: the address of the application.
        authority: Arc<str>,
        /// The server has one of these identities.
        expected: Arc<[Identity]>,
    },
    /// TLS to a server outside the mesh.
    Originate {
        /// Certificates and names.
        tls: Arc<TlsOrigination>,
        /// Name to send and verify where `tls` has none; empty is the request's own host.
        host: Arc<str>,
    },
}

impl Transport {
    /// Whether each request says which host the server has to be, so that a connection serves
    /// those for one host alone.
    pub fn verifies_host_of_request(&self) -> bool {
        match self {
            Self::Originate { host, .. } => host.is_empty(),
            Self::Plain | Self::Mtls { .. } | Self::Hbone { .. } => false,
        }
    }
}

/// Limits on connections and requests, with Istio's defaults. `u32::MAX` is no limit; a time of
/// 0 is off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time.
    pub max_connections: u32,
    /// Requests that may wait for a connection.
    pub max_pending: u32,
    /// Requests at a time.
    pub max_requests: u32,
    /// Requests on one connection.
    pub max_requests_per_connection: u32,
    /// Retries at a time.
    pub max_retries: u32,
    /// Streams at a time on one HTTP/2 connection.
    pub max_concurrent_streams: u32,
    /// Limit for making a connection.
    pub connect_timeout_ms: u64,
    /// A TCP connection without bytes for so long is closed.
    pub tcp_idle_timeout_ms: u64,
    /// A connection without requests for so long is closed.
    pub http_idle_timeout_ms: u64,
    /// A connection older than this is closed.
    pub max_connection_duration_ms: u64,
    /// TCP keep-alive: probes, idle time in s, interval in s; `None` is off.
    pub keepalive: Option<(u32, u64, u64)>,
    /// HTTP/1 is carried over HTTP/2.
    pub h2_upgrade: bool,
}
