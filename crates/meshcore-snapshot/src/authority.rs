//! The authority of a request, taken apart without allocation.

use std::borrow::Cow;
use std::net::IpAddr;

/// Longest host that is looked up. Source: RFC 1035 section 2.3.4 (255 octets with lengths).
const MAX_HOST_BYTES: usize = 255;

/// Host and port of an authority. The host is in lower case, without a trailing dot.
#[derive(Debug, Clone)]
pub struct Authority<'a> {
    host: Cow<'a, [u8]>,
    address: Option<IpAddr>,
    port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Takes `host[:port]` apart; an IPv6 address stands in brackets.
    ///
    /// `None` when it is not of this form: empty, too long, with user information, or with
    /// bytes that no host has.
    pub fn parse(authority: &'a [u8]) -> Option<Self> {
        if let Some(rest) = authority.strip_prefix(b"[") {
            return Self::parse_bracketed(rest);
        }
        let class = |byte: &u8| CLASS.get(usize::from(*byte)).copied().unwrap_or(NO_HOST);
        let mut classes = 0;
        let end = authority
            .iter()
            .position(|byte| {
                classes |= class(byte);
                class(byte) == NO_HOST
            })
            .unwrap_or(authority.len());
        let (host, rest) = authority.split_at_checked(end)?;
        let port = parse_port_after(rest).ok()?;
        let host = host.strip_suffix(b".").filter(|rest| !rest.is_empty()).unwrap_or(host);
        let first = host.first()?;
        if host.len() > MAX_HOST_BYTES {
            return None;
        }
        let has_capitals = classes & CAPITAL != 0;
        let host = if has_capitals { host.to_ascii_lowercase().into() } else { Cow::from(host) };
        let is_address = first.is_ascii_digit();
        let address = if is_address { std::str::from_utf8(&host).ok()?.parse().ok() } else { None };
        Some(Self { host, address, port })
    }

    fn parse_bracketed(rest: &'a [u8]) -> Option<Self> {
        let end = rest.iter().position(|byte| *byte == b']')?;
        let (host, rest) = rest.split_at_checked(end)?;
        let port = parse_port_after(rest.get(1..)?).ok()?;
        let address = IpAddr::V6(std::str::from_utf8(host).ok()?.parse().ok()?);
        Some(Self { host: host.to_ascii_lowercase().into(), address: Some(address), port })
    }

    /// The host in lower case; an IPv6 address without its brackets.
    pub fn host(&self) -> &[u8] {
        &self.host
    }

    /// The host as an address, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The port, if there is one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

/// The one spelling of it: an address as addresses are written, the port without zeros in front.
impl std::fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            Some(IpAddr::V4(address)) => write!(f, "{address}")?,
            None => f.write_str(std::str::from_utf8(self.host()).unwrap_or_default())?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// What follows a host is no port.
struct NoPort;

/// The port that follows a host: none, or a colon and 1 to 5 digits.
fn parse_port_after(rest: &[u8]) -> Result<Option<u16>, NoPort> {
    let digits = match rest {
        [] => return Ok(None),
        [b':', digits @ ..] => digits,
        _ => return Err(NoPort),
    };
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NoPort);
    }
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    number.filter(|port| *port > 0).map(Some).ok_or(NoPort)
}

/// A byte that no host has.
const NO_HOST: u8 = 0;
const PLAIN: u8 = 1;
const CAPITAL: u8 = 2;

/// What each byte is in a host. Source: RFC 3986 section 2.3; of `reg-name` in section 3.2.2,
/// what a message is let through with.
static CLASS: [u8; 256] = {
    let mut table = [NO_HOST; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        #[expect(clippy::indexing_slicing, reason = "a byte is below 256")]
        {
            table[byte as usize] = match byte {
                b'A'..=b'Z' => CAPITAL,
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => PLAIN,
                _ => NO_HOST,
            };
        }
        byte = byte.wrapping_add(1);
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_one_authority() {
        for (text, host, port) in [
            ("reviews", "reviews", None),
            ("Reviews.Default.", "reviews.default", None),
            ("reviews:9080", "reviews", Some(9080)),
            ("REVIEWS.:9080", "reviews", Some(9080)),
            ("10.0.0.1:80", "10.0.0.1", Some(80)),
            ("[::1]", "::1", None),
            ("[FD00::1]:80", "fd00::1", Some(80)),
        ] {
            let parsed = Authority::parse(text.as_bytes()).unwrap();
            assert_eq!(parsed.host(), host.as_bytes(), "{text}");
            assert_eq!(parsed.port(), port, "{text}");
        }
        for (text, canonical) in [
            ("A.example.:080", "a.example:80"),
            ("[0:0::1]:80", "[::1]:80"),
            ("10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(Authority::parse(text.as_bytes()).unwrap().to_string(), canonical);
        }
        assert!(Authority::parse(b"[::1]:80").unwrap().address().is_some());
        assert!(Authority::parse(b"a").unwrap().address().is_none());
    }

    #[test]
    fn anything_else_is_refused() {
        let long = "a".repeat(300);
        for text in [
            "",
            ":80",
            "a:",
            "a:b",
            "a:0",
            "a:65536",
            "a:+1",
            "a:80:81",
            "u@a",
            "a/b",
            "a b",
            "[::1",
            "::1",
            "[::1]80",
            "[a]",
            "[1.2.3.4]",
            "a,b",
            "*.a",
            "a+b",
            "a\0",
            "a%2fb",
            "é",
            "[]",
            &long,
        ] {
            assert!(Authority::parse(text.as_bytes()).is_none(), "{text:?}");
        }
    }
}
