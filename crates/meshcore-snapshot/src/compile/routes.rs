//! Which route has a host, and its rules for this node.

use std::cell::OnceCell;
use std::sync::Arc;

use meshcore_model::ValueMatch;
use meshcore_model::{ExportTo, HttpMatch, Labels, Node, PathMatch, Route, StringMatch};

use crate::map::Map;
use crate::rejected::{Reason, Rejected};
use crate::route_table::{Draft, Entry, PathForm, Predicates, RouteTable};
use crate::rule::Rule;
use crate::text::{Text, ValuePredicate};

use super::clusters::Catalog;
use super::headers;
use super::policies::wildcards;
use super::rules::{self, Spot};
use super::scope::{Scope, age};
use super::tcp::{self, TcpRules};

/// Gateway that stands for all sidecars.
const MESH: &str = "mesh";

/// The routes that this node follows, by host as it is written.
pub(super) struct Routes<'a> {
    hosts: Map<&'a str, Vec<usize>>,
    compiled: Vec<CompiledRoute<'a>>,
}

/// A route with its rules for this node.
pub(super) struct CompiledRoute<'a> {
    pub(super) route: &'a Route,
    /// `None` when no rule is for this node, so that the route does not have its hosts.
    pub(super) http: Option<Arc<RouteTable>>,
    pub(super) tcp: TcpRules,
    ports: OnceCell<Option<Vec<u16>>>,
}

impl<'a> Routes<'a> {
    /// Compiles the routes for sidecars that this node sees.
    ///
    /// Several routes of a host are not merged. Source: Istio's order for sidecars: those only
    /// this namespace sees, those of this namespace, then all others, each the oldest first.
    pub(super) fn new(scope: &Scope<'a>, catalog: &Catalog<'_>) -> Result<Self, Rejected> {
        let node = scope.node;
        let mut sorted: Vec<&Route> = scope.mesh.routes.iter().collect();
        sorted.retain(|route| {
            route.gateways.iter().any(|gateway| gateway == MESH)
                && ExportTo::is_visible(&route.export_to, &route.origin.namespace, &node.namespace)
        });
        let rank = |route: &Route| {
            let is_public = route.export_to.is_empty() || route.export_to.contains(&ExportTo::All);
            match (is_public, route.origin.namespace == node.namespace) {
                (false, true) => 0,
                (false, false) => 1,
                (true, true) => 2,
                (true, false) => 3,
            }
        };
        sorted.sort_by(|a, b| {
            let age = |route: &'a Route| age(&route.created, &route.origin);
            rank(a).cmp(&rank(b)).then_with(|| age(a).cmp(&age(b)))
        });
        let mut routes = Self { hosts: Map::default(), compiled: Vec::new() };
        for (position, route) in sorted.into_iter().enumerate() {
            for host in &route.hosts {
                routes.hosts.entry(host.as_str()).or_default().push(position);
            }
            routes.compiled.push(CompiledRoute {
                route,
                http: http(catalog, node, route)?,
                tcp: tcp::rules(catalog, node, route)?,
                ports: OnceCell::new(),
            });
        }
        Ok(routes)
    }

    /// The route with HTTP rules for a host: of the most specific host, the first.
    pub(super) fn http(&self, host: &str) -> Option<&CompiledRoute<'a>> {
        self.first(host, |route| route.http.is_some())
    }

    /// The route with TCP rules for a host.
    pub(super) fn tcp(&self, host: &str) -> Option<&CompiledRoute<'a>> {
        self.first(host, |route| !route.tcp.is_empty())
    }

    /// The hosts that routes name, in no order.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &'a str> {
        self.hosts.keys().copied()
    }

    fn first(
        &self,
        host: &str,
        has_rules: impl Fn(&CompiledRoute<'_>) -> bool,
    ) -> Option<&CompiledRoute<'a>> {
        let of = |host: &str| {
            let positions = self.hosts.get(host)?;
            let mut routes = positions.iter().filter_map(|position| self.compiled.get(*position));
            routes.find(|route| has_rules(route))
        };
        of(host).or_else(|| wildcards(host).find_map(|wildcard| of(&wildcard)))
    }
}

impl CompiledRoute<'_> {
    /// Whether some HTTP rule can match requests to this port.
    pub(super) fn has_port(&self, port: u16) -> bool {
        let ports = self.ports.get_or_init(|| {
            let entries = self.http.as_ref().map_or(&[][..], |table| table.entries());
            let port = |entry: &Entry| entry.predicates.as_ref().and_then(|all| all.port);
            // One entry for all ports makes the whole list `None`.
            entries.iter().map(port).collect()
        });
        ports.as_ref().is_none_or(|ports| ports.contains(&port))
    }
}

/// Whether a match is meant for this node.
///
/// Source: Istio's `sourceMatchHTTP`, where gateways that match decide alone.
pub(super) fn is_for(
    node: &Node,
    gateways: &[String],
    labels: &Labels,
    namespace: Option<&str>,
) -> bool {
    if !gateways.is_empty() {
        return gateways.iter().any(|gateway| gateway == MESH);
    }
    let has_labels = labels.iter().all(|(key, value)| node.labels.get(key) == Some(value));
    has_labels
        && namespace.is_none_or(|namespace| namespace.is_empty() || namespace == node.namespace)
}

fn http(
    catalog: &Catalog<'_>,
    node: &Node,
    route: &Route,
) -> Result<Option<Arc<RouteTable>>, Rejected> {
    let is_meant = |found: &HttpMatch| {
        let namespace = found.source_namespace.as_deref();
        is_for(node, &found.gateways, &found.source_labels, namespace)
    };
    let mut rules = Vec::new();
    let drafts = drafts_of(catalog, route, is_meant, &mut rules)?;
    if drafts.is_empty() {
        return Ok(None);
    }
    let indexes: Vec<u32> = rules.iter().map(|rule| rule.index).collect();
    let table = RouteTable::new(rules, drafts).map_err(|(rule, reason)| {
        let index = indexes.get(rule as usize).copied().unwrap_or(rule);
        Rejected::new(&route.origin, format!("http[{index}].match.path"), reason)
    })?;
    Ok(Some(Arc::new(table)))
}

/// The matches of a route that are meant for this node; their rules are added to `rules`.
pub(super) fn drafts_of(
    catalog: &Catalog<'_>,
    route: &Route,
    is_meant: impl Fn(&HttpMatch) -> bool,
    rules: &mut Vec<Rule>,
) -> Result<Vec<Draft>, Rejected> {
    let mut drafts = Vec::new();
    for (wanted, index) in route.http.iter().zip(0_u32..) {
        let spot = Spot { origin: &route.origin, field: format!("http[{index}]") };
        // Compiled even when it is for other nodes, so that a mistake shows everywhere.
        let rule = rules::rule(catalog, &spot, index, wanted)?;
        let position = u32::try_from(rules.len()).unwrap_or(u32::MAX);
        let before = drafts.len();
        for (number, found) in wanted.matches.iter().enumerate() {
            let draft = draft(found, position, &rule.name)
                .map_err(|reason| spot.reject(&format!("match[{number}]"), reason))?;
            if is_meant(found) {
                drafts.push(draft);
            }
        }
        if wanted.matches.is_empty() {
            drafts.push(catch_all(position, &rule.name));
        }
        if drafts.len() > before {
            rules.push(rule);
        }
    }
    Ok(drafts)
}

/// A match of every request.
pub(super) fn catch_all(rule: u32, name: &Arc<str>) -> Draft {
    let entry =
        Entry { rule, name: Arc::clone(name), form: PathForm::Any, path: None, predicates: None };
    Draft { entry, ignore_case: false }
}

fn draft(wanted: &HttpMatch, rule: u32, rule_name: &Arc<str>) -> Result<Draft, Reason> {
    let form = match &wanted.path {
        None => PathForm::Any,
        Some(PathMatch::Exact(_)) => PathForm::Exact,
        Some(PathMatch::Prefix(prefix)) => PathForm::Prefix(prefix.len()),
        Some(PathMatch::SegmentPrefix(prefix)) => {
            PathForm::SegmentPrefix(prefix.strip_suffix('/').unwrap_or(prefix).len())
        }
        Some(PathMatch::Regex(_)) => PathForm::Regex,
    };
    let text = |text: &Option<StringMatch>, fold: bool| match text {
        Some(text) => Text::compile(text, fold).map(Some),
        None => Ok(None),
    };
    let predicates = Predicates {
        method: text(&wanted.method, false)?,
        scheme: text(&wanted.scheme, true)?,
        authority: text(&wanted.authority, true)?,
        headers: values(&wanted.headers, true)?,
        without_headers: values(&wanted.without_headers, true)?,
        query: values(&wanted.query, false)?,
        port: wanted.port,
    };
    let name = if wanted.name.is_empty() {
        Arc::clone(rule_name)
    } else {
        format!("{rule_name}.{}", wanted.name).into()
    };
    let predicates = (!predicates.is_empty()).then(|| Box::new(predicates));
    let entry = Entry { rule, name, form, path: wanted.path.clone(), predicates };
    Ok(Draft { entry, ignore_case: wanted.ignore_path_case })
}

fn values(wanted: &[ValueMatch], fold_name: bool) -> Result<Box<[ValuePredicate]>, Reason> {
    let one = |wanted: &ValueMatch| {
        let name = if fold_name { wanted.name.to_ascii_lowercase() } else { wanted.name.clone() };
        let value = match &wanted.value {
            StringMatch::Present => None,
            StringMatch::Exact(_)
            | StringMatch::Prefix(_)
            | StringMatch::Suffix(_)
            | StringMatch::Regex(_)
            | StringMatch::Template(_) => {
                let fold_value = fold_name && headers::is_authority(&name);
                Some(Text::compile(&wanted.value, fold_value)?)
            }
        };
        Ok(ValuePredicate { name: name.into(), value })
    };
    wanted.iter().map(one).collect()
}
