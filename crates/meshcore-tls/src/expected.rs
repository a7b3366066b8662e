//! Whom a client expects at the other end.

use std::collections::BTreeSet;
use std::sync::Arc;

use meshcore_model::Identity;

use crate::leaf::Leaf;
use crate::refusal::Refusal;

/// Whom a mesh client accepts as its server. Equal expectations share one configuration and
/// with it one session store. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Expected(Arc<Names>);

#[derive(Debug, PartialEq, Eq, Hash)]
enum Names {
    Uris(BTreeSet<Box<str>>),
    TrustDomains(BTreeSet<Box<str>>),
}

// === impl Expected ===

impl Expected {
    /// One of these identities, compared byte by byte. With none, every server is refused.
    pub fn identities<'a>(identities: impl IntoIterator<Item = &'a Identity>) -> Self {
        let uris = identities.into_iter().map(|one| one.as_str().into()).collect();
        Self(Arc::new(Names::Uris(uris)))
    }

    /// Any identity in one of these trust domains. With none, every server is refused.
    pub fn trust_domains<S: AsRef<str>>(domains: impl IntoIterator<Item = S>) -> Self {
        let domains = domains.into_iter().map(|one| one.as_ref().into()).collect();
        Self(Arc::new(Names::TrustDomains(domains)))
    }

    pub(crate) fn accept(&self, leaf: &Leaf) -> Result<(), Refusal> {
        let accepted = match self.0.as_ref() {
            Names::Uris(uris) => uris.contains(leaf.identity.as_str()),
            Names::TrustDomains(domains) => domains.contains(leaf.identity.trust_domain()),
        };
        if accepted {
            return Ok(());
        }
        Err(Refusal::Unexpected {
            presented: leaf.identity.to_string(),
            expected: self.to_string(),
        })
    }
}

/// The first names, in words.
impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, names) = match self.0.as_ref() {
            Names::Uris(uris) => ("", uris),
            Names::TrustDomains(domains) => ("an identity in ", domains),
        };
        let Some(first) = names.first() else { return f.write_str("nobody") };
        write!(f, "{kind}{first}")?;
        match names.len().saturating_sub(1) {
            0 => Ok(()),
            others => write!(f, " or one of {others} more"),
        }
    }
}
