//! The hooks by their number.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use meshcore_model::Hook;
use parking_lot::Mutex;

use super::entry::{Callee, Entry};
use super::process::Process;

pub(crate) type Entries = HashMap<u32, Arc<Entry>, RandomState>;

/// Hooks in force, and those that calls under way may still name.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: ArcSwap<Entries>,
    /// Hooks no longer named, kept until a thread that is attached drops them.
    retired: Mutex<Vec<Arc<Entry>>>,
}

// === impl Table ===

impl Table {
    pub(crate) fn find(&self, id: u32) -> Option<Arc<Entry>> {
        self.entries().get(&id).cloned()
    }

    /// All hooks by their numbers, without counting who looks.
    pub(crate) fn entries(&self) -> Guard<Arc<Entries>> {
        self.entries.load()
    }

    /// The hooks in force, in the order of their numbers: not those that only calls under way
    /// may still name.
    pub(crate) fn in_force(&self) -> Vec<Arc<Entry>> {
        let mut all = self.all();
        all.retain(|entry| !entry.is_leaving());
        all
    }

    /// The processes that hooks in force are in, each once.
    pub(crate) fn processes(&self) -> Vec<Arc<Process>> {
        processes_of(&self.in_force())
    }

    /// All hooks, in the order of their numbers.
    fn all(&self) -> Vec<Arc<Entry>> {
        let mut all: Vec<_> = self.entries.load().values().cloned().collect();
        all.sort_unstable_by_key(|entry| entry.hook.id);
        all
    }

    pub(crate) fn add(&self, hooks: Vec<(Hook, Callee)>) {
        self.change(|entries| {
            for (hook, callee) in hooks {
                // A hook that is known keeps what was learned of it.
                entries.entry(hook.id).or_insert_with(|| Arc::new(Entry::new(hook, callee)));
            }
        });
    }

    /// Keeps these and the ones that were kept last.
    pub(crate) fn retire_others(&self, ids: &[u32]) {
        self.change(|entries| {
            entries.retain(|id, entry| entry.stays(ids.contains(id)));
        });
        let in_force = self.processes();
        for process in processes_of(&self.all()) {
            if !in_force.iter().any(|known| Arc::ptr_eq(known, &process)) {
                process.retire();
            }
        }
    }

    pub(crate) fn withdraw(&self, ids: &[u32]) {
        self.change(|entries| entries.retain(|id, _| !ids.contains(id)));
    }

    /// Called attached: what nobody has any more is dropped here.
    fn change(&self, edit: impl FnOnce(&mut Entries)) {
        let mut retired = self.retired.lock();
        let before = self.entries.load_full();
        let mut entries = Entries::clone(&before);
        edit(&mut entries);
        let gone = before.iter().filter(|(id, _)| !entries.contains_key(*id));
        retired.extend(gone.map(|(_, entry)| Arc::clone(entry)));
        self.entries.store(Arc::new(entries));
        drop(before);
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut *retired)
            .into_iter()
            .partition(|entry| Arc::strong_count(entry) > 1);
        *retired = kept;
        drop(retired);
        drop(gone);
    }
}

/// The processes that hooks are in, each once.
pub(crate) fn processes_of(entries: &[Arc<Entry>]) -> Vec<Arc<Process>> {
    let mut found: Vec<Arc<Process>> = Vec::new();
    for (process, _) in entries.iter().filter_map(|entry| entry.outside.as_ref()) {
        if !found.iter().any(|known| Arc::ptr_eq(known, process)) {
            found.push(Arc::clone(process));
        }
    }
    found
}
