//! A client's HTTP/2 connection: requests side by side.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use meshcore_http::RequestHead;
use meshcore_http::h1::Limits;
use meshcore_http::h2::{DeferredIo, Drain, accept, body_from_h2, head_from_h2};
use meshcore_telemetry::Labelled;

use crate::body::{Body, H2Body};
use crate::client::Client;
use crate::exchange::Exchange;
use crate::h2_client::{CONNECTION_WINDOW_BYTES, MAX_HEADER_LIST_BYTES, STREAM_WINDOW_BYTES};
use crate::opaque::accept_tunnel;
use crate::pipeline::carry;
use crate::recycle::Recycled;
use crate::reply::{H2Reply, Reply};
use crate::route::is_tunnel;
use crate::stream::Prefixed;
use crate::waits::{Interrupted, Wait, Waiting};
use crate::worker::Worker;

/// Requests side by side on one connection. Source: Envoy's advice for proxies at an edge.
const MAX_STREAMS: u32 = 100;

/// A client without requests for so long is closed. Source: as for HTTP/1.
const IDLE_S: u64 = 3600;

/// How long the first bytes of HTTP/2 are waited for.
const PREFACE: Duration = Duration::from_secs(10);

/// Streams that the client may reset before we have looked at them. Source: the defence against
/// rapid reset (CVE-2023-44487); ordinary clients cancel a few.
const MAX_PENDING_RESETS: usize = 20;

/// Streams that we reset because of the client, before the connection is closed.
const MAX_OWN_RESETS: usize = 1024;

type Requests = h2::server::Connection<DeferredIo<Prefixed>, Bytes>;

/// Serves a connection until it ends.
pub(crate) async fn serve_h2(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    stream: Prefixed,
    wait: &Wait,
) {
    let (io, drain) = DeferredIo::new(stream);
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(Some(MAX_OWN_RESETS))
        .enable_connect_protocol();
    let handshake = builder.handshake::<_, Bytes>(io);
    let mut handshake = pin!(handshake);
    // The preface of the server is held back like all else, and has to be written.
    let begun = tokio::time::timeout(
        PREFACE,
        poll_fn(|cx| {
            let begun = handshake.as_mut().poll(cx);
            match drain.poll_drain(cx) {
                Poll::Ready(_) | Poll::Pending => begun,
            }
        }),
    );
    let Ok(Ok(mut connection)) = begun.await else { return };
    accept_all(worker, client, (&mut connection, &drain), wait).await;
    // What was answered last still has to be written.
    let rest = poll_fn(|cx| {
        let closed = connection.poll_closed(cx);
        match drain.poll_drain(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(())) | Poll::Pending => closed.map(|_ended| ()),
        }
    });
    let _late = tokio::time::timeout(PREFACE, rest).await;
}

async fn accept_all(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    (connection, drain): (&mut Requests, &Drain<Prefixed>),
    wait: &Wait,
) {
    let active = Rc::new(Cell::new(0_u32));
    let mut is_leaving = false;
    loop {
        let waiting = if is_leaving { Waiting::Busy } else { Waiting::Idle };
        let limit_s = if active.get() == 0 { IDLE_S } else { 0 };
        match wait.within(limit_s, waiting, accept(connection, drain)).await {
            Ok(Some(Ok((request, respond)))) => {
                let stream = H2Request { request, respond, active: Streaming::begin(&active) };
                let (worker, client) = (Rc::clone(worker), Rc::clone(client));
                tokio::task::spawn_local(async move { stream.serve(&worker, &client).await });
            }
            Ok(Some(Err(_)) | None) => return,
            Err(Interrupted::Draining | Interrupted::Expired) if is_leaving => return,
            Err(Interrupted::Draining) => {
                is_leaving = true;
                connection.graceful_shutdown();
            }
            Err(Interrupted::Expired) if active.get() == 0 => {
                is_leaving = true;
                connection.graceful_shutdown();
            }
            Err(Interrupted::Expired) => {}
        }
    }
}

/// A stream counts as active while this exists.
struct Streaming(Rc<Cell<u32>>);

impl Streaming {
    fn begin(active: &Rc<Cell<u32>>) -> Self {
        active.set(active.get().saturating_add(1));
        Self(Rc::clone(active))
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// One request and its stream.
struct H2Request {
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
    active: Streaming,
}

impl H2Request {
    async fn serve(self, worker: &Rc<Worker>, client: &Rc<Client>) {
        let Self { request, mut respond, active: _active } = self;
        let mut head = Recycled::<RequestHead>::take();
        let (parts, body) = request.into_parts();
        if let Err(rejected) = head_from_h2(&parts, &mut head, &Limits::default()) {
            worker.recorder.count_by(Labelled::RequestsRejected, rejected.reason(), 1);
            respond.send_reset(Reason::PROTOCOL_ERROR);
            return;
        }
        if is_tunnel(&head) {
            return Box::pin(accept_tunnel(worker, client, (body, respond), &head)).await;
        }
        let framing = body_from_h2(&head.fields, body.is_end_stream());
        let body =
            if body.is_end_stream() { Body::Empty } else { Body::H2(Box::new(H2Body::new(body))) };
        let mut exchange = Exchange {
            head: &mut head,
            framing,
            body,
            reply: Reply::H2(H2Reply { respond, is_started: false }),
            wants_upgrade: false,
        };
        carry(worker, client, &mut exchange).await;
    }
}
