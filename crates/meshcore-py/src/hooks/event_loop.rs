//! Coroutines: a thread with Python's event loop, fed over a socket, so that no worker waits for
//! the interpreter to hand a call over.

use std::collections::VecDeque;
use std::io::Write;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyTimeoutError};
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyList};

use super::PyHooks;
use super::clerk::Severity;
use super::entry::{Entry, count};
use super::queue::Job;
use super::reply::{Decided, Reply};
use super::slot::{Role, Slot};
use crate::sight::Copied;

/// Calls that wait or run at most.
const MAX_CALLS: usize = 1024;
/// Of one hook.
const MAX_CALLS_OF_HOOK: u32 = 256;
/// The loop is interrupted when it does not look for so long: some coroutine does not await.
const MAX_SILENCE_NS: u64 = 200_000_000;

/// Calls for the event loop.
#[derive(Debug, Default)]
pub(crate) struct LoopQueue {
    state: Mutex<State>,
    /// Since when a wake-up is not answered, in ns of the host's clock; 0 when none is out.
    asked_ns: AtomicU64,
    running: AtomicU64,
    slot: Mutex<Option<Arc<Slot>>>,
    /// Calls that are to be over by then, in ns of the host's clock.
    due: Mutex<Vec<(u64, Arc<Due>)>>,
}

/// A call that runs.
#[derive(Debug)]
struct Due {
    entry: Arc<Entry>,
    is_over: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    calls: VecDeque<Waiting>,
    waker: Option<UnixStream>,
    is_closed: bool,
}

/// A call and what it is called with.
#[derive(Debug)]
enum Waiting {
    Job(Job),
    Records(Arc<Entry>, Py<PyList>),
}

/// A call, as the event loop sees it.
#[pyclass(frozen, module = "meshcore._native")]
pub(crate) struct Call {
    host: Arc<PyHooks>,
    entry: Arc<Entry>,
    began_ns: u64,
    copied: Option<Arc<Copied>>,
    records: Option<Py<PyList>>,
    due: Arc<Due>,
    reply: Mutex<Option<Reply>>,
}

/// Starts the event loop's thread, once.
///
/// # Errors
/// When Python's asyncio cannot be imported or no thread be started.
pub(crate) fn start(host: &Arc<PyHooks>, py: Python<'_>) -> PyResult<()> {
    py.import("meshcore.plugin.event_loop")?;
    host.spawn_once("meshcore-loop", run)
}

/// Hands records to a telemetry hook that is a coroutine.
pub(crate) fn show(host: &Arc<PyHooks>, entry: &Arc<Entry>, records: Py<PyList>) {
    if !host.loop_queue.add(Waiting::Records(Arc::clone(entry), records)) {
        count(&entry.counts.overloads);
    }
}

/// Interrupts a coroutine that does not await, when the loop does not answer because of it.
pub(crate) fn look_after(host: &Arc<PyHooks>, now_ns: u64) {
    let queue = &host.loop_queue;
    for entry in queue.take_overdue(now_ns) {
        // It was cancelled and goes on all the same; it will not tell us that it failed.
        if entry.is_telemetry() {
            host.record(&entry, true, now_ns);
        }
        host.late(&entry);
    }
    let asked_ns = queue.asked_ns.load(Ordering::Relaxed);
    if asked_ns == 0 {
        if queue.is_busy() {
            queue.wake(now_ns);
        }
        return;
    }
    if now_ns.saturating_sub(asked_ns) < MAX_SILENCE_NS {
        return;
    }
    let Some(slot) = queue.slot.lock().clone() else { return };
    // From now on the watch interrupts it and gives it up as any other thread. While we are
    // attached the loop cannot be about to answer.
    Python::try_attach(|_| {
        let is_silent = queue.asked_ns.load(Ordering::Relaxed) == asked_ns;
        if is_silent && slot.busy_since().is_none() {
            slot.begin(asked_ns, MAX_SILENCE_NS);
        }
    });
}

// === impl LoopQueue ===

impl LoopQueue {
    /// Takes a call; `false` when it is full, for this hook or for all.
    pub(crate) fn push(&self, job: Job) -> bool {
        self.add(Waiting::Job(job))
    }

    /// Whether calls wait or run.
    pub(crate) fn is_busy(&self) -> bool {
        self.running.load(Ordering::Relaxed) > 0 || !self.state.lock().calls.is_empty()
    }

    /// Lets no more in, and ends the loop.
    pub(crate) fn close(&self) {
        let forgotten = {
            let mut state = self.state.lock();
            state.is_closed = true;
            wake(state.waker.as_ref());
            std::mem::take(&mut state.calls)
        };
        drop(forgotten);
    }

    fn add(&self, call: Waiting) -> bool {
        let mut state = self.state.lock();
        let running = usize::try_from(self.running.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        if state.is_closed
            || state.calls.len().saturating_add(running) >= MAX_CALLS
            || call.entry().load.outstanding() >= MAX_CALLS_OF_HOOK
        {
            return false;
        }
        call.entry().load.one_more();
        let was_empty = state.calls.is_empty();
        state.calls.push_back(call);
        if was_empty {
            wake(state.waker.as_ref());
        }
        true
    }

    /// Asks the loop to look, so that its silence can be noticed.
    fn wake(&self, now_ns: u64) {
        self.asked_ns.store(now_ns, Ordering::Relaxed);
        wake(self.state.lock().waker.as_ref());
    }

    /// The hooks of calls that should have been over, once for each.
    fn take_overdue(&self, now_ns: u64) -> Vec<Arc<Entry>> {
        let mut overdue = Vec::new();
        self.due.lock().retain(|(until_ns, due)| {
            let is_over = due.is_over.load(Ordering::Relaxed);
            let is_overdue = !is_over && *until_ns < now_ns;
            if is_overdue {
                overdue.push(Arc::clone(&due.entry));
            }
            !is_over && !is_overdue
        });
        overdue
    }

    /// All calls that wait; `None` when the loop is to end.
    fn take(&self) -> Option<VecDeque<Waiting>> {
        self.asked_ns.store(0, Ordering::Relaxed);
        let mut state = self.state.lock();
        (!state.is_closed).then(|| std::mem::take(&mut state.calls))
    }
}

impl Waiting {
    const fn entry(&self) -> &Arc<Entry> {
        match self {
            Self::Job(job) => &job.entry,
            Self::Records(entry, _) => entry,
        }
    }
}

/// A full socket is as good as a byte more: the loop wakes up.
fn wake(waker: Option<&UnixStream>) {
    if let Some(mut waker) = waker {
        let _ = waker.write(&[1]);
    }
}

/// The loop's thread. A loop that was brought down is made anew.
pub(crate) fn run(host: &Arc<PyHooks>) {
    host.with_slot(Role::Loop, |py, slot| {
        *host.loop_queue.slot.lock() = Some(Arc::clone(slot));
        while !host.is_stopped() && !slot.is_given_up() {
            if let Err(error) = run_loop(host, py, slot) {
                let text = format!("the event loop of hooks ended, it is started anew: {error}");
                host.desk.report(Severity::Error, text);
            }
            slot.end(py);
            host.loop_queue.running.store(0, Ordering::Relaxed);
        }
    });
}

fn run_loop(host: &Arc<PyHooks>, py: Python<'_>, slot: &Arc<Slot>) -> PyResult<()> {
    let (waker, woken) = UnixStream::pair()?;
    waker.set_nonblocking(true)?;
    host.loop_queue.state.lock().waker = Some(waker);
    let module = py.import("meshcore.plugin.event_loop")?;
    let (host, slot) = (Arc::clone(host), Arc::clone(slot));
    let take = PyCFunction::new_closure(py, None, None, move |args, _kwargs| {
        slot.end(args.py());
        if slot.is_given_up() { Ok(None) } else { take(&host, args.py()) }
    })?;
    module.call_method1("run", (woken.into_raw_fd(), take))?;
    Ok(())
}

fn take(host: &Arc<PyHooks>, py: Python<'_>) -> PyResult<Option<Vec<Py<Call>>>> {
    let Some(waiting) = host.loop_queue.take() else { return Ok(None) };
    let mut calls = Vec::with_capacity(waiting.len());
    for waiting in waiting {
        let (entry, copied, records, reply) = match waiting {
            Waiting::Records(entry, records) => (entry, None, Some(records), None),
            Waiting::Job(Job { entry, facts, reply }) => {
                if reply.is_late() {
                    count(&entry.counts.late);
                    entry.load.one_less();
                    continue;
                }
                let copied = Copied::new(facts, Arc::clone(&entry));
                (entry, Some(copied), None, Some(reply))
            }
        };
        host.loop_queue.running.fetch_add(1, Ordering::Relaxed);
        let (host, began_ns) = (Arc::clone(host), host.now_ns());
        let due = Arc::new(Due { entry: Arc::clone(&entry), is_over: AtomicBool::new(false) });
        let until_ns = began_ns.saturating_add(entry.timeout_ns().saturating_mul(2));
        host.loop_queue.due.lock().push((until_ns, Arc::clone(&due)));
        let reply = Mutex::new(reply);
        calls.push(Py::new(py, Call { host, entry, began_ns, copied, records, due, reply })?);
    }
    Ok(Some(calls))
}

#[pymethods]
impl Call {
    /// Time until the answer is of no use.
    #[getter]
    fn within_seconds(&self) -> f64 {
        std::time::Duration::from_millis(self.entry.hook.timeout_ms).as_secs_f64()
    }

    /// Calls the function; returns its coroutine.
    fn start<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match (&self.copied, &self.records) {
            (Some(copied), _) => copied.call(py),
            (None, Some(records)) => Ok(self.entry.function.call1(py, (records,))?.into_bound(py)),
            (None, None) => Err(PyRuntimeError::new_err("a call without arguments")),
        }
    }

    /// Takes what the coroutine returned.
    fn finish(&self, py: Python<'_>, answer: Bound<'_, PyAny>) {
        let decided = self.host.judge(py, &self.entry, Ok(answer));
        self.settle(decided);
    }

    /// Takes what the coroutine raised.
    fn fail(&self, py: Python<'_>, error: Bound<'_, PyAny>) {
        let error = PyErr::from_value(error);
        let decided = if error.is_instance_of::<PyTimeoutError>(py) {
            Err(self.host.late(&self.entry))
        } else {
            self.host.judge(py, &self.entry, Err(error))
        };
        self.settle(decided);
    }
}

impl Call {
    fn settle(&self, decided: Decided) {
        self.due.is_over.store(true, Ordering::Relaxed);
        if let Some(copied) = &self.copied {
            copied.forget();
        }
        count(&self.entry.counts.awaited);
        let now_ns = self.host.now_ns();
        let took_ns = now_ns.saturating_sub(self.began_ns);
        let reply = self.reply.lock().take();
        self.host.settle(&self.entry, reply.as_ref(), &decided, (took_ns, now_ns));
        if let Some(reply) = reply {
            reply.send(decided);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.entry.load.one_less();
        let one_less = |running: u64| Some(running.saturating_sub(1));
        let _ =
            self.host.loop_queue.running.try_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
    }
}
