//! Verification of servers outside the mesh: by DNS name, address or URI.

use std::sync::Arc;

use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::extensions::GeneralName;

use crate::leaf;
use crate::provider::{checks_signatures, provider};

/// Verifies by the given roots, and by any of the names or else by the server name.
#[derive(Debug)]
pub(super) struct VerifyOutside {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) names: Vec<String>,
}

/// Checks that the server holds the key of whatever certificate it shows.
#[derive(Debug)]
pub(super) struct TrustAnyone;

// === impl VerifyOutside ===

impl VerifyOutside {
    fn check_name(
        &self,
        der: &CertificateDer<'_>,
        parsed: &ParsedCertificate<'_>,
        server_name: &ServerName<'_>,
    ) -> Result<(), rustls::Error> {
        if self.names.is_empty() {
            return verify_server_name(parsed, server_name);
        }
        let accepted = self.names.iter().any(|name| carries(der, parsed, name));
        accepted.then_some(()).ok_or_else(|| CertificateError::NotValidForName.into())
    }
}

/// Whether the certificate has the name: a DNS name (its own wildcards apply) or an address as
/// browsers check it, otherwise a URI or DNS name byte by byte.
fn carries(der: &CertificateDer<'_>, parsed: &ParsedCertificate<'_>, name: &str) -> bool {
    if let Ok(server_name) = ServerName::try_from(name) {
        return verify_server_name(parsed, &server_name).is_ok();
    }
    let Ok(certificate) = leaf::parse(der) else { return false };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return false };
    names.value.general_names.iter().any(|one| match one {
        GeneralName::URI(text) | GeneralName::DNSName(text) => *text == name,
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::IPAddress(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => false,
    })
}

impl ServerCertVerifier for VerifyOutside {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = provider().signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        self.check_name(end_entity, &parsed, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    checks_signatures!();
}

// === impl TrustAnyone ===

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    checks_signatures!();
}
