//! The counters of all workers, added up for a scrape.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;

use super::counters::{Labelled, Level};
use super::key::{PeerIds, RequestIds};
use super::recorder::Recorder;
use super::series::{LabelledSeries, RequestSeries, Shared, TcpSeries};

/// How a [`Registry`] is set up.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// Version shown by `istio_build`.
    pub version: String,
    /// Most request series, and most TCP series, of one worker; what comes after is counted
    /// in a series whose labels say `overflow`.
    pub max_series: usize,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self { version: env!("CARGO_PKG_VERSION").into(), max_series: 20_000 }
    }
}

/// All counters of a process. A scrape adds up what the workers counted without stopping
/// them, so that numbers counted together may be seen a moment apart.
#[derive(Debug)]
pub struct Registry {
    options: RegistryOptions,
    levels: [AtomicI64; Level::ALL.len()],
    workers: Mutex<Vec<Arc<Shared>>>,
    merged: Mutex<Merged>,
}

impl Registry {
    /// A registry without workers.
    pub fn new(options: RegistryOptions) -> Self {
        Self {
            options,
            levels: std::array::from_fn(|_| AtomicI64::default()),
            workers: Mutex::default(),
            merged: Mutex::default(),
        }
    }

    /// Counters for the calling thread. What is counted stays in the totals when they are
    /// dropped.
    pub fn recorder(&self) -> Recorder {
        let shared = Arc::new(Shared::default());
        self.workers.lock().push(Arc::clone(&shared));
        Recorder::new(shared, self.options.max_series)
    }

    /// Sets a number of the process.
    pub fn set(&self, level: Level, to: i64) {
        if let Some(cell) = self.levels.get(level as usize) {
            cell.store(to, Ordering::Relaxed);
        }
    }

    pub(super) fn version(&self) -> &str {
        &self.options.version
    }

    pub(super) fn level(&self, level: Level) -> i64 {
        self.levels.get(level as usize).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    /// Runs `read` on the merged series, new ones included.
    pub(super) fn read<R>(&self, read: impl FnOnce(&[Arc<Shared>], &Merged) -> R) -> R {
        let workers = self.workers.lock().clone();
        let mut merged = self.merged.lock();
        for worker in &workers {
            merged.requests.admit(worker.requests.take(), |series| series.ids);
            merged.tcp.admit(worker.tcp.take(), |series| series.ids);
            merged
                .labelled
                .admit(worker.labelled.take(), |series| (series.family, series.value.clone()));
        }
        read(&workers, &merged)
    }
}

/// Series by key.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) requests: Groups<RequestIds, RequestSeries>,
    pub(super) tcp: Groups<PeerIds, TcpSeries>,
    pub(super) labelled: Groups<(Labelled, Box<str>), LabelledSeries>,
}

/// The workers' series of each key, in the order in which keys were first seen.
#[derive(Debug)]
pub(super) struct Groups<K, S> {
    places: HashMap<K, usize, RandomState>,
    groups: Vec<Group<S>>,
}

/// The workers' series of one key.
#[derive(Debug)]
pub(super) struct Group<S> {
    /// The first; its labels are those of all.
    pub(super) first: Arc<S>,
    others: Vec<Arc<S>>,
}

impl<K, S> Default for Groups<K, S> {
    fn default() -> Self {
        Self { places: HashMap::default(), groups: Vec::new() }
    }
}

impl<K: Eq + Hash, S> Groups<K, S> {
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Group<S>> {
        self.groups.iter()
    }

    fn admit(&mut self, unseen: Vec<Arc<S>>, key: impl Fn(&S) -> K) {
        for series in unseen {
            let next = self.groups.len();
            let place = *self.places.entry(key(&series)).or_insert(next);
            match self.groups.get_mut(place) {
                Some(group) => group.others.push(series),
                None => self.groups.push(Group { first: series, others: Vec::new() }),
            }
        }
    }
}

impl<S> Group<S> {
    pub(super) fn parts(&self) -> impl Iterator<Item = &S> {
        std::iter::once(&*self.first).chain(self.others.iter().map(|series| &**series))
    }
}
