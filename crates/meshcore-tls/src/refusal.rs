//! Why a peer's certificate was refused.

use std::sync::Arc;

use rustls::{CertificateError, OtherError};

/// Why a certificate, presented by a peer or loaded by us, is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The bytes are not one well-formed X.509 v3 certificate.
    #[error("certificate is malformed: {0}")]
    Malformed(&'static str),
    /// More certificates than any chain of ours has.
    #[error("certificate chain has {0} certificates, at most {max} are read", max = crate::verify::MAX_CHAIN)]
    ChainTooLong(usize),
    /// No URI in the subject alternative names; the common name is never asked.
    #[error("certificate names no spiffe:// identity, issue it with exactly one URI SAN")]
    NoIdentity,
    /// Which of several names is meant cannot be known.
    #[error("certificate has {0} URI SANs, exactly one is allowed")]
    ManyIdentities(usize),
    /// A subject alternative name with bytes or of a kind that has no place in a mesh identity.
    #[error("certificate has a forbidden subject alternative name: {0}")]
    ForbiddenName(&'static str),
    /// The URI is not `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.
    #[error("certificate identity {0:?} is not spiffe://<trust domain>/ns/<ns>/sa/<sa>")]
    NotSpiffe(String),
    /// Nobody gave us roots for this trust domain.
    #[error("trust domain {0:?} is not in the trust bundle, add its roots or an alias")]
    UnknownTrustDomain(String),
    /// No chain from the certificate to a root of its own trust domain.
    #[error("certificate does not chain to the roots of its trust domain")]
    UnknownIssuer,
    /// A CA certificate, or one that may sign certificates, used as a leaf.
    #[error("certificate may sign certificates and cannot identify a workload")]
    IsAuthority,
    /// Key usage or extended key usage does not allow what the certificate is used for.
    #[error("certificate is not meant for {0}")]
    WrongPurpose(&'static str),
    /// Past its end.
    #[error("certificate expired at {not_after} (unix seconds)")]
    Expired {
        /// End of validity in unix seconds.
        not_after: u64,
    },
    /// Before its beginning.
    #[error("certificate is not valid before {not_before} (unix seconds), check the clocks")]
    NotYetValid {
        /// Beginning of validity in unix seconds.
        not_before: u64,
    },
    /// Taken back by its issuer, itself or an intermediate of its chain.
    #[error("certificate was revoked by its issuer")]
    Revoked,
    /// Whether it was taken back is not known: the list of its issuer is past its end.
    #[error("revocation list of the certificate's issuer is out of date, get a new one")]
    StaleRevocations,
    /// A valid identity that this connection was not made for.
    #[error("peer is {presented}, expected {expected}")]
    Unexpected {
        /// The identity in the certificate.
        presented: String,
        /// What the connection was made for, in short.
        expected: String,
    },
    /// The connection has no peer certificate.
    #[error("peer presented no certificate")]
    NoCertificate,
    /// Anything else that path building refuses: signatures, name constraints, algorithms.
    #[error("certificate chain is refused: {0}")]
    Chain(String),
}

// === impl Refusal ===

impl Refusal {
    /// The refusal behind a failed handshake, if it failed for that.
    pub fn behind(error: &rustls::Error) -> Option<Self> {
        let rustls::Error::InvalidCertificate(reason) = error else { return None };
        Some(Self::from_certificate_error(reason))
    }

    /// The refusal behind a failed handshake as tokio-rustls reports it.
    pub fn behind_io(error: &std::io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<rustls::Error>().and_then(Self::behind)
    }

    /// A short stable word for metrics and logs.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::ChainTooLong(_) => "chain_too_long",
            Self::NoIdentity => "no_identity",
            Self::ManyIdentities(_) => "many_identities",
            Self::ForbiddenName(_) => "forbidden_name",
            Self::NotSpiffe(_) => "not_spiffe",
            Self::UnknownTrustDomain(_) => "unknown_trust_domain",
            Self::UnknownIssuer => "unknown_issuer",
            Self::IsAuthority => "is_authority",
            Self::WrongPurpose(_) => "wrong_purpose",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::Revoked => "revoked",
            Self::StaleRevocations => "stale_revocations",
            Self::Unexpected { .. } => "unexpected_identity",
            Self::NoCertificate => "no_certificate",
            Self::Chain(_) => "chain",
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum, all else is text")]
    pub(crate) fn from_webpki(error: webpki::Error, purpose: &'static str) -> Self {
        match error {
            webpki::Error::CaUsedAsEndEntity => Self::IsAuthority,
            // Roots of the same name with another key: the chain leads to none of ours.
            webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
                Self::UnknownIssuer
            }
            webpki::Error::CertExpired { not_after, .. } => {
                Self::Expired { not_after: not_after.as_secs() }
            }
            webpki::Error::CertNotValidYet { not_before, .. } => {
                Self::NotYetValid { not_before: not_before.as_secs() }
            }
            webpki::Error::CertRevoked => Self::Revoked,
            webpki::Error::CrlExpired { .. } => Self::StaleRevocations,
            webpki::Error::RequiredEkuNotFoundContext(_) => Self::WrongPurpose(purpose),
            other => Self::Chain(other.to_string()),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum, all else is text")]
    fn from_certificate_error(error: &CertificateError) -> Self {
        match error {
            CertificateError::Other(OtherError(inner)) => match inner.downcast_ref::<Self>() {
                Some(refusal) => refusal.clone(),
                None => Self::Chain(inner.to_string()),
            },
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::Revoked => Self::Revoked,
            CertificateError::ExpiredContext { not_after, .. } => {
                Self::Expired { not_after: not_after.as_secs() }
            }
            CertificateError::NotValidYetContext { not_before, .. } => {
                Self::NotYetValid { not_before: not_before.as_secs() }
            }
            other => Self::Chain(other.to_string()),
        }
    }
}

/// Keeps the alerts that tell the other side what to do (expired, unknown CA); everything else
/// is `certificate_unknown`, so that a stranger learns nothing from the alert.
impl From<Refusal> for rustls::Error {
    fn from(refusal: Refusal) -> Self {
        let now = rustls_pki_types::UnixTime::now();
        let at = |seconds| {
            rustls_pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
        };
        Self::InvalidCertificate(match refusal {
            Refusal::Expired { not_after } => {
                CertificateError::ExpiredContext { time: now, not_after: at(not_after) }
            }
            Refusal::NotYetValid { not_before } => {
                CertificateError::NotValidYetContext { time: now, not_before: at(not_before) }
            }
            Refusal::UnknownIssuer => CertificateError::UnknownIssuer,
            Refusal::Revoked => CertificateError::Revoked,
            other @ (Refusal::Malformed(_)
            | Refusal::ChainTooLong(_)
            | Refusal::NoIdentity
            | Refusal::ManyIdentities(_)
            | Refusal::ForbiddenName(_)
            | Refusal::NotSpiffe(_)
            | Refusal::UnknownTrustDomain(_)
            | Refusal::IsAuthority
            | Refusal::WrongPurpose(_)
            | Refusal::StaleRevocations
            | Refusal::Unexpected { .. }
            | Refusal::NoCertificate
            | Refusal::Chain(_)) => CertificateError::Other(OtherError(Arc::new(other))),
        })
    }
}
