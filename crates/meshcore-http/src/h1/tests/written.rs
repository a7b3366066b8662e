//! What is written, byte for byte.

use super::{
    BodyKind, ConnectionDirective, body_for_peer, request, response, write_chunk_head,
    write_last_chunk, write_request, write_request_with, write_response,
};
use crate::{Fields, Method, RequestHead, ResponseHead, Version};

fn written(bytes: &[u8], connection: ConnectionDirective) -> String {
    let (parsed, head) = request(bytes);
    let mut out = Vec::new();
    write_request_with(&head, parsed.unwrap().unwrap().body, connection, &mut out);
    String::from_utf8(out).unwrap()
}

/// Name, request, what is written for it.
const REQUESTS: &[(&str, &[u8], &str)] = &[
        (
            "untouched",
            b"GET /a HTTP/1.1\r\nHost: b\r\nX: 1\r\nY: 2\r\n\r\n",
            "GET /a HTTP/1.1\r\nhost: b\r\nX: 1\r\nY: 2\r\n\r\n",
        ),
        (
            "spelling of blanks",
            b"GET /a HTTP/1.1\r\nX:1\r\nHost: b\r\nY:\t 2 \r\nZ:\r\n\r\n",
            "GET /a HTTP/1.1\r\nhost: b\r\nX: 1\r\nY: 2\r\nZ: \r\n\r\n",
        ),
        (
            "absolute form and HTTP/1.0",
            b"GET http://b/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            "GET /a HTTP/1.1\r\nhost: b\r\n\r\n",
        ),
        (
            "hop-by-hop fields",
            b"GET / HTTP/1.1\r\nHost: b\r\nConnection: x-hop, close\r\nX-Hop: 1\r\nA: 1\r\n\
              Keep-Alive: timeout=5\r\nProxy-Connection: close\r\nTE: gzip\r\nUpgrade: websocket\r\n\
              HTTP2-Settings: a\r\nB: 2\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: b\r\nA: 1\r\nB: 2\r\n\r\n",
        ),
        (
            "Connection cannot name protected fields",
            b"POST / HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\nAuthorization: a\r\nCookie: c\r\n\
              X-Forwarded-For: 1\r\nx-envoy-internal: true\r\nx-meshcore-id: 1\r\n\
              Connection: host, content-length, authorization, cookie, x-forwarded-for,\
              x-envoy-internal, x-meshcore-id\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: b\r\nAuthorization: a\r\nCookie: c\r\nX-Forwarded-For: 1\r\n\
              x-envoy-internal: true\r\nx-meshcore-id: 1\r\ncontent-length: 3\r\n\r\n",
        ),
        (
            "TE: trailers stays",
            b"POST / HTTP/1.1\r\nHost: b\r\nConnection: TE\r\nTE: gzip;q=1, Trailers\r\nA: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: b\r\nA: 1\r\ncontent-length: 0\r\nte: trailers\r\nconnection: te\r\n\r\n",
        ),
        (
            "length is made anew",
            b"PUT / HTTP/1.1\r\nHost: b\r\nContent-Length: 007\r\nA: 1\r\n\r\n",
            "PUT / HTTP/1.1\r\nhost: b\r\nA: 1\r\ncontent-length: 7\r\n\r\n",
        ),
        (
            "chunks are made anew, trailers stay announced",
            b"PUT / HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: CHUNKED\r\nTrailer: x\r\nA: 1\r\n\r\n",
            "PUT / HTTP/1.1\r\nhost: b\r\nTrailer: x\r\nA: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        ),
        (
            "Trailer without chunks goes",
            b"GET / HTTP/1.1\r\nHost: b\r\nTrailer: x\r\nA: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: b\r\nA: 1\r\n\r\n",
        ),
        (
            "CONNECT",
            b"CONNECT A:443 HTTP/1.1\r\nHost: a\r\n\r\n",
            "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n",
        ),
        ("asterisk", b"OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n", "OPTIONS * HTTP/1.1\r\nhost: b\r\n\r\n"),
        ("custom method", b"PURGE / HTTP/1.1\r\nHost: b\r\n\r\n", "PURGE / HTTP/1.1\r\nhost: b\r\n\r\n"),
];

#[test]
fn requests_lose_what_concerns_one_hop() {
    for (case, bytes, expected) in REQUESTS {
        assert_eq!(written(bytes, ConnectionDirective::KeepAlive), *expected, "{case}");
    }
}

#[test]
fn an_upgrade_is_passed_on_only_when_told() {
    let bytes =
        b"GET / HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nConnection: keep-alive, upgrade\r\n\
        Sec-WebSocket-Key: k\r\n\r\n";
    assert_eq!(
        written(bytes, ConnectionDirective::Upgrade),
        "GET / HTTP/1.1\r\nhost: b\r\nSec-WebSocket-Key: k\r\nconnection: upgrade\r\n\
         Upgrade: websocket\r\n\r\n"
    );
    assert_eq!(
        written(bytes, ConnectionDirective::Close),
        "GET / HTTP/1.1\r\nhost: b\r\nSec-WebSocket-Key: k\r\nconnection: close\r\n\r\n"
    );
    let answer =
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let (_, head) = response(answer, Method::Get);
    let mut out = Vec::new();
    let directive = ConnectionDirective::Upgrade;
    write_response(&head, BodyKind::None, Version::Http11, directive, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
}

#[test]
fn an_extended_connect_becomes_an_upgrade() {
    let mut head = RequestHead::new();
    head.set_method(b"CONNECT").unwrap();
    head.set_protocol(b"websocket").unwrap();
    head.set_target(b"/chat").unwrap();
    head.set_authority(b"a").unwrap();
    let mut out = Vec::new();
    write_request_with(&head, BodyKind::None, ConnectionDirective::Upgrade, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "GET /chat HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
    );
}

#[test]
fn edits_show_in_what_is_written() {
    let (_, mut head) = request(b"GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n");
    head.fields.remove_named(b"B");
    head.fields.set(b"a", b"longer").unwrap();
    head.fields.append(b"D", b" 4 ").unwrap();
    head.set_target(b"/new?q").unwrap();
    head.set_authority(b"B.Example:81").unwrap();
    let mut out = Vec::new();
    write_request(&head, BodyKind::None, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "GET /new?q HTTP/1.1\r\nhost: b.example:81\r\na: longer\r\nC: 3\r\nD: 4\r\n\r\n"
    );
}

fn answered(
    status: u16,
    fields: &[(&str, &str)],
    body: BodyKind,
    to: Version,
    connection: ConnectionDirective,
) -> String {
    let mut head = ResponseHead::new();
    head.set_status(status).unwrap();
    for (name, value) in fields {
        head.fields.append(name.as_bytes(), value.as_bytes()).unwrap();
    }
    let mut out = Vec::new();
    write_response(&head, body, to, connection, &mut out);
    String::from_utf8(out).unwrap()
}

/// Name, fields of the head, body, client, what follows the status line.
type Answer =
    (&'static str, &'static [(&'static str, &'static str)], BodyKind, Version, &'static str);

const ANSWERS: &[Answer] = {
    use BodyKind::{Chunked, Length, None as NoBody, UntilClose};
    use Version::{Http10, Http11};
    const DESCRIBED: &[(&str, &str)] = &[("Content-Length", "9")];
    const HOPS: &[(&str, &str)] =
        &[("Keep-Alive", "a"), ("Connection", "B"), ("B", "1"), ("Transfer-Encoding", "gzip")];
    &[
        ("length", &[], Length(3), Http11, "content-length: 3\r\n"),
        ("chunks", &[], Chunked, Http11, "transfer-encoding: chunked\r\n"),
        ("until close", &[], UntilClose, Http11, "transfer-encoding: chunked\r\n"),
        ("no chunks for HTTP/1.0", &[], Chunked, Http10, "connection: close\r\n"),
        ("HTTP/1.0", &[], Length(3), Http10, "content-length: 3\r\nconnection: keep-alive\r\n"),
        ("length of HEAD stays", DESCRIBED, NoBody, Http11, "content-length: 9\r\n"),
        ("length is not doubled", DESCRIBED, Length(3), Http11, "content-length: 3\r\n"),
        ("bad length goes", &[("content-length", "9, 9")], NoBody, Http11, ""),
        ("hop-by-hop fields go", HOPS, Length(0), Http11, "content-length: 0\r\n"),
    ]
};

#[test]
fn responses_are_framed_for_their_client() {
    use ConnectionDirective::{Close, KeepAlive};
    for (case, fields, body, to, expected) in ANSWERS {
        let out = answered(200, fields, *body, *to, KeepAlive);
        assert_eq!(out, format!("HTTP/1.1 200 OK\r\n{expected}\r\n"), "{case}");
    }
    let closed = answered(200, &[], BodyKind::Length(3), Version::Http11, Close);
    assert_eq!(closed, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\n");
    let described = &[("Content-Length", "9")];
    for body in [BodyKind::None, BodyKind::Length(0), BodyKind::Chunked] {
        let no_content = answered(204, described, body, Version::Http11, KeepAlive);
        assert_eq!(no_content, "HTTP/1.1 204 No Content\r\n\r\n", "{body:?}");
    }
    let unknown = answered(599, &[], BodyKind::Length(0), Version::Http11, KeepAlive);
    assert_eq!(unknown, "HTTP/1.1 599 \r\ncontent-length: 0\r\n\r\n");
}

#[test]
fn bodies_are_adapted_to_the_peer() {
    assert_eq!(body_for_peer(BodyKind::Chunked, Version::Http10), BodyKind::UntilClose);
    assert_eq!(body_for_peer(BodyKind::UntilClose, Version::Http11), BodyKind::Chunked);
    assert_eq!(body_for_peer(BodyKind::Length(1), Version::Http10), BodyKind::Length(1));
    assert_eq!(body_for_peer(BodyKind::UntilClose, Version::Http10), BodyKind::UntilClose);
}

#[test]
fn chunks_are_written_in_hexadecimal() {
    for (len, expected) in [
        (0, ""),
        (1, "1\r\n"),
        (10, "a\r\n"),
        (4096, "1000\r\n"),
        (usize::MAX, "ffffffffffffffff\r\n"),
    ] {
        let mut out = Vec::new();
        write_chunk_head(len, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
    let mut trailers = Fields::new();
    trailers.append(b"grpc-status", b"0").unwrap();
    trailers.append(b"Content-Length", b"5").unwrap();
    trailers.append(b"x-sum", b"1").unwrap();
    let mut out = Vec::new();
    write_last_chunk(Some(&trailers), &mut out);
    write_last_chunk(None, &mut out);
    assert_eq!(out, b"0\r\ngrpc-status: 0\r\nx-sum: 1\r\n\r\n0\r\n\r\n");
}
