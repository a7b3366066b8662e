//! The authority of a request, taken apart without allocation.

use std::net::IpAddr;

/// Longest host that is looked up. Source: RFC 1035 section 2.3.4 (255 octets with lengths).
const MAX_HOST_BYTES: usize = 255;

/// Host and port of an authority. The host is in lower case, without a trailing dot.
#[derive(Debug, Clone, Copy)]
pub struct Authority {
    host: [u8; MAX_HOST_BYTES],
    length: u8,
    address: Option<IpAddr>,
    port: Option<u16>,
}

impl Authority {
    /// Takes `host[:port]` apart; an IPv6 address stands in brackets.
    ///
    /// `None` when it is not of this form: empty, too long, with user information, or with
    /// bytes that no host has.
    pub fn parse(authority: &[u8]) -> Option<Self> {
        let (host, port, bracketed) = split(authority)?;
        let port = match port {
            Some(digits) => Some(parse_port(digits)?),
            None => None,
        };
        let host = host.strip_suffix(b".").filter(|rest| !rest.is_empty()).unwrap_or(host);
        let mut parsed = Self { host: [0; MAX_HOST_BYTES], length: 0, address: None, port };
        let target = parsed.host.get_mut(..host.len())?;
        for (to, from) in target.iter_mut().zip(host) {
            if !(is_host_byte(*from) || bracketed && *from == b':') {
                return None;
            }
            *to = from.to_ascii_lowercase();
        }
        parsed.length = u8::try_from(host.len()).ok().filter(|length| *length > 0)?;
        if bracketed || host.first().is_some_and(u8::is_ascii_digit) {
            parsed.address = std::str::from_utf8(parsed.host()).ok().and_then(|t| t.parse().ok());
        }
        if bracketed && !matches!(parsed.address, Some(IpAddr::V6(_))) {
            return None;
        }
        Some(parsed)
    }

    /// The host in lower case; an IPv6 address without its brackets.
    pub fn host(&self) -> &[u8] {
        self.host.get(..usize::from(self.length)).unwrap_or_default()
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
impl std::fmt::Display for Authority {
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

type Split<'a> = (&'a [u8], Option<&'a [u8]>, bool);

fn split(authority: &[u8]) -> Option<Split<'_>> {
    if let Some(rest) = authority.strip_prefix(b"[") {
        let end = rest.iter().position(|byte| *byte == b']')?;
        let (host, rest) = rest.split_at_checked(end)?;
        return match rest {
            [b']'] => Some((host, None, true)),
            [b']', b':', port @ ..] => Some((host, Some(port), true)),
            _ => None,
        };
    }
    match authority.iter().position(|byte| *byte == b':') {
        Some(colon) => {
            let (host, port) = authority.split_at_checked(colon)?;
            Some((host, port.get(1..), false))
        }
        None => Some((authority, None, false)),
    }
}

fn parse_port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|port| *port > 0)
}

/// Source: RFC 3986 section 2.3; of `reg-name` in section 3.2.2, what a message is let through
/// with.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

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
