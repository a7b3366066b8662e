//! Heads made for HTTP/2 from the table.

use ::h2::ext::Protocol;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TE};
use http::uri::{Authority, PathAndQuery, Scheme as UriScheme};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::fields::{FieldRef, Fields};
use crate::h1::{BodyKind, accepts_trailers, is_allowed_in_trailers, is_forwarded, parse_length};
use crate::head::{Method, RequestHead, ResponseHead, Scheme};
use crate::known::Known;
use crate::rejected::Rejected;

/// Makes the request for `h2`: fields of this hop left out, `content-length` from `body`.
///
/// # Errors
///
/// [`Rejected::BadTarget`], [`Rejected::BadAuthority`] or [`Rejected::BadMethod`] where the `http`
/// crate is narrower than HTTP/1 is here; [`Rejected::BadFieldName`] or
/// [`Rejected::BadFieldValue`] likewise.
pub fn request_to_h2(head: &RequestHead, body: BodyKind) -> Result<http::Request<()>, Rejected> {
    let mut request = http::Request::new(());
    *request.method_mut() =
        http::Method::from_bytes(head.method_bytes()).map_err(|_| Rejected::BadMethod)?;
    *request.uri_mut() = make_uri(head)?;
    *request.version_mut() = http::Version::HTTP_2;
    let map = request.headers_mut();
    copy_fields(&head.fields, |field| is_forwarded(&head.fields, field, true), map)?;
    if let BodyKind::Length(length) = body {
        map.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    if accepts_trailers(&head.fields) {
        map.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = head.protocol() {
        let name = std::str::from_utf8(protocol).map_err(|_| Rejected::BadPseudoField)?;
        request.extensions_mut().insert(Protocol::from(name));
    }
    Ok(request)
}

/// Makes the response for `h2`: fields of this hop left out, `content-length` from `body`.
///
/// With [`BodyKind::None`] the length that `head` describes stays, but not in a 1xx or 204.
///
/// # Errors
///
/// [`Rejected::BadStatusLine`] for 101, which HTTP/2 has not (answer an extended CONNECT with
/// 200); [`Rejected::BadFieldName`] or [`Rejected::BadFieldValue`] as above.
pub fn response_to_h2(head: &ResponseHead, body: BodyKind) -> Result<http::Response<()>, Rejected> {
    let status = head.status();
    if status == 101 {
        return Err(Rejected::BadStatusLine);
    }
    let mut response = http::Response::new(());
    *response.status_mut() =
        http::StatusCode::from_u16(status).map_err(|_| Rejected::BadStatusLine)?;
    *response.version_mut() = http::Version::HTTP_2;
    let map = response.headers_mut();
    copy_fields(&head.fields, |field| is_forwarded(&head.fields, field, true), map)?;
    let length = match body {
        BodyKind::Length(length) => Some(length),
        BodyKind::None if matches!(status, 100..=199 | 204) => None,
        BodyKind::None => head.fields.get(Known::ContentLength).and_then(parse_length),
        BodyKind::Chunked | BodyKind::UntilClose => None,
    };
    if let Some(length) = length {
        map.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(response)
}

/// Makes the trailers for `h2`; fields that cannot be trailers are left out.
///
/// # Errors
///
/// [`Rejected::BadFieldName`] or [`Rejected::BadFieldValue`] as above.
pub fn trailers_to_h2(trailers: &Fields) -> Result<HeaderMap, Rejected> {
    let mut map = HeaderMap::new();
    let allowed = |field: &FieldRef| is_allowed_in_trailers(field.known(), trailers.name(field));
    copy_fields(trailers, allowed, &mut map)?;
    Ok(map)
}

/// Adds the fields for which `keep` holds. All values share one allocation.
fn copy_fields(
    fields: &Fields,
    keep: impl Fn(&FieldRef) -> bool,
    map: &mut HeaderMap,
) -> Result<(), Rejected> {
    let shared = Bytes::copy_from_slice(fields.buffer());
    map.reserve(fields.len());
    for field in fields.refs().iter().filter(|field| keep(field)) {
        let name = match field.known().header_name() {
            Some(name) => name.clone(),
            None => {
                HeaderName::from_bytes(fields.name(field)).map_err(|_| Rejected::BadFieldName)?
            }
        };
        let value = HeaderValue::from_maybe_shared(shared.slice(field.value_range()))
            .map_err(|_| Rejected::BadFieldValue)?;
        map.append(name, value);
    }
    Ok(())
}

/// The pseudo-fields as the `http` crate wants them. Source: RFC 9113 §8.3.1, §8.5; RFC 8441 §4.
fn make_uri(head: &RequestHead) -> Result<http::Uri, Rejected> {
    let mut parts = http::uri::Parts::default();
    let authority = Authority::from_maybe_shared(Bytes::copy_from_slice(head.authority()))
        .map_err(|_| Rejected::BadAuthority)?;
    parts.authority = Some(authority);
    if head.method() != Method::Connect || head.protocol().is_some() {
        parts.scheme = Some(match head.scheme() {
            Scheme::Http => UriScheme::HTTP,
            Scheme::Https => UriScheme::HTTPS,
        });
        let target = PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(head.target()))
            .map_err(|_| Rejected::BadTarget)?;
        parts.path_and_query = Some(target);
    }
    http::Uri::from_parts(parts).map_err(|_| Rejected::BadTarget)
}
