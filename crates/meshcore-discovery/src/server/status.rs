//! The server as people and programs look at it.

use std::time::Instant;

use serde_json::{Value, json};

use super::Server;
use super::client::{Client, ClientId};
use super::state::State;
use crate::registry::Entry;

impl Server {
    /// The state as JSON: what holds, each client with what it has acknowledged and refused, and
    /// each workload that registered. Times are ages in milliseconds.
    pub fn status(&self) -> String {
        self.state.lock().status(Instant::now()).to_string()
    }
}

impl State {
    fn status(&self, now: Instant) -> Value {
        let mut clients: Vec<(&ClientId, &Client)> = self.clients.iter().collect();
        clients.sort_by_key(|(id, client)| (&client.facts.id, **id));
        let clients = clients.into_iter().map(|(_, client)| self.client(client, now));
        let workloads = self.registry.all().map(|(name, entry)| workload(name, entry, now));
        json!({
            "version": self.version,
            "revision": self.revision,
            "resources": self.world.all().count(),
            "clients": clients.collect::<Vec<_>>(),
            "workloads": workloads.collect::<Vec<_>>(),
            "holding": self.registry.is_holding(),
            "registry_failures": self.counts.unwritten,
            "registry_error": self.counts.last_unwritten,
        })
    }

    fn client(&self, client: &Client, now: Instant) -> Value {
        let revision = self.revision.unwrap_or_default();
        let is_current = client.is_current();
        // What did not concern a client need not be sent to it.
        let told = |number: u64| if is_current { revision } else { number };
        let refused = client.refused.iter().map(|(name, refusal)| {
            let version = refusal.version.map(|version| version.to_string());
            json!({"name": &**name, "version": version, "reason": refusal.reason})
        });
        let facts = &client.facts;
        json!({
            "id": facts.id,
            "namespace": facts.namespace,
            "workload": facts.workload,
            "service": facts.service,
            "identity": client.identity,
            "agent": facts.agent,
            "addresses": facts.addresses,
            "connected_ms": age(Some(client.since), now),
            "keys": client.keys.keys().map(|key| &**key).collect::<Vec<_>>(),
            "resources": client.sent.len(),
            "sent_revision": told(client.sent_revision),
            "acknowledged_revision": told(client.acknowledged_revision),
            "is_current": is_current,
            "refused": refused.collect::<Vec<_>>(),
        })
    }
}

fn workload(name: &str, entry: &Entry, now: Instant) -> Value {
    let registration = &entry.registration;
    json!({
        "name": name,
        "workload": registration.workload,
        "namespace": registration.identity.namespace(),
        "service": registration.service,
        "address": registration.address,
        "identity": registration.identity,
        "is_healthy": registration.is_healthy,
        "is_connected": entry.stream.is_some(),
        "gone_ms": entry.stream.is_none().then(|| age(entry.gone_since, now)),
    })
}

fn age(since: Option<Instant>, now: Instant) -> u64 {
    let age = since.map(|since| now.saturating_duration_since(since)).unwrap_or_default();
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}
