//! Who is behind an address or an identity.

use std::sync::Arc;

use meshcore_model::{Workload, WorkloadLabels};

use crate::labels;
use crate::map::Map;
use crate::peers::Peers;
use crate::rejected::Rejected;

use super::scope::Scope;

/// Enters all workloads of the mesh, whoever sees their services.
pub(super) fn build(scope: &Scope<'_>) -> Result<Peers, Rejected> {
    let mesh = scope.mesh;
    let listed = mesh.services.iter().flat_map(|service| &service.endpoints);
    let mut peers = Peers::default();
    let mut common: Map<Box<str>, WorkloadLabels> = Map::default();
    for workload in mesh.workloads.iter().chain(listed) {
        let labels = labels_of(scope, workload)?;
        common
            .entry(labels.principal.as_ref().into())
            .and_modify(|so_far| *so_far = labels::common(so_far, &labels))
            .or_insert_with(|| labels.clone());
        let Some(address) = super::ip(&workload.address) else { continue };
        let labels = labels::numbered_workload(labels);
        let here = peers.addresses.entry(address).or_default();
        if here.iter().all(|known| !Arc::ptr_eq(known, &labels)) {
            here.push(labels);
        }
    }
    peers.identities =
        common.into_iter().map(|(uri, labels)| (uri, labels::numbered_workload(labels))).collect();
    Ok(peers)
}

fn labels_of(scope: &Scope<'_>, workload: &Workload) -> Result<WorkloadLabels, Rejected> {
    let (namespace, account) = (&workload.namespace, &workload.service_account);
    let identity = super::identity(scope, &workload.origin, namespace, account)?;
    Ok(labels::workload(&workload.name, namespace, identity.as_str(), &workload.labels))
}
