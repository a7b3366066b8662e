//! The client's side of mutual TLS.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::Failure;

/// TLS 1.3 with `ca.pem`, `cert.pem` and `key.pem` of a folder. Every handshake is a full one, and
/// with X25519: else some servers would do the work of post-quantum key exchange, and some not.
///
/// # Errors
///
/// A file is not there, or is no certificate or key.
pub fn client_config(folder: &Path) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(folder.join("ca.pem"))? {
        roots.add(root?)?;
    }
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(folder.join("cert.pem"))?.collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem"))?;
    let provider = CryptoProvider { kx_groups: vec![kx_group::X25519], ..default_provider() };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain?, key)?;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
