//! TLS that ends at a gateway: its certificates are those of the web, and clients need none, or
//! one that is verified by authorities of its own.
//!
//! What is missing fails closed: without a certificate there is no configuration, and no
//! handshake.

mod clients;

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::crypto::{CryptoProvider, aws_lc_rs::cipher_suite};
use rustls::server::{ClientHello, NoClientAuth, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedCipherSuite};

use crate::leaf;
use crate::materials::{MaterialsError, certify};
use crate::originate::ClientPair;
use crate::provider::provider;

pub use clients::{ClientCertificate, ClientRules, client_certificate};

/// How TLS ends.
#[derive(Debug, Clone)]
pub struct Terminate {
    /// Certificates, of which the first that the client can verify the kind of is shown.
    pub pairs: Vec<ClientPair>,
    /// Whose certificates clients may show; `None` asks for none.
    pub clients: Option<ClientRules>,
    /// Whether TLS 1.2 is spoken.
    pub tls12: bool,
    /// Whether TLS 1.3 is spoken.
    pub tls13: bool,
    /// Suites of TLS 1.2, by OpenSSL's names; empty is all.
    pub suites: Vec<String>,
    /// Protocols that are spoken, best first; empty takes any.
    pub alpn: Vec<Vec<u8>>,
}

/// A configuration, and until when its certificates are good.
#[derive(Debug, Clone)]
pub struct Terminated {
    /// For the handshakes.
    pub config: Arc<ServerConfig>,
    /// First end of validity among the certificates, in unix seconds.
    pub not_after: u64,
}

/// Why TLS cannot end: refuse every handshake.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TerminateError {
    /// There is no certificate to show.
    #[error("it has no certificate: name a credential, or files")]
    NoCertificate,
    /// A certificate or its key.
    #[error("certificate: {0}")]
    Certificate(#[from] MaterialsError),
    /// The authorities of clients.
    #[error("authorities of clients cannot be used: {0}")]
    Authorities(String),
    /// Certificates of clients that were taken back.
    #[error("revocation list cannot be used: {0}, give X.509 CRLs as PEM")]
    Revocations(String),
    /// Nothing is left to speak.
    #[error("no version of TLS, or no cipher suite, is left: allow TLS 1.3, or other suites")]
    NothingSpoken,
    /// rustls refuses the combination.
    #[error("TLS cannot be configured: {0}")]
    Tls(String),
}

impl From<rustls::Error> for TerminateError {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(error.to_string())
    }
}

impl Terminate {
    /// The configuration.
    ///
    /// Sessions are resumed only where clients show no certificate: what one was verified by may
    /// have changed since.
    ///
    /// # Errors
    ///
    /// [`TerminateError`]: no handshake may succeed.
    pub fn config(&self) -> Result<Terminated, TerminateError> {
        let mut shown = Vec::with_capacity(self.pairs.len());
        let mut not_after = u64::MAX;
        for pair in &self.pairs {
            let certified = certify(pair.chain_pem.as_bytes(), pair.key_pem.as_bytes())?;
            let end = certified.end_entity_cert()?;
            let read = leaf::parse(end).map_err(MaterialsError::from)?;
            not_after = not_after.min(leaf::seconds(read.validity().not_after.timestamp()));
            shown.push(certified);
        }
        if shown.is_empty() {
            return Err(TerminateError::NoCertificate);
        }
        let (provider, versions) = self.spoken()?;
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(&versions)?;
        let builder = match &self.clients {
            None => builder.with_client_cert_verifier(Arc::new(NoClientAuth)),
            Some(rules) => builder.with_client_cert_verifier(rules.verifier()?),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Shown(shown)));
        config.alpn_protocols.clone_from(&self.alpn);
        config.ignore_client_order = true;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if self.clients.is_none() {
            config.ticketer = Ticketer::new()?;
            config.send_tls13_tickets = 2;
        } else {
            config.send_tls13_tickets = 0;
        }
        Ok(Terminated { config: Arc::new(config), not_after })
    }

    fn spoken(
        &self,
    ) -> Result<(Arc<CryptoProvider>, Vec<&'static rustls::SupportedProtocolVersion>), TerminateError>
    {
        let ours = provider();
        let is_wanted = |suite: &SupportedCipherSuite| match suite {
            SupportedCipherSuite::Tls13(_) => self.tls13,
            SupportedCipherSuite::Tls12(_) => {
                let is_named = |name: &String| suite_named(name) == Some(*suite);
                self.tls12 && (self.suites.is_empty() || self.suites.iter().any(is_named))
            }
        };
        let suites: Vec<_> = ours.cipher_suites.iter().copied().filter(is_wanted).collect();
        let has = |version| suites.iter().any(|suite| suite.version() == version);
        let versions: Vec<_> = [&TLS13, &TLS12].into_iter().filter(|one| has(*one)).collect();
        if versions.is_empty() {
            return Err(TerminateError::NothingSpoken);
        }
        let provider = CryptoProvider { cipher_suites: suites, ..CryptoProvider::clone(&ours) };
        Ok((Arc::new(provider), versions))
    }
}

/// The suite of this name, if it is spoken. Source: OpenSSL's names, which Istio takes.
fn suite_named(name: &str) -> Option<SupportedCipherSuite> {
    Some(match name {
        "ECDHE-ECDSA-AES128-GCM-SHA256" => cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-RSA-AES128-GCM-SHA256" => cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-ECDSA-AES256-GCM-SHA384" => cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-RSA-AES256-GCM-SHA384" => cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-ECDSA-CHACHA20-POLY1305" => {
            cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        }
        "ECDHE-RSA-CHACHA20-POLY1305" => cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        _ => return None,
    })
}

/// Shows the first certificate that the client can verify the signature of.
#[derive(Debug)]
struct Shown(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let can =
            |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        self.0.iter().find(can).or(self.0.first()).cloned()
    }
}

#[cfg(test)]
mod tests;
