//! Clients of a gateway that show a certificate.

use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, CommonState, DistinguishedName, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::TerminateError;
use crate::leaf;
use crate::provider::{checks_signatures, provider, sha256};

/// Whose certificates clients may show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientRules {
    /// PEM of the authorities.
    pub ca_pem: String,
    /// PEM of certificates that were taken back.
    pub crl_pem: Option<String>,
    /// A client without a certificate is refused.
    pub is_required: bool,
    /// Names (DNS, IP or URI, exact) of which it must have one; empty is any.
    pub names: Vec<String>,
    /// SHA-256 of the public key (base64), one of which it must have; empty is any.
    pub key_hashes: Vec<String>,
    /// SHA-256 of the certificate (lower-case hex), one of which it must have; empty is any.
    pub certificate_hashes: Vec<String>,
}

/// What a client has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// SHA-256 in lower-case hex.
    pub hash: String,
    /// As PEM.
    pub pem: String,
    /// Distinguished name.
    pub subject: String,
    /// URIs among its names.
    pub uris: Vec<String>,
    /// DNS names among its names.
    pub dns: Vec<String>,
}

impl ClientRules {
    pub(super) fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, TerminateError> {
        let unusable =
            |error: &dyn std::fmt::Display| TerminateError::Authorities(error.to_string());
        let mut roots = RootCertStore::empty();
        for der in CertificateDer::pem_slice_iter(self.ca_pem.as_bytes()) {
            let der = der.map_err(|error| unusable(&error))?;
            roots.add(der).map_err(|error| unusable(&error))?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        // Where an authority has given no list, none of its certificates counts as taken back.
        let builder = builder.with_crls(self.lists()?).allow_unknown_revocation_status();
        let builder = builder.enforce_revocation_expiration();
        let builder = if self.is_required { builder } else { builder.allow_unauthenticated() };
        let by_chain = builder.build().map_err(|error| unusable(&error))?;
        Ok(Arc::new(Verify { by_chain, rules: self.clone() }))
    }

    fn lists(&self) -> Result<Vec<CertificateRevocationListDer<'static>>, TerminateError> {
        let Some(pem) = &self.crl_pem else { return Ok(Vec::new()) };
        let lists = CertificateRevocationListDer::pem_slice_iter(pem.as_bytes());
        let lists: Vec<_> = lists
            .collect::<Result<_, _>>()
            .map_err(|error| TerminateError::Revocations(error.to_string()))?;
        if lists.is_empty() {
            return Err(TerminateError::Revocations("no X509 CRL in it".into()));
        }
        Ok(lists)
    }

    /// Whether a certificate, whose chain is good, is one of those that are wanted.
    fn take(&self, der: &CertificateDer<'_>) -> Result<bool, rustls::Error> {
        let bad = |_refusal| rustls::Error::InvalidCertificate(CertificateError::BadEncoding);
        let read = leaf::parse(der).map_err(bad)?;
        let has_name = self.names.is_empty() || self.names.iter().any(|name| carries(&read, name));
        let has_hash = (self.certificate_hashes.is_empty() && self.key_hashes.is_empty())
            || self.certificate_hashes.contains(&leaf::hex(&sha256(der)))
            || self.key_hashes.contains(&base64(&sha256(read.public_key().raw)));
        Ok(has_name && has_hash)
    }
}

/// Verifies the chain first, then what more is asked for.
#[derive(Debug)]
struct Verify {
    by_chain: Arc<dyn ClientCertVerifier>,
    rules: ClientRules,
}

impl ClientCertVerifier for Verify {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        self.rules.is_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.by_chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.by_chain.verify_client_cert(end_entity, intermediates, now)?;
        if !self.rules.take(end_entity)? {
            return Err(CertificateError::NotValidForName.into());
        }
        Ok(verified)
    }

    checks_signatures!();
}

/// What the client of a connection has shown; `None` when it has shown nothing.
pub fn client_certificate(connection: &CommonState) -> Option<ClientCertificate> {
    let der = connection.peer_certificates()?.first()?;
    let read = leaf::parse(der).ok()?;
    let (mut uris, mut dns) = (Vec::new(), Vec::new());
    for name in names(&read) {
        match name {
            GeneralName::URI(text) => uris.push((*text).to_owned()),
            GeneralName::DNSName(text) => dns.push((*text).to_owned()),
            GeneralName::OtherName(..)
            | GeneralName::RFC822Name(_)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::IPAddress(_)
            | GeneralName::RegisteredID(_)
            | GeneralName::Invalid(..) => {}
        }
    }
    Some(ClientCertificate {
        hash: leaf::hex(&sha256(der)),
        pem: pem(der),
        subject: read.subject().to_string(),
        uris,
        dns,
    })
}

fn names<'r>(read: &'r X509Certificate<'_>) -> &'r [GeneralName<'r>] {
    match read.subject_alternative_name() {
        Ok(Some(names)) => &names.value.general_names,
        Ok(None) | Err(_) => &[],
    }
}

/// Whether a certificate has the name, byte by byte; a DNS name in any case.
fn carries(read: &X509Certificate<'_>, wanted: &str) -> bool {
    names(read).iter().any(|name| match name {
        GeneralName::URI(text) => *text == wanted,
        GeneralName::DNSName(text) => text.eq_ignore_ascii_case(wanted),
        GeneralName::IPAddress(bytes) => match wanted.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(address)) => **bytes == address.octets(),
            Ok(std::net::IpAddr::V6(address)) => **bytes == address.octets(),
            Err(_) => false,
        },
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => false,
    })
}

/// Source: RFC 7468 section 5.
fn pem(der: &[u8]) -> String {
    let text = base64(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        out.extend(line.iter().copied().map(char::from));
        out.push('\n');
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

/// Source: RFC 4648 section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |six: u32| char::from(LETTERS.get((six & 63) as usize).copied().unwrap_or(b'='));
    let mut out = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        out.push(letter(bits >> 18));
        out.push(letter(bits >> 12));
        out.push(if three.len() > 1 { letter(bits >> 6) } else { '=' });
        out.push(if three.len() > 2 { letter(bits) } else { '=' });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_any_length() {
        for (bytes, text) in
            [("", ""), ("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj"), ("abcd", "YWJjZA==")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
