//! Read buffers that exist only while there is something in them.
//!
//! A connection that waits for its peer holds no memory: the buffer is taken from the worker's
//! pool when bytes can be read, and given back when they are used up.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use crate::overload::{Pressure, pressure};

/// Size of a pooled buffer. Source: measured; a head and a small body fit, and four of them are
/// one TLS read.
pub(crate) const POOLED_BYTES: usize = 16 * 1024;

/// Largest a buffer grows to: a head of the largest size and what follows it in one read.
const MAX_BYTES: usize = 128 * 1024;

/// Buffers a worker keeps for reuse.
const MAX_POOLED: usize = 256;

/// What waits for its rest is kept in as much memory as it needs, up to this: a client that sends
/// byte by byte makes all of it be copied for each.
const SETTLED_BYTES: usize = 4 * 1024;

thread_local! {
    /// The buffer that was given back last, which is mostly the next to be taken.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes read from a peer and not yet used.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>, // initialised to its whole length; empty when nothing is held
    filled: Range<usize>,
}

impl Buffer {
    /// A buffer that holds nothing, and no memory.
    pub(crate) const fn new() -> Self {
        Self { bytes: Vec::new(), filled: 0..0 }
    }

    /// The unused bytes.
    pub(crate) fn data(&self) -> &[u8] {
        self.bytes.get(self.filled.clone()).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.filled.is_empty()
    }

    /// Uses up the first `count` bytes; the memory goes back when none are left.
    pub(crate) fn consume(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        self.filled.start = self.filled.start.saturating_add(count).min(self.filled.end);
        self.release_if_empty();
    }

    /// Reads what there is from `from`, taking memory only when there is something; 0 is the end
    /// of the stream. Nothing is lost when this is not polled again.
    #[inline]
    pub(crate) fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        from: &mut R,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if !self.bytes.is_empty() {
            let mut room = ReadBuf::new(self.room()?);
            let read = Pin::new(from).poll_read(cx, &mut room);
            let count = room.filled().len();
            self.extend(count);
            if read.is_pending() {
                self.settle();
            }
            return read.map_ok(|()| count);
        }
        let mut bytes = take_pooled()?;
        let mut room = ReadBuf::new(&mut bytes);
        let read = Pin::new(from).poll_read(cx, &mut room);
        let count = room.filled().len();
        if count == 0 {
            put_pooled(bytes);
        } else {
            (self.bytes, self.filled) = (bytes, 0..count);
        }
        read.map_ok(|()| count)
    }

    /// Room to read into.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` when the buffer has grown to its limit and is still full, or would have to
    /// grow while memory is critical.
    pub(crate) fn room(&mut self) -> io::Result<&mut [u8]> {
        if self.bytes.is_empty() {
            self.bytes = take_pooled()?;
            self.filled = 0..0;
        }
        if self.filled.end == self.bytes.len() {
            self.make_room()?;
        }
        Ok(self.bytes.get_mut(self.filled.end..).unwrap_or_default())
    }

    /// Takes note that `count` bytes were read into the room.
    pub(crate) fn extend(&mut self, count: usize) {
        self.filled.end = self.filled.end.saturating_add(count).min(self.bytes.len());
    }

    /// Gives the memory back when nothing is held.
    pub(crate) fn release_if_empty(&mut self) {
        if self.filled.is_empty() && !self.bytes.is_empty() {
            put_pooled(std::mem::take(&mut self.bytes));
            self.filled = 0..0;
        }
    }

    /// Keeps no more memory than for what is held, if that is little.
    fn settle(&mut self) {
        if self.bytes.len() == POOLED_BYTES && self.filled.len() <= SETTLED_BYTES {
            let held = self.data().to_vec();
            self.filled = 0..held.len();
            put_pooled(std::mem::replace(&mut self.bytes, held));
        }
    }

    fn make_room(&mut self) -> io::Result<()> {
        if self.bytes.len() < POOLED_BYTES {
            let mut larger = take_pooled()?;
            let held = self.data();
            larger.iter_mut().zip(held).for_each(|(to, from)| *to = *from);
            self.filled = 0..held.len();
            self.bytes = larger;
            return Ok(());
        }
        if self.filled.start > 0 {
            self.bytes.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
            return Ok(());
        }
        if self.bytes.len() >= MAX_BYTES || pressure() == Pressure::Critical {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.bytes.resize(self.bytes.len().saturating_mul(2), 0);
        Ok(())
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.filled = 0..0;
        self.release_if_empty();
    }
}

#[inline]
fn take_pooled() -> io::Result<Vec<u8>> {
    let spare = SPARE.take();
    if !spare.is_empty() {
        return Ok(spare);
    }
    match POOL.with_borrow_mut(Vec::pop) {
        Some(pooled) => Ok(pooled),
        None if pressure() == Pressure::Critical => Err(io::ErrorKind::OutOfMemory.into()),
        None => Ok(vec![0; POOLED_BYTES]),
    }
}

#[inline]
fn put_pooled(bytes: Vec<u8>) {
    if bytes.len() == POOLED_BYTES {
        // At the end of a thread its pool may be gone before the last buffer.
        let _gone = SPARE.try_with(|spare| {
            let before = spare.replace(bytes);
            if !before.is_empty() {
                keep(before);
            }
        });
    }
}

#[cold]
fn keep(bytes: Vec<u8>) {
    let _gone = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < MAX_POOLED {
            pool.push(bytes);
        }
    });
}

/// Gives the memory of unused pooled buffers back, all but `kept` of them and one to spare.
pub(crate) fn trim_pool(kept: usize) {
    POOL.with_borrow_mut(|pool| {
        pool.truncate(kept);
        pool.shrink_to(kept);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(buffer: &mut Buffer, bytes: &[u8]) {
        let room = buffer.room().unwrap();
        room[..bytes.len()].copy_from_slice(bytes);
        buffer.extend(bytes.len());
    }

    #[test]
    fn memory_is_held_only_while_there_are_bytes() {
        let mut buffer = Buffer::new();
        assert!(buffer.bytes.is_empty());
        fill(&mut buffer, b"hello");
        assert_eq!(buffer.data(), b"hello");
        buffer.consume(2);
        assert_eq!(buffer.data(), b"llo");
        buffer.consume(3);
        assert!(buffer.is_empty() && buffer.bytes.is_empty());
    }

    #[test]
    fn what_waits_for_its_rest_holds_what_it_needs() {
        let mut silent = Silent;
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut buffer = Buffer::new();
        fill(&mut buffer, b"xhalf");
        buffer.consume(1);
        assert!(buffer.poll_fill(&mut silent, &mut cx).is_pending());
        assert_eq!((buffer.data(), buffer.bytes.len()), (&b"half"[..], 4));
        let mut rest = &b" a head"[..];
        assert!(buffer.poll_fill(&mut rest, &mut cx).is_ready());
        assert_eq!(buffer.data(), b"half a head");
        fill(&mut buffer, &[1; SETTLED_BYTES]);
        assert!(buffer.poll_fill(&mut silent, &mut cx).is_pending());
        assert_eq!(buffer.bytes.len(), POOLED_BYTES, "much is not copied");
    }

    /// Has nothing to read, and does not end.
    struct Silent;

    impl AsyncRead for Silent {
        fn poll_read(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            _room: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[test]
    fn a_full_buffer_moves_then_grows_then_refuses() {
        let mut buffer = Buffer::new();
        fill(&mut buffer, &[1; POOLED_BYTES]);
        buffer.consume(POOLED_BYTES - 1);
        assert_eq!(buffer.room().unwrap().len(), POOLED_BYTES - 1);
        let mut size = POOLED_BYTES;
        while let Ok(room) = buffer.room() {
            let room = room.len();
            buffer.extend(room);
            size = buffer.data().len();
        }
        assert_eq!(size, MAX_BYTES);
    }
}
