//! What metrics and logs say about a workload or a service.

use std::sync::Arc;

use meshcore_model::Labels;

use crate::ids::LabelId;

/// What stands where nothing is known. Source: Istio's standard metrics.
pub const UNKNOWN: &str = "unknown";

/// Labels of a workload, with an id that stands for all of them.
///
/// Equality and hash do not look at the id: it follows from the rest.
#[derive(Debug, Clone)]
pub struct WorkloadLabels {
    /// Stands for all the fields below.
    pub id: LabelId,
    /// Name of the workload.
    pub workload: Arc<str>,
    /// Namespace of the workload.
    pub namespace: Arc<str>,
    /// Its identity as a URI.
    pub principal: Arc<str>,
    /// Label `app`.
    pub app: Arc<str>,
    /// Label `version`.
    pub version: Arc<str>,
    /// Canonical service.
    pub canonical_service: Arc<str>,
    /// Canonical revision.
    pub canonical_revision: Arc<str>,
    /// Cluster it runs in.
    pub cluster: Arc<str>,
}

impl WorkloadLabels {
    /// Labels of a workload of this name.
    ///
    /// Source: Istio's `labels.CanonicalService` and `CanonicalServiceRevision` for the order
    /// in which labels are looked at; `Kubernetes` is Istio's name of the first cluster.
    pub(crate) fn of(name: &str, namespace: &str, principal: &str, labels: &Labels) -> Self {
        let first = |keys: &[&str], or: &str| -> Arc<str> {
            keys.iter().find_map(|key| labels.get(*key)).map_or(or, String::as_str).into()
        };
        Self {
            id: LabelId::UNKNOWN,
            workload: name.into(),
            namespace: namespace.into(),
            principal: principal.into(),
            app: first(&["app"], UNKNOWN),
            version: first(&["version"], UNKNOWN),
            canonical_service: first(
                &["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"],
                name,
            ),
            canonical_revision: first(
                &["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"],
                "latest",
            ),
            cluster: first(&["topology.istio.io/cluster"], "Kubernetes"),
        }
    }

    /// Labels of a workload of which nothing is known.
    pub fn unknown() -> Self {
        let unknown: Arc<str> = UNKNOWN.into();
        Self {
            id: LabelId::UNKNOWN,
            workload: Arc::clone(&unknown),
            namespace: Arc::clone(&unknown),
            principal: Arc::clone(&unknown),
            app: Arc::clone(&unknown),
            version: Arc::clone(&unknown),
            canonical_service: Arc::clone(&unknown),
            canonical_revision: Arc::clone(&unknown),
            cluster: unknown,
        }
    }

    /// What both have in common; where they differ, it is not known.
    pub(crate) fn common(&self, other: &Self) -> Self {
        let same = |a: &Arc<str>, b: &Arc<str>| -> Arc<str> {
            if a == b { Arc::clone(a) } else { UNKNOWN.into() }
        };
        Self {
            id: LabelId::UNKNOWN,
            workload: same(&self.workload, &other.workload),
            namespace: same(&self.namespace, &other.namespace),
            principal: same(&self.principal, &other.principal),
            app: same(&self.app, &other.app),
            version: same(&self.version, &other.version),
            canonical_service: same(&self.canonical_service, &other.canonical_service),
            canonical_revision: same(&self.canonical_revision, &other.canonical_revision),
            cluster: same(&self.cluster, &other.cluster),
        }
    }

    fn parts(&self) -> [&str; 8] {
        [
            &self.workload,
            &self.namespace,
            &self.principal,
            &self.app,
            &self.version,
            &self.canonical_service,
            &self.canonical_revision,
            &self.cluster,
        ]
    }
}

impl PartialEq for WorkloadLabels {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for WorkloadLabels {}

impl std::hash::Hash for WorkloadLabels {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

/// Labels of a service, with an id that stands for all of them.
///
/// Equality and hash do not look at the id: it follows from the rest.
#[derive(Debug, Clone)]
pub struct ServiceLabels {
    /// Stands for all the fields below.
    pub id: LabelId,
    /// Fully qualified host.
    pub host: Arc<str>,
    /// Short name.
    pub name: Arc<str>,
    /// Namespace.
    pub namespace: Arc<str>,
}

impl ServiceLabels {
    pub(crate) fn new(host: &str, name: &str, namespace: &str) -> Self {
        Self {
            id: LabelId::UNKNOWN,
            host: host.into(),
            name: name.into(),
            namespace: namespace.into(),
        }
    }

    /// Labels of a service of which nothing is known.
    pub fn unknown() -> Self {
        Self::new(UNKNOWN, UNKNOWN, UNKNOWN)
    }

    fn parts(&self) -> [&str; 3] {
        [&self.host, &self.name, &self.namespace]
    }
}

impl PartialEq for ServiceLabels {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for ServiceLabels {}

impl std::hash::Hash for ServiceLabels {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_names_follow_istios_order() {
        let labels = |pairs: &[(&str, &str)]| -> Labels {
            pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
        };
        let of = |pairs: &[(&str, &str)]| {
            let found = WorkloadLabels::of("web-1", "prod", "spiffe://a/ns/b/sa/c", &labels(pairs));
            (found.canonical_service.to_string(), found.canonical_revision.to_string())
        };
        assert_eq!(of(&[]), ("web-1".into(), "latest".into()));
        assert_eq!(of(&[("app", "web"), ("version", "v1")]), ("web".into(), "v1".into()));
        assert_eq!(
            of(&[
                ("app", "web"),
                ("app.kubernetes.io/name", "shop"),
                ("app.kubernetes.io/version", "7")
            ]),
            ("shop".into(), "7".into())
        );
        assert_eq!(
            of(&[("app", "web"), ("service.istio.io/canonical-name", "canon")]),
            ("canon".into(), "latest".into())
        );
    }

    #[test]
    fn where_two_differ_nothing_is_known() {
        let one = WorkloadLabels::of("a", "prod", "p", &Labels::new());
        let two = WorkloadLabels::of("b", "prod", "p", &Labels::new());
        let common = one.common(&two);
        assert_eq!(&*common.workload, UNKNOWN);
        assert_eq!(&*common.namespace, "prod");
    }
}
