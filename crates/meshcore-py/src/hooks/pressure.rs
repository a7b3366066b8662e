//! How long workers waited for the interpreter lately. Threads of the user do not pass the gate,
//! so that only the wait itself tells.

use std::sync::atomic::{AtomicU64, Ordering};

use meshcore_io::waits_of_this_thread;

/// Average that is too much. Source: performance blueprint, section 3.14 (d).
const MAX_AVERAGE_NS: u64 = 50_000;
/// One wait of this length is enough: it alone would make the average too much.
const MAX_WAIT_NS: u64 = MAX_AVERAGE_NS << AVERAGED_SHIFT;
/// The average is of about so many waits, as a power of two.
const AVERAGED_SHIFT: u32 = 4;
/// How long workers then keep out of the interpreter. Source: blueprint, as above.
const KEEP_OUT_NS: u64 = 1_000_000_000;
/// How long after a long wait it is looked whether the next one is for the interpreter: on a busy
/// machine other processes interrupt a worker here as everywhere, some times a second.
const WATCHFUL_NS: u64 = 60_000_000_000;

/// Whether workers may attach, by the waits they had. Times are in ns of the host's clock.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    average_ns: AtomicU64,
    closed_until_ns: AtomicU64,
    watchful_until_ns: AtomicU64,
    closings: AtomicU64,
}

// === impl Pressure ===

impl Pressure {
    /// Whether workers keep out of the interpreter.
    pub(crate) fn is_closed(&self, now_ns: u64) -> bool {
        self.closed_until_ns.load(Ordering::Relaxed) > now_ns
    }

    /// How often this thread has waited for anything, before it attaches; `None` when nobody needs
    /// to know.
    pub(crate) fn waits_before(&self, now_ns: u64) -> Option<u64> {
        let is_watchful = self.watchful_until_ns.load(Ordering::Relaxed) > now_ns;
        if is_watchful { waits_of_this_thread() } else { None }
    }

    /// Takes a wait of this thread into account. Updates that cross are lost, which the average
    /// bears.
    pub(crate) fn waited(&self, wait_ns: u64, now_ns: u64, waits_before: Option<u64>) {
        if wait_ns > MAX_WAIT_NS {
            self.watchful_until_ns.store(now_ns.saturating_add(WATCHFUL_NS), Ordering::Relaxed);
            if waits_before.is_some() && waits_before == waits_of_this_thread() {
                return; // it was interrupted
            }
        }
        let before = self.average_ns.load(Ordering::Relaxed);
        let average = before
            .saturating_sub(before >> AVERAGED_SHIFT)
            .saturating_add(wait_ns >> AVERAGED_SHIFT);
        if average != before {
            self.average_ns.store(average, Ordering::Relaxed);
        }
        if average > MAX_AVERAGE_NS {
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
        pressure.waited(100, 0, None);
        assert!(!pressure.is_closed(1));
        pressure.waited(2_000_000, 10, pressure.waits_before(10));
        assert!(pressure.is_closed(11));
        assert!(pressure.is_closed(1_000_000_009));
        assert!(!pressure.is_closed(1_000_000_010));
        assert_eq!(pressure.closings(), 1);
    }

    #[test]
    fn who_was_interrupted_has_not_waited() {
        let pressure = Pressure::default();
        assert_eq!(pressure.waits_before(5), None);
        pressure.waited(2_000_000, 10, None);
        let (mut now_ns, mut interrupted) = (2_000_000_000, 0);
        while interrupted == 0 {
            let before = pressure.waits_before(now_ns);
            assert!(before.is_some(), "the next one is looked at");
            pressure.waited(2_000_000, now_ns, before);
            interrupted += u32::from(!pressure.is_closed(now_ns + 1));
            now_ns += 2_000_000_000; // this thread may have waited all the same
        }
        let before = pressure.waits_before(now_ns);
        std::thread::park_timeout(std::time::Duration::from_millis(1));
        pressure.waited(2_000_000, now_ns, before);
        assert!(pressure.is_closed(now_ns + 1), "it waited");
    }

    #[test]
    fn many_middling_waits_close() {
        let pressure = Pressure::default();
        let count = (0..1000).take_while(|_| {
            pressure.waited(80_000, 0, None);
            !pressure.is_closed(1)
        });
        assert!((5..50).contains(&count.count()));
    }
}
