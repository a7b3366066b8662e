//! Threads that run hooks which must not run on workers: untried, slow or blocking ones.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use meshcore_model::{HookAnswer, HookMode};
use pyo3::prelude::*;

use super::entry::{Entry, count};
use super::queue::{Job, Next};
use super::reply::{Decided, Reply};
use super::slot::{Role, Slot};
use super::{MAX_POLICY_THREADS, PyHooks};
use crate::sight::Copied;

/// Calls in a row before others may have the interpreter. Source: performance blueprint,
/// section 3.14 (e).
const BATCH: usize = 64;
/// How long answers wait for each other, in ns: as long as a worker takes for a dozen requests.
const HOLD_NS: u64 = 100_000;
/// A hook that runs this many times its limit is interrupted. Source: as above, (g).
const LIMITS_UNTIL_INTERRUPT: u64 = 10;
/// A thread beside the first one ends after so long without a call.
const KEEP_IDLE: Duration = Duration::from_secs(10);

/// Starts one more thread, if there may be one.
///
/// # Errors
/// When the system has no more threads.
pub(crate) fn start(host: &Arc<PyHooks>) -> PyResult<()> {
    if host.policy_threads.fetch_add(1, Ordering::Relaxed) >= MAX_POLICY_THREADS {
        host.policy_threads.fetch_sub(1, Ordering::Relaxed);
        return Ok(());
    }
    host.spawn("meshcore-policy", run).inspect_err(|_| {
        host.policy_threads.fetch_sub(1, Ordering::Relaxed);
    })
}

/// ns after which a call of a hook with this limit is interrupted.
pub(crate) fn interrupt_after_ns(timeout_ns: u64) -> u64 {
    timeout_ns.saturating_mul(LIMITS_UNTIL_INTERRUPT)
}

fn run(host: &Arc<PyHooks>) {
    host.with_slot(Role::Policy, |py, slot| {
        while let Some(job) = wait(host, py) {
            carry_out_batch(host, py, job, slot);
            if slot.is_given_up() {
                return; // Another one does our work already.
            }
        }
    });
}

/// The next call; `None` when this thread is to end.
fn wait(host: &Arc<PyHooks>, py: Python<'_>) -> Option<Job> {
    loop {
        match py.detach(|| host.queue.wait(KEEP_IDLE)) {
            Next::Job(job) => return Some(job),
            Next::Nothing if is_last(host) => {}
            Next::Nothing | Next::Closed => return None,
        }
    }
}

/// Whether no other thread would be left. If one is, this one is counted no more.
fn is_last(host: &PyHooks) -> bool {
    let one_less = |threads: u32| (threads > 1).then(|| threads.saturating_sub(1));
    host.policy_threads.try_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err()
}

fn carry_out_batch(host: &Arc<PyHooks>, py: Python<'_>, first: Job, slot: &Slot) {
    // Workers that see the gate taken hand their calls over at once.
    let _inside = host.gate.try_enter();
    let mut answers = Answers::default();
    let mut first = Some(first);
    for _ in 0..BATCH {
        let Some(job) = first.take().or_else(|| host.queue.take()) else { break };
        let (entry, began_ns) = (Arc::clone(&job.entry), host.now_ns());
        if !answers.may_wait(&entry, began_ns) {
            answers.give();
        }
        let (reply, decided) = carry_out(host, py, job, slot, began_ns);
        answers.add(entry, began_ns, (reply, decided));
        if slot.is_given_up() {
            break;
        }
    }
    answers.give();
}

fn carry_out(
    host: &Arc<PyHooks>,
    py: Python<'_>,
    Job { entry, facts, reply }: Job,
    slot: &Slot,
    began_ns: u64,
) -> (Reply, Decided) {
    let timeout_ns = entry.timeout_ns();
    let copied = Copied::new(facts, Arc::clone(&entry));
    slot.begin_hook(&entry, began_ns, interrupt_after_ns(timeout_ns));
    let returned = copied.call(py);
    let decided = host.judge(py, &entry, returned);
    slot.end(py);
    copied.forget();
    let ended_ns = host.now_ns();
    let took_ns = ended_ns.saturating_sub(began_ns);
    entry.pace.ran_queued(took_ns);
    count(&entry.counts.queued);
    let decided = if took_ns > timeout_ns { Err(host.late(&entry)) } else { decided };
    host.settle(&entry, Some(&reply), &decided, (took_ns, ended_ns));
    host.queue.finished(&entry);
    (reply, decided)
}

/// Answers of one hook that are given together, since each may wake a worker up. They wait for
/// calls of that hook alone, and only of one that is short and does not block: what has been
/// decided is not to wait for somebody's database. Nor do they wait where a late answer would
/// let something through that was denied.
#[derive(Debug, Default)]
struct Answers {
    of: Option<Arc<Entry>>,
    since_ns: u64,
    held: Vec<(Reply, Decided)>,
}

// === impl Answers ===

impl Answers {
    /// Whether those that are held may wait for a call of this hook.
    fn may_wait(&self, entry: &Arc<Entry>, now_ns: u64) -> bool {
        entry.hook.mode == HookMode::Inline
            && entry.hook.on_error == HookAnswer::Deny
            && self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, entry))
            && entry.pace.is_short(now_ns)
            && now_ns.saturating_sub(self.since_ns) < HOLD_NS
    }

    fn add(&mut self, entry: Arc<Entry>, began_ns: u64, answer: (Reply, Decided)) {
        if self.held.is_empty() {
            self.since_ns = began_ns;
            self.of = Some(entry);
        }
        self.held.push(answer);
    }

    fn give(&mut self) {
        for (reply, decided) in self.held.drain(..) {
            reply.send(decided);
        }
    }
}
