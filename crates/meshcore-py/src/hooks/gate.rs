//! Who of us is in the interpreter, told without asking the interpreter.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a worker looks again before it hands its call over. Source: measured, ten hooks.
const SPIN: Duration = Duration::from_micros(2);

/// One word: whether one of us is in the interpreter.
///
/// It is a hint, not a lock: who does not get it either goes another way (workers) or goes in
/// all the same and waits for the interpreter (threads that may wait). So nobody ever waits for
/// it, and a thread that is stuck in the interpreter cannot make others stick.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    is_taken: AtomicBool,
}

/// Leaves the gate when dropped.
#[derive(Debug)]
pub(crate) struct Inside<'g> {
    gate: &'g Gate,
}

// === impl Gate ===

impl Gate {
    /// Enters if nobody is inside.
    pub(crate) fn try_enter(&self) -> Option<Inside<'_>> {
        let is_free =
            !self.is_taken.load(Ordering::Relaxed) && !self.is_taken.swap(true, Ordering::Acquire);
        is_free.then(|| Inside { gate: self })
    }

    /// Enters, looking again for 2 us: most hooks take a tenth of that. One processor has no
    /// use for looking.
    pub(crate) fn enter_soon(&self, has_many_processors: bool) -> Option<Inside<'_>> {
        if let Some(inside) = self.try_enter() {
            return Some(inside);
        }
        let began = Instant::now();
        while has_many_processors && began.elapsed() < SPIN {
            std::hint::spin_loop();
            if let Some(inside) = self.try_enter() {
                return Some(inside);
            }
        }
        None
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.gate.is_taken.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_inside_at_a_time() {
        let gate = Gate::default();
        let inside = gate.try_enter().unwrap();
        assert!(gate.try_enter().is_none());
        assert!(gate.enter_soon(true).is_none());
        drop(inside);
        assert!(gate.enter_soon(false).is_some());
    }

    #[test]
    fn threads_exclude_each_other() {
        let gate = Gate::default();
        let inside = std::sync::atomic::AtomicU64::new(0);
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for _ in 0..10_000 {
                        if let Some(_guard) = gate.enter_soon(true) {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            inside.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert!(gate.try_enter().is_some());
    }
}
