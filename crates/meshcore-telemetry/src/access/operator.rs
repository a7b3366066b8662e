//! The operators of a pattern, and what each says about a record.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use meshcore_model::Flags;

use super::clock::TimeFormat;
use super::record::AccessRecord;

/// One operator. Source: Envoy, access log command operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operator {
    StartTime(TimeFormat),
    Request { name: Name, or: Option<Name>, has_query: bool },
    Response { name: Box<str>, or: Option<Box<str>> },
    Trailer { name: Box<str>, or: Option<Box<str>> },
    Simple(Simple),
}

/// An operator without arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Simple {
    Protocol,
    ResponseCode,
    ResponseFlags,
    ResponseCodeDetails,
    ConnectionTerminationDetails,
    UpstreamTransportFailureReason,
    BytesReceived,
    BytesSent,
    Duration,
    UpstreamHost,
    UpstreamCluster,
    UpstreamLocalAddress,
    DownstreamLocalAddress,
    DownstreamRemoteAddress,
    DownstreamRemoteAddressWithoutPort,
    RequestedServerName,
    RouteName,
    DownstreamPeerUriSan,
    Reason,
}

/// A header field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    Method,
    Scheme,
    Authority,
    Path,
    Header(Box<str>),
}

/// What an operator says.
#[derive(Debug, Clone, Copy)]
pub(super) enum Field<'a> {
    Missing,
    Text(&'a [u8]),
    /// Text in which spaces become underscores, as Envoy writes it, since it stands unquoted.
    Word(&'a str),
    Number(u64),
    /// A number that is text in JSON, because it stands for a header.
    Digits(u64),
    Address(SocketAddr),
    Ip(IpAddr),
    Flags(Flags),
    Time(&'a TimeFormat, SystemTime),
}

/// Header in which Envoy tells how long the upstream took, in milliseconds.
const SERVICE_TIME: &str = "x-envoy-upstream-service-time";

impl Simple {
    /// The operator of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "PROTOCOL" => Self::Protocol,
            "RESPONSE_CODE" => Self::ResponseCode,
            "RESPONSE_FLAGS" => Self::ResponseFlags,
            "RESPONSE_CODE_DETAILS" => Self::ResponseCodeDetails,
            "CONNECTION_TERMINATION_DETAILS" => Self::ConnectionTerminationDetails,
            "UPSTREAM_TRANSPORT_FAILURE_REASON" => Self::UpstreamTransportFailureReason,
            "BYTES_RECEIVED" => Self::BytesReceived,
            "BYTES_SENT" => Self::BytesSent,
            "DURATION" => Self::Duration,
            "UPSTREAM_HOST" => Self::UpstreamHost,
            "UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW" => Self::UpstreamCluster,
            "UPSTREAM_LOCAL_ADDRESS" => Self::UpstreamLocalAddress,
            "DOWNSTREAM_LOCAL_ADDRESS" => Self::DownstreamLocalAddress,
            "DOWNSTREAM_REMOTE_ADDRESS" => Self::DownstreamRemoteAddress,
            "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => Self::DownstreamRemoteAddressWithoutPort,
            "REQUESTED_SERVER_NAME" => Self::RequestedServerName,
            "ROUTE_NAME" => Self::RouteName,
            "DOWNSTREAM_PEER_URI_SAN" => Self::DownstreamPeerUriSan,
            "MESHCORE_REASON" => Self::Reason,
            _ => return None,
        })
    }

    fn of<'a>(self, record: &AccessRecord<'a>) -> Field<'a> {
        match self {
            Self::Protocol => text(record.protocol),
            Self::ResponseCode => Field::Number(record.response_code.into()),
            Self::ResponseFlags => Field::Flags(record.flags),
            Self::ResponseCodeDetails => word(record.response_code_details),
            Self::ConnectionTerminationDetails => word(record.connection_termination_details),
            Self::UpstreamTransportFailureReason => text(record.upstream_failure),
            Self::BytesReceived => Field::Number(record.bytes_received),
            Self::BytesSent => Field::Number(record.bytes_sent),
            Self::Duration => Field::Number(whole_ms(record.duration)),
            Self::UpstreamHost => address(record.upstream_host),
            Self::UpstreamCluster => text(record.upstream_cluster),
            Self::UpstreamLocalAddress => address(record.upstream_local),
            Self::DownstreamLocalAddress => address(record.downstream_local),
            Self::DownstreamRemoteAddress => address(record.downstream_remote),
            Self::DownstreamRemoteAddressWithoutPort => {
                record.downstream_remote.map_or(Field::Missing, |remote| Field::Ip(remote.ip()))
            }
            Self::RequestedServerName => text(record.server_name),
            Self::RouteName => text(record.route_name),
            Self::DownstreamPeerUriSan => text(record.peer_uri_san),
            Self::Reason => text(record.reason),
        }
    }
}

impl Operator {
    /// What the operator says about `record`.
    pub(super) fn of<'a>(&'a self, record: &AccessRecord<'a>) -> Field<'a> {
        match self {
            Self::StartTime(format) => Field::Time(format, record.start),
            Self::Request { name, or, has_query } => {
                let other = || or.as_ref().and_then(|or| or.of(record));
                let value = name.of(record).or_else(other);
                bytes(if *has_query { value } else { value.map(without_query) })
            }
            Self::Response { name, or } => {
                let other = || or.as_ref().and_then(|or| record.headers.response_header(or));
                let value = record.headers.response_header(name).or_else(other);
                match (value, record.upstream_service_time) {
                    (None, Some(took)) if &**name == SERVICE_TIME => Field::Digits(whole_ms(took)),
                    (value, _) => bytes(value),
                }
            }
            Self::Trailer { name, or } => {
                let other = || or.as_ref().and_then(|or| record.headers.response_trailer(or));
                bytes(record.headers.response_trailer(name).or_else(other))
            }
            Self::Simple(simple) => simple.of(record),
        }
    }
}

impl Name {
    /// The field of that name, in any case; `None` when a request has no such pseudo header.
    pub(super) fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        Some(match name.as_str() {
            ":method" => Self::Method,
            ":scheme" => Self::Scheme,
            ":authority" | "host" => Self::Authority,
            ":path" => Self::Path,
            _ if name.starts_with(':') => return None,
            _ => Self::Header(name.into()),
        })
    }

    fn of<'a>(&self, record: &AccessRecord<'a>) -> Option<&'a [u8]> {
        let value = match self {
            Self::Method => record.method,
            Self::Scheme => record.scheme,
            Self::Authority => record.authority,
            Self::Path => record.path,
            Self::Header(name) => return record.headers.request_header(name),
        };
        (!value.is_empty()).then_some(value)
    }
}

fn text(value: Option<&str>) -> Field<'_> {
    bytes(value.map(str::as_bytes))
}

fn bytes(value: Option<&[u8]>) -> Field<'_> {
    value.filter(|value| !value.is_empty()).map_or(Field::Missing, Field::Text)
}

fn word(value: Option<&str>) -> Field<'_> {
    value.filter(|value| !value.is_empty()).map_or(Field::Missing, Field::Word)
}

fn address(value: Option<SocketAddr>) -> Field<'static> {
    value.map_or(Field::Missing, Field::Address)
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn without_query(path: &[u8]) -> &[u8] {
    path.split(|b| *b == b'?').next().unwrap_or(path)
}
