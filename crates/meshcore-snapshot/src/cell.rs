//! The place where the snapshot in force is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::snapshot::Snapshot;

/// The snapshot in force. Written by one [`SnapshotWriter`], read through [`Reader`]s.
#[derive(Debug)]
pub struct SnapshotCell {
    snapshot: ArcSwap<Snapshot>,
    /// Grows after every swap, so that readers need not touch the snapshot to see one.
    generation: AtomicU64,
}

/// A snapshot older than the one in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stale {
    /// Revision in force.
    pub current: u64,
    /// Revision that was refused.
    pub offered: u64,
}

impl std::fmt::Display for Stale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "revision {} is older than {}, which is in force", self.offered, self.current)
    }
}

impl std::error::Error for Stale {}

impl SnapshotCell {
    /// A cell with its first snapshot, and the only writer it will ever have.
    pub fn new(snapshot: Snapshot) -> (Arc<Self>, SnapshotWriter) {
        let cell = Arc::new(Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            generation: AtomicU64::new(0),
        });
        let writer = SnapshotWriter { cell: Arc::clone(&cell) };
        (cell, writer)
    }

    /// The snapshot in force. For the control thread; workers use a [`Reader`].
    pub fn load(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// A reader for one worker.
    pub fn reader(self: &Arc<Self>) -> Reader {
        let generation = self.generation.load(Ordering::Acquire);
        Reader { snapshot: self.load(), cell: Arc::clone(self), generation }
    }
}

/// Puts snapshots in force. There is one for each cell.
#[derive(Debug)]
pub struct SnapshotWriter {
    cell: Arc<SnapshotCell>,
}

impl SnapshotWriter {
    /// Puts a snapshot in force and gives back the one before, to be dropped here and not on a
    /// worker. The same revision may come again, as with new addresses for its names.
    ///
    /// # Errors
    ///
    /// [`Stale`] when the revision is lower than the one in force, which then stays.
    pub fn store(&mut self, snapshot: Snapshot) -> Result<Arc<Snapshot>, Stale> {
        let current = self.cell.snapshot.load().revision;
        if snapshot.revision < current {
            return Err(Stale { current, offered: snapshot.revision });
        }
        let before = self.cell.snapshot.swap(Arc::new(snapshot));
        self.cell.generation.fetch_add(1, Ordering::Release);
        Ok(before)
    }
}

/// A worker's view of the cell: one comparison of an integer while nothing changes.
#[derive(Debug, Clone)]
pub struct Reader {
    cell: Arc<SnapshotCell>,
    snapshot: Arc<Snapshot>,
    generation: u64,
}

impl Reader {
    /// The snapshot in force. A request clones the `Arc` and keeps it to its end.
    pub fn current(&mut self) -> &Arc<Snapshot> {
        self.refresh();
        &self.snapshot
    }

    /// Takes over a newer snapshot. The one before is given back, so that a worker can send it
    /// to the control thread to be dropped there.
    pub fn refresh(&mut self) -> Option<Arc<Snapshot>> {
        let generation = self.cell.generation.load(Ordering::Acquire);
        if generation == self.generation {
            return None;
        }
        // The generation is read first: a swap in between is seen again at the next call.
        self.generation = generation;
        Some(std::mem::replace(&mut self.snapshot, self.cell.load()))
    }

    /// The snapshot as of the last refresh.
    pub fn held(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }
}
