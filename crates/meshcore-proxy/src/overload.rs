//! Want of memory or descriptors: what is given up before the system would kill the process.
//!
//! The control thread compares what the process's control group uses with its limit. When memory
//! is short, nothing new is taken on: connections are closed as they come, requests are answered
//! with 503, HTTP/2 connections are told to go. When that is not enough, buffers do not grow, which
//! ends who sends, and workers cut connections off, some at each look, until it is. Source: the actions of Envoy's overload manager.
//!
//! The group may be shared, with the program beside the sidecar: what that program takes is no reason
//! to refuse its requests, since refusing them would give none of it back.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use meshcore_io::{MemoryLimit, own_bytes};
use meshcore_telemetry::Level;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::shared::Shared;

/// How short memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Pressure {
    None,
    /// Nothing new is taken on.
    Tight,
    /// Connections are cut off.
    Critical,
}

/// Parts of the limit, in percent: from here memory is tight, from here critical, and below this
/// it suffices again. Below Envoy's advice for edges (95 and 98 of the heap alone), because what
/// the kernel holds for sockets comes on top between two looks.
const TIGHT_PERCENT: u64 = 80;
const CRITICAL_PERCENT: u64 = 88;
const EASED_PERCENT: u64 = 75;

/// Memory is not short because of us while less than this part of the limit is ours, in percent.
const OURS_PERCENT: u64 = 25;

/// How fast memory may grow by what one worker does, for how long may pass until the next look.
/// Source: measured, reading from loopback.
const GROWTH_BYTES_A_MS: u64 = 2 * 1024 * 1024;

/// Shortest and longest time between two looks.
const LOOKS_MS: (u64, u64) = (5, 1000);

/// A trouble that has not been seen for so long is over: the next one is told again.
const QUIET: Duration = Duration::from_secs(10);

/// What people are told and nobody has fetched, at most.
const MAX_NOTICES: usize = 16;

/// How short memory is: it is the process's, whatever runs in it.
static PRESSURE: AtomicU8 = AtomicU8::new(Pressure::None as u8);

/// When workers are to look at how short memory is, and what people are to be told.
#[derive(Debug, Default)]
pub(crate) struct Overload {
    looked: Notify,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    memory: Option<Instant>,
    descriptors: Option<Instant>,
    notices: Vec<String>,
}

// === impl Overload ===

impl Overload {
    /// The next look that found memory short, or no longer; counted from this call.
    pub(crate) fn looked(&self) -> impl Future<Output = ()> {
        self.looked.notified()
    }

    /// The system had no descriptor for a connection.
    pub(crate) fn lacked_descriptor(&self) {
        let mut told = self.told.lock();
        if began(&mut told.descriptors) {
            told.tell(
                "no file descriptor is left for a connection: clients are refused until there \
                 is, raise the limit of open files (ulimit -n)"
                    .to_owned(),
            );
        }
    }

    /// What people are to be told, once.
    pub(crate) fn take_notices(&self) -> Vec<String> {
        mem::take(&mut self.told.lock().notices)
    }

    /// Takes note of a look.
    fn found(&self, look: Look) -> Pressure {
        let before = pressure();
        let now = judge(before, look);
        PRESSURE.store(now as u8, Ordering::Relaxed);
        if now > Pressure::None {
            let mut told = self.told.lock();
            if began(&mut told.memory) {
                told.tell(format!(
                    "memory is short, {} of {} MiB are in use: new connections and requests are \
                     refused until it suffices, raise the limit or send less",
                    look.used >> 20,
                    look.limit >> 20
                ));
            }
        }
        if before.max(now) > Pressure::None {
            self.looked.notify_waiters();
        }
        now
    }
}

impl Told {
    fn tell(&mut self, notice: String) {
        if self.notices.len() < MAX_NOTICES {
            self.notices.push(notice);
        }
    }
}

/// How short memory is.
pub(crate) fn pressure() -> Pressure {
    match PRESSURE.load(Ordering::Relaxed) {
        0 => Pressure::None,
        1 => Pressure::Tight,
        _critical => Pressure::Critical,
    }
}

/// Whether nothing new is to be taken on.
pub(crate) fn is_refusing() -> bool {
    pressure() > Pressure::None
}

/// Whether a trouble that is seen now was over before.
fn began(last: &mut Option<Instant>) -> bool {
    let before = last.replace(Instant::now());
    before.is_none_or(|before| before.elapsed() >= QUIET)
}

/// What was found: bytes of the group, of them ours, and the limit.
#[derive(Debug, Clone, Copy)]
struct Look {
    used: u64,
    ours: u64,
    limit: u64,
}

impl Look {
    /// Where there is no limit.
    const UNLIMITED: Self = Self { used: 0, ours: 0, limit: u64::MAX };
}

fn judge(before: Pressure, look: Look) -> Pressure {
    let percent = |bytes: u64| bytes.saturating_mul(100).checked_div(look.limit);
    if percent(look.ours).is_some_and(|ours| ours < OURS_PERCENT) {
        return Pressure::None;
    }
    match (percent(look.used).unwrap_or(u64::MAX), before) {
        (CRITICAL_PERCENT.., _) => Pressure::Critical,
        (TIGHT_PERCENT.., _) | (EASED_PERCENT.., Pressure::Tight | Pressure::Critical) => {
            Pressure::Tight
        }
        (_enough, _) => Pressure::None,
    }
}

/// How long memory cannot become tight, by how much is left until then.
fn pause(look: Look, workers: u64) -> Duration {
    let tight = (look.limit / 100).saturating_mul(TIGHT_PERCENT);
    let left = tight.saturating_sub(look.used);
    let ours = (look.limit / 100).saturating_mul(OURS_PERCENT).saturating_sub(look.ours);
    let growth = GROWTH_BYTES_A_MS.saturating_mul(workers.max(1));
    let ms = left.max(ours).checked_div(growth).unwrap_or(0);
    Duration::from_millis(ms.clamp(LOOKS_MS.0, LOOKS_MS.1))
}

/// Looks at the memory of the process for ever. A limit may be set or changed at any time.
pub(crate) async fn watch_memory(shared: Arc<Shared>) {
    let (mut limit, mut found_at) = (MemoryLimit::find(), Instant::now());
    loop {
        if found_at.elapsed() >= Duration::from_millis(LOOKS_MS.1) {
            (limit, found_at) = (MemoryLimit::find(), Instant::now());
        }
        let look = limit.as_ref().map_or(Look::UNLIMITED, look);
        let pressure = shared.overload.found(look);
        shared.registry.set(Level::MemoryPressure, i64::from(pressure as u8));
        tokio::time::sleep(pause(look, shared.workers())).await;
    }
}

fn look(limit: &MemoryLimit) -> Look {
    // Without an answer there is nothing to compare, and the next look may have one.
    let (used, in_sockets) = limit.used_bytes().unwrap_or((0, 0));
    // Nearly all sockets of the group end at the sidecar, on one side or the other.
    let ours = own_bytes().map_or(used, |own| own.saturating_add(in_sockets));
    Look { used, ours, limit: limit.bytes() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_rises_at_once_and_falls_late() {
        use Pressure::{Critical, None, Tight};
        for (before, percent, now) in [
            (None, 0, None),
            (None, 79, None),
            (None, 80, Tight),
            (None, 88, Critical),
            (None, 200, Critical),
            (Critical, 87, Tight),
            (Critical, 75, Tight),
            (Tight, 79, Tight),
            (Tight, 74, None),
            (Critical, 10, None),
        ] {
            let look = Look { used: percent, ours: 25, limit: 100 };
            assert_eq!(judge(before, look), now, "{before:?} {percent}");
            let theirs = Look { ours: 24, ..look };
            assert_eq!(judge(before, theirs), None, "the program beside us takes it");
        }
        assert_eq!(judge(None, Look { used: 1, ours: 1, limit: 0 }), Critical, "no memory at all");
    }

    #[test]
    fn the_nearer_the_limit_the_sooner_the_next_look() {
        const GIB: u64 = 1 << 30;
        let look = |used, limit| Look { used, ours: used, limit };
        assert_eq!(pause(look(0, 4 * GIB), 1), Duration::from_secs(1));
        assert_eq!(pause(look(GIB, GIB), 1), Duration::from_millis(5));
        assert!(pause(look(60 << 20, 256 << 20), 1) < Duration::from_millis(100));
        assert!(pause(look(200 << 20, GIB), 4) <= pause(look(200 << 20, GIB), 1) / 3);
        assert_eq!(pause(Look::UNLIMITED, 8), Duration::from_secs(1));
        assert_eq!(judge(Pressure::Critical, Look::UNLIMITED), Pressure::None);
        let theirs = Look { used: GIB, ours: 0, limit: GIB };
        assert!(pause(theirs, 1) > Duration::from_millis(100), "until a quarter is ours");
    }

    #[test]
    fn a_trouble_is_told_once() {
        let overload = Overload::default();
        for _ in 0..3 {
            overload.lacked_descriptor();
            assert_eq!(overload.found(Look { used: 85, ours: 85, limit: 100 }), Pressure::Tight);
        }
        assert!(is_refusing());
        assert_eq!(overload.take_notices().len(), 2);
        assert_eq!(overload.found(Look { used: 10, ours: 10, limit: 100 }), Pressure::None);
        assert!(overload.take_notices().is_empty() && !is_refusing());
    }
}
