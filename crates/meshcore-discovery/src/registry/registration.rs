//! What a workload registered, and the workload that it is.

use std::collections::BTreeMap;
use std::net::IpAddr;

use meshcore_model::WorkloadGroup;
use meshcore_model::{Identity, Labels, Origin, Resource, Selector, Service, Workload};
use serde::{Deserialize, Serialize};

use crate::server::Facts;
use crate::world::{Look, Name, World};

/// A workload that registered itself, as it is kept. The namespace and the service account are
/// those of the identity that it proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registration {
    pub(crate) identity: Identity,
    pub(crate) workload: String,
    /// Fully qualified, or as the client said it when there is no such service.
    pub(crate) service: String,
    pub(crate) group: Option<String>,
    pub(crate) version: String,
    pub(crate) labels: Labels,
    pub(crate) address: IpAddr,
    pub(crate) locality: String,
    pub(crate) ports: BTreeMap<String, u16>,
    pub(crate) inbound_port: Option<u16>,
    pub(crate) hbone_port: Option<u16>,
    pub(crate) is_healthy: bool,
}

impl Registration {
    /// Reads what a client registers; `None` when it registers nothing.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub(crate) fn read(
        world: &World,
        facts: &Facts,
        identity: &Identity,
    ) -> Result<Option<Self>, String> {
        let Some(service) = &facts.service else { return Ok(None) };
        let Some(address) = facts.addresses.first() else {
            return Err("metadata.INSTANCE_IPS is missing: say where the workload is".into());
        };
        let found = service_named(world, identity.namespace(), service);
        Ok(Some(Self {
            identity: identity.clone(),
            workload: facts.workload.clone(),
            service: found.map_or_else(|| service.clone(), |found| found.host.clone()),
            group: facts.group.clone(),
            version: facts.version.clone(),
            labels: facts.labels.clone(),
            address: *address,
            locality: facts.locality.clone(),
            ports: facts.ports.clone(),
            inbound_port: facts.inbound_port,
            hbone_port: facts.hbone_port,
            is_healthy: facts.starts_healthy,
        }))
    }

    /// Name of its resource: two workloads of a name are two at two addresses.
    pub(crate) fn resource(&self) -> Name {
        format!("workload/{}/{}@{}", self.identity.namespace(), self.workload, self.address).into()
    }

    /// The labels that the mesh gives it: those of its group, else of its service's selector.
    pub(crate) fn granted<'a>(&self, world: &'a World) -> Option<&'a Labels> {
        match &self.group {
            Some(_) => self.group_in(world).map(|group| &group.labels),
            None => {
                let selector = service_of(world, self.identity.namespace(), &self.service);
                selector.and_then(|service| service.selector.as_ref()).map(|selector| &selector.0)
            }
        }
    }

    /// The workload that others see.
    pub(crate) fn workload(&self, world: &World) -> Workload {
        let group = self.group_in(world);
        let app = self.service.split('.').next().unwrap_or(&self.service);
        let mut labels = Labels::from([("app".to_owned(), app.to_owned())]);
        if !self.version.is_empty() {
            labels.insert("version".to_owned(), self.version.clone());
        }
        labels.extend(self.labels.clone());
        labels.extend(self.granted(world).cloned().unwrap_or_default());
        let mut ports = group.map(|group| group.ports.clone()).unwrap_or_default();
        ports.extend(self.ports.clone());
        let locality = match (self.locality.as_str(), group) {
            ("", Some(group)) => group.locality.clone(),
            (own, _) => own.to_owned(),
        };
        Workload {
            origin: Origin {
                kind: "Registration".into(),
                namespace: self.identity.namespace().into(),
                name: self.workload.clone(),
                ..Origin::default()
            },
            name: self.workload.clone(),
            namespace: self.identity.namespace().into(),
            address: self.address.to_string(),
            ports,
            labels,
            service_account: self.identity.service_account().into(),
            locality,
            weight: group.map_or(1, |group| group.weight),
            mtls: true,
            inbound_port: self.inbound_port,
            hbone_port: self.hbone_port,
        }
    }

    fn group_name(&self) -> Option<String> {
        let group = self.group.as_ref()?;
        Some(format!("group/{}/{group}", self.identity.namespace()))
    }

    /// Its group, as documents have it now.
    pub(crate) fn group_in<'a>(&self, world: &'a World) -> Option<&'a WorkloadGroup> {
        let found = &*world.get(&self.group_name()?)?.resource;
        if let Resource::WorkloadGroup(group) = found { Some(group) } else { None }
    }
}

/// The service of a namespace that a name means there.
pub(crate) fn service_named<'a>(
    world: &'a World,
    namespace: &str,
    name: &str,
) -> Option<&'a Service> {
    let name = name.to_ascii_lowercase();
    let domain = &world.settings().domain;
    let own = format!(".{namespace}.svc.{domain}");
    let short = name.split('.').next().unwrap_or(&name);
    let full = format!("{short}{own}");
    let is_own = full.starts_with(&format!("{name}.")) || name == full;
    let own = is_own.then(|| service_of(world, namespace, &full)).flatten();
    own.or_else(|| service_of(world, namespace, &name))
}

/// The service of a host, in a namespace.
pub(crate) fn service_of<'a>(world: &'a World, namespace: &str, host: &str) -> Option<&'a Service> {
    services(world, &Look::Host(host.into())).find(|service| service.namespace == namespace)
}

/// The services at a place.
pub(crate) fn services<'a>(world: &'a World, look: &Look) -> impl Iterator<Item = &'a Service> {
    world.at(look).filter_map(|(_, resource)| {
        if let Resource::Service(service) = resource { Some(&**service) } else { None }
    })
}

/// Whether a selector has all labels of another: it selects nothing that the other does not.
pub(crate) fn is_narrower(selector: &Selector, than: &Selector) -> bool {
    than.selects(&selector.0)
}
