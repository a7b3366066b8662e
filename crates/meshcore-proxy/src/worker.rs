//! A worker: one thread with its own listeners, pools, buffers and counters.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use meshcore_balance::{Cursors, Health, Loads, Outliers};
use meshcore_io::release_free_memory;
use meshcore_model::{Failure, Identity, Kind, ServiceLabels, WorkloadLabels};
use meshcore_snapshot::{Cluster, ClusterId, Reader, Snapshot};
use meshcore_telemetry::{Counter, Labelled, Recorder};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::access::{AccessBatch, TelemetryBatch};
use crate::buffer::trim_pool;
use crate::client::Client;
use crate::contain::for_ever;
use crate::dial::UpstreamKey;
use crate::hooks::DecisionCache;
use crate::overload::{Pressure, pressure};
use crate::pool::{Full, Pools, Usage};
use crate::proxy::Phase;
use crate::shared::Shared;
use crate::timer::{sleep, timeout};
use crate::waits::Waits;

/// What a worker has for itself. Only its own thread touches it.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) recorder: Recorder,
    pub(crate) pools: Pools,
    pub(crate) waits: Rc<Waits>,
    pub(crate) loads: RefCell<Loads>,
    pub(crate) health: RefCell<Health>,
    pub(crate) cursors: RefCell<Cursors>,
    pub(crate) outliers: RefCell<HashMap<ClusterId, Outliers, RandomState>>,
    pub(crate) decisions: DecisionCache,
    pub(crate) access: AccessBatch,
    pub(crate) telemetry: TelemetryBatch,
    pub(crate) unknown_service: Arc<ServiceLabels>,
    pub(crate) passthrough_cluster: Arc<str>,
    pub(crate) black_hole_cluster: Arc<str>,
    pub(crate) allow_any_route: Arc<str>,
    /// Istio's name of a route that no document names.
    pub(crate) default_route: Arc<str>,
    pub(crate) unknown_workload: Arc<WorkloadLabels>,
    pub(crate) passthrough: Arc<ServiceLabels>,
    pub(crate) black_hole: Arc<ServiceLabels>,
    reader: RefCell<Reader>,
    pinned: RefCell<Pinned>,
    strangers: RefCell<HashMap<Identity, Arc<WorkloadLabels>, RandomState>>,
    /// Labels by where they are in memory, which they hold, and the same without a principal.
    unproven: RefCell<HashMap<usize, LabelsPair, RandomState>>,
    usages: RefCell<HashMap<ClusterId, Arc<Usage>, RandomState>>,
    random: Cell<u64>,
    started: Instant,
}

/// A snapshot that a request keeps to its end. Counted without atomics: it stays on its worker.
pub(crate) type Pinned = Rc<Arc<Snapshot>>;

type LabelsPair = (Arc<WorkloadLabels>, Arc<WorkloadLabels>);

/// Buffers kept through a quiet time; the rest is given back.
const KEPT_BUFFERS: usize = 8;

/// Identities that are not in the mesh and are told apart in metrics.
const MAX_STRANGERS: usize = 256;

/// How often a drain looks whether all connections have ended.
pub(crate) const DRAIN_POLL: Duration = Duration::from_millis(20);

/// While memory is critical, one connection of so many is cut off, again and again.
const CUT_ONE_OF: u64 = 8;

/// How long it may take until less is used.
const RELIEF_PAUSE: Duration = Duration::from_millis(50);

/// Seconds between two times that unused memory is given back.
const TRIM_EVERY_S: u64 = 10;

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, seed: u64) -> Rc<Self> {
        let service = |name: &str| {
            meshcore_model::LabelIds::of_process()
                .service(ServiceLabels { name: name.into(), ..ServiceLabels::default() })
        };
        let reader = shared.cell.reader();
        let access = AccessBatch::default();
        access.take_over(shared.access.read().as_ref());
        Rc::new(Self {
            recorder: shared.registry.recorder(),
            pinned: RefCell::new(Rc::new(Arc::clone(reader.held()))),
            reader: RefCell::new(reader),
            pools: Pools::default(),
            waits: Rc::new(Waits::default()),
            loads: RefCell::default(),
            health: RefCell::default(),
            cursors: RefCell::default(),
            outliers: RefCell::default(),
            decisions: DecisionCache::default(),
            access,
            telemetry: TelemetryBatch::default(),
            unknown_service: Arc::new(ServiceLabels::default()),
            passthrough_cluster: Arc::from("PassthroughCluster"),
            black_hole_cluster: Arc::from("BlackHoleCluster"),
            allow_any_route: Arc::from("allow_any"),
            default_route: Arc::from("default"),
            unknown_workload: Arc::new(WorkloadLabels::default()),
            passthrough: service("PassthroughCluster"),
            black_hole: service("BlackHoleCluster"),
            usages: RefCell::default(),
            strangers: RefCell::default(),
            unproven: RefCell::default(),
            random: Cell::new(seed | 1),
            started: Instant::now(),
            shared,
        })
    }

    /// The snapshot in force. A request keeps the one it began with.
    pub(crate) fn snapshot(&self) -> Pinned {
        let mut reader = self.reader.borrow_mut();
        if let Some(before) = reader.refresh() {
            self.take_over(reader.held());
            *self.pinned.borrow_mut() = Rc::new(Arc::clone(reader.held()));
            self.shared.retire(before);
        }
        Rc::clone(&self.pinned.borrow())
    }

    /// A random number; not for secrets. Source: Marsaglia, "Xorshift RNGs" (2003), with the
    /// multiplication of Vigna's xorshift64*.
    pub(crate) fn random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// The counts of a cluster that has limits; `None` costs nothing.
    pub(crate) fn usage(&self, cluster: &Cluster) -> Option<Arc<Usage>> {
        let limits = &cluster.limits;
        let unlimited =
            [limits.max_connections, limits.max_pending, limits.max_requests, limits.max_retries];
        if unlimited.iter().all(|limit| *limit == u32::MAX) {
            return None;
        }
        let mut usages = self.usages.borrow_mut();
        let usage = usages.entry(cluster.id).or_insert_with(|| self.shared.usage(cluster.id));
        Some(Arc::clone(usage))
    }

    /// The failure for a request or a connection beyond the limits of its cluster.
    pub(crate) fn overflow(&self, _full: Full) -> Failure {
        self.recorder.count(Counter::PoolOverflows, 1);
        Kind::Overflow.into()
    }

    /// Labels of the workload at the other end: those of the mesh, else what its proven
    /// identity says. Without one its address tells the workload, but no principal. Only
    /// identities that our authorities have issued get here, so that they are few; beyond the
    /// limit they are not told apart.
    pub(crate) fn peer_labels(&self, snapshot: &Snapshot, client: &Client) -> Arc<WorkloadLabels> {
        let identity = client.identity.as_ref();
        let known = snapshot.peer_by(client.peer.ip(), identity);
        let (known, identity) = match (known, identity) {
            (Some(known), None) => return self.without_principal(known),
            (None, None) => return Arc::clone(&self.unknown_workload),
            (known, Some(identity)) => (known, identity),
        };
        if let Some(known) = known {
            return Arc::clone(known);
        }
        if let Some(discovery) = &self.shared.discovery {
            discovery.ask_peer(client.peer.ip());
        }
        let mut strangers = self.strangers.borrow_mut();
        if let Some(known) = strangers.get(identity) {
            return Arc::clone(known);
        }
        if strangers.len() >= MAX_STRANGERS {
            return Arc::clone(&self.unknown_workload);
        }
        let labels = meshcore_model::LabelIds::of_process().workload(WorkloadLabels {
            workload: identity.service_account().into(),
            namespace: identity.namespace().into(),
            principal: identity.as_str().into(),
            canonical_service: identity.service_account().into(),
            ..WorkloadLabels::default()
        });
        strangers.insert(identity.clone(), Arc::clone(&labels));
        labels
    }

    /// The workload at a peer's address, which has not proven that it is its principal.
    fn without_principal(&self, known: &Arc<WorkloadLabels>) -> Arc<WorkloadLabels> {
        let mut unproven = self.unproven.borrow_mut();
        let place = Arc::as_ptr(known).addr();
        if let Some((_, stripped)) = unproven.get(&place) {
            return Arc::clone(stripped);
        }
        if unproven.len() >= MAX_STRANGERS {
            unproven.clear();
        }
        let labels = WorkloadLabels { principal: "".into(), ..WorkloadLabels::clone(known) };
        let stripped = meshcore_model::LabelIds::of_process().workload(labels);
        unproven.insert(place, (Arc::clone(known), Arc::clone(&stripped)));
        stripped
    }

    /// Whole seconds since the worker began.
    pub(crate) fn now_s(&self) -> u64 {
        self.waits.now_s()
    }

    /// Milliseconds since the worker began.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Counts a TLS handshake that succeeded, on the side that `counter` names.
    pub(crate) fn count_handshake(&self, counter: Counter, connection: &rustls::CommonState) {
        self.recorder.count(counter, 1);
        if connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed) {
            self.recorder.count(Counter::HandshakesResumed, 1);
        }
    }

    /// Counts a connection that policy denied.
    pub(crate) fn count_denied(&self, failure: &Failure) {
        if failure.kind() == Kind::Denied {
            self.recorder.count_by(Labelled::RequestsDenied, &failure.reason(), 1);
        }
    }

    /// Serves until it is told to drain, then until all connections have ended, the time is up,
    /// or it is told to stop.
    pub(crate) async fn run_until_drained(
        &self,
        mut phase: watch::Receiver<Phase>,
        accepting: Vec<JoinHandle<()>>,
        within: Duration,
    ) {
        let is_over = phase.wait_for(|phase| *phase > Phase::Serving).await.is_err();
        for accept in accepting {
            accept.abort();
        }
        if is_over {
            return;
        }
        self.waits.drain();
        let open = self.waits.len();
        let draining = pin!(async {
            while self.waits.len() > 0 {
                sleep(DRAIN_POLL).await;
                self.waits.drain();
            }
        });
        tokio::select! {
            _late = timeout(within, draining) => {}
            _stopped = phase.wait_for(|phase| *phase == Phase::Stopped) => {}
        }
        let cut = self.waits.len();
        self.recorder.count(Counter::DrainedConnections, open.saturating_sub(cut) as u64);
        self.recorder.count(Counter::DrainCutConnections, cut as u64);
    }

    /// Runs a loop on this worker until it is aborted, whatever panics in it.
    pub(crate) fn spawn_for_ever<F: Future<Output = ()> + 'static>(
        self: &Rc<Self>,
        begin: impl Fn(Rc<Self>) -> F + 'static,
    ) -> JoinHandle<()> {
        let worker = Rc::clone(self);
        let recorder = self.recorder.clone();
        tokio::task::spawn_local(for_ever(recorder, move || begin(Rc::clone(&worker))))
    }

    /// Looks after everything that has a time limit, once a second, for ever.
    pub(crate) async fn tick(self: Rc<Self>) {
        loop {
            let now_s = self.started.elapsed().as_secs();
            self.waits.tick(now_s);
            self.pools.sweep(now_s, self.shared.trust_epoch());
            if now_s.is_multiple_of(TRIM_EVERY_S) {
                trim_pool(KEPT_BUFFERS);
                release_free_memory();
            }
            drop(self.snapshot());
            self.access.flush(&self);
            self.telemetry.flush(&self);
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Gives idle connections of full clusters up, for ever, when requests wait for their place.
    pub(crate) async fn yield_connections(self: Rc<Self>) {
        loop {
            let wanted = self.shared.connection_wanted();
            self.pools.yield_wanted();
            wanted.await;
        }
    }

    /// Ends what can be ended while memory is short, for ever.
    pub(crate) async fn relieve(self: Rc<Self>) {
        let mut before = Pressure::None;
        loop {
            let looked = self.shared.overload.looked();
            let now = pressure();
            self.waits.press(now > Pressure::None);
            // Not at the first look: who was just told to go has said so by the second.
            if now == Pressure::Critical && before > Pressure::None {
                let cut = self.waits.cut(|| self.random().is_multiple_of(CUT_ONE_OF));
                self.recorder.count(Counter::ConnectionsCut, cut);
                tokio::task::yield_now().await; // they end, and free what they had
            }
            before = now;
            if now == Pressure::None {
                looked.await;
            } else {
                trim_pool(0);
                release_free_memory();
                sleep(RELIEF_PAUSE).await;
            }
        }
    }

    /// Forgets clusters that are gone, and closes idle connections to endpoints that are. Ids
    /// are never given again, so a connection under a living id is good.
    fn take_over(&self, now: &Snapshot) {
        self.access.take_over(self.shared.access.read().as_ref());
        self.loads.borrow_mut().trim();
        self.health.borrow_mut().trim(self.now_ms());
        self.unproven.borrow_mut().clear();
        self.usages.borrow_mut().retain(|id, _| now.has_cluster(*id));
        self.outliers.borrow_mut().retain(|id, _| now.has_cluster(*id));
        let living: hashbrown::HashSet<_, RandomState> =
            now.clusters().flat_map(|cluster| cluster.endpoints.iter().map(|one| one.id)).collect();
        self.pools.retain(|key| match key {
            UpstreamKey::Endpoint(id) | UpstreamKey::Host(id, _) => living.contains(id),
            // What the cluster asks for may have changed, and nothing says so.
            UpstreamKey::Original(..) => false,
            UpstreamKey::Application(_) | UpstreamKey::Address(_) => true,
        });
    }
}
