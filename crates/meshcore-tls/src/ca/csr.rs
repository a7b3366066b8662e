//! Certificate requests: made for a workload, and read by the authority for their key only.

use meshcore_model::Identity;
use rcgen::{CertificateParams, DistinguishedName, SanType, SubjectPublicKeyInfo};
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use super::{CaError, new_key};

/// Longest request that is read. One with an RSA 8192 key and a few names has 4 KiB.
const MAX_CSR_BYTES: usize = 16 * 1024;

/// Least size of an RSA key. Source: CA/Browser Forum Baseline Requirements 6.1.5.
const MIN_RSA_BITS: usize = 2048;

/// A request and the key that it is for.
#[derive(Clone)]
pub struct Csr {
    /// PEM of the request.
    pub csr_pem: String,
    /// PEM (PKCS#8) of the private key. Keep it secret.
    pub key_pem: String,
}

/// Makes an EC P-256 key and a request for it. The request names the identity, as Istio's agent
/// does; the authority decides by what it authenticated.
///
/// # Errors
/// [`CaError::Signing`] if the system gives no random numbers.
pub fn new_csr(identity: &Identity) -> Result<Csr, CaError> {
    let key = new_key()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(identity.as_str().try_into()?)];
    let csr_pem = params.serialize_request(&key)?.pem()?;
    Ok(Csr { csr_pem, key_pem: key.serialize_pem() })
}

impl std::fmt::Debug for Csr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Csr").field("csr_pem", &self.csr_pem).finish_non_exhaustive()
    }
}

/// The public key of a request whose sender holds the private key.
pub(super) fn proven_key(csr_pem: &str) -> Result<SubjectPublicKeyInfo, CaError> {
    if csr_pem.len() > MAX_CSR_BYTES {
        return Err(CaError::MalformedCsr("longer than 16 KiB"));
    }
    let der = CertificateSigningRequestDer::from_pem_slice(csr_pem.as_bytes())
        .map_err(|_| CaError::MalformedCsr("not a PEM certificate request"))?;
    let request = match X509CertificationRequest::from_der(&der) {
        Ok(([], request)) => request,
        Ok(_) => return Err(CaError::MalformedCsr("bytes after the request")),
        Err(_) => return Err(CaError::MalformedCsr("not PKCS#10 DER")),
    };
    let public_key = &request.certification_request_info.subject_pki;
    let parsed = public_key.parsed().map_err(|_| CaError::MalformedCsr("unreadable key"))?;
    match parsed {
        PublicKey::EC(point) if matches!(point.key_size(), 256 | 384) => {}
        PublicKey::EC(_) => return Err(CaError::WeakKey("curve is not P-256 or P-384")),
        PublicKey::RSA(rsa) if rsa.key_size() >= MIN_RSA_BITS => {}
        PublicKey::RSA(_) => return Err(CaError::WeakKey("RSA under 2048 bits")),
        PublicKey::DSA(_)
        | PublicKey::GostR3410(_)
        | PublicKey::GostR3410_2012(_)
        | PublicKey::Unknown(_) => return Err(CaError::WeakKey("neither EC nor RSA")),
    }
    request.verify_signature().map_err(|_| CaError::UnprovenKey)?;
    SubjectPublicKeyInfo::from_der(public_key.raw)
        .map_err(|_| CaError::WeakKey("curve is not P-256 or P-384"))
}
