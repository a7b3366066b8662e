//! Who called whom, as Istio's metric labels; numbered once, so that counting a request
//! compares integers only.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

/// Labels of a workload, as `source_*` or `destination_*` in Istio's metrics.
///
/// An empty text is a value that is not known; metrics show it as `unknown` (the canonical
/// revision as `latest`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkloadLabels {
    /// Number given by [`LabelIds::workload`]; what is written here before is ignored.
    /// 0 is the workload of which nothing is known.
    pub id: u32,
    /// Name of the workload (of the deployment, not of one instance).
    pub workload: Box<str>,
    /// Namespace of the workload.
    pub namespace: Box<str>,
    /// Identity with its scheme: `spiffe://...`.
    pub principal: Box<str>,
    /// Label `app`.
    pub app: Box<str>,
    /// Label `version`.
    pub version: Box<str>,
    /// Cluster the workload runs in.
    pub cluster: Box<str>,
    /// Canonical name of the service the workload belongs to.
    pub canonical_service: Box<str>,
    /// Canonical revision of the workload.
    pub canonical_revision: Box<str>,
}

/// Labels of a service, as `destination_service*` in Istio's metrics. An empty text is a value
/// that is not known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceLabels {
    /// Number given by [`LabelIds::service`]; what is written here before is ignored.
    /// 0 is the service of which nothing is known.
    pub id: u32,
    /// Host, such as `reviews.prod.svc.cluster.local`.
    pub host: Box<str>,
    /// Short name, or `PassthroughCluster`, `BlackHoleCluster`.
    pub name: Box<str>,
    /// Namespace of the service.
    pub namespace: Box<str>,
}

/// Numbers label sets: the same content has the same number for the life of the process.
///
/// Nothing is ever forgotten, so only configuration may be numbered here, never what a peer
/// sends (a `Host` header would be a way to fill the memory).
#[derive(Debug, Default)]
pub struct LabelIds {
    workloads: RwLock<Numbers<WorkloadLabels>>,
    services: RwLock<Numbers<ServiceLabels>>,
}

impl LabelIds {
    /// The numbers of this process. Snapshots and recorders that meet must use the same.
    pub fn of_process() -> &'static Self {
        static IDS: LazyLock<LabelIds> = LazyLock::new(LabelIds::default);
        &IDS
    }

    /// The workload's labels with their number.
    pub fn workload(&self, labels: WorkloadLabels) -> Arc<WorkloadLabels> {
        intern(&self.workloads, labels)
    }

    /// The service's labels with their number.
    pub fn service(&self, labels: ServiceLabels) -> Arc<ServiceLabels> {
        intern(&self.services, labels)
    }
}

#[derive(Debug)]
struct Numbers<T> {
    known: HashSet<ByContent<T>>,
    last: u32,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self { known: HashSet::new(), last: 0 }
    }
}

fn intern<T: Numbered>(numbers: &RwLock<Numbers<T>>, mut labels: T) -> Arc<T> {
    labels.number(0);
    let mut wanted = ByContent(Arc::new(labels));
    // No panic can leave a set half numbered, so a poisoned lock is still good.
    let known = numbers.read().unwrap_or_else(PoisonError::into_inner).known.get(&wanted).cloned();
    if let Some(known) = known {
        return known.0;
    }
    let mut numbers = numbers.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = numbers.known.get(&wanted) {
        return Arc::clone(&known.0);
    }
    // Number 0 belongs to the set of which nothing is known. The memory ends long before the
    // numbers do.
    if wanted.0.content().iter().any(|text| !text.is_empty()) {
        numbers.last = numbers.last.saturating_add(1);
        if let Some(labels) = Arc::get_mut(&mut wanted.0) {
            labels.number(numbers.last);
        }
    }
    numbers.known.insert(wanted.clone());
    wanted.0
}

/// A set of labels that carries its number.
trait Numbered {
    fn number(&mut self, id: u32);
    fn content(&self) -> [&str; 8];
}

impl Numbered for WorkloadLabels {
    fn number(&mut self, id: u32) {
        self.id = id;
    }

    fn content(&self) -> [&str; 8] {
        [
            &self.workload,
            &self.namespace,
            &self.principal,
            &self.app,
            &self.version,
            &self.cluster,
            &self.canonical_service,
            &self.canonical_revision,
        ]
    }
}

impl Numbered for ServiceLabels {
    fn number(&mut self, id: u32) {
        self.id = id;
    }

    fn content(&self) -> [&str; 8] {
        [&self.host, &self.name, &self.namespace, "", "", "", "", ""]
    }
}

/// Labels compared by their texts alone.
#[derive(Debug)]
struct ByContent<T>(Arc<T>);

impl<T> Clone for ByContent<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Numbered> PartialEq for ByContent<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.content() == other.0.content()
    }
}

impl<T: Numbered> Eq for ByContent<T> {}

impl<T: Numbered> Hash for ByContent<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.content().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web(version: &str) -> WorkloadLabels {
        WorkloadLabels { workload: "web".into(), version: version.into(), ..Default::default() }
    }

    #[test]
    fn same_content_has_the_same_number() {
        let ids = LabelIds::default();
        let first = ids.workload(web("v1"));
        let other = ids.workload(web("v2"));
        let again = ids.workload(WorkloadLabels { id: 99, ..web("v1") });
        assert_eq!(first.id, again.id);
        assert!(Arc::ptr_eq(&first, &again));
        assert_ne!(first.id, other.id);
        assert_ne!(first.id, 0);
    }

    #[test]
    fn nothing_known_is_number_zero_whenever_it_comes() {
        let ids = LabelIds::default();
        assert_eq!(ids.service(ServiceLabels { name: "a".into(), ..Default::default() }).id, 1);
        assert_eq!(ids.service(ServiceLabels::default()).id, 0);
        assert_eq!(ids.service(ServiceLabels { name: "b".into(), ..Default::default() }).id, 2);
    }

    #[test]
    fn texts_do_not_run_into_each_other() {
        let ids = LabelIds::default();
        let one = ids.service(ServiceLabels { host: "a".into(), ..Default::default() });
        let two = ids.service(ServiceLabels { name: "a".into(), ..Default::default() });
        assert_ne!(one.id, two.id);
    }

    #[test]
    fn threads_agree_on_numbers() {
        let ids = LabelIds::default();
        let number = |from: u32| {
            (0..100).map(|n| ids.workload(web(&((n + from) % 100).to_string())).id).sum::<u32>()
        };
        std::thread::scope(|scope| {
            let sums = [0, 33, 66].map(|from| scope.spawn(move || number(from)));
            for sum in sums {
                assert_eq!(sum.join().unwrap(), 5050);
            }
        });
    }
}
