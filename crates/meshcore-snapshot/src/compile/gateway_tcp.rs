//! Where connections to a gateway go whose bytes are not looked at.

use std::sync::Arc;

use meshcore_model::{Route, TcpMatch, TcpRule as Wanted};

use crate::labels;
use crate::outbound::{TcpRoute, TcpService};
use crate::rejected::Rejected;

use super::clusters::Catalog;
use super::gateway::{Server, bound, is_for};
use super::rules::{self, Spot};
use super::scope::Scope;
use super::tcp::blocks;

/// The rules for the bytes of some servers.
pub(super) fn plain(
    scope: &Scope<'_>,
    catalog: &Catalog<'_>,
    servers: &[Server<'_>],
) -> Result<TcpService, Rejected> {
    let mut service = TcpService::default();
    for server in servers {
        for route in bound(scope, server) {
            if server.common_hosts(route).next().is_none() {
                continue;
            }
            let each = Each { scope, catalog, server, route };
            each.rule(|_name, subnets, to| service.rules.push((subnets, to)), false)?;
        }
    }
    Ok(service)
}

/// The rules for TLS that is passed through, by the server name that is asked for; in the order
/// of the documents.
pub(super) fn by_server_name(
    scope: &Scope<'_>,
    catalog: &Catalog<'_>,
    server: &Server<'_>,
) -> Result<Vec<(String, TcpService)>, Rejected> {
    let mut all: Vec<(String, TcpService)> = Vec::new();
    for route in bound(scope, server) {
        let hosts: Vec<&str> = server.common_hosts(route).collect();
        let each = Each { scope, catalog, server, route };
        each.rule(
            |name, subnets, to| {
                let common = hosts.iter().filter_map(|host| meshcore_model::narrower(host, name));
                for common in common {
                    let rule = (subnets.clone(), to.clone());
                    if let Some((_, service)) = all.iter_mut().find(|(known, _)| known == common) {
                        service.rules.push(rule);
                    } else {
                        all.push((common.to_owned(), TcpService { rules: vec![rule] }));
                    }
                }
            },
            true,
        )?;
    }
    Ok(all)
}

/// The rules of one route for one server.
struct Each<'a, 'b> {
    scope: &'b Scope<'a>,
    catalog: &'b Catalog<'a>,
    server: &'b Server<'b>,
    route: &'b Route,
}

impl Each<'_, '_> {
    /// Shows each match that is for the server, with the server name it asks for; without one
    /// unless `by_name`.
    fn rule(
        &self,
        mut show: impl FnMut(&str, Box<[crate::cidr::Cidr]>, TcpRoute),
        by_name: bool,
    ) -> Result<(), Rejected> {
        for (index, wanted) in self.route.tcp.iter().enumerate() {
            let spot = Spot { origin: &self.route.origin, field: format!("tcp[{index}]") };
            let to = self.to(&spot, wanted)?;
            let any = [TcpMatch::default()];
            let matches = if wanted.matches.is_empty() { &any[..] } else { &wanted.matches };
            for found in matches.iter().filter(|found| self.is_meant(found)) {
                let subnets = blocks(&found.destination_subnets)
                    .map_err(|reason| spot.reject("match.destination_subnets", reason))?;
                match (by_name, found.sni_hosts.is_empty()) {
                    (false, true) => show("", subnets, to.clone()),
                    (true, false) => {
                        for name in &found.sni_hosts {
                            show(name, subnets.clone(), to.clone());
                        }
                    }
                    (false, false) | (true, true) => {}
                }
            }
        }
        Ok(())
    }

    fn is_meant(&self, found: &TcpMatch) -> bool {
        let source = found.source_namespace.as_deref();
        let asked = (&*found.gateways, &found.source_labels, source);
        found.port.is_none_or(|port| port == self.server.server.port)
            && is_for(self.scope.node, &self.server.name(), asked)
    }

    fn to(&self, spot: &Spot<'_>, wanted: &Wanted) -> Result<TcpRoute, Rejected> {
        let line = if wanted.line == 0 { self.route.origin.line } else { wanted.line };
        let first = wanted.destinations.first().map(|one| one.host.as_str());
        let known = first.and_then(|host| self.catalog.services.get(host));
        let host = first.unwrap_or_default();
        let service = known.map_or_else(
            || Arc::new(labels::service(host, host, &self.route.origin.namespace)),
            |known| Arc::clone(&known.labels),
        );
        Ok(TcpRoute {
            port: self.server.server.port,
            service,
            origin: Arc::new(self.route.origin.at(line)),
            destinations: rules::destinations(self.catalog, spot, &wanted.destinations)?,
        })
    }
}
