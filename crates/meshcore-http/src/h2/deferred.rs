//! Writes of a connection gathered until its driver has done all it can. Source:
//! measurements of the `h2` crate, whose write a frame costs 2.5 times the one write a turn here.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use ::h2::server::SendResponse;
use ::h2::{RecvStream, client, server};
use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are held back before writes are passed on, or made to wait.
const HELD_BYTES: usize = 64 * 1024;

/// Bytes that are read in one turn, between two drains: as many frames of nine bytes as take half a
/// millisecond. Whoever sends more waits for the other connections of the thread.
const READ_BYTES_A_TURN: usize = 32 * 1024;

/// Memory that an idle connection keeps for its next writes.
const KEPT_BYTES: usize = 4 * 1024;

/// An `io` that holds writes back until [`Drain::poll_drain`]: flushing does nothing, so that many
/// frames become one write (and one TLS record, when this stands above TLS).
///
/// Above 64 KiB a write drains first and waits if the peer does not read. Shutting down drains.
/// A turn, which ends with a drain, reads 32 KiB at most, and what there is beyond in the next.
/// Stays on one thread.
#[derive(Debug)]
pub struct DeferredIo<I> {
    held: Rc<RefCell<Held<I>>>,
}

/// The other end of a [`DeferredIo`], for whoever drives the connection that owns it.
#[derive(Debug)]
pub struct Drain<I> {
    held: Rc<RefCell<Held<I>>>,
}

#[derive(Debug)]
struct Held<I> {
    io: I,
    out: Vec<u8>,
    /// Bytes of `out` that have been written.
    sent: usize,
    /// Bytes that may still be read in this turn.
    readable: usize,
    /// Whether `io` has taken bytes that it has not been asked to flush.
    unflushed: bool,
    /// The error of a write that nobody waited for.
    failed: Option<io::ErrorKind>,
}

/// Drives a client connection to its end, draining whenever it has nothing more to do.
///
/// # Errors
///
/// The connection's error, which a failed write becomes too.
///
/// # Cancel safety
///
/// Dropping the future drops the connection and what was held back.
pub async fn drive_client<I, B>(
    mut connection: client::Connection<DeferredIo<I>, B>,
    drain: Drain<I>,
) -> Result<(), ::h2::Error>
where
    I: AsyncRead + AsyncWrite + Unpin,
    B: Buf,
{
    poll_fn(|cx| {
        let driven = Pin::new(&mut connection).poll(cx);
        if driven.is_pending() && drain.fails(cx) {
            return Pin::new(&mut connection).poll(cx); // reads the failure
        }
        driven
    })
    .await
}

/// Waits for the next request of a server connection and drives all its streams meanwhile,
/// draining whenever there is nothing more to do. `None` means that the connection is over.
///
/// Must be polled for the connection to move at all, so answer requests in tasks of their own.
///
/// # Errors
///
/// The connection's error, which a failed write becomes too.
///
/// # Cancel safety
///
/// Nothing is lost when the future is dropped; call again.
pub async fn accept<I, B>(
    connection: &mut server::Connection<DeferredIo<I>, B>,
    drain: &Drain<I>,
) -> Option<Result<(http::Request<RecvStream>, SendResponse<B>), ::h2::Error>>
where
    I: AsyncRead + AsyncWrite + Unpin,
    B: Buf + 'static,
{
    poll_fn(|cx| {
        let accepted = connection.poll_accept(cx);
        if matches!(accepted, Poll::Ready(Some(Ok(_)))) {
            return accepted; // the caller comes back at once: more may be gathered
        }
        if drain.fails(cx) && accepted.is_pending() {
            return connection.poll_accept(cx); // reads the failure
        }
        accepted
    })
    .await
}

// === impl DeferredIo, Drain ===

impl<I> DeferredIo<I> {
    /// Wraps `io`; nothing is written until the handle drains or 64 KiB are held back.
    pub fn new(io: I) -> (Self, Drain<I>) {
        let readable = READ_BYTES_A_TURN;
        let held = Held { io, out: Vec::new(), sent: 0, readable, unflushed: false, failed: None };
        let held = Rc::new(RefCell::new(held));
        (Self { held: Rc::clone(&held) }, Drain { held })
    }
}

impl<I> Drain<I> {
    /// Bytes that are held back.
    pub fn held_bytes(&self) -> usize {
        self.held.borrow().waiting()
    }
}

impl<I: AsyncWrite + Unpin> Drain<I> {
    /// Writes what is held back and flushes it. `Pending` wakes the task when the peer can take
    /// more; call again then.
    ///
    /// # Errors
    ///
    /// The error of the write; reads and writes of the [`DeferredIo`] fail with its kind from then
    /// on, so that the connection that owns it ends with it.
    pub fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut held = self.held.borrow_mut();
        held.readable = READ_BYTES_A_TURN;
        held.poll_drain(cx)
    }

    fn fails(&self, cx: &mut Context<'_>) -> bool {
        matches!(self.poll_drain(cx), Poll::Ready(Err(_)))
    }
}

// === impl Held ===

impl<I> Held<I> {
    const fn waiting(&self) -> usize {
        self.out.len().saturating_sub(self.sent)
    }

    fn check(&self) -> io::Result<()> {
        self.failed.map_or(Ok(()), |kind| Err(kind.into()))
    }

    /// Gives memory back once all was written.
    fn settle(&mut self) {
        self.sent = 0;
        self.out.clear();
        if self.out.capacity() > KEPT_BYTES {
            self.out = Vec::new();
        }
    }

    /// Takes as much of `bytes` as fits.
    fn hold(&mut self, bytes: &[u8]) -> usize {
        let room = HELD_BYTES.saturating_sub(self.waiting()).min(bytes.len());
        self.out.extend_from_slice(bytes.get(..room).unwrap_or_default());
        room
    }
}

impl<I: AsyncWrite + Unpin> Held<I> {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        let drained = ready!(self.poll_drain_unchecked(cx));
        if let Err(error) = &drained {
            self.failed = Some(error.kind());
        }
        Poll::Ready(drained)
    }

    fn poll_drain_unchecked(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.waiting() != 0 {
            let rest = self.out.get(self.sent..).unwrap_or_default();
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent = self.sent.saturating_add(written);
            self.unflushed = true;
        }
        if self.unflushed {
            self.settle();
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Makes room when the limit is reached.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        if self.waiting() < HELD_BYTES {
            return Poll::Ready(Ok(()));
        }
        match self.poll_drain(cx) {
            Poll::Ready(drained) => Poll::Ready(drained),
            // Part of it went: what is left moves to the front, and there is room behind it.
            Poll::Pending if self.sent != 0 => {
                self.out.drain(..self.sent);
                self.sent = 0;
                Poll::Ready(Ok(()))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

// === impl AsyncRead, AsyncWrite for DeferredIo ===

impl<I: AsyncRead + Unpin> AsyncRead for DeferredIo<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut held = self.held.borrow_mut();
        held.check()?;
        if held.readable == 0 {
            cx.waker().wake_by_ref(); // the next turn
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut held.io).poll_read(cx, buf);
        let count = buf.filled().len().saturating_sub(before);
        held.readable = held.readable.saturating_sub(count);
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for DeferredIo<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut held = self.held.borrow_mut();
        ready!(held.poll_room(cx))?;
        Poll::Ready(Ok(held.hold(buf)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut held = self.held.borrow_mut();
        ready!(held.poll_room(cx))?;
        let mut taken = 0_usize;
        for slice in slices {
            let fitted = held.hold(slice);
            taken = taken.saturating_add(fitted);
            if fitted < slice.len() {
                break;
            }
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut held = self.held.borrow_mut();
        ready!(held.poll_drain(cx))?;
        Pin::new(&mut held.io).poll_shutdown(cx)
    }
}
