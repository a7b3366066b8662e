//! From resources to a snapshot.

mod asked;
mod authorization;
mod clusters;
mod endpoints;
mod gateway;
mod gateway_hosts;
mod gateway_tcp;
mod headers;
mod hosts;
mod inbound;
mod modes;
mod peers;
mod policies;
mod routes;
mod rules;
mod scope;
mod tcp;

use std::net::IpAddr;
use std::sync::Arc;

use meshcore_model::{Hook, Identity, Mesh, Node, Origin};

use crate::hooks::Hooks;
use crate::ids::Ids;
use crate::labels;
use crate::rejected::Rejected;
use crate::snapshot::Snapshot;

use scope::Scope;

pub(crate) use endpoints::resolve;

pub(crate) fn compile(
    mesh: &Mesh,
    node: &Node,
    hooks: &[Hook],
    previous: Option<&Snapshot>,
) -> Result<Snapshot, Rejected> {
    let mut ids = previous.map_or_else(Ids::default, |previous| (*previous.ids).clone());
    let mut endpoint_ids = previous.map(|previous| previous.endpoint_ids).unwrap_or_default();
    let scope = Scope::new(mesh, node)?;
    let workload = labels::numbered_workload(labels::workload(
        &node.name,
        &node.namespace,
        node.identity.as_str(),
        &node.labels,
    ));
    let catalog = clusters::Builder::new(&scope, previous, &mut ids, &mut endpoint_ids).build()?;
    let routes = routes::Routes::new(&scope, &catalog)?;
    let outbound = hosts::build(&scope, &catalog, &routes)?;
    let outbound = match &mesh.asked {
        Some(asked) => asked::narrow(outbound, asked),
        None => outbound,
    };
    let inbound = inbound::build(&scope, &workload)?;
    let gateway = gateway::build(&scope, &catalog)?;
    let peers = peers::build(&scope)?;
    Ok(Snapshot {
        revision: mesh.revision,
        node: node.clone(),
        settings: mesh.settings.clone(),
        workload,
        outbound: Arc::new(outbound),
        inbound: Arc::new(inbound),
        gateway: gateway.map(Arc::new),
        hooks: Arc::new(Hooks::new(hooks)),
        clusters: catalog.clusters,
        peers: Arc::new(peers),
        ids: Arc::new(ids),
        endpoint_ids,
    })
}

/// The identity of a service account, in the mesh's trust domain.
fn identity(
    scope: &Scope<'_>,
    origin: &Origin,
    namespace: &str,
    account: &str,
) -> Result<Identity, Rejected> {
    Identity::new(&scope.mesh.settings.trust_domain, namespace, account)
        .map_err(|error| Rejected::new(origin, "service_account", error.to_string()))
}

/// An address written as an IP.
fn ip(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
#[expect(clippy::too_many_lines, clippy::needless_pass_by_value, reason = "tables of cases")]
mod tests;
