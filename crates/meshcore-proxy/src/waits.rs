//! Waiting for a peer with a limit, for many connections, at no cost for each request.
//!
//! Each connection has one entry with a deadline in whole seconds. A ticker looks at all entries
//! once a second and wakes those whose time is over; draining wakes those that are idle, and those
//! that are kept for a next request once none has come for a while. Want of memory ends idle ones
//! too, and connections that are cut off.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use tokio::task::AbortHandle;

/// Why a wait ended without its future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interrupted {
    /// The limit was reached.
    Expired,
    /// The process drains, or memory is short, and the connection was idle.
    Draining,
}

/// What a wait is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Nothing is lost when it ends: a drain ends it at once.
    Idle,
    /// For the next request of HTTP/1, which may be on its way: a drain ends it when none has come
    /// within [`GRACE_ROUNDS`]. One that comes is told that it was the last.
    Kept,
    /// Inside a request: only its limit ends it.
    Busy,
}

/// All waits of a worker.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    entries: RefCell<Entries>,
    now_s: Cell<u64>,
    draining: Cell<bool>,
    /// Memory is short.
    pressed: Cell<bool>,
}

#[derive(Debug, Default)]
struct Entries {
    slots: Vec<Option<Rc<Entry>>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Entry {
    waker: RefCell<Option<Waker>>,
    deadline_s: Cell<u64>,
    waiting: Cell<Waiting>,
    /// Rounds of a drain that this wait has seen.
    rounds: Cell<u32>,
    /// The task that serves the connection.
    task: RefCell<Option<AbortHandle>>,
}

impl Entry {
    /// Whether a drain ends the wait, if there is one.
    fn is_given_up(&self, waiting: Waiting) -> bool {
        match waiting {
            Waiting::Idle => true,
            Waiting::Kept => self.rounds.get() >= GRACE_ROUNDS,
            Waiting::Busy => false,
        }
    }
}

/// The entry of one connection; it ends with the connection.
#[derive(Debug)]
pub(crate) struct Wait {
    waits: Rc<Waits>,
    entry: Rc<Entry>,
    slot: usize,
}

/// A connection whose task is not known yet.
#[derive(Debug)]
pub(crate) struct Serving(Rc<Entry>);

impl Serving {
    /// The connection can be cut off from now on.
    pub(crate) fn by(self, task: AbortHandle) {
        *self.0.task.borrow_mut() = Some(task);
    }
}

const NEVER: u64 = u64::MAX;

/// Rounds of a drain that a kept connection waits for a request: half a second, when there is one
/// each [`crate::worker::DRAIN_POLL`]. An answer cannot follow a request that crosses our close,
/// and what is not idempotent is not sent again; who asks more often than this is answered first.
const GRACE_ROUNDS: u32 = 25;

impl Waits {
    /// An entry for a new connection.
    pub(crate) fn enter(self: &Rc<Self>) -> Wait {
        let entry = Rc::new(Entry {
            waker: RefCell::new(None),
            deadline_s: Cell::new(NEVER),
            waiting: Cell::new(Waiting::Busy),
            rounds: Cell::new(0),
            task: RefCell::new(None),
        });
        let mut entries = self.entries.borrow_mut();
        let slot = entries.free.pop().unwrap_or(entries.slots.len());
        if slot == entries.slots.len() {
            entries.slots.push(None);
        }
        if let Some(place) = entries.slots.get_mut(slot) {
            *place = Some(Rc::clone(&entry));
        }
        Wait { waits: Rc::clone(self), entry, slot }
    }

    /// Connections that have an entry.
    pub(crate) fn len(&self) -> usize {
        let entries = self.entries.borrow();
        entries.slots.len().saturating_sub(entries.free.len())
    }

    /// Whole seconds since the worker began.
    pub(crate) fn now_s(&self) -> u64 {
        self.now_s.get()
    }

    /// Wakes every wait whose limit is reached at `now_s`.
    pub(crate) fn tick(&self, now_s: u64) {
        self.now_s.set(now_s);
        self.wake(|entry| entry.deadline_s.get() <= now_s);
    }

    /// Ends all idle waits, from now on. Each call is a round for those that are kept.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        self.wake(|entry| {
            entry.rounds.set(entry.rounds.get().saturating_add(1));
            entry.is_given_up(entry.waiting.get())
        });
    }

    /// Ends idle waits as long as memory is short.
    pub(crate) fn press(&self, is_pressed: bool) {
        self.pressed.set(is_pressed);
        if is_pressed {
            self.wake(|entry| entry.waiting.get() == Waiting::Idle);
        }
    }

    /// Cuts off the connections that are chosen; how many they were.
    pub(crate) fn cut(&self, mut is_chosen: impl FnMut() -> bool) -> u64 {
        let entries = self.entries.borrow();
        let tasks = entries.slots.iter().flatten().map(|entry| entry.task.borrow_mut());
        let mut cut = 0_u64;
        for mut task in tasks.filter(|task| task.is_some()) {
            if is_chosen()
                && let Some(task) = task.take()
            {
                task.abort(); // it ends at its next turn, not now
                cut = cut.saturating_add(1);
            }
        }
        cut
    }

    /// Whether the process is draining.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether a wait is ended, whatever its limit.
    fn gives_up(&self, entry: &Entry, waiting: Waiting) -> bool {
        self.is_draining() && entry.is_given_up(waiting)
            || self.pressed.get() && waiting == Waiting::Idle
    }

    fn wake(&self, which: impl Fn(&Entry) -> bool) {
        for entry in self.entries.borrow().slots.iter().flatten() {
            if which(entry)
                && let Some(waker) = entry.waker.borrow_mut().take()
            {
                waker.wake();
            }
        }
    }
}

impl Wait {
    /// Where to tell, once it is known, which task serves the connection.
    pub(crate) fn serving(&self) -> Serving {
        Serving(Rc::clone(&self.entry))
    }

    /// Whole seconds since the worker began.
    pub(crate) fn now_s(&self) -> u64 {
        self.waits.now_s()
    }

    /// The future's output, unless `limit_s` seconds pass first (0 is no limit) or the process
    /// drains and does not wait for this. Precise to a second.
    pub(crate) async fn within<F: Future>(
        &self,
        limit_s: u64,
        waiting: Waiting,
        future: F,
    ) -> Result<F::Output, Interrupted> {
        let mut future = pin!(future);
        let started_s = self.waits.now_s();
        self.entry.rounds.set(0);
        let deadline_s = match limit_s {
            0 => NEVER,
            limit_s => started_s.saturating_add(limit_s).saturating_add(1),
        };
        let output = poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            if self.waits.gives_up(&self.entry, waiting) {
                return Poll::Ready(Err(Interrupted::Draining));
            }
            if self.waits.now_s() >= deadline_s {
                return Poll::Ready(Err(Interrupted::Expired));
            }
            self.entry.deadline_s.set(deadline_s);
            self.entry.waiting.set(waiting);
            let mut waker = self.entry.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
        self.entry.deadline_s.set(NEVER);
        self.entry.waiting.set(Waiting::Busy);
        output
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut entries = self.waits.entries.borrow_mut();
        if let Some(place) = entries.slots.get_mut(self.slot) {
            *place = None;
        }
        entries.free.push(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(test);
    }

    #[test]
    fn a_wait_ends_at_its_limit() {
        run(async {
            let waits = Rc::new(Waits::default());
            let wait = waits.enter();
            let waited = wait.within(5, Waiting::Busy, pending::<()>());
            let clock = async {
                tokio::task::yield_now().await;
                waits.tick(5);
                tokio::task::yield_now().await;
                waits.tick(6);
            };
            let (ended, ()) = tokio::join!(waited, clock);
            assert_eq!(ended, Err(Interrupted::Expired));
        });
    }

    #[test]
    fn draining_ends_idle_waits_alone() {
        run(async {
            let waits = Rc::new(Waits::default());
            let (idle, busy) = (waits.enter(), waits.enter());
            let idle = idle.within(0, Waiting::Idle, pending::<()>());
            let busy = busy.within(3, Waiting::Busy, pending::<()>());
            let clock = async {
                tokio::task::yield_now().await;
                waits.drain();
                tokio::task::yield_now().await;
                waits.tick(4);
            };
            let (idle, busy, ()) = tokio::join!(idle, busy, clock);
            assert_eq!((idle, busy), (Err(Interrupted::Draining), Err(Interrupted::Expired)));
        });
    }

    #[test]
    fn draining_gives_a_kept_connection_time_for_its_last_request() {
        run(async {
            let waits = Rc::new(Waits::default());
            let wait = waits.enter();
            let round = async || {
                waits.drain();
                tokio::task::yield_now().await;
            };
            let mut kept = Box::pin(wait.within(0, Waiting::Kept, pending::<()>()));
            for _ in 1..GRACE_ROUNDS {
                let (early, ()) = tokio::join!(
                    poll_fn(|cx| Poll::Ready(kept.as_mut().poll(cx).is_ready())),
                    round()
                );
                assert!(!early);
            }
            let (ended, ()) = tokio::join!(kept, round());
            assert_eq!(ended, Err(Interrupted::Draining));
            let again = wait.within(0, Waiting::Kept, async {
                round().await;
                7
            });
            assert_eq!(again.await, Ok(7));
        });
    }

    #[test]
    fn want_of_memory_ends_idle_waits_and_cuts_what_is_chosen() {
        run(async {
            let waits = Rc::new(Waits::default());
            let (idle, kept) = (waits.enter(), waits.enter());
            waits.press(true);
            let idle = idle.within(9, Waiting::Idle, pending::<()>()).await;
            assert_eq!(idle, Err(Interrupted::Draining));
            let kept = kept.within(9, Waiting::Kept, async { tokio::task::yield_now().await });
            assert_eq!(kept.await, Ok(()), "a request of HTTP/1 may be on its way");
            waits.press(false);
            let (one, other) = (waits.enter(), waits.enter());
            let tasks: Vec<_> = [one, other]
                .map(|wait| {
                    let serving = wait.serving();
                    let task = tokio::spawn(pending::<()>());
                    serving.by(task.abort_handle());
                    (wait, task)
                })
                .into();
            let mut turn = 0;
            assert_eq!(waits.cut(|| std::mem::replace(&mut turn, 1) == 0), 1);
            assert_eq!(waits.cut(|| false), 0);
            assert_eq!(waits.cut(|| true), 1, "none twice");
            for (_wait, task) in tasks {
                assert!(task.await.unwrap_err().is_cancelled());
            }
        });
    }

    #[test]
    fn slots_are_used_again() {
        let waits = Rc::new(Waits::default());
        let first = waits.enter();
        let second = waits.enter();
        assert_eq!(waits.len(), 2);
        drop(first);
        assert_eq!(waits.len(), 1);
        let third = waits.enter();
        assert_eq!((second.slot, third.slot, waits.len()), (1, 0, 2));
    }

    #[test]
    fn a_ready_future_is_not_interrupted() {
        run(async {
            let waits = Rc::new(Waits::default());
            waits.drain();
            let wait = waits.enter();
            assert_eq!(wait.within(1, Waiting::Idle, async { 7 }).await, Ok(7));
        });
    }
}
