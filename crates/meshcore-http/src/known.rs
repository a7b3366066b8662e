//! Field names that something in the mesh asks for, found once when a head is parsed.

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
        Self::find_inline(name)
    }

    /// As [`Self::find`], for the one place that looks up each name of a head.
    #[expect(clippy::inline_always, reason = "measured: 7 % fewer instructions for a head")]
    #[inline(always)]
    pub(crate) fn find_inline(name: &[u8]) -> Self {
        let key = Key::of(name);
        let mut at = key.slot();
        loop {
            let entry = TABLE.get(at).copied().unwrap_or(Entry::FREE);
            if entry.key == key && (name.len() <= 16 || spells(name, entry.known.name())) {
                return entry.known;
            }
            if matches!(entry.known, Self::Other) {
                return Self::Other;
            }
            at = at.wrapping_add(1) % SLOTS;
        }
    }

    /// Whether framing looks at the name's value: these stand first in the list.
    #[inline]
    pub(crate) const fn frames(self) -> bool {
        !matches!(self, Self::Other) && self as u8 <= Self::Expect as u8
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
pub struct KnownSet {
    low: u64,
    high: u64,
}

impl KnownSet {
    /// No names.
    pub const EMPTY: Self = Self { low: 0, high: 0 };

    /// The set of `names`.
    pub const fn of(names: &[Known]) -> Self {
        let mut set = Self::EMPTY;
        let mut rest = names;
        while let [first, tail @ ..] = rest {
            set.insert(*first);
            rest = tail;
        }
        set
    }

    /// Whether `known` is in the set.
    #[inline]
    pub const fn contains(self, known: Known) -> bool {
        let half = if known as u8 & HALF == 0 { self.low } else { self.high };
        half & bit(known) != 0
    }

    /// Whether the two sets share a name.
    #[inline]
    pub const fn intersects(self, other: Self) -> bool {
        (self.low & other.low) | (self.high & other.high) != 0
    }

    /// The names of both sets.
    #[inline]
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self { low: self.low | other.low, high: self.high | other.high }
    }

    /// This set without the names of `other`.
    #[inline]
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self { low: self.low & !other.low, high: self.high & !other.high }
    }

    #[inline]
    pub(crate) const fn insert(&mut self, known: Known) {
        let half = if known as u8 & HALF == 0 { &mut self.low } else { &mut self.high };
        *half |= bit(known);
    }

    #[inline]
    pub(crate) const fn remove(&mut self, known: Known) {
        let half = if known as u8 & HALF == 0 { &mut self.low } else { &mut self.high };
        *half &= !bit(known);
    }
}

/// The bit of a number that says in which half of a set it is.
const HALF: u8 = 64;

#[inline]
const fn bit(known: Known) -> u64 {
    1_u64.wrapping_shl(known as u32)
}

/// Length, front and back of a name in lower case: all of a name of at most 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Key {
    len: usize,
    front: u64,
    back: u64,
}

/// The word with its letters in lower case. Of the other bytes some change as well, but into none
/// that stands in a known name: those are letters, digits and `-`.
#[inline]
const fn fold(word: u64) -> u64 {
    word | (word & 0x4040_4040_4040_4040) >> 1
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: Key,
    known: Known,
}

impl Key {
    #[inline]
    const fn of(name: &[u8]) -> Self {
        let len = name.len();
        let (front, back) = match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
            (Some(front), Some(back)) => (u64::from_le_bytes(*front), u64::from_le_bytes(*back)),
            _ => (Self::short(name), 0),
        };
        Self { len, front: fold(front), back: fold(back) }
    }

    /// All bytes of a name of fewer than eight.
    #[inline]
    const fn short(name: &[u8]) -> u64 {
        if let (Some(front), Some(back)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            let (front, back) = (u32::from_le_bytes(*front), u32::from_le_bytes(*back));
            return front as u64 | (back as u64) << 32;
        }
        let mut bytes = 0;
        let mut rest = name;
        while let [first, tail @ ..] = rest {
            bytes = bytes << 8 | *first as u64;
            rest = tail;
        }
        bytes
    }

    /// Where the search for the name starts. Source of the factor: 2^64 over the golden ratio,
    /// TAOCP volume 3 §6.4. Of all rotations this one leaves the fewest names out of their slots.
    #[inline]
    const fn slot(self) -> usize {
        let mixed = self.front ^ self.back.rotate_left(10) ^ self.len as u64;
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize % SLOTS
    }
}

impl Entry {
    const FREE: Self =
        Self { key: Key { len: usize::MAX, front: 0, back: 0 }, known: Known::Other };
}

/// Known names by [`Key::slot`], the next free slot if that is taken.
static TABLE: [Entry; SLOTS] = build_table();

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "runs at compile time, where a wrong index is an error of the build"
)]
const fn build_table() -> [Entry; SLOTS] {
    assert!(Known::ALL.len() < 127, "KnownSet has 128 bits, one of them for Other");
    let mut table = [Entry::FREE; SLOTS];
    let mut next = 0;
    while next < Known::ALL.len() {
        let known = Known::ALL[next];
        let key = Key::of(known.name().as_bytes());
        let mut at = key.slot();
        while !matches!(table[at].known, Known::Other) {
            at = (at + 1) % SLOTS;
        }
        table[at] = Entry { key, known };
        next += 1;
    }
    table
}

/// Whether `name` is `lower` in any case, for names whose keys are equal.
#[inline(never)]
fn spells(name: &[u8], lower: &str) -> bool {
    let (words, _) = name.as_chunks::<8>();
    let (wanted_words, _) = lower.as_bytes().as_chunks::<8>();
    words
        .iter()
        .zip(wanted_words)
        .map(|(word, wanted)| (u64::from_le_bytes(*word), u64::from_le_bytes(*wanted)))
        .all(|(word, wanted)| fold(word) == wanted)
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
            let is_plain = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
            assert!(name.as_bytes().iter().all(is_plain), "{name} is kept as it is folded");
        }
    }

    #[test]
    fn no_other_byte_passes_for_one_of_a_name() {
        for known in Known::ALL {
            for place in 0..known.name().len() {
                for byte in 0..=255_u8 {
                    let mut name = known.name().as_bytes().to_vec();
                    name[place] = byte;
                    let is_same = name.eq_ignore_ascii_case(known.name().as_bytes());
                    assert_eq!(
                        Known::find(&name) == *known,
                        is_same,
                        "{known:?} {place} {byte:#x}"
                    );
                }
            }
        }
    }

    #[test]
    fn near_misses_are_other() {
        for name in [
            "",
            "h",
            "hos",
            "hostt",
            "content\rlength",
            "content_length",
            "host ",
            "x",
            "\u{212a}",
            "t\u{45}\0",
            "x-forwarded-xlient-cert",
            "x-forwarded-client-certt",
        ] {
            assert_eq!(Known::find(name.as_bytes()), Known::Other, "{name:?}");
        }
    }

    #[test]
    fn a_search_looks_at_few_slots() {
        let mut steps = 0;
        for known in Known::ALL {
            let start = Key::of(known.name().as_bytes()).slot();
            let is_at = |step: &usize| TABLE[(start + step) % SLOTS].known == *known;
            let found = (0..SLOTS).find(is_at).unwrap();
            assert!(found <= 2, "{known:?} is {found} slots from its place");
            steps += found;
        }
        assert!(steps < Known::ALL.len() / 4, "{steps} extra steps for all names");
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
