//! A workload's certificate, key and trust, read and checked before anybody uses them.

use std::sync::Arc;

use meshcore_model::Identity;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use crate::bundle::TrustBundle;
use crate::leaf::{self, Leaf};
use crate::provider::provider;
use crate::refusal::Refusal;
use crate::verify::{Role, check};

/// One consistent set: our certificate chain, its key, and whom we trust.
#[derive(Clone)]
pub struct Materials {
    certified: Arc<CertifiedKey>,
    leaf: Leaf,
    chain: Vec<ChainLink>,
    bundle: TrustBundle,
}

/// One certificate of our chain, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainLink {
    /// Distinguished name of the subject; often empty for a leaf.
    pub subject: String,
    /// Distinguished name of the issuer.
    pub issuer: String,
    /// Serial number in lower-case hex.
    pub serial: String,
    /// Beginning of validity in unix seconds.
    pub not_before: u64,
    /// End of validity in unix seconds.
    pub not_after: u64,
}

/// Why materials cannot be used; what was in force stays in force.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MaterialsError {
    /// Not PEM, or PEM of something else.
    #[error("PEM cannot be read: {0}")]
    Pem(String),
    /// The chain has no certificate.
    #[error("certificate chain is empty, put the leaf first")]
    NoCertificate,
    /// No private key, or of a kind that is not supported.
    #[error("private key cannot be used: {0}, give PKCS#8, SEC1 or PKCS#1 PEM")]
    Key(String),
    /// The key belongs to another certificate.
    #[error("private key does not belong to the leaf certificate, give the pair that was issued")]
    KeyMismatch,
    /// A trust domain without roots.
    #[error("no root certificate for {0}, add its trust bundle")]
    NoRoots(String),
    /// A root that may not sign certificates.
    #[error("root {0:?} is not a CA certificate, put only roots into the trust bundle")]
    NotAuthority(String),
    /// A list of certificates that were taken back.
    #[error("revocation list cannot be used: {0}, give X.509 CRLs as PEM")]
    RevocationList(String),
    /// The leaf is one that we would refuse from a peer.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

// === impl Materials ===

impl Materials {
    /// Reads a chain (leaf first) and its key; the bundle says whom we trust.
    ///
    /// # Errors
    /// [`MaterialsError`] if anything is unreadable, the key is not the leaf's, or the leaf is
    /// expired, a CA, or not exactly one SPIFFE identity.
    pub fn from_pem(
        chain_pem: &[u8],
        key_pem: &[u8],
        bundle: TrustBundle,
    ) -> Result<Self, MaterialsError> {
        Self::from_pem_at(chain_pem, key_pem, bundle, UnixTime::now())
    }

    /// As [`Materials::from_pem`], with the time at which the leaf must be valid.
    ///
    /// # Errors
    /// As [`Materials::from_pem`].
    pub fn from_pem_at(
        chain_pem: &[u8],
        key_pem: &[u8],
        bundle: TrustBundle,
        now: UnixTime,
    ) -> Result<Self, MaterialsError> {
        let certified = certify(chain_pem, key_pem)?;
        let chain: Vec<_> =
            certified.cert.iter().map(|der| read_link(der)).collect::<Result<_, _>>()?;
        let leaf = Leaf::read(certified.end_entity_cert().map_err(key_error)?)?;
        leaf.valid_at(now)?;
        Ok(Self { certified, leaf, chain, bundle })
    }

    /// Whether our own bundle vouches for our chain, as a client and as a server.
    ///
    /// # Errors
    /// The [`Refusal`] that peers of the same trust would meet.
    pub fn check_trusted(&self) -> Result<(), Refusal> {
        let chain = self.certified.cert.split_first().ok_or(Refusal::NoCertificate)?;
        for role in [Role::Client, Role::Server] {
            check(&self.bundle, role, chain, UnixTime::now())?;
        }
        Ok(())
    }

    /// Who we are.
    pub fn identity(&self) -> &Identity {
        &self.leaf.identity
    }

    /// Beginning of the leaf's validity in unix seconds.
    pub fn not_before(&self) -> u64 {
        self.leaf.not_before
    }

    /// End of the leaf's validity in unix seconds.
    pub fn not_after(&self) -> u64 {
        self.leaf.not_after
    }

    /// Serial number of the leaf in lower-case hex.
    pub fn serial(&self) -> &str {
        &self.leaf.serial
    }

    /// Our chain, leaf first, for the admin page.
    pub fn chain(&self) -> &[ChainLink] {
        &self.chain
    }

    /// Whom we trust.
    pub fn bundle(&self) -> &TrustBundle {
        &self.bundle
    }

    pub(crate) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

impl std::fmt::Debug for Materials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Materials")
            .field("leaf", &self.leaf)
            .field("chain", &self.chain)
            .field("bundle", &self.bundle)
            .finish_non_exhaustive()
    }
}

/// A chain and its key, checked to belong together.
pub(crate) fn certify(
    chain_pem: &[u8],
    key_pem: &[u8],
) -> Result<Arc<CertifiedKey>, MaterialsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain_pem)
        .collect::<Result<_, _>>()
        .map_err(|error| MaterialsError::Pem(error.to_string()))?;
    if chain.is_empty() {
        return Err(MaterialsError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key_pem)
        .map_err(|error| MaterialsError::Key(error.to_string()))?;
    let key = provider().key_provider.load_private_key(key).map_err(key_error)?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) => Ok(Arc::new(certified)),
        Err(rustls::Error::InconsistentKeys(_)) => Err(MaterialsError::KeyMismatch),
        Err(rustls::Error::InvalidCertificate(_)) => {
            Err(Refusal::Malformed("leaf cannot be read").into())
        }
        Err(other) => Err(key_error(other)),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "a function for map_err")]
fn key_error(error: rustls::Error) -> MaterialsError {
    MaterialsError::Key(error.to_string())
}

fn read_link(der: &CertificateDer<'_>) -> Result<ChainLink, Refusal> {
    let certificate = leaf::parse(der)?;
    let validity = certificate.validity();
    Ok(ChainLink {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        serial: leaf::hex(certificate.raw_serial()),
        not_before: leaf::seconds(validity.not_before.timestamp()),
        not_after: leaf::seconds(validity.not_after.timestamp()),
    })
}

#[cfg(test)]
mod tests;
