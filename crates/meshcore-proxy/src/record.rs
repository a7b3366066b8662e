//! What is written down about a request when it has ended, whichever stage ended it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use meshcore_http::{RequestHead, ResponseHead};
use meshcore_model::{Failure, Flag, Flags, HookStage, Kind, ServiceLabels, WorkloadLabels};
use meshcore_snapshot::{EndpointAddress, Snapshot};
use meshcore_telemetry::{Labelled, Reporter, RequestKey, RequestProtocol, Security};

use crate::client::{Client, Direction};
use crate::exchange::is_grpc;
use crate::hooks::Denial;
use crate::recycle::Recycled;
use crate::worker::Worker;

/// What is known of a request so far.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) started: Instant,
    /// Port the request was sent to.
    pub(crate) port: u16,
    pub(crate) status: u16,
    pub(crate) grpc_status: Option<u8>,
    pub(crate) flags: Flags,
    /// One word on how the answer came about, for `RESPONSE_CODE_DETAILS`.
    pub(crate) details: &'static str,
    /// The document, or the hook, that decided against the request.
    pub(crate) reason: Option<Box<str>>,
    /// The hook that decided against the request.
    pub(crate) denied_by: Option<Box<str>>,
    /// What the client is told in place of the ordinary refusal.
    pub(crate) denial: Option<Denial>,
    /// Why the upstream failed.
    pub(crate) cause: Option<Box<str>>,
    pub(crate) service: Option<Arc<ServiceLabels>>,
    pub(crate) destination: Option<Arc<WorkloadLabels>>,
    pub(crate) cluster: Option<Arc<str>>,
    pub(crate) route: Option<Arc<str>>,
    pub(crate) upstream: Option<EndpointAddress>,
    pub(crate) upstream_local: Option<SocketAddr>,
    /// Status of the last try's answer.
    pub(crate) upstream_status: Option<u16>,
    /// Microseconds until the upstream's answer began.
    pub(crate) upstream_us: Option<u64>,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    pub(crate) is_grpc: bool,
    /// The upstream's head, kept for the access log.
    pub(crate) response: Option<Recycled<ResponseHead>>,
}

impl Record {
    pub(crate) fn open(head: &RequestHead, client: &Client) -> Self {
        Self {
            started: Instant::now(),
            port: client.port,
            status: 0,
            grpc_status: None,
            flags: Flags::default(),
            details: "-",
            reason: None,
            denied_by: None,
            denial: None,
            cause: None,
            service: None,
            destination: None,
            cluster: None,
            route: None,
            upstream: None,
            upstream_local: None,
            upstream_status: None,
            upstream_us: None,
            request_bytes: 0,
            response_bytes: 0,
            is_grpc: is_grpc(head),
            response: None,
        }
    }

    /// The client was told this.
    pub(crate) const fn answered(&mut self, status: u16, grpc_status: Option<u8>) {
        self.status = status;
        if grpc_status.is_some() {
            self.grpc_status = grpc_status;
        }
    }

    /// The request failed.
    pub(crate) fn failed(&mut self, failure: &Failure) {
        let kind = failure.kind();
        if let Some(flag) = kind.flag() {
            self.flags = self.flags.with(flag);
        }
        self.details = kind.label();
        let reason = failure.reason();
        if kind == Kind::Undecided && self.denied_by.is_none() {
            // It begins with the name of the hook; what follows may be different each time.
            self.denied_by = reason.split(": ").next().map(Box::from);
        }
        if !reason.is_empty() {
            if matches!(kind, Kind::Denied | Kind::Undecided) {
                self.reason = Some(reason.into());
            } else {
                self.cause = Some(reason.into());
            }
        }
    }

    pub(crate) const fn flag(&mut self, flag: Flag) {
        self.flags = self.flags.with(flag);
    }

    /// Counts the request, logs it, and shows it to telemetry hooks.
    pub(crate) fn close(
        self,
        worker: &Worker,
        snapshot: &Snapshot,
        client: &Client,
        head: &RequestHead,
    ) {
        let took = self.started.elapsed();
        let peer;
        let (reporter, source, destination) = match client.direction {
            Direction::Outbound | Direction::Gateway => {
                let destination = self.destination.as_ref().unwrap_or(&worker.unknown_workload);
                (Reporter::Source, &snapshot.workload, destination)
            }
            Direction::Inbound => {
                peer = worker.peer_labels(snapshot, client);
                (Reporter::Destination, &peer, &snapshot.workload)
            }
        };
        let key = RequestKey {
            reporter,
            source,
            destination,
            service: self.service.as_ref().unwrap_or(&worker.unknown_service),
            protocol: if self.is_grpc { RequestProtocol::Grpc } else { RequestProtocol::Http },
            code: self.status,
            grpc_status: self.grpc_status,
            flags: self.flags,
            security: match (reporter, client.is_mtls()) {
                (Reporter::Source, _) => Security::Unknown,
                (Reporter::Destination, true) => Security::MutualTls,
                (Reporter::Destination, false) => Security::None,
            },
        };
        worker.recorder.request(&key, took, self.request_bytes, self.response_bytes);
        // By its name alone: what a hook says of a request may be different for each.
        if let Some(decider) = self.denied_by.as_ref().or(self.reason.as_ref()) {
            worker.recorder.count_by(Labelled::RequestsDenied, decider, 1);
        }
        worker.access.http(worker, &self, client, (head, took));
        if !snapshot.hooks.of(HookStage::Telemetry).is_empty() {
            worker.telemetry.add(worker, snapshot, &self, (client, head, took));
        }
    }
}
