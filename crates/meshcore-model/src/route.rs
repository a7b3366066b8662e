//! Where requests go: VirtualService and, later, Gateway API routes.

use serde::{Deserialize, Serialize};

use crate::{ExportTo, Labels, Origin, PathMatch, StringMatch};

/// The rules for some hosts, tried in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Document it was made of.
    pub origin: Origin,
    /// Fully qualified hosts in lower case; may begin with `*.` or be `*`.
    pub hosts: Vec<String>,
    /// Gateways it is bound to as `namespace/name`; `mesh` means sidecars.
    pub gateways: Vec<String>,
    /// Namespaces that see it; empty means all.
    #[serde(default)]
    pub export_to: Vec<ExportTo>,
    /// RFC 3339 creation time, empty when unknown: the older of two wins a host.
    #[serde(default)]
    pub created: String,
    /// Rules for HTTP, the first match wins.
    #[serde(default)]
    pub http: Vec<HttpRule>,
    /// Rules for opaque TCP, the first match wins.
    #[serde(default)]
    pub tcp: Vec<TcpRule>,
}

/// One rule for HTTP requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRule {
    /// Name for logs; `default` when the document has none.
    pub name: String,
    /// Line of the rule in the document's file; 0 when unknown.
    #[serde(default)]
    pub line: u32,
    /// Any of these must match; empty matches every request.
    #[serde(default)]
    pub matches: Vec<HttpMatch>,
    /// What is done with a matching request.
    pub action: Action,
    /// Change of path and authority before forwarding.
    #[serde(default)]
    pub rewrite: Option<Rewrite>,
    /// Limit for the whole request with its retries; `None` is no limit.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// When and how often a failed request is tried again.
    pub retries: Retries,
    /// Faults injected on purpose.
    #[serde(default)]
    pub fault: Option<Fault>,
    /// Where copies of the request are sent.
    #[serde(default)]
    pub mirrors: Vec<Mirror>,
    /// Changes to the request's header.
    #[serde(default)]
    pub request_headers: HeaderEdits,
    /// Changes to the response's header.
    #[serde(default)]
    pub response_headers: HeaderEdits,
}

/// Conditions that must all hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpMatch {
    /// Name appended to the rule's in logs.
    #[serde(default)]
    pub name: String,
    /// Path of the request.
    #[serde(default)]
    pub path: Option<PathMatch>,
    /// `path` ignores the case of letters (exact and prefix only).
    #[serde(default)]
    pub ignore_path_case: bool,
    /// Scheme, `http` or `https`.
    #[serde(default)]
    pub scheme: Option<StringMatch>,
    /// Method.
    #[serde(default)]
    pub method: Option<StringMatch>,
    /// Authority, without its port.
    #[serde(default)]
    pub authority: Option<StringMatch>,
    /// Header fields that must match.
    #[serde(default)]
    pub headers: Vec<ValueMatch>,
    /// Header fields that must not match; a missing one does not match.
    #[serde(default)]
    pub without_headers: Vec<ValueMatch>,
    /// Query parameters that must match.
    #[serde(default)]
    pub query: Vec<ValueMatch>,
    /// Port the request was sent to.
    #[serde(default)]
    pub port: Option<u16>,
    /// Labels of the client's workload.
    #[serde(default)]
    pub source_labels: Labels,
    /// Namespace of the client's workload.
    #[serde(default)]
    pub source_namespace: Option<String>,
    /// Gateways, when they differ from the route's.
    #[serde(default)]
    pub gateways: Vec<String>,
}

/// A match on a named value: a header field or a query parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueMatch {
    /// Name; of a header field in lower case.
    pub name: String,
    /// What its value must be. `Present` also takes an empty value here.
    pub value: StringMatch,
}

/// What is done with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Sent to one of these, chosen by weight.
    Forward(Vec<Destination>),
    /// Answered with a redirect.
    Redirect(Redirect),
    /// Answered with this status and body.
    Respond {
        /// HTTP status.
        status: u16,
        /// Body, as text.
        #[serde(default)]
        body: String,
    },
}

/// One place a request may be sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// Fully qualified host of a service.
    pub host: String,
    /// Subset named in the traffic policy of `host`.
    #[serde(default)]
    pub subset: Option<String>,
    /// Service port; `None` is the service's only port, else the port the request was sent to.
    #[serde(default)]
    pub port: Option<u16>,
    /// Share among the destinations of a rule; ignored when there is only one.
    pub weight: u32,
    /// Changes to the request's header for this destination alone.
    #[serde(default)]
    pub request_headers: HeaderEdits,
    /// Changes to the response's header for this destination alone.
    #[serde(default)]
    pub response_headers: HeaderEdits,
}

/// A redirect; what is `None` stays as it was in the request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// New path, in place of the whole one.
    #[serde(default)]
    pub path: Option<String>,
    /// New beginning of the path, in place of the matched prefix.
    #[serde(default)]
    pub prefix: Option<String>,
    /// New authority.
    #[serde(default)]
    pub authority: Option<String>,
    /// New port; `None` keeps the request's unless `default_port` is set.
    #[serde(default)]
    pub port: Option<u16>,
    /// The port of the scheme (`FROM_PROTOCOL_DEFAULT`).
    #[serde(default)]
    pub default_port: bool,
    /// New scheme.
    #[serde(default)]
    pub scheme: Option<String>,
}

/// Change of a request before it is forwarded. The query stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    /// New path: in place of the matched prefix, or of the whole path after an exact match.
    #[serde(default)]
    pub path: Option<String>,
    /// New authority.
    #[serde(default)]
    pub authority: Option<String>,
    /// Expression searched in the path, and its replacement (`\1` is the first group).
    #[serde(default)]
    pub regex: Option<(String, String)>,
}

/// When and how often a failed request is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retries {
    /// Tries after the first one.
    pub attempts: u32,
    /// Limit for one try; `None` is the limit of the whole request.
    #[serde(default)]
    pub per_try_timeout_ms: Option<u64>,
    /// Which failures are tried again.
    pub on: Vec<RetryOn>,
    /// Statuses that are tried again.
    #[serde(default)]
    pub statuses: Vec<u16>,
    /// First back-off; doubled for every further try, with full jitter.
    #[serde(default = "default_backoff_ms")]
    pub backoff_ms: u64,
    /// An endpoint that failed is not chosen again while there are others.
    #[serde(default = "yes")]
    pub avoid_previous_hosts: bool,
}

/// Base of the back-off between tries. Source: Istio's default retry policy.
const fn default_backoff_ms() -> u64 {
    25
}

const fn yes() -> bool {
    true
}

impl Default for Retries {
    /// Two retries, only where the request was surely not processed or gRPC says so.
    ///
    /// Source: Istio's default retry policy (without the status 503).
    fn default() -> Self {
        Self {
            attempts: 2,
            per_try_timeout_ms: None,
            on: vec![
                RetryOn::ConnectFailure,
                RetryOn::RefusedStream,
                RetryOn::GrpcUnavailable,
                RetryOn::GrpcCancelled,
            ],
            statuses: Vec::new(),
            backoff_ms: default_backoff_ms(),
            avoid_previous_hosts: true,
        }
    }
}

/// A class of failures that may be tried again. Source: Envoy's `x-envoy-retry-on` and
/// `x-envoy-retry-grpc-on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryOn {
    /// Any 5xx, or no answer at all.
    #[serde(rename = "5xx")]
    ServerError,
    /// 502, 503 or 504.
    GatewayError,
    /// The connection was lost or reset before the answer began.
    Reset,
    /// As `Reset`, when no byte of the request was sent.
    ResetBeforeRequest,
    /// The connection could not be made.
    ConnectFailure,
    /// 409.
    #[serde(rename = "retriable-4xx")]
    Conflict,
    /// The stream was refused before it was processed.
    RefusedStream,
    /// gRPC status `CANCELLED`.
    #[serde(rename = "cancelled")]
    GrpcCancelled,
    /// gRPC status `DEADLINE_EXCEEDED`.
    #[serde(rename = "deadline-exceeded")]
    GrpcDeadlineExceeded,
    /// gRPC status `INTERNAL`.
    #[serde(rename = "internal")]
    GrpcInternal,
    /// gRPC status `RESOURCE_EXHAUSTED`.
    #[serde(rename = "resource-exhausted")]
    GrpcResourceExhausted,
    /// gRPC status `UNAVAILABLE`.
    #[serde(rename = "unavailable")]
    GrpcUnavailable,
}

/// A fault injected on purpose, before routing's timeouts and retries apply.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Delay in milliseconds, and its share of requests in parts per million.
    #[serde(default)]
    pub delay: Option<(u64, u32)>,
    /// HTTP status of the abort, and its share of requests in parts per million.
    #[serde(default)]
    pub abort: Option<(u16, u32)>,
    /// gRPC status of the abort, and its share of requests in parts per million.
    #[serde(default)]
    pub abort_grpc: Option<(u32, u32)>,
}

/// Where a copy of a request is sent; its answer is thrown away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// Where the copy goes.
    pub destination: Destination,
    /// Share of requests in parts per million.
    pub share_ppm: u32,
}

/// Changes to header fields, applied in the order remove, set, add.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderEdits {
    /// Fields that are replaced, or made when missing.
    #[serde(default)]
    pub set: Vec<(String, String)>,
    /// Fields that are appended.
    #[serde(default)]
    pub add: Vec<(String, String)>,
    /// Names of fields that are removed.
    #[serde(default)]
    pub remove: Vec<String>,
}

impl HeaderEdits {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }
}

/// One rule for opaque TCP connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpRule {
    /// Line of the rule in the document's file; 0 when unknown.
    #[serde(default)]
    pub line: u32,
    /// Any of these must match; empty matches every connection.
    #[serde(default)]
    pub matches: Vec<TcpMatch>,
    /// Chosen by weight.
    pub destinations: Vec<Destination>,
}

/// Conditions on a connection that must all hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpMatch {
    /// IPs or CIDRs of the destination.
    #[serde(default)]
    pub destination_subnets: Vec<String>,
    /// Server names of TLS that is not ended here, of which one must be asked for; empty asks
    /// for no TLS. May begin with `*.`, or be `*`.
    #[serde(default)]
    pub sni_hosts: Vec<String>,
    /// Port the connection was made to.
    #[serde(default)]
    pub port: Option<u16>,
    /// Labels of the client's workload.
    #[serde(default)]
    pub source_labels: Labels,
    /// Namespace of the client's workload.
    #[serde(default)]
    pub source_namespace: Option<String>,
    /// Gateways, when they differ from the route's.
    #[serde(default)]
    pub gateways: Vec<String>,
}
