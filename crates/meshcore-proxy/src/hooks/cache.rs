//! Decisions that are remembered, so that Python decides once.
//!
//! The key is the values of all attributes that the hook declares. It can read no others, so
//! equal keys mean equal answers.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hashbrown::{Equivalent, HashMap};
use meshcore_model::{Attribute, Hook};

use super::{Decision, View};

/// Decisions kept by one worker.
const MAX_DECISIONS: usize = 4096;

/// The decisions that one worker remembers.
#[derive(Debug, Default)]
pub(crate) struct DecisionCache {
    decisions: RefCell<HashMap<Key, Remembered, RandomState>>,
    key: RefCell<Vec<u8>>,
    epoch: Cell<u64>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    hook: u32,
    values: Box<[u8]>,
}

#[derive(Hash)]
struct KeyRef<'k> {
    hook: u32,
    values: &'k [u8],
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.hook == key.hook && *self.values == *key.values
    }
}

#[derive(Debug)]
struct Remembered {
    decision: Decision,
    until: Instant,
}

impl DecisionCache {
    /// The remembered decision of `hook` for what it would read now.
    pub(crate) fn recall(
        &self,
        hook: &Hook,
        view: &View<'_>,
        (now, epoch): (Instant, u64),
    ) -> Option<Decision> {
        if self.epoch.replace(epoch) != epoch {
            self.decisions.borrow_mut().clear();
            return None;
        }
        let mut key = self.key.borrow_mut();
        write_key(hook.reads.as_deref()?, view, &mut key);
        let decisions = self.decisions.borrow();
        let known = decisions.get(&KeyRef { hook: hook.id, values: &key })?;
        (known.until > now).then(|| known.decision.clone())
    }

    /// Remembers a decision for as long as the hook says, under the key of [`Self::key_of`]. It
    /// was asked for at that time and epoch; if all was forgotten since, so is this.
    pub(crate) fn remember(
        &self,
        hook: &Hook,
        values: Box<[u8]>,
        decision: &Decision,
        (now, epoch): (Instant, u64),
    ) {
        if self.epoch.get() != epoch {
            return;
        }
        let Some(until) = now.checked_add(Duration::from_millis(hook.cache_ms)) else { return };
        let mut decisions = self.decisions.borrow_mut();
        if decisions.len() >= MAX_DECISIONS {
            decisions.retain(|_, known| known.until > now);
        }
        if decisions.len() >= MAX_DECISIONS {
            let mut even = false;
            decisions.retain(|_, _| {
                even = !even;
                even
            });
        }
        let key = Key { hook: hook.id, values };
        decisions.insert(key, Remembered { decision: decision.clone(), until });
    }

    /// What the hook would read now. Taken before the call, since the call may change it.
    pub(crate) fn key_of(&self, hook: &Hook, view: &View<'_>) -> Box<[u8]> {
        let mut key = self.key.borrow_mut();
        write_key(hook.reads.as_deref().unwrap_or_default(), view, &mut key);
        key.as_slice().into()
    }
}

/// Values with their lengths in front, so that no two lists of values give the same key.
fn write_key(reads: &[Attribute], view: &View<'_>, key: &mut Vec<u8>) {
    key.clear();
    for attribute in reads {
        view.read(attribute, |value| match value {
            None => key.extend_from_slice(&u64::MAX.to_le_bytes()),
            Some(value) => {
                key.extend_from_slice(&(value.len() as u64).to_le_bytes());
                key.extend_from_slice(value);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use meshcore_http::RequestHead;
    use meshcore_model::{HookAnswer, HookMode, HookStage};

    use super::*;

    fn hook(reads: &[&str]) -> Hook {
        Hook {
            id: 3,
            name: "p.h".into(),
            origin: "p.py:1".into(),
            stage: HookStage::Authorize,
            hosts: Vec::new(),
            path_prefixes: Vec::new(),
            methods: Vec::new(),
            reads: Some(reads.iter().map(|name| Attribute::Header((*name).into())).collect()),
            cache_ms: 1000,
            timeout_ms: 5,
            on_error: HookAnswer::Deny,
            mode: HookMode::Inline,
        }
    }

    fn request(fields: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead::new();
        for (name, value) in fields {
            head.fields.append(name.as_bytes(), value.as_bytes()).unwrap();
        }
        head
    }

    fn view(request: &RequestHead) -> View<'_> {
        let address = IpAddr::from([127, 0, 0, 1]);
        View { request, response: None, identity: None, address, port: 80, route: "" }
    }

    #[test]
    fn a_decision_is_recalled_for_equal_reads_until_it_is_old() {
        let cache = DecisionCache::default();
        let hook = hook(&["a", "b"]);
        let now = Instant::now();
        let (first, other) = (request(&[("a", "1"), ("x", "9")]), request(&[("a", "2")]));
        let allow = Decision::Allow(Arc::default());
        assert_eq!(cache.recall(&hook, &view(&first), (now, 0)), None);
        cache.remember(&hook, cache.key_of(&hook, &view(&first)), &allow, (now, 0));
        let same = request(&[("x", "8"), ("a", "1")]);
        assert_eq!(cache.recall(&hook, &view(&same), (now, 0)), Some(allow));
        assert_eq!(cache.recall(&hook, &view(&other), (now, 0)), None);
        let later = now + Duration::from_secs(1);
        assert_eq!(cache.recall(&hook, &view(&same), (later, 0)), None);
        assert_eq!(cache.recall(&hook, &view(&same), (now, 1)), None, "forgotten");
        assert_eq!(cache.recall(&hook, &view(&same), (now, 1)), None, "for good");
    }

    #[test]
    fn what_was_asked_before_all_was_forgotten_is_not_remembered() {
        let cache = DecisionCache::default();
        let (hook, now) = (hook(&["a"]), Instant::now());
        let request = request(&[("a", "1")]);
        let seen = view(&request);
        assert_eq!(cache.recall(&hook, &seen, (now, 0)), None);
        let key = cache.key_of(&hook, &seen);
        assert_eq!(cache.recall(&hook, &seen, (now, 1)), None, "another request, later");
        cache.remember(&hook, key, &Decision::Abstain, (now, 0));
        assert_eq!(cache.recall(&hook, &seen, (now, 1)), None);
    }

    #[test]
    fn values_cannot_run_into_each_other() {
        let cache = DecisionCache::default();
        let hook = hook(&["a", "b"]);
        let key = |fields: &[(&str, &str)]| cache.key_of(&hook, &view(&request(fields)));
        assert_ne!(key(&[("a", "12"), ("b", "3")]), key(&[("a", "1"), ("b", "23")]));
        assert_ne!(key(&[("a", "")]), key(&[("b", "")]));
        assert_ne!(key(&[("a", "")]), key(&[]));
    }

    #[test]
    fn memory_is_bounded() {
        let cache = DecisionCache::default();
        let hook = hook(&["a"]);
        let now = Instant::now();
        for n in 0..3 * MAX_DECISIONS {
            let text = n.to_string();
            let key = cache.key_of(&hook, &view(&request(&[("a", &text)])));
            cache.remember(&hook, key, &Decision::Abstain, (now, 0));
        }
        assert!(cache.decisions.borrow().len() <= MAX_DECISIONS);
    }
}
