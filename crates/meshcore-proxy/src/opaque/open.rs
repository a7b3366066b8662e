//! Where opaque connections go, and getting there.

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use meshcore_http::RequestHead;
use meshcore_model::WorkloadLabels;
use meshcore_model::{Failure, HookStage, Kind, OutboundPolicy, Protocol, ServiceLabels};
use meshcore_policy::authorize_tcp;
use meshcore_snapshot::{Authority, Cluster, GatewayChain, InboundPort, Serves, Snapshot};
use meshcore_snapshot::{TcpDestination, TcpRoute, Transport};
use meshcore_telemetry::Gauge;

use super::IDLE;
use crate::access::socket;
use crate::authorize::reason;
use crate::client::{Client, Direction};
use crate::counted::Counted;
use crate::dial::{Speaking, Upstream};
use crate::h2_client::{H2Connection, H2Limits};
use crate::pool::Slot;
use crate::route::resolve_host;
use crate::stream::Stream;
use crate::target::{Busy, choose_upstream};
use crate::timer::timeout;
use crate::worker::Worker;

/// Streams of one HBONE connection. Source: the default of Istio's ztunnel.
const TUNNELS: u32 = 100;

/// How long an HBONE connection without tunnels is kept.
const TUNNEL_IDLE_S: u64 = 300;

/// Limit for connecting where no policy says.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Where an opaque connection goes.
pub(super) struct Opened {
    pub(super) stream: Stream,
    pub(super) busy: Option<Busy>,
    pub(super) slot: Option<Slot>,
    pub(super) service: Arc<ServiceLabels>,
    pub(super) destination: Arc<WorkloadLabels>,
    pub(super) cluster: Arc<str>,
    /// Where it was connected to, for the log.
    pub(super) address: Option<SocketAddr>,
    pub(super) idle: Duration,
}

pub(super) async fn open_requested(
    worker: &Rc<Worker>,
    client: &Client,
    snapshot: &Snapshot,
    head: &RequestHead,
) -> Result<Opened, Failure> {
    match client.direction {
        Direction::Outbound => {
            let destination = TcpDestination::Authority(head.authority());
            open_outbound(worker, client, snapshot, destination).await
        }
        Direction::Inbound | Direction::Gateway => Err(Kind::NoRoute.into()),
    }
}

pub(super) async fn open_outbound(
    worker: &Rc<Worker>,
    client: &Client,
    snapshot: &Snapshot,
    destination: TcpDestination<'_>,
) -> Result<Opened, Failure> {
    if let Some(route) = snapshot.outbound.tcp(destination) {
        return open_route(worker, client, snapshot, route).await;
    }
    let answer = match destination {
        TcpDestination::Authority(authority) => worker.ask_authority(authority),
        TcpDestination::Address(address) => worker.ask_address(address.ip()),
    };
    if let Some(answer) = answer {
        answer.wait().await;
        let snapshot = worker.snapshot();
        if let Some(route) = snapshot.outbound.tcp(destination) {
            return open_route(worker, client, &snapshot, route).await;
        }
    }
    pass_through(worker, snapshot, destination).await
}

/// What came in at a gateway goes where its route leads, and nowhere without one.
pub(super) async fn open_gateway(
    worker: &Rc<Worker>,
    client: &Client,
    snapshot: &Snapshot,
) -> Result<Opened, Failure> {
    let nowhere = || Failure::from(Kind::NoRoute);
    let gateway = snapshot.gateway.as_deref().ok_or_else(nowhere)?;
    let verdict = authorize_tcp(&gateway.authorization, &client.as_gateway_peer());
    if !verdict.allowed {
        return Err(Failure::because(Kind::Denied, reason(&verdict, &gateway.authorization)));
    }
    let entrance = client.entrance.as_deref().ok_or_else(nowhere)?;
    let listener = gateway.listener(entrance.listener).ok_or_else(nowhere)?;
    let bytes = match &listener.serves {
        Serves::Tcp(bytes) => bytes,
        Serves::Tls(tls) => match tls.chain(client.sni.as_deref().map(str::as_bytes)) {
            Some(GatewayChain::Tcp(_, bytes) | GatewayChain::PassThrough(bytes)) => bytes,
            Some(GatewayChain::Http(..)) | None => return Err(nowhere()),
        },
        Serves::Http(_) => return Err(nowhere()),
    };
    let route = bytes.route(client.local).ok_or_else(nowhere)?;
    open_route(worker, client, snapshot, route).await
}

async fn open_route(
    worker: &Rc<Worker>,
    client: &Client,
    snapshot: &Snapshot,
    route: &TcpRoute,
) -> Result<Opened, Failure> {
    let missing = || Failure::because(Kind::NoCluster, format!("rule of {}", route.origin));
    let chosen = route.destinations.choose(worker.random()).ok_or_else(missing)?;
    let cluster = snapshot.cluster(chosen.cluster(route.port).ok_or_else(missing)?);
    let (upstream, endpoint) = choose_upstream(worker, client, snapshot, (cluster, &[]))?;
    let slot = match worker.usage(cluster) {
        Some(usage) => {
            let opened = usage.open(cluster.limits.max_connections);
            Some(opened.map_err(|full| worker.overflow(full))?)
        }
        None => None,
    };
    let busy = endpoint.map(|endpoint| Busy::begin(worker, endpoint.id));
    let opened = open_stream(worker, &upstream, cluster).await;
    if let Some(endpoint) = endpoint {
        let mut health = worker.health.borrow_mut();
        match &opened {
            Ok(_) => health.connected(endpoint.id, worker.now_ms()),
            Err(_) => health.failed(cluster.id, endpoint.id, worker.now_ms()),
        }
    }
    let destination = endpoint.map_or(&worker.unknown_workload, |endpoint| &endpoint.labels);
    Ok(Opened {
        stream: opened?,
        busy,
        slot,
        service: Arc::clone(&route.service),
        destination: Arc::clone(destination),
        cluster: Arc::clone(&cluster.name),
        address: socket(Some(endpoint.map_or(&upstream.dial, |endpoint| &endpoint.address))),
        idle: Duration::from_millis(cluster.limits.tcp_idle_timeout_ms),
    })
}

async fn open_stream(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    cluster: &Cluster,
) -> Result<Stream, Failure> {
    let Transport::Hbone { authority, .. } = &upstream.transport else {
        return upstream.connect(worker, Speaking::Opaque, &cluster.host).await;
    };
    let opening = Box::pin(async {
        loop {
            let (connection, was_kept) = tunnels(worker, upstream, cluster).await?;
            match connection.tunnel(authority, worker.now_s()).await {
                Ok(tunnel) => return Ok(Stream::Tunnel(Box::new(tunnel))),
                // It was about to be closed; what it refused, a new one may take.
                Err(failure) if was_kept && is_farewell(failure.kind()) => {}
                Err(failure) => return Err(failure),
            }
        }
    });
    let late = || {
        let cause =
            format!("tunnel to {authority}: no answer within {:?}", upstream.connect_within);
        Failure::because(Kind::UpstreamConnectTimeout, cause)
    };
    timeout(upstream.connect_within, pin!(opening)).await.unwrap_or_else(|_| Err(late()))
}

/// An HBONE connection to the endpoint, and whether it was there before.
async fn tunnels(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    cluster: &Cluster,
) -> Result<(Rc<H2Connection>, bool), Failure> {
    loop {
        let trust_epoch = worker.shared.trust_epoch();
        if let Some(kept) = worker.pools.h2_with_room(&upstream.key, trust_epoch) {
            return Ok((kept, true));
        }
        if let Some(opened) = worker.pools.opened_h2(&upstream.key).await {
            opened?;
            continue;
        }
        let opening = async {
            let stream = Box::pin(upstream.connect(worker, Speaking::Http2, &cluster.host)).await?;
            let limits = H2Limits {
                streams: TUNNELS,
                requests: u32::MAX,
                idle_s: TUNNEL_IDLE_S,
                trust_epoch,
            };
            let open = Counted::begin(&worker.recorder, Gauge::UpstreamConnectionsOpen);
            H2Connection::begin(stream, limits, worker.now_s(), (None, open)).await
        };
        return Ok((worker.pools.open_h2(&upstream.key, Box::pin(opening)).await?, false));
    }
}

/// Whether the connection took no more streams.
const fn is_farewell(kind: Kind) -> bool {
    matches!(kind, Kind::UpstreamRefusedStream | Kind::UpstreamClosed)
}

async fn pass_through(
    worker: &Rc<Worker>,
    snapshot: &Snapshot,
    destination: TcpDestination<'_>,
) -> Result<Opened, Failure> {
    if snapshot.settings.outbound_policy == OutboundPolicy::RegistryOnly {
        return Err(Kind::Blocked.into());
    }
    let address = match destination {
        TcpDestination::Address(address) => address,
        TcpDestination::Authority(authority) => {
            let malformed = || Failure::because(Kind::BadRequest, "authority is not host:port");
            let authority = Authority::parse(authority).ok_or_else(malformed)?;
            let port = authority.port().ok_or_else(malformed)?;
            let host = std::str::from_utf8(authority.host()).map_err(|_bytes| malformed())?;
            resolve_host(host, authority.address(), port).await?
        }
    };
    if worker.shared.is_own(address) {
        return Err(Kind::Loop.into());
    }
    let upstream = Upstream::plain(address, CONNECT_WITHIN);
    Ok(Opened {
        stream: upstream.connect(worker, Speaking::Opaque, "").await?,
        busy: None,
        slot: None,
        service: Arc::clone(&worker.passthrough),
        destination: Arc::clone(&worker.unknown_workload),
        cluster: Arc::clone(&worker.passthrough_cluster),
        address: Some(address),
        idle: IDLE,
    })
}

pub(super) async fn open_inbound(
    worker: &Rc<Worker>,
    client: &Client,
    snapshot: &Snapshot,
    port: &InboundPort,
) -> Result<Opened, Failure> {
    let peer = client.as_peer(snapshot, port);
    let verdict = authorize_tcp(&port.authorization, &peer);
    if !verdict.allowed {
        return Err(Failure::because(Kind::Denied, reason(&verdict, &port.authorization)));
    }
    if needs_hooks(snapshot, port) {
        let cause = "hooks authorize requests, which these bytes are not; a port may declare TCP";
        return Err(Failure::because(Kind::Denied, cause));
    }
    let upstream = Upstream::application(worker, client, (snapshot, port), CONNECT_WITHIN)?;
    Ok(Opened {
        stream: upstream.connect(worker, Speaking::Opaque, "").await?,
        busy: None,
        slot: None,
        service: Arc::clone(&port.service),
        destination: Arc::clone(&snapshot.workload),
        cluster: Arc::clone(&port.cluster),
        address: Some(client.application(port)),
        idle: IDLE,
    })
}

/// Whether hooks have to be asked before anything reaches the port. They judge requests: where
/// bytes are declared there are none, but elsewhere an application may read a request in bytes
/// in which we do not.
fn needs_hooks(snapshot: &Snapshot, port: &InboundPort) -> bool {
    let has_requests = !matches!(port.protocol, Protocol::Tcp | Protocol::Tls);
    has_requests && !snapshot.hooks.of(HookStage::Authorize).is_empty()
}
