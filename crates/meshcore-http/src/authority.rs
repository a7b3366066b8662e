//! Host and port, checked strictly, because routing, policy and the next hop all trust it.

use crate::rejected::Rejected;
use crate::scan;

/// Longest host name. Source: RFC 1035 §2.3.4 (255 octets on the wire, 253 in text, one dot more).
const HOST_BYTES: usize = 254;

/// A valid authority in its parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Authority<'a> {
    /// Name or address, brackets included.
    pub(crate) host: &'a [u8],
    pub(crate) port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Takes `text` apart.
    ///
    /// Narrower than RFC 3986 §3.2: no user information, no percent-encoding, no
    /// sub-delimiters (a comma would make a list of it), no empty host or port; nor the root of all
    /// names, which is empty without its dot.
    pub(crate) fn parse(text: &'a [u8]) -> Result<Self, Rejected> {
        if text.first() == Some(&b'[') {
            return Self::parse_bracketed(text);
        }
        let host_len = scan::host_len(text);
        let (host, rest) = text.split_at_checked(host_len).unwrap_or((text, &[]));
        if host.is_empty() || host == b"." || host.len() > HOST_BYTES {
            return Err(refused(text));
        }
        Ok(Self { host, port: parse_port(text, rest)? })
    }

    fn parse_bracketed(text: &'a [u8]) -> Result<Self, Rejected> {
        let close = memchr::memchr(b']', text).ok_or(Rejected::BadAuthority)?;
        let (host, rest) = text.split_at_checked(close.saturating_add(1)).unwrap_or((text, &[]));
        let inside = host.get(1..close).unwrap_or_default();
        let address = std::str::from_utf8(inside).map_err(|_| Rejected::BadAuthority)?;
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(Rejected::BadAuthority);
        }
        Ok(Self { host, port: parse_port(text, rest)? })
    }

    /// Whether both name the same place, when a missing port means `default_port`.
    pub(crate) fn names_same(&self, other: &Self, default_port: u16) -> bool {
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }
}

/// Port after the host: nothing, or a colon and 1 to 5 digits.
fn parse_port(text: &[u8], rest: &[u8]) -> Result<Option<u16>, Rejected> {
    let digits = match rest {
        [] => return Ok(None),
        [b':', digits @ ..] => digits,
        _ => return Err(refused(text)),
    };
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(refused(text));
    }
    let number = digits.iter().fold(0_u32, |sum, digit| {
        sum.wrapping_mul(10).wrapping_add(u32::from(digit.wrapping_sub(b'0')))
    });
    u16::try_from(number).map(Some).map_err(|_| Rejected::BadAuthority)
}

fn refused(text: &[u8]) -> Rejected {
    if text.contains(&b'@') { Rejected::UserInfo } else { Rejected::BadAuthority }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_authorities_come_apart() {
        for (text, host, port) in [
            ("a", "a", None),
            (
                "reviews.default.svc.cluster.local:9080",
                "reviews.default.svc.cluster.local",
                Some(9080),
            ),
            ("127.0.0.1:80", "127.0.0.1", Some(80)),
            ("[::1]", "[::1]", None),
            ("[2001:DB8::1]:65535", "[2001:DB8::1]", Some(65535)),
            ("under_score.example.", "under_score.example.", None),
            ("a:00080", "a", Some(80)),
        ] {
            let parsed = Authority::parse(text.as_bytes()).expect(text);
            assert_eq!((parsed.host, parsed.port), (host.as_bytes(), port), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            ":80",
            "a:",
            "a:b",
            "a:65536",
            "a:+80",
            "a:800000",
            "a,b",
            "a b",
            "a/b",
            "a%41",
            "::1",
            "[::1",
            "[]",
            "[::1]x",
            "[::1]:",
            "[fe80::1%25eth0]",
            "[v1.x]",
            "a:80:80",
            "\u{fc}.example",
            "a\\b",
            "a?b",
            "a;b",
            "*.example",
            ".",
            ".:80",
        ] {
            assert_eq!(Authority::parse(text.as_bytes()), Err(Rejected::BadAuthority), "{text:?}");
        }
        for text in ["u@a", "u:p@a", "@", "u@[::1]:80"] {
            assert_eq!(Authority::parse(text.as_bytes()), Err(Rejected::UserInfo), "{text:?}");
        }
        let long = vec![b'a'; 255];
        assert_eq!(Authority::parse(&long), Err(Rejected::BadAuthority));
    }

    #[test]
    fn case_and_default_port_make_no_difference() {
        let parse = |text: &'static str| Authority::parse(text.as_bytes()).unwrap();
        assert!(parse("A.example").names_same(&parse("a.EXAMPLE:80"), 80));
        assert!(!parse("a.example").names_same(&parse("a.example:81"), 80));
        assert!(!parse("a.example").names_same(&parse("a.example."), 80));
    }
}
