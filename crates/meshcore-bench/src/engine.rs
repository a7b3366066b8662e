//! Asks over many connections at once, and times the answers.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::{Connector, Exchange, Failure, Poll, Ready, Watch, Wire};

/// Nothing happened for so long: the proxy hangs.
const STALLED: Duration = Duration::from_secs(10);

/// What latencies are told apart: from 100 ns to a minute.
const LOW_NS: u64 = 100;
const HIGH_NS: u64 = 60_000_000_000;

/// When questions are asked.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// The next one as soon as the last was answered, for so long.
    Saturated(Duration),
    /// The same, but so many of them.
    Count(u64),
    /// So many a second, evenly spaced whatever the answers do, for so long. Source: Tene, "How NOT
    /// to measure latency": a load that waits for answers does not see the slow ones.
    Rate(f64, Duration),
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Right answers; there were no wrong ones.
    pub answers: u64,
    /// From the first question to the last answer.
    pub took: Duration,
    /// From when a question was due to its answer, in ns.
    pub latency: Histogram<u64>,
    /// From when a question was due until it was sent, though a connection was free, in ns.
    pub lag: Histogram<u64>,
}

/// Asks over `connections` connections at this pace, and checks each answer.
///
/// # Errors
///
/// An answer is wrong or does not come; a connection ends.
pub fn drive(
    connector: &Connector,
    connections: usize,
    exchange: &dyn Exchange,
    pace: Pace,
) -> Result<Outcome, Failure> {
    let mut engine = Engine::new(connector, connections, exchange)?;
    engine.run(pace)
}

struct Talk {
    wire: Wire,
    answer: Vec<u8>,
    due: Instant,
}

struct Engine<'a> {
    exchange: &'a dyn Exchange,
    poll: Poll,
    talks: Vec<Talk>,
    free: Vec<usize>,
    buffer: Vec<u8>,
    outcome: Outcome,
}

/// What is to be done now.
enum Next {
    Ask(Instant),
    WaitUntil(Instant),
    Stop,
}

impl<'a> Engine<'a> {
    fn new(
        connector: &Connector,
        connections: usize,
        exchange: &'a dyn Exchange,
    ) -> Result<Self, Failure> {
        let (poll, now) = (Poll::new()?, Instant::now());
        let mut talks = Vec::with_capacity(connections);
        for token in 0..connections {
            let wire = connector.connect()?;
            wire.socket().set_nonblocking(true)?;
            poll.add(&wire, token, Watch::Read)?;
            talks.push(Talk { wire, answer: Vec::new(), due: now });
        }
        Ok(Self {
            exchange,
            poll,
            talks,
            free: (0..connections).collect(),
            buffer: vec![0; 64 << 10],
            outcome: Outcome {
                answers: 0,
                took: Duration::ZERO,
                latency: Histogram::new_with_bounds(LOW_NS, HIGH_NS, 3)?,
                lag: Histogram::new_with_bounds(LOW_NS, HIGH_NS, 3)?,
            },
        })
    }

    fn run(&mut self, pace: Pace) -> Result<Outcome, Failure> {
        let (begun, mut asked, mut starved) = (Instant::now(), 0_u64, false);
        let mut ready = Vec::new();
        loop {
            let now = Instant::now();
            let next = pace.next(begun, asked, now);
            let wait = match (next, self.free.pop()) {
                (Next::Ask(due), Some(token)) => {
                    if !std::mem::take(&mut starved) {
                        self.outcome.lag.saturating_record(ns(now, due));
                    }
                    self.ask(token, due)?;
                    asked = asked.saturating_add(1);
                    continue;
                }
                (Next::Ask(_late), None) => {
                    starved = true;
                    STALLED
                }
                (Next::WaitUntil(due), token) => {
                    self.free.extend(token);
                    due.saturating_duration_since(now)
                }
                (Next::Stop, token) => {
                    self.free.extend(token);
                    if self.free.len() == self.talks.len() {
                        break;
                    }
                    STALLED
                }
            };
            self.poll.wait(Some(wait), &mut ready)?;
            if ready.is_empty() && wait == STALLED {
                return Err("no answer comes".into());
            }
            self.listen(&ready)?;
        }
        self.outcome.took = begun.elapsed();
        Ok(self.outcome.clone())
    }

    fn ask(&mut self, token: usize, due: Instant) -> Result<(), Failure> {
        let talk = self.talks.get_mut(token).ok_or("no such connection")?;
        talk.due = due;
        talk.wire.write_all(self.exchange.question())?;
        Ok(())
    }

    fn listen(&mut self, ready: &[Ready]) -> Result<(), Failure> {
        for ready in ready {
            let talk = self.talks.get_mut(ready.token).ok_or("no such connection")?;
            if !talk.hear(&mut self.buffer, self.exchange)? {
                continue;
            }
            let latency = ns(Instant::now(), talk.due);
            self.outcome.latency.saturating_record(latency);
            self.outcome.answers = self.outcome.answers.saturating_add(1);
            self.free.push(ready.token);
        }
        Ok(())
    }
}

impl Talk {
    /// Reads; returns whether the answer is whole.
    fn hear(&mut self, buffer: &mut [u8], exchange: &dyn Exchange) -> Result<bool, Failure> {
        let count = match self.wire.read(buffer) {
            Ok(0) => return Err("a connection was closed".into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        self.answer.extend_from_slice(buffer.get(..count).unwrap_or_default());
        let Some(whole) = exchange.answer_bytes(&self.answer)? else { return Ok(false) };
        if whole != self.answer.len() {
            return Err("more than one answer came".into());
        }
        self.answer.clear();
        Ok(true)
    }
}

impl Pace {
    fn next(self, begun: Instant, asked: u64, now: Instant) -> Next {
        match self {
            Self::Saturated(within) if now.duration_since(begun) < within => Next::Ask(now),
            Self::Count(wanted) if asked < wanted => Next::Ask(now),
            Self::Saturated(_) | Self::Count(_) => Next::Stop,
            Self::Rate(per_second, within) => {
                #[expect(clippy::cast_precision_loss, reason = "far below 2^52 questions")]
                let offset = Duration::from_secs_f64(asked as f64 / per_second);
                match begun.checked_add(offset) {
                    Some(_over) if offset >= within => Next::Stop,
                    Some(due) if due <= now => Next::Ask(due),
                    Some(due) => Next::WaitUntil(due),
                    None => Next::Stop,
                }
            }
        }
    }
}

fn ns(now: Instant, since: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(since).as_nanos()).unwrap_or(u64::MAX)
}
