//! Who may call whom: AuthorizationPolicy.

use serde::{Deserialize, Serialize};

use crate::{Origin, Selector, StringMatch};

/// Rules that allow or deny requests to the selected workloads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authorization {
    /// Document it was made of. Its namespace is the scope; the root namespace is all.
    pub origin: Origin,
    /// Workloads it applies to.
    #[serde(default)]
    pub selector: Selector,
    /// What a matching rule does.
    pub action: Action,
    /// The policy is only counted, not enforced (annotation `istio.io/dry-run`).
    #[serde(default)]
    pub dry_run: bool,
    /// Any of these may match; none never matches.
    #[serde(default)]
    pub rules: Vec<AuthorizationRule>,
}

/// What a matching rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Allows; with any such policy on a workload, what none of them allows is denied.
    Allow,
    /// Denies, before anything may allow.
    Deny,
}

/// `from` and `to` and `when` must all hold; empty holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationRule {
    /// Line of the rule in the document's file; 0 when unknown.
    #[serde(default)]
    pub line: u32,
    /// Any of these.
    #[serde(default)]
    pub from: Vec<Source>,
    /// Any of these.
    #[serde(default)]
    pub to: Vec<Operation>,
    /// All of these.
    #[serde(default)]
    pub when: Vec<Condition>,
}

/// Any of `any` must match (unless empty), none of `none` may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matchers<T> {
    /// One of these must match, unless there is none.
    #[serde(default = "Vec::new")]
    pub any: Vec<T>,
    /// None of these may match.
    #[serde(default = "Vec::new")]
    pub none: Vec<T>,
}

impl<T> Default for Matchers<T> {
    fn default() -> Self {
        Self { any: Vec::new(), none: Vec::new() }
    }
}

impl<T> Matchers<T> {
    /// Whether nothing is asked, so that everything matches.
    pub fn is_empty(&self) -> bool {
        self.any.is_empty() && self.none.is_empty()
    }
}

/// A match on Istio's principal (`<trust domain>/ns/<ns>/sa/<sa>`, without the scheme).
pub type Principal = StringMatch;

/// A service account of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceAccount {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// Who calls; all fields must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Verified identity of the peer.
    #[serde(default)]
    pub principals: Matchers<Principal>,
    /// Principal of a verified token, `issuer/subject`.
    #[serde(default)]
    pub request_principals: Matchers<StringMatch>,
    /// Namespace of the peer's identity.
    #[serde(default)]
    pub namespaces: Matchers<StringMatch>,
    /// Service account of the peer's identity.
    #[serde(default)]
    pub service_accounts: Matchers<ServiceAccount>,
    /// IPs or CIDRs of the peer.
    #[serde(default)]
    pub ip_blocks: Matchers<String>,
    /// IPs or CIDRs of the client before any trusted proxy.
    #[serde(default)]
    pub remote_ip_blocks: Matchers<String>,
}

/// What is called; all fields must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// Authority, in any case.
    #[serde(default)]
    pub hosts: Matchers<StringMatch>,
    /// Port of the workload.
    #[serde(default)]
    pub ports: Matchers<u16>,
    /// HTTP method.
    #[serde(default)]
    pub methods: Matchers<StringMatch>,
    /// Path after normalization, without its query.
    #[serde(default)]
    pub paths: Matchers<StringMatch>,
}

/// A further condition on an attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The attribute.
    pub key: ConditionKey,
    /// Values for it. IPs and CIDRs are written as `Exact`.
    pub values: Matchers<StringMatch>,
}

/// Attributes that conditions may ask for. Source: Istio's authorization policy conditions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ConditionKey {
    /// `request.headers[name]`, the name in lower case.
    RequestHeader(String),
    /// `source.ip`.
    SourceIp,
    /// `remote.ip`.
    RemoteIp,
    /// `source.namespace`.
    SourceNamespace,
    /// `source.principal`.
    SourcePrincipal,
    /// `source.serviceAccount`.
    SourceServiceAccount,
    /// `request.auth.principal`.
    RequestPrincipal,
    /// `request.auth.audiences`.
    RequestAudiences,
    /// `request.auth.presenter`.
    RequestPresenter,
    /// `request.auth.claims[a][b]`, the path to the claim.
    RequestClaim(Vec<String>),
    /// `destination.ip`.
    DestinationIp,
    /// `destination.port`.
    DestinationPort,
    /// `connection.sni`.
    ConnectionSni,
}
