//! Stage of a connection: what is spoken?

use std::io;

use meshcore_model::Protocol;

use crate::buffer::Buffer;
use crate::serve_h1::{HEAD_S, IDLE_S};
use crate::stream::Stream;
use crate::waits::{Interrupted, Wait, Waiting};

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detected {
    Http1,
    Http2,
    Opaque,
}

/// First bytes of HTTP/2. Source: RFC 9113 section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A first line longer than this is not HTTP.
const MAX_LINE_BYTES: usize = 8 * 1024;

/// Reads just enough to tell what is spoken. Where HTTP is declared, both of its versions are
/// taken; where bytes are declared, nothing is read.
///
/// # Errors
///
/// That of the first failed read; `UnexpectedEof` when the client left without a byte, or before
/// it was clear which HTTP it speaks; `InvalidData` for what is neither, where HTTP/2 is declared:
/// it is an invalid preface, and closing is all the answer it needs (RFC 9113 section 3.4).
pub(crate) async fn detect(
    stream: &mut Stream,
    buffer: &mut Buffer,
    declared: Protocol,
    (wait, within_s): (&Wait, u64),
) -> io::Result<Detected> {
    let classify: fn(&[u8]) -> Option<Detected> = match declared {
        Protocol::Tcp | Protocol::Tls => return Ok(Detected::Opaque),
        Protocol::Http => classify_http,
        Protocol::Http2 | Protocol::Grpc | Protocol::Detect => classify,
    };
    let mut began_s = wait.now_s();
    loop {
        match classify(buffer.data()) {
            Some(Detected::Opaque) if declared != Protocol::Detect => {
                return Err(io::ErrorKind::InvalidData.into());
            }
            Some(detected) => return Ok(detected),
            None => {}
        }
        // Where HTTP is declared, a silent client is one that has no request yet.
        let limit_s = match (declared, buffer.is_empty()) {
            (Protocol::Http | Protocol::Http2 | Protocol::Grpc, true) => IDLE_S,
            (Protocol::Http | Protocol::Http2 | Protocol::Grpc, false) => HEAD_S,
            (Protocol::Detect | Protocol::Tcp | Protocol::Tls, _) => within_s,
        };
        // One limit for all bytes: one now and then does not make it longer.
        let spent_s = wait.now_s().saturating_sub(began_s);
        let left_s = if limit_s == 0 { 0 } else { limit_s.saturating_sub(spent_s).max(1) };
        let was_silent = buffer.is_empty();
        match wait.within(left_s, Waiting::Kept, stream.read_some(buffer)).await {
            Ok(Ok(0)) if buffer.is_empty() || declared != Protocol::Detect => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok(Ok(0)) => return Ok(Detected::Opaque),
            Ok(read) => {
                read?;
                if was_silent && declared != Protocol::Detect {
                    began_s = wait.now_s();
                }
            }
            Err(Interrupted::Draining) => return Err(io::ErrorKind::ConnectionAborted.into()),
            // A silent client may be waiting for the server to speak first.
            Err(Interrupted::Expired) if declared == Protocol::Detect => {
                return Ok(Detected::Opaque);
            }
            Err(Interrupted::Expired) => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// HTTP/1 or HTTP/2; `None` needs more bytes. What is neither is for the HTTP/1 parser to refuse.
fn classify_http(bytes: &[u8]) -> Option<Detected> {
    if bytes.is_empty() {
        return None;
    }
    let common = bytes.len().min(PREFACE.len());
    match (bytes.get(..common) == PREFACE.get(..common), bytes.len() >= PREFACE.len()) {
        (true, true) => Some(Detected::Http2),
        (true, false) => None,
        (false, _) => Some(Detected::Http1),
    }
}

/// As [`classify_http`], or neither. Only a whole request line makes HTTP/1: other protocols
/// begin with a word and a space too.
fn classify(bytes: &[u8]) -> Option<Detected> {
    match classify_http(bytes)? {
        Detected::Http2 => return Some(Detected::Http2),
        Detected::Http1 | Detected::Opaque => {}
    }
    let line_end = bytes.iter().position(|byte| *byte == b'\n');
    let line = bytes.get(..line_end.unwrap_or(bytes.len())).unwrap_or_default();
    let is_text =
        line.strip_suffix(b"\r").unwrap_or(line).iter().all(|b| (b' '..=b'~').contains(b));
    if !is_text || !line.first().is_some_and(u8::is_ascii_alphabetic) {
        return Some(Detected::Opaque);
    }
    match line_end {
        Some(_) if line.ends_with(b" HTTP/1.1\r") || line.ends_with(b" HTTP/1.0\r") => {
            Some(Detected::Http1)
        }
        Some(_) => Some(Detected::Opaque),
        None if bytes.len() > MAX_LINE_BYTES => Some(Detected::Opaque),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell() {
        for (bytes, expected) in [
            (&b""[..], None),
            (b"P", None),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", None),
            (PREFACE, Some(Detected::Http2)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0", Some(Detected::Http2)),
            (b"POST /", None),
            (b"POST / HTTP/1.1\r\n", Some(Detected::Http1)),
            (b"GET / HTTP/1.0\r\nHost: a", Some(Detected::Http1)),
            (b"GET / HTTP/3.0\r\n", Some(Detected::Opaque)),
            (b"EHLO example.com\r\n", Some(Detected::Opaque)),
            (b"SELECT 1;\n", Some(Detected::Opaque)),
            (b"\x16\x03\x01", Some(Detected::Opaque)),
            (b"G\0", Some(Detected::Opaque)),
            (b"1", Some(Detected::Opaque)),
        ] {
            assert_eq!(classify(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(classify(&[b'A'; MAX_LINE_BYTES + 1]), Some(Detected::Opaque));
        assert_eq!(classify_http(b"EHLO example.com\r\n"), Some(Detected::Http1));
    }
}
