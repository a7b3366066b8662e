//! The way of one connection until its first request: accept, identify, detect.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use meshcore_io::{SpareDescriptor, original_destination};
use meshcore_model::{MeshSni, MtlsMode, Protocol};
use meshcore_snapshot::{InboundPort, Snapshot};
use meshcore_telemetry::{Counter, Gauge, Labelled};
use meshcore_tls::{ClientHello, Refusal, alpn, begins_as_handshake, client_hello};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsStream, server};

use crate::buffer::Buffer;
use crate::client::{Client, Direction};
use crate::detect::{Detected, detect};
use crate::gateway::enter;
use crate::opaque::{serve_gateway, serve_inbound, serve_outbound};
use crate::overload::is_refusing;
use crate::serve_h1::serve_h1;
use crate::serve_h2::serve_h2;
use crate::stream::{Prefixed, Stream};
use crate::timer::sleep;
use crate::waits::{Wait, Waiting};
use crate::worker::{Pinned, Worker};

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Outbound,
    Inbound,
    Hbone,
    /// Servers of a gateway, at this address of the snapshot.
    Gateway(SocketAddr),
}

/// Reason for a connection closed since it began with no version of HTTP.
const NOT_HTTP: &str = "not HTTP";

/// Limit for a TLS handshake.
pub(crate) const HANDSHAKE_S: u64 = 10;

/// Pause after the system could not give us a connection, nor take it from the queue.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections for ever, each served by a task of its own.
pub(crate) async fn accept_all(worker: Rc<Worker>, listener: Rc<TcpListener>, purpose: Purpose) {
    let mut spare = SpareDescriptor::default();
    loop {
        spare.keep();
        match meshcore_io::accept(&listener).await {
            Ok((refused, _peer)) if is_refusing() => {
                worker.recorder.count(Counter::ConnectionsRefused, 1);
                drop(refused);
            }
            Ok(accepted) => begin(&worker, accepted, purpose),
            // One connection that was gone before we looked is no reason to wait.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(error) if meshcore_io::lacks_descriptor(&error) => {
                worker.shared.overload.lacked_descriptor();
                if spare.refuse_one(&listener).await {
                    worker.recorder.count(Counter::ConnectionsRefused, 1);
                } else {
                    sleep(EXHAUSTED_PAUSE).await;
                }
            }
            Err(_for_now) => sleep(EXHAUSTED_PAUSE).await,
        }
    }
}

/// Accepts what waits already, and nothing more.
pub(crate) async fn accept_waiting(worker: &Rc<Worker>, listener: &TcpListener, purpose: Purpose) {
    while let Some(Ok(accepted)) = meshcore_io::accept_waiting(listener).await {
        begin(worker, accepted, purpose);
    }
}

/// Serves a connection by a task of its own.
fn begin(worker: &Rc<Worker>, (stream, peer): (TcpStream, SocketAddr), purpose: Purpose) {
    let counter = match purpose {
        Purpose::Outbound => Counter::OutboundConnections,
        Purpose::Inbound => Counter::InboundConnections,
        Purpose::Hbone => Counter::HboneConnections,
        Purpose::Gateway(_) => Counter::GatewayConnections,
    };
    worker.recorder.count(counter, 1);
    let wait = worker.waits.enter(); // now, so that a drain that begins waits for it
    let serving = wait.serving();
    let served = Served::begin(worker);
    let worker = Rc::clone(worker);
    let task = tokio::task::spawn_local(async move {
        serve(&worker, (stream, peer), purpose, &wait).await;
        drop(served);
    });
    serving.by(task.abort_handle());
}

/// A connection counts as open while this exists, also when its task panics.
struct Served(Rc<Worker>);

impl Served {
    fn begin(worker: &Rc<Worker>) -> Self {
        worker.recorder.gauge(Gauge::ConnectionsOpen, 1);
        Self(Rc::clone(worker))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.recorder.gauge(Gauge::ConnectionsOpen, -1);
        if std::thread::panicking() {
            self.0.recorder.count(Counter::Panics, 1);
        }
    }
}

async fn serve(
    worker: &Rc<Worker>,
    (stream, peer): (TcpStream, SocketAddr),
    purpose: Purpose,
    wait: &Wait,
) {
    let Ok(local) = stream.local_addr() else { return };
    let original = original_destination(&stream).filter(|original| match purpose {
        Purpose::Outbound => true,
        // One to the listener itself, redirected or not, names no port of the application.
        Purpose::Inbound | Purpose::Hbone => original.port() != local.port(),
        // Clients mean the gateway, however they were led to it.
        Purpose::Gateway(_) => false,
    });
    let client = Client {
        direction: match purpose {
            Purpose::Outbound => Direction::Outbound,
            Purpose::Inbound | Purpose::Hbone => Direction::Inbound,
            Purpose::Gateway(_) => Direction::Gateway,
        },
        peer,
        local,
        original,
        identity: None,
        sni: None,
        port: 0,
        entrance: None,
    };
    let stream = Stream::Tcp(stream);
    let accepted = match purpose {
        Purpose::Outbound => {
            if let Some(original) = original {
                Box::pin(worker.discover_destination(original.ip())).await;
            }
            Some(accept_outbound(worker, client, stream))
        }
        // Boxed one by one, so that what a stage alone needs is gone after it.
        Purpose::Inbound => match Box::pin(accept_inbound(worker, client, (stream, wait))).await {
            Some(Inbound::Mesh(hailed)) => Box::pin(accept_mtls(worker, hailed, wait)).await,
            Some(Inbound::Other(accepted)) => Some(accepted),
            None => None,
        },
        Purpose::Hbone => return Box::pin(accept_hbone(worker, client, stream, wait)).await,
        Purpose::Gateway(address) => Box::pin(enter(worker, (client, stream), address, wait)).await,
    };
    if let Some(accepted) = accepted {
        serve_accepted(worker, accepted, wait).await;
    }
}

/// A connection of which all is known but what is spoken.
pub(crate) struct Accepted {
    pub(crate) client: Client,
    pub(crate) stream: Stream,
    pub(crate) buffer: Buffer,
    pub(crate) declared: Protocol,
}

fn accept_outbound(worker: &Worker, client: Client, stream: Stream) -> Box<Accepted> {
    // Without interception only HTTP says where it wants to go.
    let declared = client
        .original
        .map_or(Protocol::Http, |original| worker.snapshot().outbound.protocol(original));
    Box::new(Accepted { client, stream, buffer: Buffer::new(), declared })
}

/// What comes to an inbound port.
enum Inbound {
    /// It begins with the hello of a handshake that is ours.
    Mesh(Box<Hailed>),
    Other(Box<Accepted>),
}

/// A connection that begins with a hello for us, which is in the buffer.
struct Hailed {
    snapshot: Pinned,
    client: Client,
    stream: Stream,
    buffer: Buffer,
}

/// Mutual TLS, plain text, or TLS that is not ours: as the port takes it.
async fn accept_inbound(
    worker: &Rc<Worker>,
    client: Client,
    (stream, wait): (Stream, &Wait),
) -> Option<Inbound> {
    let snapshot = worker.snapshot();
    let port = by_address(&client, &snapshot).or_else(|| only(&client, &snapshot));
    let mut buffer = Buffer::new();
    if port.is_some_and(passes_through) {
        let side = ((stream, buffer), Hello::Unread);
        return accept_plain(worker, client, port, side).map(Inbound::Other);
    }
    let within_s = snapshot.settings.detection_timeout_ms.div_ceil(1000);
    let mut stream = stream;
    let hello = match read_hello(&mut stream, &mut buffer, (wait, within_s)).await {
        Ok(hello) => hello,
        Err(Unread::Gone) => return None,
        Err(Unread::Malformed) => {
            worker.count_handshake_failed("malformed hello");
            return None;
        }
    };
    let (client, said) = match hello {
        Some(hello) if port.map_or_else(|| hello.is_mesh_alpn(), |port| is_ours(port, &hello)) => {
            let snapshot = Rc::clone(&snapshot);
            return Some(Inbound::Mesh(Box::new(Hailed { snapshot, client, stream, buffer })));
        }
        Some(hello) => {
            (Client { sni: hello.server_name().map(Box::from), ..client }, Hello::Foreign)
        }
        None => (client, Hello::None),
    };
    accept_plain(worker, client, port, ((stream, buffer), said)).map(Inbound::Other)
}

/// The port that a redirected connection was made to.
fn by_address<'s>(client: &Client, snapshot: &'s Snapshot) -> Option<&'s InboundPort> {
    client.original.and_then(|address| snapshot.inbound.redirected(address.port()))
}

/// The only port, unless the connection was made to another one.
fn only<'s>(client: &Client, snapshot: &'s Snapshot) -> Option<&'s InboundPort> {
    let is_other = snapshot.node.intercepted && client.original.is_some();
    if is_other { None } else { snapshot.inbound.only() }
}

fn at_port(client: Client, port: &InboundPort) -> Client {
    let number = match (port.number, client.original) {
        (0, Some(original)) => original.port(),
        (number, Some(_) | None) => number,
    };
    Client { port: number, ..client }
}

/// What the first bytes of a plain connection were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hello {
    /// They were not looked at: bytes are passed through, whatever they are.
    Unread,
    /// TLS that is not for us.
    Foreign,
    /// Not TLS, or nothing at all.
    None,
}

/// Whether nothing that a client could say makes a difference, so that the server may speak first.
fn passes_through(port: &InboundPort) -> bool {
    port.mtls == MtlsMode::Disable && matches!(port.protocol, Protocol::Tcp | Protocol::Tls)
}

/// Whether TLS ends here: where plain text is refused all of it does, so that a mesh certificate
/// is enough. Source: the filter chains that Istio makes for `STRICT` and `PERMISSIVE`.
fn is_ours(port: &InboundPort, hello: &ClientHello) -> bool {
    match port.mtls {
        MtlsMode::Disable => false,
        MtlsMode::Permissive => hello.is_mesh_alpn(),
        MtlsMode::Strict => true,
    }
}

/// Why the first bytes of a connection cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// The client has left.
    Gone,
    /// They begin a TLS ClientHello that is wrong, or not whole in time. It is not passed on: the
    /// server behind may understand it, and policy would not know what name was asked for.
    Malformed,
}

/// Reads until the first bytes are known to be a TLS ClientHello (`Some`) or not (`None`).
///
/// A client that is silent for too long is not TLS: it may wait for the server to speak. A hello
/// has to be whole in the time of a handshake, however often the client says a byte of it.
pub(crate) async fn read_hello(
    stream: &mut Stream,
    buffer: &mut Buffer,
    (wait, within_s): (&Wait, u64),
) -> Result<Option<ClientHello>, Unread> {
    match wait.within(within_s, Waiting::Busy, stream.read_some(buffer)).await {
        Ok(Ok(0) | Err(_)) => return Err(Unread::Gone),
        Ok(Ok(_first)) => {}
        Err(_silent) => return Ok(None),
    }
    let whole_s = if within_s == 0 { HANDSHAKE_S } else { within_s.min(HANDSHAKE_S) };
    let rest = read_rest_of_hello(stream, buffer);
    wait.within(whole_s, Waiting::Busy, rest).await.unwrap_or(Err(Unread::Malformed))
}

async fn read_rest_of_hello(
    stream: &mut Stream,
    buffer: &mut Buffer,
) -> Result<Option<ClientHello>, Unread> {
    loop {
        match client_hello(buffer.data()) {
            Ok(Some(hello)) => return Ok(Some(hello)),
            Ok(None) => {}
            Err(_not_tls) if begins_as_handshake(buffer.data()) => return Err(Unread::Malformed),
            Err(_not_tls) => return Ok(None),
        }
        match stream.read_some(buffer).await {
            Ok(0) | Err(_) => return Err(Unread::Gone),
            Ok(_more) => {}
        }
    }
}

async fn accept_mtls(
    worker: &Rc<Worker>,
    hailed: Box<Hailed>,
    wait: &Wait,
) -> Option<Box<Accepted>> {
    let Hailed { snapshot, client, stream, buffer } = *hailed;
    let side = ((stream, buffer), wait);
    let (stream, client) = secure(worker, client, side, alpn::INBOUND).await?;
    let by_name = || {
        let name: MeshSni = client.sni.as_deref()?.parse().ok()?;
        snapshot.inbound.by_service(name.port, &name.host)
    };
    let port = by_address(&client, &snapshot).or_else(by_name);
    let Some(port) = port.or_else(|| only(&client, &snapshot)) else {
        worker.count_handshake_failed("unknown port");
        return None;
    };
    let declared = spoken(&stream, port);
    let client = at_port(client, port);
    Some(Box::new(Accepted { client, stream, buffer: Buffer::new(), declared }))
}

/// What is spoken inside the mesh's TLS: what its ALPN says, else what the port declares.
fn spoken(stream: &Stream, port: &InboundPort) -> Protocol {
    match stream.alpn() {
        Some(alpn::ISTIO_HTTP_1_0 | alpn::ISTIO_HTTP_1_1 | alpn::HTTP_1_1) => Protocol::Http,
        Some(alpn::ISTIO_H2 | alpn::H2) => Protocol::Http2,
        Some(_) | None => port.protocol,
    }
}

fn accept_plain(
    worker: &Worker,
    client: Client,
    port: Option<&InboundPort>,
    ((stream, buffer), hello): ((Stream, Buffer), Hello),
) -> Option<Box<Accepted>> {
    let Some(port) = port else {
        worker.count_handshake_failed("unknown port");
        return None;
    };
    if port.mtls == MtlsMode::Strict {
        worker.count_handshake_failed("plain text refused");
        return None;
    }
    let declared = match (hello, port.protocol) {
        (Hello::Foreign, _) => Protocol::Tls,
        // It was silent for long enough: the server may be the one to speak.
        (Hello::None, Protocol::Detect) if buffer.is_empty() => Protocol::Tcp,
        (Hello::None | Hello::Unread, declared) => declared,
    };
    let client = at_port(client, port);
    Some(Box::new(Accepted { client, stream, buffer, declared }))
}

async fn accept_hbone(worker: &Rc<Worker>, client: Client, stream: Stream, wait: &Wait) {
    let side = ((stream, Buffer::new()), wait);
    let Some((stream, client)) = secure(worker, client, side, alpn::HBONE).await else { return };
    serve_h2(worker, &Rc::new(client), Prefixed::new(Buffer::new(), stream), wait).await;
}

/// The handshake as the server of the mesh's mutual TLS: who the client is.
pub(crate) async fn secure(
    worker: &Rc<Worker>,
    client: Client,
    side: ((Stream, Buffer), &Wait),
    names: &[&[u8]],
) -> Option<(Stream, Client)> {
    let Some(tls) = &worker.shared.tls else {
        worker.count_handshake_failed("no certificate");
        return None;
    };
    let stream = shake_hands(worker, side, tls.server_config(names).ok()?).await?;
    let connection = stream.get_ref().1;
    let sni = connection.server_name().map(Box::from);
    let identity = match tls.client_of(connection) {
        Ok(identity) => identity,
        Err(refusal) => {
            worker.count_handshake_failed(refusal.label());
            return None;
        }
    };
    worker.count_handshake(Counter::ServerHandshakes, connection);
    let stream = Stream::Tls(Box::new(TlsStream::Server(stream)));
    Some((stream, Client { identity: Some(identity), sni, ..client }))
}

/// The handshake as a server; `None` when it failed, which was counted.
pub(crate) async fn shake_hands(
    worker: &Worker,
    ((stream, buffer), wait): ((Stream, Buffer), &Wait),
    config: Arc<ServerConfig>,
) -> Option<server::TlsStream<Prefixed>> {
    // Boxed, since a client may stop here: waiting moves it, and a future keeps what it has moved.
    let accepting = Box::pin(TlsAcceptor::from(config).accept(Prefixed::new(buffer, stream)));
    match wait.within(HANDSHAKE_S, Waiting::Busy, accepting).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => worker.count_handshake_failed(failed_because(&error)),
        Err(_interrupted) => worker.count_handshake_failed("timeout"),
    }
    None
}

/// Why a handshake failed, in a word.
fn failed_because(error: &std::io::Error) -> &'static str {
    if let Some(refusal) = Refusal::behind_io(error) {
        return refusal.label();
    }
    let rustls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match rustls {
        Some(rustls::Error::NoCertificatesPresented) => Refusal::NoCertificate.label(),
        Some(_other) => "protocol",
        None => "closed",
    }
}

/// Serves what comes out of an HBONE tunnel like a connection of its own.
pub(crate) async fn serve_inner(worker: &Rc<Worker>, client: Client, stream: Stream) {
    let port = worker.snapshot().inbound.port(client.port).map(|port| port.protocol);
    let Some(declared) = port else { return };
    let wait = worker.waits.enter();
    let accepted = Box::new(Accepted { client, stream, buffer: Buffer::new(), declared });
    // A future that holds all of a connection inside all of another would have no size.
    Box::pin(serve_accepted(worker, accepted, &wait)).await;
}

/// Finds out what is spoken, and serves it.
async fn serve_accepted(worker: &Rc<Worker>, mut accepted: Box<Accepted>, wait: &Wait) {
    let within_s = worker.snapshot().settings.detection_timeout_ms.div_ceil(1000);
    let Accepted { stream, buffer, declared, .. } = &mut *accepted;
    let detected = match detect(stream, buffer, *declared, (wait, within_s)).await {
        Ok(detected) => detected,
        Err(error) => {
            if error.kind() == std::io::ErrorKind::InvalidData {
                worker.recorder.count_by(Labelled::RequestsRejected, NOT_HTTP, 1);
            }
            return;
        }
    };
    let Accepted { client, stream, buffer, .. } = *accepted;
    match (detected, client.direction) {
        (Detected::Http1, _) => serve_h1(worker, &client, stream, buffer, wait).await,
        // Boxed, so that an HTTP/1 connection, of which there may be many, is small.
        (Detected::Http2, _) => {
            let stream = Prefixed::new(buffer, stream);
            Box::pin(serve_h2(worker, &Rc::new(client), stream, wait)).await;
        }
        (Detected::Opaque, Direction::Inbound) => {
            Box::pin(serve_inbound(worker, &client, (stream, buffer))).await;
        }
        (Detected::Opaque, Direction::Outbound) => {
            Box::pin(serve_outbound(worker, &client, (stream, buffer))).await;
        }
        (Detected::Opaque, Direction::Gateway) => {
            Box::pin(serve_gateway(worker, &client, (stream, buffer))).await;
        }
    }
}

impl Worker {
    /// Counts a connection that was refused before it said what it wants.
    pub(crate) fn count_handshake_failed(&self, reason: &str) {
        self.recorder.count_by(Labelled::HandshakesFailed, reason, 1);
    }
}
