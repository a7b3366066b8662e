//! Response heads. Source: RFC 9112 §4, §6.3.

use super::fieldline::{line_end, parse_section};
use super::framing::Framing;
use super::{BodyKind, Limits};
use crate::head::{Method, ResponseHead, Version};
use crate::rejected::Rejected;
use crate::scan;

/// What a whole response head says besides its fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParsedResponse {
    /// Bytes of the head; the body starts there.
    pub consumed: usize,
    /// How the body ends.
    pub body: BodyKind,
    /// Whether the connection can carry another request once the body has been read.
    pub keep_alive: bool,
    /// Whether another response to the same request follows: a 1xx, but not 101.
    pub informational: bool,
}

/// Parses the response head at the front of `buf`, an answer to a request with `to_method`.
///
/// `head` is cleared first and holds the response when it is whole. `Ok(None)` asks for more
/// bytes. A 101 has no body and is neither informational nor fit for another request: the caller
/// decides whether an upgrade was asked for.
///
/// # Errors
///
/// [`Rejected`]; `head` is unspecified then. Close the connection and answer the client with
/// [`Rejected::UPSTREAM_STATUS`].
pub fn parse_response(
    buf: &[u8],
    head: &mut ResponseHead,
    limits: &Limits,
    to_method: Method,
) -> Result<Option<ParsedResponse>, Rejected> {
    head.clear();
    let window = buf.get(..limits.head_bytes).unwrap_or(buf);
    match parse_within(window, head, limits, to_method)? {
        None if buf.len() >= limits.head_bytes => Err(Rejected::HeadTooLarge),
        parsed => Ok(parsed),
    }
}

fn parse_within(
    buf: &[u8],
    head: &mut ResponseHead,
    limits: &Limits,
    to_method: Method,
) -> Result<Option<ParsedResponse>, Rejected> {
    let Some(fields_at) = read_status_line(buf, head)? else { return Ok(None) };
    let mut framing = Framing::default();
    let Some(consumed) = parse_section(buf, fields_at, &mut head.fields, &mut framing, limits)?
    else {
        return Ok(None);
    };
    let (version, status) = (head.version(), head.status());
    let framed = framing.body(version)?;
    let (body, ends_cleanly) = if has_no_body(status, to_method) {
        (BodyKind::None, !claims_impossible_body(status, to_method, framed))
    } else {
        (framed.unwrap_or(BodyKind::UntilClose), framed.is_some())
    };
    Ok(Some(ParsedResponse {
        consumed,
        body,
        keep_alive: ends_cleanly && status != 101 && framing.stays_open(version),
        informational: status < 200 && status != 101,
    }))
}

/// Whether the body is absent whatever the fields say. Source: RFC 9112 §6.3, rules 1 and 2.
pub(super) fn has_no_body(status: u16, to_method: Method) -> bool {
    matches!(status, 100..=199 | 204 | 304)
        || to_method == Method::Head
        || (to_method == Method::Connect && matches!(status, 200..=299))
}

/// Whether framing fields announce a body where none can be. What a peer that is so confused
/// sends next is not to be trusted. Source: RFC 9112 §6.1, RFC 9110 §8.6.
fn claims_impossible_body(status: u16, to_method: Method, framed: Option<BodyKind>) -> bool {
    let describes_another = to_method == Method::Head || status == 304;
    !describes_another && !matches!(framed, None | Some(BodyKind::Length(0)))
}

/// `version SP status [SP reason] CRLF`; returns where the fields start.
///
/// The space before an empty reason is often forgotten, and is not needed to tell what is meant.
fn read_status_line(buf: &[u8], head: &mut ResponseHead) -> Result<Option<usize>, Rejected> {
    let (version, rest) = match buf {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ (b'0' | b'1'), b' ', rest @ ..] => {
            (if *minor == b'1' { Version::Http11 } else { Version::Http10 }, rest)
        }
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b' ', ..]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(Rejected::UnsupportedVersion);
        }
        short if is_cut_version(short) => return Ok(None),
        _ => return Err(Rejected::BadStatusLine),
    };
    let Some((digits, after)) = rest.split_first_chunk::<3>() else {
        return if rest.iter().all(u8::is_ascii_digit) {
            Ok(None)
        } else {
            Err(Rejected::BadStatusLine)
        };
    };
    let status = parse_status(*digits)?;
    let text = match after {
        [] => return Ok(None),
        [b' ', text @ ..] => text,
        [b'\r', ..] => after,
        _ => return Err(Rejected::BadStatusLine),
    };
    let (reason, end) = text.split_at_checked(scan::value_len(text)).unwrap_or((text, &[]));
    let [b'\r', b'\n', fields @ ..] = end else { return line_end(end).map(|()| None) };
    head.set_version(version);
    head.set_status(status)?;
    head.set_checked_reason(reason);
    Ok(Some(buf.len().saturating_sub(fields.len())))
}

/// Whether `bytes` may become a version and its space, even one that is refused then: why must not
/// depend on reads.
fn is_cut_version(bytes: &[u8]) -> bool {
    let form = b"HTTP/0.0 ";
    let fits = |(byte, form): (&u8, &u8)| byte == form || (*form == b'0' && byte.is_ascii_digit());
    bytes.len() < form.len() && bytes.iter().zip(form).all(fits)
}

fn parse_status(digits: [u8; 3]) -> Result<u16, Rejected> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(Rejected::BadStatusLine);
    }
    let status = digits.iter().fold(0_u16, |sum, digit| {
        sum.wrapping_mul(10).wrapping_add(u16::from(digit.wrapping_sub(b'0')))
    });
    if status < 100 { Err(Rejected::BadStatusLine) } else { Ok(status) }
}
