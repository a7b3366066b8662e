//! Pure decisions: match a route, authorize, rewrite, retry.
//!
//! Nothing here waits, reads a clock or draws a random number: time and randomness are
//! arguments, so that every decision can be repeated.
#![forbid(unsafe_code)]

mod authorize;
mod fault;
mod normalize;
mod request;
mod retry;
mod rewrite;
mod route;
#[cfg(test)]
mod scene;

pub use authorize::{DryRun, Step, Unmet, Verdict, Why};
pub use authorize::{RuleRef, authorize_http, authorize_tcp, explain_http, explain_tcp};
pub use fault::{Abort, Injection, falls_in, inject};
pub use normalize::{Malformed, normalize_path};
pub use request::{Peer, Request};
pub use retry::{Outcome, backoff_ms, should_retry};
pub use rewrite::{redirect_location, rewrite_path};
pub use route::{Matched, RouteStep, explain_route, select_route};
