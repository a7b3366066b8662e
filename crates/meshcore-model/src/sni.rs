//! Istio's server name for mesh traffic: `outbound_.<port>_.<subset>_.<host>`.
//!
//! An east-west gateway routes by it without opening the TLS.
//! Source: Istio `pkg/config/.../BuildDNSSrvSubsetKey`.

use std::fmt;
use std::str::FromStr;

/// Longest DNS name. Source: RFC 1035 section 2.3.4.
const MAX_NAME_BYTES: usize = 253;

/// What a mesh client says in SNI: the service, its port and the subset.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MeshSni {
    /// Service port.
    pub port: u16,
    /// Subset of the DestinationRule; empty when none was chosen.
    pub subset: String,
    /// Service host name.
    pub host: String,
}

/// The server name is not of Istio's form: route it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("server name is not outbound_.<port>_.<subset>_.<host>")]
pub struct NotMeshSni;

// === impl MeshSni ===

impl FromStr for MeshSni {
    type Err = NotMeshSni;

    fn from_str(name: &str) -> Result<Self, NotMeshSni> {
        let mut parts = name.splitn(4, "_.");
        let mut next = || parts.next().ok_or(NotMeshSni);
        let (direction, port, subset, host) = (next()?, next()?, next()?, next()?);
        let has_plain_port = port.bytes().all(|byte| byte.is_ascii_digit());
        if direction != "outbound" || !has_plain_port || !is_host(host) || !is_subset(subset) {
            return Err(NotMeshSni);
        }
        let port = port.parse().map_err(|_| NotMeshSni)?;
        if port == 0 || name.len() > MAX_NAME_BYTES {
            return Err(NotMeshSni);
        }
        Ok(Self { port, subset: subset.to_owned(), host: host.to_ascii_lowercase() })
    }
}

impl fmt::Display for MeshSni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "outbound_.{}_.{}_.{}", self.port, self.subset, self.host)
    }
}

fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_*".contains(&b))
    };
    host.split('.').all(is_label)
}

fn is_subset(subset: &str) -> bool {
    subset.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for (text, port, subset, host) in [
            (
                "outbound_.8080_.v1_.reviews.default.svc.cluster.local",
                8080,
                "v1",
                "reviews.default.svc.cluster.local",
            ),
            ("outbound_.80_._.httpbin.org", 80, "", "httpbin.org"),
            ("outbound_.65535_.blue-green_.a", 65535, "blue-green", "a"),
        ] {
            let parsed: MeshSni = text.parse().unwrap();
            let expected = MeshSni { port, subset: subset.into(), host: host.into() };
            assert_eq!(parsed, expected);
            assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn other_names_are_not_mesh_names() {
        for text in [
            "",
            "example.com",
            "outbound_.80_.v1",
            "outbound_.80_.v1_.",
            "outbound_.80_._.a..b",
            "outbound_.0_._.a",
            "outbound_.65536_._.a",
            "outbound_.+80_._.a",
            "outbound_._._.a",
            "inbound_.80_._.a",
            "outbound_.80_.v 1_.a",
            "outbound_.80_._.a b",
            "outbound_.80_._.a/b",
            "outbound|80||a",
        ] {
            assert_eq!(text.parse::<MeshSni>(), Err(NotMeshSni), "{text:?}");
        }
        let long = format!("outbound_.80_._.{}", "a.".repeat(150) + "a");
        assert_eq!(long.parse::<MeshSni>(), Err(NotMeshSni));
    }

    proptest::proptest! {
        #[test]
        fn what_parses_is_written_the_same(text in "(outbound_\\.)?[0-9a-z_.*-]{0,60}") {
            if let Ok(sni) = text.parse::<MeshSni>() {
                proptest::prop_assert_eq!(sni.to_string().parse::<MeshSni>(), Ok(sni));
            }
        }
    }
}
