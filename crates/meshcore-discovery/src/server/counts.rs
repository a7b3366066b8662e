//! What the server has counted since it began.

use std::collections::BTreeMap;
use std::time::Duration;

use tonic::Code;

/// Upper bounds in seconds of the time from a change to its acknowledgement. Source: Istio's
/// `pilot_proxy_convergence_time`.
pub(super) const BOUNDS: [f64; 9] = [0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0];

/// Longest text of an error that is kept.
const MAX_ERROR_CHARS: usize = 1000;

/// Counters.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Streams that began.
    pub(super) streams: u64,
    /// Responses that were sent.
    pub(super) pushes: u64,
    /// Answers that refused something.
    pub(super) rejects: u64,
    /// Answers to responses that are not waited for.
    pub(super) stale_answers: u64,
    /// Clients that did not read.
    pub(super) slow: u64,
    /// Workloads that registered.
    pub(super) registrations: u64,
    /// Streams that were ended with an error, by its code.
    pub(super) ended: BTreeMap<&'static str, u64>,
    /// Acknowledged changes by bound, not cumulated; the last one is for all above.
    pub(super) converged: [u64; BOUNDS.len() + 1],
    /// Sum of these times in seconds.
    pub(super) converged_sum: f64,
    /// Writes of the registry that failed, and why the last one did.
    pub(super) unwritten: u64,
    pub(super) last_unwritten: Option<String>,
}

impl Counts {
    pub(super) fn ended(&mut self, code: Code) {
        let count = self.ended.entry(label(code)).or_default();
        *count = count.saturating_add(1);
    }

    pub(super) fn slow(&mut self) {
        self.slow = self.slow.saturating_add(1);
    }

    pub(super) fn unwritten(&mut self, why: &str) {
        self.unwritten = self.unwritten.saturating_add(1);
        self.last_unwritten = Some(why.chars().take(MAX_ERROR_CHARS).collect());
    }

    pub(super) fn converged(&mut self, after: Duration) {
        let seconds = after.as_secs_f64();
        let place = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = self.converged.get_mut(place) {
            *count = count.saturating_add(1);
        }
        self.converged_sum += seconds;
    }
}

/// The codes that streams are ended with, as labels.
fn label(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument => "invalid_argument",
        Code::Unauthenticated => "unauthenticated",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::Unavailable => "unavailable",
        Code::Cancelled => "cancelled",
        Code::Ok
        | Code::Unknown
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss => "other",
    }
}
