//! How long to wait before the next try.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
/// Longest wait: soon enough after a restart of the control plane, and few enough calls while it
/// is gone.
const LONGEST: Duration = Duration::from_secs(10);

/// Waits that get longer, each between half and the whole of it, so that not all come at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// It went well: the next wait is a short one.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }

    /// How long to wait now.
    pub(super) fn next(&mut self) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.tries.min(10)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        let random = RandomState::new().build_hasher().finish();
        let part = u32::try_from(random % 1000).unwrap_or(0).saturating_add(1000);
        whole.saturating_mul(part).checked_div(2000).unwrap_or(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_get_longer_and_are_bounded() {
        let mut backoff = Backoff::default();
        let first = backoff.next();
        assert!((Duration::from_millis(50)..=Duration::from_millis(100)).contains(&first));
        let waits: Vec<_> = (0..50).map(|_| backoff.next()).collect();
        assert!(waits.iter().all(|wait| *wait <= LONGEST));
        assert!(waits.last().is_some_and(|wait| *wait >= LONGEST / 2));
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
