//! How a connection comes in at a gateway: in plain text, or by TLS that ends here or goes on.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use meshcore_model::{Protocol, ServerTlsMode};
use meshcore_snapshot::{GatewayChain, GatewayListener, GatewayTls, Serves, Termination};
use meshcore_telemetry::Counter;
use meshcore_tls::{alpn, client_certificate};
use tokio_rustls::TlsStream;

use super::{Entrance, forwarded};
use crate::accept::{Accepted, HANDSHAKE_S, Unread, read_hello, secure, shake_hands};
use crate::buffer::Buffer;
use crate::client::Client;
use crate::stream::Stream;
use crate::waits::Wait;
use crate::worker::Worker;

/// Takes a connection to a listener of a gateway; `None` when it was refused.
pub(crate) async fn enter(
    worker: &Rc<Worker>,
    (client, stream): (Client, Stream),
    address: SocketAddr,
    wait: &Wait,
) -> Option<Box<Accepted>> {
    let snapshot = worker.snapshot();
    let Some(listener) = snapshot.gateway.as_ref().and_then(|one| one.listener(address)) else {
        worker.count_handshake_failed("closed listener");
        return None;
    };
    match &listener.serves {
        Serves::Http(_) => Some(plain((client, stream), listener, Protocol::Http)),
        Serves::Tcp(_) => Some(plain((client, stream), listener, Protocol::Tcp)),
        Serves::Tls(tls) => {
            Box::pin(by_name(worker, (client, stream), (listener, tls), wait)).await
        }
    }
}

fn plain(
    (client, stream): (Client, Stream),
    listener: &GatewayListener,
    declared: Protocol,
) -> Box<Accepted> {
    let client = came_in(client, listener, (None, None));
    Box::new(Accepted { client, stream, buffer: Buffer::new(), declared })
}

fn came_in(
    client: Client,
    listener: &GatewayListener,
    (termination, certificate): (Option<Arc<Termination>>, Option<Box<str>>),
) -> Client {
    let entrance = Entrance { listener: listener.address, termination, certificate };
    Client { port: listener.port, entrance: Some(Rc::new(entrance)), ..client }
}

/// The server name says what becomes of the connection; an unknown one is reset.
async fn by_name(
    worker: &Rc<Worker>,
    (client, mut stream): (Client, Stream),
    (listener, tls): (&GatewayListener, &GatewayTls),
    wait: &Wait,
) -> Option<Box<Accepted>> {
    let mut buffer = Buffer::new();
    let hello = match read_hello(&mut stream, &mut buffer, (wait, HANDSHAKE_S)).await {
        Ok(Some(hello)) => hello,
        Ok(None) => {
            worker.count_handshake_failed("not TLS");
            return None;
        }
        Err(Unread::Gone) => return None,
        Err(Unread::Malformed) => {
            worker.count_handshake_failed("malformed hello");
            return None;
        }
    };
    let name = hello.server_name().map(str::to_ascii_lowercase);
    let Some(chain) = tls.chain(name.as_deref().map(str::as_bytes)) else {
        worker.count_handshake_failed("unknown server name");
        return None;
    };
    let client = Client { sni: name.map(String::into_boxed_str), ..client };
    let (termination, bytes) = match chain {
        GatewayChain::PassThrough(_) => {
            let client = came_in(client, listener, (None, None));
            return Some(Box::new(Accepted { client, stream, buffer, declared: Protocol::Tls }));
        }
        GatewayChain::Http(termination, _) => (termination, Protocol::Http),
        GatewayChain::Tcp(termination, _) => (termination, Protocol::Tcp),
    };
    let side = ((stream, buffer), wait);
    let (stream, client, certificate) = if termination.tls.mode == ServerTlsMode::IstioMutual {
        let (stream, client) = secure(worker, client, side, alpn::INBOUND).await?;
        let certificate = client.identity.as_ref().map(|one| format!("URI={one}").into());
        (stream, client, certificate)
    } else {
        let (stream, certificate) = end(worker, termination, side).await?;
        (stream, client, certificate)
    };
    let declared = match (bytes, stream.alpn()) {
        (Protocol::Http, Some(alpn::H2 | alpn::ISTIO_H2)) => Protocol::Http2,
        (declared, _) => declared,
    };
    let client = came_in(client, listener, (Some(Arc::clone(termination)), certificate));
    Some(Box::new(Accepted { client, stream, buffer: Buffer::new(), declared }))
}

/// The handshake with the certificate of a server.
async fn end(
    worker: &Rc<Worker>,
    termination: &Arc<Termination>,
    side: ((Stream, Buffer), &Wait),
) -> Option<(Stream, Option<Box<str>>)> {
    let Some(config) = worker.shared.terminations.config(termination) else {
        worker.count_handshake_failed("no certificate");
        return None;
    };
    let stream = shake_hands(worker, side, config).await?;
    let connection = stream.get_ref().1;
    worker.count_handshake(Counter::ServerHandshakes, connection);
    let certificate = client_certificate(connection);
    let certificate = certificate.map(|shown| forwarded::certificate(&shown).into_boxed_str());
    Some((Stream::Tls(Box::new(TlsStream::Server(stream))), certificate))
}
