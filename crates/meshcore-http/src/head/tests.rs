use super::*;

#[test]
fn methods_are_case_sensitive_and_classed() {
    for (name, method, safe, idempotent) in [
        ("GET", Method::Get, true, true),
        ("HEAD", Method::Head, true, true),
        ("OPTIONS", Method::Options, true, true),
        ("TRACE", Method::Trace, true, true),
        ("PUT", Method::Put, false, true),
        ("DELETE", Method::Delete, false, true),
        ("POST", Method::Post, false, false),
        ("PATCH", Method::Patch, false, false),
        ("CONNECT", Method::Connect, false, false),
        ("get", Method::Other, false, false),
        ("PROPFIND", Method::Other, false, false),
    ] {
        let found = Method::find(name.as_bytes());
        assert_eq!((found, found.is_safe(), found.is_idempotent()), (method, safe, idempotent));
        let mut head = RequestHead::new();
        head.set_method(name.as_bytes()).unwrap();
        assert_eq!(head.method_bytes(), name.as_bytes());
    }
}

#[test]
fn edits_are_checked_and_refused_ones_change_nothing() {
    let mut head = RequestHead::new();
    head.set_target(b"/a?b?c").unwrap();
    head.set_authority(b"Reviews.Example:80").unwrap();
    for target in [&b""[..], b"a", b"/a b", b"/a#b", b"/\xff", b"/\r\n", b"**", b"http://a/"] {
        assert_eq!(head.set_target(target), Err(Rejected::BadTarget));
    }
    assert_eq!(head.set_authority(b"u@a"), Err(Rejected::UserInfo));
    assert_eq!(head.set_authority(b"a b"), Err(Rejected::BadAuthority));
    assert_eq!(head.set_method(b"GET "), Err(Rejected::BadMethod));
    assert_eq!(head.set_method(&[b'A'; 33]), Err(Rejected::BadMethod));
    assert_eq!(head.set_protocol(b"a b"), Err(Rejected::BadPseudoField));
    assert_eq!((head.path(), head.query()), (&b"/a"[..], Some(&b"b?c"[..])));
    assert_eq!((head.host(), head.port()), (&b"reviews.example"[..], Some(80)));
    assert_eq!((head.method(), head.protocol()), (Method::Get, None));
}

#[test]
fn a_target_comes_apart_at_its_first_question_mark() {
    let mut head = RequestHead::new();
    for (target, path, query) in [
        ("/", "/", None),
        ("/?", "/", Some("")),
        ("/a?b", "/a", Some("b")),
        ("/a/?b/?c", "/a/", Some("b/?c")),
        ("*", "*", None),
    ] {
        head.set_target(target.as_bytes()).unwrap();
        assert_eq!(head.path(), path.as_bytes(), "{target}");
        assert_eq!(head.query(), query.map(str::as_bytes), "{target}");
    }
}

#[test]
fn the_host_is_without_port_and_final_dot() {
    let mut head = RequestHead::new();
    for (authority, host, port) in [
        ("a.example.", "a.example", None),
        ("a.example.:8080", "a.example", Some(8080)),
        ("[::1]:80", "[::1]", Some(80)),
    ] {
        head.set_authority(authority.as_bytes()).unwrap();
        assert_eq!((head.host(), head.port()), (host.as_bytes(), port), "{authority}");
    }
    head.clear();
    assert_eq!((head.host(), head.port()), (&b""[..], None));
}

#[test]
fn a_status_has_three_digits_and_its_own_reason() {
    let mut head = ResponseHead::new();
    head.set_checked_reason(b"Fine");
    assert_eq!(head.reason(), b"Fine");
    for status in [0, 99, 1000, u16::MAX] {
        assert_eq!(head.set_status(status), Err(Rejected::BadStatusLine));
    }
    assert_eq!((head.status(), head.reason()), (200, &b"Fine"[..]));
    head.set_status(404).unwrap();
    assert_eq!(head.reason(), b"Not Found");
    head.set_status(777).unwrap();
    assert_eq!(head.reason(), b"");
}
