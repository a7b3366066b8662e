//! Request heads. Source: RFC 9112 §2, §3.

use super::fieldline::parse_section;
use super::framing::Framing;
use super::{BodyKind, Limits};
use crate::authority::Authority;
use crate::head::{METHOD_BYTES, Method, RequestHead, Scheme, Version};
use crate::rejected::Rejected;
use crate::scan;

/// What a whole request head says besides its fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParsedRequest {
    /// Bytes of the head; the body starts there.
    pub consumed: usize,
    /// How the body ends; never [`BodyKind::UntilClose`].
    pub body: BodyKind,
    /// Whether the client will send another request on this connection.
    pub keep_alive: bool,
    /// Whether the client waits for a 100 before it sends the body.
    pub expect_continue: bool,
    /// Whether `Connection: upgrade` and one `Upgrade` ask for another protocol. What follows the
    /// head must be held back until a 101 answers; any other answer means HTTP/1.1 goes on.
    pub upgrade: bool,
}

/// Parses the request head at the front of `buf`, the unconsumed bytes of a connection.
///
/// `head` is cleared first and holds the request when it is whole. `Ok(None)` asks for more
/// bytes; [`super::is_worth_parsing`] tells when to call again.
///
/// # Errors
///
/// [`Rejected`], as soon as a line shows it; `head` is unspecified then. Answer with
/// [`Rejected::status`] and close.
pub fn parse_request(
    buf: &[u8],
    head: &mut RequestHead,
    limits: &Limits,
) -> Result<Option<ParsedRequest>, Rejected> {
    head.clear();
    let window = buf.get(..limits.head_bytes).unwrap_or(buf);
    match parse_within(window, head, limits)? {
        None if buf.len() >= limits.head_bytes => Err(Rejected::HeadTooLarge),
        parsed => Ok(parsed),
    }
}

fn parse_within(
    buf: &[u8],
    head: &mut RequestHead,
    limits: &Limits,
) -> Result<Option<ParsedRequest>, Rejected> {
    let Some(line) = lex_request_line(buf, limits)? else { return Ok(None) };
    head.set_version(line.version);
    head.set_checked_method(line.method);
    let target_authority = read_target(line.target, head)?;
    let mut framing = Framing::of_request();
    let Some(consumed) = parse_section(buf, line.end, &mut head.fields, &mut framing, limits)?
    else {
        return Ok(None);
    };
    settle_authority(head, target_authority, framing.host)?;
    let version = head.version();
    let body = framing.body(version)?.unwrap_or(BodyKind::None);
    if head.method() == Method::Connect && !matches!(body, BodyKind::None | BodyKind::Length(0)) {
        return Err(Rejected::BodyOnConnect);
    }
    Ok(Some(ParsedRequest {
        consumed,
        body,
        keep_alive: framing.stays_open(version),
        expect_continue: framing.expects_continue && version == Version::Http11,
        upgrade: framing.upgrades(version),
    }))
}

struct RequestLine<'a> {
    method: &'a [u8],
    target: &'a [u8],
    version: Version,
    /// Where the fields start.
    end: usize,
}

/// `method SP target SP version CRLF`, after one empty line at most. Source: RFC 9112 §2.2, §3.
fn lex_request_line<'a>(
    buf: &'a [u8],
    limits: &Limits,
) -> Result<Option<RequestLine<'a>>, Rejected> {
    let start = match buf {
        [b'\r', b'\n', rest @ ..] => rest,
        [b'\r'] => return Ok(None),
        other => other,
    };
    let method_len = scan::token_len(start);
    let (method, rest) = match start.split_at_checked(method_len) {
        Some((method @ [_, ..], [b' ', rest @ ..])) if method.len() <= METHOD_BYTES => {
            (method, rest)
        }
        Some((method, [])) if method.len() <= METHOD_BYTES => return Ok(None),
        Some(_) | None => return Err(Rejected::BadMethod),
    };
    let target_len = scan::target_len(rest);
    if target_len > limits.target_bytes {
        return Err(Rejected::TargetTooLong);
    }
    let (target, rest) = match rest.split_at_checked(target_len) {
        Some((target @ [_, ..], [b' ', rest @ ..])) => (target, rest),
        Some((_, [])) => return Ok(None),
        Some(_) | None => return Err(Rejected::BadTarget),
    };
    let Some(version) = lex_version(rest)? else { return Ok(None) };
    let left = rest.len().saturating_sub(VERSION_LEN);
    let end = buf.len().saturating_sub(left);
    Ok(Some(RequestLine { method, target, version, end }))
}

/// Bytes of a version and the CRLF after it.
const VERSION_LEN: usize = 10;

fn lex_version(rest: &[u8]) -> Result<Option<Version>, Rejected> {
    match rest {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', b'\r', b'\n', ..] => {
            Ok(Some(Version::Http11))
        }
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0', b'\r', b'\n', ..] => {
            Ok(Some(Version::Http10))
        }
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b'\r', b'\n', ..]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Rejected::UnsupportedVersion)
        }
        [.., _, _] if rest.len() >= VERSION_LEN => Err(Rejected::BadVersion),
        _ => Ok(None),
    }
}

/// Puts the target into `head` in origin form; returns the authority that it names, if any.
/// Source: RFC 9112 §3.2.
fn read_target<'a>(
    target: &'a [u8],
    head: &mut RequestHead,
) -> Result<Option<Authority<'a>>, Rejected> {
    if head.method() == Method::Connect {
        let authority = Authority::parse(target)?;
        if authority.port.is_none_or(|port| port == 0) {
            return Err(Rejected::BadAuthority);
        }
        head.set_checked_authority(target, &authority);
        return Ok(Some(authority));
    }
    match target {
        [b'/', ..] => {
            head.set_checked_target(target);
            Ok(None)
        }
        b"*" if head.method() == Method::Options => {
            head.set_checked_target(target);
            Ok(None)
        }
        _ => read_absolute(target, head).map(Some),
    }
}

fn read_absolute<'a>(target: &'a [u8], head: &mut RequestHead) -> Result<Authority<'a>, Rejected> {
    let (scheme, rest) = split_scheme(target).ok_or(Rejected::BadTarget)?;
    let path_at = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let (text, path) = rest.split_at_checked(path_at).unwrap_or((rest, &[]));
    let authority = Authority::parse(text)?;
    head.set_scheme(scheme);
    head.set_checked_authority(text, &authority);
    match path {
        [b'/', ..] => head.set_checked_target(path),
        [b'?', ..] => head.set_checked_query(path),
        // Source: RFC 9112 §3.2.4.
        _ if head.method() == Method::Options => head.set_checked_target(b"*"),
        _ => head.set_checked_target(b"/"),
    }
    Ok(authority)
}

fn split_scheme(target: &[u8]) -> Option<(Scheme, &[u8])> {
    for scheme in [Scheme::Http, Scheme::Https] {
        let name = scheme.name().as_bytes();
        if let Some((front, [b':', b'/', b'/', rest @ ..])) = target.split_at_checked(name.len())
            && front.eq_ignore_ascii_case(name)
        {
            return Some((scheme, rest));
        }
    }
    None
}

/// Makes one authority of what the target and `Host` say. Source: RFC 9112 §3.2, §3.3.
///
/// Where both speak they must agree; RFC 9112 would let the target win, but then who trusted
/// `Host` before us was fooled.
fn settle_authority(
    head: &mut RequestHead,
    from_target: Option<Authority<'_>>,
    host: Option<&[u8]>,
) -> Result<(), Rejected> {
    let Some(text) = host else {
        return if head.version() == Version::Http10 { Ok(()) } else { Err(Rejected::MissingHost) };
    };
    let from_host = Authority::parse(text)?;
    let Some(from_target) = from_target else {
        head.set_checked_authority(text, &from_host);
        return Ok(());
    };
    // CONNECT has no default port: a `Host` without one speaks of the target's.
    let default_port = match head.method() {
        Method::Connect => from_target.port.unwrap_or(0),
        Method::Get
        | Method::Head
        | Method::Post
        | Method::Put
        | Method::Delete
        | Method::Options
        | Method::Trace
        | Method::Patch
        | Method::Other => head.scheme().default_port(),
    };
    if from_target.names_same(&from_host, default_port) {
        Ok(())
    } else {
        Err(Rejected::AuthorityMismatch)
    }
}
