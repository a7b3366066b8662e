//! Connections whose bytes are not looked at: TCP, CONNECT and HBONE tunnels, upgrades.

mod open;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use meshcore_http::RequestHead;
use meshcore_model::{Failure, Flags, Kind};
use meshcore_snapshot::{Authority, Snapshot, TcpDestination};
use meshcore_telemetry::{Reporter, Security, TcpHandle, TcpKey};

use crate::accept::serve_inner;
use crate::access::Went;
use crate::buffer::Buffer;
use crate::client::{Client, Direction};
use crate::overload::is_refusing;
use crate::pool::H1Connection;
use crate::serve_h1::linger;
use crate::stream::{Conn, Stream};
use crate::timer::timeout;
use crate::tunnel::{Moved, TunnelStream, relay};
use crate::worker::{Pinned, Worker};

use open::{Opened, open_gateway, open_inbound, open_outbound, open_requested};

/// How often the bytes of a connection are counted while it is open. Source: Istio's
/// `reportingInterval` for TCP.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// A connection without bytes for so long is closed, where no policy says: its peer may be gone
/// without a word. Source: Istio's default `idleTimeout` of one hour.
const IDLE: Duration = Duration::from_hours(1);

/// Answer to an HTTP/1 CONNECT. Source: RFC 9110 section 9.3.6.
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

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
    let Some(port) = client.inbound_port(&snapshot) else { return };
    let opened = open_inbound(worker, client, &snapshot, port).await;
    finish(worker, client, snapshot, (stream, buffer, started), opened).await;
}

/// Carries a connection to where the routes of a gateway lead, if policy allows it.
pub(crate) async fn serve_gateway(
    worker: &Rc<Worker>,
    client: &Client,
    (stream, buffer): (Stream, Buffer),
) {
    let snapshot = worker.snapshot();
    let started = Instant::now();
    let opened = open_gateway(worker, client, &snapshot).await;
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
    let opened = match taken_on() {
        Ok(()) => open_requested(worker, client, &snapshot, head).await,
        Err(refused) => Err(refused),
    };
    match opened {
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

/// Whether a tunnel can be taken on: not while memory is short.
fn taken_on() -> Result<(), Failure> {
    if is_refusing() { Err(Kind::Overload.into()) } else { Ok(()) }
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
    if let Err(refused) = taken_on() {
        refuse_stream(&mut respond, refused.kind());
        return fail(worker, client, started, &refused);
    }
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
        Direction::Outbound | Direction::Gateway => {
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
        let ended = timeout(look_every, relaying.as_mut()).await;
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
        Direction::Outbound | Direction::Gateway => {
            (Reporter::Source, Arc::clone(&snapshot.workload))
        }
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
