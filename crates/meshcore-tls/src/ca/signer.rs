//! An authority's certificates and key, checked to fit together before the first signature.

use rcgen::{Issuer, KeyPair, PublicKeyData};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;

use super::CaError;
use crate::leaf;

/// What signs: certificates from the signing one up to the root, all in PEM.
#[derive(Debug)]
pub(super) struct Signer {
    pub(super) issuer: Issuer<'static, KeyPair>,
    /// When the first certificate ends, in unix seconds.
    pub(super) not_after: u64,
    intermediates_pem: Vec<String>,
    root_pem: String,
}

// === impl Signer ===

impl Signer {
    pub(super) fn load(cert_pem: &str, key_pem: &str, now: UnixTime) -> Result<Self, CaError> {
        let ders: Vec<_> = CertificateDer::pem_slice_iter(cert_pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| CaError::Unusable(error.to_string()))?;
        let chain: Vec<_> = ders.iter().map(|der| leaf::parse(der)).collect::<Result<_, _>>()?;
        let not_after = check_chain(&chain, now)?;
        let key = KeyPair::from_pem(key_pem)
            .map_err(|error| CaError::Unusable(format!("private key: {error}")))?;
        let mut intermediates_pem = blocks(cert_pem);
        let parts = (chain.first(), ders.first(), intermediates_pem.pop());
        let (Some(first), Some(der), Some(root_pem)) = parts else {
            return Err(CaError::Unusable("no certificate in the PEM".into()));
        };
        if intermediates_pem.len().saturating_add(1) != ders.len() {
            return Err(CaError::Unusable("PEM has text within its certificates".into()));
        }
        if first.public_key().raw != key.subject_public_key_info() {
            return Err(CaError::Unusable("key belongs to another certificate".into()));
        }
        let issuer = Issuer::from_ca_cert_der(der, key)?;
        let signer = Self { issuer, not_after, intermediates_pem, root_pem };
        signer.check_issuer_name(first)?;
        Ok(signer)
    }

    pub(super) fn root_pem(&self) -> &str {
        &self.root_pem
    }

    pub(super) fn intermediates_pem(&self) -> impl Iterator<Item = &str> {
        self.intermediates_pem.iter().map(String::as_str)
    }

    pub(super) fn cert_pem(&self) -> String {
        self.intermediates_pem().chain([self.root_pem()]).collect()
    }

    /// Path building compares names byte by byte, and a name is written anew when we sign; so
    /// one certificate is signed and thrown away to see that it comes out the same.
    fn check_issuer_name(&self, ours: &X509Certificate<'_>) -> Result<(), CaError> {
        let probe =
            rcgen::CertificateParams::default().signed_by(self.issuer.key(), &self.issuer)?;
        if leaf::parse(probe.der())?.issuer().as_raw() != ours.subject().as_raw() {
            return Err(CaError::Unusable(
                "subject name has a form that cannot be written again, issue a simpler one".into(),
            ));
        }
        Ok(())
    }
}

/// Every certificate may sign, is valid, and is signed by the next; the last signs itself.
fn check_chain(chain: &[X509Certificate<'_>], now: UnixTime) -> Result<u64, CaError> {
    let mut not_after = u64::MAX;
    for (index, certificate) in chain.iter().enumerate() {
        check_authority(certificate, index)?;
        let validity = certificate.validity();
        let end = leaf::seconds(validity.not_after.timestamp());
        leaf::within(leaf::seconds(validity.not_before.timestamp()), end, now)?;
        not_after = not_after.min(end);
        let next = chain.get(index.saturating_add(1)).unwrap_or(certificate);
        let is_linked = certificate.issuer().as_raw() == next.subject().as_raw()
            && certificate.verify_signature(Some(next.public_key())).is_ok();
        if !is_linked {
            return Err(CaError::Unusable(format!(
                "{:?} is not signed by the certificate after it, append the chain up to the root",
                certificate.subject().to_string(),
            )));
        }
    }
    Ok(not_after)
}

fn check_authority(certificate: &X509Certificate<'_>, below: usize) -> Result<(), CaError> {
    let refuse = |why: &str| {
        Err(CaError::Unusable(format!("{:?} {why}", certificate.subject().to_string())))
    };
    let constraints = certificate.basic_constraints().ok().flatten().map(|found| found.value);
    let Some(constraints) = constraints.filter(|constraints| constraints.ca) else {
        return refuse("is not a CA certificate");
    };
    let allows = |length: u32| usize::try_from(length).is_ok_and(|length| length >= below);
    if !constraints.path_len_constraint.is_none_or(allows) {
        return refuse("does not allow so many certificates below it");
    }
    match certificate.key_usage() {
        Ok(Some(usage)) if !usage.value.key_cert_sign() => refuse("may not sign certificates"),
        Ok(_) => Ok(()),
        Err(_) => refuse("has an unreadable key usage"),
    }
}

/// The certificate blocks of a PEM text as they stand, without what is between them.
fn blocks(pem: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block: Option<String> = None;
    for line in pem.lines().map(str::trim_end) {
        if line == "-----BEGIN CERTIFICATE-----" {
            block = Some(String::new());
        }
        if let Some(text) = block.as_mut() {
            text.push_str(line);
            text.push('\n');
        }
        if line == "-----END CERTIFICATE-----" {
            found.extend(block.take());
        }
    }
    found
}
