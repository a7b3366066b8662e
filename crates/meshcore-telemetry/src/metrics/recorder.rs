//! What a worker counts with.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::counters::{Counter, Gauge, Labelled};
use super::histogram::add;
use super::key::{PeerIds, Peers, RequestIds, RequestKey, TcpKey};
use super::series::{LabelledSeries, RequestSeries, Shared, TcpSeries};

/// Most values of one [`Labelled`] family.
const MAX_LABELLED: usize = 256;

/// A worker's counters. Clones count into the same cells; they stay on the worker's thread,
/// because each cell has one writer.
///
/// Nothing here blocks: a series that exists is written with plain loads and stores, and a
/// new one is handed to the scrape under a lock that is held for a push.
#[derive(Debug, Clone)]
pub struct Recorder(Rc<Cells>);

#[derive(Debug)]
struct Cells {
    shared: Arc<Shared>,
    max_series: usize,
    requests: Table<RequestIds, RequestSeries>,
    tcp: Table<PeerIds, TcpSeries>,
    labelled: [Table<Box<str>, LabelledSeries>; Labelled::ALL.len()],
}

type Table<K, S> = RefCell<HashMap<K, Arc<S>, RandomState>>;

/// One request series, kept by a caller who counts into it often.
#[derive(Debug, Clone)]
pub struct RequestHandle {
    series: Arc<RequestSeries>,
    one_thread: PhantomData<Rc<()>>,
}

/// One TCP series, kept for the life of a connection.
#[derive(Debug, Clone)]
pub struct TcpHandle {
    series: Arc<TcpSeries>,
    one_thread: PhantomData<Rc<()>>,
}

/// One value of a [`Labelled`] family, kept by a caller who counts it often.
#[derive(Debug, Clone)]
pub struct CounterHandle {
    series: Arc<LabelledSeries>,
    one_thread: PhantomData<Rc<()>>,
}

impl Recorder {
    pub(super) fn new(shared: Arc<Shared>, max_series: usize) -> Self {
        Self(Rc::new(Cells {
            shared,
            max_series,
            requests: RefCell::default(),
            tcp: RefCell::default(),
            labelled: std::array::from_fn(|_| RefCell::default()),
        }))
    }

    /// Counts a finished request with its three histograms.
    pub fn request(
        &self,
        key: &RequestKey<'_>,
        duration: Duration,
        request_bytes: u64,
        response_bytes: u64,
    ) {
        if let Some(series) = self.0.requests.borrow().get(&key.ids()) {
            return series.record(duration, request_bytes, response_bytes);
        }
        self.new_request(key).record(duration, request_bytes, response_bytes);
    }

    /// The series of `key`, so that the look-up is made once.
    pub fn request_series(&self, key: &RequestKey<'_>) -> RequestHandle {
        let known = self.0.requests.borrow().get(&key.ids()).map(Arc::clone);
        let series = known.unwrap_or_else(|| self.new_request(key));
        RequestHandle { series, one_thread: PhantomData }
    }

    /// The series of `key`, so that the look-up is made once per connection.
    pub fn tcp_series(&self, key: &TcpKey<'_>) -> TcpHandle {
        let known = self.0.tcp.borrow().get(&key.ids()).map(Arc::clone);
        let series = known.unwrap_or_else(|| self.new_tcp(key));
        TcpHandle { series, one_thread: PhantomData }
    }

    /// Adds `n` to a counter.
    pub fn count(&self, counter: Counter, n: u64) {
        if let Some(cell) = self.0.shared.counters.get(counter as usize) {
            add(cell, n);
        }
    }

    /// Adds `by`, which may be negative, to a gauge.
    pub fn gauge(&self, gauge: Gauge, by: i64) {
        if let Some(cell) = self.0.shared.gauges.get(gauge as usize) {
            add(cell, by.cast_unsigned());
        }
    }

    /// Adds `n` to the counter of `value` in a family.
    pub fn count_by(&self, family: Labelled, value: &str, n: u64) {
        if let Some(table) = self.0.labelled.get(family as usize)
            && let Some(series) = table.borrow().get(value)
        {
            return add(&series.count, n);
        }
        self.labelled(family, value).add(n);
    }

    /// The counter of `value` in a family, so that the look-up is made once.
    pub fn labelled(&self, family: Labelled, value: &str) -> CounterHandle {
        let table = self.0.labelled.get(family as usize);
        let known = table.and_then(|table| table.borrow().get(value).map(Arc::clone));
        let series = known.unwrap_or_else(|| self.new_labelled(family, value));
        CounterHandle { series, one_thread: PhantomData }
    }

    #[cold]
    fn new_labelled(&self, family: Labelled, value: &str) -> Arc<LabelledSeries> {
        let new = |value: &str| {
            let (value, count) = (Box::from(value), AtomicU64::default());
            let series = Arc::new(LabelledSeries { family, value, count });
            self.0.shared.labelled.push(Arc::clone(&series));
            series
        };
        let Some(table) = self.0.labelled.get(family as usize) else {
            return new(value);
        };
        let mut table = table.borrow_mut();
        let value = if table.len() < MAX_LABELLED { value } else { "other" };
        Arc::clone(table.entry(Box::from(value)).or_insert_with(|| new(value)))
    }

    #[cold]
    fn new_request(&self, key: &RequestKey<'_>) -> Arc<RequestSeries> {
        let mut requests = self.0.requests.borrow_mut();
        let is_full = requests.len() >= self.0.max_series;
        let ids = if is_full { self.folded(key.ids().overflow()) } else { key.ids() };
        let series = requests.entry(ids).or_insert_with(|| {
            let peers = if is_full { Peers::overflow() } else { key.peers() };
            let series = Arc::new(RequestSeries::new(ids, peers));
            self.0.shared.requests.push(Arc::clone(&series));
            series
        });
        Arc::clone(series)
    }

    #[cold]
    fn new_tcp(&self, key: &TcpKey<'_>) -> Arc<TcpSeries> {
        let mut tcp = self.0.tcp.borrow_mut();
        let is_full = tcp.len() >= self.0.max_series;
        let ids = if is_full { self.folded(key.ids().overflow()) } else { key.ids() };
        let series = tcp.entry(ids).or_insert_with(|| {
            let peers = if is_full { Peers::overflow() } else { key.peers() };
            let series = Arc::new(TcpSeries::new(ids, peers));
            self.0.shared.tcp.push(Arc::clone(&series));
            series
        });
        Arc::clone(series)
    }

    fn folded<I>(&self, ids: I) -> I {
        self.count(Counter::SeriesFolded, 1);
        ids
    }
}

impl RequestHandle {
    /// Counts a finished request with its three histograms.
    pub fn record(&self, duration: Duration, request_bytes: u64, response_bytes: u64) {
        self.series.record(duration, request_bytes, response_bytes);
    }
}

impl RequestSeries {
    fn record(&self, duration: Duration, request_bytes: u64, response_bytes: u64) {
        self.duration.record_duration(duration);
        self.request_bytes.record_bytes(request_bytes);
        self.response_bytes.record_bytes(response_bytes);
    }
}

impl TcpHandle {
    /// Counts an opened connection.
    pub fn opened(&self) {
        add(&self.series.opened, 1);
    }

    /// Counts a closed connection.
    pub fn closed(&self) {
        add(&self.series.closed, 1);
    }

    /// Counts bytes: `sent` towards the client, `received` from it.
    pub fn bytes(&self, sent: u64, received: u64) {
        add(&self.series.sent, sent);
        add(&self.series.received, received);
    }
}

impl CounterHandle {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        add(&self.series.count, n);
    }
}
