//! Responses of an origin that may be hostile.

use meshcore_http::h1::{
    BodyDecoder, BodyKind, ConnectionDirective, Limits, ParsedResponse, parse_response,
    write_chunk_head, write_last_chunk, write_response,
};
use meshcore_http::h2::{response_head_from_h2, response_to_h2};
use meshcore_http::{Method, ResponseHead, Version};

use crate::chunks::{LOOSE, drain};
use crate::reads::in_any_reads;
use crate::strict;

/// What follows on the client's connection, and must stay as it is.
const NEXT: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// The answer does not depend on reads; what is accepted is read alike by a second reader once it
/// is written to a client, with its body, and survives HTTP/2.
pub(crate) fn run(data: &[u8]) {
    for method in [Method::Get, Method::Head, Method::Connect] {
        let mut head = ResponseHead::new();
        let limits = Limits { head_bytes: 512, fields: 12, ..Limits::default() };
        let parsed = in_any_reads(data, |front| parse_response(front, &mut head, &limits, method));
        let Ok(Some(parsed)) = parsed else { continue };
        assert!(parsed.consumed <= data.len(), "read past the end");
        comes_back(&head, parsed, method);
        if head.status() != 101 && method != Method::Connect {
            is_read_alike(&head, parsed, &data[parsed.consumed..], method == Method::Head);
            survives_h2(&head, parsed.body);
        }
    }
}

fn comes_back(head: &ResponseHead, parsed: ParsedResponse, method: Method) {
    let (mut wire, mut again) = (Vec::new(), ResponseHead::new());
    let directive = ConnectionDirective::KeepAlive;
    write_response(head, parsed.body, Version::Http11, directive, &mut wire);
    let reparsed = match parse_response(&wire, &mut again, &LOOSE, method) {
        Ok(Some(reparsed)) => reparsed,
        other => panic!("own response is not accepted: {other:?}"),
    };
    assert_eq!(reparsed.consumed, wire.len(), "own response has something after its head");
    assert_eq!(again.status(), head.status());
    assert!(reparsed.body == parsed.body || parsed.body == BodyKind::UntilClose);
}

/// Checks that a client reads the status and the body that were meant, and the next response.
fn is_read_alike(head: &ResponseHead, parsed: ParsedResponse, rest: &[u8], to_head: bool) {
    let mut decoder = BodyDecoder::new(parsed.body, &Limits::default());
    let Some((content, _used)) = drain(&mut decoder, rest, rest.len().max(1)) else { return };
    let mut wire = Vec::new();
    let directive = ConnectionDirective::KeepAlive;
    write_response(head, parsed.body, Version::Http11, directive, &mut wire);
    match parsed.body {
        BodyKind::None => {}
        BodyKind::Length(_) => wire.extend_from_slice(&content),
        BodyKind::Chunked | BodyKind::UntilClose => {
            write_chunk_head(content.len(), &mut wire);
            if !content.is_empty() {
                wire.extend_from_slice(&content);
                wire.extend_from_slice(b"\r\n");
            }
            write_last_chunk(Some(decoder.trailers()), &mut wire);
        }
    }
    wire.extend_from_slice(NEXT);
    let (message, rest) = match strict::response(&wire, to_head) {
        Ok(read) => read,
        Err(unread) => panic!("{unread:?}: {}", wire.escape_ascii()),
    };
    assert_eq!(rest, NEXT, "the next response is another: {}", wire.escape_ascii());
    assert_eq!(message.line[1], head.status().to_string().as_bytes());
    assert_eq!(message.body, content);
    for name in ["keep-alive", "proxy-connection", "upgrade", "http2-settings"] {
        assert!(message.all(name).is_empty(), "{name} is passed on");
    }
}

/// Checks that an HTTP/2 client reads what was meant, where it can be said.
fn survives_h2(head: &ResponseHead, body: BodyKind) {
    let Ok(response) = response_to_h2(head, body) else { return };
    let (parts, ()) = response.into_parts();
    let mut again = ResponseHead::new();
    let read = response_head_from_h2(&parts, &mut again, &LOOSE);
    assert_eq!(read, Ok(()), "own response is not accepted: {parts:?}");
    assert_eq!(again.status(), head.status());
}
