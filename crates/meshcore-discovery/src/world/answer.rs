//! What a key stands for, in a namespace.

mod hosts;

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use meshcore_model::{CertificateSource, ExportTo, GatewayServer, Labels, Resource, Service};

use super::look::{Look, ip};
use super::stored::Name;
use super::{SETTINGS, TRUST, World};

/// Longest key. Source: RFC 1035 section 2.3.4 for hosts, and what stands before them.
const MAX_KEY_BYTES: usize = 300;

/// A question that many clients have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    pub(crate) namespace: Name,
    pub(crate) key: Key,
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// What the client itself needs: `self`.
    Own(Arc<Own>),
    /// What calls to a host need.
    Host(Box<str>),
    /// The workload at an address.
    Address(IpAddr),
    /// What a gateway with these labels serves; its keys only if it proved its namespace.
    Gateway { own: Arc<Own>, is_proved: bool },
    /// All that the namespace may see.
    Everything,
}

/// What is asked about a client itself.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Own {
    /// Names under which its workload may be known.
    pub(crate) workloads: Vec<Name>,
    /// Labels it says it has.
    pub(crate) labels: Labels,
    /// Where it is.
    pub(crate) addresses: Vec<IpAddr>,
    /// The group it registers with.
    pub(crate) group: Option<Name>,
}

/// The answer, and all that it depends on.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    pub(crate) names: BTreeSet<Name>,
    pub(crate) looked: HashSet<Look>,
}

impl Key {
    /// Reads a key; says what is wrong with it.
    pub(crate) fn parse(text: &str, own: &Arc<Own>, is_proved: bool) -> Result<Self, &'static str> {
        if text.len() > MAX_KEY_BYTES {
            return Err("a key has at most 300 bytes");
        }
        match text.split_once('/') {
            None if text == "self" => Ok(Self::Own(Arc::clone(own))),
            None if text == "*" => Ok(Self::Everything),
            None if text == "gateway" => Ok(Self::Gateway { own: Arc::clone(own), is_proved }),
            Some(("host", name)) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                let is_plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
                let name = is_plain.then(|| name.to_ascii_lowercase().into());
                name.map(Self::Host).ok_or("host/ is followed by the name of a host")
            }
            Some(("address", address)) => {
                ip(address).map(Self::Address).ok_or("address/ is followed by an IP address")
            }
            None | Some(_) => Err("a key is self, gateway, *, host/NAME or address/IP"),
        }
    }
}

/// Looks up what a question asks for.
pub(crate) fn answer(world: &World, asked: &Asked) -> Answered {
    let mut search = Search { world, namespace: &asked.namespace, found: Answered::default() };
    match &asked.key {
        Key::Own(own) => search.own(own),
        Key::Host(name) => search.host(name),
        Key::Address(address) => search.address(*address),
        Key::Gateway { own, is_proved } => search.gateway(own, *is_proved),
        Key::Everything => search.everything(),
    }
    search.found
}

/// A search for a client of a namespace.
struct Search<'a> {
    world: &'a World,
    namespace: &'a str,
    found: Answered,
}

impl<'a> Search<'a> {
    /// What is at a place; that it was looked at is noted.
    fn at(&mut self, look: Look) -> Vec<(&'a Name, &'a Resource)> {
        let here = self.world.at(&look).collect();
        self.found.looked.insert(look);
        here
    }

    fn add(&mut self, name: &Name) -> bool {
        self.found.names.insert(Arc::clone(name))
    }

    /// Takes all that is at a place.
    fn take(&mut self, look: Look) {
        for (name, _) in self.at(look) {
            self.add(name);
        }
    }

    fn named(&mut self, name: &str) -> Option<&'a Resource> {
        let name: Name = name.into();
        let here = self.world.get(&name).map(|stored| &*stored.resource);
        if here.is_some() {
            self.add(&name);
        }
        self.found.looked.insert(Look::Named(name));
        here
    }

    fn root(&mut self) -> &'a str {
        self.found.looked.insert(Look::Named(SETTINGS.into()));
        &self.world.settings().root_namespace
    }

    fn sees(&self, service: &Service) -> bool {
        ExportTo::is_visible(&service.export_to, &service.namespace, self.namespace)
    }

    fn own(&mut self, own: &Own) {
        self.named(SETTINGS);
        self.named(TRUST);
        if let Some(group) = &own.group {
            self.named(group);
        }
        let mut labels = own.labels.clone();
        for name in &own.workloads {
            if let Some(Resource::Workload(workload)) = self.named(name) {
                labels.extend(workload.labels.clone());
            }
        }
        for (name, _) in self.selecting(self.namespace, &labels) {
            self.add(name);
        }
        for address in &own.addresses {
            for (name, service) in self.services(Look::Listing(*address)) {
                if service.namespace == self.namespace || self.sees(service) {
                    self.add(name);
                }
            }
        }
        let root = self.root();
        for namespace in [self.namespace, root] {
            self.take(Look::PeerAuths(namespace.into()));
            self.take(Look::Authorizations(namespace.into()));
        }
    }

    /// The services of a namespace that select these labels.
    fn selecting(&mut self, namespace: &str, labels: &Labels) -> Vec<(&'a Name, &'a Service)> {
        let first = labels.iter().map(|(key, value)| {
            let label = (key.as_str().into(), value.as_str().into());
            Look::Selecting(namespace.into(), Some(label))
        });
        let looks = first.chain([Look::Selecting(namespace.into(), None)]);
        let mut all: Vec<_> = looks.flat_map(|look| self.services(look)).collect();
        all.retain(|(_, service)| {
            service.selector.as_ref().is_some_and(|selector| selector.selects(labels))
        });
        all
    }

    fn services(&mut self, look: Look) -> Vec<(&'a Name, &'a Service)> {
        let of = |(name, resource): (&'a Name, &'a Resource)| {
            if let Resource::Service(service) = resource { Some((name, &**service)) } else { None }
        };
        self.at(look).into_iter().filter_map(of).collect()
    }

    /// Workloads are seen by all; a service that lists the address is, where it is exported to.
    fn address(&mut self, address: IpAddr) {
        self.take(Look::At(address));
        for (name, service) in self.services(Look::Listing(address)) {
            if self.sees(service) {
                self.add(name);
            }
        }
    }

    /// The gateways of all namespaces that select it, what is bound to them, and the keys of its
    /// own namespace that they name.
    fn gateway(&mut self, own: &Own, is_proved: bool) {
        let mut wanted = HashSet::new();
        for (name, resource) in self.at(Look::Gateways) {
            let Resource::Gateway(gateway) = resource else { continue };
            if gateway.selector.iter().all(|(key, value)| own.labels.get(key) == Some(value)) {
                self.add(name);
                let origin = &gateway.origin;
                let bound = format!("{}/{}", origin.namespace, origin.name);
                self.routes_at(Look::Bound(bound.into()));
                wanted.extend(gateway.servers.iter().flat_map(credentials));
            }
        }
        if !is_proved {
            return;
        }
        for (name, resource) in self.at(Look::Credentials(self.namespace.into())) {
            let Resource::Credential(credential) = resource else { continue };
            if wanted.contains(&*credential.origin.name) {
                self.add(name);
            }
        }
    }

    /// The whole mesh, without what only other namespaces follow.
    fn everything(&mut self) {
        let root = self.root();
        let here = |namespace: &str| namespace == self.namespace || namespace == root;
        let all = self.world.at(&Look::Everything).filter(|(_, resource)| match resource {
            Resource::Service(service) => self.sees(service),
            Resource::Route(route) => {
                ExportTo::is_visible(&route.export_to, &route.origin.namespace, self.namespace)
            }
            Resource::TrafficPolicy(policy) => hosts::follows(policy, self.namespace),
            Resource::Authorization(policy) => here(&policy.origin.namespace),
            Resource::WorkloadGroup(group) => group.namespace == self.namespace,
            // Keys are for gateways alone, and no answer has them.
            Resource::Settings(_)
            | Resource::Workload(_)
            | Resource::PeerAuth(_)
            | Resource::Gateway(_)
            | Resource::Trust(_) => true,
            Resource::Found(_) | Resource::Credential(_) => false,
        });
        let names: BTreeSet<Name> = all.map(|(name, _)| Arc::clone(name)).collect();
        self.found.names = names;
        self.found.looked.insert(Look::Everything);
    }
}

/// The names of what a server shows, and trusts clients by.
fn credentials(server: &GatewayServer) -> impl Iterator<Item = &str> {
    let tls = server.tls.iter();
    tls.flat_map(|tls| {
        let own = tls.certificates.iter().filter_map(|source| match source {
            CertificateSource::Credential(name) => Some(name.as_str()),
            CertificateSource::Files { .. } => None,
        });
        own.chain(tls.clients.credential.as_deref())
    })
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    clippy::format_push_string,
    clippy::wildcard_enum_match_arm,
    reason = "choices among few, and texts that are compared"
)]
mod tests;
