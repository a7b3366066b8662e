//! Who is at the other end: the verification of mesh certificates, in both directions.
//!
//! A chain is good if its leaf reads strictly as one SPIFFE identity, the identity's trust
//! domain is in the bundle, and the chain leads to a root *of that domain*, with the right
//! purpose, valid now, and none of it taken back. Names in the subject are never looked at. Name constraints on authorities
//! are enforced by webpki, which refuses every URI constraint rather than to interpret it.
//!
//! Source: RFC 5280 section 6, SPIFFE X509-SVID section 5, docs of rustls-webpki 0.103.

use std::sync::Arc;

use rustls::DistinguishedName;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::bundle::TrustBundle;
use crate::expected::Expected;
use crate::leaf::{self, Leaf};
use crate::provider::{checks_signatures, digest, provider};
use crate::refusal::Refusal;
use crate::revocation;
use crate::shared::Shared;
use crate::verified::Verified;

/// Longest chain that is read, leaf included. Ours have two or three.
pub(crate) const MAX_CHAIN: usize = 8;

/// The part that the peer plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

/// Accepts any client of the trusted domains.
#[derive(Debug)]
pub(crate) struct VerifyClient {
    pub(crate) shared: Arc<Shared>,
    /// A client without a certificate is refused.
    pub(crate) is_required: bool,
}

/// Accepts the servers that are expected.
#[derive(Debug)]
pub(crate) struct VerifyServer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) expected: Expected,
}

/// Verifies a chain (leaf first) against the trust in force; the leaf is the proof.
///
/// # Errors
/// The first [`Refusal`] met.
pub(crate) fn verify(
    shared: &Shared,
    role: Role,
    chain: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<Arc<Leaf>, Refusal> {
    let (end_entity, intermediates) = chain.split_first().ok_or(Refusal::NoCertificate)?;
    verify_parts(shared, role, (end_entity, intermediates), now)
}

fn verify_parts(
    shared: &Shared,
    role: Role,
    (end_entity, intermediates): (&CertificateDer<'_>, &[CertificateDer<'_>]),
    now: UnixTime,
) -> Result<Arc<Leaf>, Refusal> {
    if intermediates.len() >= MAX_CHAIN {
        return Err(Refusal::ChainTooLong(intermediates.len().saturating_add(1)));
    }
    let current = shared.current();
    let epoch = current.trust_epoch.to_be_bytes();
    let ders = intermediates.iter().map(AsRef::as_ref);
    let key = digest(
        [&epoch[..], role.purpose().as_bytes(), end_entity.as_ref()].into_iter().chain(ders),
    );
    if let Some(verified) = shared.verified.find(&key, now.as_secs()) {
        return Ok(verified.leaf);
    }
    let verified = check(current.materials.bundle(), role, (end_entity, intermediates), now)?;
    let leaf = Arc::clone(&verified.leaf);
    shared.verified.remember(key, verified);
    Ok(leaf)
}

/// Verifies a chain against a bundle, without remembering it.
///
/// # Errors
/// The first [`Refusal`] met.
pub(crate) fn check(
    bundle: &TrustBundle,
    role: Role,
    (end_entity, intermediates): (&CertificateDer<'_>, &[CertificateDer<'_>]),
    now: UnixTime,
) -> Result<Verified, Refusal> {
    if intermediates.len() >= MAX_CHAIN {
        return Err(Refusal::ChainTooLong(intermediates.len().saturating_add(1)));
    }
    let leaf = Leaf::read(end_entity)?;
    leaf.valid_at(now)?;
    let domain = leaf.identity.trust_domain();
    let roots = bundle
        .anchors(domain, now)
        .ok_or_else(|| Refusal::UnknownTrustDomain(domain.to_owned()))?;
    let lists: Vec<_> = roots.revocations.iter().map(|of| of.list()).collect();
    let refused = |error| Refusal::from_webpki(error, role.purpose());
    let parsed = webpki::EndEntityCert::try_from(end_entity).map_err(refused)?;
    let path = parsed
        .verify_for_usage(
            provider().signature_verification_algorithms.all,
            &roots.anchors,
            intermediates,
            now,
            role.usage(),
            revocation::options(&lists),
            None,
        )
        .map_err(refused)?;
    path.intermediate_certificates().try_for_each(|issuer| leaf::may_sign(&issuer.der()))?;
    let (not_before, not_after) = common_validity(&leaf, intermediates, roots.not_after)?;
    Ok(Verified { leaf: Arc::new(leaf), not_before, not_after })
}

/// The time in which nothing of the chain begins or ends.
fn common_validity(
    leaf: &Leaf,
    intermediates: &[CertificateDer<'_>],
    roots_not_after: u64,
) -> Result<(u64, u64), Refusal> {
    let mut common = (leaf.not_before, leaf.not_after.min(roots_not_after));
    for der in intermediates {
        let certificate = leaf::parse(der)?;
        let validity = certificate.validity();
        common.0 = common.0.max(leaf::seconds(validity.not_before.timestamp()));
        common.1 = common.1.min(leaf::seconds(validity.not_after.timestamp()));
    }
    Ok(common)
}

// === impl Role ===

impl Role {
    fn purpose(self) -> &'static str {
        match self {
            Self::Client => "client authentication",
            Self::Server => "server authentication",
        }
    }

    fn usage(self) -> webpki::KeyUsage {
        match self {
            Self::Client => webpki::KeyUsage::client_auth(),
            Self::Server => webpki::KeyUsage::server_auth(),
        }
    }
}

// === impl VerifyClient ===

impl ClientCertVerifier for VerifyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[] // mesh clients have one certificate; naming our roots only makes the flight longer
    }

    fn client_auth_mandatory(&self) -> bool {
        self.is_required
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        verify_parts(&self.shared, Role::Client, (end_entity, intermediates), now)?;
        Ok(ClientCertVerified::assertion())
    }

    checks_signatures!();
}

// === impl VerifyServer ===

impl ServerCertVerifier for VerifyServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let leaf = verify_parts(&self.shared, Role::Server, (end_entity, intermediates), now)?;
        self.expected.accept(&leaf)?;
        Ok(ServerCertVerified::assertion())
    }

    checks_signatures!();
}

#[cfg(test)]
mod tests;
