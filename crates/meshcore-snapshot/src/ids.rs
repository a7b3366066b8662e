//! Integers that stand for names, and how they stay the same from one snapshot to the next.

use std::sync::Arc;

use crate::labels::{ServiceLabels, WorkloadLabels};
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

/// A set of labels of a workload or a service; 0 is what is not known.
///
/// The same labels keep their id in later snapshots of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LabelId(u32);

impl LabelId {
    /// Labels that are not known.
    pub const UNKNOWN: Self = Self(0);

    /// Position in arrays that have a slot for every set of labels.
    pub const fn index(self) -> usize {
        self.0 as usize
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
#[derive(Debug, Clone)]
pub(crate) struct Ids {
    clusters: Map<Arc<str>, ClusterId>,
    workloads: Map<WorkloadLabels, Arc<WorkloadLabels>>,
    services: Map<ServiceLabels, Arc<ServiceLabels>>,
    next_label: u32,
}

impl Default for Ids {
    fn default() -> Self {
        Self {
            clusters: Map::default(),
            workloads: Map::default(),
            services: Map::default(),
            next_label: 1,
        }
    }
}

impl Ids {
    /// The id of the cluster of this name.
    pub(crate) fn cluster(&mut self, name: &Arc<str>) -> ClusterId {
        let next = ClusterId(u32::try_from(self.clusters.len()).unwrap_or(u32::MAX));
        *self.clusters.entry(Arc::clone(name)).or_insert(next)
    }

    /// How many clusters have an id.
    pub(crate) fn cluster_count(&self) -> usize {
        self.clusters.len()
    }

    /// These labels with their id.
    pub(crate) fn workload(&mut self, labels: WorkloadLabels) -> Arc<WorkloadLabels> {
        if let Some(known) = self.workloads.get(&labels) {
            return Arc::clone(known);
        }
        let id = self.new_label();
        let shared = Arc::new(WorkloadLabels { id, ..labels.clone() });
        self.workloads.insert(labels, Arc::clone(&shared));
        shared
    }

    /// These labels with their id.
    pub(crate) fn service(&mut self, labels: ServiceLabels) -> Arc<ServiceLabels> {
        if let Some(known) = self.services.get(&labels) {
            return Arc::clone(known);
        }
        let id = self.new_label();
        let shared = Arc::new(ServiceLabels { id, ..labels.clone() });
        self.services.insert(labels, Arc::clone(&shared));
        shared
    }

    fn new_label(&mut self) -> LabelId {
        let id = LabelId(self.next_label);
        self.next_label = self.next_label.saturating_add(1);
        id
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

    #[test]
    fn equal_labels_are_one() {
        let mut ids = Ids::default();
        let labels = |name: &str| ServiceLabels::new(name, "web", "prod");
        let first = ids.service(labels("web.prod.svc.cluster.local"));
        let again = ids.service(labels("web.prod.svc.cluster.local"));
        let other = ids.service(labels("web.test.svc.cluster.local"));
        assert!(Arc::ptr_eq(&first, &again));
        assert_ne!(first.id, other.id);
        assert_ne!(first.id, LabelId::UNKNOWN);
    }
}
