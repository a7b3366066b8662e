//! Changes of the mesh's documents.

use std::collections::BTreeSet;
use std::time::Instant;

use meshcore_model::{Resource, Trust};

use super::Server;
use super::state::State;
use crate::registry::{Registration, admit};
use crate::world::{Look, Name, Stored, TRUST};

/// Longest name of a resource.
const MAX_NAME_BYTES: usize = 1024;
/// Largest resource: it must fit into one message. Source: gRPC's default limit of 4 MiB.
const MAX_VALUE_BYTES: usize = 3 << 20;

/// A change that was not taken. Nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// The revision is not newer than the one that holds.
    #[error("revision {offered} is not newer than {current}")]
    Stale {
        /// The one offered.
        offered: u64,
        /// The one that holds.
        current: u64,
    },
    /// A resource cannot be taken.
    #[error("{name}: {reason}")]
    Refused {
        /// Its name.
        name: String,
        /// Why, and what to do.
        reason: String,
    },
}

impl Server {
    /// Puts resources in place, as pairs of a name and the JSON of a [`Resource`], and removes
    /// others; clients are told what concerns them. The first one opens the server.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; nothing has changed then.
    pub fn update<V: AsRef<[u8]>>(
        &self,
        revision: u64,
        changed: &[(String, V)],
        removed: &[String],
    ) -> Result<(), UpdateError> {
        // Read before the lock is taken: streams go on meanwhile.
        let read = changed.iter().map(|(name, json)| read(name, json.as_ref()));
        let changed = read.collect::<Result<Vec<_>, _>>()?;
        let mut names = BTreeSet::new();
        for name in changed.iter().map(|(name, _)| &**name).chain(removed.iter().map(|n| &**n)) {
            if !names.insert(name) {
                return Err(refused(name, "is named twice in one change"));
            }
        }
        let removed = removed.iter().map(|name| Name::from(name.as_str())).collect();
        self.state.lock().update(revision, changed, removed, Instant::now())?;
        self.is_ready.send_replace(true);
        Ok(())
    }
}

impl Server {
    /// Whom the mesh trusts from now on: it comes from the authority, not from documents.
    ///
    /// # Errors
    ///
    /// [`UpdateError`] if it cannot be a resource.
    pub fn set_trust(&self, trust: Trust) -> Result<(), UpdateError> {
        let json = serde_json::to_vec(&Resource::Trust(Box::new(trust)));
        let json = json.map_err(|error| refused(TRUST, error.to_string()))?;
        let stored = Stored::read(&json).map_err(|error| refused(TRUST, error.to_string()))?;
        self.state.lock().apply(vec![(TRUST.into(), stored)], Vec::new(), Instant::now());
        Ok(())
    }
}

fn refused(name: &str, reason: impl Into<String>) -> UpdateError {
    UpdateError::Refused { name: name.chars().take(200).collect(), reason: reason.into() }
}

fn read(name: &str, json: &[u8]) -> Result<(Name, Stored), UpdateError> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(|c: char| c.is_control()) {
        let reason = format!("is no name of a resource: 1 to {MAX_NAME_BYTES} bytes");
        return Err(refused(name, reason));
    }
    if json.len() > MAX_VALUE_BYTES {
        let reason = format!("has {} bytes, and {MAX_VALUE_BYTES} are the most", json.len());
        return Err(refused(name, reason));
    }
    let stored = Stored::read(json).map_err(|error| refused(name, error.to_string()))?;
    if matches!(*stored.resource, Resource::Found(_)) {
        return Err(refused(name, "is an answer, which only the server makes"));
    }
    if name == TRUST || matches!(*stored.resource, Resource::Trust(_)) {
        return Err(refused(name, "is what the authority says, which no document can"));
    }
    Ok((name.into(), stored))
}

impl State {
    /// As [`Server::update`].
    pub(crate) fn update(
        &mut self,
        revision: u64,
        changed: Vec<(Name, Stored)>,
        removed: Vec<Name>,
        now: Instant,
    ) -> Result<(), UpdateError> {
        if let Some(current) = self.revision.filter(|current| *current >= revision) {
            return Err(UpdateError::Stale { offered: revision, current });
        }
        let names = changed.iter().map(|(name, _)| name).chain(&removed);
        if let Some(name) = names.into_iter().find(|name| self.registry.get(name).is_some()) {
            return Err(refused(name, "is the name of a workload that registered itself"));
        }
        let is_first = self.revision.replace(revision).is_none();
        let mut touched = self.world.apply(changed, removed);
        let registrations = self.concerned(is_first, &touched.looks);
        let more = self.world.apply(registrations, []);
        touched.names.extend(more.names);
        touched.looks.extend(more.looks);
        self.tell(&touched, now);
        if is_first {
            for client in self.clients.values() {
                client.wake.notify_one();
            }
        }
        Ok(())
    }

    /// The workloads that registered, as they are with the documents of now. What may not stand
    /// where it stands any more is withdrawn.
    fn concerned(&self, all: bool, looks: &std::collections::HashSet<Look>) -> Vec<(Name, Stored)> {
        let namespaces: BTreeSet<&str> = looks.iter().filter_map(namespace).collect();
        let is_concerned = |registration: &Registration| {
            all || namespaces.contains("*")
                || namespaces.contains(registration.identity.namespace())
        };
        let entries = self.registry.all().filter(|(_, entry)| is_concerned(&entry.registration));
        let stored = entries
            .filter_map(|(name, entry)| Some((name.clone(), self.standing(&entry.registration)?)));
        stored.collect()
    }

    /// A workload that registered, as a resource.
    pub(crate) fn standing(&self, registration: &Registration) -> Option<Stored> {
        let plain =
            Registration { labels: std::collections::BTreeMap::new(), ..registration.clone() };
        let is_admitted = |one: &&Registration| admit(&self.world, one).is_ok();
        let admitted = [registration, &plain].into_iter().find(is_admitted);
        let shown = admitted.unwrap_or(registration);
        let stored = shown.stored(&self.world).ok()?;
        Some(Stored { is_withdrawn: stored.is_withdrawn || admitted.is_none(), ..stored })
    }
}

/// The namespace whose registrations may follow from what is at a place; `*` is all of them.
fn namespace(look: &Look) -> Option<&str> {
    match look {
        Look::Selecting(namespace, _) => Some(namespace),
        Look::Named(name) if &**name == crate::world::SETTINGS => Some("*"),
        Look::Named(name) => {
            let (_, rest) =
                name.split_once('/').filter(|(kind, _)| matches!(*kind, "group" | "service"))?;
            rest.split('/').next()
        }
        Look::Everything
        | Look::Host(_)
        | Look::Virtual(_)
        | Look::Blocks
        | Look::Opaque
        | Look::Listing(_)
        | Look::Members(_)
        | Look::Labelled(..)
        | Look::At(_)
        | Look::Route(_)
        | Look::Bound(_)
        | Look::Gateways
        | Look::Credentials(_)
        | Look::Policy(..)
        | Look::PeerAuths(_)
        | Look::Authorizations(_) => None,
    }
}
