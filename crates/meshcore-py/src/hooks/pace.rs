//! Whether a hook is short enough to be called on a worker. It has to show it first.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Calls in a row, on the policy thread, that have to be quick before the first one inline.
const TRIAL_CALLS: u32 = 16;
/// A quick call, with room for being interrupted.
const QUICK_NS: u64 = 500_000;
/// An inline call this long is a slow one. Source: performance blueprint, section 3.14 (g).
const SLOW_NS: u64 = 1_000_000;
/// So many slow ones in [`SLOW_WINDOW_NS`] end inline calls. Source: as above.
const MAX_SLOW: u32 = 3;
const SLOW_WINDOW_NS: u64 = 10_000_000_000;

/// How long a hook's calls take. Times are in ns of the host's clock.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    quick: AtomicU32,
    is_demoted: AtomicBool,
    slow: AtomicU32,
    slow_since_ns: AtomicU64,
}

// === impl Pace ===

impl Pace {
    /// Whether it has shown to be short, and has not been slow since.
    pub(crate) fn is_short(&self) -> bool {
        self.quick.load(Ordering::Relaxed) >= TRIAL_CALLS
            && !self.is_demoted.load(Ordering::Relaxed)
    }

    /// Whether it was too slow inline. That lasts until the plugin is loaded anew.
    pub(crate) fn is_demoted(&self) -> bool {
        self.is_demoted.load(Ordering::Relaxed)
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
        if took_ns <= SLOW_NS {
            return false;
        }
        if now_ns.saturating_sub(self.slow_since_ns.load(Ordering::Relaxed)) > SLOW_WINDOW_NS {
            self.slow_since_ns.store(now_ns, Ordering::Relaxed);
            self.slow.store(0, Ordering::Relaxed);
        }
        let slow = self.slow.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        slow >= MAX_SLOW && self.demote()
    }

    /// Ends inline calls; `true` the first time.
    pub(crate) fn demote(&self) -> bool {
        !self.is_demoted.swap(true, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    fn tried() -> Pace {
        let pace = Pace::default();
        for _ in 0..TRIAL_CALLS {
            assert!(!pace.is_short());
            pace.ran_queued(1_000);
        }
        pace
    }

    #[test]
    fn quick_calls_in_a_row_make_it_short() {
        assert!(tried().is_short());
        let pace = Pace::default();
        for call in 0..1000 {
            pace.ran_queued(if call % 10 == 9 { QUICK_NS + 1 } else { 1 });
        }
        assert!(!pace.is_short());
    }

    #[test]
    fn three_slow_calls_in_ten_seconds_demote_once() {
        let pace = tried();
        assert!(!pace.ran_inline(SLOW_NS + 1, 20 * SECOND_NS));
        assert!(!pace.ran_inline(SLOW_NS + 1, 31 * SECOND_NS), "the first is forgotten");
        assert!(!pace.ran_inline(SLOW_NS + 1, 32 * SECOND_NS));
        assert!(pace.is_short());
        assert!(pace.ran_inline(SLOW_NS + 1, 33 * SECOND_NS));
        assert!(!pace.is_short());
        assert!(!pace.ran_inline(SLOW_NS + 1, 34 * SECOND_NS), "reported once");
    }
}
