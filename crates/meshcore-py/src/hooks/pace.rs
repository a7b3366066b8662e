//! Whether a hook is short enough to be called on a worker. It has to show it first.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Calls in a row, on the policy thread, that have to be quick before the first one inline.
const TRIAL_CALLS: u32 = 16;
/// A quick call, with room for being interrupted.
const QUICK_NS: u64 = 500_000;
/// An inline call this long is a slow one. Source: performance blueprint, section 3.14 (g).
const SLOW_NS: u64 = 1_000_000;
/// So many slow ones in [`SLOW_WINDOW_NS`] end inline calls. Source: as above.
const MAX_SLOW: u32 = 3;
const SLOW_WINDOW_NS: u64 = 10_000_000_000;
/// And one call in so many has to be slow: a hook that is called often is interrupted by other
/// processes as often, and is not slow for that.
const MAX_CALLS_TO_SLOW: u32 = 256;
/// How long inline calls then end. After that the hook has to show again that it is short: it
/// may have been the machine that was slow.
const DEMOTED_NS: u64 = 60_000_000_000;

/// How long a hook's calls take. Times are in ns of the host's clock.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    quick: AtomicU32,
    demoted_until_ns: AtomicU64,
    slow: AtomicU32,
    /// Inline calls since the first slow one.
    calls: AtomicU32,
    slow_since_ns: AtomicU64,
}

// === impl Pace ===

impl Pace {
    /// Whether it has shown to be short, and has not been slow since.
    pub(crate) fn is_short(&self, now_ns: u64) -> bool {
        self.quick.load(Ordering::Relaxed) >= TRIAL_CALLS && !self.is_demoted(now_ns)
    }

    /// Whether it was too slow inline a short while ago.
    pub(crate) fn is_demoted(&self, now_ns: u64) -> bool {
        self.demoted_until_ns.load(Ordering::Relaxed) > now_ns
    }

    /// A call on the policy thread took so long.
    pub(crate) fn ran_queued(&self, took_ns: u64) {
        if took_ns > QUICK_NS {
            self.quick.store(0, Ordering::Relaxed);
        } else if self.quick.load(Ordering::Relaxed) < TRIAL_CALLS {
            self.quick.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A call on a worker took so long; `true` when it was the one too many.
    pub(crate) fn ran_inline(&self, took_ns: u64, now_ns: u64) -> bool {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        if took_ns <= SLOW_NS {
            return false;
        }
        if now_ns.saturating_sub(self.slow_since_ns.load(Ordering::Relaxed)) > SLOW_WINDOW_NS {
            self.slow_since_ns.store(now_ns, Ordering::Relaxed);
            self.slow.store(0, Ordering::Relaxed);
            self.calls.store(0, Ordering::Relaxed);
        }
        let slow = self.slow.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        slow >= MAX_SLOW && slow.saturating_mul(MAX_CALLS_TO_SLOW) >= calls && self.demote(now_ns)
    }

    /// Ends inline calls for a while; `true` unless they are ended already.
    pub(crate) fn demote(&self, now_ns: u64) -> bool {
        let until_ns = now_ns.saturating_add(DEMOTED_NS);
        self.quick.store(0, Ordering::Relaxed);
        self.slow.store(0, Ordering::Relaxed);
        self.demoted_until_ns.swap(until_ns, Ordering::Relaxed) <= now_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    fn tried() -> Pace {
        let pace = Pace::default();
        for _ in 0..TRIAL_CALLS {
            assert!(!pace.is_short(1));
            pace.ran_queued(1_000);
        }
        pace
    }

    #[test]
    fn quick_calls_in_a_row_make_it_short() {
        assert!(tried().is_short(1));
        let pace = Pace::default();
        for call in 0..1000 {
            pace.ran_queued(if call % 10 == 9 { QUICK_NS + 1 } else { 1 });
        }
        assert!(!pace.is_short(1));
    }

    #[test]
    fn a_few_slow_calls_of_very_many_are_the_machine() {
        let pace = tried();
        for call in 0..100_000 {
            let took_ns = if call % 10_000 == 9_999 { SLOW_NS + 1 } else { 200 };
            assert!(!pace.ran_inline(took_ns, SECOND_NS));
        }
        assert!(pace.is_short(SECOND_NS));
    }

    #[test]
    fn three_slow_calls_in_ten_seconds_demote_once() {
        let pace = tried();
        assert!(!pace.ran_inline(SLOW_NS + 1, 20 * SECOND_NS));
        assert!(!pace.ran_inline(SLOW_NS + 1, 31 * SECOND_NS), "the first is forgotten");
        assert!(!pace.ran_inline(SLOW_NS + 1, 32 * SECOND_NS));
        assert!(pace.is_short(32 * SECOND_NS));
        assert!(pace.ran_inline(SLOW_NS + 1, 33 * SECOND_NS));
        assert!(!pace.is_short(33 * SECOND_NS));
        assert!(!pace.demote(34 * SECOND_NS), "reported once");
        for _ in 0..TRIAL_CALLS {
            pace.ran_queued(1);
        }
        assert!(pace.is_demoted(93 * SECOND_NS));
        assert!(pace.is_short(95 * SECOND_NS), "it may try again");
    }
}
