//! HTTP/1.1 framing: strict in what it reads, plain in what it writes.
//!
//! [`parse_request`] and [`parse_response`] take a head out of the unconsumed bytes of a
//! connection, [`BodyDecoder`] walks its body, [`write_request`] and [`write_response`] make the
//! framing anew. A head that could be read in two ways is [`crate::Rejected`].

mod body;
mod chunk;
mod fieldline;
mod framing;
mod request;
mod response;
mod write;

pub use body::{BodyDecoder, Decoded};
pub use framing::switches_as_asked;
pub use request::{ParsedRequest, parse_request};
pub use response::{ParsedResponse, parse_response};
pub use write::{
    ConnectionDirective, body_for_peer, write_chunk_head, write_last_chunk, write_request,
    write_request_with, write_response,
};

pub(crate) use body::is_allowed_in_trailers;
pub(crate) use fieldline::refuse_alias;
pub(crate) use framing::{CONNECTION_SPECIFIC, parse_length};
pub(crate) use write::{accepts_trailers, is_forwarded};

/// How a message's body ends. Source: RFC 9112 §6.3.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum BodyKind {
    /// There is no body: a request without framing fields, or a response that cannot have one
    /// (to HEAD, 1xx, 204, 304, 2xx to CONNECT).
    None,
    /// After that many bytes.
    Length(u64),
    /// With a last chunk, which trailers may follow.
    Chunked,
    /// When the upstream closes the connection; never for a request.
    UntilClose,
}

/// What a peer may send before it is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of a head, request or status line included (431).
    pub head_bytes: usize,
    /// Fields of a head (431).
    pub fields: usize,
    /// Bytes of a request target (414).
    pub target_bytes: usize,
    /// Bytes of a trailer section (431).
    pub trailer_bytes: usize,
    /// Fields of a trailer section (431).
    pub trailer_fields: usize,
}

impl Default for Limits {
    /// 60 KiB and 100 fields as Envoy's defaults for a head, 8 KiB for a target as RFC 9110 §4.1
    /// recommends at least, 8 KiB and 32 fields for trailers.
    fn default() -> Self {
        Self {
            head_bytes: 60 * 1024,
            fields: 100,
            target_bytes: 8 * 1024,
            trailer_bytes: 8 * 1024,
            trailer_fields: 32,
        }
    }
}

/// Whether it is worth parsing `buf` again after `seen` of its bytes did not make a whole head.
///
/// A head can only become whole, or wrong in a new way, with a new LF, or when the limit is
/// reached; a peer that sends a byte at a time then costs a search of that byte, not a parse.
#[inline]
pub fn is_worth_parsing(buf: &[u8], seen: usize, limits: &Limits) -> bool {
    seen == 0
        || buf.len() >= limits.head_bytes
        || buf.get(seen..).is_none_or(|new| memchr::memchr(b'\n', new).is_some())
}

#[cfg(test)]
mod tests;
