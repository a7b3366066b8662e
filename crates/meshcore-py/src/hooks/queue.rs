//! Calls that wait for a thread that may run them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use meshcore_proxy::hooks::Facts;
use parking_lot::{Condvar, Mutex};

use super::entry::{Entry, count};
use super::reply::Reply;

/// Calls that wait at most. Source: performance blueprint, section 3.14 (e).
const MAX_WAITING: usize = 1024;
/// Of them, of one hook, so that a stuck one leaves room for the others.
const MAX_WAITING_OF_HOOK: u32 = 256;

/// How much one hook is at now.
#[derive(Debug, Default)]
pub(crate) struct Load {
    waiting: AtomicU32,
    running: AtomicU32,
}

/// One call.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) entry: Arc<Entry>,
    pub(crate) facts: Facts,
    pub(crate) reply: Reply,
}

/// Calls that wait, in the order they came.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    /// How many calls of one hook may run at the same time.
    max_running_of_hook: u32,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    idle: u32,
    is_closed: bool,
}

/// What a thread that waited finds.
#[derive(Debug)]
pub(crate) enum Next {
    /// A call to run.
    Job(Job),
    /// Nothing for a while.
    Nothing,
    /// No more will come.
    Closed,
}

// === impl Load ===

impl Load {
    /// Calls that wait.
    pub(crate) fn outstanding(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// One more waits.
    pub(crate) fn one_more(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// One of them is over.
    pub(crate) fn one_less(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Queue ===

impl Queue {
    pub(crate) fn new(max_running_of_hook: u32) -> Self {
        Self { state: Mutex::default(), arrived: Condvar::new(), max_running_of_hook }
    }

    /// Puts a call at the end, for which [`Self::ring`] wakes a thread; `false` when it is full, for
    /// this hook or for all.
    pub(crate) fn push(&self, job: Job) -> bool {
        let mut state = self.state.lock();
        let waiting = &job.entry.load.waiting;
        if state.is_closed
            || state.jobs.len() >= MAX_WAITING
            || waiting.load(Ordering::Relaxed) >= MAX_WAITING_OF_HOOK
        {
            return false;
        }
        waiting.fetch_add(1, Ordering::Relaxed);
        state.jobs.push_back(job);
        true
    }

    /// Wakes as many idle threads as there are calls.
    pub(crate) fn ring(&self) {
        let state = self.state.lock();
        for _ in state.jobs.iter().take(state.idle.try_into().unwrap_or(usize::MAX)) {
            self.arrived.notify_one();
        }
    }

    /// The next call, waited for at most `within`.
    pub(crate) fn wait(&self, within: Duration) -> Next {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = self.next(&mut state) {
                return Next::Job(job);
            }
            if state.is_closed {
                return Next::Closed;
            }
            state.idle = state.idle.saturating_add(1);
            let timed_out = self.arrived.wait_for(&mut state, within).timed_out();
            state.idle = state.idle.saturating_sub(1);
            if timed_out {
                return self.next(&mut state).map_or(Next::Nothing, Next::Job);
            }
        }
    }

    /// The next call, if one is there.
    pub(crate) fn take(&self) -> Option<Job> {
        self.next(&mut self.state.lock())
    }

    /// A call that was taken is over, so that another of its hook may run.
    pub(crate) fn finished(&self, entry: &Entry) {
        entry.load.running.fetch_sub(1, Ordering::Relaxed);
        let state = self.state.lock();
        if state.idle > 0 && !state.jobs.is_empty() {
            self.arrived.notify_one();
        }
    }

    /// Whether no call waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().jobs.is_empty()
    }

    /// Lets no more in, and forgets those that wait: their callers give the declared answer.
    pub(crate) fn close(&self) {
        let forgotten = {
            let mut state = self.state.lock();
            state.is_closed = true;
            std::mem::take(&mut state.jobs)
        };
        self.arrived.notify_all();
        drop(forgotten);
    }

    /// The first call whose caller still waits and whose hook may run once more.
    fn next(&self, state: &mut State) -> Option<Job> {
        let mut at = 0;
        while let Some(job) = state.jobs.get(at) {
            let is_late = job.reply.is_late();
            let running = &job.entry.load.running;
            if !is_late && running.load(Ordering::Relaxed) >= self.max_running_of_hook {
                at = at.saturating_add(1);
                continue;
            }
            let job = state.jobs.remove(at)?;
            job.entry.load.waiting.fetch_sub(1, Ordering::Relaxed);
            if is_late {
                count(&job.entry.counts.late);
                continue;
            }
            job.entry.load.running.fetch_add(1, Ordering::Relaxed);
            return Some(job);
        }
        None
    }
}
