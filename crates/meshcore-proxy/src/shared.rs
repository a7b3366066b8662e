//! What all workers of a process share. Nothing here is written while a request is carried,
//! except the counts of clusters with limits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashMap;
use meshcore_snapshot::{ClusterId, Snapshot, SnapshotCell};
use meshcore_telemetry::Registry;
use meshcore_tls::{MeshTls, Originator};
use parking_lot::{Mutex, RwLock};

use crate::access::AccessLog;
use crate::hooks::HookHost;
use crate::pool::Usage;

/// Shared by all workers and the control thread.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) cell: Arc<SnapshotCell>,
    /// Our certificate and whom we trust; `None` speaks plain text alone.
    pub(crate) tls: Option<Arc<MeshTls>>,
    pub(crate) originator: Originator,
    pub(crate) registry: Registry,
    pub(crate) hooks: Arc<dyn HookHost>,
    pub(crate) access: RwLock<Option<Arc<AccessLog>>>,
    /// Addresses we listen on: connecting to them would be a loop.
    pub(crate) own: Vec<SocketAddr>,
    pub(crate) draining: AtomicBool,
    usages: Mutex<HashMap<ClusterId, Arc<Usage>>>,
    retired: Mutex<Vec<Arc<Snapshot>>>,
}

impl Shared {
    pub(crate) fn new(
        cell: Arc<SnapshotCell>,
        tls: Option<Arc<MeshTls>>,
        registry: Registry,
        hooks: Arc<dyn HookHost>,
        own: Vec<SocketAddr>,
    ) -> Self {
        Self {
            cell,
            tls,
            originator: Originator::new(),
            registry,
            hooks,
            access: RwLock::new(None),
            own,
            draining: AtomicBool::new(false),
            usages: Mutex::default(),
            retired: Mutex::default(),
        }
    }

    /// The counts of a cluster, which outlive its snapshots.
    pub(crate) fn usage(&self, cluster: ClusterId) -> Arc<Usage> {
        Arc::clone(self.usages.lock().entry(cluster).or_default())
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Takes a snapshot that a worker is done with, to be freed elsewhere.
    pub(crate) fn retire(&self, snapshot: Arc<Snapshot>) {
        self.retired.lock().push(snapshot);
    }

    /// Frees what workers are done with.
    pub(crate) fn free_retired(&self) {
        let retired = std::mem::take(&mut *self.retired.lock());
        drop(retired);
    }
}
