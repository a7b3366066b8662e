//! Workload identity in SPIFFE form.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A workload's identity: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.
///
/// Source: Istio's identity format; SPIFFE ID specification section 2 (character sets).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Identity {
    uri: Box<str>,
    trust_domain_end: usize,
    namespace_end: usize,
}

const SCHEME: &str = "spiffe://";
const NAMESPACE: &str = "/ns/";
const SERVICE_ACCOUNT: &str = "/sa/";

/// Longest SPIFFE ID that may be relied on. Source: SPIFFE ID specification section 2.3.
const MAX_BYTES: usize = 2048;

/// The text is not an identity of this form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not spiffe://<trust domain>/ns/<namespace>/sa/<service account>")]
pub struct InvalidIdentity(String);

impl Identity {
    /// Puts an identity together from its three parts.
    ///
    /// # Errors
    ///
    /// [`InvalidIdentity`] when a part is empty or has a character SPIFFE does not allow.
    pub fn new(
        trust_domain: &str,
        namespace: &str,
        service_account: &str,
    ) -> Result<Self, InvalidIdentity> {
        format!("{SCHEME}{trust_domain}{NAMESPACE}{namespace}{SERVICE_ACCOUNT}{service_account}")
            .parse()
    }

    /// The trust domain, such as `cluster.local`.
    pub fn trust_domain(&self) -> &str {
        self.part(SCHEME.len(), self.trust_domain_end)
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.part(self.trust_domain_end.saturating_add(NAMESPACE.len()), self.namespace_end)
    }

    /// The service account.
    pub fn service_account(&self) -> &str {
        self.part(self.namespace_end.saturating_add(SERVICE_ACCOUNT.len()), self.uri.len())
    }

    /// The whole identity as a URI.
    pub fn as_str(&self) -> &str {
        &self.uri
    }

    /// Istio's principal: the identity without its scheme.
    pub fn principal(&self) -> &str {
        self.part(SCHEME.len(), self.uri.len())
    }

    fn part(&self, from: usize, to: usize) -> &str {
        self.uri.get(from..to).unwrap_or_default()
    }
}

impl FromStr for Identity {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        let invalid = || InvalidIdentity(text.chars().take(200).collect());
        if text.len() > MAX_BYTES {
            return Err(invalid());
        }
        let rest = text.strip_prefix(SCHEME).ok_or_else(invalid)?;
        let (trust_domain, rest) = rest.split_once('/').ok_or_else(invalid)?;
        let (namespace, service_account) = rest
            .strip_prefix("ns/")
            .and_then(|rest| rest.split_once('/'))
            .and_then(|(namespace, rest)| Some((namespace, rest.strip_prefix("sa/")?)))
            .ok_or_else(invalid)?;
        let trust_domain_is_plain = trust_domain
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'));
        if trust_domain.is_empty() || trust_domain.len() > 255 || !trust_domain_is_plain {
            return Err(invalid());
        }
        if !is_segment(namespace) || !is_segment(service_account) {
            return Err(invalid());
        }
        let trust_domain_end = SCHEME.len().saturating_add(trust_domain.len());
        let namespace_end =
            trust_domain_end.saturating_add(NAMESPACE.len()).saturating_add(namespace.len());
        Ok(Self { uri: text.into(), trust_domain_end, namespace_end })
    }
}

/// One path segment. Source: SPIFFE ID specification section 2.2.
fn is_segment(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

impl TryFrom<String> for Identity {
    type Error = InvalidIdentity;

    fn try_from(text: String) -> Result<Self, InvalidIdentity> {
        text.parse()
    }
}

impl From<Identity> for String {
    fn from(identity: Identity) -> Self {
        identity.uri.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back() {
        let identity = Identity::new("cluster.local", "prod", "web").unwrap();
        assert_eq!(identity.as_str(), "spiffe://cluster.local/ns/prod/sa/web");
        assert_eq!(identity.principal(), "cluster.local/ns/prod/sa/web");
        assert_eq!(identity.trust_domain(), "cluster.local");
        assert_eq!(identity.namespace(), "prod");
        assert_eq!(identity.service_account(), "web");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "spiffe://",
            "spiffe://td",
            "spiffe://td/",
            "spiffe://td/ns/a",
            "spiffe://td/ns/a/sa/",
            "spiffe://td/ns//sa/b",
            "spiffe:///ns/a/sa/b",
            "spiffe://TD/ns/a/sa/b",
            "spiffe://td:80/ns/a/sa/b",
            "spiffe://user@td/ns/a/sa/b",
            "SPIFFE://td/ns/a/sa/b",
            "http://td/ns/a/sa/b",
            "spiffe://td/ns/a/sa/b/c",
            "spiffe://td/ns/a/sa/b?x",
            "spiffe://td/ns/a/sa/b#x",
            "spiffe://td/ns/../sa/b",
            "spiffe://td/ns/a/sa/%62",
            "spiffe://td/ns/a/sa/b\0",
            "spiffe://td/sa/a/ns/b",
        ] {
            assert!(text.parse::<Identity>().is_err(), "{text:?}");
        }
        let long = format!("spiffe://td/ns/a/sa/{}", "b".repeat(MAX_BYTES));
        assert!(long.parse::<Identity>().is_err());
    }
}
