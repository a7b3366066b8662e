//! What this node serves.

use std::sync::Arc;

use meshcore_model::{Protocol, Service, ServiceLabels, ServicePort, WorkloadLabels};

use crate::authorization::AuthorizationTable;
use crate::inbound::{Inbound, InboundPort};
use crate::labels;
use crate::rejected::Rejected;

use super::authorization;
use super::scope::{Scope, age, target_port};

/// Builds the ports of the node's application.
pub(super) fn build(
    scope: &Scope<'_>,
    workload: &Arc<WorkloadLabels>,
) -> Result<Inbound, Rejected> {
    let node = scope.node;
    let served = served(scope);
    let table = Arc::new(authorization::build(scope.mesh, node)?);
    let mut inbound = Inbound::default();
    for (position, port) in node.ports.iter().enumerate() {
        let mut of_port = served.iter().filter(|one| one.target == port.number).peekable();
        let first = of_port.peek().copied();
        let labels = match first {
            Some(first) => {
                let service = first.service;
                labels::service(&service.host, &service.name, &service.namespace)
            }
            None => of_no_service(workload),
        };
        for one in of_port {
            let key = (one.port.number, one.service.host.as_str().into());
            inbound.services.entry(key).or_insert(position);
        }
        inbound.ports.push(InboundPort {
            number: port.number,
            cluster: format!("inbound|{}||", port.number).into(),
            application: port.application,
            protocol: first.map_or(Protocol::Detect, |first| first.port.protocol),
            mtls: scope.modes.of(&node.namespace, &node.labels, port.number),
            authorization: Arc::clone(&table),
            service: labels::numbered_service(labels),
            workload: Arc::clone(workload),
        });
    }
    if node.intercepted {
        undeclared(scope, workload, &table, &mut inbound);
    }
    Ok(inbound)
}

fn of_no_service(workload: &WorkloadLabels) -> ServiceLabels {
    ServiceLabels {
        name: workload.canonical_service.clone(),
        namespace: workload.namespace.clone(),
        ..ServiceLabels::default()
    }
}

/// Connections to ports that the mesh does not know go where they were made to, under the
/// policies of the workload. Source: Istio's `InboundPassthroughCluster`.
fn undeclared(
    scope: &Scope<'_>,
    workload: &Arc<WorkloadLabels>,
    table: &Arc<AuthorizationTable>,
    inbound: &mut Inbound,
) {
    let node = scope.node;
    let service = labels::numbered_service(of_no_service(workload));
    let port = |number: u16| InboundPort {
        number,
        cluster: "InboundPassthroughCluster".into(),
        application: (node.address, number).into(),
        protocol: Protocol::Detect,
        mtls: scope.modes.of(&node.namespace, &node.labels, number),
        authorization: Arc::clone(table),
        service: Arc::clone(&service),
        workload: Arc::clone(workload),
    };
    let with_mode = scope.modes.ports(&node.namespace, &node.labels);
    let missing = with_mode.filter(|number| *number != 0 && inbound.port(*number).is_none());
    inbound.undeclared = missing.map(port).collect();
    inbound.rest = Some(port(0));
}

/// A port of a service that this node stands behind.
struct Served<'a> {
    service: &'a Service,
    port: &'a ServicePort,
    target: u16,
}

/// The services this node stands behind, the oldest first. Who may call does not matter here:
/// services that this node itself does not see are served too.
fn served<'a>(scope: &Scope<'a>) -> Vec<Served<'a>> {
    let mut services: Vec<&Service> = scope.mesh.services.iter().collect();
    services.sort_by(|a, b| age(&a.created, &a.origin).cmp(&age(&b.created, &b.origin)));
    let mut all = Vec::new();
    for service in services {
        for (port, target) in
            service.ports.iter().filter_map(|port| Some((port, target_on(scope, service, port)?)))
        {
            all.push(Served { service, port, target });
        }
    }
    all
}

/// The port of this node behind that port of a service, the oldest one first.
pub(super) fn target_of(scope: &Scope<'_>, number: u16) -> Option<u16> {
    let own = served(scope).into_iter();
    own.filter(|one| one.port.number == number).map(|one| one.target).next()
}

/// The port of this node behind a service's port.
fn target_on(scope: &Scope<'_>, service: &Service, port: &ServicePort) -> Option<u16> {
    let node = scope.node;
    let selected = service.selector.as_ref().is_some_and(|selector| {
        service.namespace == node.namespace && selector.selects(&node.labels)
    });
    let is_this = |address: &str| super::ip(address) == Some(node.address.to_canonical());
    let members = scope.members(service);
    let own = members.iter().find(|workload| {
        workload.namespace == node.namespace
            && (workload.name == node.name || service.selector.is_none())
            && is_this(&workload.address)
    });
    match own {
        Some(workload) => target_port(port, workload),
        // The mesh may not list the node as a workload yet.
        None if selected => match &port.target_port_name {
            None => Some(port.target_port.unwrap_or(port.number)),
            Some(_) => port.target_port,
        },
        None => None,
    }
}
