//! Services and the workloads behind them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Labels, Origin, Selector};

/// A name that clients call, with its ports and the workloads that answer.
///
/// Made of a Kubernetes `Service` or one host of an Istio `ServiceEntry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Document it was made of.
    pub origin: Origin,
    /// Fully qualified host in lower case; may begin with `*.`.
    pub host: String,
    /// Short name, for the label `destination_service_name`.
    pub name: String,
    /// Namespace it belongs to.
    pub namespace: String,
    /// Ports that clients may use.
    pub ports: Vec<ServicePort>,
    /// Virtual addresses, each an IP or a CIDR.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Addresses that nobody gave it, by which clients that ask DNS and are redirected find it,
    /// too. Nothing answers there.
    #[serde(default)]
    pub auto_addresses: Vec<String>,
    /// Whether it is part of the mesh.
    pub location: Location,
    /// How its endpoints are found.
    pub resolution: Resolution,
    /// Namespaces that see it; empty means all.
    #[serde(default)]
    pub export_to: Vec<ExportTo>,
    /// Names that the server's certificate may carry instead of the derived identities.
    #[serde(default)]
    pub subject_alt_names: Vec<String>,
    /// Selects workloads of its namespace by label; `None` when endpoints are listed.
    #[serde(default)]
    pub selector: Option<Selector>,
    /// Endpoints listed in the document itself.
    #[serde(default)]
    pub endpoints: Vec<Workload>,
    /// RFC 3339 creation time, empty when unknown: the older of two wins a conflict.
    #[serde(default)]
    pub created: String,
}

/// One port of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServicePort {
    /// Port that clients call.
    pub number: u16,
    /// Name of the port, unique in the service.
    pub name: String,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// Port of the workload; `None` is the same number.
    #[serde(default)]
    pub target_port: Option<u16>,
    /// Name of the workload's port, looked up in its `ports`.
    #[serde(default)]
    pub target_port_name: Option<String>,
}

/// What is spoken on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.
    Http,
    /// HTTP/2 without gRPC.
    Http2,
    /// gRPC over HTTP/2.
    Grpc,
    /// TLS that is not terminated here.
    Tls,
    /// Opaque bytes.
    Tcp,
    /// Not declared: found by the first bytes.
    Detect,
}

/// Whether a service is part of the mesh: only these get automatic mutual TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Location {
    /// Outside: no mutual TLS, no identity.
    External,
    /// Inside.
    Internal,
}

/// How the endpoints of a service are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// The address the client wanted.
    None,
    /// Listed or selected endpoints.
    Static,
    /// All addresses that DNS gives for the endpoints or the host.
    Dns,
    /// One address at a time, as DNS gives it.
    DnsRoundRobin,
}

/// Who sees a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportTo {
    /// Every namespace (`*`).
    All,
    /// The namespace of the document (`.`).
    Own,
    /// Nobody (`~`).
    Nobody,
    /// One namespace.
    Namespace(String),
}

impl ExportTo {
    /// Whether a client in `client` sees a resource of `owner` exported to `list`.
    pub fn is_visible(list: &[Self], owner: &str, client: &str) -> bool {
        list.is_empty()
            || list.iter().any(|to| match to {
                Self::All => true,
                Self::Own => owner == client,
                Self::Nobody => false,
                Self::Namespace(namespace) => namespace == client,
            })
    }
}

/// A running instance of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Document it was made of.
    pub origin: Origin,
    /// Name, for the labels `source_workload` and `destination_workload`.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// IP address, host name, or `unix://` path.
    pub address: String,
    /// Ports by name, where they differ from the service's target port.
    #[serde(default)]
    pub ports: BTreeMap<String, u16>,
    /// Labels that selectors and subsets look at.
    #[serde(default)]
    pub labels: Labels,
    /// Service account of its identity; `default` when the document has none.
    pub service_account: String,
    /// `region/zone/subzone`.
    #[serde(default)]
    pub locality: String,
    /// Share of traffic among the endpoints of a service.
    #[serde(default = "one")]
    pub weight: u32,
    /// It speaks the mesh's mutual TLS (label `security.istio.io/tlsMode: istio`).
    #[serde(default)]
    pub mtls: bool,
    /// Port on which its sidecar takes traffic when nothing redirects the workload's own ports
    /// to it (label `meshcore.io/inbound-port`).
    #[serde(default)]
    pub inbound_port: Option<u16>,
    /// Port on which its sidecar takes HBONE tunnels (label `networking.istio.io/tunnel: http`).
    #[serde(default)]
    pub hbone_port: Option<u16>,
}

const fn one() -> u32 {
    1
}
