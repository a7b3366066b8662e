//! Entry functions for fuzzers; they run as property tests too.
//!
//! Each panics when the code under it breaks a promise, and returns for any input that is
//! merely refused.

use crate::h1::{
    BodyDecoder, BodyKind, ConnectionDirective, Decoded, Limits, parse_request, parse_response,
    write_chunk_head, write_last_chunk, write_request, write_response,
};
use crate::{Fields, Method, RequestHead, ResponseHead, Version};

/// Parses `data` as a request; what is accepted must come back unchanged from what is written.
///
/// # Panics
///
/// When a written request is refused or read differently.
pub fn fuzz_request(data: &[u8]) {
    let limits = Limits::default();
    let mut head = RequestHead::new();
    let Ok(Some(parsed)) = parse_request(data, &mut head, &limits) else { return };
    assert!(parsed.consumed <= data.len(), "read past the end");
    if head.version() == Version::Http10 && head.authority().is_empty() {
        return; // has no form in HTTP/1.1
    }
    let (mut wire, mut again) = (Vec::new(), RequestHead::new());
    write_request(&head, parsed.body, &mut wire);
    let reparsed = match parse_request(&wire, &mut again, &unlimited()) {
        Ok(Some(reparsed)) => reparsed,
        other => unreachable!("own request is not accepted: {other:?}"),
    };
    assert_eq!(reparsed.consumed, wire.len(), "own request has something after its head");
    assert_eq!(again.method_bytes(), head.method_bytes());
    assert_eq!(again.target(), head.target());
    assert_eq!(again.authority(), head.authority());
    assert!(reparsed.body == parsed.body || reparsed.body == BodyKind::Length(0));
    let (mut twice, mut third) = (Vec::new(), RequestHead::new());
    write_request(&again, reparsed.body, &mut twice);
    let third_parse = parse_request(&twice, &mut third, &unlimited());
    assert_eq!(third_parse, Ok(Some(reparsed)), "writing is not stable");
    assert_eq!(third.fields, again.fields, "writing is not stable");
}

/// Parses `data` as a response to each kind of request; what is accepted must be stable too.
///
/// # Panics
///
/// When a written response is refused or read differently.
pub fn fuzz_response(data: &[u8]) {
    for method in [Method::Get, Method::Head, Method::Connect] {
        let mut head = ResponseHead::new();
        let Ok(Some(parsed)) = parse_response(data, &mut head, &Limits::default(), method) else {
            continue;
        };
        assert!(parsed.consumed <= data.len(), "read past the end");
        let (mut wire, mut again) = (Vec::new(), ResponseHead::new());
        let directive = ConnectionDirective::KeepAlive;
        write_response(&head, parsed.body, Version::Http11, directive, &mut wire);
        let reparsed = match parse_response(&wire, &mut again, &unlimited(), method) {
            Ok(Some(reparsed)) => reparsed,
            other => unreachable!("own response is not accepted: {other:?}"),
        };
        assert_eq!(reparsed.consumed, wire.len(), "own response has something after its head");
        assert_eq!(again.status(), head.status());
        assert!(reparsed.body == parsed.body || parsed.body == BodyKind::UntilClose);
    }
}

/// Decodes `data` as a chunked body, whole and byte by byte; both must agree, and what was
/// decoded must survive being written again.
///
/// # Panics
///
/// When they differ, or when the decoder claims bytes that are not there.
pub fn fuzz_chunks(data: &[u8]) {
    let whole = drain_body(data, data.len().max(1));
    let bytewise = drain_body(data, 1);
    assert_eq!(whole, bytewise, "a split of the input changes the result");
    let Some((content, trailers, _)) = whole else { return };
    let mut wire = Vec::new();
    write_chunk_head(content.len(), &mut wire);
    if !content.is_empty() {
        wire.extend_from_slice(&content);
        wire.extend_from_slice(b"\r\n");
    }
    write_last_chunk(Some(&trailers), &mut wire);
    let all = wire.len();
    assert_eq!(drain_body(&wire, all), Some((content, trailers, all)), "writing is not stable");
}

/// Content, trailers and consumed bytes of a chunked body read `step` bytes at a time; none when
/// it is refused or does not end.
fn drain_body(data: &[u8], step: usize) -> Option<(Vec<u8>, Fields, usize)> {
    let mut decoder = BodyDecoder::new(BodyKind::Chunked, &unlimited());
    let (mut content, mut at, mut shown) = (Vec::new(), 0_usize, 0_usize);
    loop {
        match decoder.decode(data.get(at..shown)?).ok()? {
            Decoded::Data { skip, len } => {
                assert!(len != 0, "no content is not content");
                let start = at.saturating_add(skip);
                at = start.saturating_add(len);
                assert!(at <= shown, "read past the end");
                content.extend_from_slice(data.get(start..at)?);
            }
            Decoded::NeedMore { skip } => {
                at = at.saturating_add(skip);
                assert!(at <= shown, "read past the end");
                if shown == data.len() {
                    return None;
                }
                shown = shown.saturating_add(step).min(data.len());
            }
            Decoded::Done { skip } => {
                let end = at.saturating_add(skip);
                assert!(end <= shown && decoder.is_done(), "read past the end");
                return Some((content, decoder.trailers().clone(), end));
            }
        }
    }
}

/// Limits for what we wrote ourselves: normal form may be a little longer than what came.
fn unlimited() -> Limits {
    Limits { head_bytes: 1 << 20, fields: 200, trailer_bytes: 1 << 20, ..Limits::default() }
}
