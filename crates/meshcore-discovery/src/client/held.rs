//! The resources that a client has, and how a change of them is put in force.
//!
//! A resource that is refused is put back to what was in force, and the others of its change are
//! put in force. A policy of which nothing was in force is replaced by one that refuses all that
//! it selects: without it, more would be let through than is wanted.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use meshcore_model::{AccessLog, Mesh, Origin, Resource};
use serde_json::Value;

use super::stand_in::stand_in;

/// How often what is left of a change is tried again without what was refused. After that, all of
/// it is refused: each try compiles.
const TRIES: usize = 32;

/// Puts a mesh in force.
pub trait Sink: Send {
    /// Puts it in force as a whole, or changes nothing.
    ///
    /// # Errors
    ///
    /// Why it cannot be put in force.
    fn apply(&mut self, mesh: &Mesh) -> Result<(), Unfit>;

    /// What services have carried since the beginning, by host: requests, connections, bytes.
    fn carried(&self) -> HashMap<String, u64>;
}

/// Why a mesh cannot be put in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// The document whose fault it is, if it is one's.
    pub origin: Option<Box<Origin>>,
    /// What is wrong.
    pub reason: String,
}

/// A resource that was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    /// Name of the resource.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What a response changes.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// Revision of the control plane.
    pub(super) revision: String,
    /// New or changed resources.
    pub(super) given: Vec<Given>,
    /// Names of those that are gone.
    pub(super) removed: Vec<String>,
}

/// A resource as it came.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) name: String,
    pub(super) version: String,
    /// JSON.
    pub(super) value: Bytes,
}

/// All resources, by name.
#[derive(Debug, Default)]
pub struct Held {
    resources: BTreeMap<Arc<str>, One>,
    /// Revision of what is in force here: never smaller than one before.
    revision: u64,
    /// Revision as the control plane says it.
    pub(super) said: String,
    /// In place of the mesh's access log.
    access_log: Option<AccessLog>,
}

#[derive(Debug, Clone)]
struct One {
    version: String,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Given(Arc<Resource>),
    /// In place of a policy that was refused, and the policy as it came.
    StandIn(Arc<[Resource]>, Value),
}

/// A resource as it is kept for the next start.
#[derive(Debug, serde::Serialize)]
#[serde(untagged)]
pub(super) enum Kept<'a> {
    InForce(&'a Resource),
    /// What is refused now is refused then, and something strict stands in for it again.
    Refused(&'a Value),
}

/// What a change replaced, by name.
type Before = HashMap<Arc<str>, Option<One>>;

impl Held {
    pub(super) fn new(access_log: Option<AccessLog>) -> Self {
        Self { access_log, ..Self::default() }
    }

    /// Puts a change in force; returns what was refused of it.
    pub(super) fn put(&mut self, change: Change, sink: &mut dyn Sink) -> Vec<Refusal> {
        let said = std::mem::replace(&mut self.said, change.revision);
        self.revision = self.said.parse().map_or(self.revision, |said| self.revision.max(said));
        let mut before = Before::new();
        let mut refusals = Vec::new();
        for name in change.removed {
            let name = Arc::from(name);
            let gone = self.resources.remove(&name);
            before.entry(name).or_insert(gone);
        }
        for Given { name, version, value } in change.given {
            let name: Arc<str> = name.into();
            match serde_json::from_slice::<Resource>(&value) {
                Ok(resource) => {
                    let one = One { version, content: Content::Given(Arc::new(resource)) };
                    let replaced = self.resources.insert(Arc::clone(&name), one);
                    before.entry(name).or_insert(replaced);
                }
                Err(error) => {
                    let reason = format!("cannot be read: {error}");
                    refusals.push(Refusal { name: name.to_string(), reason });
                    if !self.has_in_force(&name) {
                        before.entry(Arc::clone(&name)).or_insert(None);
                        self.replace(&name, version, &value);
                    }
                }
            }
        }
        if !before.is_empty() && !self.settle(&mut before, &mut refusals, sink) {
            self.said = said;
        }
        refusals
    }

    /// Puts all that is held in force with another sink, whose first it is; returns what was
    /// refused and is held no more.
    pub(super) fn put_all(&mut self, sink: &mut dyn Sink) -> Vec<Refusal> {
        let mut before: Before =
            self.resources.keys().map(|name| (Arc::clone(name), None)).collect();
        let mut refusals = Vec::new();
        self.settle(&mut before, &mut refusals, sink);
        refusals
    }

    /// Puts what is held in force without what is refused; whether anything of the change was.
    fn settle(
        &mut self,
        before: &mut Before,
        refusals: &mut Vec<Refusal>,
        sink: &mut dyn Sink,
    ) -> bool {
        for _try in 0..TRIES {
            let Err(unfit) = self.tried(sink) else { return true };
            let at_fault = |name: &&Arc<str>| {
                let one = self.resources.get(*name);
                one.is_some_and(|one| one.is_of(unfit.origin.as_deref()))
            };
            let names: Vec<Arc<str>> = before.keys().filter(at_fault).cloned().collect();
            if names.is_empty() {
                self.put_back(before, refusals, &unfit.reason);
                let _as_before = self.tried(sink); // but for policies that stand in
                return false;
            }
            for name in names {
                self.refuse(&name, before, unfit.reason.clone(), refusals);
            }
        }
        self.put_back(before, refusals, "refused with others of its change, which has many faults");
        let _as_before = self.tried(sink); // but for policies that stand in
        false
    }

    /// Puts what is held in force. A panic refuses it, as any other fault does: what is in force
    /// is replaced as a whole or not at all.
    fn tried(&self, sink: &mut dyn Sink) -> Result<(), Unfit> {
        let trying = AssertUnwindSafe(|| sink.apply(&self.mesh()));
        let panicked = |_| {
            let reason = "it makes the data plane panic, please report it".to_owned();
            Err(Unfit { origin: None, reason })
        };
        catch_unwind(trying).unwrap_or_else(panicked)
    }

    /// Refuses one resource of a change.
    fn refuse(
        &mut self,
        name: &Arc<str>,
        before: &mut Before,
        reason: String,
        refusals: &mut Vec<Refusal>,
    ) {
        let Some(earlier) = before.remove(name) else { return };
        let refused = self.resources.remove(name);
        refusals.push(Refusal { name: name.to_string(), reason });
        match earlier {
            Some(earlier) if matches!(earlier.content, Content::Given(_)) => {
                self.resources.insert(Arc::clone(name), earlier);
            }
            Some(_) | None => {
                let Some(One { version, content: Content::Given(resource) }) = refused else {
                    return;
                };
                let value = serde_json::to_vec(&*resource).unwrap_or_default();
                self.replace(name, version, &value);
            }
        }
    }

    /// Refuses all that is left of a change.
    fn put_back(&mut self, before: &mut Before, refusals: &mut Vec<Refusal>, reason: &str) {
        let mut names: Vec<Arc<str>> = before.keys().cloned().collect();
        names.sort();
        for name in names {
            let held = self.resources.get(&name).map(|one| &one.content);
            match held {
                Some(Content::Given(_)) => {
                    self.refuse(&name, before, reason.to_owned(), refusals);
                }
                Some(Content::StandIn(..)) => {}
                None => {
                    // It was to be removed.
                    let earlier = before.remove(&name).flatten();
                    self.resources.extend(earlier.map(|earlier| (name, earlier)));
                }
            }
        }
    }

    /// Lets something strict stand in for a policy that was refused.
    fn replace(&mut self, name: &Arc<str>, version: String, value: &[u8]) {
        let strict = stand_in(name, value);
        if !strict.is_empty() {
            let value = serde_json::from_slice(value).unwrap_or_default();
            let content = Content::StandIn(strict.into(), value);
            self.resources.insert(Arc::clone(name), One { version, content });
        }
    }

    fn has_in_force(&self, name: &str) -> bool {
        let one = self.resources.get(name);
        one.is_some_and(|one| matches!(one.content, Content::Given(_)))
    }

    /// The mesh as far as it is known here.
    pub fn mesh(&self) -> Mesh {
        let mut mesh = Mesh { revision: self.revision, ..Mesh::default() };
        let mut asked = Vec::new();
        for (name, one) in &self.resources {
            let all = match &one.content {
                Content::Given(resource) => std::slice::from_ref(&**resource),
                Content::StandIn(strict, _) => strict,
            };
            for resource in all {
                add(&mut mesh, &mut asked, (name, resource));
            }
        }
        if !self.resources.contains_key("*") {
            mesh.asked = Some(asked);
        }
        if let Some(wanted) = &self.access_log {
            mesh.settings.access_log = Some(wanted.clone());
        }
        mesh
    }

    /// The names that a key stands for; `None` if it is not answered.
    pub fn found(&self, key: &str) -> Option<&[String]> {
        match self.get(key) {
            Some(Resource::Found(names)) => Some(names),
            Some(_) | None => None,
        }
    }

    /// The host of the service of this name, if it is one.
    pub(super) fn host(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Resource::Service(service)) => Some(&service.host),
            Some(_) | None => None,
        }
    }

    /// The resource of a name.
    pub fn get(&self, name: &str) -> Option<&Resource> {
        match &self.resources.get(name)?.content {
            Content::Given(resource) => Some(resource),
            Content::StandIn(..) => None,
        }
    }

    /// All resources as they came, with their versions.
    pub(super) fn given(&self) -> impl Iterator<Item = (&str, &str, &Resource)> {
        self.resources.iter().filter_map(|(name, one)| match &one.content {
            Content::Given(resource) => Some((&**name, &*one.version, &**resource)),
            Content::StandIn(..) => None,
        })
    }

    /// All that the next start begins with.
    pub(super) fn kept(&self) -> impl Iterator<Item = (&str, &str, Kept<'_>)> {
        self.resources.iter().map(|(name, one)| {
            let kept = match &one.content {
                Content::Given(resource) => Kept::InForce(resource),
                Content::StandIn(_, value) => Kept::Refused(value),
            };
            (&**name, &*one.version, kept)
        })
    }

    /// Versions of what is in force as it came: what is refused is sent again.
    pub(super) fn versions(&self) -> HashMap<String, String> {
        self.given().map(|(name, version, _)| (name.to_owned(), version.to_owned())).collect()
    }

    /// Revision in force.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How many resources there are.
    pub(super) fn count(&self) -> usize {
        self.resources.len()
    }
}

impl One {
    /// Whether the document of `origin` is in it.
    fn is_of(&self, origin: Option<&Origin>) -> bool {
        let Some(wanted) = origin else { return false };
        let is_it = |origin: &Origin| {
            (&origin.kind, &origin.namespace, &origin.name)
                == (&wanted.kind, &wanted.namespace, &wanted.name)
        };
        let Content::Given(resource) = &self.content else { return false };
        match &**resource {
            Resource::Service(service) => {
                is_it(&service.origin) || service.endpoints.iter().any(|one| is_it(&one.origin))
            }
            Resource::Workload(workload) => is_it(&workload.origin),
            Resource::Route(route) => is_it(&route.origin),
            Resource::TrafficPolicy(policy) => is_it(&policy.origin),
            Resource::PeerAuth(policy) => is_it(&policy.origin),
            Resource::Authorization(policy) => is_it(&policy.origin),
            Resource::WorkloadGroup(group) => is_it(&group.origin),
            Resource::Gateway(gateway) => is_it(&gateway.origin),
            Resource::Credential(credential) => is_it(&credential.origin),
            Resource::Settings(_) | Resource::Trust(_) | Resource::Found(_) => false,
        }
    }
}

fn add(mesh: &mut Mesh, asked: &mut Vec<String>, (name, resource): (&str, &Resource)) {
    match resource {
        Resource::Settings(settings) => mesh.settings = (**settings).clone(),
        Resource::Service(service) => mesh.services.push((**service).clone()),
        Resource::Workload(workload) => mesh.workloads.push((**workload).clone()),
        Resource::Route(route) => mesh.routes.push((**route).clone()),
        Resource::TrafficPolicy(policy) => mesh.traffic_policies.push((**policy).clone()),
        Resource::PeerAuth(policy) => mesh.peer_auths.push((**policy).clone()),
        Resource::Authorization(policy) => mesh.authorizations.push((**policy).clone()),
        Resource::WorkloadGroup(group) => mesh.workload_groups.push((**group).clone()),
        Resource::Gateway(gateway) => mesh.gateways.push((**gateway).clone()),
        Resource::Credential(credential) => mesh.credentials.push((**credential).clone()),
        Resource::Trust(_) => {} // of certificates, not of the data plane
        Resource::Found(names) => {
            if let Some(host) = name.strip_prefix("host/").filter(|_| !names.is_empty()) {
                asked.push(host.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests;
