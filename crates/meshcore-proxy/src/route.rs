//! Stage: where does the request go?

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use meshcore_http::{Method, RequestHead, Scheme};
use meshcore_model::{Failure, HookStage, Kind, OutboundPolicy};
use meshcore_policy::{Matched, normalize_path, select_route};
use meshcore_snapshot::{Authority, Cluster, InboundPort, Lookup, Redirect, Rule, RuleAction};
use meshcore_snapshot::{Snapshot, VirtualHost, WeightedDestination};

use crate::ask::{Wish, misplaced};
use crate::client::Direction;
use crate::discovery::{Answer, MAX_QUESTIONS};
use crate::exchange::Exchange;
use crate::gateway::find_host;
use crate::hooks::RouteTo;
use crate::pipeline::Walk;
use crate::timer::timeout;

/// A request that has somewhere to go.
#[derive(Debug)]
pub(crate) struct Routed<'s> {
    pub(crate) to: To<'s>,
    /// The rule that sent it there.
    pub(crate) matched: Option<Matched<'s>>,
    /// Port the request was sent to.
    pub(crate) port: u16,
}

/// What routing came to.
#[derive(Debug)]
pub(crate) enum Way<'s> {
    /// It is known where the request goes.
    To(Routed<'s>),
    /// The control plane was asked: the request is routed again when it has answered.
    Asked(Answer),
}

/// Where a request goes.
#[derive(Debug)]
pub(crate) enum To<'s> {
    /// To a service.
    Cluster(&'s Arc<Cluster>, Option<&'s WeightedDestination>),
    /// To the application beside us.
    Application(&'s InboundPort),
    /// To where the client wanted, which the mesh does not know.
    Address(SocketAddr),
    /// Back, to another address.
    Redirect(&'s Redirect),
    /// Back, with this answer.
    Respond(u16, &'s [u8]),
}

impl<'s> Routed<'s> {
    pub(crate) fn rule(&self) -> Option<&'s Rule> {
        self.matched.as_ref().map(|matched| matched.rule)
    }
}

/// What rules see of a request: the header table as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a>(pub(crate) &'a RequestHead);

impl meshcore_policy::Request for Asked<'_> {
    fn method(&self) -> &[u8] {
        self.0.method_bytes()
    }

    fn path(&self) -> &[u8] {
        self.0.path()
    }

    fn query(&self) -> Option<&[u8]> {
        self.0.query()
    }

    fn authority(&self) -> &[u8] {
        self.0.authority()
    }

    fn scheme(&self) -> &[u8] {
        self.0.scheme().name().as_bytes()
    }

    fn for_each_value<'v>(&'v self, name: &str, each: impl FnMut(&'v [u8])) {
        self.0.fields.values_named(name.as_bytes()).for_each(each);
    }
}

/// Finds where the request goes.
///
/// # Errors
///
/// `BadRequest` for a path or an authority that can be read in several ways; `NoRoute`,
/// `NoCluster` and `Blocked` when there is nowhere to go.
pub(crate) async fn route<'s>(
    walk: &mut Walk<'_>,
    snapshot: &'s Snapshot,
    exchange: &mut Exchange<'_>,
) -> Result<Way<'s>, Failure> {
    normalize(snapshot, exchange.head)?;
    match walk.client.direction {
        Direction::Inbound => route_inbound(walk, snapshot).map(Way::To),
        Direction::Outbound => route_outbound(walk, snapshot, exchange.head).await,
        Direction::Gateway => route_gateway(walk, snapshot, exchange.head).await,
    }
}

/// Brings the path to the one form that routing, policy, logs and the upstream see.
fn normalize(snapshot: &Snapshot, head: &mut RequestHead) -> Result<(), Failure> {
    if head.target().first() != Some(&b'/') {
        return Ok(()); // CONNECT, or OPTIONS *
    }
    let mode = snapshot.settings.path_normalization;
    let normal = normalize_path(head.path(), mode)
        .map_err(|malformed| Failure::because(Kind::BadRequest, malformed))?;
    if *normal == *head.path() {
        return Ok(());
    }
    let mut target = normal.into_owned();
    if let Some(query) = head.query() {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    head.set_target(&target).map_err(|bad| Failure::because(Kind::BadRequest, bad.reason()))
}

fn route_inbound<'s>(walk: &mut Walk<'_>, snapshot: &'s Snapshot) -> Result<Routed<'s>, Failure> {
    let number = walk.client.port;
    let port = walk.client.inbound_port(snapshot).ok_or_else(|| {
        Failure::because(Kind::NoRoute, format!("port {number} is not one of this workload"))
    })?;
    walk.record.service = Some(Arc::clone(&port.service));
    walk.record.cluster = Some(Arc::clone(&port.cluster));
    walk.record.route = Some(Arc::clone(&walk.worker.default_route));
    Ok(Routed { to: To::Application(port), matched: None, port: number })
}

async fn route_gateway<'s>(
    walk: &mut Walk<'_>,
    snapshot: &'s Snapshot,
    head: &mut RequestHead,
) -> Result<Way<'s>, Failure> {
    let is_tls = walk.client.entrance.as_ref().is_some_and(|entrance| entrance.is_tls());
    head.set_scheme(if is_tls { Scheme::Https } else { Scheme::Http }); // whatever it says itself
    let found = find_host(walk.client, snapshot, head)?;
    let way = route_to_service(walk, snapshot, head, found).await?;
    if let Way::To(Routed { to: To::Cluster(cluster, _), .. }) = way {
        walk.record.service = Some(Arc::clone(&cluster.service));
    }
    Ok(way)
}

async fn route_outbound<'s>(
    walk: &mut Walk<'_>,
    snapshot: &'s Snapshot,
    head: &RequestHead,
) -> Result<Way<'s>, Failure> {
    match snapshot.outbound.http(head.authority(), walk.client.original) {
        Lookup::Found { vhost, port } => {
            walk.record.service = Some(Arc::clone(&vhost.service));
            route_to_service(walk, snapshot, head, (vhost, port)).await
        }
        Lookup::Unknown { port } => match walk.ask_control_plane(head.authority()) {
            Some(answer) => Ok(Way::Asked(answer)),
            None => pass_through(walk, snapshot, head, port).await.map(Way::To),
        },
        Lookup::UnknownPort { port, .. } => {
            pass_through(walk, snapshot, head, port).await.map(Way::To)
        }
        Lookup::Malformed => {
            Err(Failure::because(Kind::BadRequest, "authority is not host[:port]"))
        }
    }
}

impl Walk<'_> {
    /// Asks the control plane for a host that the snapshot does not know. `None` when there is
    /// nothing to wait for.
    fn ask_control_plane(&mut self, authority: &[u8]) -> Option<Answer> {
        if self.questions >= MAX_QUESTIONS {
            return None;
        }
        self.questions = self.questions.saturating_add(1);
        self.worker.ask_authority(authority)
    }
}

async fn route_to_service<'s>(
    walk: &mut Walk<'_>,
    snapshot: &'s Snapshot,
    head: &RequestHead,
    (vhost, port): (&'s VirtualHost, u16),
) -> Result<Way<'s>, Failure> {
    if let Some(way) = ask_hooks(walk, snapshot, head, (vhost, port)).await? {
        return Ok(way);
    }
    let matched = select_route(vhost, port, &Asked(head)).ok_or(Kind::NoRoute)?;
    let rule = matched.rule;
    walk.record.route = Some(Arc::clone(matched.name));
    let to = match &rule.action {
        RuleAction::Redirect(redirect) => To::Redirect(redirect),
        RuleAction::Respond { status, body } => To::Respond(*status, body),
        RuleAction::Forward(destinations) => {
            let missing = || Failure::because(Kind::NoCluster, format!("rule of {}", rule.origin));
            let chosen = destinations.choose(walk.worker.random()).ok_or_else(missing)?;
            let cluster = chosen.cluster(port).ok_or_else(missing)?;
            To::Cluster(snapshot.cluster(cluster), Some(chosen))
        }
    };
    Ok(Way::To(Routed { to, matched: Some(matched), port }))
}

/// Asks the hooks that choose destinations; the first with an opinion decides.
async fn ask_hooks<'s>(
    walk: &mut Walk<'_>,
    snapshot: &'s Snapshot,
    head: &RequestHead,
    (vhost, port): (&'s VirtualHost, u16),
) -> Result<Option<Way<'s>>, Failure> {
    if snapshot.hooks.of(HookStage::Route).is_empty() {
        return Ok(None);
    }
    let (host, path, method) = (head.host(), head.path(), head.method_bytes());
    for hook in snapshot.hooks.for_request(HookStage::Route, host, path, method) {
        match walk.ask(hook, port, head, None).await? {
            Wish::Nothing => {}
            Wish::Edits(_) => return Err(misplaced(hook)),
            Wish::RouteTo(wanted) => {
                walk.record.route = Some(Arc::from(hook.hook.name.as_str()));
                if let Some(cluster) = find_cluster(snapshot, vhost, port, &wanted) {
                    let to = To::Cluster(cluster, None);
                    return Ok(Some(Way::To(Routed { to, matched: None, port })));
                }
                let host = wanted.host.as_deref().map(str::as_bytes);
                return match host.and_then(|host| walk.ask_control_plane(host)) {
                    Some(answer) => Ok(Some(Way::Asked(answer))),
                    None => Err(no_such_cluster(&hook.hook.name, &wanted)),
                };
            }
        }
    }
    Ok(None)
}

fn find_cluster<'s>(
    snapshot: &'s Snapshot,
    vhost: &'s VirtualHost,
    port: u16,
    wanted: &RouteTo,
) -> Option<&'s Arc<Cluster>> {
    let (host, port) = match &wanted.host {
        None => (&vhost.host, port),
        Some(host) => match snapshot.outbound.http(host.as_bytes(), None) {
            Lookup::Found { vhost, port } => (&vhost.host, port),
            Lookup::Unknown { .. } | Lookup::UnknownPort { .. } | Lookup::Malformed => return None,
        },
    };
    let subset = wanted.subset.as_deref().unwrap_or_default();
    snapshot.cluster_of(host, port, subset)
}

fn no_such_cluster(hook: &str, wanted: &RouteTo) -> Failure {
    let host = wanted.host.as_deref().unwrap_or("the request's host");
    let subset = wanted.subset.as_deref().unwrap_or("none");
    Failure::because(Kind::NoCluster, format!("{hook} chose {host}, subset {subset}"))
}

/// Lets a request for an unknown host go where the client wanted, if the mesh allows that.
async fn pass_through<'s>(
    walk: &mut Walk<'_>,
    snapshot: &Snapshot,
    head: &RequestHead,
    port: u16,
) -> Result<Routed<'s>, Failure> {
    match snapshot.settings.outbound_policy {
        OutboundPolicy::RegistryOnly => {
            walk.record.service = Some(Arc::clone(&walk.worker.black_hole));
            walk.record.cluster = Some(Arc::clone(&walk.worker.black_hole_cluster));
            Err(Kind::Blocked.into())
        }
        OutboundPolicy::AllowAny => {
            walk.record.service = Some(Arc::clone(&walk.worker.passthrough));
            walk.record.cluster = Some(Arc::clone(&walk.worker.passthrough_cluster));
            walk.record.route = Some(Arc::clone(&walk.worker.allow_any_route));
            let address = match walk.client.original {
                Some(original) => original,
                None => resolve(head, port).await?,
            };
            Ok(Routed { to: To::Address(address), matched: None, port })
        }
    }
}

/// The address of the authority itself, when nothing else says where the client wanted to go.
async fn resolve(head: &RequestHead, port: u16) -> Result<SocketAddr, Failure> {
    let malformed = || Failure::because(Kind::BadRequest, "authority is not host[:port]");
    let authority = Authority::parse(head.authority()).ok_or_else(malformed)?;
    let host = std::str::from_utf8(authority.host()).map_err(|_not_text| malformed())?;
    resolve_host(host, authority.address(), port).await
}

/// How long an answer of the resolver is waited for.
pub(crate) const LOOK_UP_WITHIN: Duration = Duration::from_secs(5);

/// Resolves `host` unless it is the address `literal`.
pub(crate) async fn resolve_host(
    host: &str,
    literal: Option<IpAddr>,
    port: u16,
) -> Result<SocketAddr, Failure> {
    if let Some(address) = literal {
        return Ok(SocketAddr::new(address, port));
    }
    let unknown = |cause: String| Failure::because(Kind::NoEndpoint, cause);
    let looking = tokio::net::lookup_host((host, port));
    let addresses: Vec<SocketAddr> = timeout(LOOK_UP_WITHIN, pin!(looking))
        .await
        .map_err(|_late| unknown(format!("{host}: no answer within {LOOK_UP_WITHIN:?}")))?
        .map_err(|error| unknown(format!("{host}: {error}")))?
        .collect();
    // One address is tried: more hosts have IPv6 addresses than are reached by them.
    let chosen = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    chosen.copied().ok_or_else(|| unknown(format!("{host}: no address")))
}

/// Whether the request opens a tunnel and is carried another way.
pub(crate) fn is_tunnel(head: &RequestHead) -> bool {
    head.method() == Method::Connect && head.protocol().is_none()
}
