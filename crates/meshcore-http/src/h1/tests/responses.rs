//! Responses, hostile ones and odd ones.

use super::{BodyKind, Limits, Rejected as R, ResponseHead, parse_response, response};
use crate::Method::{self, Connect, Get, Head};
use crate::fields::Fields;
use crate::h1::switches_as_asked;
use crate::known::Known;

const REFUSED: &[(&str, R, &[u8])] = &[
    ("HTTP/2.0", R::UnsupportedVersion, b"HTTP/2.0 200 OK\r\n\r\n"),
    ("HTTP/1.2", R::BadStatusLine, b"HTTX/1.2 200 OK\r\n\r\n"),
    ("lower-case version", R::BadStatusLine, b"http/1.1 200 OK\r\n\r\n"),
    ("ICY", R::BadStatusLine, b"ICY 200 OK\r\n\r\n"),
    ("no version", R::BadStatusLine, b"200 OK\r\n\r\n"),
    ("HTTP/0.9 body", R::BadStatusLine, b"<html></html>"),
    ("empty line before", R::BadStatusLine, b"\r\nHTTP/1.1 200 OK\r\n\r\n"),
    ("two spaces before status", R::BadStatusLine, b"HTTP/1.1  200 OK\r\n\r\n"),
    ("tab before status", R::BadStatusLine, b"HTTP/1.1\t200 OK\r\n\r\n"),
    ("status of two digits", R::BadStatusLine, b"HTTP/1.1 20 OK\r\n\r\n"),
    ("status of four digits", R::BadStatusLine, b"HTTP/1.1 2000 OK\r\n\r\n"),
    ("status below 100", R::BadStatusLine, b"HTTP/1.1 099 OK\r\n\r\n"),
    ("signed status", R::BadStatusLine, b"HTTP/1.1 +20 OK\r\n\r\n"),
    ("status with letter", R::BadStatusLine, b"HTTP/1.1 2x0 OK\r\n\r\n"),
    ("status without space", R::BadStatusLine, b"HTTP/1.1 200OK\r\n\r\n"),
    ("bare LF after reason", R::BareLf, b"HTTP/1.1 200 OK\n\n"),
    ("bare CR in reason", R::BareCr, b"HTTP/1.1 200 O\rK\r\n\r\n"),
    ("NUL in reason", R::BadFieldValue, b"HTTP/1.1 200 O\0K\r\n\r\n"),
    ("bare CR after status", R::BareCr, b"HTTP/1.1 200\rX\r\n\r\n"),
    ("fold", R::ObsoleteFold, b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"),
    ("space before colon", R::SpaceBeforeColon, b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n"),
    ("name with space", R::SpaceBeforeColon, b"HTTP/1.1 200 OK\r\nA B: c\r\n\r\n"),
    ("empty name", R::BadFieldName, b"HTTP/1.1 200 OK\r\n: c\r\n\r\n"),
    ("line without colon", R::BadFieldName, b"HTTP/1.1 200 OK\r\nA\r\n\r\n"),
    ("NUL in value", R::BadFieldValue, b"HTTP/1.1 200 OK\r\nA: \0\r\n\r\n"),
    ("bare LF after field", R::BareLf, b"HTTP/1.1 200 OK\r\nA: b\n\r\n"),
    ("bare CR in value", R::BareCr, b"HTTP/1.1 200 OK\r\nLocation: /\rSet-Cookie: a\r\n\r\n"),
    ("signed length", R::BadContentLength, b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n"),
    ("list of lengths", R::BadContentLength, b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n"),
    ("empty length", R::BadContentLength, b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n"),
    (
        "length above 64 bits",
        R::BadContentLength,
        b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n",
    ),
    (
        "two lengths",
        R::DuplicateContentLength,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    ),
    (
        "the same length twice",
        R::DuplicateContentLength,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
    ),
    (
        "length and encoding",
        R::LengthAndEncoding,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (
        "encoding on HTTP/1.0",
        R::EncodingOnHttp10,
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (
        "gzip, chunked",
        R::UnsupportedEncoding,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    ),
    ("gzip", R::BadTransferEncoding, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
    (
        "chunked twice",
        R::BadTransferEncoding,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    ("alias of length", R::AliasedName, b"HTTP/1.1 200 OK\r\nContent_Length: 5\r\n\r\n"),
    ("bad Connection", R::BadConnection, b"HTTP/1.1 200 OK\r\nConnection: \"close\"\r\n\r\n"),
];

/// Name, method of the request, response, body, whether another request may follow.
const READ: &[(&str, Method, &[u8], BodyKind, bool)] = &[
    ("length", Get, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", BodyKind::Length(5), true),
    ("length 0", Get, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", BodyKind::Length(0), true),
    (
        "chunked",
        Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        BodyKind::Chunked,
        true,
    ),
    ("until close", Get, b"HTTP/1.1 200 OK\r\n\r\n", BodyKind::UntilClose, false),
    (
        "until close despite keep-alive",
        Get,
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n",
        BodyKind::UntilClose,
        false,
    ),
    (
        "close",
        Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
        BodyKind::Length(5),
        false,
    ),
    ("HTTP/1.0", Get, b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", BodyKind::Length(5), false),
    (
        "HTTP/1.0 keep-alive",
        Get,
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n",
        BodyKind::Length(5),
        true,
    ),
    ("no reason", Get, b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n", BodyKind::Length(5), true),
    (
        "no space for the reason",
        Get,
        b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n",
        BodyKind::Length(5),
        true,
    ),
    (
        "reason above ASCII",
        Get,
        b"HTTP/1.1 404 \xc3\xbc b\tc\r\nContent-Length: 5\r\n\r\n",
        BodyKind::Length(5),
        true,
    ),
    (
        "unknown status",
        Get,
        b"HTTP/1.1 999 Denied\r\nContent-Length: 5\r\n\r\n",
        BodyKind::Length(5),
        true,
    ),
    ("HEAD", Head, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", BodyKind::None, true),
    (
        "HEAD chunked",
        Head,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        BodyKind::None,
        true,
    ),
    ("HEAD without framing", Head, b"HTTP/1.1 200 OK\r\n\r\n", BodyKind::None, true),
    ("204", Get, b"HTTP/1.1 204 No Content\r\n\r\n", BodyKind::None, true),
    (
        "204 with length 0",
        Get,
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        BodyKind::None,
        true,
    ),
    (
        "204 with length",
        Get,
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        BodyKind::None,
        false,
    ),
    (
        "204 chunked",
        Get,
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        BodyKind::None,
        false,
    ),
    ("304", Get, b"HTTP/1.1 304 Not Modified\r\n\r\n", BodyKind::None, true),
    (
        "304 with length",
        Get,
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        BodyKind::None,
        true,
    ),
    ("100", Get, b"HTTP/1.1 100 Continue\r\n\r\n", BodyKind::None, true),
    (
        "100 with length",
        Get,
        b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n",
        BodyKind::None,
        false,
    ),
    ("103", Get, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", BodyKind::None, true),
    (
        "101",
        Get,
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n",
        BodyKind::None,
        false,
    ),
    ("CONNECT accepted", Connect, b"HTTP/1.1 200 OK\r\n\r\n", BodyKind::None, true),
    (
        "CONNECT accepted with length",
        Connect,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        BodyKind::None,
        false,
    ),
    (
        "CONNECT refused",
        Connect,
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\n",
        BodyKind::Length(5),
        true,
    ),
    (
        "Host in a response",
        Get,
        b"HTTP/1.1 200 OK\r\nHost: a\r\nHost: b\r\nContent-Length: 5\r\n\r\n",
        BodyKind::Length(5),
        true,
    ),
    (
        "Expect in a response",
        Get,
        b"HTTP/1.1 200 OK\r\nExpect: a\r\nContent-Length: 5\r\n\r\n",
        BodyKind::Length(5),
        true,
    ),
];

#[test]
fn each_hostile_response_is_refused_for_its_reason() {
    for (case, reason, bytes) in REFUSED {
        assert_eq!(response(bytes, Get).0, Err(*reason), "{case}");
        let fronts = (0..bytes.len()).filter_map(|length| bytes.get(..length));
        for refused in fronts.filter_map(|front| response(front, Get).0.err()) {
            assert_eq!(refused, *reason, "{case}, read in pieces");
        }
    }
}

#[test]
fn each_response_is_read_as_it_is_meant() {
    assert!(REFUSED.len() + READ.len() >= 50);
    for (case, method, bytes, body, keep_alive) in READ {
        let (parsed, head) = response(bytes, *method);
        let parsed = parsed.unwrap_or_else(|reason| panic!("{case}: {reason}")).expect(case);
        assert_eq!(parsed.consumed, bytes.len(), "{case}");
        assert_eq!((parsed.body, parsed.keep_alive), (*body, *keep_alive), "{case}");
        let informational = matches!(head.status(), 100 | 102..=199);
        assert_eq!(parsed.informational, informational, "{case}");
    }
}

#[test]
fn status_and_reason_are_kept() {
    let (_, head) = response(b"HTTP/1.1 404 Gone Fishing\r\n\r\n", Get);
    assert_eq!((head.status(), head.reason()), (404, &b"Gone Fishing"[..]));
    let (_, head) = response(b"HTTP/1.1 503 \r\n\r\n", Get);
    assert_eq!((head.status(), head.reason()), (503, &b"Service Unavailable"[..]));
}

#[test]
fn limits_hold_for_responses() {
    let limits = Limits { head_bytes: 40, fields: 1, ..Limits::default() };
    let parse = |bytes: &[u8]| parse_response(bytes, &mut ResponseHead::new(), &limits, Get);
    assert!(parse(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n").unwrap().is_some());
    assert_eq!(parse(b"HTTP/1.1 200 OK\r\nA: b\r\nA: b\r\n"), Err(R::TooManyFields));
    assert_eq!(parse(&[&b"HTTP/1.1 200 "[..], &[b'a'; 27]].concat()), Err(R::HeadTooLarge));
}

#[test]
fn only_a_protocol_that_was_offered_is_switched_to() {
    for (asked, answered, expected) in [
        (&["websocket"][..], &["websocket"][..], true),
        (&["WebSocket"], &["websocket"], true),
        (&["x/1, websocket"], &["websocket"], true),
        (&["x/1, y"], &["y, x/1"], true),
        (&["websocket"], &["h2c"], false),
        (&["websocket"], &["websocket, h2c"], false),
        (&["websocket"], &["websocket", "h2c"], false),
        (&["websocket"], &["web"], false),
        (&["websocket"], &[""], false),
        (&["websocket"], &[], false),
        (&[], &["websocket"], false),
    ] {
        let fields = |values: &[&str]| {
            let mut fields = Fields::new();
            for value in values {
                assert!(fields.push_checked(b"upgrade", value.as_bytes(), Known::Upgrade));
            }
            fields
        };
        assert_eq!(
            switches_as_asked(&fields(asked), &fields(answered)),
            expected,
            "{asked:?} {answered:?}"
        );
    }
}
