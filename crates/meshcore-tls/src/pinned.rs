//! The first call of a sidecar to its control plane, before it has a certificate of its own: it
//! knows whom it wants, and has the digest of a root, or the root itself.

use std::sync::Arc;

use meshcore_model::Identity;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::alpn;
use crate::bundle::TrustBundle;
use crate::expected::Expected;
use crate::leaf;
use crate::provider::{checks_signatures, provider, versions};
use crate::refusal::Refusal;
use crate::verify::{Role, check};

/// What a sidecar without a certificate believes.
#[derive(Debug, Clone)]
pub enum Anchor {
    /// A root with one of these SHA-256 of its DER, in lower-case hex. The server shows the root
    /// itself, at the end of its chain.
    Digests(Vec<String>),
    /// These roots.
    Roots(TrustBundle),
}

/// The configuration of a client without a certificate, which accepts only `expected`.
///
/// # Errors
/// [`rustls::Error`] if the cryptography cannot be set up.
pub fn anchored_config(
    anchor: Anchor,
    expected: &Identity,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let expected = Expected::identities([expected]);
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(false))?
        .dangerous() // rustls' word for any verifier but its own
        .with_custom_certificate_verifier(Arc::new(VerifyAnchored { anchor, expected }))
        .with_no_client_auth();
    config.alpn_protocols = alpn::owned(alpn);
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct VerifyAnchored {
    anchor: Anchor,
    expected: Expected,
}

// === impl Anchor ===

impl Anchor {
    /// The roots in `shown`, of the trust domain of `identity`, that this believes.
    ///
    /// # Errors
    /// [`Refusal::UnknownIssuer`] if there is none.
    pub(crate) fn believed(
        &self,
        identity: &Identity,
        shown: &[CertificateDer<'_>],
    ) -> Result<TrustBundle, Refusal> {
        match self {
            Self::Roots(bundle) => Ok(bundle.clone()),
            Self::Digests(_) => {
                let roots = [(identity.trust_domain(), self.pinned_pem(shown))];
                TrustBundle::from_pem(roots).map_err(|_| Refusal::UnknownIssuer)
            }
        }
    }

    /// PEM of those shown that have one of the digests; none for [`Anchor::Roots`].
    pub fn pinned_pem(&self, shown: &[CertificateDer<'_>]) -> String {
        let Self::Digests(digests) = self else { return String::new() };
        let pinned = shown.iter().filter(|der| digests.contains(&leaf::fingerprint_of(der)));
        pinned.map(|der| leaf::pem(der)).collect()
    }
}

impl ServerCertVerifier for VerifyAnchored {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // Digests are of certificates: a long chain would only cost.
        let shown = intermediates.get(..crate::verify::MAX_CHAIN).unwrap_or(intermediates);
        let claimed = leaf::Leaf::read(end_entity)?.identity;
        let bundle = self.anchor.believed(&claimed, shown)?;
        let verified = check(&bundle, Role::Server, (end_entity, intermediates), now)?;
        self.expected.accept(&verified.leaf)?;
        Ok(ServerCertVerified::assertion())
    }

    checks_signatures!();
}

#[cfg(test)]
mod tests;
