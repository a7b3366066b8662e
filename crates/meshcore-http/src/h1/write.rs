//! Heads and chunks, written with framing made anew.

use super::body::is_allowed_in_trailers;
use super::framing::{HOP_BY_HOP, is_protected, parse_length};
use super::{BodyKind, response::has_no_body};
use crate::fields::{FieldRef, Fields};
use crate::head::{Method, RequestHead, ResponseHead, Version};
use crate::known::{Known, KnownSet};
use crate::scan;

/// Fields that the writer makes itself or that stay on this hop.
const REMADE: KnownSet =
    HOP_BY_HOP.union(KnownSet::of(&[Known::Host, Known::ContentLength, Known::Trailer]));

/// What is said of the connection after this message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectionDirective {
    /// It stays open.
    KeepAlive,
    /// It will be closed.
    Close,
    /// It changes protocol: `Connection: upgrade` and the head's own `Upgrade` are passed on.
    Upgrade,
}

/// How a body must be framed for a peer of version `to`: chunks are unknown to HTTP/1.0, where
/// only closing the connection is left. Source: RFC 9112 §6.1, §6.3.
pub const fn body_for_peer(body: BodyKind, to: Version) -> BodyKind {
    match (body, to) {
        (BodyKind::Chunked, Version::Http10) => BodyKind::UntilClose,
        (BodyKind::UntilClose, Version::Http11) => BodyKind::Chunked,
        (
            BodyKind::None | BodyKind::Length(_) | BodyKind::Chunked | BodyKind::UntilClose,
            Version::Http10 | Version::Http11 | Version::Http2,
        ) => body,
    }
}

/// Appends `head` as an HTTP/1.1 request on a connection that stays open.
pub fn write_request(head: &RequestHead, body: BodyKind, out: &mut Vec<u8>) {
    write_request_with(head, body, ConnectionDirective::KeepAlive, out);
}

/// Appends `head` as an HTTP/1.1 request: its own `Host` first, fields of this hop left out,
/// framing made from `body` ([`BodyKind::UntilClose`] is written as chunked).
///
/// An upgrade is passed on only with [`ConnectionDirective::Upgrade`]. An extended CONNECT becomes
/// a GET, and with that directive one with `Upgrade: protocol` (RFC 8441 §4, §5); a WebSocket
/// needs a `Sec-WebSocket-Key` then, which the caller sets.
pub fn write_request_with(
    head: &RequestHead,
    body: BodyKind,
    connection: ConnectionDirective,
    out: &mut Vec<u8>,
) {
    let (method, target) = match (head.method() == Method::Connect, head.protocol()) {
        (true, None) => (head.method_bytes(), head.authority()),
        (true, Some(_)) => (&b"GET"[..], head.target()),
        (false, _) => (head.method_bytes(), head.target()),
    };
    let size = [method, target, head.authority()].map(<[u8]>::len).iter().sum();
    out.reserve(head.fields.wire_len().saturating_add(FRAME_BYTES).saturating_add(size));
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    out.extend_from_slice(head.authority());
    out.extend_from_slice(b"\r\n");
    let body = body_for_peer(body, Version::Http11);
    write_fields(&head.fields, body == BodyKind::Chunked, out);
    match (body, head.method()) {
        // Source: RFC 9110 §8.6 (a method that anticipates content).
        (BodyKind::None, Method::Post | Method::Put | Method::Patch) => write_length(0, out),
        (BodyKind::None | BodyKind::UntilClose, _) => {}
        (BodyKind::Length(length), _) => write_length(length, out),
        (BodyKind::Chunked, _) => out.extend_from_slice(CHUNKED),
    }
    let te = accepts_trailers(&head.fields);
    if te {
        out.extend_from_slice(b"te: trailers\r\n");
    }
    if connection == ConnectionDirective::Upgrade
        && let Some(protocol) = head.protocol()
    {
        out.extend_from_slice(b"upgrade: ");
        out.extend_from_slice(protocol);
        out.extend_from_slice(b"\r\n");
    }
    match (connection, te) {
        (ConnectionDirective::KeepAlive, false) => {}
        (ConnectionDirective::KeepAlive, true) => out.extend_from_slice(b"connection: te\r\n"),
        (ConnectionDirective::Close, false) => out.extend_from_slice(CLOSE),
        (ConnectionDirective::Close, true) => out.extend_from_slice(b"connection: close, te\r\n"),
        (ConnectionDirective::Upgrade, false) => write_upgrade(&head.fields, b"", out),
        (ConnectionDirective::Upgrade, true) => write_upgrade(&head.fields, b", te", out),
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends `head` as a response to a client of version `to` (never HTTP/2 here: such a client
/// gets HTTP/1.1). Fields of this hop are left out and framing is made from `body`, which
/// [`body_for_peer`] adapts to the client.
///
/// [`BodyKind::None`] means that there can be no body: a `Content-Length` in `head` then speaks
/// of another response (HEAD, 304) and stays, but not in a 1xx or 204. An empty body is
/// `Length(0)`. A body until close implies [`ConnectionDirective::Close`].
pub fn write_response(
    head: &ResponseHead,
    body: BodyKind,
    to: Version,
    connection: ConnectionDirective,
    out: &mut Vec<u8>,
) {
    let reason = head.reason();
    let size = head.fields.wire_len().saturating_add(reason.len());
    out.reserve(size.saturating_add(FRAME_BYTES));
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(&status_digits(head.status()));
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
    let body = body_for_peer(body, to);
    write_fields(&head.fields, body == BodyKind::Chunked, out);
    match body {
        BodyKind::None => write_described_length(head, out),
        BodyKind::Length(_) | BodyKind::Chunked if has_no_body(head.status(), Method::Get) => {}
        BodyKind::Length(length) => write_length(length, out),
        BodyKind::Chunked => out.extend_from_slice(CHUNKED),
        BodyKind::UntilClose => {}
    }
    match (connection, to) {
        (ConnectionDirective::Upgrade, _) => write_upgrade(&head.fields, b"", out),
        (ConnectionDirective::Close, _) => out.extend_from_slice(CLOSE),
        (ConnectionDirective::KeepAlive, _) if body == BodyKind::UntilClose => {
            out.extend_from_slice(CLOSE);
        }
        (ConnectionDirective::KeepAlive, Version::Http10) => {
            out.extend_from_slice(b"connection: keep-alive\r\n");
        }
        (ConnectionDirective::KeepAlive, Version::Http11 | Version::Http2) => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the head of a chunk of `len` bytes; the chunk's own CRLF is for the caller to append
/// after the data. A `len` of 0 writes nothing, because it would end the body.
pub fn write_chunk_head(len: usize, out: &mut Vec<u8>) {
    if len == 0 {
        return;
    }
    let mut digits = [0; 16];
    let mut left = len;
    let mut first = digits.len();
    while left != 0 {
        first = first.saturating_sub(1);
        let digit = b"0123456789abcdef".get(left & 0xf).copied().unwrap_or_default();
        if let Some(slot) = digits.get_mut(first) {
            *slot = digit;
        }
        left >>= 4;
    }
    out.extend_from_slice(digits.get(first..).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
}

/// Appends the last chunk, the trailers if there are any, and the empty line that ends the body.
pub fn write_last_chunk(trailers: Option<&Fields>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        let allowed = |f: &FieldRef| is_allowed_in_trailers(f.known(), trailers.name(f));
        write_runs(trailers, allowed, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// Room for what the writer adds to the fields and the first line.
const FRAME_BYTES: usize = 192;

const CHUNKED: &[u8] = b"transfer-encoding: chunked\r\n";
const CLOSE: &[u8] = b"connection: close\r\n";

/// Copies the fields that are forwarded.
fn write_fields(fields: &Fields, keep_trailer: bool, out: &mut Vec<u8>) {
    let known = fields.known();
    if !known.intersects(REMADE)
        && let Some(lines) = fields.whole()
    {
        out.extend_from_slice(lines);
    } else if known.contains(Known::Connection) && has_unusual_option(fields) {
        write_runs(fields, |field| is_forwarded(fields, field, keep_trailer), out);
    } else {
        write_runs(fields, |field| !is_remade(field.known(), keep_trailer), out);
    }
}

/// Whether `Connection` says more than the usual word, which names a field that stays here anyway.
fn has_unusual_option(fields: &Fields) -> bool {
    let mut said = fields.values(Known::Connection);
    said.any(|options| !options.eq_ignore_ascii_case(b"keep-alive"))
}

/// Whether a field of a head with a `Connection` is forwarded.
pub(crate) fn is_forwarded(fields: &Fields, field: &FieldRef, keep_trailer: bool) -> bool {
    let known = field.known();
    if is_remade(known, keep_trailer) {
        return false;
    }
    let name = fields.name(field);
    is_protected(known, name) || !is_named_by_connection(fields, name)
}

fn is_remade(known: Known, keep_trailer: bool) -> bool {
    REMADE.contains(known) && !(keep_trailer && known == Known::Trailer)
}

fn is_named_by_connection(fields: &Fields, name: &[u8]) -> bool {
    fields
        .values(Known::Connection)
        .flat_map(scan::elements)
        .any(|option| option.eq_ignore_ascii_case(name))
}

/// Copies the lines for which `keep` holds, neighbours in one go.
fn write_runs(fields: &Fields, keep: impl Fn(&FieldRef) -> bool, out: &mut Vec<u8>) {
    let bytes = fields.buffer();
    let (mut start, mut end) = (0_usize, 0_usize);
    for field in fields.refs().iter().filter(|field| keep(field)) {
        if field.start() != end {
            out.extend_from_slice(bytes.get(start..end).unwrap_or_default());
            start = field.start();
        }
        end = field.end();
    }
    out.extend_from_slice(bytes.get(start..end).unwrap_or_default());
}

/// Whether `TE` says that trailers are welcome, the one thing in it that may be passed on.
pub(crate) fn accepts_trailers(fields: &Fields) -> bool {
    fields
        .values(Known::Te)
        .flat_map(scan::elements)
        .any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

fn write_upgrade(fields: &Fields, more_options: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"connection: upgrade");
    out.extend_from_slice(more_options);
    out.extend_from_slice(b"\r\n");
    write_runs(fields, |field| field.known() == Known::Upgrade, out);
}

fn write_length(length: u64, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(b"content-length: ");
    out.extend_from_slice(digits.format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The length of a body that a response describes without having it. Source: RFC 9110 §8.6.
fn write_described_length(head: &ResponseHead, out: &mut Vec<u8>) {
    if matches!(head.status(), 100..=199 | 204) {
        return;
    }
    let described = head.fields.get(Known::ContentLength);
    if let Some(length) = described.and_then(parse_length) {
        write_length(length, out);
    }
}

fn status_digits(status: u16) -> [u8; 3] {
    let digit = |value: u16| b'0'.wrapping_add(u8::try_from(value % 10).unwrap_or(0));
    [digit(status / 100), digit(status / 10), digit(status)]
}
