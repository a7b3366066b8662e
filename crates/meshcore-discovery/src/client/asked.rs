//! What is asked for beside the own: hosts that are called, addresses that call.
//!
//! Requests look here only when the snapshot does not know where they go. How many keys there can
//! be is bounded, because the application, or who calls it, chooses the names.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use tokio::sync::watch;

/// Keys at most. Beyond it the least used of those that nothing was found for goes.
pub(super) const MAX_KEYS: usize = 4096;
/// Longest key. Source: RFC 1035 section 2.3.4, with the kind of the key.
const MAX_KEY_BYTES: usize = 300;

/// What is known of a key.
#[derive(Debug)]
pub enum Asked {
    /// It is answered: what was found is in force, or there is nothing.
    Answered {
        /// Whether something was found.
        is_there: bool,
    },
    /// It was asked for: this ends when the answer is in force. It may never come.
    Waiting(watch::Receiver<bool>),
    /// It cannot be asked for: it is too long, or there are too many.
    Refused,
}

/// All keys that are asked for.
#[derive(Debug)]
pub(super) struct Keys {
    keys: RwLock<HashMap<Arc<str>, Key>>,
    began: Instant,
}

#[derive(Debug)]
struct Key {
    state: State,
    /// Milliseconds since the beginning.
    used: AtomicU64,
}

#[derive(Debug)]
enum State {
    Waiting(watch::Sender<bool>),
    Answered { is_there: bool },
}

impl Keys {
    pub(super) fn new() -> Self {
        Self { keys: RwLock::default(), began: Instant::now() }
    }

    /// What is known of a key, which is noted as used; and whether it is new.
    pub(super) fn ask(&self, key: &str) -> (Asked, bool) {
        let now = self.now_ms();
        if let Some(known) = self.keys.read().get(key) {
            known.used.store(now, Ordering::Relaxed);
            return (known.asked(), false);
        }
        if key.len() > MAX_KEY_BYTES || key.bytes().any(|byte| byte.is_ascii_control()) {
            return (Asked::Refused, false);
        }
        let mut keys = self.keys.write();
        if let Some(known) = keys.get(key) {
            return (known.asked(), false);
        }
        if keys.len() >= MAX_KEYS && !make_room(&mut keys) {
            return (Asked::Refused, false);
        }
        let (sender, receiver) = watch::channel(false);
        let state = State::Waiting(sender);
        keys.insert(key.into(), Key { state, used: AtomicU64::new(now) });
        (Asked::Waiting(receiver), true)
    }

    /// A key that was asked for in an earlier life is answered.
    pub(super) fn restore(&self, key: &str, is_there: bool) {
        let used = AtomicU64::new(self.now_ms());
        self.keys.write().insert(key.into(), Key { state: State::Answered { is_there }, used });
    }

    /// The answer to a key is in force. Keys that nobody asks for are passed over.
    pub(super) fn answered(&self, key: &str, is_there: bool) {
        if !self.keys.read().contains_key(key) {
            return; // most of what comes is no answer
        }
        if let Some(known) = self.keys.write().get_mut(key) {
            let before = std::mem::replace(&mut known.state, State::Answered { is_there });
            match before {
                State::Waiting(sender) => drop(sender.send(true)), // nobody may wait any more
                State::Answered { .. } => {}
            }
        }
    }

    /// Something that was found for the key was used.
    pub(super) fn used(&self, key: &str) {
        if let Some(known) = self.keys.read().get(key) {
            known.used.store(self.now_ms(), Ordering::Relaxed);
        }
    }

    /// Forgets what was not used for so long; whether there was any.
    pub(super) fn drop_unused(&self, unused: Duration) -> bool {
        let unused = u64::try_from(unused.as_millis()).unwrap_or(u64::MAX);
        let since = self.now_ms().saturating_sub(unused);
        let mut keys = self.keys.write();
        let count = keys.len();
        keys.retain(|_, key| key.used.load(Ordering::Relaxed) >= since);
        keys.len() < count
    }

    /// All keys.
    pub(super) fn all(&self) -> Vec<Arc<str>> {
        self.keys.read().keys().cloned().collect()
    }

    /// How many keys there are, and how many of them something was found for.
    pub(super) fn counts(&self) -> (usize, usize) {
        let keys = self.keys.read();
        let is_there = |key: &&Key| matches!(key.state, State::Answered { is_there: true });
        (keys.len(), keys.values().filter(is_there).count())
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Key {
    fn asked(&self) -> Asked {
        match &self.state {
            State::Waiting(sender) => Asked::Waiting(sender.subscribe()),
            State::Answered { is_there } => Asked::Answered { is_there: *is_there },
        }
    }
}

/// Forgets the tenth of what nothing was found for that was used least; whether there was any.
fn make_room(keys: &mut HashMap<Arc<str>, Key>) -> bool {
    let mut idle: Vec<(u64, Arc<str>)> = keys
        .iter()
        .filter(|(_, key)| !matches!(key.state, State::Answered { is_there: true }))
        .map(|(name, key)| (key.used.load(Ordering::Relaxed), Arc::clone(name)))
        .collect();
    idle.sort();
    let count = idle.len().div_ceil(10);
    for (_, name) in idle.iter().take(count) {
        keys.remove(name);
    }
    count > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_ask_for_one_key_wait_together() {
        let keys = Keys::new();
        let (Asked::Waiting(first), true) = keys.ask("host/a") else { panic!() };
        let (Asked::Waiting(second), false) = keys.ask("host/a") else { panic!() };
        keys.answered("host/a", false);
        assert!(*first.borrow() && *second.borrow());
        assert!(matches!(keys.ask("host/a"), (Asked::Answered { is_there: false }, false)));
    }

    #[test]
    fn junk_does_not_push_out_what_is_there() {
        let keys = Keys::new();
        keys.ask("host/good");
        keys.answered("host/good", true);
        for number in 0..3 * MAX_KEYS {
            keys.ask(&format!("host/junk-{number}"));
        }
        assert!(keys.counts().0 <= MAX_KEYS);
        assert!(matches!(keys.ask("host/good"), (Asked::Answered { is_there: true }, false)));
        assert!(matches!(keys.ask(&"h".repeat(301)), (Asked::Refused, false)));
        assert!(matches!(keys.ask("host/a\nb"), (Asked::Refused, false)));
    }

    #[test]
    fn what_is_there_fills_it_up() {
        let keys = Keys::new();
        for number in 0..MAX_KEYS {
            keys.restore(&format!("host/{number}"), true);
        }
        assert!(matches!(keys.ask("host/more"), (Asked::Refused, false)));
    }

    #[test]
    fn what_is_not_used_is_forgotten() {
        let keys = Keys::new();
        keys.restore("host/a", true);
        keys.restore("host/b", true);
        std::thread::park_timeout(Duration::from_millis(30));
        keys.used("host/b");
        keys.drop_unused(Duration::from_millis(20));
        assert_eq!(keys.all(), ["host/b".into()]);
    }

    #[test]
    fn an_answer_that_nobody_asked_for_is_passed_over() {
        let keys = Keys::new();
        keys.answered("host/a", true);
        assert_eq!(keys.counts(), (0, 0));
    }
}
