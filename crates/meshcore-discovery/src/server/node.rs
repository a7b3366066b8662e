//! What a client says of itself in the first request of a stream.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use meshcore_model::Labels;
use prost_types::Struct;
use prost_types::value::Kind;

use crate::wire;
use crate::world::{Name, Own};

/// A client. All of it is what the client says, and nothing of it is proved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Unique in the mesh.
    pub(crate) id: String,
    pub(crate) namespace: String,
    /// Name of the workload.
    pub(crate) workload: String,
    /// `None` when it does not say.
    pub(crate) service_account: Option<String>,
    pub(crate) labels: Labels,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) locality: String,
    /// Name of the group that it registers with.
    pub(crate) group: Option<String>,
    /// Service that it registers for; `None` registers nothing.
    pub(crate) service: Option<String>,
    pub(crate) version: String,
    pub(crate) ports: BTreeMap<String, u16>,
    pub(crate) inbound_port: Option<u16>,
    pub(crate) hbone_port: Option<u16>,
    /// Whether it takes traffic before it says that it is healthy.
    pub(crate) starts_healthy: bool,
    /// Program and its version.
    pub(crate) agent: String,
}

/// Longest name of a workload, a namespace or the like. Source: DNS subdomains of Kubernetes.
const MAX_NAME_BYTES: usize = 253;
/// Longest key and value of a label. Source: Kubernetes, a prefix of 253 and a name of 63.
const MAX_LABEL_BYTES: usize = 317;
/// Most labels, ports and addresses that a client may have.
const MAX_LABELS: usize = 64;

impl Facts {
    /// Reads a node.
    ///
    /// # Errors
    ///
    /// What is missing or malformed, and how it is said.
    pub(crate) fn read(node: &wire::Node) -> Result<Self, String> {
        let metadata = Metadata(node.metadata.as_ref());
        // sidecar~<address>~<workload>.<namespace>~<namespace>.svc.<domain>
        let mut parts = node.id.split('~').skip(1);
        let (address, full) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let (workload, namespace) = full.rsplit_once('.').unwrap_or((full, ""));
        let or = |name: &str, other: &str| metadata.text(name).unwrap_or(other).to_owned();
        let addresses = or("INSTANCE_IPS", address);
        let facts = Self {
            id: name("node.id", node.id.clone())?,
            namespace: name("metadata.NAMESPACE", or("NAMESPACE", namespace))?,
            workload: name("metadata.WORKLOAD_NAME", or("WORKLOAD_NAME", workload))?,
            service_account: optional("SERVICE_ACCOUNT", &metadata)?,
            labels: metadata.labels("LABELS")?,
            addresses: addresses_of(&addresses)?,
            locality: locality(node, &metadata),
            group: optional("AUTO_REGISTER_GROUP", &metadata)?,
            service: optional("MESHCORE_SERVICE", &metadata)?,
            version: optional("MESHCORE_VERSION", &metadata)?.unwrap_or_default(),
            ports: ports(metadata.text("MESHCORE_PORTS").unwrap_or(""))?,
            inbound_port: metadata.port("MESHCORE_INBOUND_PORT")?,
            hbone_port: metadata.port("MESHCORE_HBONE_PORT")?,
            starts_healthy: metadata.text("MESHCORE_HEALTHY") != Some("false"),
            agent: shown(&node.user_agent_name, &node.user_agent_version),
        };
        Ok(facts)
    }

    /// Name of the resource that a workload registers as.
    pub(crate) fn resource(&self) -> Option<Name> {
        let address = self.addresses.first()?;
        Some(format!("workload/{}/{}@{address}", self.namespace, self.workload).into())
    }

    /// What is asked about it with the key `self`.
    pub(crate) fn own(&self) -> Own {
        let listed = format!("workload/{}/{}", self.namespace, self.workload).into();
        Own {
            workloads: [listed].into_iter().chain(self.resource()).collect(),
            labels: self.labels.clone(),
            addresses: self.addresses.clone(),
            group: self
                .group
                .as_ref()
                .map(|group| format!("group/{}/{group}", self.namespace).into()),
        }
    }
}

/// Fields of the metadata. Values are texts; ports may be numbers.
struct Metadata<'a>(Option<&'a Struct>);

impl Metadata<'_> {
    fn kind(&self, field: &str) -> Option<&Kind> {
        self.0?.fields.get(field)?.kind.as_ref()
    }

    /// A text that is not empty.
    fn text(&self, field: &str) -> Option<&str> {
        match self.kind(field)? {
            Kind::StringValue(text) => Some(text.as_str()).filter(|text| !text.is_empty()),
            Kind::NullValue(_)
            | Kind::NumberValue(_)
            | Kind::BoolValue(_)
            | Kind::StructValue(_)
            | Kind::ListValue(_) => None,
        }
    }

    fn port(&self, field: &str) -> Result<Option<u16>, String> {
        let wrong = || format!("metadata.{field} is a port, a number from 1 to 65535");
        let text = match self.kind(field) {
            None | Some(Kind::NullValue(_)) => return Ok(None),
            Some(Kind::StringValue(text)) if text.is_empty() => return Ok(None),
            Some(Kind::StringValue(text)) => text.clone(),
            Some(Kind::NumberValue(number)) => number.to_string(),
            Some(Kind::BoolValue(_) | Kind::StructValue(_) | Kind::ListValue(_)) => {
                return Err(wrong());
            }
        };
        text.parse().ok().filter(|port| *port != 0).map(Some).ok_or_else(wrong)
    }

    fn labels(&self, field: &str) -> Result<Labels, String> {
        let Some(kind) = self.kind(field) else { return Ok(Labels::new()) };
        let wrong = || {
            format!(
                "metadata.{field} is an object of at most {MAX_LABELS} texts, each of at most \
                 {MAX_LABEL_BYTES} bytes"
            )
        };
        let Kind::StructValue(labels) = kind else { return Err(wrong()) };
        let text = |(key, value): (&String, &prost_types::Value)| {
            let Some(Kind::StringValue(text)) = &value.kind else { return None };
            let is_short = key.len() <= MAX_LABEL_BYTES && text.len() <= MAX_LABEL_BYTES;
            is_short.then(|| (key.clone(), text.clone()))
        };
        let found: Option<Labels> = labels.fields.iter().map(text).collect();
        found.filter(|labels| labels.len() <= MAX_LABELS).ok_or_else(wrong)
    }
}

/// A name as namespaces, workloads and services have them.
fn name(field: &str, text: String) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'@');
    if text.is_empty() || text.len() > MAX_NAME_BYTES || !text.bytes().all(is_plain) {
        return Err(format!(
            "{field} is missing or no name: letters, digits, `-`, `_` and `.`, at most {MAX_NAME_BYTES}"
        ));
    }
    Ok(text)
}

fn optional(field: &str, metadata: &Metadata<'_>) -> Result<Option<String>, String> {
    let text = metadata.text(field).map(str::to_owned);
    text.map(|text| name(&format!("metadata.{field}"), text)).transpose()
}

fn addresses_of(text: &str) -> Result<Vec<IpAddr>, String> {
    let each = text.split(',').map(str::trim).filter(|one| !one.is_empty()).take(MAX_LABELS);
    let parse = |one: &str| {
        let wrong = || format!("metadata.INSTANCE_IPS has {one:?}, which is no IP address");
        one.parse::<IpAddr>().map(|address| address.to_canonical()).map_err(|_| wrong())
    };
    each.map(parse).collect()
}

/// `name:number`, with commas between.
fn ports(text: &str) -> Result<BTreeMap<String, u16>, String> {
    let each = text.split(',').map(str::trim).filter(|one| !one.is_empty()).take(MAX_LABELS);
    let parse = |one: &str| {
        let wrong = || format!("metadata.MESHCORE_PORTS has {one:?}, which is not name:number");
        let (name, number) = one.rsplit_once(':').ok_or_else(wrong)?;
        let number = number.parse().ok().filter(|number| *number != 0).ok_or_else(wrong)?;
        Ok((self::name("metadata.MESHCORE_PORTS", name.to_owned())?, number))
    };
    each.map(parse).collect()
}

fn locality(node: &wire::Node, metadata: &Metadata<'_>) -> String {
    if let Some(text) = metadata.text("LOCALITY") {
        return text.chars().take(MAX_NAME_BYTES).collect();
    }
    let Some(place) = &node.locality else { return String::new() };
    let parts = [place.region.as_str(), &place.zone, &place.sub_zone];
    let said = parts.into_iter().take_while(|part| !part.is_empty());
    said.collect::<Vec<_>>().join("/").chars().take(MAX_NAME_BYTES).collect()
}

fn shown(agent: &str, version: &str) -> String {
    let joined = [agent, version].join(" ");
    joined.trim().chars().filter(|letter| !letter.is_control()).take(MAX_NAME_BYTES).collect()
}

impl Facts {
    /// Shared, as many questions carry it.
    pub(crate) fn shared_own(&self) -> Arc<Own> {
        Arc::new(self.own())
    }
}
