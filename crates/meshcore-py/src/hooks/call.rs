//! One call of a hook: on this thread, and what is made of its outcome.

use std::sync::atomic::Ordering;

use meshcore_proxy::hooks::{Decision, HookError, View};
use pyo3::prelude::*;

use super::clerk::{self, Severity};
use super::entry::{Entry, count};
use super::reply::{Decided, Reply};
use super::slot::Slot;
use super::{INLINE_LIMIT_NS, PyHooks};
use crate::answer;
use crate::sight::call_here;

impl PyHooks {
    /// What remains of a call on a worker once it has the gate, at `asked_ns`.
    pub(crate) fn call_inline(
        &self,
        entry: &Entry,
        view: &View<'_>,
        slot: &Slot,
        asked_ns: u64,
    ) -> Option<Result<Decision, HookError>> {
        let waits = self.pressure.waits_before(asked_ns);
        Python::try_attach(|py| {
            let began_ns = self.now_ns();
            self.pressure.waited(began_ns.saturating_sub(asked_ns), began_ns, waits);
            slot.begin(began_ns, INLINE_LIMIT_NS);
            let returned = call_here(py, entry, view);
            let decided = self.judge(py, entry, returned);
            let interrupts = slot.interrupts();
            slot.end(py);
            let ended_ns = self.now_ns();
            let took_ns = ended_ns.saturating_sub(began_ns);
            count(&entry.counts.inline);
            let decided = if interrupts > 0 { Err(self.late(entry)) } else { decided };
            self.settle(entry, None, &decided, (took_ns, ended_ns));
            let is_too_slow = entry.pace.ran_inline(took_ns, ended_ns)
                || (interrupts > 0 && entry.pace.demote(ended_ns));
            if is_too_slow {
                self.desk.report(
                    Severity::Warning,
                    format!(
                        "hook {} ({}) took {} ms on a worker, it is called on the policy thread \
                         for a minute: make it shorter, or write blocking=True",
                        entry.hook.name,
                        entry.hook.origin,
                        took_ns / 1_000_000,
                    ),
                );
            }
            decided
        })
    }

    /// The decision behind what a hook returned or raised. Reports what is wrong.
    pub(crate) fn judge(
        &self,
        py: Python<'_>,
        entry: &Entry,
        returned: PyResult<Bound<'_, PyAny>>,
    ) -> Result<Decision, HookError> {
        let decided = match returned {
            Ok(value) => answer::decision(entry.hook.stage, &entry.last, &value),
            Err(error) => {
                let raised = answer::raised(py, &error);
                if let Some(kept_back) = entry.report_due(self.now_ns()) {
                    let text = clerk::raised(py, entry, &error, kept_back);
                    self.desk.report(Severity::Error, text);
                }
                return Err(raised);
            }
        };
        if let Err(error) = &decided {
            self.report(entry, error);
        }
        decided
    }

    /// A call that took too long: its answer is of no use.
    pub(crate) fn late(&self, entry: &Entry) -> HookError {
        let error = HookError::TimedOut(entry.hook.timeout_ms);
        count(&entry.counts.late);
        self.report(entry, &error);
        error
    }

    /// Says what is wrong with a hook, once a second.
    pub(crate) fn report(&self, entry: &Entry, error: &HookError) {
        if let Some(kept_back) = entry.report_due(self.now_ns()) {
            self.desk.report(Severity::Error, clerk::failed(entry, error, kept_back));
        }
    }

    /// Counts an outcome, and stops calling the hook when it fails most of the time. A caller that
    /// has given up has said so itself.
    pub(crate) fn settle(
        &self,
        entry: &Entry,
        reply: Option<&Reply>,
        decided: &Decided,
        (took_ns, now_ns): (u64, u64),
    ) {
        entry.counts.busy_ns.fetch_add(took_ns, Ordering::Relaxed);
        if decided.is_err() {
            count(&entry.counts.failures);
        }
        if !reply.is_some_and(Reply::is_late) {
            self.record(entry, decided.is_err(), now_ns);
        }
    }

    /// Takes an outcome into account, for whether the hook is called.
    pub(crate) fn record(&self, entry: &Entry, is_failure: bool, now_ns: u64) {
        if self.is_served && !entry.is_telemetry() {
            return;
        }
        if entry.breaker.record(is_failure, now_ns / 1_000_000) {
            self.desk.report(
                Severity::Error,
                format!(
                    "hook {} ({}) failed most of its calls within a second: it is not called \
                     for half a second, and longer while it goes on; its requests get the answer \
                     of on_error",
                    entry.hook.name, entry.hook.origin,
                ),
            );
        }
    }
}

/// An answer that is there already.
pub(crate) fn refused(entry: &Entry) -> Result<Decision, HookError> {
    count(&entry.counts.broken);
    Err(HookError::Broken)
}
