//! How a client talks to a service: DestinationRule.

use serde::{Deserialize, Serialize};

use crate::{ExportTo, Labels, Origin, Selector};

/// What clients of a host do: balancing, limits, TLS, and its subsets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrafficPolicy {
    /// Document it was made of.
    pub origin: Origin,
    /// Fully qualified host in lower case; may begin with `*.`.
    pub host: String,
    /// Client workloads it applies to, of its own namespace; `None` is all that see it.
    #[serde(default)]
    pub workload_selector: Option<Selector>,
    /// Namespaces that see it; empty means all.
    #[serde(default)]
    pub export_to: Vec<ExportTo>,
    /// RFC 3339 creation time, empty when unknown: the older of two wins.
    #[serde(default)]
    pub created: String,
    /// Policy for the whole host.
    #[serde(default)]
    pub policy: Policy,
    /// Named groups of endpoints.
    #[serde(default)]
    pub subsets: Vec<Subset>,
}

/// A named group of a service's endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subset {
    /// Name that routes use.
    pub name: String,
    /// Labels of its endpoints.
    #[serde(default)]
    pub labels: Labels,
    /// Overrides the host's policy, a block at a time.
    #[serde(default)]
    pub policy: Policy,
}

/// Blocks of policy. `None` is "not said here".
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// How an endpoint is chosen.
    #[serde(default)]
    pub load_balancer: Option<LoadBalancer>,
    /// Limits on connections and requests.
    #[serde(default)]
    pub connection_pool: Option<ConnectionPool>,
    /// When an endpoint is taken out for a while.
    #[serde(default)]
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS towards the host; `None` leaves it to automatic mutual TLS.
    #[serde(default)]
    pub tls: Option<ClientTls>,
    /// Policies of single ports. They replace the blocks above and never inherit from them.
    #[serde(default)]
    pub ports: Vec<(u16, Policy)>,
}

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadBalancer {
    /// The less busy of two taken at random.
    #[default]
    LeastRequest,
    /// One after the other, by weight.
    RoundRobin,
    /// At random, by weight.
    Random,
    /// The address the client wanted.
    Passthrough,
}

/// Limits on connections and requests towards a host. `None` is Istio's default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionPool {
    /// Connections at a time (all endpoints together).
    #[serde(default)]
    pub max_connections: Option<u32>,
    /// Limit for making a connection.
    #[serde(default)]
    pub connect_timeout_ms: Option<u64>,
    /// A TCP connection without bytes for so long is closed.
    #[serde(default)]
    pub tcp_idle_timeout_ms: Option<u64>,
    /// A connection older than this is closed.
    #[serde(default)]
    pub max_connection_duration_ms: Option<u64>,
    /// TCP keep-alive: probes, idle time in s, interval in s; 0 is the system's.
    #[serde(default)]
    pub keepalive: Option<(u32, u64, u64)>,
    /// Requests that may wait for a connection.
    #[serde(default)]
    pub max_pending_requests: Option<u32>,
    /// Requests at a time (HTTP/1 and HTTP/2 alike).
    #[serde(default)]
    pub max_requests: Option<u32>,
    /// Requests on one connection before it is closed.
    #[serde(default)]
    pub max_requests_per_connection: Option<u32>,
    /// Retries at a time.
    #[serde(default)]
    pub max_retries: Option<u32>,
    /// An upstream connection without requests for so long is closed.
    #[serde(default)]
    pub http_idle_timeout_ms: Option<u64>,
    /// Streams at a time on one HTTP/2 connection.
    #[serde(default)]
    pub max_concurrent_streams: Option<u32>,
    /// Whether HTTP/1 is carried over HTTP/2.
    #[serde(default)]
    pub h2_upgrade: H2Upgrade,
    /// Upstream speaks what the client spoke.
    #[serde(default)]
    pub use_client_protocol: bool,
}

/// Whether HTTP/1 requests are carried over HTTP/2 to the next sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum H2Upgrade {
    /// As the mesh says; off.
    #[default]
    Default,
    /// Never.
    Never,
    /// Always.
    Always,
}

/// When an endpoint is taken out for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutlierDetection {
    /// 5xx answers in a row; 0 is off.
    pub consecutive_5xx: u32,
    /// 502, 503, 504 in a row; 0 is off.
    pub consecutive_gateway_errors: u32,
    /// Failures to connect in a row, counted apart; 0 is off.
    pub consecutive_local_failures: u32,
    /// Failures to connect are counted apart from answers.
    pub split_local_errors: bool,
    /// Time between two checks.
    pub interval_ms: u64,
    /// First time out; grows with every further one.
    pub base_ejection_ms: u64,
    /// Most of the endpoints that may be out, in percent.
    pub max_ejection_percent: u32,
    /// With fewer healthy endpoints than this, in percent, all are used; 0 is off.
    pub min_health_percent: u32,
}

/// TLS towards a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientTls {
    /// None.
    Disable,
    /// The mesh's own certificate and identities.
    IstioMutual {
        /// Names that the server may have instead of the derived identities.
        #[serde(default)]
        subject_alt_names: Vec<String>,
        /// Server name to send.
        #[serde(default)]
        sni: Option<String>,
    },
    /// TLS to a server outside the mesh.
    Originate(TlsOrigination),
}

/// TLS to a server outside the mesh. Paths are PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsOrigination {
    /// Our certificate, for mutual TLS.
    #[serde(default)]
    pub client_certificate: Option<String>,
    /// Key of our certificate.
    #[serde(default)]
    pub private_key: Option<String>,
    /// Authorities to trust; `None` is those of the system.
    #[serde(default)]
    pub ca_certificates: Option<String>,
    /// Names that the server's certificate must carry; empty is the host.
    #[serde(default)]
    pub subject_alt_names: Vec<String>,
    /// Server name to send; `None` is the host.
    #[serde(default)]
    pub sni: Option<String>,
    /// The server's certificate is not looked at.
    #[serde(default)]
    pub insecure_skip_verify: bool,
}
