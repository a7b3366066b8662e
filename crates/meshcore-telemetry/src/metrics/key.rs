//! What tells one series from another.

use std::sync::Arc;

use meshcore_model::{Flags, ServiceLabels, WorkloadLabels};

/// Number of the labels into which series over the limit are folded.
pub(super) const OVERFLOW_ID: u32 = u32::MAX;

/// Which end of the connection counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reporter {
    /// The client's sidecar.
    Source,
    /// The server's sidecar.
    Destination,
}

impl Reporter {
    /// Value of the label `reporter`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
        }
    }
}

/// What was spoken inside HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestProtocol {
    /// HTTP.
    Http,
    /// gRPC over HTTP/2.
    Grpc,
}

impl RequestProtocol {
    /// Value of the label `request_protocol`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }
}

/// How the connection was secured. The client's side always reports `unknown`, as in Istio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Security {
    /// TLS with a verified client.
    MutualTls,
    /// Cleartext, or TLS without a client certificate.
    None,
    /// Not known.
    Unknown,
}

impl Security {
    /// Value of the label `connection_security_policy`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::MutualTls => "mutual_tls",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }
}

/// The series a request is counted in.
#[derive(Debug, Clone, Copy)]
pub struct RequestKey<'a> {
    /// Who counts.
    pub reporter: Reporter,
    /// The caller.
    pub source: &'a Arc<WorkloadLabels>,
    /// The called workload.
    pub destination: &'a Arc<WorkloadLabels>,
    /// The called service.
    pub service: &'a Arc<ServiceLabels>,
    /// HTTP or gRPC.
    pub protocol: RequestProtocol,
    /// Status code of the response; 0 when there was none.
    pub code: u16,
    /// gRPC status of the response, if it was gRPC.
    pub grpc_status: Option<u8>,
    /// Response flags.
    pub flags: Flags,
    /// How the connection was secured.
    pub security: Security,
}

/// The series a TCP connection is counted in.
#[derive(Debug, Clone, Copy)]
pub struct TcpKey<'a> {
    /// Who counts.
    pub reporter: Reporter,
    /// The caller.
    pub source: &'a Arc<WorkloadLabels>,
    /// The called workload.
    pub destination: &'a Arc<WorkloadLabels>,
    /// The called service.
    pub service: &'a Arc<ServiceLabels>,
    /// Response flags.
    pub flags: Flags,
    /// How the connection was secured.
    pub security: Security,
}

/// [`RequestKey`] by numbers alone: what is hashed and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct RequestIds {
    pub(super) peers: PeerIds,
    pub(super) code: u16,
    pub(super) grpc_status: Option<u8>,
    pub(super) protocol: RequestProtocol,
}

/// The part of the numbers that requests and TCP connections have in common; all there is
/// for TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PeerIds {
    pub(super) source: u32,
    pub(super) destination: u32,
    pub(super) service: u32,
    pub(super) flags: Flags,
    pub(super) reporter: Reporter,
    pub(super) security: Security,
}

/// The labels behind [`PeerIds`], kept once per series.
#[derive(Debug, Clone)]
pub(super) struct Peers {
    pub(super) source: Arc<WorkloadLabels>,
    pub(super) destination: Arc<WorkloadLabels>,
    pub(super) service: Arc<ServiceLabels>,
}

impl RequestKey<'_> {
    pub(super) fn ids(&self) -> RequestIds {
        RequestIds {
            peers: self.tcp().ids(),
            code: self.code,
            grpc_status: self.grpc_status,
            protocol: self.protocol,
        }
    }

    pub(super) fn peers(&self) -> Peers {
        self.tcp().peers()
    }

    const fn tcp(&self) -> TcpKey<'_> {
        TcpKey {
            reporter: self.reporter,
            source: self.source,
            destination: self.destination,
            service: self.service,
            flags: self.flags,
            security: self.security,
        }
    }
}

impl TcpKey<'_> {
    pub(super) fn ids(&self) -> PeerIds {
        PeerIds {
            source: self.source.id,
            destination: self.destination.id,
            service: self.service.id,
            flags: self.flags,
            reporter: self.reporter,
            security: match self.reporter {
                Reporter::Source => Security::Unknown,
                Reporter::Destination => self.security,
            },
        }
    }

    pub(super) fn peers(&self) -> Peers {
        Peers {
            source: Arc::clone(self.source),
            destination: Arc::clone(self.destination),
            service: Arc::clone(self.service),
        }
    }
}

impl PeerIds {
    /// Where connections over the limit are counted.
    pub(super) fn overflow(self) -> Self {
        Self {
            source: OVERFLOW_ID,
            destination: OVERFLOW_ID,
            service: OVERFLOW_ID,
            flags: Flags::default(),
            reporter: self.reporter,
            security: Security::Unknown,
        }
    }
}

impl RequestIds {
    /// Where requests over the limit are counted.
    pub(super) fn overflow(self) -> Self {
        Self {
            peers: self.peers.overflow(),
            code: 0,
            grpc_status: None,
            protocol: RequestProtocol::Http,
        }
    }
}

impl Peers {
    /// Labels that say `overflow` everywhere.
    pub(super) fn overflow() -> Self {
        let text = || Box::from("overflow");
        let workload = Arc::new(WorkloadLabels {
            id: OVERFLOW_ID,
            workload: text(),
            namespace: text(),
            principal: text(),
            app: text(),
            version: text(),
            cluster: text(),
            canonical_service: text(),
            canonical_revision: text(),
        });
        let service =
            ServiceLabels { id: OVERFLOW_ID, host: text(), name: text(), namespace: text() };
        Self { source: Arc::clone(&workload), destination: workload, service: Arc::new(service) }
    }
}
