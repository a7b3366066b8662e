//! What a gateway does that a sidecar does not: it listens where documents say, ends TLS of the
//! web, and finds the host of a request among those of the server that was connected to.

mod credentials;
mod enter;
mod forwarded;
mod hosts;
mod listeners;

use std::net::SocketAddr;
use std::sync::Arc;

use meshcore_snapshot::Termination;

pub(crate) use credentials::Terminations;
pub(crate) use enter::enter;
pub(crate) use forwarded::tell_client;
pub(crate) use hosts::find_host;
pub(crate) use listeners::{ListenError, Listeners, PURPOSE, keep_listening};

/// How a client came in.
#[derive(Debug)]
pub(crate) struct Entrance {
    /// The listener, as the snapshot calls it.
    pub(crate) listener: SocketAddr,
    /// How TLS ended; `None` is plain text.
    pub(crate) termination: Option<Arc<Termination>>,
    /// The certificate that it showed, as `x-forwarded-client-cert` says it.
    pub(crate) certificate: Option<Box<str>>,
}
