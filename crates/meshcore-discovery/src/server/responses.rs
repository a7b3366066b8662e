//! What a client is sent next.

use std::collections::BTreeSet;
use std::time::Instant;

use super::answers::Answers;
use super::client::{Client, ClientId, Outstanding};
use super::state::State;
use crate::wire::{self, DeltaResponse};
use crate::world::{Name, Stored, World};

/// Size from which a response goes on in a further piece. Source: `docs/design/mesh.md`.
const PIECE_BYTES: usize = 1 << 20;

impl State {
    /// What a client is sent now, in pieces; `None` when there is nothing, or when it has not
    /// answered what it was sent before.
    pub(crate) fn respond(&mut self, id: ClientId, now: Instant) -> Option<Vec<DeltaResponse>> {
        let revision = self.revision?;
        let client = self.clients.get_mut(&id).filter(|client| client.is_due())?;
        let (dirty, since) = client.take_dirty(now);
        let mut pieces = Pieces::default();
        let mut names = BTreeSet::new();
        for name in dirty {
            let current = current(&self.world, &self.answers, client, &name);
            match (current, client.sent.get(&name)) {
                (Some(stored), Some(sent)) if stored.version == *sent => {}
                (Some(stored), Some(_) | None) => {
                    pieces.add(stored.to_wire(&name));
                    client.sent.insert(Name::clone(&name), stored.version);
                    names.insert(name);
                }
                (None, Some(_)) => {
                    client.sent.remove(&name);
                    client.refused.remove(&name);
                    pieces.remove(&name);
                }
                (None, None) => {}
            }
        }
        if pieces.is_empty() && !client.is_new {
            return None;
        }
        client.is_new = false;
        client.sent_revision = revision;
        let pieces = pieces.finish(revision, &mut self.last_nonce);
        let nonces = pieces.iter().map(|piece| piece.nonce.clone()).collect();
        client.outstanding = Some(Outstanding { nonces, revision, since, names });
        self.counts.pushes = self.counts.pushes.saturating_add(1);
        Some(pieces)
    }
}

/// What the client should have under a name.
fn current<'a>(
    world: &'a World,
    answers: &'a Answers,
    client: &Client,
    name: &Name,
) -> Option<&'a Stored> {
    if !client.needs(name) {
        return None;
    }
    match client.keys.get(name) {
        Some(asked) => answers.found(asked),
        None => world.get(name),
    }
}

/// A response as it grows.
#[derive(Default)]
struct Pieces {
    full: Vec<DeltaResponse>,
    growing: DeltaResponse,
    bytes: usize,
}

impl Pieces {
    fn add(&mut self, resource: wire::Resource) {
        let value = resource.resource.as_ref().map_or(0, |any| any.value.len());
        self.reserve(value.saturating_add(resource.name.len()));
        self.growing.resources.push(resource);
    }

    fn remove(&mut self, name: &str) {
        self.reserve(name.len());
        self.growing.removed_resources.push(name.to_owned());
    }

    fn reserve(&mut self, bytes: usize) {
        /// What is around a resource, at most: its type, version and lengths.
        const AROUND: usize = 128;
        self.bytes = self.bytes.saturating_add(bytes).saturating_add(AROUND);
        let has_some =
            !(self.growing.resources.is_empty() && self.growing.removed_resources.is_empty());
        if self.bytes > PIECE_BYTES && has_some {
            self.full.push(std::mem::take(&mut self.growing));
            self.bytes = bytes.saturating_add(AROUND);
        }
    }

    fn is_empty(&self) -> bool {
        self.full.is_empty()
            && self.growing.resources.is_empty()
            && self.growing.removed_resources.is_empty()
    }

    fn finish(mut self, revision: u64, last_nonce: &mut u64) -> Vec<DeltaResponse> {
        self.full.push(self.growing);
        let last = self.full.len().saturating_sub(1);
        for (position, piece) in self.full.iter_mut().enumerate() {
            *last_nonce = last_nonce.saturating_add(1);
            piece.nonce = format!("{last_nonce:x}");
            piece.type_url = wire::RESOURCE.into();
            let more = if position < last { "+" } else { "" };
            piece.system_version_info = format!("{revision}{more}");
        }
        self.full
    }
}
