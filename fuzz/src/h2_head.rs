//! Heads that came by HTTP/2, as text: a line for each part, then `name: value`.
//!
//! A request is `METHOD`, `scheme`, `authority`, `path`; a response is its status. An empty line
//! leaves a part out.

use http::{HeaderName, HeaderValue, Method as HttpMethod, Request, Response, StatusCode, Uri};
use meshcore_http::h1::{BodyKind, ConnectionDirective, Limits, write_request, write_response};
use meshcore_http::h2::{
    body_from_h2, head_from_h2, request_to_h2, response_head_from_h2, trailers_from_h2,
};
use meshcore_http::{Fields, RequestHead, ResponseHead, Version};

use crate::request::is_read_alike;
use crate::strict;

/// What is accepted can be said in HTTP/1, where a second reader finds the same, and in HTTP/2
/// again.
pub(crate) fn run(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    if let Ok(status) = StatusCode::from_bytes(first) {
        response(status, lines);
    } else {
        request(first, lines);
    }
}

fn request<'a>(method: &[u8], mut lines: impl Iterator<Item = &'a [u8]>) {
    let Ok(method) = HttpMethod::from_bytes(method) else { return };
    let mut part = || lines.next().filter(|text| !text.is_empty());
    let mut parts = http::uri::Parts::default();
    parts.scheme = part().and_then(|text| text.try_into().ok());
    parts.authority = part().and_then(|text| text.try_into().ok());
    parts.path_and_query = part().and_then(|text| text.try_into().ok());
    let Ok(uri) = Uri::from_parts(parts) else { return };
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    add_fields(request.headers_mut(), lines);
    let (parts, ()) = request.into_parts();
    let mut trailers = Fields::new();
    let _refused = trailers_from_h2(&parts.headers, &mut trailers, &Limits::default());
    let mut head = RequestHead::new();
    if head_from_h2(&parts, &mut head, &Limits::default()).is_err() {
        return;
    }
    for end_stream in [true, false] {
        let body = body_from_h2(&head.fields, end_stream);
        let mut wire = Vec::new();
        write_request(&head, body, &mut wire);
        is_read_alike(&wire, &head, body);
    }
    comes_back(&head);
}

fn comes_back(head: &RequestHead) {
    let body = body_from_h2(&head.fields, false);
    let request = request_to_h2(head, body).expect("came by HTTP/2");
    let (parts, ()) = request.into_parts();
    let mut again = RequestHead::new();
    let read = head_from_h2(&parts, &mut again, &Limits::default());
    assert_eq!(read, Ok(()), "own request is not accepted: {parts:?}");
    assert_eq!(again.method_bytes(), head.method_bytes());
    assert_eq!(again.target(), head.target());
    assert_eq!(again.authority(), head.authority());
    assert_eq!(again.scheme(), head.scheme());
    let sorted = |fields: &Fields| {
        let all = fields.iter().map(|(name, value, _)| (name.to_vec(), value.to_vec()));
        let mut all: Vec<_> = all.filter(|(name, _)| name != b"content-length").collect();
        all.sort();
        all
    };
    assert_eq!(sorted(&again.fields), sorted(&head.fields));
    assert_eq!(body_from_h2(&again.fields, false), body, "a length in another spelling");
}

fn response<'a>(status: StatusCode, lines: impl Iterator<Item = &'a [u8]>) {
    let mut response = Response::new(());
    *response.status_mut() = status;
    add_fields(response.headers_mut(), lines);
    let (parts, ()) = response.into_parts();
    let mut head = ResponseHead::new();
    if response_head_from_h2(&parts, &mut head, &Limits::default()).is_err() {
        return;
    }
    let mut wire = Vec::new();
    let directive = ConnectionDirective::KeepAlive;
    write_response(&head, BodyKind::Chunked, Version::Http11, directive, &mut wire);
    let has_body = !status.is_informational() && !matches!(status.as_u16(), 204 | 304);
    if has_body {
        wire.extend_from_slice(b"1\r\nx\r\n0\r\n\r\n");
    }
    let (message, rest) = strict::response(&wire, false).expect("an own response is read alike");
    assert_eq!(rest, b"", "more than one response: {}", wire.escape_ascii());
    assert_eq!(message.body, if has_body { &b"x"[..] } else { b"" });
}

fn add_fields<'a>(map: &mut http::HeaderMap, lines: impl Iterator<Item = &'a [u8]>) {
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.get(2..).unwrap_or_default();
        let name = HeaderName::from_lowercase(name);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
}
