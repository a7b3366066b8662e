//! One life of a plugin's process: calls go in, decisions come out.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use meshcore_proxy::hooks::{HookError, RequestRecord};
use tokio::sync::mpsc;

use super::super::entry::count;
use super::super::reply::Decided;
use super::super::wire::{frame, read_answer, write_call, write_records};
use super::child::{Child, Fault, Recipe};
use super::{Call, Shared};
use crate::answer;

/// Calls that the process has at most; others wait on our side.
const MAX_OUTSTANDING: usize = 1024;
/// Calls that are written at a time. Source: performance blueprint, section 3.14 (e).
const BATCH: usize = 64;
/// No more calls are written while so much waits to be sent.
const MAX_OUTBOX_BYTES: usize = 256 * 1024;
/// A call that has taken so many times its limit, and [`MIN_HUNG`], will not end. Its own process
/// has tried to interrupt it before.
const LIMITS_UNTIL_HUNG: u32 = 20;
const MIN_HUNG: Duration = Duration::from_secs(1);
/// How much more memory it may take than when it was loaded.
const MAX_GROWN_BYTES: u64 = 512 << 20;
/// How often it is looked after: while it has calls, and while it has none.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOK_EVERY_IDLE: Duration = Duration::from_secs(1);
/// A process that was replaced ends when it had no call for so long.
const RETIRED_IDLE: Duration = Duration::from_mins(1);

/// What is asked of a process, whichever life it is in.
#[derive(Debug)]
pub(super) struct Orders {
    pub(super) calls: mpsc::Receiver<Call>,
    pub(super) records: mpsc::Receiver<Arc<[RequestRecord]>>,
}

/// Why a life ended.
#[derive(Debug)]
pub(super) enum End {
    /// Nobody wants it any more.
    Unwanted,
    Fault(Fault),
}

/// A process that lives.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) child: Child,
    /// Calls that it has.
    outstanding: HashMap<u64, (Call, Instant)>,
    next_call: u64,
    loaded_bytes: u64,
    last_call: Instant,
    next_look: Instant,
}

// === impl Life ===

impl Life {
    /// Starts it; the plugin is not loaded yet.
    ///
    /// # Errors
    ///
    /// When the system cannot start it.
    pub(super) fn start(recipe: &Recipe) -> Result<Self, Fault> {
        let mut child = Child::start(recipe)?;
        if !frame(&mut child.outbox, |out| out.extend_from_slice(&recipe.hello)) {
            return Err(Fault::Start(io::ErrorKind::FileTooLarge.into()));
        }
        Ok(Self {
            child,
            outstanding: HashMap::new(),
            next_call: 0,
            loaded_bytes: 0,
            last_call: Instant::now(),
            next_look: Instant::now(),
        })
    }

    /// Waits until it has loaded the plugin; returns its first frame.
    ///
    /// # Errors
    ///
    /// When it does not, in time.
    pub(super) async fn load(&mut self, within: Duration) -> Result<Vec<u8>, Fault> {
        let first_frame = async {
            loop {
                self.child.step().await?;
                if let Some(frame) = self.child.inbox.next()? {
                    return Ok::<_, Fault>(frame.to_vec());
                }
            }
        };
        let answer = tokio::time::timeout(within, first_frame).await;
        let answer = answer.map_err(|_elapsed| Fault::Slow(within))??;
        self.loaded_bytes = self.child.resident_bytes();
        Ok(answer)
    }

    /// Carries calls and decisions until there is a reason to end.
    pub(super) async fn run(&mut self, orders: &mut Orders, shared: &Shared) -> End {
        let mut calls = Vec::with_capacity(BATCH);
        loop {
            let has_room = self.child.outbox.len() < MAX_OUTBOX_BYTES;
            let takes_calls = has_room && self.outstanding.len() < MAX_OUTSTANDING;
            let carried = tokio::select! {
                stepped = self.child.step() => stepped.and_then(|()| self.hear(shared)),
                count = orders.calls.recv_many(&mut calls, BATCH), if takes_calls => {
                    if count == 0 {
                        return End::Unwanted;
                    }
                    self.ask(&mut calls);
                    Ok(())
                }
                Some(records) = orders.records.recv(), if has_room => {
                    self.show(&records, shared);
                    Ok(())
                }
                () = tokio::time::sleep_until(self.next_look.into()) => self.look(shared),
                () = shared.changed.notified() => Ok(()),
            };
            if let Err(fault) = carried {
                return End::Fault(fault);
            }
            let is_idle = self.last_call.elapsed() >= RETIRED_IDLE;
            if shared.is_retired() && is_idle {
                return End::Unwanted;
            }
        }
    }

    /// Answers the calls that it had, and ends it; returns how it ended.
    pub(super) async fn end(mut self, within: Duration, shared: &Shared) -> String {
        for (call, asked) in self.outstanding.into_values() {
            call.finish(Err(HookError::Down), asked.elapsed());
        }
        let how = self.child.end(within).await;
        shared.said(self.child.said.last_lines(Instant::now()));
        how
    }

    /// Writes calls whose callers still wait.
    fn ask(&mut self, calls: &mut Vec<Call>) {
        let now = Instant::now();
        self.last_call = now;
        self.next_look = self.next_look.min(after(now, LOOK_EVERY));
        for call in calls.drain(..) {
            if call.reply.is_late() {
                let timeout_ms = call.entry.hook.timeout_ms;
                call.finish(Err(HookError::TimedOut(timeout_ms)), Duration::ZERO);
                continue;
            }
            let number = self.next_call;
            self.next_call = number.wrapping_add(1);
            if write_call(&mut self.child.outbox, number, call.place, &call.facts) {
                self.outstanding.insert(number, (call, now));
            } else {
                let why = "is asked about a request that is too long".to_owned();
                call.finish(Err(HookError::Nonsense(why)), Duration::ZERO);
            }
        }
    }

    /// Writes finished requests.
    fn show(&mut self, records: &[RequestRecord], shared: &Shared) {
        let reads = shared.telemetry_reads();
        match write_records(&mut self.child.outbox, records, &|name| reads.contains(name)) {
            0 => {}
            lost => shared.dropped(lost),
        }
    }

    /// Takes what came: decisions, and lines for the log.
    fn hear(&mut self, shared: &Shared) -> Result<(), Fault> {
        while let Some(frame) = self.child.inbox.next()? {
            let answered = read_answer(frame)?;
            let (call, asked) = self.outstanding.remove(&answered.call).ok_or(Fault::Unasked)?;
            let decided = answered.decided.and_then(|decision| {
                answer::check(call.entry.hook.stage, &decision)?;
                Ok(decision)
            });
            count(&call.entry.counts.outside);
            call.finish(decided, asked.elapsed());
        }
        shared.said(self.child.said.lines(Instant::now()));
        Ok(())
    }

    /// Looks whether it hangs, and what it takes.
    fn look(&mut self, shared: &Shared) -> Result<(), Fault> {
        let is_idle = self.outstanding.is_empty();
        let pause = if is_idle { LOOK_EVERY_IDLE } else { LOOK_EVERY };
        self.next_look = after(Instant::now(), pause);
        for (call, asked) in self.outstanding.values() {
            let timeout = Duration::from_millis(call.entry.hook.timeout_ms);
            let within = timeout.saturating_mul(LIMITS_UNTIL_HUNG).max(MIN_HUNG);
            if asked.elapsed() > within {
                let (hook, within_ms) = (call.entry.hook.name.clone(), within.as_millis());
                return Err(Fault::Hung { hook, within_ms });
            }
        }
        let resident = self.child.resident_bytes();
        shared.counts.resident_bytes.store(resident, Ordering::Relaxed);
        let grown = resident.saturating_sub(self.loaded_bytes);
        if grown > MAX_GROWN_BYTES { Err(Fault::Grown(grown >> 20)) } else { Ok(()) }
    }
}

fn after(now: Instant, pause: Duration) -> Instant {
    now.checked_add(pause).unwrap_or(now)
}

// === impl Call ===

impl Call {
    /// It is over: counts it, and answers whoever waits.
    pub(super) fn finish(self, decided: Decided, took: Duration) {
        let Self { host, entry, reply, .. } = self;
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let timeout_ms = entry.hook.timeout_ms;
        let is_late = took_ns > entry.timeout_ns();
        let decided = if is_late { Err(HookError::TimedOut(timeout_ms)) } else { decided };
        if matches!(decided, Err(HookError::TimedOut(_))) {
            count(&entry.counts.late);
        }
        entry.load.one_less();
        host.settle(&entry, Some(&reply), &decided, (took_ns, host.now_ns()));
        reply.send(decided);
    }
}
