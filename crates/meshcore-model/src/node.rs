//! Who a sidecar is.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{Identity, Labels};

/// The workload that a sidecar stands beside, and where the sidecar listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Name of the workload.
    pub name: String,
    /// Namespace of the workload.
    pub namespace: String,
    /// Labels of the workload.
    #[serde(default)]
    pub labels: Labels,
    /// Identity its certificate carries.
    pub identity: Identity,
    /// Address others reach the workload under.
    pub address: IpAddr,
    /// Ports of the application.
    #[serde(default)]
    pub ports: Vec<NodePort>,
    /// Where the sidecar listens.
    pub listen: Listen,
    /// Whether the kernel redirects the connections of the application, and those to it, to the
    /// sidecar.
    #[serde(default)]
    pub intercepted: bool,
}

/// A port of the application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodePort {
    /// Number that other workloads and policies know (the target port of services).
    pub number: u16,
    /// Where the application listens.
    pub application: SocketAddr,
}

/// Where a sidecar listens; `None` is not at all. Port 0 takes a free one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// For the application's calls (15001).
    #[serde(default)]
    pub outbound: Option<SocketAddr>,
    /// The same for the other family of addresses: IPv6, if `outbound` is IPv4.
    #[serde(default)]
    pub outbound_other: Option<SocketAddr>,
    /// For calls to the application (15006).
    #[serde(default)]
    pub inbound: Option<SocketAddr>,
    /// The same for the other family of addresses.
    #[serde(default)]
    pub inbound_other: Option<SocketAddr>,
    /// For HBONE tunnels to the application (15008).
    #[serde(default)]
    pub hbone: Option<SocketAddr>,
    /// Administration (15000); loopback.
    #[serde(default)]
    pub admin: Option<SocketAddr>,
    /// Health (15021).
    #[serde(default)]
    pub health: Option<SocketAddr>,
    /// Prometheus metrics (15090).
    #[serde(default)]
    pub metrics: Option<SocketAddr>,
    /// Names of the mesh over DNS, by UDP and TCP (15053); loopback.
    #[serde(default)]
    pub dns: Option<SocketAddr>,
    /// The same for the other family of addresses.
    #[serde(default)]
    pub dns_other: Option<SocketAddr>,
    /// Servers of gateways (no default); `None` is no gateway.
    #[serde(default)]
    pub gateway: Option<IpAddr>,
}
