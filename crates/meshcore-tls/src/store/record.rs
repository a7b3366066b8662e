//! Which authority signs and which are trusted: the steps of a rotation of the root.

use meshcore_model::Identity;
use serde::{Deserialize, Serialize};

/// What `authority.json` says. Names are directories below `ca/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// The control plane itself.
    pub(super) control: Identity,
    pub(super) signer: Held,
    /// Trusted already, and signs from a moment on.
    pub(super) next: Option<Next>,
    /// Trusted still.
    pub(super) retiring: Option<Held>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Held {
    pub(super) name: String,
    /// No certificate below it ends later, in unix seconds.
    pub(super) leaves_until: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Next {
    pub(super) name: String,
    /// Unix seconds.
    pub(super) signs_from: u64,
}

/// Where a rotation of the root stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// There is none: one authority signs, and is trusted.
    Stable,
    /// Two are trusted; the new one will sign.
    Adding {
        /// From this moment on, in unix seconds.
        signs_from: u64,
    },
    /// Two are trusted; the new one signs.
    Retiring {
        /// When the last certificate of the old one ends, in unix seconds; then it is removed.
        leaves_until: u64,
    },
}

/// An authority and its part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Name of its directory.
    pub name: String,
    /// `signing`, `next` or `retiring`.
    pub part: &'static str,
    /// SHA-256 of its root in lower-case hex.
    pub root: String,
    /// When its certificates end, in unix seconds.
    pub not_after: u64,
}

// === impl Record ===

impl Record {
    pub(super) fn new(control: Identity, name: String) -> Self {
        let signer = Held { name, leaves_until: 0 };
        Self { control, signer, next: None, retiring: None }
    }

    pub(super) fn phase(&self) -> Phase {
        match (&self.next, &self.retiring) {
            (Some(next), _) => Phase::Adding { signs_from: next.signs_from },
            (None, Some(old)) => Phase::Retiring { leaves_until: old.leaves_until },
            (None, None) => Phase::Stable,
        }
    }

    /// The authorities that are trusted, the one that signs first, with their parts.
    pub(super) fn trusted(&self) -> impl Iterator<Item = (&str, &'static str)> {
        let next = self.next.iter().map(|next| (next.name.as_str(), "next"));
        let retiring = self.retiring.iter().map(|old| (old.name.as_str(), "retiring"));
        [(self.signer.name.as_str(), "signing")].into_iter().chain(next).chain(retiring)
    }

    /// What this becomes when time has passed, if anything is due.
    pub(super) fn due(&self, now: u64) -> Option<Self> {
        let mut later = self.clone();
        if let Some(next) = later.next.take_if(|next| next.signs_from <= now) {
            let signer = Held { name: next.name, leaves_until: 0 };
            later.retiring = Some(std::mem::replace(&mut later.signer, signer));
        }
        later.retiring.take_if(|old| old.leaves_until < now);
        (later != *self).then_some(later)
    }

    /// A name that no authority has.
    pub(super) fn free_name(&self) -> String {
        let numbers = self.trusted().filter_map(|(name, _)| name.parse::<u64>().ok());
        numbers.max().unwrap_or(0).saturating_add(1).to_string()
    }
}
