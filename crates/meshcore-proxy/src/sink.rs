//! Bodies as they are written, to either side and in either version of HTTP.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::SendStream;

use meshcore_http::h1::{BodyKind, write_chunk_head, write_last_chunk};
use meshcore_http::{Fields, Rejected};

use crate::body::{Body, BodyError, Front};
use crate::stream::Conn;

/// Bytes gathered before they are written: small pieces go out together with the head.
const GATHER_BYTES: usize = 16 * 1024;

/// Where a body is written.
#[derive(Debug)]
pub(crate) enum Sink<'c> {
    H1(H1Sink<'c>),
    H2(H2Sink),
}

/// The rest of a message on an HTTP/1 connection; `out` begins with its head.
#[derive(Debug)]
pub(crate) struct H1Sink<'c> {
    pub(crate) conn: &'c Conn,
    pub(crate) out: &'c mut Vec<u8>,
    pub(crate) framing: BodyKind,
}

/// The rest of a message on an HTTP/2 stream.
#[derive(Debug)]
pub(crate) struct H2Sink {
    stream: SendStream<Bytes>,
    ended: bool,
}

/// The peer that is written to does not take more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SinkError {
    #[error("connection lost: {0}")]
    Io(#[from] io::Error),
    #[error("the peer has left")]
    Gone,
    #[error("stream ended: {0}")]
    Stream(#[from] h2::Error),
    #[error("message cannot be sent: {}", .0.reason())]
    Message(Rejected),
    #[error("message has a field that cannot be sent")]
    Unsayable,
}

impl From<Rejected> for SinkError {
    fn from(rejected: Rejected) -> Self {
        Self::Message(rejected)
    }
}

/// Which side ended a transfer before it was whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    #[error(transparent)]
    Source(#[from] BodyError),
    #[error(transparent)]
    Sink(#[from] SinkError),
}

/// Carries all of `body` into `sink`. `seen` is shown each piece.
///
/// # Cancel safety
///
/// Not cancel safe: a piece may have been written in part.
pub(crate) async fn transfer(
    body: &mut Body<'_>,
    sink: &mut Sink<'_>,
    mut seen: impl FnMut(&[u8]),
) -> Result<(), TransferError> {
    loop {
        let front = if let Some(front) = body.try_next() {
            front?
        } else {
            sink.flush().await?;
            body.prepare().await?;
            poll_fn(|cx| poll_front(body, sink, cx)).await?
        };
        match front {
            Front::Piece => {
                seen(body.piece());
                sink.send(body).await?;
            }
            Front::End => return Ok(sink.finish(body.trailers()).await?),
        }
    }
}

/// The next piece, or the news that nobody takes it any more.
fn poll_front(
    body: &mut Body<'_>,
    sink: &mut Sink<'_>,
    cx: &mut Context<'_>,
) -> Poll<Result<Front, TransferError>> {
    if let Poll::Ready(front) = body.poll_next(cx) {
        return Poll::Ready(Ok(front?));
    }
    sink.poll_gone(cx).map(|()| Err(SinkError::Gone.into()))
}

impl Sink<'_> {
    /// Tells when the peer takes no more, while nothing is written.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::H1(sink) => sink.conn.poll_hangup(cx),
            Self::H2(sink) => sink.stream.poll_reset(cx).map(|_reason| ()),
        }
    }

    /// Takes the piece at the front of `body`; small ones may wait for the next flush.
    pub(crate) async fn send(&mut self, body: &mut Body<'_>) -> Result<(), SinkError> {
        match self {
            Self::H1(sink) => sink.send(body.piece()).await,
            Self::H2(sink) => {
                let last = body.is_last();
                sink.send(body.take_piece(), last).await
            }
        }
    }

    /// Takes these bytes; more may follow.
    pub(crate) async fn send_bytes(&mut self, piece: &[u8]) -> Result<(), SinkError> {
        match self {
            Self::H1(sink) => sink.send(piece).await,
            Self::H2(sink) => sink.send(Bytes::copy_from_slice(piece), false).await,
        }
    }

    /// Takes these bytes, the last of the body.
    pub(crate) async fn send_last(&mut self, piece: &[u8]) -> Result<(), SinkError> {
        match self {
            Self::H1(sink) => sink.send(piece).await,
            Self::H2(sink) => sink.send(Bytes::copy_from_slice(piece), true).await,
        }
    }

    /// Writes what was gathered.
    pub(crate) async fn flush(&mut self) -> Result<(), SinkError> {
        match self {
            Self::H1(sink) => sink.flush().await,
            Self::H2(_) => Ok(()), // the connection's own task writes
        }
    }

    /// Ends the message.
    pub(crate) async fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), SinkError> {
        match self {
            Self::H1(sink) => sink.finish(trailers).await,
            Self::H2(sink) => sink.finish(trailers),
        }
    }

    /// Tells the peer that the message will not be whole. An HTTP/1 connection must be closed.
    pub(crate) fn abort(&mut self) {
        match self {
            Self::H1(sink) => sink.out.clear(),
            Self::H2(sink) => sink.stream.send_reset(h2::Reason::INTERNAL_ERROR),
        }
    }
}

impl H1Sink<'_> {
    async fn send(&mut self, piece: &[u8]) -> Result<(), SinkError> {
        let chunked = self.framing == BodyKind::Chunked;
        if chunked {
            write_chunk_head(piece.len(), self.out);
        }
        if self.out.len().saturating_add(piece.len()) <= GATHER_BYTES {
            self.out.extend_from_slice(piece);
        } else {
            self.flush().await?;
            self.conn.write_all(piece).await?;
        }
        if chunked {
            self.out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        if !self.out.is_empty() {
            self.conn.write_all(self.out).await?;
            self.out.clear();
        }
        Ok(())
    }

    async fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), SinkError> {
        match self.framing {
            BodyKind::Chunked => write_last_chunk(trailers, self.out),
            BodyKind::None | BodyKind::Length(_) | BodyKind::UntilClose => {}
        }
        self.flush().await
    }
}

impl H2Sink {
    /// The rest of a message whose head was sent; `ended` when the head was all of it.
    pub(crate) const fn new(stream: SendStream<Bytes>, ended: bool) -> Self {
        Self { stream, ended }
    }

    async fn send(&mut self, mut piece: Bytes, last: bool) -> Result<(), SinkError> {
        while !piece.is_empty() {
            self.stream.reserve_capacity(piece.len());
            let room = match self.stream.capacity() {
                0 => poll_fn(|cx| self.stream.poll_capacity(cx)).await,
                room => Some(Ok(room)),
            };
            let room = room.ok_or(h2::Error::from(h2::Reason::CANCEL))??;
            let now = piece.split_to(room.min(piece.len()));
            let ends = last && piece.is_empty();
            self.stream.send_data(now, ends)?;
            self.ended |= ends;
        }
        Ok(())
    }

    fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), SinkError> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        match trailers {
            None => Ok(self.stream.send_data(Bytes::new(), true)?),
            Some(fields) => {
                let map = meshcore_http::h2::trailers_to_h2(fields)?;
                Ok(self.stream.send_trailers(map)?)
            }
        }
    }
}
