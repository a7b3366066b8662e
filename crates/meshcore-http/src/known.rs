//! Field names that something in the mesh asks for, found once when a head is parsed.

use crate::scan;

/// Slots of the name table; a power of two, well above twice the number of names.
const SLOTS: usize = 256;

macro_rules! known {
    ($($variant:ident = $name:literal,)*) => {
        /// A well-known field name, found once at parse time without regard to case.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[repr(u8)]
        pub enum Known {
            /// Any name that is not in this list.
            Other = 0,
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Known {
            /// Every known name, without [`Known::Other`].
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Lower-case names in the order of the variants.
            const NAMES: &'static [&'static str] = &["", $($name,)*];

            /// The name as the `http` crate keeps it; none for [`Known::Other`].
            #[inline]
            pub(crate) fn header_name(self) -> Option<&'static http::HeaderName> {
                static NAMES: [http::HeaderName; Known::ALL.len()] =
                    [$(http::HeaderName::from_static($name),)*];
                NAMES.get((self as usize).wrapping_sub(1))
            }
        }
    };
}

known! {
    Host = "host",
    ContentLength = "content-length",
    TransferEncoding = "transfer-encoding",
    Connection = "connection",
    KeepAlive = "keep-alive",
    ProxyConnection = "proxy-connection",
    Te = "te",
    Trailer = "trailer",
    Upgrade = "upgrade",
    Expect = "expect",
    Http2Settings = "http2-settings",
    ContentType = "content-type",
    ContentEncoding = "content-encoding",
    ContentRange = "content-range",
    UserAgent = "user-agent",
    Authorization = "authorization",
    ProxyAuthorization = "proxy-authorization",
    ProxyAuthenticate = "proxy-authenticate",
    WwwAuthenticate = "www-authenticate",
    Cookie = "cookie",
    SetCookie = "set-cookie",
    Accept = "accept",
    AcceptEncoding = "accept-encoding",
    AcceptLanguage = "accept-language",
    Origin = "origin",
    Referer = "referer",
    Range = "range",
    IfMatch = "if-match",
    IfNoneMatch = "if-none-match",
    IfModifiedSince = "if-modified-since",
    IfUnmodifiedSince = "if-unmodified-since",
    IfRange = "if-range",
    CacheControl = "cache-control",
    Age = "age",
    Expires = "expires",
    Etag = "etag",
    LastModified = "last-modified",
    Vary = "vary",
    Pragma = "pragma",
    Via = "via",
    MaxForwards = "max-forwards",
    Forwarded = "forwarded",
    Server = "server",
    Date = "date",
    Location = "location",
    RetryAfter = "retry-after",
    Allow = "allow",
    AltSvc = "alt-svc",
    AccessControlRequestMethod = "access-control-request-method",
    AccessControlRequestHeaders = "access-control-request-headers",
    AccessControlAllowOrigin = "access-control-allow-origin",
    SecWebsocketKey = "sec-websocket-key",
    SecWebsocketAccept = "sec-websocket-accept",
    SecWebsocketProtocol = "sec-websocket-protocol",
    SecWebsocketVersion = "sec-websocket-version",
    SecWebsocketExtensions = "sec-websocket-extensions",
    GrpcStatus = "grpc-status",
    GrpcMessage = "grpc-message",
    GrpcTimeout = "grpc-timeout",
    GrpcEncoding = "grpc-encoding",
    GrpcAcceptEncoding = "grpc-accept-encoding",
    GrpcPreviousRpcAttempts = "grpc-previous-rpc-attempts",
    XRequestId = "x-request-id",
    XRealIp = "x-real-ip",
    XForwardedFor = "x-forwarded-for",
    XForwardedHost = "x-forwarded-host",
    XForwardedPort = "x-forwarded-port",
    XForwardedProto = "x-forwarded-proto",
    XForwardedClientCert = "x-forwarded-client-cert",
    XEnvoyAttemptCount = "x-envoy-attempt-count",
    XEnvoyDecoratorOperation = "x-envoy-decorator-operation",
    XEnvoyExpectedRqTimeoutMs = "x-envoy-expected-rq-timeout-ms",
    XEnvoyExternalAddress = "x-envoy-external-address",
    XEnvoyForceTrace = "x-envoy-force-trace",
    XEnvoyHedgeOnPerTryTimeout = "x-envoy-hedge-on-per-try-timeout",
    XEnvoyInternal = "x-envoy-internal",
    XEnvoyMaxRetries = "x-envoy-max-retries",
    XEnvoyOriginalPath = "x-envoy-original-path",
    XEnvoyOverloaded = "x-envoy-overloaded",
    XEnvoyPeerMetadata = "x-envoy-peer-metadata",
    XEnvoyPeerMetadataId = "x-envoy-peer-metadata-id",
    XEnvoyRatelimited = "x-envoy-ratelimited",
    XEnvoyRetryGrpcOn = "x-envoy-retry-grpc-on",
    XEnvoyRetryOn = "x-envoy-retry-on",
    XEnvoyUpstreamRqPerTryTimeoutMs = "x-envoy-upstream-rq-per-try-timeout-ms",
    XEnvoyUpstreamRqTimeoutMs = "x-envoy-upstream-rq-timeout-ms",
    XEnvoyUpstreamServiceTime = "x-envoy-upstream-service-time",
    Traceparent = "traceparent",
    Tracestate = "tracestate",
    B3 = "b3",
    XB3TraceId = "x-b3-traceid",
    XB3SpanId = "x-b3-spanid",
    XB3ParentSpanId = "x-b3-parentspanid",
    XB3Sampled = "x-b3-sampled",
    XB3Flags = "x-b3-flags",
    Baggage = "baggage",
}

impl Known {
    /// The known name that `name` spells in any case, or [`Known::Other`].
    #[inline]
    pub fn find(name: &[u8]) -> Self {
        let mut at = slot(name);
        loop {
            let candidate = TABLE.get(at).copied().unwrap_or(Self::Other);
            if candidate == Self::Other || spells(name, candidate.name().as_bytes()) {
                return candidate;
            }
            at = at.wrapping_add(1) % SLOTS;
        }
    }

    /// The name in lower case; empty for [`Known::Other`].
    #[inline]
    pub const fn name(self) -> &'static str {
        #[expect(clippy::indexing_slicing, reason = "the macro writes a name for each variant")]
        Self::NAMES[self as usize]
    }
}

/// A set of known names, so that "is one of these here" is one `and`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KnownSet(u128);

impl KnownSet {
    /// No names.
    pub const EMPTY: Self = Self(0);

    /// The set of `names`.
    pub const fn of(names: &[Known]) -> Self {
        let mut bits = 0;
        let mut rest = names;
        while let [first, tail @ ..] = rest {
            bits |= 1 << (*first as u8);
            rest = tail;
        }
        Self(bits)
    }

    /// Whether `known` is in the set.
    #[inline]
    pub const fn contains(self, known: Known) -> bool {
        self.0 & (1 << (known as u8)) != 0
    }

    /// Whether the two sets share a name.
    #[inline]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The names of both sets.
    #[inline]
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without the names of `other`.
    #[inline]
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    #[inline]
    pub(crate) fn insert(&mut self, known: Known) {
        self.0 |= 1 << (known as u8);
    }

    #[inline]
    pub(crate) fn remove(&mut self, known: Known) {
        self.0 &= !(1 << (known as u8));
    }
}

/// Known names by [`slot`], the next free slot if that is taken.
static TABLE: [Known; SLOTS] = build_table();

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "runs at compile time, where a wrong index is an error of the build"
)]
const fn build_table() -> [Known; SLOTS] {
    assert!(Known::ALL.len() < 127, "KnownSet has 128 bits, one of them for Other");
    let mut table = [Known::Other; SLOTS];
    let mut next = 0;
    while next < Known::ALL.len() {
        let known = Known::ALL[next];
        let mut at = slot(known.name().as_bytes());
        while !matches!(table[at], Known::Other) {
            at = (at + 1) % SLOTS;
        }
        table[at] = known;
        next += 1;
    }
    table
}

/// Where the search for `name` starts: a mix of its length and its first, middle and last letters.
#[inline]
const fn slot(name: &[u8]) -> usize {
    let len = name.len();
    let [first, .., last] = name else { return 0 };
    #[expect(clippy::indexing_slicing, reason = "half of the length is inside the slice")]
    let (middle, quarter) = (name[len / 2], name[len / 4]);
    let mixed = len
        .wrapping_mul(67)
        .wrapping_add(fold(*first).wrapping_mul(5))
        .wrapping_add(fold(*last).wrapping_mul(31))
        .wrapping_add(fold(middle).wrapping_mul(149))
        .wrapping_add(fold(quarter).wrapping_mul(23));
    mixed % SLOTS
}

/// Maps both cases of a letter to one number.
#[inline]
const fn fold(byte: u8) -> usize {
    (byte | 0x20) as usize
}

/// Whether `name` is `lower` in any case; compares words, the last one overlapping.
#[inline]
fn spells(name: &[u8], lower: &[u8]) -> bool {
    if name.len() != lower.len() {
        return false;
    }
    let (Some(last), Some(wanted)) = (name.last_chunk::<8>(), lower.last_chunk::<8>()) else {
        return name.iter().zip(lower).all(|(byte, wanted)| byte.to_ascii_lowercase() == *wanted);
    };
    let (words, _) = name.as_chunks::<8>();
    let (wanted_words, _) = lower.as_chunks::<8>();
    scan::lower_case(*last) == u64::from_le_bytes(*wanted)
        && words
            .iter()
            .zip(wanted_words)
            .all(|(word, wanted)| scan::lower_case(*word) == u64::from_le_bytes(*wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_found_in_any_case() {
        for known in Known::ALL {
            let name = known.name();
            assert_eq!(Known::find(name.as_bytes()), *known, "{name}");
            assert_eq!(Known::find(name.to_ascii_uppercase().as_bytes()), *known, "{name}");
            assert_eq!(name, name.to_ascii_lowercase(), "{name} is kept in lower case");
        }
    }

    #[test]
    fn near_misses_are_other() {
        for name in
            ["", "h", "hos", "hostt", "content\rlength", "content_length", "host ", "x", "\u{212a}"]
        {
            assert_eq!(Known::find(name.as_bytes()), Known::Other, "{name:?}");
        }
    }

    #[test]
    fn a_search_looks_at_few_slots() {
        let mut steps = 0;
        for known in Known::ALL {
            let start = slot(known.name().as_bytes());
            let found = (0..SLOTS).find(|step| TABLE[(start + step) % SLOTS] == *known).unwrap();
            assert!(found <= 6, "{known:?} is {found} slots from its place");
            steps += found;
        }
        assert!(steps < Known::ALL.len(), "{steps} extra steps for all names");
    }

    #[test]
    fn sets_hold_what_was_put_in() {
        let mut set = KnownSet::of(&[Known::Host, Known::Baggage]);
        assert!(set.contains(Known::Host) && set.contains(Known::Baggage));
        assert!(!set.contains(Known::Te) && !set.contains(Known::Other));
        set.remove(Known::Host);
        set.insert(Known::Other);
        assert!(!set.contains(Known::Host) && set.contains(Known::Other));
        assert!(set.intersects(KnownSet::of(&[Known::Baggage, Known::Te])));
        assert!(!set.without(KnownSet::of(&[Known::Baggage])).contains(Known::Baggage));
    }
}
