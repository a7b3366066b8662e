//! Heads that go between HTTP/1 and HTTP/2, and connections over [`DeferredIo`].

mod connections;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::h1::{BodyKind, Limits, parse_request, write_request};
use crate::{Fields, Known, Method, Rejected, RequestHead, ResponseHead, Scheme, Version};
use ::h2::ext::Protocol;
use Rejected as R;

fn parts(method: &str, uri: &str, fields: &[(&str, &str)]) -> http::request::Parts {
    let mut request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
    for (name, value) in fields {
        request.headers_mut().append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    request.into_parts().0
}

fn read(parts: &http::request::Parts) -> Result<RequestHead, Rejected> {
    let mut head = RequestHead::new();
    head_from_h2(parts, &mut head, &Limits::default()).map(|()| head)
}

#[test]
fn a_request_is_read_into_the_same_form() {
    let uri = "https://Reviews.Example:9080/a?b";
    let fields = [
        ("host", "reviews.example:9080"),
        ("cookie", "a=1"),
        ("x-one", "1"),
        ("cookie", "b=2"),
        ("te", "trailers"),
        ("content-length", "5"),
    ];
    let head = read(&parts("POST", uri, &fields)).unwrap();
    assert_eq!((head.method(), head.version()), (Method::Post, Version::Http2));
    assert_eq!((head.scheme(), head.target()), (Scheme::Https, &b"/a?b"[..]));
    assert_eq!(head.authority(), b"reviews.example:9080");
    assert_eq!(head.fields.get(Known::Cookie), Some(&b"a=1; b=2"[..]));
    assert_eq!((head.fields.count(Known::Cookie), head.fields.count(Known::Host)), (1, 0));
    assert_eq!(body_from_h2(&head.fields, false), BodyKind::Length(5));
    assert_eq!(body_from_h2(&head.fields, true), BodyKind::None);
    assert_eq!(body_from_h2(&Fields::new(), false), BodyKind::Chunked);
    let mut wire = Vec::new();
    write_request(&head, BodyKind::Length(5), &mut wire);
    let mut again = RequestHead::new();
    let parsed = parse_request(&wire, &mut again, &Limits::default()).unwrap().unwrap();
    assert_eq!((parsed.consumed, parsed.body), (wire.len(), BodyKind::Length(5)));
    assert_eq!(again.authority(), head.authority());
}

#[test]
fn an_empty_cookie_leaves_no_blank_at_the_end() {
    for (crumbs, joined) in
        [(&["a=1", ""][..], &b"a=1"[..]), (&["", "a=1", "", "b=2"], b"a=1; b=2"), (&["", ""], b"")]
    {
        let fields: Vec<_> = crumbs.iter().map(|crumb| ("cookie", *crumb)).collect();
        let head = read(&parts("GET", "http://a/", &fields)).unwrap();
        assert_eq!(head.fields.get(Known::Cookie), Some(joined), "{crumbs:?}");
        let (parts, ()) = request_to_h2(&head, BodyKind::None).unwrap().into_parts();
        assert!(read(&parts).is_ok(), "the next hop refuses {crumbs:?}");
    }
}

/// Name, reason, method, URI, fields.
type Downgrade =
    (&'static str, Rejected, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const REFUSED: &[Downgrade] = &[
    (
        "transfer-encoding",
        R::ConnectionField,
        "POST",
        "http://a/",
        &[("transfer-encoding", "chunked")],
    ),
    ("connection", R::ConnectionField, "GET", "http://a/", &[("connection", "close")]),
    ("keep-alive", R::ConnectionField, "GET", "http://a/", &[("keep-alive", "a")]),
    ("proxy-connection", R::ConnectionField, "GET", "http://a/", &[("proxy-connection", "a")]),
    ("upgrade", R::ConnectionField, "GET", "http://a/", &[("upgrade", "a")]),
    ("http2-settings", R::ConnectionField, "GET", "http://a/", &[("http2-settings", "a")]),
    ("te: gzip", R::ConnectionField, "GET", "http://a/", &[("te", "gzip")]),
    ("te: trailers, gzip", R::ConnectionField, "GET", "http://a/", &[("te", "trailers, gzip")]),
    ("blank before value", R::BadFieldValue, "GET", "http://a/", &[("x", " a")]),
    ("tab after value", R::BadFieldValue, "GET", "http://a/", &[("x", "a\t")]),
    (
        "two lengths",
        R::DuplicateContentLength,
        "POST",
        "http://a/",
        &[("content-length", "1"), ("content-length", "1")],
    ),
    ("list of lengths", R::BadContentLength, "POST", "http://a/", &[("content-length", "1,1")]),
    ("signed length", R::BadContentLength, "POST", "http://a/", &[("content-length", "+1")]),
    ("another host", R::AuthorityMismatch, "GET", "http://a/", &[("host", "b")]),
    ("another port", R::AuthorityMismatch, "GET", "http://a:81/", &[("host", "a")]),
    ("two hosts", R::DuplicateHost, "GET", "http://a/", &[("host", "a"), ("host", "a")]),
    ("bad host", R::BadAuthority, "GET", "http://a/", &[("host", "a,b")]),
    ("user", R::UserInfo, "GET", "http://u@a/", &[]),
    ("percent-encoded host", R::BadAuthority, "GET", "http://a!b/", &[]),
    ("no authority", R::BadPseudoField, "GET", "/", &[]),
    ("other scheme", R::BadPseudoField, "GET", "ftp://a/", &[]),
    ("CONNECT without port", R::BadAuthority, "CONNECT", "a", &[]),
    ("CONNECT with body", R::BodyOnConnect, "CONNECT", "a:1", &[("content-length", "5")]),
    ("alias", R::AliasedName, "GET", "http://a/", &[("content_length", "5")]),
    ("alias of identity", R::AliasedName, "GET", "http://a/", &[("x_forwarded_for", "5")]),
    ("expectation", R::UnknownExpectation, "POST", "http://a/", &[("expect", "a")]),
];

#[test]
fn what_http1_could_not_say_is_refused() {
    for (case, reason, method, uri, fields) in REFUSED {
        assert_eq!(read(&parts(method, uri, fields)).map(|_| ()), Err(*reason), "{case}");
    }
    let mut asterisk = parts("GET", "http://a/", &[]);
    let uri = http::Uri::builder().scheme("http").authority("a").path_and_query("*");
    asterisk.uri = uri.build().unwrap();
    assert_eq!(read(&asterisk).map(|_| ()), Err(R::BadTarget));
}

#[test]
fn a_host_field_may_stand_in_for_the_authority() {
    let mut parts = parts("GET", "http://a/", &[("host", "B.example")]);
    let mut uri = http::uri::Parts::default();
    uri.path_and_query = Some("/x".parse().unwrap());
    parts.uri = http::Uri::from_parts(uri).unwrap();
    assert_eq!(read(&parts).map(|_| ()), Err(Rejected::BadPseudoField), "no scheme");
    let head = read(&super::tests::parts("GET", "http://a:80/", &[("host", "A")])).unwrap();
    assert_eq!(head.authority(), b"a:80", "default port makes no difference");
}

#[test]
fn limits_hold_on_decoded_size() {
    let limits = Limits { head_bytes: 100, fields: 2, target_bytes: 5, ..Limits::default() };
    let read = |parts: http::request::Parts| head_from_h2(&parts, &mut RequestHead::new(), &limits);
    assert_eq!(read(parts("GET", "http://a/1234", &[("a", "1"), ("b", "2")])), Ok(()));
    assert_eq!(read(parts("GET", "http://a/12345", &[])), Err(Rejected::TargetTooLong));
    let three = [("a", "1"), ("b", "2"), ("c", "3")];
    assert_eq!(read(parts("GET", "http://a/", &three)), Err(Rejected::TooManyFields));
    let large = "x".repeat(96);
    assert_eq!(read(parts("GET", "http://a/", &[("a", &large)])), Err(Rejected::HeadTooLarge));
    let crumbs = [("cookie", "a=b"); 9];
    assert_eq!(read(parts("GET", "http://a/", &crumbs[..7])), Ok(()), "crumbs are one field");
    assert_eq!(read(parts("GET", "http://a/", &crumbs)), Err(Rejected::HeadTooLarge));
}

#[test]
fn connect_comes_in_two_kinds() {
    let head = read(&parts("CONNECT", "a:443", &[])).unwrap();
    assert_eq!((head.target(), head.authority()), (&b""[..], &b"a:443"[..]));
    let mut extended = parts("CONNECT", "https://a/chat", &[]);
    extended.extensions.insert(Protocol::from_static("websocket"));
    let head = read(&extended).unwrap();
    assert_eq!((head.target(), head.protocol()), (&b"/chat"[..], Some(&b"websocket"[..])));
    let mut wrong = parts("GET", "https://a/chat", &[]);
    wrong.extensions.insert(Protocol::from_static("websocket"));
    assert_eq!(read(&wrong).map(|_| ()), Err(Rejected::BadPseudoField));
    let request = request_to_h2(&head, BodyKind::None).unwrap();
    assert_eq!(request.uri(), "https://a/chat");
    assert_eq!(request.extensions().get::<Protocol>().unwrap().as_str(), "websocket");
}

#[test]
fn an_http1_request_becomes_http2() {
    let bytes = b"POST /a?{b} HTTP/1.1\r\nHost: A:9080\r\nConnection: close, x-hop\r\nX-Hop: 1\r\n\
        Content-Length: 5\r\nTE: trailers, gzip\r\nX-Request-Id: 7\r\nX-One: 1\r\nx-one: 2\r\n\r\n";
    let mut head = RequestHead::new();
    let parsed = parse_request(bytes, &mut head, &Limits::default()).unwrap().unwrap();
    let request = request_to_h2(&head, parsed.body).unwrap();
    assert_eq!(
        (request.method().as_str(), request.uri()),
        ("POST", &"http://a:9080/a?{b}".parse().unwrap())
    );
    let mut fields: Vec<(&str, &[u8])> =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            ("content-length", &b"5"[..]),
            ("te", b"trailers"),
            ("x-one", b"1"),
            ("x-one", b"2"),
            ("x-request-id", b"7"),
        ]
    );
    let tunnel = b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n";
    parse_request(tunnel, &mut head, &Limits::default()).unwrap().unwrap();
    let request = request_to_h2(&head, BodyKind::None).unwrap();
    assert_eq!((request.uri().scheme(), request.uri().to_string().as_str()), (None, "a:443"));
}

#[test]
fn responses_go_both_ways() {
    let mut head = ResponseHead::new();
    head.set_status(404).unwrap();
    for (name, value) in [("Connection", "close"), ("Server", "a"), ("Content-Length", "9")] {
        head.fields.append(name.as_bytes(), value.as_bytes()).unwrap();
    }
    let to_length = |body| {
        let response = response_to_h2(&head, body).unwrap();
        assert!(!response.headers().contains_key("connection"));
        response.headers().get("content-length").map(|v| v.to_str().unwrap().to_owned())
    };
    assert_eq!(to_length(BodyKind::Length(3)), Some("3".to_owned()));
    assert_eq!(to_length(BodyKind::None), Some("9".to_owned()), "the answer to HEAD");
    assert_eq!(to_length(BodyKind::Chunked), None);
    let parts = response_to_h2(&head, BodyKind::Length(3)).unwrap().into_parts().0;
    let mut again = ResponseHead::new();
    response_head_from_h2(&parts, &mut again, &Limits::default()).unwrap();
    assert_eq!((again.status(), again.reason()), (404, &b"Not Found"[..]));
    assert_eq!(again.fields.get(Known::Server), Some(&b"a"[..]));
    head.set_status(101).unwrap();
    assert!(matches!(response_to_h2(&head, BodyKind::None), Err(Rejected::BadStatusLine)));
    for (name, value, reason) in [
        ("transfer-encoding", "chunked", Rejected::ConnectionField),
        ("content-length", "x", Rejected::BadContentLength),
    ] {
        let response = http::Response::builder().header(name, value).body(()).unwrap();
        let parts = response.into_parts().0;
        let read = response_head_from_h2(&parts, &mut again, &Limits::default());
        assert_eq!(read, Err(reason));
    }
}

#[test]
fn trailers_go_both_ways() {
    let mut map = HeaderMap::new();
    for (name, value) in
        [("grpc-status", "0"), ("host", "a"), ("content-length", "5"), ("x-sum", "1")]
    {
        map.insert(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_static(value),
        );
    }
    let mut trailers = Fields::new();
    trailers_from_h2(&map, &mut trailers, &Limits::default()).unwrap();
    assert_eq!((trailers.len(), trailers.get(Known::GrpcStatus)), (2, Some(&b"0"[..])));
    assert_eq!(trailers_to_h2(&trailers).unwrap().len(), 2);
    trailers.append(b"content-length", b"5").unwrap();
    assert_eq!(trailers_to_h2(&trailers).unwrap().len(), 2);
    map.insert("connection", HeaderValue::from_static("close"));
    let read = trailers_from_h2(&map, &mut trailers, &Limits::default());
    assert_eq!(read, Err(Rejected::ConnectionField));
}
