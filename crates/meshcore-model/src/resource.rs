//! One resource, as it travels from a control plane to a sidecar.

use serde::{Deserialize, Serialize};

use crate::{Authorization, Credential, Gateway, PeerAuth, Route, Service, Settings};
use crate::{TrafficPolicy, Trust, Workload, WorkloadGroup};

/// One resource of the mesh. As JSON it is an object with one field, the kind in `snake_case`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Settings of the whole mesh.
    Settings(Box<Settings>),
    /// A service.
    Service(Box<Service>),
    /// A workload.
    Workload(Box<Workload>),
    /// Rules for requests to hosts.
    Route(Box<Route>),
    /// How a client talks to a service.
    TrafficPolicy(Box<TrafficPolicy>),
    /// Whether workloads take plain text.
    PeerAuth(Box<PeerAuth>),
    /// Who may call.
    Authorization(Box<Authorization>),
    /// Servers of gateways.
    Gateway(Box<Gateway>),
    /// A certificate and its key; only for gateways of its namespace.
    Credential(Box<Credential>),
    /// What workloads that register themselves have in common.
    WorkloadGroup(Box<WorkloadGroup>),
    /// Whom the mesh trusts.
    Trust(Box<Trust>),
    /// The names of the resources that a key stands for, in order; none when there is nothing.
    Found(Vec<String>),
}
