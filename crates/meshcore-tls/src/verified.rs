//! Chains that were verified lately. A hit costs one SHA-256 instead of parsing and two or more
//! signature checks; the handshake's own signature (`CertificateVerify`) is never cached.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::leaf::Leaf;

/// Entries kept, at most; half of them survive a generation. About 0.4 kB each.
const MAX_ENTRIES: usize = 4096;

/// A bounded store: two generations of which the older is dropped when the younger is half of
/// the bound. What is used moves to the younger one, so that it stays.
#[derive(Default)]
pub(crate) struct VerifiedChains(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<[u8; 32], Verified>,
    old: HashMap<[u8; 32], Verified>,
}

/// A chain that verifies, and until when, in unix seconds.
#[derive(Clone)]
pub(crate) struct Verified {
    pub(crate) leaf: Arc<Leaf>,
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
}

// === impl VerifiedChains ===

impl VerifiedChains {
    pub(crate) fn find(&self, key: &[u8; 32], now_seconds: u64) -> Option<Verified> {
        let mut generations = self.0.lock();
        if let Some(found) = generations.young.get(key) {
            return found.holds(now_seconds).then(|| found.clone());
        }
        let found = generations.old.remove(key)?;
        if !found.holds(now_seconds) {
            return None;
        }
        generations.insert(*key, found.clone());
        Some(found)
    }

    pub(crate) fn remember(&self, key: [u8; 32], verified: Verified) {
        self.0.lock().insert(key, verified);
    }

    pub(crate) fn forget_all(&self) {
        *self.0.lock() = Generations::default();
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let generations = self.0.lock();
        generations.young.len().saturating_add(generations.old.len())
    }
}

impl Generations {
    fn insert(&mut self, key: [u8; 32], verified: Verified) {
        if self.young.len() >= MAX_ENTRIES / 2 {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, verified);
    }
}

impl Verified {
    fn holds(&self, now_seconds: u64) -> bool {
        (self.not_before..=self.not_after).contains(&now_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified(not_after: u64) -> Verified {
        let leaf = Leaf {
            identity: "spiffe://td/ns/a/sa/b".parse().unwrap(),
            not_before: 0,
            not_after,
            serial: String::new(),
        };
        Verified { leaf: Arc::new(leaf), not_before: 10, not_after }
    }

    fn key(number: usize) -> [u8; 32] {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        key
    }

    #[test]
    fn an_entry_holds_only_while_the_chain_does() {
        let store = VerifiedChains::default();
        store.remember(key(1), verified(20));
        assert!(store.find(&key(1), 9).is_none());
        assert!(store.find(&key(1), 10).is_some());
        assert!(store.find(&key(1), 20).is_some());
        assert!(store.find(&key(1), 21).is_none());
        assert!(store.find(&key(2), 15).is_none());
    }

    #[test]
    fn the_store_is_bounded_and_keeps_what_is_used() {
        let store = VerifiedChains::default();
        store.remember(key(0), verified(20));
        for number in 1..3 * MAX_ENTRIES {
            store.remember(key(number), verified(20));
            assert!(store.find(&key(0), 15).is_some(), "lost after {number}");
        }
        assert!(store.len() <= MAX_ENTRIES, "{}", store.len());
        store.forget_all();
        assert!(store.find(&key(0), 15).is_none());
    }
}
