//! TLS to servers outside the mesh, as a DestinationRule asks for it (SIMPLE and MUTUAL).
//!
//! Missing trust fails closed: no CA file and no system roots is an error, never plain text.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

use crate::materials::{MaterialsError, certify};
use crate::provider::{digest, provider, versions};

mod outside;

use outside::{TrustAnyone, VerifyOutside};

/// Configurations kept, at most; those nobody holds go first.
const MAX_CONFIGS: usize = 1024;

/// How to speak TLS to a server outside the mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origination {
    /// PEM of the authorities to trust; `None` is those of the system.
    pub ca_pem: Option<String>,
    /// Names of which the server's certificate must carry one (DNS, IP or URI, exact). Empty is
    /// the name that is sent in SNI.
    pub subject_alt_names: Vec<String>,
    /// Server name to send; `None` is the host.
    pub sni: Option<String>,
    /// Our certificate, if the server wants one (mode MUTUAL).
    pub client: Option<ClientPair>,
    /// Accept any certificate. The server must still hold its key, but may be anybody.
    pub insecure_skip_verify: bool,
    /// Protocols to offer, best first; empty offers none.
    pub alpn: Vec<Vec<u8>>,
}

/// A client certificate and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientPair {
    /// PEM of the chain, leaf first.
    pub chain_pem: String,
    /// PEM of the key.
    pub key_pem: String,
}

/// What a TLS connector needs.
#[derive(Debug, Clone)]
pub struct Originated {
    /// Shared by equal originations, and with it the sessions.
    pub config: Arc<ClientConfig>,
    /// The name to connect with.
    pub server_name: ServerName<'static>,
}

/// Why TLS to the server cannot be set up: fail the request, never fall back to plain text.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OriginateError {
    /// The CA file has no certificate that can be read.
    #[error("CA certificates cannot be used: {0}")]
    Authorities(String),
    /// The system has no root certificates.
    #[error(
        "system has no root certificates ({0}), install ca-certificates or give caCertificates"
    )]
    NoSystemRoots(String),
    /// Neither a DNS name nor an address.
    #[error("{0:?} is not a server name, set sni in the DestinationRule")]
    ServerName(String),
    /// The client certificate or its key.
    #[error("client certificate: {0}")]
    Client(#[from] MaterialsError),
    /// rustls refuses the combination.
    #[error("TLS cannot be configured: {0}")]
    Tls(String),
}

/// Makes and keeps the configurations for servers outside the mesh. One for each process.
#[derive(Debug, Default)]
pub struct Originator {
    configs: Mutex<HashMap<[u8; 32], Arc<ClientConfig>>>,
    system_roots: Mutex<Option<Arc<RootCertStore>>>,
}

// === impl Originator ===

impl Originator {
    /// With nothing kept yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The configuration and server name for connecting to `host`.
    ///
    /// The first call without `ca_pem` reads the system's root certificates: some milliseconds
    /// of file I/O, best done before traffic.
    ///
    /// # Errors
    /// [`OriginateError`]: nothing may be sent to the host.
    pub fn originate(
        &self,
        origination: &Origination,
        host: &str,
    ) -> Result<Originated, OriginateError> {
        let name = origination.sni.as_deref().unwrap_or(host);
        let server_name = ServerName::try_from(name.to_owned())
            .map_err(|_| OriginateError::ServerName(name.chars().take(256).collect()))?;
        let key = origination.fingerprint();
        if let Some(config) = self.configs.lock().get(&key) {
            return Ok(Originated { config: Arc::clone(config), server_name });
        }
        let config = Arc::new(self.build(origination)?);
        self.keep(key, &config);
        Ok(Originated { config, server_name })
    }

    fn keep(&self, key: [u8; 32], config: &Arc<ClientConfig>) {
        let mut configs = self.configs.lock();
        if configs.len() >= MAX_CONFIGS {
            configs.retain(|_, config| Arc::strong_count(config) > 1);
        }
        if configs.len() >= MAX_CONFIGS {
            configs.clear();
        }
        configs.insert(key, Arc::clone(config));
    }

    fn build(&self, origination: &Origination) -> Result<ClientConfig, OriginateError> {
        let unverified = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(true))
            .map_err(|error| OriginateError::Tls(error.to_string()))?
            .dangerous(); // rustls' word for any verifier but its own
        let verified = if origination.insecure_skip_verify {
            unverified.with_custom_certificate_verifier(Arc::new(TrustAnyone))
        } else {
            let roots = match &origination.ca_pem {
                Some(pem) => Arc::new(read_authorities(pem)?),
                None => self.system_roots()?,
            };
            let names = origination.subject_alt_names.clone();
            unverified.with_custom_certificate_verifier(Arc::new(VerifyOutside { roots, names }))
        };
        let mut config = match &origination.client {
            None => verified.with_no_client_auth(),
            Some(pair) => {
                let certified = certify(pair.chain_pem.as_bytes(), pair.key_pem.as_bytes())?;
                let resolver = SingleCertAndKey::from(Arc::unwrap_or_clone(certified));
                verified.with_client_cert_resolver(Arc::new(resolver))
            }
        };
        config.alpn_protocols.clone_from(&origination.alpn);
        Ok(config)
    }

    fn system_roots(&self) -> Result<Arc<RootCertStore>, OriginateError> {
        let mut kept = self.system_roots.lock();
        if let Some(roots) = kept.as_ref() {
            return Ok(Arc::clone(roots));
        }
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(found.certs);
        if added == 0 {
            let why = found.errors.first().map_or("none found".into(), ToString::to_string);
            return Err(OriginateError::NoSystemRoots(why));
        }
        Ok(Arc::clone(kept.insert(Arc::new(store))))
    }
}

// === impl Origination ===

impl Origination {
    /// Equal for originations that may share a configuration. The server name is not part of it:
    /// rustls keeps sessions apart by name.
    fn fingerprint(&self) -> [u8; 32] {
        let count = |length: usize| (length as u64).to_be_bytes();
        let (names, protocols) = (count(self.subject_alt_names.len()), count(self.alpn.len()));
        let (chain, key) =
            self.client.as_ref().map_or(("", ""), |pair| (&pair.chain_pem, &pair.key_pem));
        let flags = [
            u8::from(self.ca_pem.is_some()),
            u8::from(self.client.is_some()),
            u8::from(self.insecure_skip_verify),
        ];
        let fixed: [&[u8]; 6] = [
            &flags,
            self.ca_pem.as_deref().unwrap_or_default().as_bytes(),
            chain.as_bytes(),
            key.as_bytes(),
            &names,
            &protocols,
        ];
        let names = self.subject_alt_names.iter().map(String::as_bytes);
        digest(fixed.into_iter().chain(names).chain(self.alpn.iter().map(Vec::as_slice)))
    }
}

impl std::fmt::Debug for ClientPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientPair").field("chain_pem", &self.chain_pem).finish_non_exhaustive()
    }
}

fn read_authorities(pem: &str) -> Result<RootCertStore, OriginateError> {
    let mut store = RootCertStore::empty();
    for der in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let der = der.map_err(|error| OriginateError::Authorities(error.to_string()))?;
        store.add(der).map_err(|error| OriginateError::Authorities(error.to_string()))?;
    }
    if store.is_empty() {
        return Err(OriginateError::Authorities("no certificate in the PEM".into()));
    }
    Ok(store)
}

#[cfg(test)]
mod tests;
