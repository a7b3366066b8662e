//! Connections of clients, whoever accepted them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, Semaphore, mpsc};
use tonic::Status;
use tonic::body::Body;

use crate::peer::Peer;

/// Connections at a time.
const CONNECTIONS: usize = 20_000;
/// How long a connection may be without a call of somebody who is known.
const FIRST_CALL: Duration = Duration::from_secs(15);
/// How often a silent client is asked whether it is there, and how long it may take to say so.
/// Source: Istio's `keepaliveInterval` and `keepaliveTimeout`.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));
/// Calls at a time on one connection: a sidecar has a stream, and asks for certificates.
const CALLS: u32 = 16;
/// Bytes of a call that wait in the server for a client that does not read.
const SEND_BUFFER_BYTES: usize = 64 << 10;

/// The answer to a call.
pub type Answering = Pin<Box<dyn Future<Output = http::Response<Body>> + Send>>;

/// A call that clients may make.
pub trait Call: Send + Sync + fmt::Debug {
    /// Its path, such as [`crate::wire::DELTA_RESOURCES`].
    fn path(&self) -> &'static str;

    /// Answers it. Who calls is [`Peer`] in the extensions of the request.
    fn answer(&self, request: http::Request<Body>) -> Answering;
}

/// A connection that was accepted, and who is on it.
pub struct Connection {
    io: Box<dyn Io>,
    peer: Peer,
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Ends the connection of a call, from within the call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hangup(Arc<Notify>);

/// A connection on which nobody has proved who it is does not last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known(Arc<AtomicBool>);

impl Known {
    /// A caller of the connection is who it has to be.
    pub(crate) fn is_known(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Connection {
    /// A connection that is ready for HTTP/2.
    pub fn new(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, peer: Peer) -> Self {
        Self { io: Box::new(io), peer }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Hangup {
    /// The connection is dropped, with all that waits to be sent on it.
    pub(crate) fn hang_up(&self) {
        self.0.notify_one();
    }
}

/// Serves all connections that come in, until no more can come.
pub async fn serve(mut incoming: mpsc::Receiver<Connection>, calls: Vec<Arc<dyn Call>>) {
    let calls: Arc<[Arc<dyn Call>]> = calls.into();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    while let Some(connection) = incoming.recv().await {
        // Without a place the connection is closed: the client tries again later.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let calls = Arc::clone(&calls);
        tokio::spawn(async move {
            converse(connection, calls).await;
            drop(place);
        });
    }
}

async fn converse(connection: Connection, calls: Arc<[Arc<dyn Call>]>) {
    let hangup = Hangup::default();
    let known = Known::default();
    let service = service_fn(|mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(connection.peer.clone());
        request.extensions_mut().insert(hangup.clone());
        request.extensions_mut().insert(known.clone());
        let request = request.map(Body::new);
        let call = calls.iter().find(|call| call.path() == request.uri().path());
        let answering = call.map(|call| call.answer(request));
        async move {
            Ok::<_, std::convert::Infallible>(match answering {
                Some(answering) => answering.await,
                None => Status::unimplemented("there is no such call here").into_http(),
            })
        }
    });
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .max_concurrent_streams(CALLS)
        .max_send_buf_size(SEND_BUFFER_BYTES);
    let serving = http.serve_connection(TokioIo::new(connection.io), service);
    let silent = async {
        tokio::time::sleep(FIRST_CALL).await;
        if known.0.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        // What goes wrong on a connection is the client's: it comes again.
        _ = serving => {}
        () = hangup.0.notified() => {}
        () = silent => {}
    }
}
