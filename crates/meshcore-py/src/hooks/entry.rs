//! A hook in force: its function, and how it has been doing.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use meshcore_model::{Attribute, Hook, HookStage};
use parking_lot::Mutex;
use pyo3::prelude::*;

use super::breaker::Breaker;
use super::pace::Pace;
use super::process::Process;
use super::queue::Load;
use crate::answer::LastAllowed;
use crate::attribute;

/// A report about one hook is written at most this often.
const REPORT_EVERY_NS: u64 = 1_000_000_000;

/// A hook in force.
pub(crate) struct Entry {
    pub(crate) hook: Hook,
    /// What is called; the hook of a process stands here for itself, and cannot be.
    pub(crate) function: Py<PyAny>,
    /// The process that it runs in, and its place among the hooks there.
    pub(crate) outside: Option<(Arc<Process>, u32)>,
    pub(crate) breaker: Breaker,
    pub(crate) pace: Pace,
    pub(crate) load: Load,
    pub(crate) last: LastAllowed,
    pub(crate) counts: Counts,
    reports: Mutex<Reports>,
    /// It was replaced; requests that began before may still call it.
    is_leaving: AtomicBool,
}

/// What a hook is called by.
pub(crate) struct Callee {
    pub(crate) function: Py<PyAny>,
    pub(crate) outside: Option<(Arc<Process>, u32)>,
}

/// What was counted of one hook.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) inline: AtomicU64,
    pub(crate) queued: AtomicU64,
    pub(crate) awaited: AtomicU64,
    pub(crate) outside: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) late: AtomicU64,
    pub(crate) overloads: AtomicU64,
    pub(crate) broken: AtomicU64,
    pub(crate) interrupts: AtomicU64,
    pub(crate) busy_ns: AtomicU64,
}

#[derive(Debug, Default)]
struct Reports {
    next_ns: u64,
    kept_back: u64,
}

// === impl Entry ===

impl Entry {
    pub(crate) fn new(hook: Hook, Callee { function, outside }: Callee) -> Self {
        Self {
            hook,
            function,
            outside,
            breaker: Breaker::default(),
            pace: Pace::default(),
            load: Load::default(),
            last: LastAllowed::default(),
            counts: Counts::default(),
            reports: Mutex::default(),
            is_leaving: AtomicBool::new(false),
        }
    }

    /// Whether the hook may read this.
    pub(crate) fn may_read(&self, attribute: &Attribute) -> bool {
        self.hook.reads.as_ref().is_none_or(|reads| reads.contains(attribute))
    }

    /// What is wrong with a read that was not declared, with the line to write.
    pub(crate) fn undeclared(&self, name: &str) -> String {
        let Hook { name: hook, origin, reads, .. } = &self.hook;
        let known = reads.iter().flatten().map(attribute::name);
        let all: Vec<_> =
            known.chain([name.to_owned()]).map(|name| format!("\"{name}\"")).collect();
        let all = all.join(", ");
        format!("hook {hook} reads {name} but does not declare it, write reads=[{all}] at {origin}")
    }

    /// How many reports were kept back since the last one, if one is due now.
    pub(crate) fn report_due(&self, now_ns: u64) -> Option<u64> {
        let mut reports = self.reports.lock();
        if now_ns < reports.next_ns {
            reports.kept_back = reports.kept_back.saturating_add(1);
            return None;
        }
        reports.next_ns = now_ns.saturating_add(REPORT_EVERY_NS);
        Some(std::mem::take(&mut reports.kept_back))
    }

    /// Whether it stays: when it is in force, and once more after that.
    pub(crate) fn stays(&self, is_in_force: bool) -> bool {
        is_in_force | !self.is_leaving.swap(!is_in_force, Ordering::Relaxed)
    }

    /// Whether it sees finished requests.
    pub(crate) fn is_telemetry(&self) -> bool {
        self.hook.stage == HookStage::Telemetry
    }

    /// Whether it was replaced.
    pub(crate) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Relaxed)
    }

    /// The limit of the hook in ns.
    pub(crate) fn timeout_ns(&self) -> u64 {
        self.hook.timeout_ms.saturating_mul(1_000_000)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("hook", &self.hook).finish_non_exhaustive()
    }
}

/// One more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
