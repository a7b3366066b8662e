//! Which traffic policy this node follows towards a service.

use std::sync::Arc;

use meshcore_model::{ExportTo, Mesh, Node, Origin, Policy, Service, Subset, TrafficPolicy};

use crate::map::Map;
use crate::rejected::Rejected;

use super::scope::age;

/// Traffic policies by namespace and host.
pub(super) struct Policies<'a> {
    client: &'a str,
    root: &'a str,
    namespaces: Map<&'a str, Namespace>,
}

#[derive(Default)]
struct Namespace {
    /// By host as it is written, wildcards included.
    hosts: Map<Box<str>, Merged>,
}

/// The documents of one namespace for one host, as one.
#[derive(Debug, Clone)]
pub(super) struct Merged {
    pub(super) origin: Arc<Origin>,
    pub(super) policy: Policy,
    pub(super) subsets: Vec<Subset>,
    /// Some document of these is seen outside the namespace.
    exported: bool,
}

impl<'a> Policies<'a> {
    /// Merges the policies that this node may follow.
    pub(super) fn new(mesh: &'a Mesh, node: &'a Node) -> Result<Self, Rejected> {
        let mut policies = Self {
            client: &node.namespace,
            root: &mesh.settings.root_namespace,
            namespaces: Map::default(),
        };
        let mut sorted: Vec<&TrafficPolicy> = mesh.traffic_policies.iter().collect();
        sorted.sort_by(|a, b| age(&a.created, &a.origin).cmp(&age(&b.created, &b.origin)));
        let (selected, general): (Vec<_>, Vec<_>) =
            sorted.into_iter().partition(|policy| policy.workload_selector.is_some());
        for policy in general {
            policies.add(policy, Merged::join)?;
        }
        // A policy for this workload alone lies over the general one. Of several, the oldest
        // comes last, and so on top.
        for policy in selected.into_iter().rev() {
            let selects = policy.workload_selector.as_ref().is_some_and(|selector| {
                policy.origin.namespace == node.namespace && selector.selects(&node.labels)
            });
            if selects {
                policies.add(policy, Merged::cover)?;
            }
        }
        Ok(policies)
    }

    fn add(
        &mut self,
        policy: &'a TrafficPolicy,
        merge: fn(&mut Merged, Merged),
    ) -> Result<(), Rejected> {
        let owner = policy.origin.namespace.as_str();
        let exported = ExportTo::is_visible(&policy.export_to, owner, self.client);
        if owner != self.client && !exported {
            return Ok(());
        }
        for (index, subset) in policy.subsets.iter().enumerate() {
            if subset.name.is_empty() || subset.name.contains('|') {
                let field = format!("subsets[{index}].name");
                let reason = "a subset needs a name without `|`";
                return Err(Rejected::new(&policy.origin, field, reason));
            }
        }
        let new = Merged {
            origin: Arc::new(policy.origin.clone()),
            policy: policy.policy.clone(),
            subsets: policy.subsets.clone(),
            exported,
        };
        let hosts = &mut self.namespaces.entry(owner).or_default().hosts;
        match hosts.get_mut(&*policy.host) {
            Some(merged) => merge(merged, new),
            None => drop(hosts.insert(policy.host.as_str().into(), new)),
        }
        Ok(())
    }

    /// The policy towards a service. The first namespace with any policy for the host decides:
    /// the client's, the service's, the root; there, the most specific host.
    ///
    /// Source: Istio's `PushContext.destinationRule`.
    pub(super) fn find(&self, service: &Service) -> Option<&Merged> {
        let own = (self.client != self.root).then_some(self.client);
        let scopes = [own, Some(service.namespace.as_str()), Some(self.root)];
        scopes.into_iter().flatten().find_map(|namespace| {
            let merged = self.namespaces.get(namespace)?.most_specific(&service.host)?;
            (merged.exported || namespace == self.client).then_some(merged)
        })
    }
}

impl Namespace {
    fn most_specific(&self, host: &str) -> Option<&Merged> {
        self.hosts
            .get(host)
            .or_else(|| wildcards(host).find_map(|wildcard| self.hosts.get(&*wildcard)))
    }
}

/// The wildcards that cover a host, most specific first.
pub(super) fn wildcards(host: &str) -> impl Iterator<Item = String> {
    let bare = host.strip_prefix("*.").unwrap_or(host);
    let own = (bare.len() < host.len()).then(|| host.to_owned());
    let dots = bare.match_indices('.').map(|(at, _)| format!("*{}", bare.get(at..).unwrap_or("")));
    own.into_iter().chain(dots).chain(["*".to_owned()])
}

impl Merged {
    /// The older document keeps its policy, if it has one, and its subsets.
    fn join(&mut self, younger: Self) {
        if self.policy == Policy::default() {
            self.policy = younger.policy;
        }
        self.add_subsets(younger.subsets);
        self.exported |= younger.exported;
    }

    /// The document on top overrides a block at a time, and its subsets come first.
    fn cover(&mut self, top: Self) {
        let mut merged = top.clone();
        merged.policy = over(&self.policy, &top.policy);
        merged.policy.ports = if top.policy.ports.is_empty() {
            std::mem::take(&mut self.policy.ports)
        } else {
            top.policy.ports
        };
        merged.add_subsets(std::mem::take(&mut self.subsets));
        *self = merged;
    }

    fn add_subsets(&mut self, more: Vec<Subset>) {
        for subset in more {
            if self.subsets.iter().all(|known| known.name != subset.name) {
                self.subsets.push(subset);
            }
        }
    }

    /// The blocks in force for a port, and for one of the subsets there.
    ///
    /// Source: Istio's `MergeTrafficPolicy`: a port's policy replaces, a subset's overrides.
    pub(super) fn effective(&self, port: u16, subset: Option<&Subset>) -> Policy {
        let whole = at_port(&self.policy, port).unwrap_or(&self.policy);
        match subset {
            None => over(whole, &Policy::default()),
            Some(subset) => match at_port(&subset.policy, port) {
                Some(replacing) => replacing.clone(),
                None => over(whole, &subset.policy),
            },
        }
    }
}

fn at_port(policy: &Policy, port: u16) -> Option<&Policy> {
    policy.ports.iter().find(|(number, _)| *number == port).map(|(_, policy)| policy)
}

/// `top` where it says something, else `base`; without ports.
fn over(base: &Policy, top: &Policy) -> Policy {
    Policy {
        load_balancer: top.load_balancer.or(base.load_balancer),
        connection_pool: top.connection_pool.as_ref().or(base.connection_pool.as_ref()).cloned(),
        outlier_detection: top
            .outlier_detection
            .as_ref()
            .or(base.outlier_detection.as_ref())
            .cloned(),
        tls: top.tls.as_ref().or(base.tls.as_ref()).cloned(),
        ports: Vec::new(),
    }
}
