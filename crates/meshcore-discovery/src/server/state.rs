//! All that changes, in one place: what holds, and what each client is told of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshcore_model::{Identity, Settings};

use super::Limits;
use super::answers::{Answers, Difference};
use super::client::{Client, ClientId};
use super::counts::Counts;
use super::node::Facts;
use crate::registry::Registry;
use crate::world::{Name, Stored, Touched, World};

/// The server without its connections. No method waits.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) answers: Answers,
    pub(crate) clients: HashMap<ClientId, Client>,
    pub(crate) registry: Registry,
    pub(crate) counts: Counts,
    /// `None` until the mesh is known.
    pub(crate) revision: Option<u64>,
    pub(crate) limits: Limits,
    /// Of the program.
    pub(super) version: String,
    pub(super) last_client: ClientId,
    pub(super) last_nonce: u64,
}

impl State {
    pub(crate) fn new(settings: Settings, limits: Limits) -> Self {
        let mut world = World::default();
        world.set_defaults(settings);
        Self {
            world,
            answers: Answers::default(),
            clients: HashMap::new(),
            registry: Registry::default(),
            counts: Counts::default(),
            revision: None,
            limits,
            version: String::new(),
            last_client: 0,
            last_nonce: 0,
        }
    }

    /// A number for a stream that begins.
    pub(crate) fn number(&mut self) -> ClientId {
        self.last_client = self.last_client.saturating_add(1);
        self.last_client
    }

    /// Takes a client in. It sees the mesh with the eyes of the namespace that it proved, or,
    /// where nothing needs to be proved, says it is of.
    pub(crate) fn join(
        &mut self,
        id: ClientId,
        facts: Facts,
        identity: Option<Identity>,
        now: Instant,
    ) {
        let seen_from = identity.as_ref().map_or(&*facts.namespace, Identity::namespace);
        let namespace = Name::from(seen_from);
        let mut client = Client::new(facts, namespace, now);
        client.identity = identity;
        self.clients.insert(id, client);
        self.counts.streams = self.counts.streams.saturating_add(1);
    }

    /// A stream has ended.
    pub(crate) fn leave(&mut self, id: ClientId, now: Instant) {
        let Some(client) = self.clients.remove(&id) else { return };
        for asked in client.keys.values() {
            self.answers.unsubscribe(asked, id);
        }
        if let Some(name) = client.facts.resource() {
            self.registry.disconnect(&name, id, now);
        }
    }

    /// Puts resources in place, and tells those whom it concerns.
    pub(crate) fn apply(&mut self, changed: Vec<(Name, Stored)>, removed: Vec<Name>, now: Instant) {
        let touched = self.world.apply(changed, removed);
        self.tell(&touched, now);
    }

    /// Tells clients of what was touched.
    pub(crate) fn tell(&mut self, touched: &Touched, now: Instant) {
        if touched.names.is_empty() {
            return;
        }
        for difference in self.answers.refresh(&self.world, touched) {
            for id in &difference.clients {
                if let Some(client) = self.clients.get_mut(id) {
                    client.hear(&difference, now);
                }
            }
        }
    }

    /// Removes workloads that have been gone for too long, and names them.
    pub(crate) fn expire(&mut self, grace: Duration, now: Instant) -> Vec<Name> {
        if self.revision.is_none() {
            return Vec::new();
        }
        let expired = self.registry.expire(grace, now);
        self.apply(Vec::new(), expired.clone(), now);
        expired
    }
}

impl Client {
    /// One of its answers is another now. Several keys may ask the same.
    fn hear(&mut self, difference: &Difference, now: Instant) {
        let asking = self.keys.iter().filter(|(_, asked)| Arc::ptr_eq(asked, &difference.asked));
        let keys: Vec<Name> = asking.map(|(key, _)| Arc::clone(key)).collect();
        for key in keys {
            for name in &difference.added {
                self.need(name, now);
            }
            for name in &difference.removed {
                self.leave(name, now);
            }
            if !(difference.added.is_empty() && difference.removed.is_empty()) {
                self.soil(&key, now);
            }
        }
        for name in &difference.changed {
            self.soil(name, now);
        }
    }
}
