//! Python hooks as the pipeline calls them. What Python is stays behind [`HookHost`].

mod cache;
mod call;
mod view;

use std::fmt;
use std::sync::Arc;

use meshcore_model::{Attribute, Hook};
use tokio::sync::oneshot;

pub(crate) use cache::DecisionCache;
pub use view::{Facts, View};

/// The side of Python: who can call hooks.
///
/// Nothing here may wait for the interpreter: a worker that cannot have it at once hands the
/// call over and goes on with other requests.
pub trait HookHost: Send + Sync + fmt::Debug {
    /// Runs a thread's whole loop, so that the thread can be made known to the interpreter once.
    fn run_thread(&self, run: &mut dyn FnMut());

    /// Calls a short hook on this thread. `None` when the interpreter is busy, was slow lately,
    /// or the hook is not to be called inline: the caller then uses [`Self::call_later`].
    fn call_now(&self, hook: &Hook, view: &View<'_>) -> Option<Result<Decision, HookError>>;

    /// Hands the call to the policy thread, or to the process of its plugin. `None` when the queue
    /// there is full. The caller gives up after the hook's limit, whether or not an answer comes.
    fn call_later(&self, hook: &Arc<Hook>, facts: Facts) -> Option<PendingDecision>;

    /// The caller of [`Self::call_later`] had no answer within the hook's limit.
    fn gave_up(&self, hook: &Hook);

    /// Takes records of finished requests for telemetry hooks. Must not block; `false` when
    /// they were dropped.
    fn finished(&self, records: Vec<RequestRecord>) -> bool;

    /// Grows whenever remembered decisions must be forgotten.
    fn cache_epoch(&self) -> u64;

    /// Level of the Python log; sets it first, if one is given.
    fn log_level(&self, set: Option<&str>) -> String;

    /// Metrics of the hooks in Prometheus' format, which are appended to the native ones. Does not
    /// wait for Python, so that they tell also of a plugin that keeps the interpreter.
    fn exposition(&self) -> Vec<u8>;

    /// What Python adds to them. Called on a thread that it may block.
    fn scrape(&self) -> Vec<u8>;
}

/// An answer that is on its way.
pub type PendingDecision = oneshot::Receiver<Result<Decision, HookError>>;

/// Why a hook gave no decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// It raised.
    #[error("{0}")]
    Raised(String),
    /// It returned something that is no decision for its stage.
    #[error("returned {0}")]
    Nonsense(String),
    /// No answer within its limit.
    #[error("no answer within {0} ms")]
    TimedOut(u64),
    /// Too many calls wait already.
    #[error("too many calls wait for it")]
    Overloaded,
    /// Too many failures lately: it is not called for a while.
    #[error("not called: it failed too often")]
    Broken,
    /// The process of its plugin ended.
    #[error("its process ended, it is started again")]
    Down,
}

/// What a hook decided. Changes are shared, since most hooks decide the same again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// No opinion: the next hook, or the native rules, decide.
    Abstain,
    /// Allowed, with changes to the request.
    Allow(Arc<Edits>),
    /// Refused.
    Deny(Denial),
    /// Sent to this host, subset, or both.
    RouteTo(RouteTo),
    /// Goes on with these changes.
    Modify(Arc<Edits>),
}

/// A header field: its name in lower case, its value.
pub type Field = (Box<[u8]>, Box<[u8]>);

/// Changes to a message. Names are in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edits {
    /// Fields that are replaced, or made when missing.
    pub set: Vec<Field>,
    /// Fields that are removed.
    pub remove: Vec<Box<[u8]>>,
    /// New path with its query (requests only).
    pub path: Option<Box<[u8]>>,
    /// New status (responses only).
    pub status: Option<u16>,
    /// New body, in place of the whole one (responses only).
    pub body: Option<Arc<[u8]>>,
}

impl Edits {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// HTTP status for the client.
    pub status: u16,
    /// gRPC status for a gRPC client; `None` follows from `status`.
    pub grpc_status: Option<u8>,
    /// Why, for the log and the client.
    pub reason: Arc<str>,
    /// Short code of the policy, for the log and the client.
    pub code: Arc<str>,
}

/// Where a hook sends a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteTo {
    /// Fully qualified or short host; `None` stays with the one that the request names.
    pub host: Option<Arc<str>>,
    /// Subset of the host's traffic policy.
    pub subset: Option<Arc<str>>,
    /// Why, for the log.
    pub reason: Arc<str>,
}

/// A finished request, as telemetry hooks see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestRecord {
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// Method.
    pub method: String,
    /// Authority.
    pub host: String,
    /// Path without the query.
    pub path: String,
    /// Status sent to the client.
    pub status: u16,
    /// Flags as in the access log.
    pub flags: String,
    /// Identity of the peer; empty when it proved none.
    pub source_principal: String,
    /// Called service.
    pub destination_service: String,
    /// Name of the rule.
    pub route: String,
    /// Microseconds from the first byte to the last.
    pub duration_us: u64,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// Values of the attributes that the hooks declared.
    pub attributes: Vec<(Attribute, Option<String>)>,
}

/// No Python at all: no hook is registered, and none is called.
#[derive(Debug, Default)]
pub struct NoHooks;

impl HookHost for NoHooks {
    fn run_thread(&self, run: &mut dyn FnMut()) {
        run();
    }

    fn call_now(&self, _hook: &Hook, _view: &View<'_>) -> Option<Result<Decision, HookError>> {
        None
    }

    fn call_later(&self, _hook: &Arc<Hook>, _facts: Facts) -> Option<PendingDecision> {
        None
    }

    fn gave_up(&self, _hook: &Hook) {}

    fn finished(&self, _records: Vec<RequestRecord>) -> bool {
        false
    }

    fn cache_epoch(&self) -> u64 {
        0
    }

    fn log_level(&self, _set: Option<&str>) -> String {
        "info".into()
    }

    fn exposition(&self) -> Vec<u8> {
        Vec::new()
    }

    fn scrape(&self) -> Vec<u8> {
        Vec::new()
    }
}
