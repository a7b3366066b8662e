//! The endpoint that one try goes to.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use meshcore_balance::{Known, Seen, pick};
use meshcore_io::ConnectFrom;
use meshcore_model::{Failure, Kind, LoadBalancer, Protocol};
use meshcore_snapshot::{Cluster, Endpoint, EndpointAddress, EndpointId, Snapshot};
use meshcore_snapshot::{Resolution, Transport, UpstreamProtocol};
use meshcore_telemetry::Counter;

use crate::attempt::Tried;
use crate::client::{Client, Direction};
use crate::connect::DEFAULT_IDLE_S;
use crate::dial::{Upstream, UpstreamKey, keepalive};
use crate::exchange::Exchange;
use crate::pipeline::Walk;
use crate::pool::H1Connection;
use crate::route::{Routed, To};
use crate::worker::Worker;

/// Limit for connecting to the application, which is on the same host.
const APPLICATION_CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// The endpoint that one try goes to. It counts as busy while this exists.
#[derive(Debug)]
pub(crate) struct Target<'s> {
    pub(crate) upstream: Upstream,
    pub(crate) cluster: Option<&'s Arc<Cluster>>,
    pub(crate) endpoint: Option<&'s Endpoint>,
    /// What the upstream is known to speak.
    pub(crate) protocol: UpstreamProtocol,
    _busy: Option<Busy>,
}

/// An endpoint counts as busy while this exists.
#[derive(Debug)]
pub(crate) struct Busy {
    worker: Rc<Worker>,
    endpoint: EndpointId,
}

impl Busy {
    pub(crate) fn begin(worker: &Rc<Worker>, endpoint: EndpointId) -> Self {
        worker.loads.borrow_mut().begin(endpoint);
        Self { worker: Rc::clone(worker), endpoint }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.worker.loads.borrow_mut().end(self.endpoint);
    }
}

impl<'s> Target<'s> {
    /// Chooses an endpoint, one that was not `tried` while there are others. `host` is the
    /// request's own.
    ///
    /// # Errors
    ///
    /// `NoEndpoint` when there is none.
    pub(crate) fn choose(
        walk: &mut Walk<'_>,
        routed: &Routed<'s>,
        (host, tried): (&[u8], &[EndpointId]),
    ) -> Result<Self, Failure> {
        match routed.to {
            To::Cluster(cluster, _) => Self::of_cluster(walk, cluster, (host, tried)),
            To::Application(port) => {
                let (snapshot, within) = (walk.snapshot, APPLICATION_CONNECT_WITHIN);
                let upstream =
                    Upstream::application(walk.worker, walk.client, (snapshot, port), within)?;
                let protocol = match port.protocol {
                    Protocol::Http => UpstreamProtocol::Http1,
                    Protocol::Http2 | Protocol::Grpc => UpstreamProtocol::Http2,
                    Protocol::Detect | Protocol::Tcp | Protocol::Tls => UpstreamProtocol::AsClient,
                };
                Ok(Self { upstream, cluster: None, endpoint: None, protocol, _busy: None })
            }
            To::Address(address) => {
                if walk.worker.shared.is_own(address) {
                    return Err(Kind::Loop.into());
                }
                let within = walk.snapshot.settings.connect_timeout_ms;
                let upstream = Upstream::plain(address, Duration::from_millis(within));
                let protocol = UpstreamProtocol::AsClient;
                Ok(Self { upstream, cluster: None, endpoint: None, protocol, _busy: None })
            }
            To::Redirect(_) | To::Respond(..) => Err(Kind::Internal.into()),
        }
    }

    fn of_cluster(
        walk: &mut Walk<'_>,
        cluster: &'s Arc<Cluster>,
        (host, tried): (&[u8], &[EndpointId]),
    ) -> Result<Self, Failure> {
        walk.record.cluster = Some(Arc::clone(&cluster.name));
        let (mut upstream, endpoint) =
            choose_upstream(walk.worker, walk.client, walk.snapshot, (cluster, tried))?;
        if let UpstreamKey::Original(_, _, proven) = &mut upstream.key
            && cluster.transport.verifies_host_of_request()
        {
            *proven = host.to_ascii_lowercase().into();
        }
        if let Some(endpoint) = endpoint {
            if endpoint.transport.verifies_host_of_request() {
                upstream.key = UpstreamKey::Host(endpoint.id, host.to_ascii_lowercase().into());
            }
            walk.record.destination = Some(Arc::clone(&endpoint.labels));
        }
        let busy = endpoint.map(|endpoint| Busy::begin(walk.worker, endpoint.id));
        Ok(Self {
            upstream,
            cluster: Some(cluster),
            endpoint,
            protocol: cluster.protocol,
            _busy: busy,
        })
    }

    /// Writes down where the request went.
    pub(crate) fn note(&self, walk: &mut Walk<'_>, local: Option<SocketAddr>) {
        let address = self.endpoint.map_or(&self.upstream.dial, |endpoint| &endpoint.address);
        walk.record.upstream = Some(address.clone());
        walk.record.upstream_local = local;
    }

    /// Keeps the connection for the next request, unless it has done its share.
    pub(crate) fn keep(&self, worker: &Worker, connection: Box<H1Connection>) {
        let now_s = worker.now_s();
        let Some(cluster) = self.cluster else {
            worker.pools.put(&self.upstream.key, connection, (now_s, DEFAULT_IDLE_S));
            return;
        };
        let limits = &cluster.limits;
        let age_s = now_s.saturating_sub(connection.opened_s);
        let is_old = limits.max_connection_duration_ms > 0
            && age_s.saturating_mul(1000) >= limits.max_connection_duration_ms;
        if connection.requests < limits.max_requests_per_connection && !is_old {
            let max_idle_s = limits.http_idle_timeout_ms.div_ceil(1000);
            worker.pools.put(&self.upstream.key, connection, (now_s, max_idle_s));
        }
    }

    /// Tells the balancer how the try went.
    pub(crate) fn settle(
        &self,
        walk: &mut Walk<'_>,
        exchange: &Exchange<'_>,
        result: &Result<Tried, Failure>,
    ) {
        let (Some(endpoint), Some(cluster)) = (self.endpoint, self.cluster) else { return };
        let status = walk.record.upstream_status.take();
        let worker = walk.worker;
        let mut health = worker.health.borrow_mut();
        match result {
            Err(failure) if is_unreachable(failure.kind()) => {
                health.failed(cluster.id, endpoint.id, worker.now_ms());
            }
            Ok(_) | Err(_) if health.is_empty() => {}
            Ok(_) | Err(_) => health.connected(endpoint.id, worker.now_ms()),
        }
        if cluster.outlier_detection.is_none() {
            return;
        }
        let seen = match (status, result) {
            (Some(status), _) => Seen::Status(status),
            // Perhaps it was the client that took its time, with its body.
            (None, Err(failure))
                if failure.kind() == Kind::UpstreamTimeout && !exchange.body.is_over() =>
            {
                return;
            }
            (None, Err(failure)) if is_of_upstream(failure.kind()) => Seen::LocalFailure,
            (None, Ok(_) | Err(_)) => return,
        };
        let mut outliers = worker.outliers.borrow_mut();
        let outliers = outliers.entry(cluster.id).or_default();
        if let Some(ejection) = outliers.observe(cluster, endpoint.id, seen, worker.now_ms()) {
            health.eject(cluster.id, ejection.id, ejection.until_ms);
            worker.recorder.count(Counter::EndpointsEjected, 1);
        }
    }
}

/// Whether the endpoint could not be reached at all.
const fn is_unreachable(kind: Kind) -> bool {
    matches!(kind, Kind::UpstreamRefused | Kind::UpstreamConnectTimeout | Kind::UpstreamTls)
}

/// Whether the upstream, not the client or policy, is why there was no answer.
const fn is_of_upstream(kind: Kind) -> bool {
    is_unreachable(kind)
        || matches!(kind, Kind::UpstreamClosed | Kind::UpstreamReset | Kind::UpstreamTimeout)
}

/// An endpoint of a cluster and how to connect to it; without one, the original destination.
///
/// # Errors
///
/// `NoEndpoint` when there is none; `Loop` when it would be this sidecar.
pub(crate) fn choose_upstream<'s>(
    worker: &Worker,
    client: &Client,
    snapshot: &Snapshot,
    (cluster, tried): (&'s Cluster, &[EndpointId]),
) -> Result<(Upstream, Option<&'s Endpoint>), Failure> {
    let is_passthrough = cluster.load_balancer == LoadBalancer::Passthrough
        || matches!(cluster.resolution, Resolution::OriginalDst);
    if is_passthrough && let Some(original) = client.original {
        let address = EndpointAddress::Socket(original);
        let key = UpstreamKey::Original(cluster.id, original, Box::default());
        return Ok((upstream(snapshot, cluster, (key, address, &cluster.transport)), None));
    }
    let known = Known {
        loads: &worker.loads.borrow(),
        health: &worker.health.borrow(),
        tried,
        now_ms: if worker.health.borrow().is_empty() { 0 } else { worker.now_ms() },
    };
    let mut cursors = worker.cursors.borrow_mut();
    let endpoint =
        pick(cluster, &known, &mut cursors, &mut || worker.random()).ok_or_else(|| {
            Failure::because(Kind::NoEndpoint, format!("{} has no endpoint", cluster.name))
        })?;
    if let EndpointAddress::Socket(dial) = &endpoint.dial
        && client.direction == Direction::Outbound
        && worker.shared.is_own_outbound(*dial)
    {
        return Err(Kind::Loop.into());
    }
    let key = UpstreamKey::Endpoint(endpoint.id);
    let to = (key, endpoint.dial.clone(), &endpoint.transport);
    Ok((upstream(snapshot, cluster, to), Some(endpoint)))
}

fn upstream(
    snapshot: &Snapshot,
    cluster: &Cluster,
    (key, dial, transport): (UpstreamKey, EndpointAddress, &Transport),
) -> Upstream {
    // On one host, where every workload has its own loopback address, the others know us by it.
    let node = snapshot.node.address;
    let from = match &dial {
        EndpointAddress::Socket(to) if node.is_loopback() && to.ip().is_loopback() => {
            ConnectFrom::Address(node)
        }
        EndpointAddress::Socket(_) | EndpointAddress::Unix(_) => ConnectFrom::Any,
    };
    Upstream {
        key,
        dial,
        transport: transport.clone(),
        from,
        connect_within: Duration::from_millis(cluster.limits.connect_timeout_ms),
        keepalive: keepalive(&cluster.limits),
    }
}
