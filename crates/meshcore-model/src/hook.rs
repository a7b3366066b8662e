//! Python hooks as the data plane sees them.

use serde::{Deserialize, Serialize};

/// A registered Python hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// Index in the registry; what the call names.
    pub id: u32,
    /// `plugin.function`, for logs and metrics.
    pub name: String,
    /// `file:line` of the function.
    pub origin: String,
    /// Where in a request's way it is called.
    pub stage: HookStage,
    /// Hosts it is called for (exact or `*.suffix`); empty is all.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Path prefixes it is called for; empty is all.
    #[serde(default)]
    pub path_prefixes: Vec<String>,
    /// Methods it is called for; empty is all.
    #[serde(default)]
    pub methods: Vec<String>,
    /// Attributes the hook may read; `None` is all of them (and no caching).
    #[serde(default)]
    pub reads: Option<Vec<Attribute>>,
    /// How long a decision is remembered under the declared attributes; 0 is not at all.
    #[serde(default)]
    pub cache_ms: u64,
    /// Time until the declared answer is given in its place.
    pub timeout_ms: u64,
    /// The declared answer when it raises, is late, or returns nonsense.
    pub on_error: HookAnswer,
    /// How it is called.
    pub mode: HookMode,
}

/// Where in a request's way a hook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookStage {
    /// Chooses a destination (outbound).
    Route,
    /// Allows or denies (inbound, after the native policy).
    Authorize,
    /// Changes the request before it is forwarded.
    OnRequest,
    /// Changes the response before it is sent back.
    OnResponse,
    /// Sees finished requests, in batches, off the request path.
    Telemetry,
}

/// How a hook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookMode {
    /// On the worker behind the gate while it is short, else on the policy thread.
    Inline,
    /// Always on the policy thread.
    Queued,
    /// On the event loop of the policy thread (`async def`).
    Async,
    /// In a process of the plugin's own.
    Process,
}

/// What a hook's failure means for the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookAnswer {
    /// The request goes on as if the hook had allowed it.
    Allow,
    /// The request is refused with 503.
    Deny,
    /// The hook is passed over.
    Skip,
}

/// An attribute of a request that a hook may read. Source: Envoy's attribute vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Attribute {
    /// `request.method`.
    Method,
    /// `request.path` (without the query).
    Path,
    /// `request.query`.
    Query,
    /// `request.host`.
    Host,
    /// `request.scheme`.
    Scheme,
    /// `request.protocol`.
    Protocol,
    /// `request.headers[name]`, the name in lower case.
    Header(String),
    /// `source.principal`.
    SourcePrincipal,
    /// `source.namespace`.
    SourceNamespace,
    /// `source.ip`.
    SourceIp,
    /// `destination.port`.
    DestinationPort,
    /// `connection.mtls`.
    Mtls,
    /// `route.name`.
    RouteName,
    /// `response.code`.
    ResponseCode,
    /// `response.headers[name]`, the name in lower case.
    ResponseHeader(String),
}
