//! Bodies, walked in the connection's own buffer.

use super::chunk::ChunkHead;
use super::fieldline::{END_LEN, Lexed, lex};
use super::framing::is_protected;
use super::{BodyKind, Limits};
use crate::fields::Fields;
use crate::known::{Known, KnownSet};
use crate::rejected::Rejected;

/// Fields that a trailer section cannot change after the fact: framing, routing, credentials,
/// and how the content is to be read. Source: RFC 9110 §6.5.1.
const NOT_IN_TRAILERS: KnownSet = KnownSet::of(&[
    Known::ContentRange,
    Known::ProxyAuthenticate,
    Known::WwwAuthenticate,
    Known::CacheControl,
    Known::Age,
    Known::Expires,
    Known::Date,
    Known::Location,
    Known::RetryAfter,
    Known::Vary,
    Known::Range,
    Known::IfMatch,
    Known::IfNoneMatch,
    Known::IfModifiedSince,
    Known::IfUnmodifiedSince,
    Known::IfRange,
    Known::MaxForwards,
    Known::Pragma,
    Known::AltSvc,
]);

/// Walks a body in the connection's read buffer, without copying or allocating.
///
/// ```
/// # use meshcore_http::h1::{BodyDecoder, BodyKind, Decoded, Limits};
/// # let (buf, mut out) = (b"3\r\nabc\r\n0\r\n\r\nnext", Vec::new());
/// let mut decoder = BodyDecoder::new(BodyKind::Chunked, &Limits::default());
/// let mut at = 0;
/// loop {
///     match decoder.decode(&buf[at..])? {
///         Decoded::Data { skip, len } => {
///             out.extend_from_slice(&buf[at + skip..][..len]);
///             at += skip + len;
///         }
///         Decoded::NeedMore { skip } => at += skip, // then read more
///         Decoded::Done { skip } => {
///             at += skip;
///             break;
///         }
///     }
/// }
/// # assert_eq!((out.as_slice(), &buf[at..]), (&b"abc"[..], &b"next"[..]));
/// # Ok::<(), meshcore_http::Rejected>(())
/// ```
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    trailers: Fields,
    trailer_bytes_left: usize,
    trailer_fields_left: usize,
}

/// What is at the front of the bytes that were shown to [`BodyDecoder::decode`].
///
/// The decoder counts what it reports as consumed: show it what follows next time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decoded {
    /// `skip` bytes of framing, then `len` bytes of content (at least one).
    Data {
        /// Bytes to leave out.
        skip: usize,
        /// Bytes to take after them.
        len: usize,
    },
    /// `skip` bytes of framing; what is left, if anything, is less than is needed to go on.
    NeedMore {
        /// Bytes to leave out.
        skip: usize,
    },
    /// `skip` bytes of framing and the body is over; [`BodyDecoder::trailers`] are whole.
    Done {
        /// Bytes to leave out; the next message starts after them.
        skip: usize,
    },
}

#[derive(Clone, Copy, Debug)]
enum State {
    Length(u64),
    UntilClose,
    ChunkHead(ChunkHead),
    ChunkData { left: u64, next: ChunkHead },
    ChunkCr(ChunkHead),
    ChunkLf(ChunkHead),
    Trailers,
    Done,
}

impl From<BodyKind> for BodyDecoder {
    /// A decoder with the default limits for trailers.
    fn from(kind: BodyKind) -> Self {
        Self::new(kind, &Limits::default())
    }
}

impl BodyDecoder {
    /// A decoder at the first byte after the head.
    pub const fn new(kind: BodyKind, limits: &Limits) -> Self {
        let state = match kind {
            BodyKind::None | BodyKind::Length(0) => State::Done,
            BodyKind::Length(length) => State::Length(length),
            BodyKind::Chunked => State::ChunkHead(ChunkHead::new()),
            BodyKind::UntilClose => State::UntilClose,
        };
        Self {
            state,
            trailers: Fields::new(),
            trailer_bytes_left: limits.trailer_bytes,
            trailer_fields_left: limits.trailer_fields,
        }
    }

    /// Whether the body is over.
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Bytes of content that are certain to come, if that is known: the rest of the length or of
    /// the current chunk. A caller may move that many without showing them, see
    /// [`BodyDecoder::advance`].
    pub const fn certain_bytes(&self) -> u64 {
        match self.state {
            State::Length(left) | State::ChunkData { left, .. } => left,
            State::UntilClose
            | State::ChunkHead(_)
            | State::ChunkCr(_)
            | State::ChunkLf(_)
            | State::Trailers
            | State::Done => 0,
        }
    }

    /// Counts `moved` bytes of content, at most [`BodyDecoder::certain_bytes`], that went by
    /// another way, such as splice.
    pub const fn advance(&mut self, moved: u64) {
        match &mut self.state {
            State::Length(left) => {
                *left = left.saturating_sub(moved);
                if *left == 0 {
                    self.state = State::Done;
                }
            }
            State::ChunkData { left, next } => {
                *left = left.saturating_sub(moved);
                if *left == 0 {
                    self.state = State::ChunkCr(*next);
                }
            }
            State::UntilClose
            | State::ChunkHead(_)
            | State::ChunkCr(_)
            | State::ChunkLf(_)
            | State::Trailers
            | State::Done => {}
        }
    }

    /// The trailers, once the body is over. Fields that cannot be trailers were dropped.
    pub const fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// Says what is at the front of `buf`, the bytes after those consumed so far.
    ///
    /// # Errors
    ///
    /// [`Rejected`] when the chunked framing is broken; close the connection.
    pub fn decode(&mut self, buf: &[u8]) -> Result<Decoded, Rejected> {
        let mut skip = 0_usize;
        loop {
            let rest = buf.get(skip..).unwrap_or_default();
            match (self.state, rest) {
                (State::Done, _) => return Ok(Decoded::Done { skip }),
                (State::Trailers, _) => return self.decode_trailers(rest, skip),
                (_, []) => return Ok(Decoded::NeedMore { skip }),
                (State::UntilClose, _) => return Ok(Decoded::Data { skip, len: rest.len() }),
                (State::Length(left) | State::ChunkData { left, .. }, _) => {
                    let len = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                    self.advance(len as u64);
                    return Ok(Decoded::Data { skip, len });
                }
                (State::ChunkHead(mut head), _) => {
                    let (taken, size) = head.read(rest)?;
                    skip = skip.wrapping_add(taken);
                    self.state = match size {
                        None => State::ChunkHead(head),
                        Some(0) => State::Trailers,
                        Some(left) => State::ChunkData { left, next: head },
                    };
                }
                (State::ChunkCr(next), [b'\r', ..]) => {
                    skip = skip.wrapping_add(1);
                    self.state = State::ChunkLf(next);
                }
                (State::ChunkLf(next), [b'\n', ..]) => {
                    skip = skip.wrapping_add(1);
                    self.state = State::ChunkHead(next);
                }
                (State::ChunkCr(_) | State::ChunkLf(_), _) => return Err(Rejected::BadChunkEnd),
            }
        }
    }

    /// Takes note that the peer has closed.
    ///
    /// # Errors
    ///
    /// [`Rejected::Truncated`] when the body was not over: what was received is not a message.
    pub fn close(&mut self) -> Result<(), Rejected> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Length(_)
            | State::ChunkHead(_)
            | State::ChunkData { .. }
            | State::ChunkCr(_)
            | State::ChunkLf(_)
            | State::Trailers => Err(Rejected::Truncated),
        }
    }

    fn decode_trailers(&mut self, rest: &[u8], mut skip: usize) -> Result<Decoded, Rejected> {
        let mut rest = rest;
        loop {
            // A line that ends beyond the limit and one that does not end are the same.
            let reach = self.trailer_bytes_left.saturating_add(END_LEN);
            let window = rest.get(..reach).unwrap_or(rest);
            let line = match lex(window)? {
                Lexed::Field(line) if line.len <= self.trailer_bytes_left => line,
                Lexed::Partial if window.len() < reach => {
                    return Ok(Decoded::NeedMore { skip });
                }
                Lexed::End => {
                    self.state = State::Done;
                    return Ok(Decoded::Done { skip: skip.wrapping_add(END_LEN) });
                }
                Lexed::Field(_) | Lexed::Partial => return Err(Rejected::TrailersTooLarge),
            };
            self.trailer_bytes_left = self.trailer_bytes_left.saturating_sub(line.len);
            self.trailer_fields_left =
                self.trailer_fields_left.checked_sub(1).ok_or(Rejected::TrailersTooLarge)?;
            if is_allowed_in_trailers(line.known, line.name)
                && !self.trailers.push_checked(line.name, line.value, line.known)
            {
                return Err(Rejected::TrailersTooLarge);
            }
            skip = skip.wrapping_add(line.len);
            rest = rest.get(line.len..).unwrap_or_default();
        }
    }
}

/// Whether a field may come after the content.
pub(crate) fn is_allowed_in_trailers(known: Known, name: &[u8]) -> bool {
    !NOT_IN_TRAILERS.contains(known) && !is_protected(known, name)
}

#[cfg(test)]
mod tests;
