//! The access log of a worker, and the batches for telemetry hooks.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use meshcore_http::{RequestHead, ResponseHead, Version};
use meshcore_model::LogFormat;
use meshcore_model::{AccessLog as Wanted, Attribute, Failure, Flags, HookStage, Identity};
use meshcore_snapshot::{EndpointAddress, Snapshot};
use meshcore_telemetry::{AccessFormat, AccessHeaders, AccessRecord, Counter, LogBuffer};
use meshcore_telemetry::{LogQueue, LogSink, LogStats, Recorder};
use parking_lot::Mutex;

use crate::client::{Client, Direction};
use crate::hooks::{RequestRecord, View};
use crate::record::Record;
use crate::tunnel::Moved;
use crate::worker::Worker;

/// Bytes of lines that may wait for the file.
const QUEUE_BYTES: usize = 8 * 1024 * 1024;

/// Records that are handed to telemetry hooks at a time.
const RECORDS: usize = 256;

/// The access log of a process: its format and the way to its file.
#[derive(Debug)]
pub(crate) struct AccessLog {
    pub(crate) wanted: Wanted,
    format: AccessFormat,
    queue: LogQueue,
    /// What of it is in the metrics.
    counted: Mutex<LogStats>,
}

impl AccessLog {
    /// Opens the log.
    ///
    /// # Errors
    ///
    /// A pattern with an unknown operator, or a file that cannot be opened.
    pub(crate) fn open(wanted: &Wanted) -> io::Result<Self> {
        let format = match &wanted.format {
            LogFormat::Text(pattern) => AccessFormat::text(pattern.as_deref()),
            LogFormat::Json => AccessFormat::istio_json(),
        };
        let format = format.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let sink = LogSink::open(Path::new(&wanted.path))
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", wanted.path)))?;
        let queue = LogQueue::start(sink, QUEUE_BYTES)?;
        Ok(Self { wanted: wanted.clone(), format, queue, counted: Mutex::default() })
    }

    /// Counts what the writer could not write since this was last called.
    pub(crate) fn count_failures(&self, recorder: &Recorder) {
        let (now, mut counted) = (self.queue.stats(), self.counted.lock());
        let lines = now.failed.saturating_sub(counted.failed);
        let reopens = now.reopen_failures.saturating_sub(counted.reopen_failures);
        recorder.count(Counter::AccessLogFailed, lines);
        recorder.count(Counter::AccessLogReopenFailures, reopens);
        *counted = now;
    }

    /// Opens the file by its name again, after it was renamed.
    pub(crate) fn reopen(&self) {
        self.queue.reopen();
    }
}

/// Where a connection of opaque bytes went.
#[derive(Debug, Default)]
pub(crate) struct Went<'a> {
    pub(crate) cluster: Option<&'a str>,
    pub(crate) upstream: Option<SocketAddr>,
    /// Our side of the connection there.
    pub(crate) local: Option<SocketAddr>,
}

/// Lines of one worker that are not handed over yet.
#[derive(Debug, Default)]
pub(crate) struct AccessBatch {
    open: RefCell<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    log: Arc<AccessLog>,
    lines: LogBuffer,
}

impl AccessBatch {
    /// Takes over the log in force.
    pub(crate) fn take_over(&self, log: Option<&Arc<AccessLog>>) {
        let mut open = self.open.borrow_mut();
        let is_same = match (&*open, log) {
            (Some(open), Some(log)) => Arc::ptr_eq(&open.log, log),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !is_same {
            *open =
                log.map(|log| Open { log: Arc::clone(log), lines: log.queue.sender().buffer() });
        }
    }

    /// Hands the lines over.
    pub(crate) fn flush(&self, worker: &Worker) {
        if let Some(open) = &mut *self.open.borrow_mut()
            && let Err(full) = open.lines.hand_over()
        {
            worker.recorder.count(Counter::AccessLogDropped, full.lines);
        }
    }

    /// Writes down a request.
    pub(crate) fn http(
        &self,
        worker: &Worker,
        record: &Record,
        client: &Client,
        (head, took): (&RequestHead, Duration),
    ) {
        let mut open = self.open.borrow_mut();
        let Some(open) = &mut *open else { return };
        let headers = Headers { request: head, response: record.response.as_deref() };
        let start = SystemTime::now().checked_sub(took).unwrap_or(SystemTime::UNIX_EPOCH);
        let line = AccessRecord {
            method: head.method_bytes(),
            scheme: head.scheme().name().as_bytes(),
            authority: head.authority(),
            path: head.target(),
            protocol: Some(protocol(head.version())),
            response_code: record.status,
            flags: record.flags,
            response_code_details: Some(record.details),
            upstream_failure: record.cause.as_deref(),
            bytes_received: record.request_bytes,
            bytes_sent: record.response_bytes,
            upstream_service_time: record.upstream_us.map(Duration::from_micros),
            upstream_host: socket(record.upstream.as_ref()),
            upstream_cluster: record.cluster.as_deref(),
            upstream_local: record.upstream_local,
            downstream_local: Some(client.local),
            downstream_remote: Some(client.peer),
            server_name: client.sni.as_deref(),
            route_name: record.route.as_deref(),
            peer_uri_san: client.identity.as_ref().map(Identity::as_str),
            reason: record.reason.as_deref(),
            ..AccessRecord::new(&headers, start, took)
        };
        open.write(worker, &line);
    }

    /// Writes down a connection of opaque bytes.
    pub(crate) fn tcp(
        &self,
        worker: &Worker,
        client: &Client,
        (went, started, moved): (&Went<'_>, Instant, &Moved),
        failure: Option<&Failure>,
    ) {
        let mut open = self.open.borrow_mut();
        let Some(open) = &mut *open else { return };
        let took = started.elapsed();
        let start = SystemTime::now().checked_sub(took).unwrap_or(SystemTime::UNIX_EPOCH);
        let reason = failure.map(Failure::reason).filter(|reason| !reason.is_empty());
        let request = RequestHead::new();
        let headers = Headers { request: &request, response: None };
        let line = AccessRecord {
            flags: failure.map_or_else(Flags::default, |failure| Flags::from(failure.kind())),
            connection_termination_details: failure.map(|failure| failure.kind().label()),
            upstream_failure: reason.as_deref(),
            bytes_received: moved.sent.get(),
            bytes_sent: moved.received.get(),
            upstream_host: went.upstream,
            upstream_cluster: went.cluster,
            upstream_local: went.local,
            downstream_local: Some(client.local),
            downstream_remote: Some(client.peer),
            server_name: client.sni.as_deref(),
            peer_uri_san: client.identity.as_ref().map(Identity::as_str),
            ..AccessRecord::new(&headers, start, took)
        };
        open.write(worker, &line);
    }
}

impl Open {
    fn write(&mut self, worker: &Worker, line: &AccessRecord<'_>) {
        worker.recorder.count(Counter::AccessLogLines, 1);
        let format = &self.log.format;
        if let Err(full) = self.lines.line(|out| format.write(line, out)) {
            worker.recorder.count(Counter::AccessLogDropped, full.lines);
        }
    }
}

struct Headers<'a> {
    request: &'a RequestHead,
    response: Option<&'a ResponseHead>,
}

impl AccessHeaders for Headers<'_> {
    fn request_header(&self, name: &str) -> Option<&[u8]> {
        self.request.fields.get_named(name.as_bytes())
    }

    fn response_header(&self, name: &str) -> Option<&[u8]> {
        self.response?.fields.get_named(name.as_bytes())
    }

    fn response_trailer(&self, _name: &str) -> Option<&[u8]> {
        None
    }
}

const fn protocol(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2",
    }
}

pub(crate) fn socket(address: Option<&EndpointAddress>) -> Option<SocketAddr> {
    match address? {
        EndpointAddress::Socket(address) => Some(*address),
        EndpointAddress::Unix(_) => None,
    }
}

/// Records of one worker that telemetry hooks have not seen yet.
#[derive(Debug, Default)]
pub(crate) struct TelemetryBatch {
    records: RefCell<Vec<RequestRecord>>,
}

impl TelemetryBatch {
    /// Adds a request, with the values that the hooks declared.
    pub(crate) fn add(
        &self,
        worker: &Worker,
        snapshot: &Snapshot,
        record: &Record,
        (client, head, took): (&Client, &RequestHead, Duration),
    ) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let view = View {
            request: head,
            response: record.response.as_deref(),
            identity: client.identity.as_ref(),
            address: client.peer.ip(),
            port: record.port,
            route: record.route.as_deref().unwrap_or_default(),
        };
        let mut attributes = Vec::new();
        for hook in snapshot.hooks.of(HookStage::Telemetry) {
            for attribute in hook.hook.reads.iter().flatten() {
                let value = view.read(attribute, |value| value.map(text));
                attributes.push((Attribute::clone(attribute), value));
            }
        }
        let mut records = self.records.borrow_mut();
        records.push(RequestRecord {
            direction: match client.direction {
                // Source: a gateway reports as the source, in Istio's metrics too.
                Direction::Outbound | Direction::Gateway => "outbound",
                Direction::Inbound => "inbound",
            },
            method: text(head.method_bytes()),
            host: text(head.authority()),
            path: text(head.path()),
            status: record.status,
            flags: record.flags.to_string(),
            source_principal: client.identity.as_ref().map(ToString::to_string).unwrap_or_default(),
            destination_service: record
                .service
                .as_ref()
                .map(|service| service.host.to_string())
                .unwrap_or_default(),
            route: record.route.as_deref().unwrap_or_default().to_owned(),
            duration_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            request_bytes: record.request_bytes,
            response_bytes: record.response_bytes,
            attributes,
        });
        if records.len() >= RECORDS {
            let full = std::mem::take(&mut *records);
            drop(records);
            let _dropped = worker.guard(|host| host.finished(full)); // counted on the other side
        }
    }

    /// Hands over what there is.
    pub(crate) fn flush(&self, worker: &Worker) {
        let records = std::mem::take(&mut *self.records.borrow_mut());
        if !records.is_empty() {
            // Counted on the other side.
            let _dropped = worker.guard(|host| host.finished(records));
        }
    }
}
