//! What all workers of a process share. Nothing here is written while a request is carried,
//! except the counts of clusters with limits.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use hashbrown::HashMap;
use meshcore_model::{Hook, Listen, Mesh};
use meshcore_snapshot::{ClusterId, Rejected, Snapshot, SnapshotCell, SnapshotWriter, Stale};
use meshcore_telemetry::Registry;
use meshcore_tls::{Materials, MeshTls, Originator};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::access::AccessLog;
use crate::control::with_first_answers;
use crate::discovery::Discovery;
use crate::gateway::{ListenError, Listeners, Terminations};
use crate::hooks::HookHost;
use crate::overload::Overload;
use crate::pool::Usage;

/// Shared by all workers and the control thread.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) cell: Arc<SnapshotCell>,
    /// Our certificate and whom we trust; `None` speaks plain text alone.
    pub(crate) tls: Option<Arc<MeshTls>>,
    pub(crate) originator: Originator,
    /// TLS that ends at a gateway.
    pub(crate) terminations: Terminations,
    /// Listeners of a gateway.
    pub(crate) listeners: Listeners,
    pub(crate) registry: Registry,
    pub(crate) hooks: Arc<dyn HookHost>,
    /// Who knows more of the mesh; `None` when all of it is in the snapshot.
    pub(crate) discovery: Option<Arc<dyn Discovery>>,
    pub(crate) access: RwLock<Option<Arc<AccessLog>>>,
    /// Where we listen.
    pub(crate) listen: Listen,
    pub(crate) overload: Overload,
    change: Mutex<Change>,
    changed: Notify,
    /// A request waits for a connection of a full cluster.
    scarce: Notify,
    trust_epoch: AtomicU64,
    workers: AtomicUsize,
    ended: Notify,
    /// Kept by the workers and requests that count in them.
    usages: Mutex<HashMap<ClusterId, Weak<Usage>>>,
    retired: Retired<Snapshot>,
}

/// What a change changes.
#[derive(Debug)]
struct Change {
    writer: SnapshotWriter,
    hooks: Vec<Hook>,
}

/// Why a snapshot was not put in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Rejected(#[from] Rejected),
    #[error(transparent)]
    Stale(#[from] Stale),
    #[error(transparent)]
    Listen(#[from] ListenError),
}

impl Shared {
    pub(crate) fn new(
        snapshot: (Snapshot, Vec<Hook>),
        tls: Option<Arc<MeshTls>>,
        registry: Registry,
        hooks: Arc<dyn HookHost>,
        (listen, listeners): (Listen, Listeners),
    ) -> Self {
        let (cell, writer) = SnapshotCell::new(snapshot.0);
        Self {
            cell,
            tls,
            originator: Originator::new(),
            terminations: Terminations::default(),
            listeners,
            registry,
            hooks,
            discovery: None,
            access: RwLock::new(None),
            listen,
            overload: Overload::default(),
            change: Mutex::new(Change { writer, hooks: snapshot.1 }),
            changed: Notify::new(),
            scarce: Notify::new(),
            trust_epoch: AtomicU64::new(0),
            workers: AtomicUsize::new(0),
            ended: Notify::new(),
            usages: Mutex::default(),
            retired: Retired::default(),
        }
    }

    /// Compiles a revision and puts it in force. `before_store` runs when it is known to be
    /// good; its error keeps everything as it is.
    pub(crate) fn apply<E: From<Refused>>(
        &self,
        mesh: &Mesh,
        hooks: Option<Vec<Hook>>,
        before_store: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut change = self.change.lock();
        let before = self.cell.load();
        let hooks = hooks.unwrap_or_else(|| change.hooks.clone());
        let snapshot = Snapshot::compile(mesh, &before.node, &hooks, Some(&before))
            .map_err(|rejected| E::from(Refused::Rejected(rejected)))?;
        if snapshot.revision < before.revision {
            let stale = Stale { current: before.revision, offered: snapshot.revision };
            return Err(E::from(Refused::Stale(stale)));
        }
        let snapshot = with_first_answers(snapshot);
        let listeners = self.listeners.prepare(&snapshot).map_err(|error| E::from(error.into()))?;
        before_store()?;
        if let Some(gateway) = &snapshot.gateway {
            self.terminations.prepare(gateway);
        }
        let retired = change.writer.store(snapshot).map_err(|stale| E::from(stale.into()))?;
        self.listeners.publish(listeners);
        change.hooks = hooks;
        drop(change);
        self.retire(retired);
        self.changed.notify_waiters();
        Ok(())
    }

    /// Puts new addresses of a name in force.
    pub(crate) fn resolved(&self, host: &str, addresses: &[IpAddr]) {
        let mut change = self.change.lock();
        let Some(snapshot) = self.cell.load().with_resolved(host, addresses) else { return };
        if let Ok(retired) = change.writer.store(snapshot) {
            drop(change);
            self.retire(retired);
        }
    }

    /// The next change, counted from this call.
    pub(crate) fn changed(&self) -> impl Future<Output = ()> {
        self.changed.notified()
    }

    /// Asks all workers to close an idle connection of a cluster that is full.
    pub(crate) fn want_connection(&self) {
        self.scarce.notify_waiters();
    }

    /// The next time that a connection of a full cluster is wanted, counted from this call.
    pub(crate) fn connection_wanted(&self) -> impl Future<Output = ()> {
        self.scarce.notified()
    }

    /// The counts of a cluster, which outlive its snapshots while something is counted.
    pub(crate) fn usage(&self, cluster: ClusterId) -> Arc<Usage> {
        let mut usages = self.usages.lock();
        if let Some(known) = usages.get(&cluster).and_then(Weak::upgrade) {
            return known;
        }
        usages.retain(|_, usage| usage.strong_count() > 0);
        let usage = Arc::default();
        usages.insert(cluster, Arc::downgrade(&usage));
        usage
    }

    /// Connections and requests of a cluster with limits, at the moment.
    pub(crate) fn usage_of(&self, cluster: ClusterId) -> Option<(u32, u32)> {
        self.usages.lock().get(&cluster).and_then(Weak::upgrade).map(|usage| usage.now())
    }

    /// Whether connecting to `address` would come back to us.
    pub(crate) fn is_own(&self, address: SocketAddr) -> bool {
        let listen = &self.listen;
        let others = [listen.outbound_other, listen.inbound_other];
        [listen.outbound, listen.inbound, listen.hbone]
            .into_iter()
            .chain(others)
            .flatten()
            .any(|own| leads_to(address, own, self.cell.load().node.address))
            || self.listeners.has(address)
    }

    /// Whether `address` is where our application's calls come in.
    pub(crate) fn is_own_outbound(&self, address: SocketAddr) -> bool {
        [self.listen.outbound, self.listen.outbound_other]
            .into_iter()
            .flatten()
            .any(|own| leads_to(address, own, self.cell.load().node.address))
    }

    /// Uses a new certificate from now on.
    pub(crate) fn rotate(&self, tls: &MeshTls, materials: Materials) {
        tls.rotate(materials);
        self.trust_epoch.fetch_max(tls.trust_epoch(), Ordering::Release);
    }

    /// How often our identity or our trust changed. A connection of an older epoch carries no
    /// further request: its peer may no longer be trusted.
    pub(crate) fn trust_epoch(&self) -> u64 {
        self.trust_epoch.load(Ordering::Acquire)
    }

    /// A worker began.
    pub(crate) fn worker_began(&self) {
        self.workers.fetch_add(1, Ordering::Relaxed);
    }

    /// A worker ended.
    pub(crate) fn worker_ended(&self) {
        if self.workers.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.ended.notify_one();
        }
    }

    /// Waits until the last worker has ended.
    pub(crate) async fn last_worker_ended(&self) {
        self.ended.notified().await;
    }

    /// Workers that run.
    pub(crate) fn workers(&self) -> u64 {
        self.workers.load(Ordering::Relaxed) as u64
    }

    /// Whether no worker is left.
    pub(crate) fn has_ended_workers(&self) -> bool {
        self.workers.load(Ordering::Relaxed) == 0
    }

    /// Takes a snapshot that somebody is done with, to be freed on the control thread.
    pub(crate) fn retire(&self, snapshot: Arc<Snapshot>) {
        self.retired.put(snapshot);
    }

    /// Frees the snapshots that nobody uses any more.
    pub(crate) fn free_retired(&self) {
        self.retired.free();
    }
}

/// What somebody is done with, until nobody uses it any more: freeing it takes time, which the
/// workers do not have.
#[derive(Debug)]
struct Retired<T>(Mutex<Vec<Arc<T>>>);

impl<T> Default for Retired<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Retired<T> {
    /// Keeps one reference, however many bring theirs: it is the last one then.
    fn put(&self, value: Arc<T>) {
        let mut all = self.0.lock();
        if !all.iter().any(|known| Arc::ptr_eq(known, &value)) {
            all.push(value);
        }
    }

    fn free(&self) {
        let mut all = self.0.lock();
        let (used, free): (Vec<_>, Vec<_>) =
            all.drain(..).partition(|value| Arc::strong_count(value) > 1);
        *all = used;
        drop(all);
        drop(free);
    }
}

/// Whether a connection to `to` is taken by the listener `own` of the workload at `node`. One
/// that listens on all addresses has those of the workload and of loopback; the address of no
/// host at all reaches this one.
fn leads_to(to: SocketAddr, own: SocketAddr, node: IpAddr) -> bool {
    let (to_ip, own_ip) = (to.ip().to_canonical(), own.ip().to_canonical());
    let is_here = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified() || ip == node;
    to.port() == own.port()
        && (to_ip == own_ip
            || to_ip.is_unspecified() && is_here(own_ip)
            || own_ip.is_unspecified() && is_here(to_ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_are_done_with_is_freed() {
        let retired = Retired::default();
        let value = Arc::new("snapshot");
        let watched = Arc::downgrade(&value);
        let request = Arc::clone(&value);
        for _worker in 0..3 {
            retired.put(Arc::clone(&value));
        }
        drop(value);
        retired.free();
        assert!(watched.upgrade().is_some(), "a request uses it");
        drop(request);
        retired.free();
        assert!(watched.upgrade().is_none());
    }

    #[test]
    fn a_listener_has_many_addresses() {
        let node = IpAddr::from([10, 0, 0, 7]);
        for (to, own, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:2", "127.0.0.1:1", false),
            ("127.0.0.2:1", "127.0.0.1:1", false),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("[::ffff:127.0.0.1]:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "10.0.0.8:1", false),
            ("127.0.0.9:1", "0.0.0.0:1", true),
            ("10.0.0.7:1", "0.0.0.0:1", true),
            ("10.0.0.8:1", "0.0.0.0:1", false),
            ("[::1]:1", "[::]:1", true),
        ] {
            let (to, own) = (to.parse().unwrap(), own.parse().unwrap());
            assert_eq!(leads_to(to, own, node), expected, "{to} {own}");
        }
    }
}
