//! Whether a workload takes plain text: PeerAuthentication.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Origin, Selector};

/// What a workload accepts from its peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerAuth {
    /// Document it was made of. Its namespace is the scope; the root namespace is all.
    pub origin: Origin,
    /// Workloads it applies to; empty is the whole scope.
    #[serde(default)]
    pub selector: Selector,
    /// `None` inherits from the wider scope.
    #[serde(default)]
    pub mode: Option<MtlsMode>,
    /// Modes of single workload ports; `None` inherits from `mode`.
    #[serde(default)]
    pub ports: BTreeMap<u16, Option<MtlsMode>>,
    /// RFC 3339 creation time, empty when unknown: the oldest of a level wins.
    #[serde(default)]
    pub created: String,
}

/// What is accepted on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MtlsMode {
    /// Plain text; TLS is passed through.
    Disable,
    /// Mutual TLS when the client offers the mesh's ALPN, else plain text.
    #[default]
    Permissive,
    /// Mutual TLS alone.
    Strict,
}
