//! Whom the mesh trusts: the roots of each trust domain.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Roots of trust domains, as sidecars get them from a control plane. There is one, `trust/mesh`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// PEM of all roots that are trusted, by trust domain.
    pub roots: BTreeMap<String, String>,
    /// Trust domains whose identities are vouched for by the roots of another, by alias.
    #[serde(default)]
    pub aliases: BTreeMap<String, String>,
    /// SHA-256 of the root that signs now, in lower-case hex. A sidecar whose certificate is of
    /// another root asks for a new one, so that the old root can be removed.
    pub signer: String,
}
