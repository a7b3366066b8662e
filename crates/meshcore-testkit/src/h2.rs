//! HTTP/2 peers on the `h2` crate: an application that runs a function for each call, and a
//! client.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::WITHIN;

/// Runs a test that waits, with a limit on its time. It may block its own thread: what it spawns,
/// such as the connections of clients, has another.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(2 * WITHIN, test).await.expect("in time") })
}

/// An HTTP/2 application on a free port, with a thread of its own.
#[derive(Debug)]
pub struct H2Application {
    address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicUsize,
    open: AtomicUsize,
    calls: AtomicUsize,
}

/// One request to the application.
#[derive(Debug)]
pub struct H2Call {
    /// Number of the connection it came on, from 0.
    pub connection: usize,
    /// Its head.
    pub head: http::request::Parts,
    /// Its body.
    pub body: RecvStream,
    /// The way back.
    pub respond: SendResponse<Bytes>,
    farewell: mpsc::UnboundedSender<Option<Reason>>,
}

impl H2Application {
    /// Runs `serve` for each call.
    pub fn start<F>(serve: impl Fn(H2Call) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::with(h2::server::Builder::new(), serve)
    }

    /// Runs `serve` for each call, on connections with these settings.
    pub fn with<F>(
        builder: h2::server::Builder,
        serve: impl Fn(H2Call) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let local = tokio::task::LocalSet::new();
            let serve = std::rc::Rc::new(serve);
            local.block_on(&runtime, async move {
                let listener = TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _peer) = listener.accept().await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    let (serve, counts) = (std::rc::Rc::clone(&serve), Arc::clone(&shared));
                    let builder = builder.clone();
                    tokio::task::spawn_local(async move {
                        let number = counts.connections.fetch_add(1, Ordering::SeqCst);
                        counts.open.fetch_add(1, Ordering::SeqCst);
                        serve_connection((stream, builder), number, &*serve, &counts).await;
                        counts.open.fetch_sub(1, Ordering::SeqCst);
                    });
                }
            });
        });
        Self { address, counts }
    }

    /// Answers each call with its own body, its own trailers, and what it was asked in fields.
    pub fn echo() -> Self {
        Self::start(|mut call| async move {
            let (body, trailers) = call.read().await.unwrap_or_default();
            let mut response = Response::builder().header("x-method", call.head.method.as_str());
            response = response.header("x-uri", call.head.uri.to_string());
            for (name, value) in &call.head.headers {
                response = response.header(format!("x-got-{name}"), value);
            }
            let Ok(mut send) = call.respond.send_response(response.body(()).unwrap(), false) else {
                return;
            };
            if send_all(&mut send, &body).await.is_ok() {
                end(&mut send, trailers);
            }
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    pub fn open_connections(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// Calls so far.
    pub fn calls(&self) -> usize {
        self.counts.calls.load(Ordering::SeqCst)
    }
}

async fn serve_connection<F>(
    (stream, builder): (TcpStream, h2::server::Builder),
    number: usize,
    serve: &(impl Fn(H2Call) -> F + ?Sized),
    counts: &Counts,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    let (farewell, mut farewells) = mpsc::unbounded_channel();
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(Ok((request, respond))) = accepted else { return };
                counts.calls.fetch_add(1, Ordering::SeqCst);
                let (head, body) = request.into_parts();
                let farewell = farewell.clone();
                let call = H2Call { connection: number, head, body, respond, farewell };
                tokio::task::spawn_local(serve(call));
            }
            Some(how) = farewells.recv() => match how {
                None => connection.graceful_shutdown(),
                Some(reason) => connection.abrupt_shutdown(reason),
            },
        }
    }
}

impl H2Call {
    /// Reads the whole body, and its trailers.
    ///
    /// # Errors
    ///
    /// The stream's.
    pub async fn read(&mut self) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
        read_all(&mut self.body).await
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    ///
    /// The stream's.
    pub async fn piece(&mut self) -> Option<Result<Bytes, h2::Error>> {
        piece(&mut self.body).await
    }

    /// Answers with a status and a body.
    pub async fn answer(mut self, status: u16, body: &[u8]) {
        let Ok(mut send) = self.begin(status, &[]) else { return };
        if send_all(&mut send, body).await.is_ok() {
            end(&mut send, None);
        }
    }

    /// Begins an answer.
    ///
    /// # Errors
    ///
    /// The client is gone.
    pub fn begin(
        &mut self,
        status: u16,
        fields: &[(&str, &str)],
    ) -> Result<SendStream<Bytes>, h2::Error> {
        self.respond.send_response(response(status, fields), false)
    }

    /// Answers with a head alone.
    pub fn answer_head(&mut self, status: u16, fields: &[(&str, &str)]) {
        let _gone = self.respond.send_response(response(status, fields), true);
    }

    /// Waits until the client resets the stream.
    ///
    /// # Errors
    ///
    /// The connection's.
    pub async fn reset_by_client(&mut self) -> Result<Reason, h2::Error> {
        poll_fn(|cx| self.respond.poll_reset(cx)).await
    }

    /// Says that no further calls are taken on this connection.
    pub fn go_away(&self) {
        let _ended = self.farewell.send(None);
    }

    /// Ends this connection at once, for a reason.
    pub fn end_connection(&self, reason: Reason) {
        let _ended = self.farewell.send(Some(reason));
    }
}

fn response(status: u16, fields: &[(&str, &str)]) -> Response<()> {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response.body(()).unwrap()
}

/// The next piece of a body; `None` at its end.
pub async fn piece(body: &mut RecvStream) -> Option<Result<Bytes, h2::Error>> {
    let piece = body.data().await?;
    if let Ok(piece) = &piece {
        let _gone = body.flow_control().release_capacity(piece.len());
    }
    Some(piece)
}

/// Reads a body to its end, and its trailers.
///
/// # Errors
///
/// The stream's.
pub async fn read_all(body: &mut RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut whole = Vec::new();
    while let Some(piece) = piece(body).await {
        whole.extend_from_slice(&piece?);
    }
    Ok((whole, body.trailers().await?))
}

/// Sends all of `bytes` as the peer takes them.
///
/// # Errors
///
/// The stream's.
pub async fn send_all(send: &mut SendStream<Bytes>, bytes: &[u8]) -> Result<(), h2::Error> {
    let mut rest = Bytes::copy_from_slice(bytes);
    while !rest.is_empty() {
        send.reserve_capacity(rest.len());
        let room = match poll_fn(|cx| send.poll_capacity(cx)).await {
            Some(room) => room?,
            None => return Err(Reason::CANCEL.into()),
        };
        send.send_data(rest.split_to(room.min(rest.len())), false)?;
    }
    Ok(())
}

/// Ends a body.
pub fn end(send: &mut SendStream<Bytes>, trailers: Option<HeaderMap>) {
    let _gone = match trailers {
        Some(trailers) => send.send_trailers(trailers),
        None => send.send_data(Bytes::new(), true),
    };
}

/// One HTTP/2 connection of a client.
#[derive(Debug, Clone)]
pub struct H2Client {
    send: SendRequest<Bytes>,
    ended: tokio::sync::watch::Receiver<Option<Result<(), String>>>,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct H2Answer {
    /// Its status.
    pub status: u16,
    /// Its fields.
    pub fields: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
    /// Its trailers.
    pub trailers: Option<HeaderMap>,
}

impl H2Answer {
    /// The value of a field, or of a trailer.
    pub fn field(&self, name: &str) -> Option<&str> {
        let value = self.fields.get(name).or_else(|| self.trailers.as_ref()?.get(name));
        value.map(|value| value.to_str().unwrap())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl H2Client {
    /// Connects, with prior knowledge.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream).await
    }

    /// Begins HTTP/2 on a stream that was made already.
    pub async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (send, connection) = h2::client::Builder::new()
            .initial_window_size(256 * 1024)
            .initial_connection_window_size(16 * 1024 * 1024)
            .handshake::<_, Bytes>(stream)
            .await
            .unwrap();
        let (tell, ended) = tokio::sync::watch::channel(None);
        tokio::spawn(async move {
            let end = connection.await.map_err(|error| error.to_string());
            let _nobody = tell.send(Some(end));
        });
        Self { send, ended }
    }

    /// Waits for the end of the connection.
    ///
    /// # Errors
    ///
    /// The connection's, as text.
    pub async fn ended(&self) -> Result<(), String> {
        let mut ended = self.ended.clone();
        let ended = ended.wait_for(Option::is_some).await.unwrap();
        ended.clone().unwrap()
    }

    /// Whether the connection has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// Sends a head; the body follows by the stream, unless `ends`.
    ///
    /// # Errors
    ///
    /// The connection's.
    pub async fn begin(
        &self,
        request: Request<()>,
        ends: bool,
    ) -> Result<(h2::client::ResponseFuture, SendStream<Bytes>), h2::Error> {
        self.send.clone().ready().await?.send_request(request, ends)
    }

    /// Sends a request and reads its answer, both at a time.
    ///
    /// # Errors
    ///
    /// The stream's.
    pub async fn ask(&self, request: Request<()>, body: &[u8]) -> Result<H2Answer, h2::Error> {
        self.ask_with(request, body, None).await
    }

    /// As [`Self::ask`], with trailers after the body.
    ///
    /// # Errors
    ///
    /// The stream's.
    pub async fn ask_with(
        &self,
        request: Request<()>,
        body: &[u8],
        trailers: Option<HeaderMap>,
    ) -> Result<H2Answer, h2::Error> {
        let ends = body.is_empty() && trailers.is_none();
        let (response, mut send) = self.begin(request, ends).await?;
        let sending = async {
            if !ends && send_all(&mut send, body).await.is_ok() {
                end(&mut send, trailers);
            }
            std::future::pending::<()>().await;
        };
        let (sending, reading) = (pin!(sending), pin!(read_answer(response)));
        tokio::select! {
            answer = reading => answer,
            () = sending => unreachable!("sending never ends"),
        }
    }

    /// Asks for a path of a host.
    ///
    /// # Errors
    ///
    /// The stream's.
    pub async fn get(&self, host: &str, path: &str) -> Result<H2Answer, h2::Error> {
        self.ask(request("GET", host, path, &[]), &[]).await
    }
}

/// Reads an answer to its end.
///
/// # Errors
///
/// The stream's.
pub async fn read_answer(response: h2::client::ResponseFuture) -> Result<H2Answer, h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    let (body, trailers) = read_all(&mut body).await?;
    Ok(H2Answer { status: head.status.as_u16(), fields: head.headers, body, trailers })
}

/// The head of a request.
pub fn request(method: &str, host: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(format!("http://{host}{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}
