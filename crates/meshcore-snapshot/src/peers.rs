//! Who is behind an address or an identity.

use std::net::IpAddr;
use std::sync::Arc;

use meshcore_model::Identity;
use meshcore_model::WorkloadLabels;

use crate::map::Map;

/// The workloads of the mesh by address and by identity.
#[derive(Debug, Default)]
pub struct Peers {
    pub(crate) addresses: Map<IpAddr, Vec<Arc<WorkloadLabels>>>,
    /// What all workloads of an identity have in common.
    pub(crate) identities: Map<Box<str>, Arc<WorkloadLabels>>,
}

impl Peers {
    /// The workload that calls from `address` with `identity`.
    ///
    /// An identity is proof and the address only a hint: a workload at the address counts only
    /// when it has the identity. Without one at the address, what all workloads of the identity
    /// have in common is known. Without an identity, the address must be of just one workload.
    pub fn find(
        &self,
        address: IpAddr,
        identity: Option<&Identity>,
    ) -> Option<&Arc<WorkloadLabels>> {
        let here = self.addresses.get(&address.to_canonical()).map_or(&[][..], Vec::as_slice);
        match (identity, here) {
            (Some(identity), here) => here
                .iter()
                .find(|labels| &*labels.principal == identity.as_str())
                .or_else(|| self.identities.get(identity.as_str())),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}
