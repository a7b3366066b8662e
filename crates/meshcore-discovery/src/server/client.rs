//! What one client needs, has, and was told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;

use super::node::Facts;
use crate::world::{Asked, Name, Own, Version};

/// Number of a stream, never used again.
pub(crate) type ClientId = u64;

/// A client on its stream.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) facts: Facts,
    pub(crate) own: Arc<Own>,
    /// The namespace whose eyes it sees with.
    pub(crate) namespace: Name,
    /// Its identity, once proved.
    pub(crate) identity: Option<meshcore_model::Identity>,
    pub(crate) since: Instant,
    /// What it is subscribed to, by key.
    pub(crate) keys: BTreeMap<Name, Arc<Asked>>,
    /// How many of its answers have a name.
    needed: HashMap<Name, u32>,
    /// What it was sent, or had when it came.
    pub(crate) sent: HashMap<Name, Version>,
    /// Names that may differ from what it was sent.
    dirty: BTreeSet<Name>,
    dirty_since: Option<Instant>,
    pub(crate) outstanding: Option<Outstanding>,
    pub(crate) refused: BTreeMap<Name, Refusal>,
    pub(crate) sent_revision: u64,
    pub(crate) acknowledged_revision: u64,
    /// It is owed a response even when nothing differs: the first.
    pub(crate) is_new: bool,
    pub(crate) wake: Arc<Notify>,
}

/// A response that the client has not answered yet.
#[derive(Debug)]
pub(crate) struct Outstanding {
    /// Those of the pieces; the last one stands for all.
    pub(crate) nonces: Vec<String>,
    pub(crate) revision: u64,
    /// When what it tells came to be.
    pub(crate) since: Instant,
    pub(crate) names: BTreeSet<Name>,
}

/// Why a client does not take a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) version: Option<Version>,
    pub(crate) reason: String,
}

impl Client {
    pub(crate) fn new(facts: Facts, namespace: Name, now: Instant) -> Self {
        Self {
            own: facts.shared_own(),
            facts,
            namespace,
            identity: None,
            since: now,
            keys: BTreeMap::new(),
            needed: HashMap::new(),
            sent: HashMap::new(),
            dirty: BTreeSet::new(),
            dirty_since: None,
            outstanding: None,
            refused: BTreeMap::new(),
            sent_revision: 0,
            acknowledged_revision: 0,
            is_new: true,
            wake: Arc::new(Notify::new()),
        }
    }

    /// One more of its answers has a name.
    pub(crate) fn need(&mut self, name: &Name, now: Instant) {
        let count = self.needed.entry(Arc::clone(name)).or_default();
        *count = count.saturating_add(1);
        self.soil(name, now);
    }

    /// One less has it.
    pub(crate) fn leave(&mut self, name: &Name, now: Instant) {
        if let Some(count) = self.needed.get_mut(name) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.needed.remove(name);
            }
        }
        self.soil(name, now);
    }

    /// A name may differ from what was sent.
    pub(crate) fn soil(&mut self, name: &Name, now: Instant) {
        self.dirty.insert(Arc::clone(name));
        self.dirty_since.get_or_insert(now);
        self.wake.notify_one();
    }

    /// A key that it has is asked for again: its answer is sent again.
    pub(crate) fn ask_again(&mut self, key: &Name, now: Instant) {
        self.sent.remove(key);
        self.soil(key, now);
    }

    pub(crate) fn needs(&self, name: &Name) -> bool {
        self.needed.contains_key(name)
    }

    /// Whether nothing is to be sent and nothing is to be answered.
    pub(crate) fn is_current(&self) -> bool {
        self.dirty.is_empty() && self.outstanding.is_none() && !self.is_new
    }

    /// Whether a response may be sent now, and there may be something to send.
    pub(crate) fn is_due(&self) -> bool {
        self.outstanding.is_none() && (self.is_new || !self.dirty.is_empty())
    }

    /// Takes the names that may differ, and since when.
    pub(crate) fn take_dirty(&mut self, now: Instant) -> (BTreeSet<Name>, Instant) {
        let since = self.dirty_since.take().unwrap_or(now);
        (std::mem::take(&mut self.dirty), since)
    }

    /// Takes what the client has of an earlier stream.
    pub(crate) fn resume(&mut self, versions: impl Iterator<Item = (Name, Version)>, now: Instant) {
        for (name, version) in versions {
            self.soil(&name, now);
            self.sent.insert(name, version);
        }
    }
}
