//! Requests that are legal however odd they look, and what is read from them.

use super::{BodyKind, request};
use crate::{Known, Method, Scheme, Version};

/// Name, head, target, authority.
const HEADS: &[(&str, &[u8], &str, &str)] = &[
    ("plain", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "/", "a"),
    ("one empty line before", b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "/", "a"),
    ("no blank after colon", b"GET / HTTP/1.1\r\nHost:a\r\n\r\n", "/", "a"),
    ("many blanks around value", b"GET / HTTP/1.1\r\nHost: \t  a \t \r\n\r\n", "/", "a"),
    ("Host last", b"GET / HTTP/1.1\r\nA: b\r\nHost: a\r\n\r\n", "/", "a"),
    ("Host in capitals", b"GET / HTTP/1.1\r\nHOST: A.Example\r\n\r\n", "/", "a.example"),
    ("Host with port", b"GET / HTTP/1.1\r\nHost: a:9080\r\n\r\n", "/", "a:9080"),
    ("Host with port 0", b"GET / HTTP/1.1\r\nHost: a:0\r\n\r\n", "/", "a:0"),
    ("Host with IPv4", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "/", "127.0.0.1"),
    ("Host with IPv6", b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "/", "[::1]:80"),
    ("Host with trailing dot", b"GET / HTTP/1.1\r\nHost: a.example.\r\n\r\n", "/", "a.example."),
    ("Host with underscore", b"GET / HTTP/1.1\r\nHost: a_b\r\n\r\n", "/", "a_b"),
    ("Host of digits", b"GET / HTTP/1.1\r\nHost: 12345\r\n\r\n", "/", "12345"),
    ("query", b"GET /a?b=c HTTP/1.1\r\nHost: a\r\n\r\n", "/a?b=c", "a"),
    ("empty query", b"GET /a? HTTP/1.1\r\nHost: a\r\n\r\n", "/a?", "a"),
    ("two question marks", b"GET /?a?b HTTP/1.1\r\nHost: a\r\n\r\n", "/?a?b", "a"),
    ("double slash", b"GET //b/c HTTP/1.1\r\nHost: a\r\n\r\n", "//b/c", "a"),
    ("dot segments stay", b"GET /../b HTTP/1.1\r\nHost: a\r\n\r\n", "/../b", "a"),
    ("percent-encoding stays", b"GET /%2e%2F%00 HTTP/1.1\r\nHost: a\r\n\r\n", "/%2e%2F%00", "a"),
    ("broken percent-encoding", b"GET /%zz% HTTP/1.1\r\nHost: a\r\n\r\n", "/%zz%", "a"),
    ("unwise characters", b"GET /{a}|\"b\"^`<> HTTP/1.1\r\nHost: a\r\n\r\n", "/{a}|\"b\"^`<>", "a"),
    ("backslash", b"GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", "/a\\b", "a"),
    ("parameters", b"GET /a;b=c/d HTTP/1.1\r\nHost: a\r\n\r\n", "/a;b=c/d", "a"),
    ("at sign in path", b"GET /u@b:c HTTP/1.1\r\nHost: a\r\n\r\n", "/u@b:c", "a"),
    ("URL in path", b"GET /http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "/http://b/", "a"),
    ("absolute form", b"GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n", "/b", "a"),
    ("absolute form without path", b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", "/", "a"),
    (
        "absolute form with query only",
        b"GET http://a?b/c HTTP/1.1\r\nHost: a\r\n\r\n",
        "/?b/c",
        "a",
    ),
    ("absolute form in capitals", b"GET HTTP://A/ HTTP/1.1\r\nHost: a\r\n\r\n", "/", "a"),
    ("absolute form, default port", b"GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", "/", "a:80"),
    (
        "absolute form, Host with default port",
        b"GET http://a/ HTTP/1.1\r\nHost: A:80\r\n\r\n",
        "/",
        "a",
    ),
    ("absolute form, https port", b"GET https://a/ HTTP/1.1\r\nHost: a:443\r\n\r\n", "/", "a"),
    ("absolute form on HTTP/1.0 without Host", b"GET http://a/ HTTP/1.0\r\n\r\n", "/", "a"),
    ("absolute form of OPTIONS", b"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", "*", "a"),
    (
        "absolute form of OPTIONS with path",
        b"OPTIONS http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "/",
        "a",
    ),
    ("asterisk", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "*", "a"),
    ("CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "", "a:443"),
    ("CONNECT, Host without port", b"CONNECT a:443 HTTP/1.1\r\nHost: A\r\n\r\n", "", "a:443"),
    ("CONNECT to IPv6", b"CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "", "[::1]:80"),
    (
        "CONNECT with length 0",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 0\r\n\r\n",
        "",
        "a:1",
    ),
    ("HTTP/1.0 without Host", b"GET / HTTP/1.0\r\n\r\n", "/", ""),
    ("HTTP/1.0 with Host", b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", "/", "a"),
    ("custom method", b"PURGE / HTTP/1.1\r\nHost: a\r\n\r\n", "/", "a"),
    ("lower-case method", b"get / HTTP/1.1\r\nHost: a\r\n\r\n", "/", "a"),
    ("method of marks", b"!#$%&'*+-.^_`|~ / HTTP/1.1\r\nHost: a\r\n\r\n", "/", "a"),
    (
        "method of 32 letters",
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1\r\nHost: a\r\n\r\n",
        "/",
        "a",
    ),
    ("name of marks", b"GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^`|~: b\r\n\r\n", "/", "a"),
    ("harmless underscore", b"GET / HTTP/1.1\r\nHost: a\r\nsession_id: b\r\n\r\n", "/", "a"),
    ("underscore at the end", b"GET / HTTP/1.1\r\nHost: a\r\nhost_: b\r\n\r\n", "/", "a"),
    ("one-letter name", b"GET / HTTP/1.1\r\nHost: a\r\nx: b\r\n\r\n", "/", "a"),
    ("empty value", b"GET / HTTP/1.1\r\nHost: a\r\nA:\r\n\r\n", "/", "a"),
    ("blank value", b"GET / HTTP/1.1\r\nHost: a\r\nA: \t\r\n\r\n", "/", "a"),
    ("colons in value", b"GET / HTTP/1.1\r\nHost: a\r\nA: b:c::\r\n\r\n", "/", "a"),
    ("colon first in value", b"GET / HTTP/1.1\r\nHost: a\r\nA::\r\n\r\n", "/", "a"),
    ("tab inside value", b"GET / HTTP/1.1\r\nHost: a\r\nA: b\tc\r\n\r\n", "/", "a"),
    ("value above ASCII", b"GET / HTTP/1.1\r\nHost: a\r\nA: \xc3\xbc\xff\r\n\r\n", "/", "a"),
    ("the same name twice", b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\na: c\r\n\r\n", "/", "a"),
    (
        "Connection of empty elements",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: ,, ,\r\n\r\n",
        "/",
        "a",
    ),
    ("Connection names Host", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n", "/", "a"),
    (
        "unknown connection option",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x-hop\r\n\r\n",
        "/",
        "a",
    ),
    (
        "leading zeros of length",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 000000000000000000000000\r\n\r\n",
        "/",
        "a",
    ),
    (
        "encoding in capitals",
        b"POST / HTTP/1.1\r\nHost: a\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n",
        "/",
        "a",
    ),
    (
        "blanks around encoding",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \tchunked \r\n\r\n",
        "/",
        "a",
    ),
    ("GET with body", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345", "/", "a"),
    (
        "pipelined",
        b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\n",
        "/1",
        "a",
    ),
    (
        "expectation on HTTP/1.0",
        b"POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
        "/",
        "a",
    ),
    (
        "Trailer announced",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: a\r\n\r\n",
        "/",
        "a",
    ),
];

#[test]
fn each_is_read_as_it_is_meant() {
    assert!(HEADS.len() >= 60, "{} cases", HEADS.len());
    for (case, bytes, target, authority) in HEADS {
        let (parsed, head) = request(bytes);
        let parsed = parsed.unwrap_or_else(|reason| panic!("{case}: {reason}")).expect(case);
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(parsed.consumed, end, "{case}");
        assert_eq!(head.target(), target.as_bytes(), "{case}");
        assert_eq!(head.authority(), authority.as_bytes(), "{case}");
        assert_eq!(head.fields.get(Known::Host), None, "{case}");
    }
}

#[test]
fn bodies_are_framed_by_their_fields() {
    for (fields, body) in [
        ("", BodyKind::None),
        ("Content-Length: 0\r\n", BodyKind::Length(0)),
        ("Content-Length: 7\r\n", BodyKind::Length(7)),
        ("content-length:0009223372036854775807 \r\n", BodyKind::Length(u64::MAX >> 1)),
        ("Transfer-Encoding: chunked\r\n", BodyKind::Chunked),
        ("transfer-encoding: Chunked\t\r\n", BodyKind::Chunked),
    ] {
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        assert_eq!(request(bytes.as_bytes()).0.unwrap().unwrap().body, body, "{fields:?}");
    }
}

#[test]
fn the_connection_stays_open_as_agreed() {
    for (version, fields, stays) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: Keep-Alive\r\n", true),
        ("1.1", "Connection: keep-alive, CLOSE\r\n", false),
        ("1.1", "Connection: a\r\nConnection: b, close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Proxy-Connection: keep-alive\r\n", false),
    ] {
        let bytes = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        let parsed = request(bytes.as_bytes()).0.unwrap().unwrap();
        assert_eq!(parsed.keep_alive, stays, "{version} {fields:?}");
    }
}

#[test]
fn an_upgrade_takes_both_fields_once() {
    for (version, fields, upgrades) in [
        ("1.1", "Connection: upgrade\r\nUpgrade: websocket\r\n", true),
        ("1.1", "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n", true),
        ("1.1", "Upgrade: a/1, b\r\nConnection: UPGRADE\r\n", true),
        ("1.1", "Connection: upgrade\r\n", false),
        ("1.1", "Upgrade: websocket\r\n", false),
        ("1.1", "Connection: upgrades\r\nUpgrade: websocket\r\n", false),
        ("1.1", "Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n", false),
        (
            "1.1",
            "Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: a\r\n",
            false,
        ),
        ("1.1", "Connection: upgrade\r\nUpgrade: websocket, H2C\r\n", false),
        ("1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n", false),
    ] {
        let bytes = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        let parsed = request(bytes.as_bytes()).0.unwrap().unwrap();
        assert_eq!(parsed.upgrade, upgrades, "{version} {fields:?}");
    }
}

#[test]
fn a_client_that_waits_for_100_is_noticed() {
    let bytes = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\n";
    assert!(request(bytes).0.unwrap().unwrap().expect_continue);
    let old = b"PUT / HTTP/1.0\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
    assert!(!request(old).0.unwrap().unwrap().expect_continue);
}

#[test]
fn all_parts_of_a_head_can_be_asked_for() {
    let bytes =
        b"PATCH https://A:8443/b?c HTTP/1.1\r\nHost: a:8443\r\nX: 1\r\nCookie: d\r\nx: 2\r\n\r\n";
    let (_, head) = request(bytes);
    assert_eq!((head.method(), head.version()), (Method::Patch, Version::Http11));
    assert_eq!((head.scheme(), head.protocol()), (Scheme::Https, None));
    assert_eq!((head.path(), head.query()), (&b"/b"[..], Some(&b"c"[..])));
    assert_eq!((head.host(), head.port()), (&b"a"[..], Some(8443)));
    assert_eq!(head.fields.get(Known::Cookie), Some(&b"d"[..]));
    assert_eq!(head.fields.values_named(b"x").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(head.fields.iter().map(|field| field.2).filter(|k| *k == Known::Other).count(), 2);
}
