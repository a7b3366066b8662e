//! How long workers waited for the interpreter lately. Threads of the user do not pass the gate,
//! so that only the wait itself tells.

use std::sync::atomic::{AtomicU64, Ordering};

/// One wait of this length is enough. Source: performance blueprint, section 3.14 (d).
const MAX_WAIT_NS: u64 = 1_000_000;
/// Average that is too much. Source: as above.
const MAX_AVERAGE_NS: u64 = 50_000;
/// How long workers then keep out of the interpreter. Source: as above.
const KEEP_OUT_NS: u64 = 1_000_000_000;

/// Whether workers may attach, by the waits they had. Times are in ns of the host's clock.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    average_ns: AtomicU64,
    closed_until_ns: AtomicU64,
    closings: AtomicU64,
}

// === impl Pressure ===

impl Pressure {
    /// Whether workers keep out of the interpreter.
    pub(crate) fn is_closed(&self, now_ns: u64) -> bool {
        self.closed_until_ns.load(Ordering::Relaxed) > now_ns
    }

    /// Takes a wait into account. Updates that cross are lost, which the average bears.
    pub(crate) fn waited(&self, wait_ns: u64, now_ns: u64) {
        let before = self.average_ns.load(Ordering::Relaxed);
        let average = before.saturating_sub(before >> 4).saturating_add(wait_ns >> 4);
        if average != before {
            self.average_ns.store(average, Ordering::Relaxed);
        }
        if wait_ns > MAX_WAIT_NS || average > MAX_AVERAGE_NS {
            self.average_ns.store(0, Ordering::Relaxed);
            self.closed_until_ns.store(now_ns.saturating_add(KEEP_OUT_NS), Ordering::Relaxed);
            self.closings.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often workers had to begin to keep out.
    pub(crate) fn closings(&self) -> u64 {
        self.closings.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_long_wait_closes_for_a_second() {
        let pressure = Pressure::default();
        pressure.waited(100, 0);
        assert!(!pressure.is_closed(1));
        pressure.waited(2_000_000, 10);
        assert!(pressure.is_closed(11));
        assert!(pressure.is_closed(1_000_000_009));
        assert!(!pressure.is_closed(1_000_000_010));
        assert_eq!(pressure.closings(), 1);
    }

    #[test]
    fn many_middling_waits_close() {
        let pressure = Pressure::default();
        let count = (0..1000).take_while(|_| {
            pressure.waited(80_000, 0);
            !pressure.is_closed(1)
        });
        assert!((5..50).contains(&count.count()));
    }
}
