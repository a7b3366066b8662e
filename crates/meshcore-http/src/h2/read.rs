//! Heads that came by HTTP/2, checked as strictly as if they had come by HTTP/1.

use ::h2::ext::Protocol;
use http::HeaderMap;

use crate::authority::Authority;
use crate::fields::Fields;
use crate::h1::{BodyKind, CONNECTION_SPECIFIC, Limits, is_allowed_in_trailers, parse_length};
use crate::head::{Method, RequestHead, ResponseHead, Scheme, Version};
use crate::known::Known;
use crate::rejected::Rejected;
use crate::scan;

/// Checks a request that came by HTTP/2 and puts it into `head`, which is cleared first.
///
/// What is accepted can be written as HTTP/1 without changing its meaning: no field of a
/// connection, `te` only as `trailers`, one sane `content-length`, one authority, cookies in one
/// field. Source: RFC 9113 §8.2, §8.3, §10.3.
///
/// # Errors
///
/// [`Rejected`]; `head` is unspecified then. Reset the stream with `PROTOCOL_ERROR`, or answer
/// 414 or 431 where [`Rejected::status`] says so.
pub fn head_from_h2(
    parts: &http::request::Parts,
    head: &mut RequestHead,
    limits: &Limits,
) -> Result<(), Rejected> {
    head.clear();
    head.set_version(Version::Http2);
    head.set_method(parts.method.as_str().as_bytes())?;
    if let Some(protocol) = parts.extensions.get::<Protocol>() {
        head.set_protocol(protocol.as_str().as_bytes())?;
    }
    let tunnels = head.method() == Method::Connect && head.protocol().is_none();
    if head.protocol().is_some() && head.method() != Method::Connect {
        return Err(Rejected::BadPseudoField);
    }
    if !tunnels {
        read_target(&parts.uri, head, limits)?;
    }
    let noted = read_fields(&parts.headers, &mut head.fields, limits, true)?;
    settle_authority(head, parts.uri.authority().map(|text| text.as_str().as_bytes()), noted.host)?;
    if tunnels {
        if !matches!(noted.length, None | Some(0)) {
            return Err(Rejected::BodyOnConnect);
        }
        if head.port().is_none_or(|port| port == 0) {
            return Err(Rejected::BadAuthority);
        }
    }
    match head.fields.get(Known::Expect) {
        Some(value) if !value.eq_ignore_ascii_case(b"100-continue") => {
            Err(Rejected::UnknownExpectation)
        }
        Some(_) | None => Ok(()),
    }
}

/// How the body of a checked HTTP/2 message ends: not at all when the stream has ended with the
/// head, after its length when it names one, else with the stream, which HTTP/1 must write in
/// chunks.
pub fn body_from_h2(fields: &Fields, end_stream: bool) -> BodyKind {
    if end_stream {
        return BodyKind::None;
    }
    match fields.get(Known::ContentLength).and_then(parse_length) {
        Some(length) => BodyKind::Length(length),
        None => BodyKind::Chunked,
    }
}

/// Checks a response that came by HTTP/2 and puts it into `head`, which is cleared first.
///
/// # Errors
///
/// [`Rejected`]; `head` is unspecified then. Reset the stream and answer the client with
/// [`Rejected::UPSTREAM_STATUS`].
pub fn response_head_from_h2(
    parts: &http::response::Parts,
    head: &mut ResponseHead,
    limits: &Limits,
) -> Result<(), Rejected> {
    head.clear();
    head.set_version(Version::Http2);
    if parts.status.as_u16() == 101 {
        return Err(Rejected::BadStatusLine); // Source: RFC 9113 §8.6
    }
    head.set_status(parts.status.as_u16())?;
    read_fields(&parts.headers, &mut head.fields, limits, false).map(|_| ())
}

/// Checks trailers that came by HTTP/2 and puts those that may be trailers into `trailers`,
/// which is cleared first.
///
/// # Errors
///
/// [`Rejected`] about a name, a value, a limit, or a field of a connection.
pub fn trailers_from_h2(
    map: &HeaderMap,
    trailers: &mut Fields,
    limits: &Limits,
) -> Result<(), Rejected> {
    trailers.clear();
    let mut budget = Budget { bytes: limits.trailer_bytes, fields: limits.trailer_fields };
    for (name, value) in map {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        let known = check_field(name, value)?;
        budget.spend(name, value).map_err(|_| Rejected::TrailersTooLarge)?;
        if is_allowed_in_trailers(known, name) && !trailers.push_checked(name, value, known) {
            return Err(Rejected::TrailersTooLarge);
        }
    }
    Ok(())
}

/// What the fields say besides standing in the table.
struct Noted<'a> {
    host: Option<&'a [u8]>,
    length: Option<u64>,
}

/// What is left of the limits.
struct Budget {
    bytes: usize,
    fields: usize,
}

impl Budget {
    fn spend(&mut self, name: &[u8], value: &[u8]) -> Result<(), Rejected> {
        let line_len = name.len().saturating_add(value.len()).saturating_add(4);
        self.bytes = self.bytes.checked_sub(line_len).ok_or(Rejected::HeadTooLarge)?;
        self.fields = self.fields.checked_sub(1).ok_or(Rejected::TooManyFields)?;
        Ok(())
    }
}

/// Checks all fields and copies them; `host` is left out of a request's table.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other fields are copied")]
fn read_fields<'a>(
    map: &'a HeaderMap,
    fields: &mut Fields,
    limits: &Limits,
    is_request: bool,
) -> Result<Noted<'a>, Rejected> {
    let mut noted = Noted { host: None, length: None };
    let mut budget = Budget { bytes: limits.head_bytes, fields: limits.fields };
    let mut crumbs_seen = false;
    for (name, value) in map {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        let known = check_field(name, value)?;
        budget.spend(name, value)?;
        let kept = match known {
            Known::Host if is_request => {
                if noted.host.replace(value).is_some() {
                    return Err(Rejected::DuplicateHost);
                }
                true
            }
            Known::Cookie if is_request => {
                // A crumb costs its bytes, not a field: browsers send one for each cookie.
                budget.fields = budget.fields.saturating_add(usize::from(crumbs_seen));
                let joined = crumbs_seen || fields.push_checked(name, &join_crumbs(map), known);
                crumbs_seen = true;
                joined
            }
            Known::ContentLength => {
                let length = parse_length(value).ok_or(Rejected::BadContentLength)?;
                if noted.length.replace(length).is_some() {
                    return Err(Rejected::DuplicateContentLength);
                }
                fields.push_checked(name, value, known)
            }
            _ => fields.push_checked(name, value, known),
        };
        if !kept {
            return Err(Rejected::HeadTooLarge);
        }
    }
    Ok(noted)
}

/// What must hold for each field of HTTP/2. Source: RFC 9113 §8.2.1, §8.2.2.
fn check_field(name: &[u8], value: &[u8]) -> Result<Known, Rejected> {
    let known = Known::find(name);
    if CONNECTION_SPECIFIC.contains(known) {
        return Err(Rejected::ConnectionField);
    }
    if known == Known::Te && !value.eq_ignore_ascii_case(b"trailers") {
        return Err(Rejected::ConnectionField);
    }
    if known == Known::Other {
        if !scan::is_token(name) {
            return Err(Rejected::BadFieldName);
        }
        crate::h1::refuse_alias(name)?;
    }
    if !scan::is_value(value) || scan::trim(value).len() != value.len() {
        return Err(Rejected::BadFieldValue);
    }
    Ok(known)
}

/// All cookies as one value, which must not end in a blank. Source: RFC 9113 §8.2.1, §8.2.3.
fn join_crumbs(map: &HeaderMap) -> Vec<u8> {
    let mut joined = Vec::new();
    for crumb in map.get_all(http::header::COOKIE).iter().filter(|crumb| !crumb.is_empty()) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(crumb.as_bytes());
    }
    joined
}

/// Scheme and path. Source: RFC 9113 §8.3.1.
fn read_target(uri: &http::Uri, head: &mut RequestHead, limits: &Limits) -> Result<(), Rejected> {
    let scheme = match uri.scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        Some(_) | None => return Err(Rejected::BadPseudoField),
    };
    head.set_scheme(scheme);
    let target = uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str).as_bytes();
    if target.len() > limits.target_bytes {
        return Err(Rejected::TargetTooLong);
    }
    if target == b"*" && head.method() != Method::Options {
        return Err(Rejected::BadTarget);
    }
    head.set_target(target)
}

/// `:authority` and `host` must agree where both are there. Source: RFC 9113 §8.3.1.
fn settle_authority(
    head: &mut RequestHead,
    pseudo: Option<&[u8]>,
    host: Option<&[u8]>,
) -> Result<(), Rejected> {
    let chosen = pseudo.or(host).ok_or(Rejected::MissingHost)?;
    let authority = Authority::parse(chosen)?;
    if let (Some(_), Some(host)) = (pseudo, host) {
        let tunnels = head.method() == Method::Connect && head.protocol().is_none();
        let default_port = match authority.port {
            Some(port) if tunnels => port,
            Some(_) | None => head.scheme().default_port(),
        };
        if !authority.names_same(&Authority::parse(host)?, default_port) {
            return Err(Rejected::AuthorityMismatch);
        }
    }
    head.set_checked_authority(chosen, &authority);
    Ok(())
}
