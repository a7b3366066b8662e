//! The hosts of HTTP requests on a listener of a gateway, with their rules.

use std::sync::Arc;

use meshcore_model::{Action, HttpRule, Retries};
use meshcore_model::{HeaderEdits, HttpMatch, PathMatch, Redirect as WantedRedirect, Route};

use crate::gateway::GatewayHosts;
use crate::labels;
use crate::map::Map;
use crate::outbound::{Outbound, VirtualHost};
use crate::rejected::Rejected;
use crate::route_table::{Draft, RouteTable};
use crate::rule::Rule;

use super::clusters::Catalog;
use super::gateway::{Server, bound, is_for};
use super::routes::{catch_all, drafts_of};
use super::rules::{self, Spot};
use super::scope::Scope;

/// Status of a redirect to `https`. Source: Istio's `httpsRedirect`.
const MOVED: u16 = 301;

/// The hosts of some servers, while they are made.
pub(super) struct Hosts<'a, 'b> {
    scope: &'b Scope<'a>,
    catalog: &'b Catalog<'a>,
    servers: &'b [Server<'a>],
    /// What answers for a host: a server, and a route of it.
    answers: Vec<(String, Vec<(usize, &'a Route)>)>,
    places: Map<String, usize>,
    /// Tables by what they were made of.
    tables: Map<Vec<(usize, *const Route)>, Arc<RouteTable>>,
}

impl<'a, 'b> Hosts<'a, 'b> {
    pub(super) fn new(
        scope: &'b Scope<'a>,
        catalog: &'b Catalog<'a>,
        servers: &'b [Server<'a>],
    ) -> Self {
        let (answers, places, tables) = (Vec::new(), Map::default(), Map::default());
        Self { scope, catalog, servers, answers, places, tables }
    }

    /// Routes of one host are appended, unlike on sidecars. A server that redirects does so for
    /// all of its hosts.
    pub(super) fn build(mut self) -> Result<GatewayHosts, Rejected> {
        let mut outbound = Outbound::default();
        for (position, server) in self.servers.iter().enumerate() {
            if server.server.https_redirect {
                let vhost = Arc::new(self.redirect(server)?);
                for host in &server.server.hosts {
                    outbound.enter(&host.host, &vhost);
                }
            } else {
                self.bind(position, server);
            }
        }
        for (host, answers) in std::mem::take(&mut self.answers) {
            let table = self.table(&answers)?;
            outbound.enter(&host, &Arc::new(vhost(&host, table)));
        }
        Ok(GatewayHosts(Box::new(outbound)))
    }

    fn bind(&mut self, position: usize, server: &Server<'a>) {
        for route in bound(self.scope, server).into_iter().filter(|route| !route.http.is_empty()) {
            for host in server.common_hosts(route) {
                let place = *self.places.entry(host.to_owned()).or_insert_with(|| {
                    self.answers.push((host.to_owned(), Vec::new()));
                    self.answers.len().saturating_sub(1)
                });
                let Some((_, answers)) = self.answers.get_mut(place) else { continue };
                let is_known = |(_, known): &(usize, &Route)| std::ptr::eq(*known, route);
                if !answers.iter().any(is_known) {
                    answers.push((position, route));
                }
            }
        }
    }

    fn table(&mut self, answers: &[(usize, &'a Route)]) -> Result<Arc<RouteTable>, Rejected> {
        let key: Vec<_> =
            answers.iter().map(|(server, route)| (*server, std::ptr::from_ref(*route))).collect();
        if let Some(table) = self.tables.get(&key) {
            return Ok(Arc::clone(table));
        }
        let (mut rules, mut drafts) = (Vec::new(), Vec::new());
        let mut owners = Vec::new();
        for (server, route) in answers {
            let Some(server) = self.servers.get(*server) else { continue };
            let found = self.drafts(server, route, &mut rules)?;
            drafts.extend(found);
            owners.resize(rules.len(), *route);
        }
        // Source: Istio's `SortVHostRoutes`.
        drafts.sort_by_key(is_catch_all);
        let table = RouteTable::new(rules, drafts).map_err(|(rule, reason)| {
            let origin = owners.get(rule as usize).map(|route| route.origin.clone());
            Rejected::new(&origin.unwrap_or_default(), "http.match.path", reason)
        })?;
        let table = Arc::new(table);
        self.tables.insert(key, Arc::clone(&table));
        Ok(table)
    }

    /// The matches of a route for this gateway, up to the first that takes every request.
    fn drafts(
        &self,
        server: &Server<'_>,
        route: &Route,
        rules: &mut Vec<Rule>,
    ) -> Result<Vec<Draft>, Rejected> {
        let name = server.name();
        let node = self.scope.node;
        let is_meant = |found: &HttpMatch| {
            let source = found.source_namespace.as_deref();
            is_for(node, &name, (&found.gateways, &found.source_labels, source))
        };
        let mut drafts = drafts_of(self.catalog, route, is_meant, rules)?;
        if let Some(last) = drafts.iter().position(is_catch_all) {
            drafts.truncate(last.saturating_add(1));
        }
        Ok(drafts)
    }

    fn redirect(&self, server: &Server<'_>) -> Result<VirtualHost, Rejected> {
        let origin = server.origin();
        let action = WantedRedirect {
            status: MOVED,
            scheme: Some("https".into()),
            ..WantedRedirect::default()
        };
        let wanted = HttpRule {
            name: "https_redirect".into(),
            line: origin.line,
            matches: Vec::new(),
            action: Action::Redirect(action),
            rewrite: None,
            timeout_ms: None,
            retries: Retries::default(),
            fault: None,
            mirrors: Vec::new(),
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
        };
        let spot = Spot { origin: &origin, field: "servers".into() };
        let rule = rules::rule(self.catalog, &spot, 0, &wanted)?;
        let all = catch_all(0, &rule.name);
        let table = RouteTable::new(vec![rule], vec![all])
            .map_err(|(_, reason)| Rejected::new(&origin, "servers", reason))?;
        Ok(vhost("*", Arc::new(table)))
    }
}

fn vhost(host: &str, table: Arc<RouteTable>) -> VirtualHost {
    VirtualHost {
        host: host.into(),
        service: Arc::new(labels::service(host, host, "")),
        ports: Box::default(),
        addresses: Box::default(),
        routed: Some(table),
        unrouted: Arc::default(),
        unrouted_ports: Box::default(),
    }
}

/// Whether a match takes every request. Source: Istio's `IsCatchAllRoute`.
fn is_catch_all(draft: &Draft) -> bool {
    let takes_any_path = match &draft.entry.path {
        None => true,
        Some(PathMatch::Prefix(prefix) | PathMatch::SegmentPrefix(prefix)) => prefix == "/",
        Some(PathMatch::Regex(pattern)) => pattern == ".*",
        Some(PathMatch::Exact(_)) => false,
    };
    takes_any_path && draft.entry.predicates.is_none()
}
