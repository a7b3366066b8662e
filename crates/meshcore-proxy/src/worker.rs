//! A worker: one thread with its own listeners, pools, buffers and counters.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use meshcore_balance::{Health, Loads};
use meshcore_model::{ServiceLabels, WorkloadLabels};
use meshcore_snapshot::{Cluster, ClusterId, Reader, Snapshot};
use meshcore_telemetry::Recorder;

use crate::access::AccessBatch;
use crate::buffer::trim_pool;
use crate::dial::UpstreamKey;
use crate::hooks::DecisionCache;
use crate::pool::{Pools, Usage};
use crate::shared::Shared;
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
    pub(crate) decisions: DecisionCache,
    pub(crate) access: AccessBatch,
    pub(crate) unknown_workload: Arc<WorkloadLabels>,
    pub(crate) passthrough: Arc<ServiceLabels>,
    pub(crate) black_hole: Arc<ServiceLabels>,
    reader: RefCell<Reader>,
    usages: RefCell<HashMap<ClusterId, Arc<Usage>, RandomState>>,
    random: Cell<u64>,
    started: Instant,
}

/// Buffers kept through a quiet time; the rest is given back.
const KEPT_BUFFERS: usize = 8;

/// Ticks between two times that unused buffers are given back.
const TRIM_EVERY_S: u64 = 10;

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, seed: u64) -> Rc<Self> {
        let service = |name: &str| {
            meshcore_model::LabelIds::of_process().service(ServiceLabels {
                name: name.into(),
                ..ServiceLabels::default()
            })
        };
        Rc::new(Self {
            recorder: shared.registry.recorder(),
            reader: RefCell::new(shared.cell.reader()),
            pools: Pools::default(),
            waits: Rc::new(Waits::default()),
            loads: RefCell::default(),
            health: RefCell::default(),
            decisions: DecisionCache::default(),
            access: AccessBatch::default(),
            unknown_workload: Arc::new(WorkloadLabels::default()),
            passthrough: service("PassthroughCluster"),
            black_hole: service("BlackHoleCluster"),
            usages: RefCell::default(),
            random: Cell::new(seed | 1),
            started: Instant::now(),
            shared,
        })
    }

    /// The snapshot in force. A request keeps the one it began with.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        let mut reader = self.reader.borrow_mut();
        if let Some(before) = reader.refresh() {
            self.take_over(&before, reader.held());
            self.shared.retire(before);
        }
        Arc::clone(reader.held())
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
        let unlimited = [
            limits.max_connections,
            limits.max_pending,
            limits.max_requests,
            limits.max_retries,
        ];
        if unlimited.iter().all(|limit| *limit == u32::MAX) {
            return None;
        }
        let mut usages = self.usages.borrow_mut();
        let usage =
            usages.entry(cluster.id).or_insert_with(|| self.shared.usage(cluster.id));
        Some(Arc::clone(usage))
    }

    /// Whole seconds since the worker began.
    pub(crate) fn now_s(&self) -> u64 {
        self.waits.now_s()
    }

    /// Looks after everything that has a time limit, once a second, for ever.
    pub(crate) async fn tick(self: Rc<Self>) {
        let mut every = tokio::time::interval(Duration::from_secs(1));
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let now_s = self.started.elapsed().as_secs();
            self.waits.tick(now_s);
            self.pools.sweep(now_s);
            if now_s.is_multiple_of(TRIM_EVERY_S) {
                trim_pool(KEPT_BUFFERS);
            }
            drop(self.snapshot());
            self.access.flush(&self.recorder);
            if self.shared.is_draining() {
                self.waits.drain();
            }
        }
    }

    /// Closes idle connections to endpoints that are gone. Ids are never given again, so a
    /// connection under a living id is good.
    fn take_over(&self, before: &Snapshot, now: &Snapshot) {
        if before.revision == now.revision {
            return;
        }
        let living: hashbrown::HashSet<_, RandomState> =
            now.clusters().flat_map(|cluster| cluster.endpoints.iter().map(|one| one.id)).collect();
        self.pools.retain(|key| match key {
            UpstreamKey::Endpoint(id) => living.contains(id),
            UpstreamKey::Address(_) => true,
        });
    }
}
