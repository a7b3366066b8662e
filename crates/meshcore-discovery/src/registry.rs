//! Workloads that registered themselves: who may, how long they stay, and where they are kept.

mod admission;
mod registration;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use admission::admit;
pub(crate) use registration::Registration;
pub(crate) use store::{Store, StoreError, Write};

use meshcore_model::Identity;

use crate::world::{Name, Stored, World};

/// With fewer workloads that are gone than this, they are gone and not cut off.
const FEWEST_HELD: usize = 3;
/// How long workloads are held at most: by then somebody has looked why most are gone.
const HELD_AT_MOST: Duration = Duration::from_hours(1);
/// Registrations of one identity at most, those that are gone among them.
const MOST_OF_ONE: usize = 1_000;

/// All registrations by the name of their resource.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    entries: BTreeMap<Name, Entry>,
    is_holding: bool,
}

/// A registration and the stream that keeps it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) registration: Registration,
    /// The stream; `None` when it is gone.
    pub(crate) stream: Option<u64>,
    /// When the stream was gone, or the registry was read.
    pub(crate) gone_since: Option<Instant>,
}

impl Registry {
    /// Takes what was kept. Its streams are gone, as of now.
    pub(crate) fn restore(&mut self, kept: Vec<Registration>, now: Instant) {
        for registration in kept {
            let entry = Entry { stream: None, gone_since: Some(now), registration };
            self.entries.insert(entry.registration.resource(), entry);
        }
    }

    /// Puts a registration in place of what had its name.
    pub(crate) fn enter(&mut self, registration: Registration, stream: u64) {
        let name = registration.resource();
        let entry = Entry { registration, stream: Some(stream), gone_since: None };
        self.entries.insert(name, entry);
    }

    /// A registration.
    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// Sets the health of what a stream registered; whether that is other than before.
    pub(crate) fn set_health(&mut self, name: &str, stream: u64, is_healthy: bool) -> bool {
        let own = self.entries.get_mut(name).filter(|entry| entry.stream == Some(stream));
        let Some(entry) = own else { return false };
        std::mem::replace(&mut entry.registration.is_healthy, is_healthy) != is_healthy
    }

    /// A workload has left in order: it is removed at once. Whether it was there.
    pub(crate) fn remove(&mut self, name: &str, stream: u64) -> bool {
        let is_own = self.entries.get(name).is_some_and(|entry| entry.stream == Some(stream));
        is_own && self.entries.remove(name).is_some()
    }

    /// A stream has ended: what it registered stays for a while.
    pub(crate) fn disconnect(&mut self, name: &str, stream: u64, now: Instant) {
        if let Some(entry) = self.entries.get_mut(name)
            && entry.stream == Some(stream)
        {
            entry.stream = None;
            entry.gone_since = Some(now);
        }
    }

    /// Removes what has been gone for longer than `grace`, and names it.
    ///
    /// When more than half of all are gone, and more than a few, it is this server that is cut
    /// off, or that has just come back: all are held until most are back, or an hour has passed.
    pub(crate) fn expire(&mut self, grace: Duration, now: Instant) -> Vec<Name> {
        let gone = self.entries.values().filter(|entry| entry.stream.is_none()).count();
        let expired = self.entries.iter().filter(|(_, entry)| entry.is_expired(grace, now));
        let expired: Vec<Name> = expired.map(|(name, _)| Arc::clone(name)).collect();
        let are_most = gone >= FEWEST_HELD && gone.saturating_mul(2) > self.entries.len();
        self.is_holding = are_most && !expired.is_empty();
        let is_held = |name: &Name| {
            let entry = self.entries.get(name);
            self.is_holding && entry.is_some_and(|entry| !entry.is_expired(HELD_AT_MOST, now))
        };
        let expired: Vec<Name> = expired.into_iter().filter(|name| !is_held(name)).collect();
        for name in &expired {
            self.entries.remove(name);
        }
        expired
    }

    /// Whether an identity may register one more. What is gone counts until it is removed.
    pub(crate) fn has_room_for(&self, identity: &Identity) -> bool {
        let of = |entry: &&Entry| entry.registration.identity == *identity;
        self.entries.values().filter(of).count() < MOST_OF_ONE
    }

    /// Whether workloads are held that would be removed else.
    pub(crate) const fn is_holding(&self) -> bool {
        self.is_holding
    }

    /// All registrations, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Name, &Entry)> {
        self.entries.iter()
    }
}

impl Entry {
    fn is_expired(&self, grace: Duration, now: Instant) -> bool {
        let gone = self.gone_since.map(|since| now.saturating_duration_since(since));
        self.stream.is_none() && gone.is_some_and(|gone| gone >= grace)
    }
}

impl Registration {
    /// The workload as a resource, withdrawn while it is not healthy.
    pub(crate) fn stored(&self, world: &World) -> Result<Stored, serde_json::Error> {
        let workload = meshcore_model::Resource::Workload(Box::new(self.workload(world)));
        Ok(Stored { is_withdrawn: !self.is_healthy, ..Stored::new(workload)? })
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "tables of cases")]
mod tests;
