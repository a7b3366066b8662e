//! The hosts that this node may call.

use std::net::IpAddr;
use std::sync::Arc;

use meshcore_model::{Origin, Resolution, Service};

use crate::labels;
use crate::outbound::{Outbound, VirtualHost, VirtualHostPort};
use crate::rejected::Rejected;
use crate::route_table::RouteTable;
use crate::rule::Clusters;

use super::clusters::{Catalog, ServiceClusters};
use super::routes::{CompiledRoute, Routes, catch_all};
use super::rules::default_rule;
use super::scope::Scope;
use super::tcp;

/// Builds the hosts of services and of routes.
pub(super) fn build(
    scope: &Scope<'_>,
    catalog: &Catalog<'_>,
    routes: &Routes<'_>,
) -> Result<Outbound, Rejected> {
    let mut outbound = Outbound { tcp: tcp::build(scope, catalog, routes)?, ..Outbound::default() };
    for service in &scope.services {
        let Some(clusters) = catalog.services.get(service.host.as_str()) else { continue };
        let vhost = Arc::new(of_service(scope, catalog, clusters, routes.http(&service.host))?);
        enter(scope, &mut outbound, service, &vhost);
    }
    // Hosts that no service has, such as one that a route sends to several services.
    for host in routes.hosts().filter(|host| !catalog.services.contains_key(host)) {
        if let Some(route) = routes.http(host) {
            let vhost = Arc::new(of_route(scope, host, route)?);
            outbound.enter(host, &vhost);
        }
    }
    Ok(outbound)
}

impl Outbound {
    /// Enters a name, unless another host has it.
    pub(super) fn enter(&mut self, name: &str, vhost: &Arc<VirtualHost>) {
        match name.strip_prefix("*.") {
            Some(suffix) => {
                self.suffixes.entry(suffix.as_bytes().into()).or_insert_with(|| Arc::clone(vhost));
            }
            None if name == "*" => {
                self.any.get_or_insert_with(|| Arc::clone(vhost));
            }
            None => {
                if let Some(address) = super::ip(name) {
                    self.addresses.entry(address).or_default().push(Arc::clone(vhost));
                }
                self.exact.entry(name.as_bytes().into()).or_insert_with(|| Arc::clone(vhost));
            }
        }
    }
}

fn enter(scope: &Scope<'_>, outbound: &mut Outbound, service: &Service, vhost: &Arc<VirtualHost>) {
    for name in scope.names(service) {
        outbound.enter(name, vhost);
    }
    let addresses = service.addresses.iter().chain(&service.auto_addresses);
    for address in addresses.filter_map(|address| super::ip(address)) {
        outbound.addresses.entry(address).or_default().push(Arc::clone(vhost));
    }
}

fn of_service(
    scope: &Scope<'_>,
    catalog: &Catalog<'_>,
    clusters: &ServiceClusters<'_>,
    route: Option<&CompiledRoute<'_>>,
) -> Result<VirtualHost, Rejected> {
    let service = clusters.service;
    let host = Arc::<str>::from(&*clusters.labels.host);
    let ports = service.ports.iter();
    let unrouted_ports = ports
        .clone()
        .map(|port| port.number)
        .filter(|number| route.is_some_and(|route| !route.has_port(*number)));
    let to_service = catalog.find(&service.host, None, None);
    Ok(VirtualHost {
        service: Arc::clone(&clusters.labels),
        ports: ports
            .clone()
            .map(|port| VirtualHostPort { number: port.number, protocol: port.protocol })
            .collect(),
        addresses: addresses(scope, service),
        routed: route.and_then(|route| route.http.clone()),
        unrouted: unrouted(scope, &clusters.origin, &host, to_service)?,
        unrouted_ports: unrouted_ports.collect(),
        host,
    })
}

/// Its own addresses; those of its workloads, where it has none but they are known. Source: the
/// name table of Istio's DNS proxy.
fn addresses(scope: &Scope<'_>, service: &Service) -> Box<[IpAddr]> {
    let own = service.addresses.iter().chain(&service.auto_addresses);
    let own: Box<[IpAddr]> = own.filter_map(|address| super::ip(address)).collect();
    match service.resolution {
        Resolution::Static if own.is_empty() && service.addresses.is_empty() => {
            let members = scope.members(service);
            members.iter().filter_map(|workload| super::ip(&workload.address)).collect()
        }
        Resolution::Static | Resolution::None | Resolution::Dns | Resolution::DnsRoundRobin => own,
    }
}

/// A host without a service has any port, and no rule beside those of the route.
fn of_route(
    scope: &Scope<'_>,
    host: &str,
    route: &CompiledRoute<'_>,
) -> Result<VirtualHost, Rejected> {
    let origin = Arc::new(route.route.origin.clone());
    let shared: Arc<str> = host.into();
    Ok(VirtualHost {
        service: Arc::new(labels::service(host, host, &route.route.origin.namespace)),
        ports: Box::default(),
        addresses: Box::default(),
        routed: route.http.clone(),
        unrouted: unrouted(scope, &origin, &shared, Clusters::Missing)?,
        unrouted_ports: Box::default(),
        host: shared,
    })
}

fn unrouted(
    scope: &Scope<'_>,
    origin: &Arc<Origin>,
    host: &Arc<str>,
    clusters: Clusters,
) -> Result<Arc<RouteTable>, Rejected> {
    let rule = default_rule(origin, host, clusters, &scope.mesh.settings.default_retries)?;
    let all = catch_all(0, &rule.name);
    RouteTable::new(vec![rule], vec![all])
        .map(Arc::new)
        .map_err(|(_, reason)| Rejected::new(origin, "http", reason))
}
