//! What metrics and logs say about a workload or a service of the mesh.

use std::sync::Arc;

use meshcore_model::{LabelIds, Labels, ServiceLabels, WorkloadLabels};

/// Istio's name of the first cluster.
const CLUSTER: &str = "Kubernetes";

/// Labels of a workload of this name.
///
/// Source: Istio's `labels.CanonicalService` and `CanonicalServiceRevision` for the order in
/// which labels are looked at.
pub(crate) fn workload(
    name: &str,
    namespace: &str,
    principal: &str,
    labels: &Labels,
) -> WorkloadLabels {
    let first = |keys: &[&str], or: &str| -> Box<str> {
        keys.iter().find_map(|key| labels.get(*key)).map_or(or, String::as_str).into()
    };
    let name = first(&["service.istio.io/workload-name"], name);
    WorkloadLabels {
        id: 0,
        namespace: namespace.into(),
        principal: principal.into(),
        app: first(&["app"], ""),
        version: first(&["version"], ""),
        canonical_service: first(
            &["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"],
            &name,
        ),
        canonical_revision: first(
            &["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"],
            "",
        ),
        cluster: first(&["topology.istio.io/cluster"], CLUSTER),
        workload: name,
    }
}

/// What both have in common; where they differ, nothing is known.
pub(crate) fn common(one: &WorkloadLabels, other: &WorkloadLabels) -> WorkloadLabels {
    let same = |a: &str, b: &str| -> Box<str> { if a == b { a.into() } else { "".into() } };
    WorkloadLabels {
        id: 0,
        workload: same(&one.workload, &other.workload),
        namespace: same(&one.namespace, &other.namespace),
        principal: same(&one.principal, &other.principal),
        app: same(&one.app, &other.app),
        version: same(&one.version, &other.version),
        cluster: same(&one.cluster, &other.cluster),
        canonical_service: same(&one.canonical_service, &other.canonical_service),
        canonical_revision: same(&one.canonical_revision, &other.canonical_revision),
    }
}

/// Labels of a service.
pub(crate) fn service(host: &str, name: &str, namespace: &str) -> ServiceLabels {
    ServiceLabels { id: 0, host: host.into(), name: name.into(), namespace: namespace.into() }
}

/// These labels with the number that stands for them in this process.
pub(crate) fn numbered_workload(labels: WorkloadLabels) -> Arc<WorkloadLabels> {
    LabelIds::of_process().workload(labels)
}

/// These labels with the number that stands for them in this process.
pub(crate) fn numbered_service(labels: ServiceLabels) -> Arc<ServiceLabels> {
    LabelIds::of_process().service(labels)
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
            let found = workload("web-1", "prod", "spiffe://a/ns/b/sa/c", &labels(pairs));
            (found.canonical_service.to_string(), found.canonical_revision.to_string())
        };
        assert_eq!(of(&[]), ("web-1".into(), String::new()));
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
            ("canon".into(), String::new())
        );
    }

    #[test]
    fn a_workload_may_be_named_by_its_label() {
        let labels = [("service.istio.io/workload-name".to_owned(), "web-v1".to_owned())].into();
        assert_eq!(&*workload("web-v1-0", "prod", "", &labels).workload, "web-v1");
    }

    #[test]
    fn where_two_differ_nothing_is_known() {
        let one = workload("a", "prod", "p", &Labels::new());
        let two = workload("b", "prod", "p", &Labels::new());
        let common = common(&one, &two);
        assert_eq!(&*common.workload, "");
        assert_eq!(&*common.namespace, "prod");
    }
}
