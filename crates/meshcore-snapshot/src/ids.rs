//! Integers that stand for names, and how they stay the same from one snapshot to the next.

use std::sync::Arc;

use crate::map::Map;

/// A cluster. The same name keeps its id in later snapshots of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(u32);

impl ClusterId {
    /// No cluster of any snapshot.
    pub(crate) const NOWHERE: Self = Self(u32::MAX);

    /// Position in arrays that have a slot for every cluster.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// An endpoint of one cluster.
///
/// The id stays while cluster, address, protocol and transport do, and is never given to
/// another endpoint, so that connections kept under it can always be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(u32);

impl EndpointId {
    /// Position in arrays that have a slot for every endpoint.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The endpoint at `index`; for tests and tables that keep indexes.
    pub const fn from_index(index: u32) -> Self {
        Self(index)
    }
}

/// Ids for endpoints that had none. Each snapshot hands the counter to the next.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct EndpointIds(u32);

impl EndpointIds {
    /// An id that no endpoint had before.
    pub(crate) fn fresh(&mut self) -> EndpointId {
        let id = EndpointId(self.0);
        self.0 = self.0.saturating_add(1);
        id
    }
}

/// The ids given out so far. Each snapshot hands them to the next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ids {
    clusters: Map<Arc<str>, ClusterId>,
}

impl Ids {
    /// The id of the cluster of this name.
    pub(crate) fn cluster(&mut self, name: &Arc<str>) -> ClusterId {
        let next = ClusterId(u32::try_from(self.clusters.len()).unwrap_or(u32::MAX));
        *self.clusters.entry(Arc::clone(name)).or_insert(next)
    }

    /// The id of the cluster of this name, if it ever had one.
    pub(crate) fn cluster_named(&self, name: &str) -> Option<ClusterId> {
        self.clusters.get(name).copied()
    }

    /// How many clusters have an id.
    pub(crate) fn cluster_count(&self) -> usize {
        self.clusters.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_keeps_its_id() {
        let mut ids = Ids::default();
        let first = ids.cluster(&"a".into());
        let second = ids.cluster(&"b".into());
        assert_ne!(first, second);
        let mut later = ids.clone();
        assert_eq!(later.cluster(&"a".into()), first);
        assert_eq!(later.cluster_count(), 2);
    }
}
