//! Time limits of a worker, with one timer of the kernel for all of them.
//!
//! The runtime's own timers read the clock, and look for the next one, in every turn of the loop,
//! and each new limit that is the shortest wakes the loop up. Nearly all limits are never reached:
//! here they cost two changes of a tree, and a call of the system when the first one changes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use meshcore_io::Alarm;
use tokio::task::{JoinHandle, spawn_local};

thread_local!(static TIMERS: RefCell<Option<Rc<Timers>>> = const { RefCell::new(None) });

/// The limit came before the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Elapsed;

/// Waits so long.
pub(crate) async fn sleep(duration: Duration) {
    match Instant::now().checked_add(duration) {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await, // longer than a clock can say
    }
}

/// Waits for `work`, at most so long.
///
/// # Errors
///
/// [`Elapsed`].
pub(crate) async fn timeout<F: Future>(
    within: Duration,
    work: Pin<&mut F>,
) -> Result<F::Output, Elapsed> {
    unless(sleep(within), work).await
}

/// Waits for `work`, at most until then.
///
/// # Errors
///
/// [`Elapsed`].
pub(crate) async fn timeout_at<F: Future>(
    until: Instant,
    work: Pin<&mut F>,
) -> Result<F::Output, Elapsed> {
    unless(sleep_until(until), work).await
}

/// Gives this thread its timers. Called in its runtime.
///
/// # Errors
///
/// When the system has no descriptor for them.
pub(crate) fn open() -> io::Result<Opened> {
    let timers = Rc::new(Timers::new()?);
    TIMERS.set(Some(Rc::clone(&timers)));
    Ok(Opened(spawn_local(timers.run())))
}

/// Timers that this thread has until it is dropped.
#[derive(Debug)]
pub(crate) struct Opened(JoinHandle<()>);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.abort();
        TIMERS.take();
    }
}

async fn unless<F: Future>(
    late: impl Future<Output = ()>,
    mut work: Pin<&mut F>,
) -> Result<F::Output, Elapsed> {
    let mut late = pin!(late);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Ok(done)),
        Poll::Pending => late.as_mut().poll(cx).map(|()| Err(Elapsed)),
    })
    .await
}

/// On a thread without timers of its own, those of the runtime.
async fn sleep_until(until: Instant) {
    match TIMERS.with_borrow(Clone::clone) {
        Some(timers) => Waiting { timers, until, number: None }.await,
        None => Box::pin(tokio::time::sleep_until(until.into())).await,
    }
}

/// Those who wait, in the order of their times; the number tells them apart.
#[derive(Debug)]
struct Timers {
    alarm: Alarm,
    /// When the alarm rings: not after the first of those who wait.
    rings: Cell<Option<Instant>>,
    waiting: RefCell<BTreeMap<(Instant, u64), Waker>>,
    numbers: Cell<u64>,
}

/// One who waits.
#[derive(Debug)]
struct Waiting {
    timers: Rc<Timers>,
    until: Instant,
    number: Option<u64>,
}

// === impl Timers ===

impl Timers {
    fn new() -> io::Result<Self> {
        Ok(Self {
            alarm: Alarm::new()?,
            rings: Cell::default(),
            waiting: RefCell::default(),
            numbers: Cell::default(),
        })
    }

    /// Wakes those whose time has come.
    async fn run(self: Rc<Self>) {
        while self.alarm.rung().await.is_ok() {
            let now = Instant::now();
            while let Some(waker) = self.take_due(now) {
                waker.wake();
            }
            self.rings.set(None);
            let first = self.waiting.borrow().first_key_value().map(|((until, _), _)| *until);
            if let Some(first) = first {
                self.ring_at(first);
            }
        }
    }

    fn take_due(&self, now: Instant) -> Option<Waker> {
        let mut waiting = self.waiting.borrow_mut();
        let first = waiting.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    fn ring_at(&self, until: Instant) {
        if self.rings.get().is_some_and(|rings| rings <= until) {
            return;
        }
        // Fails for a time that the kernel cannot say, which nobody lives to see.
        if self.alarm.ring_in(until.saturating_duration_since(Instant::now())).is_ok() {
            self.rings.set(Some(until));
        }
    }

    fn add(&self, until: Instant, waker: &Waker) -> u64 {
        let number = self.numbers.get().wrapping_add(1);
        self.numbers.set(number);
        self.waiting.borrow_mut().insert((until, number), waker.clone());
        self.ring_at(until);
        number
    }
}

// === impl Waiting ===

impl Future for Waiting {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(number) = self.number else {
            self.number = Some(self.timers.add(self.until, cx.waker()));
            return Poll::Pending;
        };
        match self.timers.waiting.borrow_mut().get_mut(&(self.until, number)) {
            Some(waker) => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
            None => Poll::Ready(()), // woken
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let waker = self.timers.waiting.borrow_mut().remove(&(self.until, number));
            drop(waker); // may end a task, which may have limits
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_hours(1);

    /// Runs in a loop as a worker has it: the runtime has no timers.
    fn on_worker<T>(work: impl Future<Output = T>) -> T {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_io().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async {
            let _timers = open().unwrap();
            work.await
        })
    }

    fn waiting() -> usize {
        TIMERS.with_borrow(|timers| timers.as_ref().unwrap().waiting.borrow().len())
    }

    #[test]
    fn limits_come_in_their_order() {
        let order = Rc::new(RefCell::new(Vec::new()));
        on_worker(async {
            let tasks: Vec<_> = [3, 1, 2]
                .map(|turn| {
                    let order = Rc::clone(&order);
                    spawn_local(async move {
                        sleep(SHORT * turn).await;
                        order.borrow_mut().push(turn);
                    })
                })
                .into();
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert_eq!(*order.borrow(), [1, 2, 3]);
    }

    #[test]
    fn a_limit_that_is_not_reached_leaves_nothing() {
        on_worker(async {
            let began = Instant::now();
            assert_eq!(timeout(LONG, pin!(sleep(SHORT))).await, Ok(()));
            assert_eq!(timeout(SHORT, pin!(sleep(LONG))).await, Err(Elapsed));
            assert_eq!(timeout_at(began, pin!(sleep(LONG))).await, Err(Elapsed), "long ago");
            assert!(began.elapsed() >= SHORT * 2);
            assert_eq!(waiting(), 0);
        });
    }

    #[test]
    fn a_shorter_limit_comes_before_one_that_was_there() {
        on_worker(async {
            let long = spawn_local(sleep(LONG));
            let began = Instant::now();
            sleep(SHORT).await;
            assert!((SHORT..LONG).contains(&began.elapsed()));
            assert_eq!(waiting(), 1);
            long.abort();
            assert!(long.await.unwrap_err().is_cancelled());
            assert_eq!(waiting(), 0);
        });
    }

    #[tokio::test]
    async fn another_thread_has_the_timers_of_its_runtime() {
        assert_eq!(timeout(SHORT, pin!(std::future::pending::<()>())).await, Err(Elapsed));
        assert!(timeout(Duration::MAX, pin!(async {})).await.is_ok());
    }
}
