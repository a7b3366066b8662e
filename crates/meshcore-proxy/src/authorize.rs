//! Stage: may the request go there?

use meshcore_model::{Failure, HookStage, Kind};
use meshcore_policy::{Peer, Verdict, authorize_http};
use meshcore_snapshot::InboundPort;

use crate::exchange::Exchange;
use crate::hooks::{Decision, View};
use crate::pipeline::Walk;
use crate::route::{Asked, Routed, To};
use crate::shape::apply_request_edits;

/// A request that may go where it wants. Only this stage makes one.
#[derive(Debug)]
pub(crate) struct Authorized<'s>(Routed<'s>);

impl<'s> Authorized<'s> {
    pub(crate) fn into_routed(self) -> Routed<'s> {
        self.0
    }
}

/// Asks the native policy, then the hooks. What leaves the application is not judged here: the
/// other side judges it, by an identity that it has verified.
///
/// # Errors
///
/// `Denied`, or `Undecided` when a hook gave no answer and its declared answer is to deny.
pub(crate) async fn authorize<'s>(
    walk: &mut Walk<'_>,
    routed: Routed<'s>,
    exchange: &mut Exchange<'_>,
) -> Result<Authorized<'s>, Failure> {
    if let To::Application(port) = routed.to {
        let verdict = judge(walk, port, exchange);
        if !verdict.allowed {
            return Err(Failure::because(Kind::Denied, reason(&verdict, port)));
        }
        ask_hooks(walk, port, exchange).await?;
    }
    Ok(Authorized(routed))
}

fn judge<'s>(walk: &Walk<'_>, port: &'s InboundPort, exchange: &Exchange<'_>) -> Verdict<'s> {
    let client = walk.client;
    let peer = Peer {
        identity: client.identity.as_ref(),
        address: client.peer.ip(),
        remote: client.peer.ip(),
        destination: (walk.snapshot.node.address, port.number).into(),
        sni: client.sni.as_deref(),
    };
    authorize_http(&port.authorization, &Asked(exchange.head), &peer)
}

/// Names what decided: the rule that denies, or the policies of which none allows.
pub(crate) fn reason(verdict: &Verdict<'_>, port: &InboundPort) -> String {
    if let Some(rule) = &verdict.by {
        return format!("{} rule {}", rule.origin, rule.index);
    }
    let policies: Vec<String> =
        port.authorization.enforced.allow_policies.iter().map(ToString::to_string).collect();
    format!("no rule allows it: {}", policies.join(", "))
}

async fn ask_hooks(
    walk: &mut Walk<'_>,
    port: &InboundPort,
    exchange: &mut Exchange<'_>,
) -> Result<(), Failure> {
    if walk.snapshot.hooks.of(HookStage::Authorize).is_empty() {
        return Ok(());
    }
    let snapshot = std::sync::Arc::clone(walk.snapshot);
    let host = exchange.head.host().to_ascii_lowercase();
    for hook in snapshot.hooks.of(HookStage::Authorize) {
        if !hook.meets(&host, exchange.head.path(), exchange.head.method_bytes()) {
            continue;
        }
        let view = View {
            request: exchange.head,
            response: None,
            identity: walk.client.identity.as_ref(),
            address: walk.client.peer.ip(),
            port: port.number,
            route: "",
        };
        match walk.worker.decide(&hook.hook, &view).await? {
            Decision::Abstain => {}
            Decision::Allow(edits) | Decision::Modify(edits) => {
                apply_request_edits(exchange.head, &edits)?;
            }
            Decision::Deny(denial) => {
                walk.record.denied_by = Some(hook.hook.name.as_str().into());
                walk.record.denial = Some(denial.clone());
                let why = format!("{}: {}", hook.hook.name, denial.reason);
                return Err(Failure::because(Kind::Denied, why));
            }
            Decision::RouteTo(_) => {
                let why = format!("{}: a route is no answer to authorize", hook.hook.name);
                return Err(Failure::because(Kind::Undecided, why));
            }
        }
    }
    Ok(())
}
