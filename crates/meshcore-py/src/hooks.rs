//! Python hooks, called from the data plane without waiting for the interpreter.
//!
//! A hook is called on the worker when it has shown to be short and the interpreter is free
//! ([`call`]); else on a policy thread ([`policy`]) or, if it is a coroutine, on the event
//! loop ([`event_loop`]). A plugin may have a process of its own ([`process`]), which runs the same
//! threads ([`serve`]). The clerk ([`clerk`]) runs telemetry hooks and writes reports, and the
//! watch ([`watch`]) ends what does not end by itself.

mod breaker;
mod call;
mod clerk;
mod entry;
mod event_loop;
mod exposition;
mod fork;
mod gate;
mod mailbox;
mod pace;
mod policy;
mod pressure;
mod process;
mod queue;
mod quiet;
mod reply;
mod scrape;
mod serve;
mod slot;
mod table;
mod watch;
mod wire;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use meshcore_model::{Hook, HookMode};
use meshcore_proxy::hooks::{
    Decision, Facts, HookError, HookHost, PendingDecision, RequestRecord, View,
};
use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;
use scoped_tls_hkt::scoped_thread_local;
use tokio::sync::oneshot;

pub(crate) use entry::{Callee, Entry};
pub(crate) use process::{Process, Recipe};
pub(crate) use serve::{Connection, serve};

use crate::hooks::call::refused;
use crate::hooks::clerk::Desk;
use crate::hooks::entry::count;
use crate::hooks::event_loop::LoopQueue;
use crate::hooks::gate::Gate;
use crate::hooks::pressure::Pressure;
use crate::hooks::process::Call;
use crate::hooks::queue::{Job, Queue};
use crate::hooks::scrape::Scrape;
use crate::hooks::slot::{Role, Slot};
use crate::hooks::table::{Table, processes_of};

/// An inline call this long is interrupted: its worker serves others as well.
const INLINE_LIMIT_NS: u64 = 20_000_000;
/// Policy threads at most; more than one run only while one is busy for long.
const MAX_POLICY_THREADS: u32 = 4;
/// Of them, with calls of the same hook.
const MAX_RUNNING_OF_HOOK: u32 = 2;

/// The hooks of one proxy, and the threads that run them.
pub(crate) struct PyHooks {
    /// Itself.
    me: Weak<Self>,
    /// Whether it serves a sidecar from the process of a plugin. The sidecar then is who stops
    /// calling hooks that fail, but for telemetry, of which it hears nothing.
    is_served: bool,
    began: Instant,
    table: Table,
    epoch: AtomicU64,
    gate: Gate,
    pressure: Pressure,
    has_many_processors: bool,
    queue: Queue,
    loop_queue: LoopQueue,
    desk: Desk,
    pub(crate) scrape: Scrape,
    slots: Mutex<Vec<Arc<Slot>>>,
    policy_threads: AtomicU32,
    /// Threads that have not ended.
    threads: Mutex<u32>,
    thread_ended: Condvar,
    watch: watch::Alarm,
    has_started: AtomicBool,
    /// Threads of which there is one.
    started: Mutex<Vec<&'static str>>,
    is_stopped: AtomicBool,
    gate_misses: AtomicU64,
}

thread_local! {
    /// The slot of a worker, while it runs.
    static SLOT: RefCell<Option<Arc<Slot>>> = const { RefCell::new(None) };
}

// A worker's loop on its way into `detach`, which takes only what could move to another thread.
scoped_thread_local!(static LOOP: for<'a> &'a dyn Fn());

// === impl PyHooks ===

impl PyHooks {
    pub(crate) fn new(is_served: bool) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            is_served,
            began: Instant::now(),
            table: Table::default(),
            epoch: AtomicU64::new(0),
            gate: Gate::default(),
            pressure: Pressure::default(),
            has_many_processors: std::thread::available_parallelism()
                .is_ok_and(|count| count.get() > 1),
            queue: Queue::new(MAX_RUNNING_OF_HOOK),
            loop_queue: LoopQueue::default(),
            desk: Desk::default(),
            scrape: Scrape::default(),
            slots: Mutex::default(),
            policy_threads: AtomicU32::new(0),
            threads: Mutex::new(0),
            thread_ended: Condvar::new(),
            watch: watch::Alarm::default(),
            has_started: AtomicBool::new(false),
            started: Mutex::default(),
            is_stopped: AtomicBool::new(false),
            gate_misses: AtomicU64::new(0),
        })
    }

    /// Makes hooks known, beside those that calls under way may still name.
    ///
    /// # Errors
    /// When a thread for them cannot be started or Python's event loop not be imported.
    pub(crate) fn add(
        self: &Arc<Self>,
        py: Python<'_>,
        hooks: Vec<(Hook, Callee)>,
    ) -> PyResult<()> {
        if hooks.is_empty() {
            return Ok(());
        }
        self.start_threads(py)?;
        if hooks.iter().any(|(hook, _)| hook.mode == HookMode::Async) {
            event_loop::start(self, py)?;
        }
        quiet::settle(py)?;
        self.table.add(hooks);
        self.attach_processes();
        Ok(())
    }

    /// Hears what the processes of plugins say, from now on.
    fn attach_processes(&self) {
        let entries = self.table.in_force();
        for process in processes_of(&entries) {
            let is_in_it = |entry: &&Arc<Entry>| {
                entry.outside.as_ref().is_some_and(|(its, _)| Arc::ptr_eq(its, &process))
            };
            let telemetry = entries.iter().filter(is_in_it).filter(|entry| entry.is_telemetry());
            let reads: Vec<_> =
                telemetry.flat_map(|entry| entry.hook.reads.iter().flatten()).cloned().collect();
            process.attach(&self.me, &reads);
        }
    }

    /// Forgets all hooks but those of the generation now in force, and what they decided.
    pub(crate) fn retire_others(&self, ids: &[u32]) {
        self.table.retire_others(ids);
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets hooks that were added and did not come into force.
    pub(crate) fn withdraw(&self, ids: &[u32]) {
        self.table.withdraw(ids);
    }

    /// Forgets all decisions that are remembered.
    pub(crate) fn invalidate(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends all threads, waiting at most `within` for them. Call it detached.
    pub(crate) fn stop(&self, within: Duration) {
        if self.is_stopped.swap(true, Ordering::Relaxed) {
            return;
        }
        self.queue.close();
        self.loop_queue.close();
        self.desk.close();
        self.watch.ring();
        let until = Instant::now().checked_add(within);
        let mut threads = self.threads.lock();
        while *threads > 0 {
            let Some(until) = until else { break };
            if self.thread_ended.wait_until(&mut threads, until).timed_out() {
                break;
            }
        }
        drop(threads);
        if self.has_started.load(Ordering::Relaxed) {
            Python::try_attach(quiet::unsettle);
        }
    }

    /// Puts a call where a thread that may run it finds it, which the queue's bell wakes; `false`
    /// when there is no room.
    fn enqueue(&self, job: Job, now_ns: u64) -> bool {
        self.watch.attend(now_ns);
        match job.entry.hook.mode {
            HookMode::Async => self.loop_queue.push(job),
            HookMode::Inline | HookMode::Queued | HookMode::Process => self.queue.push(job),
        }
    }

    /// ns since the host began; never 0.
    fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// Starts the threads that are not there yet: an earlier attempt may have failed half-way.
    fn start_threads(self: &Arc<Self>, py: Python<'_>) -> PyResult<()> {
        if !self.has_started.load(Ordering::Relaxed) {
            quiet::one_more(py, self.is_served)?;
            if !self.is_served {
                fork::refuse(py)?; // the process of a plugin has refused it since its start
            }
            self.has_started.store(true, Ordering::Relaxed);
        }
        self.spawn_once("meshcore-watch", watch::run)?;
        self.spawn_once("meshcore-clerk", clerk::run)?;
        if self.policy_threads.load(Ordering::Relaxed) == 0 {
            policy::start(self)?;
        }
        Ok(())
    }

    /// Starts a thread that runs until the host stops, unless it was started before.
    fn spawn_once(self: &Arc<Self>, name: &'static str, run: fn(&Arc<Self>)) -> PyResult<()> {
        let mut started = self.started.lock();
        if !started.contains(&name) {
            self.spawn(name, run)?;
            started.push(name);
        }
        Ok(())
    }

    /// Starts a thread that runs until the host stops.
    fn spawn(self: &Arc<Self>, name: &str, run: fn(&Arc<Self>)) -> PyResult<()> {
        let host = Arc::clone(self);
        let mut threads = self.threads.lock();
        std::thread::Builder::new().name(name.into()).spawn(move || {
            let _ended = Ended(&host);
            run(&host);
        })?;
        *threads = threads.saturating_add(1);
        Ok(())
    }

    /// Runs a thread's part that is attached, with a slot for the watch. `None` when the
    /// interpreter ends.
    fn with_slot<T>(
        self: &Arc<Self>,
        role: Role,
        run: impl FnOnce(Python<'_>, &Arc<Slot>) -> T,
    ) -> Option<T> {
        Python::try_attach(|py| {
            fork::this_thread_runs_hooks();
            let slot = Arc::new(Slot::of_this_thread(py, role).ok()?);
            self.slots.lock().push(Arc::clone(&slot));
            let done = run(py, &slot);
            self.slots.lock().retain(|known| !Arc::ptr_eq(known, &slot));
            Some(done)
        })
        .flatten()
    }
}

impl HookHost for PyHooks {
    fn run_thread(&self, run: &mut dyn FnMut()) {
        let has_run = Cell::new(false);
        let run = RefCell::new(run);
        let run_once = || {
            if !has_run.replace(true) {
                (run.borrow_mut())();
            }
        };
        // Attached first and detached around the loop, the thread keeps its state in the
        // interpreter, which makes each later attach seven times cheaper.
        Python::try_attach(|py| {
            fork::this_thread_runs_hooks();
            let slot = Slot::of_this_thread(py, Role::Worker).ok().map(Arc::new);
            self.slots.lock().extend(slot.clone());
            SLOT.set(slot.clone());
            LOOP.set(&run_once, || py.detach(|| LOOP.with(|run| run())));
            SLOT.set(None);
            mailbox::close();
            let is_mine = |known: &Arc<Slot>| slot.as_ref().is_some_and(|s| Arc::ptr_eq(known, s));
            self.slots.lock().retain(|known| !is_mine(known));
        });
        run_once(); // Only if the interpreter was ending: without hooks then.
    }

    fn call_now(&self, hook: &Hook, view: &View<'_>) -> Option<Result<Decision, HookError>> {
        let entries = self.table.entries();
        let entry = entries.get(&hook.id)?;
        let now_ns = self.now_ns();
        if entry.breaker.is_open(now_ns / 1_000_000) {
            return Some(refused(entry));
        }
        if hook.mode != HookMode::Inline
            || !entry.pace.is_short(now_ns)
            || self.pressure.is_closed(now_ns)
        {
            return None;
        }
        SLOT.with_borrow(|slot| {
            let slot = slot.as_ref()?;
            let Some(_inside) = self.gate.enter_soon(self.has_many_processors) else {
                count(&self.gate_misses);
                return None;
            };
            if !entry.breaker.lets_through(now_ns / 1_000_000) {
                return Some(refused(entry));
            }
            self.watch.attend(now_ns);
            self.call_inline(entry, view, slot, now_ns)
        })
    }

    fn call_later(&self, hook: &Arc<Hook>, facts: Facts) -> Option<PendingDecision> {
        let entry = self.table.find(hook.id)?;
        let now_ns = self.now_ns();
        let (answer, pending) = oneshot::channel();
        if !entry.breaker.lets_through(now_ns / 1_000_000) {
            // The receiver is below: it cannot be gone.
            let _ = answer.send(refused(&entry));
            return Some(pending);
        }
        let host = self.me.upgrade()?;
        let (callee, reply) = (Arc::clone(&entry), mailbox::reply_to(&host, answer));
        let is_taken = match &entry.outside {
            Some((process, place)) => {
                process.call(Call { host, entry: callee, place: *place, facts, reply })
            }
            None => self.enqueue(Job { entry: callee, facts, reply }, now_ns),
        };
        mailbox::has_called();
        if !is_taken {
            count(&entry.counts.overloads);
            self.record(&entry, true, now_ns);
            return None;
        }
        Some(pending)
    }

    fn gave_up(&self, hook: &Hook) {
        if let Some(entry) = self.table.find(hook.id) {
            self.record(&entry, true, self.now_ns());
        }
    }

    fn finished(&self, mut records: Vec<RequestRecord>) -> bool {
        let mut telemetry = self.table.in_force();
        telemetry.retain(|entry| entry.is_telemetry());
        let is_here = telemetry.iter().any(|entry| entry.outside.is_none());
        let processes = processes_of(&telemetry);
        let mut is_taken = is_here || !processes.is_empty();
        if !processes.is_empty() {
            let shared: Arc<[RequestRecord]> =
                if is_here { records.as_slice().into() } else { mem::take(&mut records).into() };
            for process in processes {
                if !process.show(&shared) {
                    self.desk.count_dropped(shared.len());
                    is_taken = false;
                }
            }
        }
        is_taken & (!is_here || self.desk.put(records))
    }

    fn cache_epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    fn log_level(&self, set: Option<&str>) -> String {
        Python::try_attach(|py| clerk::log_level(py, set)).and_then(Result::ok).unwrap_or_default()
    }

    fn exposition(&self) -> Vec<u8> {
        exposition::text(self)
    }

    fn scrape(&self) -> Vec<u8> {
        self.scrape.text()
    }
}

impl fmt::Debug for PyHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PyHooks").field("table", &self.table).finish_non_exhaustive()
    }
}

/// Tells that a thread ended, however it did.
struct Ended<'h>(&'h PyHooks);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut threads = self.0.threads.lock();
        *threads = threads.saturating_sub(1);
        self.0.thread_ended.notify_all();
    }
}
