//! The way of lines from workers to the file. A worker never waits for the file.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::sink::LogSink;

/// Lines are written at the latest this long after they came.
const FLUSH_WITHIN: Duration = Duration::from_millis(100);

/// Lines are written at once when there are so many bytes of them.
const FLUSH_BYTES: usize = 64 * 1024;

/// A worker hands over its buffer when it holds so many bytes.
const BATCH_BYTES: usize = 16 * 1024;

/// The writer of the access log: a thread that owns the file.
#[derive(Debug)]
pub struct LogQueue {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

/// A worker's end of the queue.
#[derive(Debug, Clone)]
pub struct LogSender(Arc<Shared>);

/// Lines a worker has not handed over yet.
#[derive(Debug)]
pub struct LogBuffer {
    sender: LogSender,
    bytes: Vec<u8>,
    lines: u64,
}

/// The queue had no room; the lines are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueFull {
    /// How many lines.
    pub lines: u64,
}

/// What became of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogStats {
    /// Lines written.
    pub written: u64,
    /// Lines dropped because the queue was full.
    pub dropped: u64,
    /// Lines lost, in whole or in part, because the file could not be written.
    pub failed: u64,
    /// Times the file could not be opened anew.
    pub reopen_failures: u64,
}

/// How closing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// Every line that was in the queue has been tried.
    Flushed,
    /// The time was up; so many lines were still waiting or being written. The thread is
    /// left to itself.
    Abandoned {
        /// Lines.
        lines: u64,
    },
}

#[derive(Debug)]
struct Shared {
    capacity_bytes: usize,
    state: Mutex<State>,
    /// The writer waits here for lines.
    arrived: Condvar,
    /// Whoever closes waits here for the writer.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Batch>,
    /// Of `waiting` and of what is being written, so that a stuck file bounds the memory.
    held_bytes: usize,
    held_lines: u64,
    stats: LogStats,
    must_reopen: bool,
    is_closing: bool,
    has_ended: bool,
}

#[derive(Debug)]
struct Batch {
    bytes: Vec<u8>,
    lines: u64,
}

impl LogQueue {
    /// Starts the writer. At most `capacity_bytes` are held at a time.
    ///
    /// # Errors
    ///
    /// The thread cannot be started.
    pub fn start(sink: LogSink, capacity_bytes: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            capacity_bytes,
            state: Mutex::default(),
            arrived: Condvar::new(),
            ended: Condvar::new(),
        });
        let writing = Arc::clone(&shared);
        let write = move || {
            // Told when the writer ends in any way, so that nobody waits for a dead thread.
            let ending = Ending(Arc::clone(&writing));
            writing.write_all(sink);
            drop(ending);
        };
        let writer = thread::Builder::new().name("access-log".into()).spawn(write)?;
        Ok(Self { shared, writer: Some(writer) })
    }

    /// An end for a worker.
    pub fn sender(&self) -> LogSender {
        LogSender(Arc::clone(&self.shared))
    }

    /// Has the file opened by its name again, after it was renamed. What is waiting goes to
    /// the new one.
    pub fn reopen(&self) {
        self.shared.state.lock().must_reopen = true;
        self.shared.arrived.notify_one();
    }

    /// What became of the lines so far.
    pub fn stats(&self) -> LogStats {
        self.shared.state.lock().stats
    }

    /// Takes no more lines, writes what is waiting, and ends the writer. Blocks for `within`
    /// at most.
    pub fn close(mut self, within: Duration) -> Closed {
        let mut state = self.shared.state.lock();
        state.is_closing = true;
        self.shared.arrived.notify_one();
        self.shared.ended.wait_while_for(&mut state, |state| !state.has_ended, within);
        let (has_ended, lines) = (state.has_ended, state.held_lines);
        drop(state);
        if has_ended {
            // Only returning is left to it, so this does not block; a panic shows as lines
            // that are still held.
            let _ = self.writer.take().map(JoinHandle::join);
        }
        if has_ended && lines == 0 { Closed::Flushed } else { Closed::Abandoned { lines } }
    }
}

impl Drop for LogQueue {
    /// Lets the writer finish what is waiting, without waiting for it.
    fn drop(&mut self) {
        self.shared.state.lock().is_closing = true;
        self.shared.arrived.notify_one();
    }
}

impl LogSender {
    /// Hands over whole lines; never waits for the file.
    ///
    /// # Errors
    ///
    /// [`QueueFull`] when there is no room or the queue is closed; the lines are dropped and
    /// counted.
    pub fn send(&self, bytes: Vec<u8>, lines: u64) -> Result<(), QueueFull> {
        let mut state = self.0.state.lock();
        let held_bytes = state.held_bytes.saturating_add(bytes.len());
        if state.is_closing || held_bytes > self.0.capacity_bytes {
            state.stats.dropped = state.stats.dropped.saturating_add(lines);
            return Err(QueueFull { lines });
        }
        let was_empty = state.waiting.is_empty();
        state.held_bytes = held_bytes;
        state.held_lines = state.held_lines.saturating_add(lines);
        state.waiting.push(Batch { bytes, lines });
        drop(state);
        if was_empty || held_bytes >= FLUSH_BYTES {
            self.0.arrived.notify_one();
        }
        Ok(())
    }

    /// A buffer that hands over when it is full.
    pub fn buffer(&self) -> LogBuffer {
        LogBuffer { sender: self.clone(), bytes: Vec::new(), lines: 0 }
    }
}

impl LogBuffer {
    /// Adds a line that `write` appends, newline included.
    ///
    /// # Errors
    ///
    /// As [`LogSender::send`], when this line filled the buffer.
    pub fn line(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), QueueFull> {
        write(&mut self.bytes);
        self.lines = self.lines.saturating_add(1);
        if self.bytes.len() < BATCH_BYTES { Ok(()) } else { self.hand_over() }
    }

    /// Hands over what there is. To be called about every 100 ms, and before the worker ends.
    ///
    /// # Errors
    ///
    /// As [`LogSender::send`].
    pub fn hand_over(&mut self) -> Result<(), QueueFull> {
        if self.lines == 0 {
            return Ok(());
        }
        let lines = std::mem::take(&mut self.lines);
        self.sender.send(std::mem::take(&mut self.bytes), lines)
    }
}

impl Drop for LogBuffer {
    /// Hands over what there is; what finds no room is counted by the queue.
    fn drop(&mut self) {
        let _ = self.hand_over();
    }
}

impl Shared {
    fn write_all(&self, mut sink: LogSink) {
        let mut text = Vec::with_capacity(FLUSH_BYTES);
        while let Some((batches, must_reopen)) = self.next() {
            let reopened = if must_reopen { sink.reopen() } else { Ok(()) };
            text.clear();
            for batch in &batches {
                text.extend_from_slice(&batch.bytes);
            }
            let lines = batches.iter().fold(0, |sum: u64, batch| sum.saturating_add(batch.lines));
            drop(batches); // a file that is stuck holds the lines once
            let written = if text.is_empty() { Ok(()) } else { sink.write(&text) };
            let mut state = self.state.lock();
            state.held_bytes = state.held_bytes.saturating_sub(text.len());
            state.held_lines = state.held_lines.saturating_sub(lines);
            state.stats.count(lines, &written, &reopened);
            drop(state);
            text.shrink_to(FLUSH_BYTES.saturating_mul(4));
        }
    }

    /// What is to be written next, and whether the file is to be opened anew before; `None`
    /// at the end.
    fn next(&self) -> Option<(Vec<Batch>, bool)> {
        let mut state = self.state.lock();
        while state.waiting.is_empty() && !state.must_reopen {
            if state.is_closing {
                return None;
            }
            self.arrived.wait(&mut state);
        }
        let may_wait = |state: &mut State| {
            state.held_bytes < FLUSH_BYTES && !state.must_reopen && !state.is_closing
        };
        self.arrived.wait_while_for(&mut state, may_wait, FLUSH_WITHIN);
        let must_reopen = std::mem::take(&mut state.must_reopen);
        Some((std::mem::take(&mut state.waiting), must_reopen))
    }
}

impl LogStats {
    fn count(&mut self, lines: u64, written: &io::Result<()>, reopened: &io::Result<()>) {
        let count = if written.is_ok() { &mut self.written } else { &mut self.failed };
        *count = count.saturating_add(lines);
        self.reopen_failures = self.reopen_failures.saturating_add(reopened.is_err().into());
    }
}

/// Says that the writer has ended, also when it panicked.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.has_ended = true;
        state.is_closing = true;
        drop(state);
        self.0.ended.notify_all();
    }
}

impl fmt::Display for QueueFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "access log queue is full: {} lines dropped", self.lines)
    }
}

impl Error for QueueFull {}

#[cfg(test)]
mod tests;
