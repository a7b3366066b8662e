//! All resources together.

use serde::{Deserialize, Serialize};

use crate::{Authorization, Credential, Gateway, PeerAuth, Retries, Route, Service};
use crate::{TrafficPolicy, Workload, WorkloadGroup};

/// What a mesh is made of, as one revision.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mesh {
    /// Grows with every change.
    pub revision: u64,
    /// What holds for the whole mesh.
    #[serde(default)]
    pub settings: Settings,
    /// Services.
    #[serde(default)]
    pub services: Vec<Service>,
    /// Workloads that service selectors choose from.
    #[serde(default)]
    pub workloads: Vec<Workload>,
    /// Routes.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// Traffic policies.
    #[serde(default)]
    pub traffic_policies: Vec<TrafficPolicy>,
    /// Peer authentication.
    #[serde(default)]
    pub peer_auths: Vec<PeerAuth>,
    /// Authorization.
    #[serde(default)]
    pub authorizations: Vec<Authorization>,
    /// Gateways.
    #[serde(default)]
    pub gateways: Vec<Gateway>,
    /// Certificates and keys of gateways.
    #[serde(default)]
    pub credentials: Vec<Credential>,
    /// What workloads that register themselves have in common.
    #[serde(default)]
    pub workload_groups: Vec<WorkloadGroup>,
    /// The hosts that were asked for, as they are called, when this is only the part of a mesh
    /// that belongs to them; `None` when it is all that the node may see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Vec<String>>,
}

/// What holds for the whole mesh. Names and defaults are those of Istio's `MeshConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Trust domain of the mesh's identities.
    pub trust_domain: String,
    /// Further trust domains that mean the same.
    pub trust_domain_aliases: Vec<String>,
    /// DNS suffix of services: hosts are `name.namespace.svc.<domain>`.
    pub domain: String,
    /// Namespace whose policies hold for all.
    pub root_namespace: String,
    /// What happens to requests for unknown hosts.
    pub outbound_policy: OutboundPolicy,
    /// Mutual TLS is used without being asked for where both sides can.
    pub auto_mtls: bool,
    /// Limit for making a connection.
    pub connect_timeout_ms: u64,
    /// How long the first bytes of a connection are waited for; 0 waits without limit.
    pub detection_timeout_ms: u64,
    /// Retries of rules that do not say.
    pub default_retries: Retries,
    /// How paths are brought to one form before policy and routing see them.
    pub path_normalization: PathNormalization,
    /// Access log; `None` is off.
    pub access_log: Option<AccessLog>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trust_domain: "cluster.local".into(),
            trust_domain_aliases: Vec::new(),
            domain: "cluster.local".into(),
            root_namespace: "istio-system".into(),
            outbound_policy: OutboundPolicy::AllowAny,
            auto_mtls: true,
            connect_timeout_ms: 10_000,
            detection_timeout_ms: 5_000,
            default_retries: Retries::default(),
            path_normalization: PathNormalization::DecodeAndMergeSlashes,
            access_log: None,
        }
    }
}

/// What happens to requests for hosts that the mesh does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutboundPolicy {
    /// They go where the application wanted.
    AllowAny,
    /// They are refused with 502.
    RegistryOnly,
}

/// How paths are brought to one form. Source: Istio's `MeshConfig.pathNormalization`.
///
/// The default is the strictest, unlike Istio's `Base`, under which a DENY by prefix can be
/// passed by spelling the path differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathNormalization {
    /// Not at all.
    None,
    /// Dot segments and the case of escapes (RFC 3986 section 6), `\` to `/`.
    Base,
    /// As `Base`, and several slashes become one.
    MergeSlashes,
    /// As `MergeSlashes`, after `%2F` and `%5C` are decoded.
    DecodeAndMergeSlashes,
}

/// Where the access log goes and what it looks like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessLog {
    /// File; `/dev/stdout` is standard output.
    pub path: String,
    /// Form of a line.
    pub format: LogFormat,
}

/// Form of an access log line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Istio's default text, or this pattern of `%OPERATORS%`.
    Text(Option<String>),
    /// A JSON object with Istio's default keys.
    Json,
}
