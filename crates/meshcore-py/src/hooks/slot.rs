//! What a thread that runs hooks is doing, for the watch. Written while attached, so that the
//! watch, when it is attached, sees it stand still.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use pyo3::prelude::*;

use super::entry::Entry;

/// One thread that runs hooks.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Number of the thread in the interpreter.
    thread: u64,
    /// What kind of thread.
    pub(crate) role: Role,
    /// When its call began, in ns of the host's clock; 0 when there is none.
    since_ns: AtomicU64,
    /// How long the call may take before it is interrupted.
    limit_ns: AtomicU64,
    /// How often the call was interrupted.
    interrupts: AtomicU32,
    /// It was interrupted often enough, and did not end: another one does its work.
    is_given_up: AtomicBool,
    hook: parking_lot::Mutex<Option<Arc<Entry>>>,
}

/// What a thread that runs hooks is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Carries requests.
    Worker,
    /// Runs hooks that are not to be called on workers.
    Policy,
    /// Runs telemetry hooks and writes reports.
    Clerk,
    /// Runs coroutines.
    Loop,
}

// === impl Slot ===

impl Slot {
    /// A slot for the calling thread.
    pub(crate) fn of_this_thread(py: Python<'_>, role: Role) -> PyResult<Self> {
        let thread = py.import("_thread")?.call_method0("get_ident")?.extract()?;
        Ok(Self {
            thread,
            role,
            since_ns: AtomicU64::new(0),
            limit_ns: AtomicU64::new(0),
            interrupts: AtomicU32::new(0),
            is_given_up: AtomicBool::new(false),
            hook: parking_lot::Mutex::new(None),
        })
    }

    /// A call begins.
    pub(crate) fn begin(&self, now_ns: u64, limit_ns: u64) {
        if self.role == Role::Worker {
            // Nobody can take over from a worker, so it goes on when its call has ended.
            self.is_given_up.store(false, Ordering::Relaxed);
        }
        self.limit_ns.store(limit_ns, Ordering::Relaxed);
        self.interrupts.store(0, Ordering::Relaxed);
        self.since_ns.store(now_ns.max(1), Ordering::Release);
    }

    /// A call of this hook begins on a thread that does nothing else.
    pub(crate) fn begin_hook(&self, entry: &Arc<Entry>, now_ns: u64, limit_ns: u64) {
        *self.hook.lock() = Some(Arc::clone(entry));
        self.begin(now_ns, limit_ns);
    }

    /// The call is over. An interrupt that it has not been hit by is taken back.
    pub(crate) fn end(&self, py: Python<'_>) {
        self.since_ns.store(0, Ordering::Release);
        if self.interrupts.load(Ordering::Relaxed) != 0
            && let Ok(module) = py.import("meshcore.plugin.interrupt")
        {
            // Fails only where ctypes is missing, and then nobody was interrupted.
            let _ = module.call_method1("forgive", (self.thread,));
        }
    }

    /// How far the call is over its limit, as a count of limits; 0 when it is not.
    pub(crate) fn limits_passed(&self, now_ns: u64) -> u64 {
        match self.since_ns.load(Ordering::Acquire) {
            0 => 0,
            since => {
                let limit = self.limit_ns.load(Ordering::Relaxed).max(1);
                now_ns.saturating_sub(since).checked_div(limit).unwrap_or(0)
            }
        }
    }

    /// Since when it is busy with one call, in ns of the host's clock.
    pub(crate) fn busy_since(&self) -> Option<u64> {
        match self.since_ns.load(Ordering::Acquire) {
            0 => None,
            since => Some(since),
        }
    }

    /// How often the call was interrupted.
    pub(crate) fn interrupts(&self) -> u32 {
        self.interrupts.load(Ordering::Relaxed)
    }

    /// Raises `HookOverrun` in the call, if it is still the one that is over its limit.
    pub(crate) fn interrupt(&self, py: Python<'_>, now_ns: u64) -> PyResult<bool> {
        let interrupts = self.interrupts();
        if self.limits_passed(now_ns) <= u64::from(interrupts) {
            return Ok(false);
        }
        self.interrupts.store(interrupts.saturating_add(1), Ordering::Relaxed);
        py.import("meshcore.plugin.interrupt")?.call_method1("interrupt", (self.thread,))?.extract()
    }

    /// The hook it runs.
    pub(crate) fn hook(&self) -> Option<Arc<Entry>> {
        self.hook.lock().clone()
    }

    /// Whether others do its work.
    pub(crate) fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Relaxed)
    }

    /// Leaves it to its call; `true` the first time.
    pub(crate) fn give_up(&self) -> bool {
        !self.is_given_up.swap(true, Ordering::Relaxed)
    }
}
