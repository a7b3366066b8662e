//! The watch: interrupts what does not end, and sees to it that calls find a thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;

use super::clerk::Severity;
use super::entry::count;
use super::quiet::Fight;
use super::slot::{Role, Slot};
use super::{PyHooks, event_loop, policy};

/// How often it looks while hooks are called.
const TICK: Duration = Duration::from_millis(5);
/// It sleeps after so long without a call.
const ATTENTION_NS: u64 = 200_000_000;
/// All policy threads busy with one call for so long make it start another.
const BUSY_NS: u64 = 4_000_000;
/// A call that survived so many interrupts is left to itself.
const MAX_INTERRUPTS: u32 = 3;

/// Wakes the watch.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    last_call_ns: AtomicU64,
    is_asleep: AtomicBool,
    lock: Mutex<()>,
    bell: Condvar,
}

// === impl Alarm ===

impl Alarm {
    /// A hook is called now: the watch looks after it.
    pub(crate) fn attend(&self, now_ns: u64) {
        self.last_call_ns.store(now_ns, Ordering::Relaxed);
        if self.is_asleep.load(Ordering::Relaxed) {
            self.ring();
        }
    }

    /// Wakes it.
    pub(crate) fn ring(&self) {
        let _lock = self.lock.lock();
        self.is_asleep.store(false, Ordering::Relaxed);
        self.bell.notify_all();
    }

    /// Waits a tick, or as long as nothing is called.
    fn wait(&self, may_sleep: bool) {
        let mut lock = self.lock.lock();
        self.is_asleep.store(may_sleep, Ordering::Relaxed);
        // A call that came between looking and sleeping is found after a second at the latest.
        let within = if may_sleep { Duration::from_secs(1) } else { TICK };
        self.bell.wait_for(&mut lock, within);
        self.is_asleep.store(false, Ordering::Relaxed);
    }
}

/// The watch's thread.
pub(crate) fn run(host: &Arc<PyHooks>) {
    let mut fight = Fight::default();
    while !host.is_stopped() {
        let now_ns = host.now_ns();
        let slots = host.slots.lock().clone();
        for slot in &slots {
            look_after(host, slot, now_ns);
        }
        start_more_threads(host, &slots, now_ns);
        event_loop::look_after(host, now_ns);
        if !host.is_served {
            Python::try_attach(|py| {
                let attached_ns = host.now_ns();
                fight.waited(py, attached_ns.saturating_sub(now_ns), attached_ns);
            });
        }
        let is_quiet = host.watch.last_call_ns.load(Ordering::Relaxed).saturating_add(ATTENTION_NS)
            < now_ns
            && slots.iter().all(|slot| slot.busy_since().is_none())
            && host.queue.is_empty()
            && !host.loop_queue.is_busy();
        host.watch.wait(is_quiet);
    }
}

fn look_after(host: &Arc<PyHooks>, slot: &Slot, now_ns: u64) {
    let interrupts = slot.interrupts();
    if slot.is_given_up() || slot.limits_passed(now_ns) <= u64::from(interrupts) {
        return;
    }
    if interrupts >= MAX_INTERRUPTS {
        leave(host, slot);
        return;
    }
    let was_raised = Python::try_attach(|py| slot.interrupt(py, now_ns));
    if let (Some(Ok(true)), Some(entry)) = (was_raised, slot.hook()) {
        count(&entry.counts.interrupts);
    }
}

/// A call that cannot be ended, such as one in C. Its thread is lost; another one takes over.
fn leave(host: &Arc<PyHooks>, slot: &Slot) {
    let starts = match slot.role {
        Role::Policy => {
            host.policy_threads.fetch_sub(1, Ordering::Relaxed);
            slot.give_up().then(|| policy::start(host))
        }
        Role::Clerk => slot.give_up().then(|| host.spawn("meshcore-clerk", super::clerk::run)),
        Role::Loop => slot.give_up().then(|| host.spawn("meshcore-loop", event_loop::run)),
        Role::Worker => {
            slot.give_up();
            None
        }
    };
    let name = slot.hook().map_or_else(
        || "a hook".to_owned(),
        |entry| format!("hook {} ({})", entry.hook.name, entry.hook.origin),
    );
    let how = match starts {
        Some(Err(error)) => format!("no thread can be started in its place: {error}"),
        Some(Ok(())) => "another thread does its work".into(),
        None => "its thread is lost until it ends by itself".into(),
    };
    let text = format!("{name} does not end and cannot be interrupted, {how}");
    host.desk.report(Severity::Error, text);
}

/// One more policy thread when all of them are at one call for long, so that the next call finds
/// one that is idle.
fn start_more_threads(host: &Arc<PyHooks>, slots: &[Arc<Slot>], now_ns: u64) {
    let is_busy = |slot: &Arc<Slot>| {
        slot.busy_since().is_some_and(|since| now_ns.saturating_sub(since) > BUSY_NS)
    };
    let working = |slot: &&Arc<Slot>| slot.role == Role::Policy && !slot.is_given_up();
    let mut threads = slots.iter().filter(working).peekable();
    if threads.peek().is_some()
        && threads.all(is_busy)
        && let Err(error) = policy::start(host)
    {
        let text = format!("no thread can be started for hooks: {error}");
        host.desk.report(Severity::Error, text);
    }
}
