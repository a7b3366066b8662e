//! The clerk: hands finished requests to telemetry hooks, writes reports, collects garbage.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use meshcore_model::HookMode;
use meshcore_proxy::hooks::{HookError, RequestRecord};
use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::entry::{Entry, count};
use super::policy::interrupt_after_ns;
use super::slot::{Role, Slot};
use super::{PyHooks, event_loop, quiet};
use crate::record::Record;

/// Finished requests that wait at most; more are dropped and counted.
const MAX_RECORDS: usize = 65_536;
/// Reports that wait at most.
const MAX_REPORTS: usize = 256;
/// Requests that hooks get at a time.
const BATCH: usize = 1_024;
/// How long requests are collected before hooks see them. Source: performance blueprint,
/// section 3.14 (h).
const COLLECT: Duration = Duration::from_millis(100);
/// How often it looks whether garbage is to be collected.
const ROUND: Duration = Duration::from_secs(1);

/// What waits for the clerk.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    papers: Mutex<Papers>,
    arrived: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Papers {
    records: VecDeque<RequestRecord>,
    reports: Vec<(Severity, String)>,
    is_closed: bool,
}

/// How bad a report is, in the numbers of Python's `logging`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Warning = 30,
    Error = 40,
}

// === impl Desk ===

impl Desk {
    /// Puts finished requests there; `false` when they do not fit and are dropped.
    pub(crate) fn put(&self, records: Vec<RequestRecord>) -> bool {
        let mut papers = self.papers.lock();
        if papers.is_closed || papers.records.len().saturating_add(records.len()) > MAX_RECORDS {
            self.count_dropped(records.len());
            return false;
        }
        papers.records.extend(records);
        self.arrived.notify_one();
        true
    }

    /// Puts a report there.
    pub(crate) fn report(&self, severity: Severity, text: String) {
        let mut papers = self.papers.lock();
        if papers.reports.len() < MAX_REPORTS {
            papers.reports.push((severity, text));
        }
        self.arrived.notify_one();
    }

    /// Requests that were dropped elsewhere are counted here.
    pub(crate) fn count_dropped(&self, records: usize) {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        self.dropped.fetch_add(records, Ordering::Relaxed);
    }

    /// Requests that were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Ends the clerk once everything that waits is done.
    pub(crate) fn close(&self) {
        self.papers.lock().is_closed = true;
        self.arrived.notify_all();
    }

    /// What waits, waited for; `None` when the desk is closed and empty.
    fn take(&self) -> Option<Papers> {
        let mut papers = self.papers.lock();
        if papers.records.is_empty() && papers.reports.is_empty() && !papers.is_closed {
            self.arrived.wait_for(&mut papers, ROUND);
        }
        let until = Instant::now().checked_add(COLLECT);
        while papers.reports.is_empty()
            && !papers.is_closed
            && (1..BATCH).contains(&papers.records.len())
            && until.is_some_and(|until| !self.arrived.wait_until(&mut papers, until).timed_out())
        {
        }
        let count = papers.records.len().min(BATCH);
        let records: VecDeque<_> = papers.records.drain(..count).collect();
        let reports = std::mem::take(&mut papers.reports);
        let is_closed = papers.is_closed;
        let is_over = is_closed && records.is_empty() && reports.is_empty();
        (!is_over).then_some(Papers { records, reports, is_closed })
    }
}

/// The clerk's thread.
pub(crate) fn run(host: &Arc<PyHooks>) {
    host.with_slot(Role::Clerk, |py, slot| {
        let mut collected = quiet::Collected::default();
        while let Some(papers) = py.detach(|| host.desk.take()) {
            for (severity, text) in papers.reports {
                write(py, slot, host, severity, &text);
            }
            if !papers.records.is_empty() {
                show(py, slot, host, papers.records);
            }
            if slot.is_given_up() {
                return;
            }
            if !papers.is_closed {
                collected.collect_if_due(py, host.now_ns());
            }
        }
    });
}

/// Level of the `meshcore` log in lower case; sets it first, if one is given.
///
/// # Errors
/// When Python's logging does not know the level.
pub(crate) fn log_level(py: Python<'_>, set: Option<&str>) -> PyResult<String> {
    let logging = py.import("logging")?;
    let logger = logging.call_method1("getLogger", ("meshcore",))?;
    if let Some(level) = set {
        logger.call_method1("setLevel", (level.to_ascii_uppercase(),))?;
    }
    let level = logger.call_method0("getEffectiveLevel")?;
    let name: String = logging.call_method1("getLevelName", (level,))?.extract()?;
    Ok(name.to_ascii_lowercase())
}

/// What a hook raised, with the line that did, for the log.
pub(crate) fn raised(py: Python<'_>, entry: &Entry, error: &PyErr, kept_back: u64) -> String {
    let place = place(py, error).unwrap_or_else(|| entry.hook.origin.clone());
    let what = crate::answer::raised(py, error);
    format!("hook {} raised {what} at {place}{}", entry.hook.name, and_more(kept_back))
}

/// What else is wrong with a hook's answer, for the log.
pub(crate) fn failed(entry: &Entry, error: &HookError, kept_back: u64) -> String {
    let hook = &entry.hook;
    format!("hook {} ({}) {error}{}", hook.name, hook.origin, and_more(kept_back))
}

fn and_more(kept_back: u64) -> String {
    if kept_back == 0 { String::new() } else { format!("; {kept_back} more since the last report") }
}

/// `file:line` of the innermost frame.
fn place(py: Python<'_>, error: &PyErr) -> Option<String> {
    let mut traceback = error.traceback(py)?.into_any();
    while let Ok(next) = traceback.getattr("tb_next")
        && !next.is_none()
    {
        traceback = next;
    }
    let line: u32 = traceback.getattr("tb_lineno").ok()?.extract().ok()?;
    let code = traceback.getattr("tb_frame").ok()?.getattr("f_code").ok()?;
    let file: String = code.getattr("co_filename").ok()?.extract().ok()?;
    Some(format!("{file}:{line}"))
}

/// Writes one report to the log of plugins. What the log's handlers raise is theirs to report.
fn write(py: Python<'_>, slot: &Slot, host: &PyHooks, severity: Severity, text: &str) {
    slot.begin(host.now_ns(), interrupt_after_ns(ROUND_NS));
    let logged = py
        .import("logging")
        .and_then(|logging| logging.call_method1("getLogger", ("meshcore.plugin",)))
        .and_then(|logger| logger.call_method1("log", (severity as u8, "%s", text)));
    slot.end(py);
    if let Err(error) = logged {
        error.write_unraisable(py, None);
    }
}

const ROUND_NS: u64 = 1_000_000_000;

fn show(py: Python<'_>, slot: &Slot, host: &Arc<PyHooks>, records: VecDeque<RequestRecord>) {
    let records = records.into_iter().map(Record::new);
    let records = match PyList::new(py, records.collect::<Vec<_>>()) {
        Ok(records) => records,
        Err(error) => return error.write_unraisable(py, None),
    };
    let all = host.table.in_force();
    for entry in all.iter().filter(|entry| entry.is_telemetry() && entry.outside.is_none()) {
        let now_ms = host.now_ns() / 1_000_000;
        if !entry.breaker.lets_through(now_ms) {
            count(&entry.counts.broken);
        } else if entry.hook.mode == HookMode::Async {
            event_loop::show(host, entry, records.clone().unbind());
        } else {
            show_to(py, slot, host, entry, &records);
        }
    }
}

fn show_to(
    py: Python<'_>,
    slot: &Slot,
    host: &Arc<PyHooks>,
    entry: &Arc<Entry>,
    records: &Bound<'_, PyList>,
) {
    let began_ns = host.now_ns();
    slot.begin_hook(entry, began_ns, interrupt_after_ns(entry.timeout_ns()));
    let _inside = host.gate.try_enter();
    let returned = entry.function.call1(py, (records,)).map(|value| value.into_bound(py));
    let decided = host.judge(py, entry, returned);
    slot.end(py);
    count(&entry.counts.queued);
    let now_ns = host.now_ns();
    host.settle(entry, None, &decided, (now_ns.saturating_sub(began_ns), now_ns));
}
