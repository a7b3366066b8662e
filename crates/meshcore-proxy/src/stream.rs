//! A byte stream, whatever carries it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;

use crate::buffer::Buffer;
use crate::tunnel::TunnelStream;

/// A byte stream: a socket, TLS on a socket, or a stream inside an HBONE connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<Prefixed>>),
    Tunnel(Box<TunnelStream>),
}

/// A stream whose first bytes were already read to see what they are.
#[derive(Debug)]
pub(crate) struct Prefixed {
    prefix: Buffer,
    inner: Box<Stream>,
}

impl Prefixed {
    pub(crate) fn new(prefix: Buffer, inner: Stream) -> Self {
        Self { prefix, inner: Box::new(inner) }
    }

    pub(crate) fn inner(&self) -> &Stream {
        &self.inner
    }
}

impl Stream {
    /// The socket underneath, if it is TCP.
    pub(crate) fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream),
            Self::Tls(stream) => stream.get_ref().0.inner().tcp(),
            Self::Unix(_) | Self::Tunnel(_) => None,
        }
    }

    /// The address on this side.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.tcp().and_then(|stream| stream.local_addr().ok())
    }

    /// The ALPN name that was agreed on, of TLS.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol(),
            Self::Tcp(_) | Self::Unix(_) | Self::Tunnel(_) => None,
        }
    }

    /// Reads what there is into `buffer`; 0 is the end of the stream. Cancel safe.
    pub(crate) async fn read_some(&mut self, buffer: &mut Buffer) -> io::Result<usize> {
        poll_fn(|cx| buffer.poll_fill(self, cx)).await
    }

    /// Tells when the peer has closed, where that can be seen without reading.
    fn poll_hangup(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Tunnel(tunnel) = self {
            return tunnel.poll_reset(cx);
        }
        match self.tcp() {
            Some(stream) => {
                let mut byte = [0; 1];
                let mut buffer = ReadBuf::new(&mut byte);
                match stream.poll_peek(cx, &mut buffer) {
                    Poll::Ready(Ok(count)) if count > 0 => Poll::Pending,
                    Poll::Ready(Ok(_) | Err(_)) => Poll::Ready(()),
                    Poll::Pending => Poll::Pending,
                }
            }
            None => Poll::Pending,
        }
    }

    /// Whether nothing has arrived and the peer has not closed, without asking the system: the
    /// runtime already knows.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let looked = |is_ready: io::Result<()>| is_ready.is_err();
        match self {
            Self::Tcp(stream) => looked(stream.try_io(Interest::READABLE, || Ok(()))),
            Self::Unix(stream) => looked(stream.try_io(Interest::READABLE, || Ok(()))),
            // TLS may have a session ticket to read, which is no data.
            Self::Tls(_) | Self::Tunnel(_) => {
                let mut cx = Context::from_waker(Waker::noop());
                let mut byte = [0; 1];
                let mut buffer = ReadBuf::new(&mut byte);
                Pin::new(self).poll_read(&mut cx, &mut buffer).is_pending()
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tunnel(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tunnel(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tunnel(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tunnel(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl AsyncRead for Prefixed {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.prefix.is_empty() {
            return Pin::new(&mut *this.inner).poll_read(cx, buffer);
        }
        let count = this.prefix.data().len().min(buffer.remaining());
        buffer.put_slice(this.prefix.data().get(..count).unwrap_or_default());
        this.prefix.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().inner).poll_shutdown(cx)
    }
}

/// A stream that is read and written by one task, in any order.
///
/// The borrow lasts for one poll, so that reading and writing can be waited for together.
#[derive(Debug)]
pub(crate) struct Conn(RefCell<Stream>);

impl Conn {
    pub(crate) fn new(stream: Stream) -> Self {
        Self(RefCell::new(stream))
    }

    pub(crate) fn into_inner(self) -> Stream {
        self.0.into_inner()
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.0.borrow_mut().is_quiet()
    }

    /// Tells when the peer has closed, where that can be seen without reading. When there are
    /// bytes to read instead, it is not told any more.
    pub(crate) fn poll_hangup(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.borrow_mut().poll_hangup(cx)
    }

    /// As [`Buffer::poll_fill`].
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        buffer.poll_fill(&mut *self.0.borrow_mut(), cx)
    }

    /// As [`Self::poll_read`].
    pub(crate) async fn read(&self, buffer: &mut Buffer) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read(cx, buffer)).await
    }

    /// Writes all of `bytes`. Not cancel safe: some may have been written.
    pub(crate) async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written =
                poll_fn(|cx| Pin::new(&mut *self.0.borrow_mut()).poll_write(cx, rest)).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = rest.get(written..).unwrap_or_default();
        }
        poll_fn(|cx| Pin::new(&mut *self.0.borrow_mut()).poll_flush(cx)).await
    }

    /// Tells the peer that nothing more is written.
    pub(crate) async fn shutdown(&self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *self.0.borrow_mut()).poll_shutdown(cx)).await
    }
}
