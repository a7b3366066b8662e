//! The data plane of one process: started, changed, drained and ended from outside.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use meshcore_io::{Accepting, Datagrams};
use meshcore_model::{Hook, Listen, Mesh, Node, Origin};
use meshcore_snapshot::{Rejected, Snapshot, Stale};
use meshcore_telemetry::{Level, Registry, RegistryOptions, TextFormat, Totals};
use meshcore_tls::{Materials, MeshTls, MeshTlsOptions};
use parking_lot::Mutex;
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::watch;

use crate::accept::accept_all;
use crate::access::AccessLog;
use crate::bind::{Bound, Taken, WorkerListeners};
use crate::control::{self, Control};
use crate::discovery::Discovery;
use crate::gateway::{Listeners, keep_listening};
use crate::hooks::HookHost;
use crate::shared::{Refused, Shared};
use crate::timer;
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
    /// Who knows more of the mesh; `None` when what is applied is all of it.
    pub discovery: Option<Arc<dyn Discovery>>,
}

/// What a process is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    /// Requests end, and the pages of the control thread tell so.
    Draining,
    /// Requests end; another process has the listeners, and answers for this workload.
    HandedOver,
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
    /// A listener of a gateway cannot be opened.
    #[error("{0}")]
    Gateway(String),
    /// A socket that was handed over cannot be used.
    #[error("{purpose} socket that was handed over: {error}")]
    Taken {
        /// Which listener.
        purpose: String,
        /// Why.
        error: io::Error,
    },
    /// A socket was handed over that would be left without anybody who accepts.
    #[error(
        "the running sidecar has its {purpose} listener at {taken}, and this one {}: \
         start it with the same addresses and ports, or end the running one first",
        wanted.map_or_else(|| "has none".to_owned(), |wanted| format!("wants it at {wanted}"))
    )]
    Moved {
        /// Which listener.
        purpose: String,
        /// Where the socket listens.
        taken: SocketAddr,
        /// Where it should listen.
        wanted: Option<SocketAddr>,
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
    /// A listener of a gateway cannot be opened.
    #[error("{reason}")]
    Gateway {
        /// The document that wants it.
        origin: Box<Origin>,
        /// Why.
        reason: String,
    },
    /// The access log that it asks for cannot be written.
    #[error("access log: {0}")]
    AccessLog(io::Error),
}

impl From<Refused> for ApplyError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Rejected(rejected) => Self::Rejected(rejected),
            Refused::Stale(stale) => Self::Stale(stale),
            Refused::Listen(error) => Self::Gateway {
                origin: Box::new((*error.origin).clone()),
                reason: error.to_string(),
            },
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
    /// Binds all listeners but those that were taken over, starts all threads, and accepts.
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
        taken: &[Taken],
    ) -> Result<Self, StartError> {
        let snapshot = control::with_first_answers(Snapshot::compile(mesh, node, &hooks, None)?);
        let access = mesh.settings.access_log.as_ref().map(AccessLog::open).transpose();
        let access = access.map_err(StartError::AccessLog)?.map(Arc::new);
        let mut bound = Bound::bind(&node.listen, options.workers, taken)?;
        let registry = Registry::new(RegistryOptions {
            version: options.version.clone(),
            ..RegistryOptions::default()
        });
        registry.set(Level::Workers, i64::try_from(options.workers).unwrap_or(i64::MAX));
        registry.set(Level::ConfigRevision, i64::try_from(mesh.revision).unwrap_or(i64::MAX));
        let tls = materials.map(|materials| MeshTls::new(materials, MeshTlsOptions::default()));
        let listen = bound.listen.clone();
        let listeners = Listeners::new(options.workers, std::mem::take(&mut bound.gateway));
        let open =
            listeners.prepare(&snapshot).map_err(|error| StartError::Gateway(error.to_string()))?;
        let gateway = snapshot.gateway.clone();
        let listen = (listen, listeners);
        let mut shared = Shared::new((snapshot, hooks), tls, registry, host, listen);
        shared.discovery.clone_from(&options.discovery);
        let shared = Arc::new(shared);
        if let Some(gateway) = &gateway {
            shared.terminations.prepare(gateway);
        }
        shared.listeners.publish(open);
        *shared.access.write() = access;
        let (phase, watched) = watch::channel(Phase::Serving);
        let within = options.drain;
        let control = Arc::new(Control::new(Arc::clone(&shared), options, phase, bound.kept));
        let proxy = Self { shared, control, listen: bound.listen, threads: Mutex::new(Vec::new()) };
        let (begun, beginnings) = mpsc::channel();
        // Dropped when one fails, which ends those that were started.
        for (position, worker) in bound.workers.drain(..).enumerate() {
            let phase = (watched.clone(), within);
            let own = (position, worker);
            proxy.keep(start_worker(&proxy.shared, own, phase, begun.clone()))?;
        }
        proxy.keep(control::start(&proxy.control, (bound.pages, bound.names), watched, begun))?;
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

    /// What the services have carried for the application since the start, by host: requests,
    /// connections and bytes together, which only grow while it is called.
    pub fn carried(&self) -> HashMap<String, u64> {
        self.shared.registry.carried()
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

    /// All listening sockets with their purposes, for another process to take over. There are
    /// none once it drains.
    ///
    /// # Errors
    ///
    /// Descriptors are used up.
    pub fn sockets(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        self.control.sockets()
    }

    /// Drains like [`Self::drain`], and leaves the pages of the control thread at once: the
    /// process that took the sockets over serves them.
    pub fn hand_over(&self) {
        self.control.advance(Phase::HandedOver);
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

fn start_worker(
    shared: &Arc<Shared>,
    listeners: (usize, WorkerListeners),
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
pub(crate) fn runtime_or_tell(mut builder: Builder, begun: &Begun) -> Option<LocalRuntime> {
    told(builder.enable_io().build_local(LocalOptions::default()), begun)
}

/// The listener as part of this thread's runtime, or the news that it cannot be.
pub(crate) fn attached_or_tell(listener: Accepting, begun: &Begun) -> Option<TcpListener> {
    told(listener.attach(), begun)
}

/// The same for UDP.
pub(crate) fn datagrams_or_tell(datagrams: Datagrams, begun: &Begun) -> Option<UdpSocket> {
    told(datagrams.attach(), begun)
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
    (position, listeners): (usize, WorkerListeners),
    (phase, within): (watch::Receiver<Phase>, Duration),
    seed: u64,
    begun: Begun,
) {
    let builder = Builder::new_current_thread(); // without timers, which a worker has itself
    let Some(runtime) = runtime_or_tell(builder, &begun) else { return };
    runtime.block_on(async move {
        let Some(_timers) = told(timer::open(), &begun) else { return };
        let worker = Worker::new(shared, seed);
        let mut accepting = Vec::new();
        for (purpose, listener) in listeners {
            let Some(listener) = attached_or_tell(listener, &begun) else { return };
            let listener = Rc::new(listener);
            accepting.push(
                worker.spawn_for_ever(move |worker| {
                    accept_all(worker, Rc::clone(&listener), purpose)
                }),
            );
        }
        accepting.push(worker.spawn_for_ever(move |worker| keep_listening(worker, position)));
        drop(begun);
        let ticking = worker.spawn_for_ever(Worker::tick);
        let yielding = worker.spawn_for_ever(Worker::yield_connections);
        let relieving = worker.spawn_for_ever(Worker::relieve);
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
