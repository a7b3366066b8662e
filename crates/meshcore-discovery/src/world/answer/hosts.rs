//! What calls to a host need: the services that the name may mean, what is behind them, and
//! where routes lead.
//!
//! It is all that the compiler of snapshots may look at for the host, so that a snapshot of the
//! answer routes as one of the whole mesh does.

use std::net::IpAddr;

use meshcore_model::{Action, Destination, ExportTo, HttpRule, Resource, Route, Selector};
use meshcore_model::{Resolution, Service, TrafficPolicy};

use super::{Look, Name, Search};
use crate::world::SETTINGS;
use crate::world::look::{contains, ip};

/// Gateway that stands for all sidecars.
const MESH: &str = "mesh";

impl<'a> Search<'a> {
    /// Finds what calls to a host or an address need.
    pub(super) fn host(&mut self, name: &str) {
        let exact = self.meanings(name).into_iter();
        let mut services = Vec::new();
        for host in exact.chain(wildcards(name)) {
            services.extend(self.services(Look::Host(host.into())));
        }
        if let Some(address) = ip(name) {
            for (_, service) in self.by_address(address) {
                // Another document of the host may be the one that counts.
                services.extend(self.services(Look::Host(service.host.as_str().into())));
            }
        }
        self.routes(name);
        for (name, service) in services {
            if self.sees(service) {
                self.service(name, service);
                self.routes(&service.host);
            }
        }
    }

    /// The hosts that a name may stand for. Source: DNS search domains of Kubernetes pods.
    fn meanings(&mut self, name: &str) -> Vec<String> {
        self.found.looked.insert(Look::Named(SETTINGS.into()));
        let domain = &self.world.settings().domain;
        let mut hosts = vec![name.to_owned()];
        let labels: Vec<&str> = name.split('.').collect();
        match *labels {
            [short] => hosts.push(format!("{short}.{}.svc.{domain}", self.namespace)),
            [short, namespace] | [short, namespace, "svc"] => {
                hosts.push(format!("{short}.{namespace}.svc.{domain}"));
            }
            _ => {}
        }
        hosts
    }

    /// The services that connections to an address may be for.
    fn by_address(&mut self, address: IpAddr) -> Vec<(&'a Name, &'a Service)> {
        let mut services = self.services(Look::Virtual(address));
        let blocks = self.services(Look::Blocks).into_iter();
        services.extend(
            blocks.filter(|(_, service)| {
                service.addresses.iter().any(|block| contains(block, address))
            }),
        );
        services.extend(self.services(Look::Opaque));
        let mut headless = self.services(Look::Listing(address));
        for (_, resource) in self.at(Look::At(address)) {
            if let Resource::Workload(workload) = resource {
                headless.extend(self.selecting(&workload.namespace, &workload.labels));
            }
        }
        services.extend(headless.into_iter().filter(|(_, service)| {
            service.addresses.is_empty() && service.resolution == Resolution::Static
        }));
        services
    }

    /// The routes that sidecars may follow for a host, and where they lead.
    fn routes(&mut self, host: &str) {
        for host in [host.to_owned()].into_iter().chain(wildcards(host)) {
            self.routes_of(Look::Route(host.into()), |route| {
                route.gateways.iter().any(|gateway| gateway == MESH)
            });
        }
    }

    /// The routes at a place, and where they lead.
    pub(super) fn routes_at(&mut self, look: Look) {
        self.routes_of(look, |_| true);
    }

    fn routes_of(&mut self, look: Look, is_meant: impl Fn(&Route) -> bool) {
        for (name, resource) in self.at(look) {
            let Resource::Route(route) = resource else { continue };
            let (list, owner) = (&route.export_to, &route.origin.namespace);
            if !is_meant(route) || !ExportTo::is_visible(list, owner, self.namespace) {
                continue;
            }
            if self.add(name) {
                for destination in destinations(route) {
                    for (name, service) in
                        self.services(Look::Host(destination.host.as_str().into()))
                    {
                        if self.sees(service) {
                            self.service(name, service);
                        }
                    }
                }
            }
        }
    }

    /// A service with what is behind it and how it is talked to.
    fn service(&mut self, name: &Name, service: &'a Service) {
        if !self.add(name) {
            return;
        }
        if let Some(selector) = &service.selector {
            self.members(&service.namespace, selector);
        }
        let root = self.root();
        let listed = service.endpoints.iter().map(|workload| workload.namespace.as_str());
        for namespace in listed.chain([service.namespace.as_str(), root]) {
            self.take(Look::PeerAuths(namespace.into()));
        }
        for host in [service.host.clone()].into_iter().chain(wildcards(&service.host)) {
            for namespace in [self.namespace, &service.namespace, root] {
                for (name, resource) in
                    self.at(Look::Policy(namespace.into(), host.as_str().into()))
                {
                    let Resource::TrafficPolicy(policy) = resource else { continue };
                    if follows(policy, self.namespace) {
                        self.add(name);
                    }
                }
            }
        }
    }

    /// The workloads of a namespace that a selector selects. Whoever joins them or leaves them
    /// shows at each of the labels: the one with the fewest workloads is looked at.
    fn members(&mut self, namespace: &str, selector: &Selector) {
        let labelled = selector.0.iter().map(|(key, value)| {
            Look::Labelled(namespace.into(), key.as_str().into(), value.as_str().into())
        });
        let fewest = labelled.min_by_key(|look| self.world.count(look));
        for (name, resource) in self.at(fewest.unwrap_or_else(|| Look::Members(namespace.into()))) {
            let Resource::Workload(workload) = resource else { continue };
            if selector.selects(&workload.labels) {
                self.add(name);
            }
        }
    }
}

/// Whether clients of a namespace may follow a traffic policy.
pub(super) fn follows(policy: &TrafficPolicy, client: &str) -> bool {
    let owner = policy.origin.namespace.as_str();
    owner == client
        || policy.workload_selector.is_none()
            && ExportTo::is_visible(&policy.export_to, owner, client)
}

/// The wildcards that cover a host, itself among them if it is one.
fn wildcards(host: &str) -> impl Iterator<Item = String> {
    let bare = host.strip_prefix("*.").unwrap_or(host);
    let own = (bare.len() < host.len()).then(|| host.to_owned());
    let dots = bare.match_indices('.').filter_map(|(at, _)| bare.get(at..));
    let wider: Vec<String> = dots.map(|rest| format!("*{rest}")).collect();
    own.into_iter().chain(wider).chain(["*".to_owned()])
}

fn destinations(route: &Route) -> impl Iterator<Item = &Destination> {
    let http = route.http.iter().flat_map(|rule| {
        let mirrors = rule.mirrors.iter().map(|mirror| &mirror.destination);
        forwarded(rule).iter().chain(mirrors)
    });
    http.chain(route.tcp.iter().flat_map(|rule| &rule.destinations))
}

fn forwarded(rule: &HttpRule) -> &[Destination] {
    match &rule.action {
        Action::Forward(list) => list,
        Action::Redirect(_) | Action::Respond { .. } => &[],
    }
}
