//! The strict reading of a workload certificate: one SPIFFE identity or a refusal.
//!
//! Source: SPIFFE X509-SVID sections 2 (one URI SAN), 4.1 (leaves are not CAs), 4.3 (key usage);
//! RFC 5280 section 4.2.1.6 (names are `IA5String`).

use base64::Engine as _;
use meshcore_model::Identity;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::refusal::Refusal;

/// What a workload certificate says, read but not yet verified.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    pub(crate) identity: Identity,
    /// Unix seconds.
    pub(crate) not_before: u64,
    /// Unix seconds.
    pub(crate) not_after: u64,
    /// Lower-case hex without separators.
    pub(crate) serial: String,
}

// === impl Leaf ===

impl Leaf {
    /// Reads a DER certificate.
    ///
    /// # Errors
    /// A [`Refusal`] for everything that is not exactly one strict SPIFFE URI in a non-CA
    /// certificate.
    pub(crate) fn read(der: &[u8]) -> Result<Self, Refusal> {
        let certificate = parse(der)?;
        refuse_authority(&certificate)?;
        let uri = only_uri(&certificate)?;
        let identity = uri.parse().map_err(|_| Refusal::NotSpiffe(printable(uri)))?;
        let validity = certificate.validity();
        Ok(Self {
            identity,
            not_before: seconds(validity.not_before.timestamp()),
            not_after: seconds(validity.not_after.timestamp()),
            serial: hex(certificate.raw_serial()),
        })
    }

    /// # Errors
    /// [`Refusal::Expired`] or [`Refusal::NotYetValid`].
    pub(crate) fn valid_at(&self, now: UnixTime) -> Result<(), Refusal> {
        within(self.not_before, self.not_after, now)
    }
}

pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Refusal> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(Refusal::Malformed("bytes after the certificate")),
        Err(_) => Err(Refusal::Malformed("not X.509 DER")),
    }
}

pub(crate) fn within(not_before: u64, not_after: u64, now: UnixTime) -> Result<(), Refusal> {
    if now.as_secs() > not_after {
        return Err(Refusal::Expired { not_after });
    }
    if now.as_secs() < not_before {
        return Err(Refusal::NotYetValid { not_before });
    }
    Ok(())
}

pub(crate) fn seconds(timestamp: i64) -> u64 {
    u64::try_from(timestamp).unwrap_or(0)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('?');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn refuse_authority(certificate: &X509Certificate<'_>) -> Result<(), Refusal> {
    let constraints = certificate
        .basic_constraints()
        .map_err(|_| Refusal::Malformed("basic constraints cannot be read"))?;
    let usage = certificate
        .key_usage()
        .map_err(|_| Refusal::Malformed("key usage cannot be read"))?
        .map(|extension| extension.value);
    if constraints.is_some_and(|extension| extension.value.ca)
        || usage.is_some_and(|usage| usage.key_cert_sign() || usage.crl_sign())
    {
        return Err(Refusal::IsAuthority);
    }
    if usage.is_some_and(|usage| !usage.digital_signature()) {
        return Err(Refusal::WrongPurpose("digital signatures"));
    }
    Ok(())
}

/// That an intermediate may sign certificates, if it says what its key is for: the path does not
/// ask. Source: RFC 5280 section 6.1.4 (n).
pub(crate) fn may_sign(der: &[u8]) -> Result<(), Refusal> {
    let certificate = parse(der)?;
    let usage =
        certificate.key_usage().map_err(|_| Refusal::Malformed("key usage cannot be read"))?;
    if usage.is_some_and(|extension| !extension.value.key_cert_sign()) {
        return Err(Refusal::WrongPurpose("signing certificates"));
    }
    Ok(())
}

/// The one URI among the names. DNS, IP and email names may stand beside it, as SPIRE issues
/// them; every other kind is refused, since two parsers may read it in two ways.
fn only_uri<'a>(certificate: &'a X509Certificate<'_>) -> Result<&'a str, Refusal> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| Refusal::Malformed("subject alternative names cannot be read"))?
        .ok_or(Refusal::NoIdentity)?;
    let mut uris = Vec::new();
    for name in &names.value.general_names {
        match name {
            GeneralName::URI(uri) => uris.push(plain(uri)?),
            GeneralName::DNSName(text) | GeneralName::RFC822Name(text) => {
                plain(text)?;
            }
            GeneralName::IPAddress(_) => {}
            GeneralName::OtherName(..)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::RegisteredID(_) => {
                return Err(Refusal::ForbiddenName("a kind that is not URI, DNS, IP or email"));
            }
            GeneralName::Invalid(..) => {
                return Err(Refusal::ForbiddenName("bytes that are no text"));
            }
        }
    }
    match uris.as_slice() {
        [] => Err(Refusal::NoIdentity),
        [uri] => Ok(uri),
        several => Err(Refusal::ManyIdentities(several.len())),
    }
}

fn plain(text: &str) -> Result<&str, Refusal> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text)
    } else {
        Err(Refusal::ForbiddenName("NUL, blank, control or non-ASCII character"))
    }
}

/// At most 256 characters of a stranger's text, escaped for logs.
fn printable(text: &str) -> String {
    text.chars().take(256).flat_map(char::escape_default).collect()
}

/// A certificate as PEM. Source: RFC 7468 section 2 (64 characters in a line).
pub(crate) fn pem(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

/// SHA-256 of the DER of the first certificate of a PEM, in lower-case hex.
pub(crate) fn fingerprint(pem: &str) -> Option<String> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    Some(fingerprint_of(&der))
}

pub(crate) fn fingerprint_of(der: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der).as_ref())
}
