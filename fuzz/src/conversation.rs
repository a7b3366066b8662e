//! Requests after one another on one connection, with their bodies, as a proxy carries them.

use meshcore_http::h1::{
    BodyDecoder, BodyKind, Limits, parse_request, write_chunk_head, write_last_chunk, write_request,
};
use meshcore_http::{Method, RequestHead, Version};

use crate::chunks::drain;
use crate::strict;

/// A request as it was understood.
struct Carried {
    method: Vec<u8>,
    target: Vec<u8>,
    authority: Vec<u8>,
    body: Vec<u8>,
}

/// An origin finds exactly the requests that were understood in what is written to it: none is
/// hidden in the body of another.
pub(crate) fn run(data: &[u8]) {
    let (carried, wire) = carry(data);
    let mut rest = wire.as_slice();
    for expected in carried {
        let (message, after) = match strict::request(rest) {
            Ok(read) => read,
            Err(unread) => panic!("{unread:?} in {}", wire.escape_ascii()),
        };
        rest = after;
        assert_eq!(message.line[0], expected.method);
        assert_eq!(message.line[1], expected.target);
        assert_eq!(message.all("host"), [expected.authority]);
        assert_eq!(message.body, expected.body, "{}", wire.escape_ascii());
    }
    assert_eq!(rest, b"", "more was sent than was understood: {}", wire.escape_ascii());
}

/// All whole requests of a connection, and what is written for them.
fn carry(data: &[u8]) -> (Vec<Carried>, Vec<u8>) {
    let (mut carried, mut wire, mut rest) = (Vec::new(), Vec::new(), data);
    let (mut head, limits) = (RequestHead::new(), Limits::default());
    while let Ok(Some(parsed)) = parse_request(rest, &mut head, &limits) {
        rest = &rest[parsed.consumed..];
        let mut decoder = BodyDecoder::new(parsed.body, &limits);
        let Some((body, used)) = drain(&mut decoder, rest, 5) else { break };
        rest = &rest[used..];
        let has_form = head.version() != Version::Http10 || !head.authority().is_empty();
        if has_form {
            write_request(&head, parsed.body, &mut wire);
            write_body(parsed.body, &body, &decoder, &mut wire);
            let tunnels = head.method() == Method::Connect;
            let target = if tunnels { head.authority() } else { head.target() };
            carried.push(Carried {
                method: head.method_bytes().to_vec(),
                target: target.to_vec(),
                authority: head.authority().to_vec(),
                body,
            });
        }
        if !parsed.keep_alive || parsed.upgrade || head.method() == Method::Connect {
            break;
        }
    }
    (carried, wire)
}

fn write_body(kind: BodyKind, body: &[u8], decoder: &BodyDecoder, wire: &mut Vec<u8>) {
    if kind != BodyKind::Chunked {
        return wire.extend_from_slice(body);
    }
    for piece in body.chunks(3) {
        write_chunk_head(piece.len(), wire);
        wire.extend_from_slice(piece);
        wire.extend_from_slice(b"\r\n");
    }
    write_last_chunk(Some(decoder.trailers()), wire);
}
