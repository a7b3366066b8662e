//! What the access log can say about a request.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use meshcore_model::Flags;

/// Header fields of a request and its response. Names are asked for in lower case; pseudo
/// headers are not asked for.
pub trait AccessHeaders {
    /// Value of the request's field, the first if there are several.
    fn request_header(&self, name: &str) -> Option<&[u8]>;

    /// Value of the response's field, the first if there are several.
    fn response_header(&self, name: &str) -> Option<&[u8]>;

    /// Value of the response's trailer field.
    fn response_trailer(&self, name: &str) -> Option<&[u8]>;
}

/// A request or connection that has ended, as the access log sees it. Everything is borrowed;
/// `None` and empty texts are written as `-` (in JSON as `null`).
#[derive(Clone, Copy)]
pub struct AccessRecord<'a> {
    /// Header fields.
    pub headers: &'a dyn AccessHeaders,
    /// When the request began.
    pub start: SystemTime,
    /// How long it took to its last byte.
    pub duration: Duration,
    /// `:METHOD`.
    pub method: &'a [u8],
    /// `:SCHEME`.
    pub scheme: &'a [u8],
    /// `:AUTHORITY`.
    pub authority: &'a [u8],
    /// `:PATH`, with its query.
    pub path: &'a [u8],
    /// `HTTP/1.1`, `HTTP/2`.
    pub protocol: Option<&'a str>,
    /// Status code; 0 when there was no response.
    pub response_code: u16,
    /// Response flags.
    pub flags: Flags,
    /// Why the response is what it is, such as `via_upstream` or `Kind::label`.
    pub response_code_details: Option<&'a str>,
    /// Why the connection was closed by us.
    pub connection_termination_details: Option<&'a str>,
    /// Why the connection to the upstream could not be made.
    pub upstream_failure: Option<&'a str>,
    /// Bytes of the request's body.
    pub bytes_received: u64,
    /// Bytes of the response's body.
    pub bytes_sent: u64,
    /// How long the upstream took to its response's head; also answers
    /// `RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)` when there is no such header.
    pub upstream_service_time: Option<Duration>,
    /// Endpoint.
    pub upstream_host: Option<SocketAddr>,
    /// Name of the cluster, such as `outbound|9080||reviews.prod.svc.cluster.local`.
    pub upstream_cluster: Option<&'a str>,
    /// Our end of the connection to the upstream.
    pub upstream_local: Option<SocketAddr>,
    /// Where the client connected to.
    pub downstream_local: Option<SocketAddr>,
    /// The client.
    pub downstream_remote: Option<SocketAddr>,
    /// Server name the client asked for in its TLS handshake.
    pub server_name: Option<&'a str>,
    /// Name of the route.
    pub route_name: Option<&'a str>,
    /// Identity of the client.
    pub peer_uri_san: Option<&'a str>,
    /// Who decided, when the request was denied: the policy's origin.
    pub reason: Option<&'a str>,
}

impl<'a> AccessRecord<'a> {
    /// A record in which only these are known.
    pub fn new(headers: &'a dyn AccessHeaders, start: SystemTime, duration: Duration) -> Self {
        Self {
            headers,
            start,
            duration,
            method: b"",
            scheme: b"",
            authority: b"",
            path: b"",
            protocol: None,
            response_code: 0,
            flags: Flags::default(),
            response_code_details: None,
            connection_termination_details: None,
            upstream_failure: None,
            bytes_received: 0,
            bytes_sent: 0,
            upstream_service_time: None,
            upstream_host: None,
            upstream_cluster: None,
            upstream_local: None,
            downstream_local: None,
            downstream_remote: None,
            server_name: None,
            route_name: None,
            peer_uri_san: None,
            reason: None,
        }
    }
}

impl fmt::Debug for AccessRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessRecord")
            .field("authority", &String::from_utf8_lossy(self.authority))
            .field("path", &String::from_utf8_lossy(self.path))
            .field("response_code", &self.response_code)
            .finish_non_exhaustive()
    }
}
