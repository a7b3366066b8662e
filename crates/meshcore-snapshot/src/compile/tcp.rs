//! Where TCP connections go.

use std::sync::Arc;

use meshcore_model::covers;
use meshcore_model::{Node, Origin, Protocol, Resolution, Route, Service, ServicePort, TcpMatch};

use crate::cidr::Cidr;
use crate::outbound::{TcpRoute, TcpService, TcpTable};
use crate::rejected::Rejected;
use crate::rule::{Destinations, HeaderEdits, WeightedDestination};

use super::clusters::{Catalog, ServiceClusters};
use super::routes::{Routes, is_for};
use super::rules::{self, Spot};
use super::scope::{Scope, target_port};

/// The TCP rules of a route for this node.
pub(super) type TcpRules = Vec<TcpRule>;

/// One match of a TCP rule.
pub(super) struct TcpRule {
    origin: Arc<Origin>,
    subnets: Box<[Cidr]>,
    port: Option<u16>,
    /// Server names that are asked for; empty is for what is not TLS.
    sni_hosts: Box<[String]>,
    destinations: Destinations,
}

impl TcpRule {
    /// Whether it is for a port of a host. A client asks a server for the name that it called.
    fn takes(&self, host: &str, port: &ServicePort) -> bool {
        let takes_name = match &*self.sni_hosts {
            [] => true,
            names => port.protocol == Protocol::Tls && names.iter().any(|name| covers(name, host)),
        };
        takes_name && self.port.is_none_or(|wanted| wanted == port.number)
    }
}

/// Compiles the TCP rules of a route.
pub(super) fn rules(
    catalog: &Catalog<'_>,
    node: &Node,
    route: &Route,
) -> Result<TcpRules, Rejected> {
    let mut all = Vec::new();
    for (index, wanted) in route.tcp.iter().enumerate() {
        let spot = Spot { origin: &route.origin, field: format!("tcp[{index}]") };
        let line = if wanted.line == 0 { route.origin.line } else { wanted.line };
        let origin = Arc::new(route.origin.at(line));
        let destinations = rules::destinations(catalog, &spot, &wanted.destinations)?;
        let any = [TcpMatch::default()];
        let matches = if wanted.matches.is_empty() { &any[..] } else { &wanted.matches };
        for found in matches {
            let subnets = blocks(&found.destination_subnets)
                .map_err(|reason| spot.reject("match.destination_subnets", reason))?;
            let namespace = found.source_namespace.as_deref();
            if is_for(node, &found.gateways, &found.source_labels, namespace) {
                all.push(TcpRule {
                    origin: Arc::clone(&origin),
                    subnets,
                    port: found.port,
                    sni_hosts: found.sni_hosts.clone().into(),
                    destinations: destinations.clone(),
                });
            }
        }
    }
    Ok(all)
}

/// Parses addresses and blocks.
pub(super) fn blocks(texts: &[String]) -> Result<Box<[Cidr]>, String> {
    let parse = |text: &String| {
        Cidr::parse(text).ok_or_else(|| format!("{text:?} is not an IP address or a CIDR"))
    };
    texts.iter().map(parse).collect()
}

/// Enters every port of every service.
pub(super) fn build(
    scope: &Scope<'_>,
    catalog: &Catalog<'_>,
    routes: &Routes<'_>,
) -> Result<TcpTable, Rejected> {
    let mut table = TcpTable::default();
    for service in &scope.services {
        let Some(clusters) = catalog.services.get(service.host.as_str()) else { continue };
        let addresses = blocks(&service.addresses)
            .map_err(|reason| Rejected::new(&service.origin, "addresses", reason))?;
        for port in &service.ports {
            let position = table.services.len();
            table.services.push(of_port(catalog, clusters, routes, port));
            enter_names(scope, &mut table, service, port, position);
            enter_addresses(scope, &mut table, (service, port, position), &addresses);
        }
    }
    table.blocks.sort_by_key(|(block, _, _)| std::cmp::Reverse(block.specificity()));
    Ok(table)
}

/// The rules of a port; what none of them takes goes to the service.
fn of_port(
    catalog: &Catalog<'_>,
    clusters: &ServiceClusters<'_>,
    routes: &Routes<'_>,
    port: &ServicePort,
) -> TcpService {
    let host = clusters.service.host.as_str();
    let number = port.number;
    let route = |origin: &Arc<Origin>, destinations: Destinations| TcpRoute {
        port: number,
        service: Arc::clone(&clusters.labels),
        origin: Arc::clone(origin),
        destinations,
    };
    let own = routes.tcp(host).map_or(&[][..], |route| &route.tcp);
    let own = own.iter().filter(|rule| rule.takes(host, port));
    let mut rules: Vec<_> = own
        .map(|rule| (rule.subnets.clone(), route(&rule.origin, rule.destinations.clone())))
        .collect();
    let to_service = WeightedDestination {
        host: host.into(),
        weight: 1,
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        clusters: catalog.find(host, None, Some(number)),
    };
    let rest = Destinations::new(vec![to_service]);
    rules.push((Box::default(), route(&clusters.origin, rest)));
    TcpService { rules }
}

fn enter_names(
    scope: &Scope<'_>,
    table: &mut TcpTable,
    service: &Service,
    port: &ServicePort,
    position: usize,
) {
    if let Some(suffix) = service.host.strip_prefix("*.") {
        table.suffixes.entry((suffix.as_bytes().into(), port.number)).or_insert(position);
        return;
    }
    for name in scope.names(service) {
        table.hosts.entry((name.as_bytes().into(), port.number)).or_insert(position);
    }
}

/// A service is found by its addresses; without any, by those of its endpoints, or by its port
/// alone when it is opaque and these are not known. Source: Istio's listeners for headless
/// services and for service entries without addresses.
fn enter_addresses(
    scope: &Scope<'_>,
    table: &mut TcpTable,
    (service, port, position): (&Service, &ServicePort, usize),
    addresses: &[Cidr],
) {
    for block in addresses {
        match block.single() {
            Some(address) => {
                table.addresses.entry((address, port.number)).or_insert(position);
            }
            None => table.blocks.push((*block, port.number, position)),
        }
    }
    for address in service.auto_addresses.iter().filter_map(|address| super::ip(address)) {
        table.addresses.entry((address, port.number)).or_insert(position);
    }
    if !addresses.is_empty() {
        return;
    }
    match service.resolution {
        Resolution::Static => {
            for workload in scope.members(service) {
                let number = target_port(port, workload);
                if let (Some(address), Some(number)) = (super::ip(&workload.address), number) {
                    table.addresses.entry((address, number)).or_insert(position);
                }
            }
        }
        Resolution::None | Resolution::Dns | Resolution::DnsRoundRobin => {
            if matches!(port.protocol, Protocol::Tcp | Protocol::Tls) {
                table.ports.entry(port.number).or_insert(position);
            }
        }
    }
}
