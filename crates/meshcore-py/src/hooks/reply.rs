//! Who waits for a decision.

use std::time::{Duration, Instant};

use meshcore_proxy::hooks::{Decision, HookError};
use tokio::sync::{mpsc, oneshot};

use super::mailbox::Answered;
use super::wire::Answer;

/// A decision, or why there is none.
pub(crate) type Decided = Result<Decision, HookError>;

/// Who waits for a decision.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A request of a worker of this process, which hands it on.
    Worker { waiting: oneshot::Sender<Decided>, answers: mpsc::UnboundedSender<Answered> },
    /// The sidecar, which this process serves.
    Sidecar(Owed),
}

/// An answer that the sidecar gets for each of its calls, once.
#[derive(Debug)]
pub(crate) struct Owed {
    call: u64,
    timeout_ms: u64,
    until: Option<Instant>,
    answers: mpsc::UnboundedSender<Answer>,
    is_paid: bool,
}

// === impl Reply ===

impl Reply {
    /// Whether nobody waits any more.
    pub(crate) fn is_late(&self) -> bool {
        match self {
            Self::Worker { waiting, .. } => waiting.is_closed(),
            Self::Sidecar(owed) => owed.until.is_some_and(|until| until <= Instant::now()),
        }
    }

    /// Gives the decision.
    pub(crate) fn send(self, decided: Decided) {
        match self {
            // Fails when the worker is gone.
            Self::Worker { waiting, answers } => drop(answers.send((waiting, decided))),
            Self::Sidecar(mut owed) => owed.pay(decided),
        }
    }
}

// === impl Owed ===

impl Owed {
    pub(crate) fn new(call: u64, timeout_ms: u64, answers: mpsc::UnboundedSender<Answer>) -> Self {
        let until = Instant::now().checked_add(Duration::from_millis(timeout_ms));
        Self { call, timeout_ms, until, answers, is_paid: false }
    }

    fn pay(&mut self, decided: Decided) {
        self.is_paid = true;
        // Fails when the sidecar is gone.
        let _ = self.answers.send(Answer { call: self.call, decided });
    }
}

impl Drop for Owed {
    /// A call that was let go came too late.
    fn drop(&mut self) {
        if !self.is_paid {
            self.pay(Err(HookError::TimedOut(self.timeout_ms)));
        }
    }
}
