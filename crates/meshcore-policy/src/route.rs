//! The rule for a request.

use std::sync::Arc;

use meshcore_snapshot::{Authority, Entry, PathForm, Predicates, Rule, Text};
use meshcore_snapshot::{ValuePredicate, VirtualHost};

use crate::request::Request;

/// The rule that a request falls under, and how its path was matched.
#[derive(Debug, Clone, Copy)]
pub struct Matched<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// Name of the rule and its match, for logs.
    pub name: &'a Arc<str>,
    /// How the path was matched; what a rewrite of a prefix replaces.
    pub form: PathForm,
}

/// The first rule of the host, in the order of the document, that matches. `None` is "no route".
pub fn select_route<'a, R: Request>(
    vhost: &'a VirtualHost,
    port: u16,
    request: &R,
) -> Option<Matched<'a>> {
    let holds = |entry: &Entry| check(entry, port, request).is_ok();
    let (rule, entry) = vhost.routes(port).first(request.path(), holds)?;
    Some(Matched { rule, name: &entry.name, form: entry.form })
}

/// A match of a rule that was looked at.
#[derive(Debug, Clone, Copy)]
pub struct RouteStep<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// Name of the rule and its match.
    pub name: &'a Arc<str>,
    /// The first condition that did not hold; `None` when all did.
    pub unmet: Option<&'static str>,
}

/// As [`select_route`], with every match in the order of the document, up to the one that holds.
pub fn explain_route<'a, R: Request>(
    vhost: &'a VirtualHost,
    port: u16,
    request: &R,
) -> (Option<Matched<'a>>, Vec<RouteStep<'a>>) {
    let table = vhost.routes(port);
    // The index offers every match whose path holds; what it does not offer fails by its path.
    let mut offered: Vec<(*const Entry, Option<&'static str>)> = Vec::new();
    table.first(request.path(), |entry| {
        offered.push((std::ptr::from_ref(entry), check(entry, port, request).err()));
        false
    });
    let mut steps = Vec::new();
    for entry in table.entries() {
        let Some(rule) = table.rules().get(entry.rule as usize) else { continue };
        let outcome = offered.iter().find(|(one, _)| std::ptr::eq(*one, entry));
        let unmet = outcome.map_or(Some("path"), |(_, unmet)| *unmet);
        steps.push(RouteStep { rule, name: &entry.name, unmet });
        if unmet.is_none() {
            break;
        }
    }
    (select_route(vhost, port, request), steps)
}

/// Whether the predicates of a match hold, or the first that does not.
fn check<R: Request>(entry: &Entry, port: u16, request: &R) -> Result<(), &'static str> {
    let Some(predicates) = &entry.predicates else { return Ok(()) };
    let Predicates { method, scheme, authority, headers, without_headers, query, port: wanted } =
        &**predicates;
    met("port", wanted.is_none_or(|wanted| wanted == port))?;
    met("method", holds(method.as_ref(), request.method()))?;
    met("scheme", holds(scheme.as_ref(), request.scheme()))?;
    let host = |text: &Text| {
        Authority::parse(request.authority()).is_some_and(|host| text.is_match(host.host()))
    };
    met("authority", authority.as_ref().is_none_or(host))?;
    met("headers", headers.iter().all(|one| has_header(one, request)))?;
    met("withoutHeaders", without_headers.iter().all(|one| lacks_header(one, request)))?;
    met("queryParams", query.iter().all(|one| has_parameter(one, request.query())))
}

fn met(name: &'static str, holds: bool) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(name) }
}

fn holds(text: Option<&Text>, value: &[u8]) -> bool {
    text.is_none_or(|text| text.is_match(value))
}

fn has_header<R: Request>(wanted: &ValuePredicate, request: &R) -> bool {
    match &wanted.value {
        None => with_value(request, &wanted.name, |value| value.is_some()),
        Some(text) => with_value(request, &wanted.name, |value| {
            value.is_some_and(|value| text.is_match(value))
        }),
    }
}

/// Source: Envoy's `treat_missing_header_as_empty`, which Istio sets on inverted matches.
fn lacks_header<R: Request>(unwanted: &ValuePredicate, request: &R) -> bool {
    match &unwanted.value {
        None => with_value(request, &unwanted.name, |value| value.is_none()),
        Some(text) => {
            with_value(request, &unwanted.name, |value| !text.is_match(value.unwrap_or_default()))
        }
    }
}

/// The value of a header field. Several are one, joined by commas. Source: RFC 9110 section 5.3.
fn with_value<R: Request, T>(
    request: &R,
    name: &str,
    decide: impl FnOnce(Option<&[u8]>) -> T,
) -> T {
    match name {
        ":authority" | "host" => return decide(Some(request.authority())),
        ":method" => return decide(Some(request.method())),
        ":path" => return decide(Some(request.path())),
        ":scheme" => return decide(Some(request.scheme())),
        _ => {}
    }
    let mut first: Option<&[u8]> = None;
    let mut joined: Option<Vec<u8>> = None;
    request.for_each_value(name, |value| match (first, &mut joined) {
        (None, _) => first = Some(value),
        (Some(_), Some(all)) => {
            all.push(b',');
            all.extend_from_slice(value);
        }
        (Some(one), none @ None) => *none = Some([one, value].join(&b',')),
    });
    match &joined {
        Some(all) => decide(Some(all)),
        None => decide(first),
    }
}

/// Source: Envoy's query parameter matcher: the first of a name, not decoded; `?key` has an
/// empty value.
fn has_parameter(wanted: &ValuePredicate, query: Option<&[u8]>) -> bool {
    let pairs = query.unwrap_or_default().split(|byte| *byte == b'&');
    let mut found = pairs.filter(|pair| !pair.is_empty()).filter_map(|pair| {
        let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (name, value) = pair.split_at_checked(end)?;
        (name == wanted.name.as_bytes()).then(|| value.get(1..).unwrap_or_default())
    });
    let value = found.next();
    match &wanted.value {
        None => value.is_some(),
        Some(text) => value.is_some_and(|value| text.is_match(value)),
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "shorter tables of cases")]
mod tests;
