//! What is in force for one node.

use std::net::IpAddr;
use std::sync::Arc;

use meshcore_model::WorkloadLabels;
use meshcore_model::{Hook, Identity, Mesh, Node, Settings};

use crate::cluster::Cluster;
use crate::compile;
use crate::gateway::Gateway;
use crate::hooks::Hooks;
use crate::ids::{ClusterId, EndpointIds, Ids};
use crate::inbound::Inbound;
use crate::outbound::Outbound;
use crate::peers::Peers;
use crate::rejected::Rejected;

/// What is in force for one node, ready to be asked by every request. Never changes.
#[derive(Debug)]
pub struct Snapshot {
    /// Revision of the mesh it was made of.
    pub revision: u64,
    /// The node.
    pub node: Node,
    /// Settings of the mesh.
    pub settings: Settings,
    /// Labels of the node.
    pub workload: Arc<WorkloadLabels>,
    /// Where the node's calls go.
    pub outbound: Arc<Outbound>,
    /// What the node serves.
    pub inbound: Arc<Inbound>,
    /// What the node serves as a gateway; `None` when it is none.
    pub gateway: Option<Arc<Gateway>>,
    /// Python hooks.
    pub hooks: Arc<Hooks>,
    pub(crate) clusters: Clusters,
    pub(crate) peers: Arc<Peers>,
    pub(crate) ids: Arc<Ids>,
    pub(crate) endpoint_ids: EndpointIds,
}

/// Clusters by id. Ids of clusters that are gone have an empty slot.
#[derive(Debug, Clone)]
pub(crate) struct Clusters {
    pub(crate) slots: Vec<Option<Arc<Cluster>>>,
    /// What an id of another snapshot gives: a cluster without endpoints.
    pub(crate) nowhere: Arc<Cluster>,
}

impl Snapshot {
    /// Compiles the mesh for one node. Ids, and whatever did not change, are taken over from
    /// `previous`.
    ///
    /// # Errors
    ///
    /// [`Rejected`] names the first document that cannot be put in force; nothing of the
    /// revision is.
    pub fn compile(
        mesh: &Mesh,
        node: &Node,
        hooks: &[Hook],
        previous: Option<&Self>,
    ) -> Result<Self, Rejected> {
        compile::compile(mesh, node, hooks, previous)
    }

    /// The cluster of this id. An id of another snapshot gives a cluster without endpoints.
    pub fn cluster(&self, id: ClusterId) -> &Arc<Cluster> {
        let slot = self.clusters.slots.get(id.index()).and_then(Option::as_ref);
        slot.unwrap_or(&self.clusters.nowhere)
    }

    /// Whether the cluster is in this snapshot.
    pub fn has_cluster(&self, id: ClusterId) -> bool {
        self.clusters.slots.get(id.index()).is_some_and(Option::is_some)
    }

    /// The cluster of a host's port and subset (empty is the whole service).
    pub fn cluster_of(&self, host: &str, port: u16, subset: &str) -> Option<&Arc<Cluster>> {
        let id = self.ids.cluster_named(&format!("outbound|{port}|{subset}|{host}"))?;
        self.clusters.slots.get(id.index()).and_then(Option::as_ref)
    }

    /// All clusters.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.clusters.slots.iter().flatten()
    }

    /// Labels of the workload that calls from an address, with its identity if it proved one.
    pub fn peer_by(
        &self,
        address: IpAddr,
        identity: Option<&Identity>,
    ) -> Option<&Arc<WorkloadLabels>> {
        self.peers.find(address, identity)
    }

    /// The same with new addresses for a name, in all clusters that resolve it. `None` when
    /// nothing changes.
    #[must_use]
    pub fn with_resolved(&self, host: &str, addresses: &[IpAddr]) -> Option<Self> {
        compile::resolve(self, host, addresses)
    }
}
