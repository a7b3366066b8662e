//! Opaque bytes in both directions: TCP, upgrades, CONNECT and HBONE.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use meshcore_io::{Pipe, splice_out, try_splice_in};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use crate::buffer::Buffer;
use crate::h2_client::Active;
use crate::stream::Stream;

/// Bytes copied in one direction before it is worth a pipe. Source: measured; splice(2) costs
/// more than a copy for small messages and half of it in bulk.
const SPLICE_AFTER_BYTES: u64 = 128 * 1024;

/// Pipes a worker keeps for reuse.
const MAX_PIPES: usize = 32;

thread_local! {
    static PIPES: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// Bytes moved in each direction, readable while they move.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// From the client to the upstream.
    pub(crate) sent: Cell<u64>,
    /// From the upstream to the client.
    pub(crate) received: Cell<u64>,
}

/// Carries bytes both ways until both sides have ended or one has failed. A side that only stops
/// sending may still receive.
///
/// # Errors
///
/// Those of the first side that fails.
pub(crate) async fn relay(
    client: (Stream, Buffer),
    upstream: (Stream, Buffer),
    moved: &Moved,
) -> io::Result<()> {
    match (client, upstream) {
        ((Stream::Tcp(mut client), sent), (Stream::Tcp(mut upstream), received)) => {
            let (client_reads, client_writes) = client.split();
            let (upstream_reads, upstream_writes) = upstream.split();
            let there = carry_tcp(client_reads, sent, upstream_writes, &moved.sent);
            let back = carry_tcp(upstream_reads, received, client_writes, &moved.received);
            tokio::try_join!(there, back).map(|((), ())| ())
        }
        ((client, sent), (upstream, received)) => {
            let (client, upstream) = (RefCell::new(client), RefCell::new(upstream));
            let there = carry(Half(&client), sent, Half(&upstream), &moved.sent);
            let back = carry(Half(&upstream), received, Half(&client), &moved.received);
            tokio::try_join!(there, back).map(|((), ())| ())
        }
    }
}

async fn carry_tcp(
    mut from: ReadHalf<'_>,
    mut buffer: Buffer,
    mut to: WriteHalf<'_>,
    moved: &Cell<u64>,
) -> io::Result<()> {
    while moved.get() < SPLICE_AFTER_BYTES {
        if !carry_piece(&mut from, &mut buffer, &mut to, moved).await? {
            return to.shutdown().await;
        }
    }
    splice_rest(from.as_ref(), to.as_ref(), moved).await?;
    to.shutdown().await
}

/// Moves the rest in the kernel. A direction that waits holds no pipe.
async fn splice_rest(from: &TcpStream, to: &TcpStream, moved: &Cell<u64>) -> io::Result<()> {
    loop {
        from.readable().await?;
        let mut pipe = take_pipe()?;
        match try_splice_in(from, &mut pipe) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                splice_out(&mut pipe, to).await?;
                moved.set(moved.get().saturating_add(count as u64));
                put_pipe(pipe);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => put_pipe(pipe),
            Err(error) => return Err(error),
        }
    }
}

fn take_pipe() -> io::Result<Pipe> {
    PIPES.with_borrow_mut(Vec::pop).map_or_else(Pipe::new, Ok)
}

/// Keeps an empty pipe; one that failed with bytes inside is closed instead.
fn put_pipe(pipe: Pipe) {
    PIPES.with_borrow_mut(|pipes| {
        if pipe.filled() == 0 && pipes.len() < MAX_PIPES {
            pipes.push(pipe);
        }
    });
}

async fn carry<R, W>(
    mut from: R,
    mut buffer: Buffer,
    mut to: W,
    moved: &Cell<u64>,
) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    while carry_piece(&mut from, &mut buffer, &mut to, moved).await? {}
    to.shutdown().await
}

/// Moves what can be read at once; `false` at the end of the stream.
async fn carry_piece<R, W>(
    from: &mut R,
    buffer: &mut Buffer,
    to: &mut W,
    moved: &Cell<u64>,
) -> io::Result<bool>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    if buffer.is_empty() && poll_fn(|cx| buffer.poll_fill(from, cx)).await? == 0 {
        return Ok(false);
    }
    to.write_all(buffer.data()).await?;
    to.flush().await?;
    let count = buffer.data().len();
    moved.set(moved.get().saturating_add(count as u64));
    buffer.consume(count);
    Ok(true)
}

/// One side of a stream that two directions use in the same task.
struct Half<'s>(&'s RefCell<Stream>);

impl AsyncRead for Half<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Half<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_shutdown(cx)
    }
}

/// The bytes of a CONNECT stream inside an HTTP/2 connection.
#[derive(Debug)]
pub(crate) struct TunnelStream {
    receive: RecvStream,
    send: SendStream<Bytes>,
    piece: Bytes,
    is_ended: bool,
    /// Keeps the connection counted as in use.
    _active: Option<Active>,
}

impl TunnelStream {
    pub(crate) const fn new(
        receive: RecvStream,
        send: SendStream<Bytes>,
        active: Option<Active>,
    ) -> Self {
        Self { receive, send, piece: Bytes::new(), is_ended: false, _active: active }
    }

    /// Tells when the peer has given the tunnel up.
    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.send.poll_reset(cx).map(|_reason| ())
    }
}

impl AsyncRead for TunnelStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.piece.is_empty() {
            match std::task::ready!(this.receive.poll_data(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(piece)) => this.piece = piece,
                // A peer that is done with the tunnel may reset it without an error.
                Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => {
                    return Poll::Ready(Ok(()));
                }
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
            }
        }
        let count = this.piece.len().min(buffer.remaining());
        buffer.put_slice(&this.piece.split_to(count));
        // Fails only when the stream is gone, which the next poll tells.
        let _gone = this.receive.flow_control().release_capacity(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        this.send.reserve_capacity(bytes.len());
        let room = match this.send.capacity() {
            0 => std::task::ready!(this.send.poll_capacity(cx)),
            room => Some(Ok(room)),
        };
        let room = match room {
            Some(Ok(room)) => room.min(bytes.len()),
            Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
            None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        };
        let piece = Bytes::copy_from_slice(bytes.get(..room).unwrap_or_default());
        let sent = this.send.send_data(piece, false);
        Poll::Ready(sent.map(|()| room).map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // the connection's own task writes
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if std::mem::replace(&mut this.is_ended, true) {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(this.send.send_data(Bytes::new(), true).map_err(io::Error::other))
    }
}
