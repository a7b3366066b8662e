//! A connection for one try: one that waits in the pool, or a new one.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use meshcore_http::Version;
use meshcore_model::{Failure, Kind};
use meshcore_snapshot::{Cluster, UpstreamProtocol};
use meshcore_telemetry::{Counter, Gauge};

use crate::counted::Counted;
use crate::dial::{Speaking, Upstream};
use crate::exchange::Exchange;
use crate::h2_client::{H2Connection, H2Limits};
use crate::pool::{H1Connection, Slot};
use crate::target::Target;
use crate::timer::timeout;
use crate::worker::Worker;

/// A connection to an upstream.
#[derive(Debug)]
pub(crate) enum Connection {
    H1(Box<H1Connection>),
    H2(Rc<H2Connection>),
}

impl Connection {
    /// Whether it has carried a request before, so that the upstream may just have closed it.
    pub(crate) const fn was_used(&self) -> bool {
        match self {
            Self::H1(connection) => connection.requests > 0,
            Self::H2(_) => true,
        }
    }
}

/// What kind of connection a try needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan<'a> {
    upstream: &'a Upstream,
    cluster: Option<&'a Arc<Cluster>>,
    http2: bool,
}

/// Streams on one connection to an application, which has no policy.
const DEFAULT_STREAMS: u32 = 1000;

/// How long such a connection is kept without requests. Source: Envoy's default.
pub(crate) const DEFAULT_IDLE_S: u64 = 3600;

impl<'a> Plan<'a> {
    /// What a request needs at its target: HTTP/2 where the upstream speaks it, or the client
    /// does and the upstream is not known to speak otherwise. A change of protocol needs HTTP/1.
    pub(crate) fn new(target: &'a Target<'_>, exchange: &Exchange<'_>) -> Self {
        let from_h2 = exchange.head.version() == Version::Http2;
        let is_upgraded = target.cluster.is_some_and(|cluster| cluster.limits.h2_upgrade);
        let http2 = match target.protocol {
            UpstreamProtocol::Http2 => true,
            UpstreamProtocol::Http1 => is_upgraded,
            UpstreamProtocol::AsClient | UpstreamProtocol::Tcp => from_h2 || is_upgraded,
        };
        Self {
            upstream: &target.upstream,
            cluster: target.cluster,
            http2: http2 && !exchange.wants_upgrade,
        }
    }

    /// A connection; `must_be_new` passes the pool over.
    ///
    /// # Errors
    ///
    /// `Overflow` when the cluster's limits are reached; those of connecting.
    pub(crate) async fn connection(
        &self,
        worker: &Rc<Worker>,
        host: &[u8],
        must_be_new: bool,
    ) -> Result<Connection, Failure> {
        if self.http2 {
            return self.h2(worker, host).await.map(Connection::H2);
        }
        self.h1(worker, host, must_be_new).await.map(Connection::H1)
    }

    async fn h1(
        &self,
        worker: &Worker,
        host: &[u8],
        must_be_new: bool,
    ) -> Result<Box<H1Connection>, Failure> {
        let usage = self.cluster.and_then(|cluster| worker.usage(cluster));
        let epoch = worker.shared.trust_epoch();
        let kept = || if must_be_new { None } else { worker.pools.take(&self.upstream.key, epoch) };
        let reused = |connection| {
            worker.recorder.count(Counter::UpstreamConnectionsReused, 1);
            Ok(connection)
        };
        if let Some(connection) = kept() {
            return reused(connection);
        }
        let _waiting = Counted::begin(&worker.recorder, Gauge::RequestsPending);
        let Some(usage) = usage else {
            return Box::pin(self.open_h1(worker, host, None)).await;
        };
        let limits = self.cluster.map(|cluster| &cluster.limits);
        let (max_pending, max_connections) = limits
            .map_or((u32::MAX, u32::MAX), |limits| (limits.max_pending, limits.max_connections));
        let _pending = usage.queue(max_pending).map_err(|full| worker.overflow(full))?;
        loop {
            let returned = usage.returned();
            if let Ok(slot) = usage.open(max_connections) {
                return self.open_h1(worker, host, Some(slot)).await;
            }
            worker.shared.want_connection();
            returned.await;
            if let Some(connection) = kept() {
                return reused(connection);
            }
        }
    }

    async fn open_h1(
        &self,
        worker: &Worker,
        host: &[u8],
        slot: Option<Slot>,
    ) -> Result<Box<H1Connection>, Failure> {
        let epoch = worker.shared.trust_epoch();
        let stream = Box::pin(self.connect(worker, Speaking::Http1, host)).await?;
        let open = Counted::begin(&worker.recorder, Gauge::UpstreamConnectionsOpen);
        Ok(Box::new(H1Connection::new(stream, (worker.now_s(), epoch), (slot, open))))
    }

    /// A connection that failed is not among those kept, so that none has to be passed over.
    async fn h2(&self, worker: &Rc<Worker>, host: &[u8]) -> Result<Rc<H2Connection>, Failure> {
        let (pools, key) = (&worker.pools, &self.upstream.key);
        let limited = self.cluster.and_then(|cluster| Some((worker.usage(cluster)?, cluster)));
        let mut queued = None;
        loop {
            let returned = limited.as_ref().map(|(usage, _cluster)| usage.returned());
            let epoch = worker.shared.trust_epoch();
            if let Some(connection) = pools.h2_with_room(key, epoch) {
                worker.recorder.count(Counter::UpstreamConnectionsReused, 1);
                return Ok(connection);
            }
            let _waiting = Counted::begin(&worker.recorder, Gauge::RequestsPending);
            if let Some(opened) = pools.opened_h2(key).await {
                opened?;
                continue;
            }
            let slot = match &limited {
                None => None,
                Some((usage, cluster)) => match usage.open(cluster.limits.max_connections) {
                    Ok(slot) => Some(slot),
                    // Streams of ours will end; what other workers have is theirs.
                    Err(_full) if pools.has_h2(key) => {
                        if queued.is_none() {
                            let turn = usage.queue(cluster.limits.max_pending);
                            queued = Some(turn.map_err(|full| worker.overflow(full))?);
                        }
                        if let Some(returned) = returned {
                            returned.await;
                        }
                        continue;
                    }
                    Err(full) => return Err(worker.overflow(full)),
                },
            };
            return pools.open_h2(key, Box::pin(self.open_h2(worker, host, (epoch, slot)))).await;
        }
    }

    async fn open_h2(
        &self,
        worker: &Rc<Worker>,
        host: &[u8],
        (trust_epoch, slot): (u64, Option<Slot>),
    ) -> Result<Rc<H2Connection>, Failure> {
        let stream = Box::pin(self.connect(worker, Speaking::Http2, host)).await?;
        let limits = match self.cluster {
            Some(cluster) => H2Limits {
                streams: cluster.limits.max_concurrent_streams,
                requests: cluster.limits.max_requests_per_connection,
                idle_s: cluster.limits.http_idle_timeout_ms.div_ceil(1000),
                trust_epoch,
            },
            None => H2Limits {
                streams: DEFAULT_STREAMS,
                requests: u32::MAX,
                idle_s: DEFAULT_IDLE_S,
                trust_epoch,
            },
        };
        let open = Counted::begin(&worker.recorder, Gauge::UpstreamConnectionsOpen);
        let beginning = H2Connection::begin(stream, limits, worker.now_s(), (slot, open));
        let within = self.upstream.connect_within;
        timeout(within, pin!(beginning)).await.unwrap_or_else(|_late| {
            let cause = format!("{}: no HTTP/2 settings within {within:?}", self.upstream.dial);
            Err(Failure::because(Kind::UpstreamConnectTimeout, cause))
        })
    }

    async fn connect(
        &self,
        worker: &Worker,
        speaking: Speaking,
        host: &[u8],
    ) -> Result<crate::stream::Stream, Failure> {
        let host = std::str::from_utf8(host).unwrap_or_default();
        let connected = self.upstream.connect(worker, speaking, host).await;
        let counter = match &connected {
            Ok(_) => Counter::UpstreamConnectionsOpened,
            Err(_) => Counter::UpstreamConnectionsFailed,
        };
        worker.recorder.count(counter, 1);
        connected
    }
}
