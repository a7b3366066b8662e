//! The mesh's certificate authority: signs workload certificates and keeps no file.
//!
//! The identity in a certificate is what the caller authenticated. A request contributes its
//! public key and the proof that it holds the private one; the names, the purposes and the life
//! that it asks for are not read. Source: Istio `security/pkg/server/ca` does the same.

use std::time::Duration;

use meshcore_model::Identity;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa};
use rcgen::{KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber};
use rustls_pki_types::UnixTime;
use time::OffsetDateTime;

use crate::leaf;
use crate::provider::provider;
use crate::refusal::Refusal;

mod csr;
mod signer;

pub use csr::{Csr, new_csr};
use signer::Signer;

/// Longest life of a workload certificate. Source: Istio `MAX_WORKLOAD_CERT_TTL`, 90 days.
pub const MAX_TTL: Duration = Duration::from_hours(90 * 24);

/// How far back a certificate begins, for clocks that run behind ours. Source: Istio `pkiutil`
/// (`ClockSkewGracePeriod`), two minutes.
const SKEW: Duration = Duration::from_mins(2);

/// A certificate authority, root or intermediate, ready to sign.
#[derive(Debug)]
pub struct Authority(Signer);

/// A signed certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// PEM of the leaf and of the intermediates above it, without the root: what a TLS peer
    /// presents.
    pub chain_pem: String,
    /// The same, one PEM each, then the root: what Istio's `CreateCertificate` answers.
    pub certificates: Vec<String>,
    /// PEM of the root.
    pub root_pem: String,
    /// Serial number in lower-case hex.
    pub serial: String,
    /// Beginning of validity in unix seconds.
    pub not_before: u64,
    /// End of validity in unix seconds.
    pub not_after: u64,
}

/// A signed certificate together with its new key.
#[derive(Clone)]
pub struct IssuedPem {
    /// PEM of the leaf and of the intermediates, without the root.
    pub chain_pem: String,
    /// PEM (PKCS#8) of the private key. Keep it secret.
    pub key_pem: String,
    /// PEM of the root.
    pub root_pem: String,
    /// Serial number in lower-case hex.
    pub serial: String,
    /// End of validity in unix seconds.
    pub not_after: u64,
}

/// Why the authority cannot be used or does not sign.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CaError {
    /// The request is not one PEM certificate request of sensible size.
    #[error("certificate request cannot be read: {0}")]
    MalformedCsr(&'static str),
    /// The request is not signed by the key that it carries.
    #[error("certificate request is not signed by its own key, send the request as it was made")]
    UnprovenKey,
    /// A key that is too weak, or of a kind that peers do not verify.
    #[error("key in the certificate request is refused: {0}, use EC P-256")]
    WeakKey(&'static str),
    /// A life of no time.
    #[error("validity of the certificate is zero, ask for at least a second")]
    ZeroTtl,
    /// The authority's own certificate ends before anything useful could be signed.
    #[error("authority's certificate ended at {0} (unix seconds), replace it")]
    AuthorityExpired(u64),
    /// The authority's certificate or key does not fit.
    #[error("authority cannot be used: {0}")]
    Unusable(String),
    /// One of the authority's certificates is malformed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Key generation or signing failed.
    #[error("signing failed: {0}")]
    Signing(String),
}

// === impl Authority ===

impl Authority {
    /// Makes a new self-signed root for a trust domain, with an EC P-256 key.
    ///
    /// # Errors
    /// [`CaError`] if `validity` is zero or the system gives no random numbers.
    pub fn create(trust_domain: &str, validity: Duration) -> Result<Self, CaError> {
        let key = new_key()?;
        let mut params = lasting(validity, u64::MAX)?;
        params.distinguished_name.push(DnType::OrganizationName, trust_domain);
        params.distinguished_name.push(DnType::CommonName, format!("{trust_domain} mesh root"));
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        Self::load(&certificate.pem(), &key.serialize_pem())
    }

    /// Reads an authority: its certificate first, then those above it up to and with the root
    /// (for a root: the one certificate), and the key of the first.
    ///
    /// # Errors
    /// [`CaError`] if a certificate is unreadable, expired or no CA, the chain has a gap or no
    /// root, or the key belongs to another certificate.
    pub fn load(cert_pem: &str, key_pem: &str) -> Result<Self, CaError> {
        Signer::load(cert_pem, key_pem, UnixTime::now()).map(Self)
    }

    /// Signs the key of a request for the identity that the caller authenticated.
    ///
    /// The life is `ttl`, but at most [`MAX_TTL`] and never past the authority's own.
    ///
    /// # Errors
    /// [`CaError`] if the request is malformed, unproven or weak, or the authority has expired.
    pub fn sign_csr(
        &self,
        csr_pem: &str,
        identity: &Identity,
        ttl: Duration,
    ) -> Result<Issued, CaError> {
        let key = csr::proven_key(csr_pem)?;
        self.sign(&key, identity, ttl)
    }

    /// Makes a key and signs it: for development and for our own certificate.
    ///
    /// # Errors
    /// [`CaError`] if the authority has expired or `ttl` is zero.
    pub fn issue(&self, identity: &Identity, ttl: Duration) -> Result<IssuedPem, CaError> {
        let key = new_key()?;
        let issued = self.sign(&key, identity, ttl)?;
        Ok(IssuedPem {
            chain_pem: issued.chain_pem,
            key_pem: key.serialize_pem(),
            root_pem: issued.root_pem,
            serial: issued.serial,
            not_after: issued.not_after,
        })
    }

    /// PEM of the root: what peers put into their trust bundle.
    pub fn root_pem(&self) -> &str {
        self.0.root_pem()
    }

    /// PEM of the authority's certificate and those above it, root last, as
    /// [`Authority::load`] reads it.
    pub fn cert_pem(&self) -> String {
        self.0.cert_pem()
    }

    /// PEM (PKCS#8) of the authority's key. Keep it secret.
    pub fn key_pem(&self) -> String {
        self.0.issuer.key().serialize_pem()
    }

    /// When the first certificate of the authority's chain ends, in unix seconds.
    pub fn not_after(&self) -> u64 {
        self.0.not_after
    }

    fn sign(
        &self,
        key: &impl PublicKeyData,
        identity: &Identity,
        ttl: Duration,
    ) -> Result<Issued, CaError> {
        let params = workload(identity, ttl.min(MAX_TTL), self.0.not_after)?;
        let certificate = params.signed_by(key, &self.0.issuer)?;
        let serial = params.serial_number.as_ref().map(SerialNumber::to_bytes).unwrap_or_default();
        let mut certificates = vec![certificate.pem()];
        certificates.extend(self.0.intermediates_pem().map(str::to_owned));
        let chain_pem = certificates.concat();
        certificates.push(self.root_pem().to_owned());
        Ok(Issued {
            chain_pem,
            certificates,
            root_pem: self.root_pem().to_owned(),
            serial: leaf::hex(&serial),
            not_before: leaf::seconds(params.not_before.unix_timestamp()),
            not_after: leaf::seconds(params.not_after.unix_timestamp()),
        })
    }
}

impl std::fmt::Debug for IssuedPem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedPem")
            .field("serial", &self.serial)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl From<rcgen::Error> for CaError {
    fn from(error: rcgen::Error) -> Self {
        Self::Signing(error.to_string())
    }
}

fn new_key() -> Result<KeyPair, CaError> {
    Ok(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?)
}

/// A leaf: one URI name, no subject, both TLS purposes. Source: SPIFFE X509-SVID section 4.
fn workload(
    identity: &Identity,
    ttl: Duration,
    cap_seconds: u64,
) -> Result<CertificateParams, CaError> {
    let uri = identity.as_str().try_into()?;
    let mut params = lasting(ttl, cap_seconds)?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// Parameters with a validity of `ttl` from now, capped, a random serial and no subject.
fn lasting(ttl: Duration, cap_seconds: u64) -> Result<CertificateParams, CaError> {
    if ttl < Duration::from_secs(1) {
        return Err(CaError::ZeroTtl);
    }
    let now = UnixTime::now().as_secs();
    if cap_seconds <= now {
        return Err(CaError::AuthorityExpired(cap_seconds));
    }
    let not_after = now.saturating_add(ttl.as_secs()).min(cap_seconds);
    let mut params = CertificateParams::default();
    params.not_before = moment(now.saturating_sub(SKEW.as_secs()))?;
    params.not_after = moment(not_after)?;
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(random_serial()?);
    Ok(params)
}

fn moment(unix_seconds: u64) -> Result<OffsetDateTime, CaError> {
    i64::try_from(unix_seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .ok_or_else(|| CaError::Signing("validity ends after year 9999".into()))
}

/// 128 random bits. Source: CA/Browser Forum Baseline Requirements 7.1 asks for at least 64.
fn random_serial() -> Result<SerialNumber, CaError> {
    let mut bytes = [0; 16];
    provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| CaError::Signing("the system gives no random numbers".into()))?;
    Ok(SerialNumber::from_slice(&bytes))
}

#[cfg(test)]
mod tests;
