//! Connections whose bytes are not looked at: TCP, CONNECT and HBONE tunnels, upgrades.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use meshcore_http::RequestHead;
use meshcore_model::WorkloadLabels;
use meshcore_model::{Failure, Flags, HookStage, Kind, OutboundPolicy, Protocol, ServiceLabels};
use meshcore_policy::{Peer, authorize_tcp};
use meshcore_snapshot::{Authority, Cluster, InboundPort, Snapshot, TcpDestination, Transport};
use meshcore_telemetry::{Gauge, Reporter, Security, TcpHandle, TcpKey};

use crate::accept::serve_inner;
use crate::access::{Went, socket};
use crate::authorize::reason;
use crate::buffer::Buffer;
use crate::client::{Client, Direction};
use crate::counted::Counted;
use crate::dial::{Speaking, Upstream};
use crate::h2_client::{H2Connection, H2Limits};
use crate::pool::{H1Connection, Slot};
use crate::route::resolve_host;
use crate::serve_h1::linger;
use crate::stream::{Conn, Stream};
use crate::target::{Busy, choose_upstream};
use crate::tunnel::{Moved, TunnelStream, relay};
use crate::worker::{Pinned, Worker};

/// How often the bytes of a connection are counted while it is open. Source: Istio's
/// `reportingInterval` for TCP.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Streams of one HBONE connection. Source: the default of Istio's ztunnel.
const TUNNELS: u32 = 100;

/// How long an HBONE connection without tunnels is kept.
const TUNNEL_IDLE_S: u64 = 300;

/// A connection without bytes for so long is closed, where no policy says: its peer may be gone
/// without a word. Source: Istio's default `idleTimeout` of one hour.
const IDLE: Duration = Duration::from_hours(1);

/// Limit for connecting where no policy says.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Answer to an HTTP/1 CONNECT. Source: RFC 9110 section 9.3.6.
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

/// Where an opaque connection goes.
struct Opened {
    stream: Stream,
    busy: Option<Busy>,
    slot: Option<Slot>,
    service: Arc<ServiceLabels>,
    destination: Arc<WorkloadLabels>,
    cluster: Arc<str>,
    /// Where it was connected to, for the log.
    address: Option<SocketAddr>,
    idle: Duration,
}

/// Carries a connection from the application to where it wants to go.
pub(crate) async fn serve_outbound(
    worker: &Rc<Worker>,
    client: &Client,
    (stream, buffer): (Stream, Buffer),
) {
    let snapshot = worker.snapshot();
    let started = Instant::now();
    let Some(original) = client.original else { return };
    let opened = open_outbound(worker, client, &snapshot, TcpDestination::Address(original)).await;
    finish(worker, client, snapshot, (stream, buffer, started), opened).await;
}

/// Carries a connection to the application, if policy allows it.
pub(crate) async fn serve_inbound(
    worker: &Rc<Worker>,
    client: &Client,
    (stream, buffer): (Stream, Buffer),
) {
    let snapshot = worker.snapshot();
    let started = Instant::now();
    let Some(port) = snapshot.inbound.port(client.port) else { return };
    let opened = open_inbound(worker, client, &snapshot, port).await;
    finish(worker, client, snapshot, (stream, buffer, started), opened).await;
}

/// Answers an HTTP/1 CONNECT and carries what follows.
pub(crate) async fn connect_tunnel(
    worker: &Rc<Worker>,
    client: &Client,
    (conn, mut buffer): (Conn, Buffer),
    head: &RequestHead,
) {
    let snapshot = worker.snapshot();
    let started = Instant::now();
    match open_requested(worker, client, &snapshot, head).await {
        Ok(opened) => {
            if conn.write_all(ESTABLISHED).await.is_ok() {
                let side = (conn.into_inner(), buffer, started);
                finish(worker, client, snapshot, side, Ok(opened)).await;
            }
        }
        Err(failure) => {
            fail(worker, client, started, &failure);
            if conn.write_all(refusal(failure.kind()).as_bytes()).await.is_ok() {
                linger(&conn, &mut buffer).await;
            }
        }
    }
}

fn refusal(kind: Kind) -> String {
    let (status, message) = (kind.status(), kind.message());
    let length = message.len();
    format!(
        "HTTP/1.1 {status} \r\ncontent-type: text/plain; charset=utf-8\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{message}"
    )
}

/// Answers an HTTP/2 CONNECT and carries what follows. From the mesh (HBONE), the bytes inside
/// are served like a connection of their own.
pub(crate) async fn accept_tunnel(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    (receive, mut respond): (RecvStream, SendResponse<Bytes>),
    head: &RequestHead,
) {
    let snapshot = worker.snapshot();
    let started = Instant::now();
    let answer = |status: u16| http::Response::builder().status(status).body(());
    match client.direction {
        Direction::Inbound => {
            // Only what came in by HBONE: elsewhere a port has been chosen, by its own rules.
            let port = client.is_hbone().then(|| tunnel_port(&snapshot, head)).flatten();
            let Some(port) = port else {
                let refused = Failure::because(Kind::NoRoute, "no tunnel leads there");
                refuse_stream(&mut respond, refused.kind());
                return fail(worker, client, started, &refused);
            };
            let Ok(established) = answer(200) else { return };
            let Ok(send) = respond.send_response(established, false) else { return };
            let stream = Stream::Tunnel(Box::new(TunnelStream::new(receive, send, None)));
            let inner = Client { port, ..Client::clone(client) };
            drop(snapshot);
            serve_inner(worker, inner, stream).await;
        }
        Direction::Outbound => {
            let opened = match open_requested(worker, client, &snapshot, head).await {
                Ok(opened) => opened,
                Err(failure) => {
                    refuse_stream(&mut respond, failure.kind());
                    return fail(worker, client, started, &failure);
                }
            };
            let Ok(established) = answer(200) else { return };
            let Ok(send) = respond.send_response(established, false) else { return };
            let stream = Stream::Tunnel(Box::new(TunnelStream::new(receive, send, None)));
            let side = (stream, Buffer::new(), started);
            finish(worker, client, snapshot, side, Ok(opened)).await;
        }
    }
}

fn refuse_stream(respond: &mut SendResponse<Bytes>, kind: Kind) {
    match http::Response::builder().status(kind.status()).body(()) {
        Ok(response) => {
            let _gone = respond.send_response(response, true); // the client may have left
        }
        Err(_) => respond.send_reset(Reason::INTERNAL_ERROR),
    }
}

/// The application's port that a tunnel asks for, if it is ours.
fn tunnel_port(snapshot: &Snapshot, head: &RequestHead) -> Option<u16> {
    let authority = Authority::parse(head.authority())?;
    let port = authority.port()?;
    let is_ours = authority.address() == Some(snapshot.node.address);
    (is_ours && snapshot.inbound.port(port).is_some()).then_some(port)
}

/// Carries the bytes of a connection that changed its protocol.
pub(crate) async fn relay_upgraded((conn, buffer): (Conn, Buffer), upstream: H1Connection) {
    let H1Connection { conn: upstream, buffer: received, .. } = upstream;
    let client = (conn.into_inner(), buffer);
    let moved = Moved::default();
    // How it ends is the business of the two sides.
    let relaying = relay(client, (upstream.into_inner(), received), &moved);
    watch(relaying, &moved, IDLE, |_sent, _received| {}).await;
}

async fn open_requested(
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
        Direction::Inbound => Err(Kind::NoRoute.into()),
    }
}

async fn open_outbound(
    worker: &Rc<Worker>,
    client: &Client,
    snapshot: &Snapshot,
    destination: TcpDestination<'_>,
) -> Result<Opened, Failure> {
    let Some(route) = snapshot.outbound.tcp(destination) else {
        return pass_through(worker, snapshot, destination).await;
    };
    let missing = || Failure::because(Kind::NoCluster, format!("rule of {}", route.origin));
    let chosen = route.destinations.choose(worker.random()).ok_or_else(missing)?;
    let cluster = snapshot.cluster(chosen.cluster(route.port).ok_or_else(missing)?);
    let (upstream, endpoint) = choose_upstream(worker, client, snapshot, (cluster, &[]))?;
    let slot = match worker.usage(cluster) {
        Some(usage) => {
            Some(usage.open(cluster.limits.max_connections).map_err(|_full| Kind::Overflow)?)
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
    tokio::time::timeout(upstream.connect_within, opening).await.unwrap_or_else(|_| Err(late()))
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

async fn open_inbound(
    worker: &Rc<Worker>,
    client: &Client,
    snapshot: &Snapshot,
    port: &InboundPort,
) -> Result<Opened, Failure> {
    let peer = Peer {
        identity: client.identity.as_ref(),
        address: client.peer.ip(),
        remote: client.peer.ip(),
        destination: (snapshot.node.address, port.number).into(),
        sni: client.sni.as_deref(),
    };
    let verdict = authorize_tcp(&port.authorization, &peer);
    if !verdict.allowed {
        return Err(Failure::because(Kind::Denied, reason(&verdict, port)));
    }
    if needs_hooks(snapshot, port) {
        let cause = "hooks authorize requests, which these bytes are not; a port may declare TCP";
        return Err(Failure::because(Kind::Denied, cause));
    }
    let upstream = Upstream::plain(port.application, CONNECT_WITHIN);
    Ok(Opened {
        stream: upstream.connect(worker, Speaking::Opaque, "").await?,
        busy: None,
        slot: None,
        service: Arc::clone(&port.service),
        destination: Arc::clone(&snapshot.workload),
        cluster: Arc::clone(&port.cluster),
        address: Some(port.application),
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

/// Carries the bytes, counts and logs them. The snapshot is given back before: a connection may
/// last longer than many of them.
async fn finish(
    worker: &Rc<Worker>,
    client: &Client,
    snapshot: Pinned,
    (stream, buffer, started): (Stream, Buffer, Instant),
    opened: Result<Opened, Failure>,
) {
    let moved = Moved::default();
    match opened {
        Ok(opened) => {
            let series = series(worker, client, &snapshot, (&opened, Flags::default()));
            drop(snapshot);
            series.opened();
            let Opened {
                stream: upstream, busy: _busy, slot: _slot, cluster, address, idle, ..
            } = opened;
            let local = upstream.local_addr();
            let relaying = Box::pin(relay((stream, buffer), (upstream, Buffer::new()), &moved));
            let count = |sent, received| series.bytes(sent, received);
            watch(relaying, &moved, idle, count).await;
            series.closed();
            let went = Went { cluster: Some(&cluster), upstream: address, local };
            worker.access.tcp(worker, client, (&went, started, &moved), None);
        }
        Err(failure) => fail(worker, client, started, &failure),
    }
}

/// Logs and counts a connection that got nowhere.
fn fail(worker: &Worker, client: &Client, started: Instant, failure: &Failure) {
    let nowhere = Went::default();
    worker.access.tcp(worker, client, (&nowhere, started, &Moved::default()), Some(failure));
    worker.count_denied(failure);
}

/// Runs `relaying` and reports its bytes meanwhile, those towards the client first; ends it when
/// no byte has moved for `idle` (zero is no limit).
async fn watch(
    relaying: impl Future<Output = std::io::Result<()>>,
    moved: &Moved,
    idle: Duration,
    mut report: impl FnMut(u64, u64),
) {
    let mut relaying = std::pin::pin!(relaying);
    let look_every = if idle.is_zero() { REPORT_EVERY } else { REPORT_EVERY.min(idle) };
    let mut counted = (0_u64, 0_u64);
    let mut quiet = Duration::ZERO;
    loop {
        let ended = tokio::time::timeout(look_every, relaying.as_mut()).await;
        let now = (moved.sent.get(), moved.received.get());
        let sent = now.1.saturating_sub(counted.1);
        let received = now.0.saturating_sub(counted.0);
        report(sent, received);
        quiet = if now == counted { quiet.saturating_add(look_every) } else { Duration::ZERO };
        counted = now;
        if ended.is_ok() || (!idle.is_zero() && quiet >= idle) {
            return;
        }
    }
}

fn series(
    worker: &Worker,
    client: &Client,
    snapshot: &Snapshot,
    (opened, flags): (&Opened, Flags),
) -> TcpHandle {
    let (reporter, source) = match client.direction {
        Direction::Outbound => (Reporter::Source, Arc::clone(&snapshot.workload)),
        Direction::Inbound => (Reporter::Destination, worker.peer_labels(snapshot, client)),
    };
    worker.recorder.tcp_series(&TcpKey {
        reporter,
        source: &source,
        destination: &opened.destination,
        service: &opened.service,
        flags,
        security: match (reporter, client.is_mtls()) {
            (Reporter::Source, _) => Security::Unknown,
            (Reporter::Destination, true) => Security::MutualTls,
            (Reporter::Destination, false) => Security::None,
        },
    })
}
