//! What the framing fields of a head say, collected while its lines are read.

use super::BodyKind;
use crate::fields::Fields;
use crate::head::Version;
use crate::known::{Known, KnownSet};
use crate::rejected::Rejected;
use crate::scan;

/// Most options that the `Connection` fields of a head may name; each costs a comparison with
/// each field when the head is written.
const CONNECTION_OPTIONS: u32 = 32;

/// Fields that HTTP/2 does not know. Source: RFC 9113 §8.2.2.
pub(crate) const CONNECTION_SPECIFIC: KnownSet = HOP_BY_HOP.without(KnownSet::of(&[Known::Te]));

/// Fields that concern one connection only and are never forwarded.
/// Source: RFC 9110 §7.6.1; RFC 7540 §3.2.1 for `HTTP2-Settings`.
pub(super) const HOP_BY_HOP: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Te,
    Known::TransferEncoding,
    Known::Upgrade,
    Known::Http2Settings,
]);

/// Fields that frame a message or say who sent it: `Connection` cannot name them away, and an
/// underscore cannot stand in for their hyphens.
const PROTECTED: KnownSet = KnownSet::of(&[
    Known::Host,
    Known::ContentLength,
    Known::TransferEncoding,
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Te,
    Known::Trailer,
    Known::Upgrade,
    Known::Expect,
    Known::Http2Settings,
    Known::ContentType,
    Known::ContentEncoding,
    Known::Authorization,
    Known::ProxyAuthorization,
    Known::Cookie,
    Known::SetCookie,
    Known::Forwarded,
    Known::XRealIp,
    Known::XRequestId,
]);

/// Prefixes of names that say who sent a message or how it came.
const PROTECTED_PREFIXES: [&[u8]; 3] = [b"x-forwarded-", b"x-envoy-", b"x-meshcore-"];

/// Whether `name` (any case) frames the message or identifies its sender.
pub(crate) fn is_protected(known: Known, name: &[u8]) -> bool {
    PROTECTED.contains(known)
        || PROTECTED_PREFIXES.iter().any(|prefix| {
            name.get(..prefix.len()).is_some_and(|front| front.eq_ignore_ascii_case(prefix))
        })
}

/// What the fields of one head say about its connection and body.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the head")]
#[derive(Debug, Default)]
pub(super) struct Framing<'a> {
    of_request: bool,
    pub(super) host: Option<&'a [u8]>,
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
    upgrade_option: bool,
    upgrade_fields: u32,
    upgrade_to_h2c: bool,
    options: u32,
}

impl<'a> Framing<'a> {
    /// For a request, whose `Host` is taken out of the table and whose `Expect` counts.
    pub(super) fn of_request() -> Self {
        Self { of_request: true, ..Self::default() }
    }

    /// Takes one field into account; true if it is kept here and not in the table.
    ///
    /// # Errors
    ///
    /// The [`Rejected`] of that field.
    #[inline]
    pub(super) fn note(&mut self, known: Known, value: &'a [u8]) -> Result<bool, Rejected> {
        if known.frames() { self.note_slowly(known, value) } else { Ok(false) }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a name of no concern to framing is kept")]
    fn note_slowly(&mut self, known: Known, value: &'a [u8]) -> Result<bool, Rejected> {
        match known {
            Known::Host if self.of_request => self.note_host(value).map(|()| true),
            Known::ContentLength => self.note_length(value).map(|()| false),
            Known::TransferEncoding => self.note_encoding(value).map(|()| false),
            Known::Connection => self.note_connection(value).map(|()| false),
            Known::Upgrade => self.note_upgrade(value).map(|()| false),
            Known::Expect if self.of_request => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Rejected::UnknownExpectation);
                }
                self.expects_continue = true;
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    /// How the body is framed: the two ways exclude each other. Source: RFC 9112 §6.1, §6.3.
    ///
    /// # Errors
    ///
    /// [`Rejected::LengthAndEncoding`], [`Rejected::EncodingOnHttp10`].
    pub(super) fn body(&self, version: Version) -> Result<Option<BodyKind>, Rejected> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Rejected::LengthAndEncoding),
            (true, None) if version == Version::Http10 => Err(Rejected::EncodingOnHttp10),
            (true, None) => Ok(Some(BodyKind::Chunked)),
            (false, Some(length)) => Ok(Some(BodyKind::Length(length))),
            (false, None) => Ok(None),
        }
    }

    /// Whether the connection stays open after the message. Source: RFC 9112 §9.3.
    pub(super) fn stays_open(&self, version: Version) -> bool {
        match version {
            Version::Http10 => self.keep_alive && !self.close,
            Version::Http11 | Version::Http2 => !self.close,
        }
    }

    /// Whether a change of protocol is asked for properly. Source: RFC 9110 §7.8.
    ///
    /// Not to h2c: RFC 9113 §3.1 has retired it, and ignoring it is always allowed.
    pub(super) fn upgrades(&self, version: Version) -> bool {
        version == Version::Http11
            && self.upgrade_option
            && self.upgrade_fields == 1
            && !self.upgrade_to_h2c
    }

    fn note_host(&mut self, value: &'a [u8]) -> Result<(), Rejected> {
        match self.host.replace(value) {
            None => Ok(()),
            Some(_) => Err(Rejected::DuplicateHost),
        }
    }

    fn note_length(&mut self, value: &[u8]) -> Result<(), Rejected> {
        let length = parse_length(value).ok_or(Rejected::BadContentLength)?;
        match self.length.replace(length) {
            None => Ok(()),
            Some(_) => Err(Rejected::DuplicateContentLength),
        }
    }

    fn note_encoding(&mut self, value: &[u8]) -> Result<(), Rejected> {
        if self.chunked {
            return Err(Rejected::BadTransferEncoding);
        }
        if value.eq_ignore_ascii_case(b"chunked") {
            self.chunked = true;
            return Ok(());
        }
        Err(refused_encoding(value))
    }

    fn note_connection(&mut self, value: &[u8]) -> Result<(), Rejected> {
        for option in scan::elements(value) {
            self.options = self.options.wrapping_add(1);
            if self.options > CONNECTION_OPTIONS || !scan::is_token(option) {
                return Err(Rejected::BadConnection);
            }
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade_option |= option.eq_ignore_ascii_case(b"upgrade");
        }
        Ok(())
    }

    fn note_upgrade(&mut self, value: &[u8]) -> Result<(), Rejected> {
        let mut protocols = scan::elements(value).peekable();
        if protocols.peek().is_none() {
            return Err(Rejected::BadUpgrade);
        }
        for protocol in protocols {
            if !protocol.split(|byte| *byte == b'/').all(scan::is_token) {
                return Err(Rejected::BadUpgrade);
            }
            self.upgrade_to_h2c |= protocol.eq_ignore_ascii_case(b"h2c");
        }
        self.upgrade_fields = self.upgrade_fields.saturating_add(1);
        Ok(())
    }
}

/// Whether the fields of a 101 name what the request's `Upgrade` offered: one protocol, or layers of
/// which each was offered. Source: RFC 9110 §7.8.
pub fn switches_as_asked(asked: &Fields, answered: &Fields) -> bool {
    let offers = |protocol: &[u8]| {
        let mut offered = asked.values(Known::Upgrade).flat_map(scan::elements);
        offered.any(|one| one.eq_ignore_ascii_case(protocol))
    };
    let mut chosen = answered.values(Known::Upgrade).flat_map(scan::elements).peekable();
    chosen.peek().is_some() && chosen.all(offers)
}

/// The number that `text` is, if it is decimal digits only and fits. Source: RFC 9110 §8.6.
///
/// It has to fit into 64 bits with a sign: an origin that counts so would overflow, and read
/// another length than we.
pub(crate) fn parse_length(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let length = text.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte.wrapping_sub(b'0')))?;
        sum.checked_mul(10)?.checked_add(digit)
    })?;
    (length <= i64::MAX.cast_unsigned()).then_some(length)
}

/// 501 for codings before one final `chunked`, 400 for what no length can be told from.
#[cold]
fn refused_encoding(value: &[u8]) -> Rejected {
    let mut chunked_count = 0_usize;
    let mut last_is_chunked = false;
    for coding in scan::elements(value) {
        last_is_chunked = coding.eq_ignore_ascii_case(b"chunked");
        chunked_count = chunked_count.wrapping_add(usize::from(last_is_chunked));
        if !scan::is_token(coding) {
            return Rejected::BadTransferEncoding;
        }
    }
    if last_is_chunked && chunked_count == 1 && !value.eq_ignore_ascii_case(b"chunked") {
        // `chunked,` has no other coding: it is a malformed spelling, not an unknown coding.
        let others = scan::elements(value).count();
        if others > 1 {
            return Rejected::UnsupportedEncoding;
        }
    }
    Rejected::BadTransferEncoding
}
