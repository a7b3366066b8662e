//! What of the mesh this node sees.

use meshcore_model::{ExportTo, Labels, Mesh, Node, Origin, Service, ServicePort, Workload};

use crate::map::Map;
use crate::rejected::Rejected;

use super::modes::Modes;
use super::policies::Policies;

/// The mesh as this node sees it, indexed.
pub(super) struct Scope<'a> {
    pub(super) mesh: &'a Mesh,
    pub(super) node: &'a Node,
    /// Visible services, each host once.
    pub(super) services: Vec<&'a Service>,
    pub(super) modes: Modes<'a>,
    pub(super) policies: Policies<'a>,
    workloads: Members<'a>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(mesh: &'a Mesh, node: &'a Node) -> Result<Self, Rejected> {
        Ok(Self {
            mesh,
            node,
            services: visible_services(mesh, node),
            modes: Modes::new(mesh),
            policies: Policies::new(mesh, node)?,
            workloads: Members::new(mesh),
        })
    }

    /// The workloads behind a service.
    pub(super) fn members<'s>(&self, service: &'s Service) -> Vec<&'s Workload>
    where
        'a: 's,
    {
        match &service.selector {
            None => service.endpoints.iter().collect(),
            Some(selector) => self.workloads.selected(&service.namespace, &selector.0),
        }
    }

    /// The names under which this node may call a host, the full one first. Source: DNS search
    /// domains of Kubernetes pods.
    pub(super) fn names<'b>(&self, service: &'b Service) -> Vec<&'b str> {
        let host = service.host.as_str();
        let mut names = vec![host];
        let suffix = format!(".{}.svc.{}", service.namespace, self.mesh.settings.domain);
        let Some(short) = host.strip_suffix(&suffix).filter(|short| !short.contains(['.', '*']))
        else {
            return names;
        };
        let with = |rest: usize| host.get(..short.len().saturating_add(rest)).unwrap_or(host);
        let namespace = service.namespace.len().saturating_add(1);
        names.push(with(namespace));
        names.push(with(namespace.saturating_add(".svc".len())));
        if service.namespace == self.node.namespace {
            names.push(short);
        }
        names
    }
}

/// Older first; without a time, by name.
pub(super) fn age<'a>(created: &'a str, origin: &'a Origin) -> (&'a str, &'a str, &'a str) {
    (created, &origin.name, &origin.namespace)
}

/// The port of a workload behind a service's port; `None` when it does not have one.
pub(super) fn target_port(port: &ServicePort, workload: &Workload) -> Option<u16> {
    if let Some(name) = &port.target_port_name {
        let named = workload.ports.get(name).or_else(|| workload.ports.get(&port.name));
        return named.copied().or(port.target_port);
    }
    let named = workload.ports.get(&port.name).copied();
    Some(named.or(port.target_port).unwrap_or(port.number))
}

/// A host that several documents claim is the one of the node's own namespace, then the oldest.
fn visible_services<'a>(mesh: &'a Mesh, node: &Node) -> Vec<&'a Service> {
    let is_visible = |service: &&Service| {
        ExportTo::is_visible(&service.export_to, &service.namespace, &node.namespace)
    };
    let mut services: Vec<&Service> = mesh.services.iter().filter(is_visible).collect();
    services.sort_by(|a, b| {
        let key = |service: &Service| service.namespace != node.namespace;
        key(a)
            .cmp(&key(b))
            .then_with(|| age(&a.created, &a.origin).cmp(&age(&b.created, &b.origin)))
    });
    let mut seen = crate::map::Set::default();
    services.retain(|service| seen.insert(service.host.as_str()));
    services
}

/// Workloads by namespace and by label.
struct Members<'a> {
    namespaces: Map<&'a str, Vec<&'a Workload>>,
    labels: Map<(&'a str, &'a str, &'a str), Vec<&'a Workload>>,
}

impl<'a> Members<'a> {
    fn new(mesh: &'a Mesh) -> Self {
        let mut members = Self { namespaces: Map::default(), labels: Map::default() };
        for workload in &mesh.workloads {
            let namespace = workload.namespace.as_str();
            members.namespaces.entry(namespace).or_default().push(workload);
            for (key, value) in &workload.labels {
                members.labels.entry((namespace, key, value)).or_default().push(workload);
            }
        }
        members
    }

    /// The workloads of a namespace with all of these labels, in the order of the mesh.
    fn selected(&self, namespace: &str, labels: &Labels) -> Vec<&'a Workload> {
        let lists =
            labels.iter().map(|(key, value)| self.labels.get(&(namespace, &**key, &**value)));
        let shortest = lists.min_by_key(|list| list.map_or(0, Vec::len));
        let candidates = match shortest {
            Some(list) => list,
            None => self.namespaces.get(namespace),
        };
        let has_all = |workload: &&&Workload| {
            labels.iter().all(|(key, value)| workload.labels.get(key) == Some(value))
        };
        candidates.into_iter().flatten().filter(has_all).copied().collect()
    }
}
