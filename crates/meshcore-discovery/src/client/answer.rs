//! What a client says on a stream.

use std::collections::HashMap;
use std::sync::Arc;

use crate::wire::{Any, DeltaRequest, HEALTH, Node, REFUSALS, RESOURCE, Status};

use super::collect::cut;
use super::held::Refusal;

/// Refusals that are told one by one.
const MAX_REFUSALS: usize = 100;
/// Codes of gRPC.
const CANCELLED: i32 = 1;
const INVALID_ARGUMENT: i32 = 3;
const UNAVAILABLE: i32 = 14;

/// The health of the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It takes requests.
    Healthy,
    /// It does not, and why.
    Unhealthy(String),
    /// It leaves, and is not to be called any more.
    Leaving,
}

/// The first request of a stream.
pub(super) fn hello(
    node: &Node,
    keys: &[Arc<str>],
    versions: HashMap<String, String>,
) -> DeltaRequest {
    DeltaRequest {
        node: Some(node.clone()),
        type_url: RESOURCE.to_owned(),
        resource_names_subscribe: keys.iter().map(ToString::to_string).collect(),
        initial_resource_versions: versions,
        ..DeltaRequest::default()
    }
}

/// Changes what is asked for.
pub(super) fn ask(more: Vec<String>, no_more: Vec<String>) -> DeltaRequest {
    DeltaRequest {
        type_url: RESOURCE.to_owned(),
        resource_names_subscribe: more,
        resource_names_unsubscribe: no_more,
        ..DeltaRequest::default()
    }
}

/// Says that a response is in force, but for what was refused.
pub(super) fn answer(nonce: String, refusals: &[Refusal]) -> DeltaRequest {
    DeltaRequest {
        type_url: RESOURCE.to_owned(),
        response_nonce: nonce,
        error_detail: (!refusals.is_empty()).then(|| refused(refusals)),
        ..DeltaRequest::default()
    }
}

fn refused(refusals: &[Refusal]) -> Status {
    let told = refusals.get(..MAX_REFUSALS).unwrap_or(refusals);
    let first = refusals.first().map_or_else(String::new, |refusal| {
        format!(": {}: {}", cut(&refusal.name), refusal.reason)
    });
    Status {
        code: INVALID_ARGUMENT,
        message: format!("{} refused{first}", refusals.len()),
        details: vec![Any {
            type_url: REFUSALS.to_owned(),
            value: serde_json::to_vec(told).unwrap_or_default().into(),
        }],
    }
}

/// Tells the health of the application.
pub(super) fn health(health: &Health) -> DeltaRequest {
    let status =
        |code, message: &str| Status { code, message: message.to_owned(), details: vec![] };
    DeltaRequest {
        type_url: HEALTH.to_owned(),
        error_detail: match health {
            Health::Healthy => None,
            Health::Unhealthy(why) => Some(status(UNAVAILABLE, why)),
            Health::Leaving => Some(status(CANCELLED, "the workload leaves")),
        },
        ..DeltaRequest::default()
    }
}
