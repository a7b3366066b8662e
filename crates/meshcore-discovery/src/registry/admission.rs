//! Who may register what.
//!
//! A workload that registers is sent traffic that others mean for a service, so it must be one
//! that the mesh's documents let stand there. The namespace and the service account are those of
//! the proved identity. It may stand behind a service of its own namespace when one of these holds:
//!
//! - it registers with a WorkloadGroup of the namespace that has its service account, and whose
//!   labels the service selects;
//! - its service account has the name of the service;
//! - the service names its identity in `subjectAltNames`;
//! - documents list a workload of its service account behind the service.
//!
//! Its labels must not put it behind a further service on which it has none of these rights,
//! unless that follows from the labels that documents give it, or the further service only
//! selects among the workloads of one that it has the right to.

use meshcore_model::{Identity, Resource, Selector, Service};

use super::Registration;
use super::registration::{is_narrower, service_of, services};
use crate::world::{Look, World};

/// Whether a workload may register.
///
/// # Errors
///
/// Why not, and what to do.
pub(crate) fn admit(world: &World, wanted: &Registration) -> Result<(), String> {
    let identity = &wanted.identity;
    let (namespace, account) = (identity.namespace(), identity.service_account());
    if let Some(name) = &wanted.group {
        let group = wanted.group_in(world).ok_or_else(|| {
            format!("there is no WorkloadGroup {namespace}/{name} to register with")
        })?;
        if group.service_account != account {
            return Err(format!(
                "WorkloadGroup {namespace}/{name} is for the service account {}, and this is {account}",
                group.service_account
            ));
        }
    }
    let service = service_of(world, namespace, &wanted.service);
    let by_group = wanted.group_in(world).is_some_and(|group| {
        let selector = service.and_then(|service| service.selector.as_ref());
        selector.is_none_or(|selector| selector.selects(&group.labels))
    });
    let has_right = by_group
        || service.is_some_and(|service| may_serve(world, identity, service))
        || wanted.service.split('.').next() == Some(account);
    if !has_right {
        return Err(format!(
            "{identity} may not stand behind {}: use the service account of that name, or a \
             WorkloadGroup that has this one",
            wanted.service
        ));
    }
    let labels = wanted.workload(world).labels;
    let granted = wanted.granted(world).cloned().unwrap_or_default();
    let own = service.and_then(|service| service.selector.as_ref());
    let further = services_selecting(world, namespace, &labels).find(|further| {
        let selector = further.selector.as_ref();
        let follows = selector.is_some_and(|selector| {
            selector.selects(&granted) || own.is_some_and(|own| is_narrower(selector, own))
        });
        !follows && further.host != wanted.service && !may_serve(world, identity, further)
    });
    match further {
        None => Ok(()),
        Some(further) => Err(format!(
            "its labels would put it behind {} too, where {identity} may not stand: leave them \
             out, or register with a WorkloadGroup that has them",
            further.host
        )),
    }
}

/// Whether documents let an identity stand behind a service of its namespace.
fn may_serve(world: &World, identity: &Identity, service: &Service) -> bool {
    let account = identity.service_account();
    service.name == account
        || service.subject_alt_names.iter().any(|name| name == identity.as_str())
        || service.endpoints.iter().any(|listed| {
            listed.namespace == identity.namespace() && listed.service_account == account
        })
        || service.selector.as_ref().is_some_and(|selector| has_member(world, identity, selector))
}

/// Whether a document has a workload of this identity that a selector selects.
fn has_member(world: &World, identity: &Identity, selector: &Selector) -> bool {
    let namespace = identity.namespace();
    world.at(&Look::Members(namespace.into())).any(|(_, resource)| {
        let Resource::Workload(workload) = resource else { return false };
        workload.origin.kind != "Registration"
            && workload.service_account == identity.service_account()
            && selector.selects(&workload.labels)
    })
}

fn services_selecting<'a>(
    world: &'a World,
    namespace: &str,
    labels: &'a meshcore_model::Labels,
) -> impl Iterator<Item = &'a Service> {
    let first = labels.iter().map(|(key, value)| {
        let label = (key.as_str().into(), value.as_str().into());
        Look::Selecting(namespace.into(), Some(label))
    });
    let looks: Vec<Look> = first.chain([Look::Selecting(namespace.into(), None)]).collect();
    let all = looks.into_iter().flat_map(move |look| services(world, &look).collect::<Vec<_>>());
    all.filter(move |service| {
        service.selector.as_ref().is_some_and(|selector| selector.selects(labels))
    })
}
