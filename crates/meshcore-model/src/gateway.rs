//! Gateways: where the mesh takes traffic from outside, or sends it there in one place.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Labels, Origin};

/// Servers that the selected gateways open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Document it was made of.
    pub origin: Origin,
    /// Labels of the gateways that open it, in any namespace; empty is all of them.
    #[serde(default)]
    pub selector: Labels,
    /// RFC 3339 creation time, empty when unknown: the older of two wins a port.
    #[serde(default)]
    pub created: String,
    /// What they open.
    pub servers: Vec<GatewayServer>,
}

/// Some hosts on a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayServer {
    /// Line of the server in the document's file; 0 when unknown.
    #[serde(default)]
    pub line: u32,
    /// Port that clients know. A gateway listens on the port that its service has behind it.
    pub port: u16,
    /// Port to listen on where no service says; `None` is `port`.
    #[serde(default)]
    pub target_port: Option<u16>,
    /// What is spoken.
    pub protocol: GatewayProtocol,
    /// Address to listen on; `None` is that of the gateway.
    #[serde(default)]
    pub bind: Option<IpAddr>,
    /// Hosts that are served.
    pub hosts: Vec<GatewayHost>,
    /// Every request is answered with a redirect to `https`.
    #[serde(default)]
    pub https_redirect: bool,
    /// How TLS is taken; `None` is plain text.
    #[serde(default)]
    pub tls: Option<ServerTls>,
}

/// What is spoken on a port of a gateway, inside its TLS if it has any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayProtocol {
    /// HTTP/1 and HTTP/2.
    Http,
    /// Bytes.
    Tcp,
}

/// A host, and the namespace whose routes may be bound to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayHost {
    /// Namespace of the routes; `None` is any.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Host in lower case; may begin with `*.` or be `*`.
    pub host: String,
}

/// How TLS is taken by a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerTls {
    /// Who has to show what.
    pub mode: ServerTlsMode,
    /// Certificates of the server, of different kinds of keys.
    #[serde(default)]
    pub certificates: Vec<CertificateSource>,
    /// Whom clients are trusted by.
    #[serde(default)]
    pub clients: ClientProof,
    /// Oldest version that is spoken.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// Newest version that is spoken.
    #[serde(default = "newest")]
    pub max_version: TlsVersion,
    /// Names of cipher suites of TLS 1.2, best first, as OpenSSL writes them; empty is all that
    /// are spoken.
    #[serde(default)]
    pub cipher_suites: Vec<String>,
}

const fn newest() -> TlsVersion {
    TlsVersion::Tls13
}

/// Who has to show what. Source: Istio's `ServerTLSSettings.TLSmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerTlsMode {
    /// Nothing: TLS is not ended here, the server name says where it goes.
    Passthrough,
    /// The server shows a certificate.
    Simple,
    /// Both do.
    Mutual,
    /// The server does, and the client may.
    OptionalMutual,
    /// Both do, with the mesh's identities.
    IstioMutual,
}

/// A version of TLS.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// Where a certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CertificateSource {
    /// PEM files of the gateway.
    Files {
        /// The chain, the server's own first.
        certificate: String,
        /// Its key.
        key: String,
    },
    /// A [`Credential`] of the gateway's namespace.
    Credential(String),
}

/// Whom clients are trusted by, and what more their certificates must be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientProof {
    /// PEM file of the authorities.
    #[serde(default)]
    pub ca_file: Option<String>,
    /// PEM file of certificates that were taken back.
    #[serde(default)]
    pub crl_file: Option<String>,
    /// [`Credential`] with the authorities; `None` is the first of the server's own.
    #[serde(default)]
    pub credential: Option<String>,
    /// Names of which a client's certificate must have one; empty is any.
    #[serde(default)]
    pub names: Vec<String>,
    /// SHA-256 of the public key (base64), one of which it must have; empty is any.
    #[serde(default)]
    pub key_hashes: Vec<String>,
    /// SHA-256 of the certificate (lower-case hex), one of which it must have; empty is any.
    #[serde(default)]
    pub certificate_hashes: Vec<String>,
}

/// A certificate with its key, authorities, or both. Only gateways of its namespace use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Document it was made of; its namespace and name are what it is called by.
    pub origin: Origin,
    /// PEM of the chain, the server's own first.
    #[serde(default)]
    pub certificate: Option<String>,
    /// PEM of its key.
    #[serde(default)]
    pub key: Option<Secret>,
    /// PEM of authorities that clients are trusted by.
    #[serde(default)]
    pub authorities: Option<String>,
    /// PEM of certificates that were taken back.
    #[serde(default)]
    pub revocations: Option<String>,
}

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for what needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl GatewayHost {
    /// Whether a route of `namespace` may be bound to it.
    pub fn takes_routes_of(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|wanted| wanted == namespace)
    }
}

/// The narrower of two hosts where one covers the other. Source: Istio's `Name.SubsetOf`.
pub fn narrower<'a>(one: &'a str, other: &'a str) -> Option<&'a str> {
    if covers(one, other) {
        return Some(other);
    }
    covers(other, one).then_some(one)
}

/// Whether a host, which may begin with `*.` or be `*`, has all names of another one.
pub fn covers(wide: &str, narrow: &str) -> bool {
    match wide.strip_prefix('*') {
        Some("") => true,
        Some(suffix) => match narrow.strip_prefix('*') {
            Some(narrow) => narrow.ends_with(suffix),
            None => narrow.len() > suffix.len() && narrow.ends_with(suffix),
        },
        None => wide == narrow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrower_host_is_what_two_have_in_common() {
        for (one, other, expected) in [
            ("*", "a.com", Some("a.com")),
            ("a.com", "*", Some("a.com")),
            ("*.com", "*.a.com", Some("*.a.com")),
            ("*.a.com", "b.a.com", Some("b.a.com")),
            ("*.a.com", "*.a.com", Some("*.a.com")),
            ("*.a.com", "a.com", None),
            ("*.a.com", "xa.com", None),
            ("a.com", "b.com", None),
            ("*", "*", Some("*")),
        ] {
            assert_eq!(narrower(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let key = Some(Secret::new("-----BEGIN"));
        assert_eq!(format!("{key:?}"), "Some(Secret(..))");
    }
}
