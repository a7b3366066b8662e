//! Asking a control plane for what the snapshot does not know, before a request goes on.
//!
//! A sidecar without a control plane knows the whole mesh, and has no [`Discovery`].

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use meshcore_snapshot::Authority;
use serde_json::Value;

use crate::timer::timeout;
use crate::worker::Worker;

/// How often one request may ask: for its host, and for those that hooks choose.
pub(crate) const MAX_QUESTIONS: u8 = 3;

/// The side of a control plane: who can say what the mesh has.
///
/// It is asked on threads that carry requests, and must not block them.
pub trait Discovery: Send + Sync + fmt::Debug {
    /// Asks for a host, in lower case and without a port, or for a virtual address.
    fn ask_host(&self, host: &str) -> Discovered;

    /// Asks for the workload at an address; nobody waits for it.
    fn ask_peer(&self, address: IpAddr);

    /// How it fares, as JSON.
    fn status(&self) -> Value;

    /// Its metrics in Prometheus' text format.
    fn exposition(&self) -> Vec<u8>;
}

/// What is known of a host.
pub enum Discovered {
    /// The mesh does not have it, or that cannot be known now: the snapshot says what to do.
    Unknown,
    /// It is in the snapshot in force by now.
    InForce,
    /// It was asked for.
    Coming {
        /// Ends when the answer is in force. It uses no timers: workers have their own.
        answer: Pin<Box<dyn Future<Output = ()> + Send>>,
        /// How long it is waited for.
        within: Duration,
    },
}

impl fmt::Debug for Discovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "Unknown",
            Self::InForce => "InForce",
            Self::Coming { .. } => "Coming",
        })
    }
}

/// An answer that is worth a look at the snapshot in force then.
#[derive(Debug)]
pub(crate) struct Answer(Discovered);

impl Answer {
    /// Waits for it. It may not have come when this ends: the snapshot tells.
    pub(crate) async fn wait(self) {
        match self.0 {
            Discovered::Coming { mut answer, within } => {
                let _late = timeout(within, Pin::new(&mut answer)).await;
            }
            Discovered::Unknown | Discovered::InForce => {}
        }
    }
}

impl Worker {
    /// Asks for the host of an authority. `None` when there is nobody to ask, or nothing to wait
    /// for.
    pub(crate) fn ask_authority(&self, authority: &[u8]) -> Option<Answer> {
        let discovery = self.shared.discovery.as_ref()?;
        let authority = Authority::parse(authority)?;
        match discovery.ask_host(std::str::from_utf8(authority.host()).ok()?) {
            Discovered::Unknown => None,
            answer @ (Discovered::InForce | Discovered::Coming { .. }) => Some(Answer(answer)),
        }
    }

    /// As [`Self::ask_authority`], for a virtual address.
    pub(crate) fn ask_address(&self, address: IpAddr) -> Option<Answer> {
        let discovery = self.shared.discovery.as_ref()?;
        match discovery.ask_host(&address.to_canonical().to_string()) {
            Discovered::Unknown => None,
            answer @ (Discovered::InForce | Discovered::Coming { .. }) => Some(Answer(answer)),
        }
    }

    /// Waits until it is known what is at the address that a redirected connection was made to:
    /// what is spoken there is told by its service.
    pub(crate) async fn discover_destination(&self, address: IpAddr) {
        if self.shared.discovery.is_none() || self.snapshot().outbound.has_address(address) {
            return;
        }
        if let Some(answer) = self.ask_address(address) {
            answer.wait().await;
        }
    }
}
