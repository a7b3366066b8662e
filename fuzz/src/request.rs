//! Heads of HTTP/1 requests.

use meshcore_http::h1::{BodyKind, Limits, ParsedRequest, parse_request, write_request};
use meshcore_http::h2::{head_from_h2, request_to_h2};
use meshcore_http::{Method, RequestHead, Version};

use crate::chunks::LOOSE;
use crate::reads::in_any_reads;
use crate::strict::{self, Unread};

/// Limits that short inputs reach.
const TIGHT: Limits =
    Limits { head_bytes: 160, fields: 5, target_bytes: 20, trailer_bytes: 40, trailer_fields: 2 };

/// What follows a request on its connection, and must stay as it is.
const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nhost: next\r\n\r\n";

/// The answer does not depend on reads; what is accepted comes back unchanged from what is written,
/// is read alike by a second reader, and survives HTTP/2.
pub(crate) fn run(data: &[u8]) {
    let mut head = RequestHead::new();
    let _tight = in_any_reads(data, |front| parse_request(front, &mut head, &TIGHT));
    let parsed = in_any_reads(data, |front| parse_request(front, &mut head, &Limits::default()));
    let Ok(Some(parsed)) = parsed else { return };
    assert!(parsed.consumed <= data.len(), "read past the end");
    assert_ne!(parsed.body, BodyKind::UntilClose, "a request has an end");
    if head.version() == Version::Http10 && head.authority().is_empty() {
        return; // has no form in HTTP/1.1
    }
    let mut wire = Vec::new();
    write_request(&head, parsed.body, &mut wire);
    comes_back(&wire, &head, parsed);
    is_read_alike(&wire, &head, parsed.body);
    survives_h2(&head, parsed.body);
}

fn comes_back(wire: &[u8], head: &RequestHead, parsed: ParsedRequest) {
    let mut again = RequestHead::new();
    let reparsed = match parse_request(wire, &mut again, &LOOSE) {
        Ok(Some(reparsed)) => reparsed,
        other => panic!("own request is not accepted: {other:?}: {}", wire.escape_ascii()),
    };
    assert_eq!(reparsed.consumed, wire.len(), "own request has something after its head");
    assert_eq!(again.method_bytes(), head.method_bytes());
    assert_eq!(again.target(), head.target());
    assert_eq!(again.authority(), head.authority());
    assert!(reparsed.body == parsed.body || reparsed.body == BodyKind::Length(0));
    let (mut twice, mut third) = (Vec::new(), RequestHead::new());
    write_request(&again, reparsed.body, &mut twice);
    let reread = parse_request(&twice, &mut third, &LOOSE);
    assert_eq!(reread, Ok(Some(reparsed)), "writing is not stable");
    assert_eq!(third.fields, again.fields, "writing is not stable");
}

/// Checks that a second reader takes `wire` for one request, and finds the next one after it.
pub(crate) fn is_read_alike(wire: &[u8], head: &RequestHead, body: BodyKind) {
    let mut stream = wire.to_vec();
    match body {
        BodyKind::Length(length) if length > 1 << 16 => {
            assert_eq!(strict::request(wire), Err(Unread::More), "a body that is not there");
            return;
        }
        BodyKind::Length(length) => {
            let length = usize::try_from(length).expect("a short one");
            stream.resize(stream.len() + length, b'x');
        }
        BodyKind::Chunked | BodyKind::UntilClose => {
            stream.extend_from_slice(b"4\r\nGET \r\n0\r\n\r\n");
        }
        BodyKind::None => {}
    }
    stream.extend_from_slice(NEXT);
    let (message, rest) = match strict::request(&stream) {
        Ok(read) => read,
        Err(unread) => panic!("{unread:?}: {}", wire.escape_ascii()),
    };
    assert_eq!(rest, NEXT, "the next request is another: {}", wire.escape_ascii());
    let tunnels = head.method() == Method::Connect;
    let expected = if tunnels { head.authority() } else { head.target() };
    assert_eq!(message.line[0], head.method_bytes());
    assert_eq!(message.line[1], expected);
    assert_eq!(message.all("host"), [head.authority()]);
    for name in ["keep-alive", "proxy-connection", "upgrade", "http2-settings"] {
        assert!(message.all(name).is_empty(), "{name} is passed on");
    }
    assert!(message.all("connection").iter().all(|options| options == b"te"));
}

/// Checks that the other end of an HTTP/2 connection reads what was meant, where it can be said.
fn survives_h2(head: &RequestHead, body: BodyKind) {
    let Ok(request) = request_to_h2(head, body) else { return };
    let (parts, ()) = request.into_parts();
    let mut again = RequestHead::new();
    let read = head_from_h2(&parts, &mut again, &LOOSE);
    assert_eq!(read, Ok(()), "own request is not accepted: {parts:?}");
    assert_eq!(again.method_bytes(), head.method_bytes());
    assert_eq!(again.target(), head.target());
    assert_eq!(again.authority(), head.authority());
}
