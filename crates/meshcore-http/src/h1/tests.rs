//! Tables of requests, responses and written heads.

mod accepted;
mod refused;
mod responses;
mod written;

use super::*;
use crate::{Known, Method, Rejected, RequestHead, ResponseHead};

fn request(bytes: &[u8]) -> (Result<Option<ParsedRequest>, Rejected>, RequestHead) {
    let mut head = RequestHead::new();
    let parsed = parse_request(bytes, &mut head, &Limits::default());
    (parsed, head)
}

fn response(bytes: &[u8], to: Method) -> (Result<Option<ParsedResponse>, Rejected>, ResponseHead) {
    let mut head = ResponseHead::new();
    let parsed = parse_response(bytes, &mut head, &Limits::default(), to);
    (parsed, head)
}

#[test]
fn parsing_again_waits_for_a_line_end_or_the_limit() {
    let limits = Limits { head_bytes: 32, ..Limits::default() };
    assert!(is_worth_parsing(b"G", 0, &limits), "the first bytes");
    assert!(!is_worth_parsing(b"GET / HTTP/1.1\r", 3, &limits), "no line end came");
    assert!(is_worth_parsing(b"GET / HTTP/1.1\r\n", 15, &limits), "a line end came");
    assert!(is_worth_parsing(&[b'a'; 32], 31, &limits), "the limit is reached");
}

#[test]
fn a_cleared_head_remembers_nothing() {
    let mut head = RequestHead::new();
    let first = b"PURGE /a?b HTTP/1.0\r\nHost: h\r\nConnection: close\r\nA: 1\r\n\r\n";
    parse_request(first, &mut head, &Limits::default()).unwrap().unwrap();
    let second = b"GET / HTTP/1.1\r\nHost: i\r\n\r\n";
    parse_request(second, &mut head, &Limits::default()).unwrap().unwrap();
    assert_eq!((head.method_bytes(), head.target()), (&b"GET"[..], &b"/"[..]));
    assert_eq!((head.authority(), head.query()), (&b"i"[..], None));
    assert!(head.fields.is_empty() && !head.fields.known().contains(Known::Connection));
}
