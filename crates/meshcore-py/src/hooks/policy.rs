//! Threads that run hooks which must not run on workers: untried, slow or blocking ones.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pyo3::prelude::*;

use super::entry::count;
use super::queue::{Job, Next};
use super::slot::{Role, Slot};
use super::{MAX_POLICY_THREADS, PyHooks};
use crate::sight::Copied;

/// Calls in a row before others may have the interpreter. Source: performance blueprint,
/// section 3.14 (e).
const BATCH: usize = 64;
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
    let mut next = Some(first);
    for _ in 0..BATCH {
        let Some(job) = next.take() else { break };
        carry_out(host, py, job, slot);
        if slot.is_given_up() {
            break;
        }
        next = host.queue.take();
    }
    if let Some(job) = next {
        carry_out(host, py, job, slot);
    }
}

fn carry_out(host: &Arc<PyHooks>, py: Python<'_>, job: Job, slot: &Slot) {
    let Job { entry, facts, reply } = job;
    let timeout_ns = entry.timeout_ns();
    let began_ns = host.now_ns();
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
    reply.send(decided);
}
