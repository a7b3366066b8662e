//! An interpreter that does not disturb requests: short turns, and garbage collected by the
//! clerk rather than inside a worker's call.

use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::prelude::*;

/// How soon a thread that wants the interpreter gets it, in seconds. Measured: a contended
/// attach takes 5,080 us with Python's 5 ms, and 175 us with this.
const SWITCH_SECONDS: f64 = 0.0001;
/// The same when threads of a plugin fight for it: each that waits wakes up once in this time, and
/// thirty of them would take a processor for nothing else. In the process of a plugin it is always
/// so, since no worker waits there.
const CALM_SWITCH_SECONDS: f64 = 0.001;
/// A wait of this length is a fight.
const FIGHT_NS: u64 = 1_000_000;
/// How long it is taken for one after that.
const CALM_NS: u64 = 1_000_000_000;
/// Python's own.
const USUAL_SWITCH_SECONDS: f64 = 0.005;
const YOUNG_EVERY_NS: u64 = 1_000_000_000;
const OLD_EVERY_NS: u64 = 60_000_000_000;

/// Hosts with hooks in this process.
static HOSTS: AtomicUsize = AtomicUsize::new(0);

/// A host has hooks now, in a sidecar or in a process that serves one.
pub(crate) fn one_more(py: Python<'_>, is_served: bool) -> PyResult<()> {
    set_switch(py, if is_served { CALM_SWITCH_SECONDS } else { SWITCH_SECONDS })?;
    HOSTS.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Plugins were loaded: what they made stays, and need not be looked at again until others are
/// loaded; those that were replaced by then go.
pub(crate) fn settle(py: Python<'_>) -> PyResult<()> {
    let gc = py.import("gc")?;
    gc.call_method0("unfreeze")?;
    gc.call_method0("collect")?;
    gc.call_method0("freeze")?;
    gc.call_method0("disable")?;
    Ok(())
}

/// A host with hooks is gone; after the last one everything is as before.
pub(crate) fn unsettle(py: Python<'_>) {
    if HOSTS.fetch_sub(1, Ordering::Relaxed) > 1 {
        return;
    }
    let restore = || -> PyResult<()> {
        let gc = py.import("gc")?;
        gc.call_method0("unfreeze")?;
        gc.call_method0("enable")?;
        set_switch(py, USUAL_SWITCH_SECONDS)
    };
    if let Err(error) = restore() {
        error.write_unraisable(py, None);
    }
}

fn set_switch(py: Python<'_>, seconds: f64) -> PyResult<()> {
    py.import("sys")?.call_method1("setswitchinterval", (seconds,)).map(drop)
}

/// Whether threads fight for the interpreter.
#[derive(Debug, Default)]
pub(crate) struct Fight {
    /// 0 when they do not.
    until_ns: u64,
}

// === impl Fight ===

impl Fight {
    /// A wait for the interpreter took so long. While there is a fight, turns are longer.
    pub(crate) fn waited(&mut self, py: Python<'_>, waited_ns: u64, now_ns: u64) {
        let seconds = if waited_ns > FIGHT_NS {
            let was_calm = self.until_ns == 0;
            self.until_ns = now_ns.saturating_add(CALM_NS);
            was_calm.then_some(CALM_SWITCH_SECONDS)
        } else if self.until_ns != 0 && self.until_ns < now_ns {
            self.until_ns = 0;
            Some(SWITCH_SECONDS)
        } else {
            None
        };
        if let Some(Err(error)) = seconds.map(|seconds| set_switch(py, seconds)) {
            error.write_unraisable(py, None);
        }
    }
}

/// When garbage was collected last.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    young_ns: u64,
    old_ns: u64,
}

// === impl Collected ===

impl Collected {
    /// Collects young garbage once a second, and all of it once a minute.
    pub(crate) fn collect_if_due(&mut self, py: Python<'_>, now_ns: u64) {
        if now_ns.saturating_sub(self.young_ns) < YOUNG_EVERY_NS {
            return;
        }
        self.young_ns = now_ns;
        let is_old = now_ns.saturating_sub(self.old_ns) >= OLD_EVERY_NS;
        if is_old {
            self.old_ns = now_ns;
        }
        let generation = if is_old { 2 } else { 1 };
        let collected = py.import("gc").and_then(|gc| gc.call_method1("collect", (generation,)));
        if let Err(error) = collected {
            error.write_unraisable(py, None);
        }
    }
}
