//! The rules of a route.

use std::sync::Arc;

use meshcore_model::{Action, Destination, HeaderEdits as WantedEdits, HttpRule, Origin};
use meshcore_model::{Redirect as WantedRedirect, Retries, Rewrite as WantedRewrite};

use crate::rejected::{Reason, Rejected};
use crate::rule::{Clusters, Destinations, Fault, HeaderEdits, Mirror, Redirect, RetryPolicy};
use crate::rule::{Rewrite, Rule, RuleAction, WeightedDestination};

use super::clusters::Catalog;
use super::headers;

/// Where a rule stands, for what is said about it.
pub(super) struct Spot<'a> {
    pub(super) origin: &'a Origin,
    /// Such as `http[2]`.
    pub(super) field: String,
}

impl Spot<'_> {
    pub(super) fn reject(&self, field: &str, reason: impl Into<Reason>) -> Rejected {
        Rejected::new(self.origin, format!("{}.{field}", self.field), reason)
    }

    fn edits(&self, field: &str, wanted: &WantedEdits) -> Result<HeaderEdits, Rejected> {
        headers::edits(wanted)
            .map_err(|(inner, reason)| self.reject(&format!("{field}.{inner}"), reason))
    }
}

/// Compiles a rule of a VirtualService.
pub(super) fn rule(
    catalog: &Catalog<'_>,
    spot: &Spot<'_>,
    index: u32,
    wanted: &HttpRule,
) -> Result<Rule, Rejected> {
    let mut mirrors = Vec::new();
    for (position, mirror) in wanted.mirrors.iter().enumerate().filter(|(_, m)| m.share_ppm > 0) {
        let field = format!("mirrors[{position}]");
        let destination = destination(catalog, spot, &field, &mirror.destination)?;
        mirrors.push(Mirror { destination, share_ppm: mirror.share_ppm });
    }
    let name = if wanted.name.is_empty() { "default" } else { wanted.name.as_str() };
    Ok(Rule {
        name: name.into(),
        origin: Arc::new(spot.origin.at(if wanted.line == 0 {
            spot.origin.line
        } else {
            wanted.line
        })),
        index,
        action: action(catalog, spot, &wanted.action)?,
        rewrite: match &wanted.rewrite {
            Some(wanted) => Some(rewrite(spot, wanted)?),
            None => None,
        },
        timeout_ms: wanted.timeout_ms.filter(|timeout| *timeout > 0),
        retries: retries(&wanted.retries).map_err(|reason| spot.reject("retries", reason))?,
        fault: fault(spot, wanted)?,
        mirrors: mirrors.into(),
        request_headers: spot.edits("request_headers", &wanted.request_headers)?,
        response_headers: spot.edits("response_headers", &wanted.response_headers)?,
    })
}

/// The rule of a host that no route has: everything goes to the service.
pub(super) fn default_rule(
    origin: &Arc<Origin>,
    host: &Arc<str>,
    clusters: Clusters,
    wanted: &Retries,
) -> Result<Rule, Rejected> {
    let destination = WeightedDestination {
        host: Arc::clone(host),
        weight: 1,
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        clusters,
    };
    let mesh = Origin { kind: "MeshConfig".into(), ..Origin::default() };
    Ok(Rule {
        name: "default".into(),
        origin: Arc::clone(origin),
        index: 0,
        action: RuleAction::Forward(Destinations::new(vec![destination])),
        rewrite: None,
        timeout_ms: None,
        retries: retries(wanted)
            .map_err(|reason| Rejected::new(&mesh, "settings.default_retries", reason))?,
        fault: None,
        mirrors: Box::default(),
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
    })
}

/// Destinations of a rule, for HTTP or TCP.
pub(super) fn destinations(
    catalog: &Catalog<'_>,
    spot: &Spot<'_>,
    wanted: &[Destination],
) -> Result<Destinations, Rejected> {
    let total: u64 = wanted.iter().map(|one| u64::from(one.weight)).sum();
    if wanted.is_empty() {
        return Err(spot.reject("route", "there is no destination: name one"));
    }
    if wanted.len() > 1 && total == 0 {
        return Err(spot.reject("route", "all weights are 0: give one of them a share"));
    }
    let mut list = Vec::with_capacity(wanted.len());
    for (index, one) in wanted.iter().enumerate() {
        list.push(destination(catalog, spot, &format!("route[{index}]"), one)?);
    }
    Ok(Destinations::new(list))
}

fn destination(
    catalog: &Catalog<'_>,
    spot: &Spot<'_>,
    field: &str,
    wanted: &Destination,
) -> Result<WeightedDestination, Rejected> {
    Ok(WeightedDestination {
        host: wanted.host.as_str().into(),
        weight: wanted.weight,
        request_headers: spot
            .edits(&format!("{field}.request_headers"), &wanted.request_headers)?,
        response_headers: spot
            .edits(&format!("{field}.response_headers"), &wanted.response_headers)?,
        clusters: catalog.find(&wanted.host, wanted.subset.as_deref(), wanted.port),
    })
}

impl Catalog<'_> {
    /// The clusters of a destination. Source: Istio's `GetDestinationCluster`: without a port,
    /// the service's only one, else the one that the request was sent to.
    pub(super) fn find(&self, host: &str, subset: Option<&str>, port: Option<u16>) -> Clusters {
        let service = self.services.get(host);
        let Some(clusters) =
            service.and_then(|service| service.subsets.get(subset.unwrap_or_default()))
        else {
            return Clusters::Missing;
        };
        match (port, &**clusters) {
            (Some(port), clusters) => clusters
                .iter()
                .find(|(number, _)| *number == port)
                .map_or(Clusters::Missing, |(_, cluster)| Clusters::Fixed(*cluster)),
            (None, [(_, only)]) => Clusters::Fixed(*only),
            (None, _) => Clusters::ByPort(Arc::clone(clusters)),
        }
    }
}

fn action(catalog: &Catalog<'_>, spot: &Spot<'_>, wanted: &Action) -> Result<RuleAction, Rejected> {
    match wanted {
        Action::Forward(list) => Ok(RuleAction::Forward(destinations(catalog, spot, list)?)),
        Action::Redirect(wanted) => Ok(RuleAction::Redirect(redirect(spot, wanted)?)),
        Action::Respond { status, body } => {
            if !(200..=599).contains(status) {
                let reason = format!("{status} is not a status to answer with: use 200 to 599");
                return Err(spot.reject("respond.status", reason));
            }
            Ok(RuleAction::Respond { status: *status, body: body.as_bytes().into() })
        }
    }
}

fn redirect(spot: &Spot<'_>, wanted: &WantedRedirect) -> Result<Redirect, Rejected> {
    if !matches!(wanted.status, 301 | 302 | 303 | 307 | 308) {
        let reason = format!("{} is not a redirect: use 301, 302, 303, 307 or 308", wanted.status);
        return Err(spot.reject("redirect.status", reason));
    }
    let target = |text: &Option<String>, field: &str| match text {
        Some(text) => {
            check_target(text).map_err(|reason| spot.reject(field, reason))?;
            Ok(Some(Arc::from(text.as_str())))
        }
        None => Ok(None),
    };
    if let Some(authority) = &wanted.authority {
        headers::authority(authority)
            .map_err(|reason| spot.reject("redirect.authority", reason))?;
    }
    let is_scheme = |scheme: &String| {
        !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    if wanted.scheme.as_ref().is_some_and(|scheme| !is_scheme(scheme)) {
        return Err(spot.reject("redirect.scheme", "this is not a scheme: use http or https"));
    }
    Ok(Redirect {
        status: wanted.status,
        path: target(&wanted.path, "redirect.path")?,
        prefix: target(&wanted.prefix, "redirect.prefix")?,
        authority: wanted.authority.as_deref().map(Arc::from),
        port: wanted.port,
        default_port: wanted.default_port,
        scheme: wanted.scheme.as_deref().map(Arc::from),
    })
}

fn rewrite(spot: &Spot<'_>, wanted: &WantedRewrite) -> Result<Rewrite, Rejected> {
    if let Some(path) = &wanted.path {
        check_target(path).map_err(|reason| spot.reject("rewrite.path", reason))?;
    }
    if let Some(authority) = &wanted.authority {
        headers::authority(authority).map_err(|reason| spot.reject("rewrite.authority", reason))?;
    }
    let regex = match &wanted.regex {
        Some((pattern, replacement)) => {
            let regex = crate::text::build(pattern, false)
                .map_err(|reason| spot.reject("rewrite.regex", reason))?;
            check_target(replacement).map_err(|reason| spot.reject("rewrite.regex", reason))?;
            Some((Box::new(regex), replacement_of(replacement).into_bytes().into()))
        }
        None => None,
    };
    Ok(Rewrite {
        path: wanted.path.as_deref().map(Arc::from),
        authority: wanted.authority.as_deref().map(Arc::from),
        regex,
    })
}

/// `\1` becomes `${1}`, `\\` a backslash, and `$` is literal. Source: RE2's rewrite syntax.
fn replacement_of(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '$' => out.push_str("$$"),
            '\\' => match characters.next() {
                Some(digit) if digit.is_ascii_digit() => {
                    out.push_str("${");
                    out.push(digit);
                    out.push('}');
                }
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out
}

/// A path is sent in the first line of a message: nothing may end that line, and what no request
/// may carry cannot be sent.
fn check_target(text: &str) -> Result<(), Reason> {
    if text.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'#') {
        return Err(format!(
            "{text:?} has spaces, control characters, '#' or letters beyond ASCII: escape them with %"
        ));
    }
    Ok(())
}

pub(super) fn retries(wanted: &Retries) -> Result<RetryPolicy, Reason> {
    if let Some(status) = wanted.statuses.iter().find(|status| !(100..=599).contains(*status)) {
        return Err(format!("{status} is not an HTTP status"));
    }
    Ok(RetryPolicy {
        attempts: wanted.attempts,
        per_try_timeout_ms: wanted.per_try_timeout_ms.filter(|timeout| *timeout > 0),
        on: wanted.on.iter().copied().collect(),
        statuses: wanted.statuses.clone().into(),
        backoff_ms: wanted.backoff_ms,
        avoid_previous_hosts: wanted.avoid_previous_hosts,
    })
}

fn fault(spot: &Spot<'_>, wanted: &HttpRule) -> Result<Option<Fault>, Rejected> {
    let Some(wanted) = &wanted.fault else { return Ok(None) };
    if let Some((status, _)) = wanted.abort.filter(|(status, _)| !(200..=599).contains(status)) {
        let reason = format!("{status} is not a status to abort with: use 200 to 599");
        return Err(spot.reject("fault.abort", reason));
    }
    let fault = Fault {
        delay: wanted.delay.filter(|(_, share)| *share > 0),
        abort: wanted.abort.filter(|(_, share)| *share > 0),
        abort_grpc: wanted.abort_grpc.filter(|(_, share)| *share > 0),
    };
    let is_none = fault.delay.is_none() && fault.abort.is_none() && fault.abort_grpc.is_none();
    Ok((!is_none).then_some(fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements() {
        for (wanted, expected) in [
            (r"/a/\1", "/a/${1}"),
            (r"\2\1x", "${2}${1}x"),
            ("$1", "$$1"),
            (r"\\1", r"\1"),
            (r"\0", "${0}"),
        ] {
            assert_eq!(replacement_of(wanted), expected, "{wanted}");
        }
    }
}
