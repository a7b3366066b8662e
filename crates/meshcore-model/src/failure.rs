//! Why a request failed, and what follows from it.

use std::error::Error;
use std::fmt;

/// Why a request could not be carried to its end.
///
/// The tables below say, for each, what the client is told, how it is logged, and whether
/// another try is safe. A new variant must answer all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The client's message is malformed or ambiguous.
    BadRequest,
    /// The client's target is too long.
    TargetTooLong,
    /// The client's header is too large.
    HeadTooLarge,
    /// The client expects something other than a 100.
    ExpectationFailed,
    /// The client asked for a transfer coding that is not known.
    NotImplemented,
    /// The client speaks another version of HTTP.
    VersionNotSupported,
    /// The client's message did not come in time.
    RequestTimeout,
    /// No rule matches.
    NoRoute,
    /// The connection is not one on which the host is served.
    Misdirected,
    /// The host is not known and unknown hosts are refused.
    Blocked,
    /// The rule names a destination that does not exist.
    NoCluster,
    /// There is no endpoint to send to.
    NoEndpoint,
    /// Policy denies it.
    Denied,
    /// Policy could not decide, and so denies it.
    Undecided,
    /// A limit on connections or requests is reached.
    Overflow,
    /// The process has too little memory left to take it on.
    Overload,
    /// The connection to the upstream could not be made.
    UpstreamRefused,
    /// The connection to the upstream was not made in time.
    UpstreamConnectTimeout,
    /// The upstream is not who it should be, or TLS failed.
    UpstreamTls,
    /// The connection to the upstream was lost.
    UpstreamClosed,
    /// The upstream reset the stream.
    UpstreamReset,
    /// The upstream refused the stream before working on it.
    UpstreamRefusedStream,
    /// The upstream's message is malformed.
    UpstreamProtocol,
    /// The upstream did not answer in time.
    UpstreamTimeout,
    /// A fault was injected on purpose.
    FaultInjected,
    /// The client went away.
    DownstreamClosed,
    /// The request would come back to this sidecar.
    Loop,
    /// A bug here.
    Internal,
}

impl Kind {
    /// Status sent to an HTTP client. Source: RFC 9110 section 15, RFC 6585, and for failures
    /// of the upstream what Envoy answers, so that clients and dashboards need not change.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Denied => 403,
            Self::NoRoute => 404,
            Self::RequestTimeout => 408,
            Self::TargetTooLong => 414,
            Self::ExpectationFailed => 417,
            Self::Misdirected => 421,
            Self::HeadTooLarge => 431,
            Self::DownstreamClosed => 499,
            Self::Internal => 500,
            Self::NotImplemented => 501,
            Self::Blocked | Self::UpstreamProtocol => 502,
            Self::NoCluster
            | Self::NoEndpoint
            | Self::Undecided
            | Self::Overflow
            | Self::Overload
            | Self::UpstreamRefused
            | Self::UpstreamConnectTimeout
            | Self::UpstreamTls
            | Self::UpstreamClosed
            | Self::UpstreamReset
            | Self::UpstreamRefusedStream
            | Self::FaultInjected => 503,
            Self::UpstreamTimeout => 504,
            Self::VersionNotSupported => 505,
            Self::Loop => 508,
        }
    }

    /// gRPC status sent to a gRPC client. Source: the gRPC mapping of HTTP statuses
    /// (`doc/http-grpc-status-mapping.md`) and status code definitions.
    pub const fn grpc_status(self) -> u8 {
        match self {
            Self::DownstreamClosed => 1,
            Self::UpstreamTimeout | Self::RequestTimeout => 4,
            Self::Denied => 7,
            Self::NotImplemented | Self::NoRoute | Self::VersionNotSupported => 12,
            Self::BadRequest
            | Self::TargetTooLong
            | Self::HeadTooLarge
            | Self::ExpectationFailed
            | Self::Internal
            | Self::Loop
            | Self::UpstreamProtocol => 13,
            Self::Misdirected
            | Self::Blocked
            | Self::NoCluster
            | Self::NoEndpoint
            | Self::Undecided
            | Self::Overflow
            | Self::Overload
            | Self::UpstreamRefused
            | Self::UpstreamConnectTimeout
            | Self::UpstreamTls
            | Self::UpstreamClosed
            | Self::UpstreamReset
            | Self::UpstreamRefusedStream
            | Self::FaultInjected => 14,
        }
    }

    /// Flag in the access log and in the label `response_flags`, if any.
    pub const fn flag(self) -> Option<Flag> {
        match self {
            Self::BadRequest
            | Self::TargetTooLong
            | Self::HeadTooLarge
            | Self::ExpectationFailed
            | Self::NotImplemented
            | Self::VersionNotSupported => Some(Flag::DownstreamProtocolError),
            Self::RequestTimeout => Some(Flag::StreamIdleTimeout),
            Self::NoRoute | Self::Misdirected => Some(Flag::NoRoute),
            Self::NoCluster => Some(Flag::NoCluster),
            Self::NoEndpoint => Some(Flag::NoHealthyUpstream),
            Self::Overflow => Some(Flag::UpstreamOverflow),
            Self::Overload => Some(Flag::OverloadManager),
            Self::UpstreamRefused | Self::UpstreamConnectTimeout | Self::UpstreamTls => {
                Some(Flag::UpstreamConnectionFailure)
            }
            Self::UpstreamClosed => Some(Flag::UpstreamConnectionTermination),
            Self::UpstreamReset | Self::UpstreamRefusedStream => Some(Flag::UpstreamRemoteReset),
            Self::UpstreamProtocol => Some(Flag::UpstreamProtocolError),
            Self::UpstreamTimeout => Some(Flag::UpstreamTimeout),
            Self::FaultInjected => Some(Flag::FaultInjected),
            Self::DownstreamClosed => Some(Flag::DownstreamClosed),
            Self::Blocked | Self::Denied | Self::Undecided | Self::Loop | Self::Internal => None,
        }
    }

    /// One word for the access log's `RESPONSE_CODE_DETAILS` and for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::TargetTooLong => "target_too_long",
            Self::HeadTooLarge => "head_too_large",
            Self::ExpectationFailed => "expectation_failed",
            Self::NotImplemented => "not_implemented",
            Self::VersionNotSupported => "version_not_supported",
            Self::RequestTimeout => "request_timeout",
            Self::NoRoute => "route_not_found",
            Self::Misdirected => "misdirected_request",
            Self::Blocked => "host_blocked",
            Self::NoCluster => "cluster_not_found",
            Self::NoEndpoint => "no_healthy_upstream",
            Self::Denied => "rbac_access_denied",
            Self::Undecided => "policy_undecided",
            Self::Overflow => "upstream_overflow",
            Self::Overload => "overload",
            Self::UpstreamRefused => "upstream_connect_refused",
            Self::UpstreamConnectTimeout => "upstream_connect_timeout",
            Self::UpstreamTls => "upstream_tls_failure",
            Self::UpstreamClosed => "upstream_closed",
            Self::UpstreamReset => "upstream_reset",
            Self::UpstreamRefusedStream => "upstream_refused_stream",
            Self::UpstreamProtocol => "upstream_protocol_error",
            Self::UpstreamTimeout => "upstream_response_timeout",
            Self::FaultInjected => "fault_filter_abort",
            Self::DownstreamClosed => "downstream_remote_disconnect",
            Self::Loop => "loop_detected",
            Self::Internal => "internal_error",
        }
    }

    /// Sentence for the client, which must not learn more than this.
    pub const fn message(self) -> &'static str {
        match self {
            Self::BadRequest => "bad request",
            Self::TargetTooLong => "request target too long",
            Self::HeadTooLarge => "request header too large",
            Self::ExpectationFailed => "expectation is not 100-continue",
            Self::NotImplemented => "not implemented",
            Self::VersionNotSupported => "version of HTTP not supported",
            Self::RequestTimeout => "request timeout",
            Self::NoRoute => "no route matches",
            Self::Misdirected => "this connection does not serve the host: use another one",
            Self::Blocked => "host is not known to the mesh and egress is restricted to it",
            Self::NoCluster => "destination of the route does not exist",
            Self::NoEndpoint => "no healthy upstream",
            Self::Denied => "RBAC: access denied",
            Self::Undecided => "access denied: policy could not decide",
            Self::Overflow => "upstream overflow: too many connections or requests",
            Self::Overload => "overloaded, try again later",
            Self::UpstreamRefused => "upstream refused the connection",
            Self::UpstreamConnectTimeout => "upstream connect timeout",
            Self::UpstreamTls => "upstream TLS failure",
            Self::UpstreamClosed => "upstream closed the connection before answering",
            Self::UpstreamReset => "upstream reset the stream",
            Self::UpstreamRefusedStream => "upstream refused the stream",
            Self::UpstreamProtocol => "upstream protocol error",
            Self::UpstreamTimeout => "upstream request timeout",
            Self::FaultInjected => "fault filter abort",
            Self::DownstreamClosed => "client closed the connection",
            Self::Loop => "loop detected",
            Self::Internal => "internal error",
        }
    }

    /// Whether another endpoint may be tried without any chance of doing the work twice.
    pub const fn is_surely_unprocessed(self) -> bool {
        match self {
            Self::UpstreamRefused
            | Self::UpstreamConnectTimeout
            | Self::UpstreamTls
            | Self::UpstreamRefusedStream => true,
            Self::BadRequest
            | Self::TargetTooLong
            | Self::HeadTooLarge
            | Self::ExpectationFailed
            | Self::NotImplemented
            | Self::VersionNotSupported
            | Self::RequestTimeout
            | Self::NoRoute
            | Self::Misdirected
            | Self::Blocked
            | Self::NoCluster
            | Self::NoEndpoint
            | Self::Denied
            | Self::Undecided
            | Self::Overflow
            | Self::Overload
            | Self::UpstreamClosed
            | Self::UpstreamReset
            | Self::UpstreamProtocol
            | Self::UpstreamTimeout
            | Self::FaultInjected
            | Self::DownstreamClosed
            | Self::Loop
            | Self::Internal => false,
        }
    }
}

/// A failure with its cause.
#[derive(Debug, thiserror::Error)]
#[error("{}", kind.message())]
pub struct Failure {
    kind: Kind,
    #[source]
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure because of `cause`.
    pub fn because(kind: Kind, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, cause: Some(cause.into()) }
    }

    /// What failed.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The cause in one line, for the access log; empty when there is none.
    pub fn reason(&self) -> String {
        self.cause.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

impl From<Kind> for Failure {
    fn from(kind: Kind) -> Self {
        Self { kind, cause: None }
    }
}

/// A short flag of the access log. Source: Envoy's response flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Flag {
    /// `UH`.
    NoHealthyUpstream,
    /// `UF`.
    UpstreamConnectionFailure,
    /// `UO`.
    UpstreamOverflow,
    /// `UT`.
    UpstreamTimeout,
    /// `UC`.
    UpstreamConnectionTermination,
    /// `UR`.
    UpstreamRemoteReset,
    /// `URX`.
    RetryLimitExceeded,
    /// `NR`.
    NoRoute,
    /// `NC`.
    NoCluster,
    /// `DC`.
    DownstreamClosed,
    /// `DI`.
    DelayInjected,
    /// `FI`.
    FaultInjected,
    /// `SI`.
    StreamIdleTimeout,
    /// `DPE`.
    DownstreamProtocolError,
    /// `UPE`.
    UpstreamProtocolError,
    /// `OM`.
    OverloadManager,
}

impl Flag {
    const ALL: [Self; 16] = [
        Self::NoHealthyUpstream,
        Self::UpstreamConnectionFailure,
        Self::UpstreamOverflow,
        Self::UpstreamTimeout,
        Self::UpstreamConnectionTermination,
        Self::UpstreamRemoteReset,
        Self::RetryLimitExceeded,
        Self::NoRoute,
        Self::NoCluster,
        Self::DownstreamClosed,
        Self::DelayInjected,
        Self::FaultInjected,
        Self::StreamIdleTimeout,
        Self::DownstreamProtocolError,
        Self::UpstreamProtocolError,
        Self::OverloadManager,
    ];

    /// Short form, as in logs and labels.
    pub const fn short(self) -> &'static str {
        match self {
            Self::NoHealthyUpstream => "UH",
            Self::UpstreamConnectionFailure => "UF",
            Self::UpstreamOverflow => "UO",
            Self::UpstreamTimeout => "UT",
            Self::UpstreamConnectionTermination => "UC",
            Self::UpstreamRemoteReset => "UR",
            Self::RetryLimitExceeded => "URX",
            Self::NoRoute => "NR",
            Self::NoCluster => "NC",
            Self::DownstreamClosed => "DC",
            Self::DelayInjected => "DI",
            Self::FaultInjected => "FI",
            Self::StreamIdleTimeout => "SI",
            Self::DownstreamProtocolError => "DPE",
            Self::UpstreamProtocolError => "UPE",
            Self::OverloadManager => "OM",
        }
    }
}

/// A set of flags; printed comma-joined, `-` when empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u16);

impl Flags {
    /// The set with `flag` added.
    #[must_use]
    pub const fn with(self, flag: Flag) -> Self {
        Self(self.0 | (1 << flag as u8))
    }

    /// Whether `flag` is in the set.
    pub const fn has(self, flag: Flag) -> bool {
        self.0 & (1 << flag as u8) != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl From<Kind> for Flags {
    fn from(kind: Kind) -> Self {
        kind.flag().map_or_else(Self::default, |flag| Self::default().with(flag))
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for flag in Flag::ALL {
            if self.has(flag) {
                write!(f, "{separator}{}", flag.short())?;
                separator = ",";
            }
        }
        if self.is_empty() { f.write_str("-") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_print_joined_or_as_a_dash() {
        let flags = Flags::default();
        assert_eq!(flags.to_string(), "-");
        let flags = flags.with(Flag::UpstreamTimeout).with(Flag::RetryLimitExceeded);
        assert_eq!(flags.to_string(), "UT,URX");
        assert!(flags.has(Flag::UpstreamTimeout) && !flags.has(Flag::NoRoute));
    }

    #[test]
    fn every_flag_is_listed_once() {
        let all = Flag::ALL.iter().fold(Flags::default(), |set, flag| set.with(*flag));
        assert_eq!(all.to_string().split(',').count(), Flag::ALL.len());
    }

    #[test]
    fn a_failure_keeps_its_cause_out_of_the_clients_message() {
        let failure = Failure::because(Kind::UpstreamRefused, "10.0.0.1:80: no route to host");
        assert_eq!(failure.to_string(), "upstream refused the connection");
        assert_eq!(failure.reason(), "10.0.0.1:80: no route to host");
    }
}
