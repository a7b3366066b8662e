//! Stage: may the request go there?

use meshcore_model::{Failure, HookStage, Kind};
use meshcore_policy::{Verdict, authorize_http};
use meshcore_snapshot::AuthorizationTable;

use crate::client::Direction;
use crate::exchange::Exchange;
use crate::pipeline::Walk;
use crate::route::{Asked, Routed, To};

/// A request that may go where it wants. Only this stage makes one.
#[derive(Debug)]
pub(crate) struct Authorized<'s>(Routed<'s>);

impl<'s> Authorized<'s> {
    pub(crate) fn into_routed(self) -> Routed<'s> {
        self.0
    }
}

/// Asks the native policy, then the hooks; a gateway does so for whatever comes in. What leaves
/// an application is not judged here: the other side judges it, by an identity that it has
/// verified.
///
/// # Errors
///
/// `Denied`, or `Undecided` when a hook gave no answer and its declared answer is to deny.
pub(crate) async fn authorize<'s>(
    walk: &mut Walk<'_>,
    routed: Routed<'s>,
    exchange: &mut Exchange<'_>,
) -> Result<Authorized<'s>, Failure> {
    let (table, peer) = match (&routed.to, walk.client.direction) {
        (To::Application(port), _) => {
            (&port.authorization, walk.client.as_peer(walk.snapshot, port))
        }
        (_, Direction::Gateway) => {
            let gateway = walk.snapshot.gateway.as_ref().ok_or(Kind::NoRoute)?;
            (&gateway.authorization, walk.client.as_gateway_peer())
        }
        (_, Direction::Outbound | Direction::Inbound) => return Ok(Authorized(routed)),
    };
    let verdict = authorize_http(table, &Asked(exchange.head), &peer);
    if !verdict.allowed {
        return Err(Failure::because(Kind::Denied, reason(&verdict, table)));
    }
    walk.ask_about_request(HookStage::Authorize, routed.port, exchange).await?;
    Ok(Authorized(routed))
}

/// Names what decided: the rule that denies, or the policies of which none allows.
pub(crate) fn reason(verdict: &Verdict<'_>, table: &AuthorizationTable) -> String {
    if let Some(rule) = &verdict.by {
        return format!("{} rule {}", rule.origin, rule.index);
    }
    let policies: Vec<String> =
        table.enforced.allow_policies.iter().map(ToString::to_string).collect();
    format!("no rule allows it: {}", policies.join(", "))
}
