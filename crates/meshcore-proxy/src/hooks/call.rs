//! Calling a hook: remembered, at once, or by the policy thread; with its limit and its declared
//! answer.

use std::future::poll_fn;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use meshcore_model::{Failure, Hook, HookAnswer, HookMode, Kind};
use meshcore_telemetry::{Counter, Labelled};

use super::{Decision, HookError, HookHost, View};
use crate::timer::timeout;
use crate::worker::Worker;

/// Waits until all tasks that are ready now had their turn.
async fn others_first() {
    let mut had_turn = false;
    poll_fn(|cx| {
        if mem::replace(&mut had_turn, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Worker {
    /// What the hook decides for this request, or what it declares for the case that it gives
    /// no decision.
    ///
    /// # Errors
    ///
    /// `Undecided` when it gave no decision and declares to deny then.
    pub(crate) async fn decide(
        &self,
        hook: &Arc<Hook>,
        view: &View<'_>,
    ) -> Result<Decision, Failure> {
        let mut asked = None;
        if hook.cache_ms > 0 {
            let at = (Instant::now(), self.shared.hooks.cache_epoch());
            if let Some(known) = self.decisions.recall(hook, view, at) {
                self.recorder.count_by(Labelled::HookCacheHits, &hook.name, 1);
                return Ok(known);
            }
            asked = Some((self.decisions.key_of(hook, view), at));
        }
        self.recorder.count_by(Labelled::HookCalls, &hook.name, 1);
        match self.ask(hook, view).await {
            Ok(decision) => {
                if let Some((key, at)) = asked {
                    self.decisions.remember(hook, key, &decision, at);
                }
                Ok(decision)
            }
            Err(error) => self.declared(hook, &error),
        }
    }

    /// Asks Python.
    async fn ask(&self, hook: &Arc<Hook>, view: &View<'_>) -> Result<Decision, HookError> {
        if hook.mode == HookMode::Inline {
            // Hooks of all requests that are ready run one after the other, in warm caches.
            others_first().await;
            let decided = self.guard(|host| host.call_now(hook, view))?;
            if let Some(decided) = decided {
                others_first().await;
                return decided;
            }
        }
        let pending = self.guard(|host| host.call_later(hook, view.facts(hook)))?;
        let pending = pending.ok_or(HookError::Overloaded)?;
        match timeout(Duration::from_millis(hook.timeout_ms), pin!(pending)).await {
            Ok(Ok(decided)) => decided,
            Ok(Err(_dropped)) => Err(HookError::Broken),
            Err(_elapsed) => {
                self.guard(|host| host.gave_up(hook))?;
                Err(HookError::TimedOut(hook.timeout_ms))
            }
        }
    }

    /// Calls the host; if it panics, this call has failed and nothing else.
    ///
    /// # Errors
    ///
    /// `Raised` when it panics.
    pub(crate) fn guard<T>(&self, call: impl FnOnce(&dyn HookHost) -> T) -> Result<T, HookError> {
        let host = &*self.shared.hooks;
        catch_unwind(AssertUnwindSafe(|| call(host))).map_err(|_panic| {
            self.recorder.count(Counter::Panics, 1);
            HookError::Raised("panicked".into())
        })
    }

    fn declared(&self, hook: &Hook, error: &HookError) -> Result<Decision, Failure> {
        let family = match error {
            HookError::TimedOut(_) => Labelled::HookTimeouts,
            HookError::Raised(_)
            | HookError::Nonsense(_)
            | HookError::Overloaded
            | HookError::Broken
            | HookError::Down => Labelled::HookErrors,
        };
        self.recorder.count_by(family, &hook.name, 1);
        match hook.on_error {
            HookAnswer::Allow => Ok(Decision::Allow(Arc::default())),
            HookAnswer::Skip => Ok(Decision::Abstain),
            HookAnswer::Deny => {
                Err(Failure::because(Kind::Undecided, format!("{}: {error}", hook.name)))
            }
        }
    }
}
