//! Plugins in processes of their own.
//!
//! A thread for each plugin keeps its process: it starts it, hands calls over, takes decisions
//! back, ends it when it hangs or answers nonsense, and starts it again. It never needs the
//! interpreter, and no worker waits for it: a call is put into a bounded queue, and what the hook
//! declares is the answer when there is no room, no process, or no decision in time.

mod child;
mod life;
mod said;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak, mpsc as std_mpsc};
use std::time::{Duration, Instant};

use meshcore_model::Attribute;
use meshcore_proxy::hooks::{Facts, HookError, RequestRecord};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use self::child::Fault;
pub(crate) use self::child::Recipe;
use self::life::{End, Life, Orders};
use super::PyHooks;
use super::clerk::Severity;
use super::entry::{Entry, count};
use super::reply::Reply;

/// Calls that wait for the process at most, and those of one hook that wait or run.
const MAX_WAITING: usize = 1024;
const MAX_CALLS_OF_HOOK: u32 = 256;
/// Batches of finished requests that wait at most.
const MAX_BATCHES: usize = 16;
/// First pause before it is started again, the longest one, and how long it has to live for the
/// pause to be the first one again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const GOOD_LIFE: Duration = Duration::from_secs(30);
/// How long it may go on when it is not wanted any more, and when it is at fault.
const END_WITHIN: Duration = Duration::from_secs(1);
const FAULT_WITHIN: Duration = Duration::from_millis(300);
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
            .spawn(move || keep(keeper, &begun))
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
        self.shared.said(early);
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
    begins: std_mpsc::Receiver<Result<Vec<u8>, String>>,
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

    /// Whether its telemetry hooks read this.
    fn records(&self, attribute: &Attribute) -> bool {
        self.audience.lock().reads.contains(attribute)
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

/// What the thread of a process has.
struct Keeper {
    recipe: Recipe,
    orders: Orders,
    shared: Arc<Shared>,
}

/// The thread of a process.
fn keep(keeper: Keeper, begun: &std_mpsc::Sender<Result<Vec<u8>, String>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(keeper.keep(begun)),
        Err(error) => drop(begun.send(Err(format!("no event loop for it: {error}")))),
    }
}

impl Keeper {
    async fn keep(mut self, begun: &std_mpsc::Sender<Result<Vec<u8>, String>>) {
        let mut first_frame = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let started = Instant::now();
            let (why, how) = match self.begin(&mut first_frame).await {
                Ok(mut life) => {
                    if let Some(frame) = first_frame.clone() {
                        // Heard the first time only.
                        let _ = begun.send(Ok(frame));
                    }
                    self.shared.is_up.store(true, Ordering::Relaxed);
                    let end = life.run(&mut self.orders, &self.shared).await;
                    self.shared.is_up.store(false, Ordering::Relaxed);
                    match end {
                        End::Unwanted => {
                            life.end(END_WITHIN, &self.shared).await;
                            return;
                        }
                        End::Fault(fault) => (fault, life.end(FAULT_WITHIN, &self.shared).await),
                    }
                }
                Err((fault, how)) if first_frame.is_none() => {
                    let text = self.first_words(&fault, &how);
                    let _ = begun.send(Err(text));
                    return;
                }
                Err(failed) => failed,
            };
            if started.elapsed() >= GOOD_LIFE {
                pause = FIRST_PAUSE;
            }
            self.report_end(&why, &how, pause);
            if !self.pause(pause).await {
                return;
            }
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
            count(&self.shared.counts.restarts);
        }
    }

    /// Starts the process and waits until it has loaded what it loaded the first time.
    async fn begin(&self, first_frame: &mut Option<Vec<u8>>) -> Result<Life, (Fault, String)> {
        let mut life = Life::start(&self.recipe).map_err(|fault| (fault, String::new()))?;
        let fault = match life.load(self.recipe.within).await {
            Ok(frame) => match first_frame {
                Some(known) if *known != frame => Fault::Changed,
                Some(_) => return Ok(life),
                None => {
                    *first_frame = Some(frame);
                    return Ok(life);
                }
            },
            Err(fault) => fault,
        };
        let how = life.end(FAULT_WITHIN, &self.shared).await;
        Err((fault, how))
    }

    /// Why the first start failed, with what the process said.
    fn first_words(&self, fault: &Fault, how: &str) -> String {
        let said = std::mem::take(&mut self.shared.audience.lock().early);
        let why = if matches!(fault, Fault::Ended) {
            format!("its process {how} while it was loaded")
        } else {
            fault.to_string()
        };
        [&[why][..], &said].concat().join("\n")
    }

    fn report_end(&self, fault: &Fault, how: &str, pause: Duration) {
        count(&self.shared.counts.faults);
        let why = if matches!(fault, Fault::Ended) {
            how.to_owned()
        } else {
            format!("was ended: {fault}")
        };
        let text = format!(
            "plugin {}: its process {why}; it is started again in {} ms, until then its requests \
             get the answer of on_error",
            self.shared.name,
            pause.as_millis(),
        );
        self.shared.report(Severity::Error, text);
    }

    /// Waits, and answers calls that were on their way; `false` when the process is not wanted.
    async fn pause(&mut self, pause: Duration) -> bool {
        let over = tokio::time::sleep(pause);
        tokio::pin!(over);
        while !self.shared.is_retired() {
            tokio::select! {
                () = &mut over => return true,
                () = self.shared.changed.notified() => {}
                call = self.orders.calls.recv() => match call {
                    Some(call) => call.finish(Err(HookError::Down), Duration::ZERO),
                    None => return false,
                },
            }
        }
        false
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("hook", &self.entry.hook.name).finish_non_exhaustive()
    }
}
