//! What a client asks and acknowledges.

use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;

use super::client::{ClientId, Refusal};
use super::state::State;
use crate::wire::{self, DeltaRequest};
use crate::world::{Asked, Key, Name, Version};

/// The key that every client has.
const OWN: &str = "self";
/// Longest reason of a refusal that is kept.
const MAX_REASON_CHARS: usize = 1000;
/// Most refusals of one answer that are kept.
const MAX_REFUSALS: usize = 1000;

/// Why a stream is ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The request is not one.
    Malformed(String),
    /// The client asks for more than it may.
    TooMuch(String),
}

/// One resource that a client refuses, as it tells it.
#[derive(Deserialize)]
struct Refused {
    name: String,
    reason: String,
}

impl State {
    /// Takes the first request of a stream, after [`State::join`].
    pub(crate) fn begin(
        &mut self,
        id: ClientId,
        request: &DeltaRequest,
        now: Instant,
    ) -> Result<(), Ended> {
        let resumed = &request.initial_resource_versions;
        if resumed.len() > self.limits.resumed {
            let most = self.limits.resumed;
            let told = format!("initial_resource_versions has more than {most} names");
            return Err(Ended::TooMuch(told));
        }
        if let Some(client) = self.clients.get_mut(&id) {
            let known = resumed.iter().map(|(name, version)| {
                (Name::from(name.as_str()), Version::parse(version).unwrap_or_default())
            });
            client.resume(known, now);
        }
        self.subscribe(id, OWN, now)?;
        self.request(id, request, now)
    }

    /// Takes any request for resources.
    pub(crate) fn request(
        &mut self,
        id: ClientId,
        request: &DeltaRequest,
        now: Instant,
    ) -> Result<(), Ended> {
        if !request.response_nonce.is_empty() {
            self.answered(id, request, now);
        }
        for key in &request.resource_names_subscribe {
            self.subscribe(id, key, now)?;
        }
        for key in &request.resource_names_unsubscribe {
            self.unsubscribe(id, key, now);
        }
        Ok(())
    }

    fn subscribe(&mut self, id: ClientId, key: &str, now: Instant) -> Result<(), Ended> {
        let Some(client) = self.clients.get_mut(&id) else { return Ok(()) };
        if client.keys.contains_key(key) {
            client.ask_again(&key.into(), now);
            return Ok(());
        }
        if client.keys.len() >= self.limits.keys {
            let most = self.limits.keys;
            return Err(Ended::TooMuch(format!("{most} keys are the most that a client may have")));
        }
        let parsed = Key::parse(key, &client.own, client.identity.is_some()).map_err(|reason| {
            let shown: String = key.chars().take(100).collect();
            Ended::Malformed(format!("{shown:?} is no key: {reason}"))
        })?;
        let asked = Asked { namespace: Arc::clone(&client.namespace), key: parsed };
        let (asked, names) = self.answers.subscribe(&self.world, asked, id);
        for name in names {
            client.need(name, now);
        }
        let key = Name::from(key);
        client.need(&key, now);
        client.keys.insert(key, asked);
        Ok(())
    }

    fn unsubscribe(&mut self, id: ClientId, key: &str, now: Instant) {
        let Some(client) = self.clients.get_mut(&id).filter(|_| key != OWN) else { return };
        let Some((key, asked)) = client.keys.remove_entry(key) else { return };
        client.leave(&key, now);
        for name in self.answers.names(&asked) {
            client.leave(name, now);
        }
        // Another key of the client may ask the same.
        if client.keys.values().all(|other| !Arc::ptr_eq(other, &asked)) {
            self.answers.unsubscribe(&asked, id);
        }
    }

    /// A client says that it has put a response in force, or what of it it has not.
    fn answered(&mut self, id: ClientId, request: &DeltaRequest, now: Instant) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let nonce = &request.response_nonce;
        let Some(outstanding) = client.outstanding.take_if(|one| one.nonces.contains(nonce)) else {
            self.counts.stale_answers = self.counts.stale_answers.saturating_add(1);
            return;
        };
        if let Some(status) = &request.error_detail {
            self.counts.rejects = self.counts.rejects.saturating_add(1);
            for refused in refusals(status) {
                let name = Name::from(refused.name);
                if name.is_empty() || outstanding.names.contains(&name) {
                    let version = client.sent.get(&name).copied();
                    let reason = refused.reason.chars().take(MAX_REASON_CHARS).collect();
                    client.refused.insert(name, Refusal { version, reason });
                }
            }
        }
        if outstanding.nonces.last() != Some(nonce) {
            client.outstanding = Some(outstanding);
            return;
        }
        if request.error_detail.is_none() {
            for name in &outstanding.names {
                client.refused.remove(name);
            }
            client.refused.remove("");
        }
        client.acknowledged_revision = outstanding.revision;
        self.counts.converged(now.saturating_duration_since(outstanding.since));
        client.wake.notify_one();
    }
}

/// What a NACK refuses. One without details refuses something that it does not name.
fn refusals(status: &wire::Status) -> Vec<Refused> {
    let details = status.details.iter().filter(|any| any.type_url == wire::REFUSALS);
    let read = details.filter_map(|any| serde_json::from_slice::<Vec<Refused>>(&any.value).ok());
    let mut refused: Vec<Refused> = read.flatten().take(MAX_REFUSALS).collect();
    if refused.is_empty() {
        refused.push(Refused { name: String::new(), reason: status.message.clone() });
    }
    refused
}
