//! What the certificate service and the secure port have counted since they began.

use std::collections::BTreeMap;
use std::fmt::Write;

use parking_lot::Mutex;

/// Why nothing was signed, or a connection not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Neither a token nor a certificate.
    NoIdentity,
    /// A token that is not taken.
    Token,
    /// A token and a certificate of different identities.
    Ambiguous,
    /// An identity of another trust domain.
    TrustDomain,
    /// The identity of the control plane itself.
    Reserved,
    /// Somebody asks for another one.
    Impersonation,
    /// A negative life.
    Validity,
    /// A request that cannot be read, is too large, or proves nothing.
    Request,
    /// A key that is too weak.
    Key,
    /// Too many at a time.
    Busy,
    /// The authority cannot sign.
    Authority,
    /// A handshake that failed, or was too slow.
    Handshake,
}

/// Counters.
#[derive(Debug, Default)]
pub struct Counts(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    requests: u64,
    issued: u64,
    refused: BTreeMap<Reason, u64>,
    last_trouble: Option<String>,
}

// === impl Counts ===

impl Counts {
    pub(super) fn asked(&self) {
        let mut counted = self.0.lock();
        counted.requests = counted.requests.saturating_add(1);
    }

    pub(super) fn issued(&self) {
        let mut counted = self.0.lock();
        counted.issued = counted.issued.saturating_add(1);
    }

    pub(super) fn refused(&self, reason: Reason) {
        let mut counted = self.0.lock();
        let count = counted.refused.entry(reason).or_default();
        *count = count.saturating_add(1);
    }

    /// The authority cannot sign: why, or `None` when it can again.
    pub(super) fn trouble(&self, why: Option<String>) {
        self.0.lock().last_trouble = why;
    }

    /// How often something was refused for this reason.
    pub fn of(&self, reason: Reason) -> u64 {
        self.0.lock().refused.get(&reason).copied().unwrap_or_default()
    }

    /// Certificates that were signed.
    pub fn signed(&self) -> u64 {
        self.0.lock().issued
    }

    /// What keeps the authority from signing, for the status.
    pub fn last_trouble(&self) -> Option<String> {
        self.0.lock().last_trouble.clone()
    }

    /// All of it in Prometheus' text format. Source of the names that begin with `citadel_`:
    /// Istio's `security/pkg/server/ca`.
    pub fn exposition(&self) -> String {
        let counted = self.0.lock();
        let mut out = String::new();
        for (name, help, value) in [
            ("citadel_server_csr_count", "Certificate requests.", counted.requests),
            (
                "citadel_server_success_cert_issuance_count",
                "Certificates that were signed.",
                counted.issued,
            ),
        ] {
            // Writing to a String does not fail.
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}\n");
        }
        let name = "meshcore_control_certificate_refusals_total";
        let _ = write!(
            out,
            "# HELP {name} Certificate requests and handshakes that were refused.\n\
             # TYPE {name} counter\n"
        );
        for (reason, count) in &counted.refused {
            let _ = writeln!(out, "{name}{{reason=\"{}\"}} {count}", reason.label());
        }
        out
    }
}

impl Reason {
    /// A short stable word for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoIdentity => "no_identity",
            Self::Token => "token",
            Self::Ambiguous => "ambiguous_identity",
            Self::TrustDomain => "trust_domain",
            Self::Reserved => "reserved_identity",
            Self::Impersonation => "impersonation",
            Self::Validity => "validity",
            Self::Request => "request",
            Self::Key => "weak_key",
            Self::Busy => "busy",
            Self::Authority => "authority",
            Self::Handshake => "handshake",
        }
    }
}
