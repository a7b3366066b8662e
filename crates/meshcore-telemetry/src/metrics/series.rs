//! The cells behind a series. One worker writes them, a scrape reads them.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;

use super::counters::{Counter, Gauge, Labelled};
use super::histogram::Histogram;
use super::key::{PeerIds, Peers, RequestIds};

/// Requests of one key on one worker. Their number is the count of `duration`.
#[derive(Debug)]
pub(super) struct RequestSeries {
    pub(super) ids: RequestIds,
    pub(super) peers: Peers,
    pub(super) duration: Histogram,
    pub(super) request_bytes: Histogram,
    pub(super) response_bytes: Histogram,
}

/// TCP connections of one key on one worker.
#[derive(Debug)]
pub(super) struct TcpSeries {
    pub(super) ids: PeerIds,
    pub(super) peers: Peers,
    pub(super) opened: AtomicU64,
    pub(super) closed: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
}

/// One value of one [`Labelled`] family on one worker.
#[derive(Debug)]
pub(super) struct LabelledSeries {
    pub(super) family: Labelled,
    pub(super) value: Box<str>,
    pub(super) count: AtomicU64,
}

/// What a worker and a scrape share. The locks are taken when a series is made, never when
/// it is written, and are held for a push or a take.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Shared {
    pub(super) counters: [AtomicU64; Counter::ALL.len()],
    pub(super) gauges: [AtomicU64; Gauge::ALL.len()],
    pub(super) requests: Unseen<RequestSeries>,
    pub(super) tcp: Unseen<TcpSeries>,
    pub(super) labelled: Unseen<LabelledSeries>,
}

/// Series that no scrape has seen yet.
#[derive(Debug)]
pub(super) struct Unseen<S>(Mutex<Vec<Arc<S>>>);

impl<S> Default for Unseen<S> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<S> Unseen<S> {
    pub(super) fn push(&self, series: Arc<S>) {
        self.0.lock().push(series);
    }

    pub(super) fn take(&self) -> Vec<Arc<S>> {
        std::mem::take(&mut self.0.lock())
    }
}

impl RequestSeries {
    pub(super) fn new(ids: RequestIds, peers: Peers) -> Self {
        Self {
            ids,
            peers,
            duration: Histogram::default(),
            request_bytes: Histogram::default(),
            response_bytes: Histogram::default(),
        }
    }
}

impl TcpSeries {
    pub(super) fn new(ids: PeerIds, peers: Peers) -> Self {
        Self {
            ids,
            peers,
            opened: AtomicU64::default(),
            closed: AtomicU64::default(),
            sent: AtomicU64::default(),
            received: AtomicU64::default(),
        }
    }
}
