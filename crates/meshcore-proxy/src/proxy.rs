//! The data plane of one process: started, changed, drained and ended from outside.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use meshcore_io::Accepting;
use meshcore_model::{Hook, Listen, Mesh, Node};
use meshcore_snapshot::{Rejected, Snapshot, Stale};
use meshcore_telemetry::{Level, Registry, RegistryOptions, TextFormat, Totals};
use meshcore_tls::{Materials, MeshTls, MeshTlsOptions};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::watch;

use crate::accept::{Purpose, accept_all};
use crate::access::AccessLog;
use crate::control::{self, Control};
use crate::hooks::HookHost;
use crate::shared::{Refused, Shared};
use crate::worker::Worker;

/// How the data plane runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Worker threads, at least 1.
    pub workers: usize,
    /// How long requests may go on after a drain began.
    pub drain: Duration,
    /// Version, for `istio_build` and the admin page.
    pub version: String,
}

/// What a process is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    Draining,
    Stopped,
}

/// Why the data plane did not start. Nothing runs then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be put in force.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// A listener cannot be bound.
    #[error("{purpose} listener {address}: {error}")]
    Listen {
        /// Which listener.
        purpose: &'static str,
        /// Its address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The access log cannot be written.
    #[error("access log: {0}")]
    AccessLog(io::Error),
    /// A thread or its runtime cannot be started.
    #[error("thread: {0}")]
    Thread(io::Error),
}

/// Why a change was refused. What was in force stays in force.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It cannot be compiled.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// Something newer is in force.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// The access log that it asks for cannot be written.
    #[error("access log: {0}")]
    AccessLog(io::Error),
}

impl From<Refused> for ApplyError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Rejected(rejected) => Self::Rejected(rejected),
            Refused::Stale(stale) => Self::Stale(stale),
        }
    }
}

/// A running data plane.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    control: Arc<Control>,
    listen: Listen,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Proxy {
    /// Binds all listeners, starts all threads, and accepts.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing is left running.
    #[expect(clippy::too_many_arguments, reason = "each is a part of its own, given once")]
    pub fn start(
        mesh: &Mesh,
        node: &Node,
        hooks: Vec<Hook>,
        materials: Option<Materials>,
        options: Options,
        host: Arc<dyn HookHost>,
    ) -> Result<Self, StartError> {
        let snapshot = control::with_first_answers(Snapshot::compile(mesh, node, &hooks, None)?);
        let access = mesh.settings.access_log.as_ref().map(AccessLog::open).transpose();
        let access = access.map_err(StartError::AccessLog)?.map(Arc::new);
        let mut bound = Bound::bind(&node.listen, options.workers)?;
        let registry = Registry::new(RegistryOptions {
            version: options.version.clone(),
            ..RegistryOptions::default()
        });
        registry.set(Level::Workers, i64::try_from(options.workers).unwrap_or(i64::MAX));
        registry.set(Level::ConfigRevision, i64::try_from(mesh.revision).unwrap_or(i64::MAX));
        let tls = materials.map(|materials| MeshTls::new(materials, MeshTlsOptions::default()));
        let listen = bound.listen.clone();
        let shared = Arc::new(Shared::new((snapshot, hooks), tls, registry, host, listen));
        *shared.access.write() = access;
        let (phase, watched) = watch::channel(Phase::Serving);
        let within = options.drain;
        let control = Arc::new(Control::new(Arc::clone(&shared), options, phase));
        let proxy = Self { shared, control, listen: bound.listen, threads: Mutex::new(Vec::new()) };
        let (begun, beginnings) = mpsc::channel();
        // Dropped when one fails, which ends those that were started.
        for worker in bound.workers.drain(..) {
            let phase = (watched.clone(), within);
            proxy.keep(start_worker(&proxy.shared, worker, phase, begun.clone()))?;
        }
        proxy.keep(control::start(&proxy.control, bound.pages, watched, begun))?;
        while let Ok(began) = beginnings.recv() {
            began.map_err(StartError::Thread)?;
        }
        Ok(proxy)
    }

    fn keep(&self, thread: io::Result<JoinHandle<()>>) -> Result<(), StartError> {
        self.threads.lock().push(thread.map_err(StartError::Thread)?);
        Ok(())
    }

    /// Puts a new revision in force for every request that starts from now on. Hooks stay as
    /// they are unless new ones are given.
    ///
    /// # Errors
    ///
    /// [`ApplyError`]; nothing has changed.
    pub fn apply(&self, mesh: &Mesh, hooks: Option<Vec<Hook>>) -> Result<u64, ApplyError> {
        let change_log = || self.change_access_log(mesh).map_err(ApplyError::AccessLog);
        match self.shared.apply(mesh, hooks, change_log) {
            Ok(()) => {
                self.control.applied(mesh.revision);
                Ok(mesh.revision)
            }
            Err(error) => {
                self.control.rejected(mesh.revision, &error.to_string());
                Err(error)
            }
        }
    }

    /// Opens another access log when another is wanted.
    fn change_access_log(&self, mesh: &Mesh) -> io::Result<()> {
        let wanted = mesh.settings.access_log.as_ref();
        let current = self.shared.access.read().clone();
        if current.as_ref().map(|log| &log.wanted) == wanted {
            return Ok(());
        }
        let opened = wanted.map(AccessLog::open).transpose()?.map(Arc::new);
        *self.shared.access.write() = opened;
        Ok(())
    }

    /// Uses a new certificate for all handshakes from now on. Live connections stay, but when
    /// our identity or our trust has changed, those to upstreams carry no further request.
    pub fn rotate(&self, materials: Materials) {
        if let Some(tls) = &self.shared.tls {
            self.shared.rotate(tls, materials);
            self.control.rotated();
        }
    }

    /// Notes that a change was refused before it came here, for status and the admin page.
    pub fn rejected(&self, revision: u64, why: &str) {
        self.control.rejected(revision, why);
    }

    /// Where it listens; port 0 has become the port that was taken.
    pub fn addresses(&self) -> &Listen {
        &self.listen
    }

    /// What is in force and how it fares, as a JSON object.
    pub fn status(&self) -> String {
        self.control.status().to_string()
    }

    /// All native metrics in Prometheus' text format.
    pub fn metrics(&self, openmetrics: bool) -> Vec<u8> {
        let format = if openmetrics { TextFormat::OpenMetrics } else { TextFormat::Prometheus };
        let mut out = Vec::new();
        self.shared.registry.render(format, &mut out);
        out
    }

    /// All native metrics as families of samples.
    pub fn totals(&self) -> Totals {
        self.shared.registry.totals()
    }

    /// What people are to be told that has happened since the last call: a line each.
    pub fn take_notices(&self) -> Vec<String> {
        self.shared.overload.take_notices()
    }

    /// Opens the access log's file by its name again, after it was renamed.
    pub fn reopen_logs(&self) {
        self.control.reopen_logs();
    }

    /// Stops accepting, lets requests end within the time of [`Options::drain`], and then ends.
    pub fn drain(&self) {
        self.control.advance(Phase::Draining);
    }

    /// Ends at once. Requests that are being carried are cut off.
    pub fn stop(&self) {
        self.control.advance(Phase::Stopped);
    }

    /// Whether all threads have ended.
    pub fn has_ended(&self) -> bool {
        self.threads.lock().iter().all(JoinHandle::is_finished)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop();
        for thread in self.threads.lock().drain(..) {
            let _panicked = thread.join(); // its panic was counted and printed
        }
    }
}

/// Listeners of one worker.
type WorkerListeners = Vec<(Purpose, Accepting)>;

/// All listeners, bound but not yet accepting.
struct Bound {
    workers: Vec<WorkerListeners>,
    pages: Vec<(control::Page, Accepting)>,
    listen: Listen,
}

impl Bound {
    fn bind(wanted: &Listen, workers: usize) -> Result<Self, StartError> {
        let mut bound = Self {
            workers: (0..workers.max(1)).map(|_| Vec::new()).collect(),
            pages: Vec::new(),
            listen: Listen::default(),
        };
        bound.listen.outbound =
            bound.for_workers("outbound", wanted.outbound, Purpose::Outbound)?;
        bound.listen.inbound = bound.for_workers("inbound", wanted.inbound, Purpose::Inbound)?;
        bound.listen.hbone = bound.for_workers("HBONE", wanted.hbone, Purpose::Hbone)?;
        bound.listen.admin = bound.for_control("admin", wanted.admin, control::Page::Admin)?;
        bound.listen.health = bound.for_control("health", wanted.health, control::Page::Health)?;
        bound.listen.metrics =
            bound.for_control("metrics", wanted.metrics, control::Page::Metrics)?;
        Ok(bound)
    }

    fn for_workers(
        &mut self,
        name: &'static str,
        wanted: Option<SocketAddr>,
        purpose: Purpose,
    ) -> Result<Option<SocketAddr>, StartError> {
        let Some(mut address) = wanted else { return Ok(None) };
        let failed = |error| StartError::Listen { purpose: name, address, error };
        // Another process on the address would share its connections: the first socket of an
        // address that was asked for has it alone for a moment.
        if address.port() != 0 {
            drop(meshcore_io::listen(address, false).map_err(failed)?);
        }
        for worker in &mut self.workers {
            let listener = meshcore_io::listen(address, true)
                .map_err(|error| StartError::Listen { purpose: name, address, error })?;
            address = listener.local_addr().map_err(|error| StartError::Listen {
                purpose: name,
                address,
                error,
            })?;
            worker.push((purpose, listener));
        }
        Ok(Some(address))
    }

    fn for_control(
        &mut self,
        name: &'static str,
        wanted: Option<SocketAddr>,
        page: control::Page,
    ) -> Result<Option<SocketAddr>, StartError> {
        let Some(address) = wanted else { return Ok(None) };
        let failed = |error| StartError::Listen { purpose: name, address, error };
        let listener = meshcore_io::listen(address, false).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        self.pages.push((page, listener));
        Ok(Some(address))
    }
}

fn start_worker(
    shared: &Arc<Shared>,
    listeners: WorkerListeners,
    (phase, within): (watch::Receiver<Phase>, Duration),
    begun: Begun,
) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    shared.worker_began();
    let seed = random_seed();
    std::thread::Builder::new().name("meshcore-worker".into()).spawn(move || {
        let host = Arc::clone(&shared.hooks);
        let mut work = Some((shared, listeners, phase, begun));
        host.run_thread(&mut || {
            if let Some((shared, listeners, phase, begun)) = work.take() {
                let _ended = WorkerEnded(Arc::clone(&shared));
                run_worker(shared, listeners, (phase, within), seed, begun);
            }
        });
    })
}

/// Where a thread tells that it cannot begin; it has begun once it drops this.
pub(crate) type Begun = mpsc::Sender<io::Result<()>>;

/// A runtime for this thread alone, or the news that there is none.
pub(crate) fn runtime_or_tell(begun: &Begun) -> Option<LocalRuntime> {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_io().enable_time().build_local(LocalOptions::default());
    told(runtime, begun)
}

/// The listener as part of this thread's runtime, or the news that it cannot be.
pub(crate) fn attached_or_tell(listener: Accepting, begun: &Begun) -> Option<TcpListener> {
    told(listener.attach(), begun)
}

fn told<T>(result: io::Result<T>, begun: &Begun) -> Option<T> {
    result.map_err(|error| begun.send(Err(error))).ok() // who started us has given up otherwise
}

/// Says that a worker has ended, also when it panicked.
struct WorkerEnded(Arc<Shared>);

impl Drop for WorkerEnded {
    fn drop(&mut self) {
        self.0.worker_ended();
    }
}

fn run_worker(
    shared: Arc<Shared>,
    listeners: WorkerListeners,
    (phase, within): (watch::Receiver<Phase>, Duration),
    seed: u64,
    begun: Begun,
) {
    let Some(runtime) = runtime_or_tell(&begun) else { return };
    runtime.block_on(async move {
        let worker = Worker::new(shared, seed);
        let mut accepting = Vec::new();
        for (purpose, listener) in listeners {
            let Some(listener) = attached_or_tell(listener, &begun) else { return };
            let accept = accept_all(Rc::clone(&worker), listener, purpose);
            accepting.push(tokio::task::spawn_local(accept));
        }
        drop(begun);
        let ticking = tokio::task::spawn_local(Rc::clone(&worker).tick());
        let yielding = tokio::task::spawn_local(Rc::clone(&worker).yield_connections());
        let relieving = tokio::task::spawn_local(Rc::clone(&worker).relieve());
        worker.run_until_drained(phase, accepting, within).await;
        ticking.abort();
        yielding.abort();
        relieving.abort();
        worker.access.flush(&worker);
        worker.telemetry.flush(&worker);
    });
    runtime.shutdown_background(); // a look-up of a name may go on for long
}

/// A seed that differs from worker to worker and from process to process.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}
