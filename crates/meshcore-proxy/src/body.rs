//! Bodies as they are read, from either side and in either version of HTTP.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::RecvStream;
use meshcore_http::h1::{BodyDecoder, Decoded, Limits};
use meshcore_http::h2 as h2_heads;
use meshcore_http::{Fields, Rejected};

use crate::buffer::Buffer;
use crate::stream::Conn;

/// Why a body ended before it was whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("connection lost in the body: {0}")]
    Io(#[from] io::Error),
    #[error("{}", .0.reason())]
    Malformed(#[from] Rejected),
    #[error("stream ended in the body: {0}")]
    Stream(#[from] h2::Error),
}

/// A body that is being read. One piece is at the front at a time.
#[derive(Debug)]
pub(crate) enum Body<'c> {
    Empty,
    H1(H1Body<'c>),
    H2(Box<H2Body>),
}

/// A body in the bytes of an HTTP/1 connection.
#[derive(Debug)]
pub(crate) struct H1Body<'c> {
    conn: &'c Conn,
    buffer: &'c mut Buffer,
    decoder: BodyDecoder,
    piece: usize,
    total: u64,
    owes_continue: bool,
}

/// A body in the frames of an HTTP/2 stream.
#[derive(Debug)]
pub(crate) struct H2Body {
    stream: RecvStream,
    piece: Bytes,
    held: usize, // bytes whose window is not yet given back
    total: u64,
    trailers: Option<Fields>,
    ended: bool,
}

/// What can be done with a body without waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Front {
    /// A piece is at the front.
    Piece,
    /// The body is over.
    End,
}

/// Answer to `Expect: 100-continue`. Source: RFC 9110 section 10.1.1.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Body<'_> {
    /// Says what the peer waits for before it sends.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    pub(crate) async fn prepare(&mut self) -> Result<(), BodyError> {
        match self {
            Self::H1(body) if body.owes_continue => body.say_continue().await,
            Self::Empty | Self::H1(_) | Self::H2(_) => Ok(()),
        }
    }

    /// Goes on to the next piece.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Front, BodyError>> {
        match self {
            Self::Empty => Poll::Ready(Ok(Front::End)),
            Self::H1(body) => body.poll_next(cx),
            Self::H2(body) => body.poll_next(cx),
        }
    }

    /// Goes on to the next piece if that needs no waiting for the peer.
    pub(crate) fn try_next(&mut self) -> Option<Result<Front, BodyError>> {
        match self {
            Self::Empty => Some(Ok(Front::End)),
            Self::H1(body) => body.take_buffered().transpose(),
            Self::H2(body) => {
                match body.poll_next(&mut Context::from_waker(std::task::Waker::noop())) {
                    Poll::Ready(front) => Some(front),
                    Poll::Pending => None,
                }
            }
        }
    }

    /// The piece at the front.
    pub(crate) fn piece(&self) -> &[u8] {
        match self {
            Self::Empty => &[],
            Self::H1(body) => body.buffer.data().get(..body.piece).unwrap_or_default(),
            Self::H2(body) => &body.piece,
        }
    }

    /// The piece at the front, for a receiver that keeps it.
    pub(crate) fn take_piece(&mut self) -> Bytes {
        match self {
            Self::Empty | Self::H1(_) => Bytes::copy_from_slice(self.piece()),
            Self::H2(body) => std::mem::take(&mut body.piece),
        }
    }

    /// Whether nothing follows the piece at the front, not even trailers.
    pub(crate) fn is_last(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::H1(body) => body.decoder.is_done() && body.decoder.trailers().is_empty(),
            Self::H2(body) => body.stream.is_end_stream(),
        }
    }

    /// Trailers, once the body is over.
    pub(crate) fn trailers(&self) -> Option<&Fields> {
        let trailers = match self {
            Self::Empty => None,
            Self::H1(body) => Some(body.decoder.trailers()),
            Self::H2(body) => body.trailers.as_ref(),
        };
        trailers.filter(|fields| !fields.is_empty())
    }

    /// Bytes of content so far.
    pub(crate) fn total(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::H1(body) => body.total,
            Self::H2(body) => body.total,
        }
    }

    /// Whether the body has been read to its end, so that the next message may follow.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::H1(body) => body.decoder.is_done(),
            Self::H2(body) => body.ended,
        }
    }
}

// === impl H1Body ===

impl<'c> H1Body<'c> {
    /// The body that `decoder` finds in `buffer` and what follows on `conn`. With
    /// `owes_continue` the peer waits for a 100 before it sends.
    pub(crate) fn new(
        conn: &'c Conn,
        buffer: &'c mut Buffer,
        decoder: BodyDecoder,
        owes_continue: bool,
    ) -> Self {
        Self { conn, buffer, decoder, piece: 0, total: 0, owes_continue }
    }

    async fn say_continue(&mut self) -> Result<(), BodyError> {
        self.owes_continue = false;
        if self.buffer.is_empty() {
            self.conn.write_all(CONTINUE).await?;
        }
        Ok(())
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Front, BodyError>> {
        loop {
            if let Some(front) = self.take_buffered()? {
                return Poll::Ready(Ok(front));
            }
            let read = std::task::ready!(self.conn.poll_read(cx, self.buffer))?;
            if read == 0 {
                self.decoder.close()?;
                return Poll::Ready(Ok(Front::End));
            }
        }
    }

    fn take_buffered(&mut self) -> Result<Option<Front>, BodyError> {
        self.buffer.consume(std::mem::take(&mut self.piece));
        match self.decoder.decode(self.buffer.data())? {
            Decoded::Data { skip, len } => {
                self.buffer.consume(skip);
                self.piece = len;
                self.total = self.total.saturating_add(len as u64);
                Ok(Some(Front::Piece))
            }
            Decoded::NeedMore { skip } => {
                self.buffer.consume(skip);
                Ok(None)
            }
            Decoded::Done { skip } => {
                self.buffer.consume(skip);
                Ok(Some(Front::End))
            }
        }
    }
}

impl Drop for H1Body<'_> {
    fn drop(&mut self) {
        self.buffer.consume(self.piece);
    }
}

// === impl H2Body ===

impl H2Body {
    pub(crate) fn new(stream: RecvStream) -> Self {
        let ended = stream.is_end_stream();
        Self { stream, piece: Bytes::new(), held: 0, total: 0, trailers: None, ended }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Front, BodyError>> {
        self.piece = Bytes::new();
        let held = std::mem::take(&mut self.held);
        if held > 0 {
            // Fails only when the stream is gone, which the next poll tells.
            let _gone = self.stream.flow_control().release_capacity(held);
        }
        while !self.ended {
            if let Some(piece) = std::task::ready!(self.stream.poll_data(cx)) {
                let piece = piece?;
                self.held = piece.len();
                if !piece.is_empty() {
                    self.total = self.total.saturating_add(piece.len() as u64);
                    self.piece = piece;
                    return Poll::Ready(Ok(Front::Piece));
                }
                continue;
            }
            if let Some(map) = std::task::ready!(self.stream.poll_trailers(cx))? {
                let mut fields = Fields::new();
                h2_heads::trailers_from_h2(&map, &mut fields, &Limits::default())?;
                self.trailers = Some(fields);
            }
            self.ended = true;
        }
        Poll::Ready(Ok(Front::End))
    }
}
