//! Plugins in processes of their own.
//!
//! A thread for each plugin keeps its process: it starts it, hands calls over, takes decisions
//! back, ends it when it hangs or answers nonsense, and starts it again. It never needs the
//! interpreter, and no worker waits for it: a call is put into a bounded queue, and what the hook
//! declares is the answer when there is no room, no process, or no decision in time.

mod child;
mod keeper;
mod life;
mod said;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak, mpsc as std_mpsc};
use std::time::Duration;

use meshcore_model::Attribute;
use meshcore_proxy::hooks::{Facts, HookError, RequestRecord};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

pub(crate) use self::child::Recipe;
use self::keeper::{Begun, Keeper};
use self::life::Orders;
use super::PyHooks;
use super::clerk::Severity;
use super::entry::Entry;
use super::reply::Reply;

/// Calls that wait for the process at most, and those of one hook that wait or run.
const MAX_WAITING: usize = 1024;
const MAX_CALLS_OF_HOOK: u32 = 256;
/// Batches of finished requests that wait at most.
const MAX_BATCHES: usize = 16;
/// Lines that are kept until there is somebody to report to.
const MAX_EARLY_LINES: usize = 50;

/// The process of a plugin, through all its lives.
#[derive(Debug)]
pub(crate) struct Process {
    shared: Arc<Shared>,
    calls: mpsc::Sender<Call>,
    records: mpsc::Sender<Arc<[RequestRecord]>>,
    /// The first frame that it sent.
    pub(crate) hello: Vec<u8>,
}

/// A call on its way into the process.
pub(crate) struct Call {
    pub(crate) host: Arc<PyHooks>,
    pub(crate) entry: Arc<Entry>,
    /// Place of the hook among those of its plugin.
    pub(crate) place: u32,
    pub(crate) facts: Facts,
    pub(crate) reply: Reply,
}

/// What the thread of a process and all others know of it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: String,
    is_up: AtomicBool,
    is_retired: AtomicBool,
    changed: Notify,
    audience: Mutex<Audience>,
    pub(crate) counts: Counts,
}

/// Who hears what the process says.
#[derive(Debug, Default)]
struct Audience {
    host: Weak<PyHooks>,
    /// Attributes that its telemetry hooks read.
    reads: Vec<Attribute>,
    early: Vec<String>,
}

/// What is counted of a process.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) restarts: AtomicU64,
    pub(crate) faults: AtomicU64,
    pub(crate) resident_bytes: AtomicU64,
}

// === impl Process ===

impl Process {
    /// Starts the process of a plugin. It is ended with this value.
    ///
    /// # Errors
    ///
    /// In words, when it cannot be started or does not load its plugin, with its last lines.
    pub(crate) fn start(name: String, recipe: Recipe) -> Result<Starting, String> {
        let (calls, waiting_calls) = mpsc::channel(MAX_WAITING);
        let (records, waiting_records) = mpsc::channel(MAX_BATCHES);
        let orders = Orders { calls: waiting_calls, records: waiting_records };
        let shared = Arc::new(Shared::new(name));
        let (begun, begins) = std_mpsc::channel();
        let keeper = Keeper { recipe, orders, shared: Arc::clone(&shared) };
        std::thread::Builder::new()
            .name("meshcore-plugin".into())
            .spawn(move || keeper.run(&begun))
            .map_err(|error| format!("no thread for it: {error}"))?;
        Ok(Starting { begins, process: Some(Self { shared, calls, records, hello: Vec::new() }) })
    }

    /// Hands a call over; `false` when there is no room.
    pub(crate) fn call(&self, call: Call) -> bool {
        let entry = Arc::clone(&call.entry);
        if entry.load.outstanding() >= MAX_CALLS_OF_HOOK {
            return false;
        }
        entry.load.one_more();
        if !self.shared.is_up() {
            call.finish(Err(HookError::Down), Duration::ZERO);
            return true;
        }
        let is_taken = self.calls.try_send(call).is_ok();
        if !is_taken {
            entry.load.one_less();
        }
        is_taken
    }

    /// Shows it finished requests; `false` when there is no room.
    pub(crate) fn show(&self, records: &Arc<[RequestRecord]>) -> bool {
        self.shared.is_up() && self.records.try_send(Arc::clone(records)).is_ok()
    }

    /// What it says is reported to `host` from now on.
    pub(crate) fn attach(&self, host: &Weak<PyHooks>, telemetry_reads: &[Attribute]) {
        let mut audience = self.shared.audience.lock();
        audience.host = Weak::clone(host);
        audience.reads = telemetry_reads.to_vec();
        let early = std::mem::take(&mut audience.early);
        drop(audience);
        for text in early {
            self.shared.report(Severity::Warning, text);
        }
    }

    /// Another one has taken its place: it ends when it had no call for a while.
    pub(crate) fn retire(&self) {
        self.shared.is_retired.store(true, Ordering::Relaxed);
        self.shared.changed.notify_one();
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

/// A process that loads its plugin.
#[derive(Debug)]
pub(crate) struct Starting {
    begins: std_mpsc::Receiver<Begun>,
    process: Option<Process>,
}

impl Starting {
    /// Waits for it, at most this long; `None` when it is not ready.
    pub(crate) fn wait(&mut self, within: Duration) -> Option<Result<Process, String>> {
        let answer = match self.begins.recv_timeout(within) {
            Err(std_mpsc::RecvTimeoutError::Timeout) => return None,
            Err(std_mpsc::RecvTimeoutError::Disconnected) => Err("its thread ended".into()),
            Ok(answer) => answer,
        };
        let process = self.process.take()?;
        Some(answer.map(|hello| Process { hello, ..process }))
    }
}

// === impl Shared ===

impl Shared {
    fn new(name: String) -> Self {
        Self {
            name,
            is_up: AtomicBool::new(false),
            is_retired: AtomicBool::new(false),
            changed: Notify::new(),
            audience: Mutex::default(),
            counts: Counts::default(),
        }
    }

    /// Whether it takes calls.
    pub(crate) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Relaxed)
    }

    /// What its telemetry hooks read of finished requests.
    fn telemetry_reads(&self) -> Vec<Attribute> {
        self.audience.lock().reads.clone()
    }

    /// Counts finished requests that its hooks do not see.
    fn dropped(&self, records: usize) {
        if let Some(host) = self.audience.lock().host.upgrade() {
            host.desk.count_dropped(records);
        }
    }

    /// Lines that it wrote go to the log.
    fn said(&self, lines: Vec<String>) {
        for line in lines {
            let line = format!("plugin {}: {line}", self.name);
            self.report(Severity::Warning, line);
        }
    }

    fn report(&self, severity: Severity, text: String) {
        let mut audience = self.audience.lock();
        match audience.host.upgrade() {
            Some(host) => host.desk.report(severity, text),
            None if audience.early.len() < MAX_EARLY_LINES => audience.early.push(text),
            None => {}
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("hook", &self.entry.hook.name).finish_non_exhaustive()
    }
}
