//! Stops calling a hook that fails most of the time, so that requests get their declared answer
//! without waiting for the limit.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Calls are counted over this time. Source: performance blueprint, section 3.14 (g).
const WINDOW_MS: u64 = 1_000;
/// Fewer calls than this tell nothing. Source: as above.
const MIN_CALLS: u32 = 20;
/// How long an open breaker stays so before one call tries. Source: as above.
const OPEN_MS: u64 = 500;
/// It stays open twice as long after each call that tried and failed, up to this: one that loops
/// takes a processor each time.
const MAX_OPEN_MS: u64 = 4_000;

/// Closed, open, or letting one call through. Times are in ms of the host's clock, and never 0.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    window_began_ms: AtomicU64,
    calls: AtomicU32,
    failures: AtomicU32,
    /// 0 when closed.
    open_until_ms: AtomicU64,
    /// How long it was opened for.
    open_ms: AtomicU64,
    openings: AtomicU64,
}

// === impl Breaker ===

impl Breaker {
    /// Whether the hook may be called. After half a second of being open one caller may, and
    /// its outcome decides; if it fails, the next one may after twice that time.
    pub(crate) fn lets_through(&self, now_ms: u64) -> bool {
        let until = self.open_until_ms.load(Ordering::Relaxed);
        if until == 0 {
            return true;
        }
        let open_ms = self.open_ms.load(Ordering::Relaxed).saturating_mul(2).min(MAX_OPEN_MS);
        let next = now_ms.saturating_add(open_ms);
        let may_try = until <= now_ms
            && self
                .open_until_ms
                .compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if may_try {
            self.open_ms.store(open_ms, Ordering::Relaxed);
        }
        may_try
    }

    /// Whether the hook is not called now, without taking the turn of the call that tries.
    pub(crate) fn is_open(&self, now_ms: u64) -> bool {
        self.open_until_ms.load(Ordering::Relaxed) > now_ms
    }

    /// Takes an outcome into account; `true` when it opened the breaker.
    pub(crate) fn record(&self, is_failure: bool, now_ms: u64) -> bool {
        if self.open_until_ms.load(Ordering::Relaxed) != 0 {
            if !is_failure {
                self.clear(now_ms);
                self.open_until_ms.store(0, Ordering::Relaxed);
            }
            return false;
        }
        if now_ms.saturating_sub(self.window_began_ms.load(Ordering::Relaxed)) > WINDOW_MS {
            self.clear(now_ms);
        }
        let calls = self.calls.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if !is_failure {
            return false;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let opens = calls >= MIN_CALLS && failures.saturating_mul(2) > calls;
        if opens {
            self.open_ms.store(OPEN_MS, Ordering::Relaxed);
            self.open_until_ms.store(now_ms.saturating_add(OPEN_MS), Ordering::Relaxed);
            self.openings.fetch_add(1, Ordering::Relaxed);
        }
        opens
    }

    /// How often it opened.
    pub(crate) fn openings(&self) -> u64 {
        self.openings.load(Ordering::Relaxed)
    }

    fn clear(&self, now_ms: u64) {
        self.window_began_ms.store(now_ms, Ordering::Relaxed);
        self.calls.store(0, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_twenty_calls_that_mostly_fail_and_closes_after_a_good_one() {
        let breaker = Breaker::default();
        for call in 0..19 {
            assert!(!breaker.record(true, 10), "call {call}");
        }
        assert!(breaker.lets_through(10));
        assert!(breaker.record(true, 10));
        assert!(breaker.is_open(509));
        assert!(!breaker.lets_through(509));
        assert!(breaker.lets_through(510), "one call tries");
        assert!(!breaker.lets_through(511), "only one");
        breaker.record(true, 520);
        assert!(!breaker.lets_through(1509), "it failed");
        assert!(breaker.lets_through(1510));
        breaker.record(false, 1511);
        assert!(breaker.lets_through(1512));
        assert_eq!(breaker.openings(), 1);
    }

    #[test]
    fn it_tries_less_often_the_longer_nothing_helps() {
        let breaker = Breaker::default();
        for _ in 0..20 {
            breaker.record(true, 10);
        }
        let mut tries = Vec::new();
        for at_ms in 10..20_000 {
            if breaker.lets_through(at_ms) {
                breaker.record(true, at_ms);
                tries.push(at_ms);
            }
        }
        assert_eq!(tries, [510, 1510, 3510, 7510, 11_510, 15_510, 19_510]);
    }

    #[test]
    fn half_of_the_calls_may_fail() {
        let breaker = Breaker::default();
        for call in 0..1000 {
            assert!(!breaker.record(call % 2 == 1, 10));
        }
    }

    #[test]
    fn failures_of_long_ago_do_not_count() {
        let breaker = Breaker::default();
        for second in 1..100 {
            for _ in 0..10 {
                assert!(!breaker.record(true, second * 2_000));
            }
        }
    }
}
