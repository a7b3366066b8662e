//! The control thread: administration, health, metrics, names; everything but requests.

mod admin;
mod describe;
mod http;
mod resolve;

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meshcore_io::{Accepting, Datagrams};
use meshcore_telemetry::{Counter, Level, Recorder};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, watch};

use crate::contain::for_ever;
use crate::dns::Names;
use crate::hooks::HookHost;
use crate::overload::watch_memory;
use crate::proxy::{Begun, Options, Phase, attached_or_tell, datagrams_or_tell, runtime_or_tell};
use crate::shared::Shared;

pub(crate) use admin::Page;
pub(crate) use resolve::with_first_answers;

/// How long an answer of Python is waited for. Source: half of Prometheus' `scrape_timeout`.
const PYTHON_WITHIN: Duration = Duration::from_secs(5);

/// Refusals that are remembered.
const MAX_REFUSALS: usize = 16;

/// What the control thread looks after.
#[derive(Debug)]
pub(crate) struct Control {
    shared: Arc<Shared>,
    options: Options,
    phase: watch::Sender<Phase>,
    history: Mutex<History>,
    started: SystemTime,
    /// All listening sockets, until they are left.
    sockets: Mutex<Vec<(&'static str, Accepting)>>,
    /// Python answers one question at a time.
    python: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct History {
    applied: u64,
    rejected: u64,
    /// The newest refusals, newest last; those of older revisions than the one in force go.
    refusals: Vec<Refusal>,
}

#[derive(Debug)]
struct Refusal {
    revision: u64,
    why: String,
    at: SystemTime,
}

impl Control {
    pub(crate) fn new(
        shared: Arc<Shared>,
        options: Options,
        phase: watch::Sender<Phase>,
        sockets: Vec<(&'static str, Accepting)>,
    ) -> Self {
        let control = Self {
            shared,
            options,
            phase,
            history: Mutex::default(),
            started: SystemTime::now(),
            sockets: Mutex::new(sockets),
            python: Arc::new(Semaphore::new(1)),
        };
        control.note_certificate();
        control
    }

    /// A revision was put in force.
    pub(crate) fn applied(&self, revision: u64) {
        let mut history = self.history.lock();
        history.applied = history.applied.saturating_add(1);
        history.refusals.retain(|refusal| refusal.revision > revision);
        let revision = i64::try_from(revision).unwrap_or(i64::MAX);
        self.shared.registry.set(Level::ConfigRevision, revision);
    }

    /// A revision was refused.
    pub(crate) fn rejected(&self, revision: u64, why: &str) {
        let mut history = self.history.lock();
        history.rejected = history.rejected.saturating_add(1);
        if history.refusals.len() >= MAX_REFUSALS {
            history.refusals.remove(0);
        }
        history.refusals.push(Refusal { revision, why: why.to_owned(), at: SystemTime::now() });
    }

    /// Goes on to a later phase, if it is one.
    pub(crate) fn advance(&self, to: Phase) {
        self.shared.registry.set(Level::Draining, 1);
        self.sockets.lock().clear(); // else they would listen on without anybody who accepts
        self.phase.send_if_modified(|phase| {
            let is_later = to > *phase;
            if is_later {
                *phase = to;
            }
            is_later
        });
    }

    /// All listening sockets with their purposes, once more.
    pub(crate) fn sockets(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let sockets = self.sockets.lock();
        let own = sockets
            .iter()
            .map(|(purpose, one)| Ok(((*purpose).to_owned(), OwnedFd::from(one.try_clone()?))));
        let mut all = own.collect::<io::Result<Vec<_>>>()?;
        if *self.phase.borrow() == Phase::Serving {
            let gateway = self.shared.listeners.sockets()?;
            all.extend(gateway.into_iter().map(|(purpose, one)| (purpose, one.into())));
        }
        Ok(all)
    }

    /// Opens the access log's file by its name again.
    pub(crate) fn reopen_logs(&self) {
        if let Some(log) = &*self.shared.access.read() {
            log.reopen();
        }
    }

    /// Asks Python on a thread of its own, so that a plugin that keeps the interpreter keeps
    /// nothing else: `None` when there is no answer in time.
    async fn ask_python<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn HookHost) -> T + Send + 'static,
    ) -> Option<T> {
        let (hooks, python) = (Arc::clone(&self.shared.hooks), Arc::clone(&self.python));
        let asking = async move {
            let turn = python.acquire_owned().await.ok()?;
            let asked = tokio::task::spawn_blocking(move || {
                let answer = ask(&*hooks);
                drop(turn);
                answer
            });
            asked.await.ok()
        };
        tokio::time::timeout(PYTHON_WITHIN, asking).await.ok().flatten()
    }

    /// The certificate was renewed.
    pub(crate) fn rotated(&self) {
        self.note_certificate();
    }

    /// What is in force and how it fares.
    pub(crate) fn status(&self) -> Value {
        let snapshot = self.shared.cell.load();
        let history = self.history.lock();
        let refusals: Vec<Value> = history
            .refusals
            .iter()
            .map(|refusal| {
                json!({
                    "revision": refusal.revision,
                    "why": refusal.why,
                    "at": seconds(refusal.at),
                })
            })
            .collect();
        json!({
            "version": self.options.version,
            "workers": self.options.workers,
            "state": self.state(),
            "uptime_seconds": self.started.elapsed().unwrap_or_default().as_secs(),
            "node": snapshot.node,
            "revision": snapshot.revision,
            "applied": history.applied,
            "rejected": history.rejected,
            "refusals": refusals,
            "services": snapshot.outbound.hosts().count(),
            "clusters": snapshot.clusters().count(),
            "certificate": describe::certificate(&self.shared),
            "gateway": describe::gateway(&self.shared),
            "control_plane": self.shared.discovery.as_ref().map(|discovery| discovery.status()),
        })
    }

    fn state(&self) -> &'static str {
        match *self.phase.borrow() {
            Phase::Serving => "ready",
            Phase::Draining | Phase::HandedOver => "draining",
            Phase::Stopped => "stopped",
        }
    }

    /// Waits until another process serves the pages.
    async fn handed_over(&self) {
        let mut phase = self.phase.subscribe();
        let _ended = phase.wait_for(|phase| *phase >= Phase::HandedOver).await; // which is later
    }

    fn note_certificate(&self) {
        if let Some(tls) = &self.shared.tls {
            let expiry = i64::try_from(tls.materials().not_after()).unwrap_or(i64::MAX);
            self.shared.registry.set(Level::CertificateExpiry, expiry);
        }
    }
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Sockets of the control thread: of its pages, and those where names are asked for.
type Sockets = (Vec<(Page, Accepting)>, Vec<(Datagrams, Accepting)>);

/// Starts the control thread.
///
/// # Errors
///
/// The thread cannot be started.
pub(crate) fn start(
    control: &Arc<Control>,
    sockets: Sockets,
    phase: watch::Receiver<Phase>,
    begun: Begun,
) -> io::Result<JoinHandle<()>> {
    let control = Arc::clone(control);
    std::thread::Builder::new().name("meshcore-control".into()).spawn(move || {
        let host = Arc::clone(&control.shared.hooks);
        let mut work = Some((control, sockets, phase, begun));
        host.run_thread(&mut || {
            if let Some((control, sockets, phase, begun)) = work.take() {
                run(control, sockets, phase, begun);
            }
        });
    })
}

fn run(
    control: Arc<Control>,
    (pages, names): Sockets,
    mut phase: watch::Receiver<Phase>,
    begun: Begun,
) {
    let mut builder = Builder::new_current_thread();
    builder.enable_time();
    let Some(runtime) = runtime_or_tell(builder, &begun) else { return };
    runtime.block_on(async move {
        let recorder = control.shared.registry.recorder();
        for (page, listener) in pages {
            let Some(listener) = attached_or_tell(listener, &begun) else { return };
            let (control, listener) = (Arc::clone(&control), Rc::new(listener));
            let serving = move || http::serve_all(Arc::clone(&control), Rc::clone(&listener), page);
            tokio::task::spawn_local(for_ever(Recorder::clone(&recorder), serving));
        }
        if !serve_names(&control, &recorder, names, &begun) {
            return;
        }
        drop(begun);
        let resolving = {
            let control = Arc::clone(&control);
            move || resolve::keep_resolved(Arc::clone(&control))
        };
        tokio::task::spawn_local(for_ever(Recorder::clone(&recorder), resolving));
        let watching = {
            let control = Arc::clone(&control);
            move || watch_memory(Arc::clone(&control.shared))
        };
        tokio::task::spawn_local(for_ever(Recorder::clone(&recorder), watching));
        let mut counted = (0, 0);
        let mut every = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                _tick = every.tick() => {
                    control.shared.free_retired();
                    control.shared.terminations.refresh();
                    counted = control.count_changes(&recorder, counted);
                    if let Some(log) = &*control.shared.access.read() {
                        log.count_failures(&recorder);
                    }
                }
                () = control.shared.last_worker_ended() => {}
                changed = phase.changed() => {
                    if changed.is_err() || *phase.borrow() == Phase::Stopped {
                        return;
                    }
                }
            }
            if *phase.borrow() > Phase::Serving && control.shared.has_ended_workers() {
                return;
            }
        }
    });
    runtime.shutdown_background(); // a look-up of a name may go on for long
}

/// Answers names until another process does; `false` when a socket cannot be used.
fn serve_names(
    control: &Arc<Control>,
    recorder: &Recorder,
    sockets: Vec<(Datagrams, Accepting)>,
    begun: &Begun,
) -> bool {
    if sockets.is_empty() {
        return true;
    }
    let names = Rc::new(Names::new(Arc::clone(&control.shared), Recorder::clone(recorder)));
    for (datagrams, listener) in sockets {
        let Some(socket) = datagrams_or_tell(datagrams, begun).map(Rc::new) else { return false };
        let Some(listener) = attached_or_tell(listener, begun).map(Rc::new) else { return false };
        let (control, names) = (Arc::clone(control), Rc::clone(&names));
        let serving = move || {
            let (control, names) = (Arc::clone(&control), Rc::clone(&names));
            let (socket, listener) = (Rc::clone(&socket), Rc::clone(&listener));
            async move {
                tokio::select! {
                    () = Rc::clone(&names).serve_udp(socket) => {}
                    () = names.serve_tcp(listener) => {}
                    () = control.handed_over() => {}
                }
            }
        };
        tokio::task::spawn_local(for_ever(Recorder::clone(recorder), serving));
    }
    true
}

impl Control {
    fn count_changes(&self, recorder: &Recorder, (applied, rejected): (u64, u64)) -> (u64, u64) {
        let history = self.history.lock();
        recorder.count(Counter::ConfigApplied, history.applied.saturating_sub(applied));
        recorder.count(Counter::ConfigRejected, history.rejected.saturating_sub(rejected));
        (history.applied, history.rejected)
    }
}
