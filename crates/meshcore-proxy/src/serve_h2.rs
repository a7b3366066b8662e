//! A client's HTTP/2 connection: requests side by side.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use meshcore_http::RequestHead;
use meshcore_http::h1::Limits;
use meshcore_http::h2::{DeferredIo, Drain, accept, body_from_h2, head_from_h2};
use meshcore_telemetry::{Counter, Labelled};
use tokio::sync::Notify;

use crate::body::{Body, H2Body};
use crate::client::Client;
use crate::exchange::{After, Exchange};
use crate::h2_client::{CONNECTION_WINDOW_BYTES, MAX_HEADER_LIST_BYTES, STREAM_WINDOW_BYTES};
use crate::opaque::accept_tunnel;
use crate::pipeline::carry;
use crate::recycle::Recycled;
use crate::reply::{H2Reply, Reply};
use crate::route::is_tunnel;
use crate::stream::Prefixed;
use crate::timer::timeout;
use crate::waits::{Interrupted, Wait, Waiting};
use crate::worker::Worker;

/// Requests side by side on one connection. Source: Envoy's advice for proxies at an edge.
const MAX_STREAMS: u32 = 100;

/// Streams of one connection that are worked on: a stream that its client has given up is among
/// them until we notice, which takes as long as connecting may. Those beyond are refused, for
/// another try later. Source: as many given up as may be open.
const MAX_WORKED_ON: u32 = 2 * MAX_STREAMS;

/// A client without requests for so long is closed. Source: as for HTTP/1.
const IDLE_S: u64 = 3600;

/// How long a client that was told of the end may take to close, once it has no streams.
const LEAVE_S: u64 = 10;

/// How long the first bytes of HTTP/2 are waited for.
const PREFACE: Duration = Duration::from_secs(10);

/// Streams that the client may reset before we have looked at them. Source: the defence against
/// rapid reset (CVE-2023-44487). A sidecar carries the calls of many clients on one connection,
/// and all that fit on it may be given up at once; an attack comes in thousands.
const MAX_PENDING_RESETS: usize = 200;

/// Streams that we reset because of the client, before the connection is closed.
const MAX_OWN_RESETS: usize = 1024;

/// A stream given up within this time counts as premature. Source, for this and the next: Envoy's
/// `overload.premature_reset_min_stream_lifetime_seconds` and `premature_reset_total_stream_count`,
/// its defence against rapid reset (CVE-2023-44487).
const PREMATURE: Duration = Duration::from_secs(1);

/// Streams of a connection before it is judged by how many were premature.
const JUDGED_STREAMS: u32 = 500;

type Requests = h2::server::Connection<DeferredIo<Prefixed>, Bytes>;

/// Serves a connection until it ends.
pub(crate) async fn serve_h2(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    stream: Prefixed,
    wait: &Wait,
) {
    // Boxed, since the beginning needs more than what comes after it.
    let Some((mut connection, drain)) = Box::pin(begin(stream)).await else { return };
    accept_all(worker, client, (&mut connection, &drain), wait).await;
    // What was answered last still has to be written.
    let rest = poll_fn(|cx| {
        let closed = connection.poll_closed(cx);
        match drain.poll_drain(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(())) | Poll::Pending => closed.map(|_ended| ()),
        }
    });
    let _late = timeout(PREFACE, pin!(rest)).await;
}

/// Says and hears the first bytes of HTTP/2; `None` when they do not come.
async fn begin(stream: Prefixed) -> Option<(Requests, Drain<Prefixed>)> {
    let (io, drain) = DeferredIo::new(stream);
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(Some(MAX_OWN_RESETS));
    // An extended CONNECT (RFC 8441) is not offered, and refused by the crate: it could not be
    // said to an HTTP/1 application.
    let handshake = builder.handshake::<_, Bytes>(io);
    let mut handshake = pin!(handshake);
    // The preface of the server is held back like all else, and has to be written.
    let begun = poll_fn(|cx| {
        let begun = handshake.as_mut().poll(cx);
        match drain.poll_drain(cx) {
            Poll::Ready(_) | Poll::Pending => begun,
        }
    });
    let connection = timeout(PREFACE, pin!(begun)).await.ok()?.ok()?;
    Some((connection, drain))
}

async fn accept_all(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    (connection, drain): (&mut Requests, &Drain<Prefixed>),
    wait: &Wait,
) {
    let streams = Rc::new(Streams::default());
    streams.idle_since_s.set(worker.now_s());
    let mut is_leaving = false;
    loop {
        let waiting = if is_leaving { Waiting::Busy } else { Waiting::Idle };
        let limit_s = streams.patience_s(worker.now_s(), is_leaving);
        let accepting = wait.within(limit_s, waiting, accept(connection, drain));
        let accepted = tokio::select! {
            accepted = accepting => accepted,
            () = streams.attacked.notified() => {
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                return;
            }
        };
        match accepted {
            Ok(Some(Ok((_request, mut respond)))) if streams.is_full() => {
                respond.send_reset(Reason::REFUSED_STREAM);
            }
            Ok(Some(Ok((request, respond)))) => {
                let active = Active::begin(&streams, worker);
                let stream = H2Request { request, respond, active };
                let (worker, client) = (Rc::clone(worker), Rc::clone(client));
                tokio::task::spawn_local(async move { stream.serve(&worker, &client).await });
            }
            Ok(Some(Err(_)) | None) => return,
            Err(Interrupted::Expired) if !streams.is_quiet(worker.now_s(), is_leaving) => {}
            Err(Interrupted::Expired) if is_leaving => return,
            Err(Interrupted::Expired | Interrupted::Draining) => {
                is_leaving = true;
                connection.graceful_shutdown();
            }
        }
    }
}

/// The streams of one connection that are being served.
#[derive(Debug, Default)]
struct Streams {
    active: Cell<u32>,
    total: Cell<u32>,
    premature: Cell<u32>,
    /// The client gives most of its streams up, which costs it less than us.
    attacked: Notify,
    /// When there was last one, in seconds of the worker.
    idle_since_s: Cell<u64>,
}

impl Streams {
    /// How long the connection may be without a stream, from now.
    fn patience_s(&self, now_s: u64, is_leaving: bool) -> u64 {
        let whole_s = if is_leaving { LEAVE_S } else { IDLE_S };
        let idle_s = match self.active.get() {
            0 => now_s.saturating_sub(self.idle_since_s.get()),
            _busy => 0,
        };
        whole_s.saturating_sub(idle_s).max(1)
    }

    /// Whether so many are worked on that no other is taken.
    fn is_full(&self) -> bool {
        self.active.get() >= MAX_WORKED_ON
    }

    /// A stream was given up by the client soon after it began.
    fn note_premature(&self) {
        self.premature.set(self.premature.get().saturating_add(1));
        let total = self.total.get();
        if total >= JUDGED_STREAMS && self.premature.get() > total / 2 {
            self.attacked.notify_one();
        }
    }

    /// Whether it has been without a stream for as long as it may.
    fn is_quiet(&self, now_s: u64, is_leaving: bool) -> bool {
        let whole_s = if is_leaving { LEAVE_S } else { IDLE_S };
        self.active.get() == 0 && now_s.saturating_sub(self.idle_since_s.get()) >= whole_s
    }
}

/// A stream counts as active while this exists, also when its task panics.
struct Active {
    streams: Rc<Streams>,
    worker: Rc<Worker>,
}

impl Active {
    fn begin(streams: &Rc<Streams>, worker: &Rc<Worker>) -> Self {
        streams.active.set(streams.active.get().saturating_add(1));
        streams.total.set(streams.total.get().saturating_add(1));
        Self { streams: Rc::clone(streams), worker: Rc::clone(worker) }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.streams.active.set(self.streams.active.get().saturating_sub(1));
        self.streams.idle_since_s.set(self.worker.now_s());
        if std::thread::panicking() {
            self.worker.recorder.count(Counter::Panics, 1);
        }
    }
}

/// One request and its stream.
struct H2Request {
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
    active: Active,
}

impl H2Request {
    async fn serve(self, worker: &Rc<Worker>, client: &Rc<Client>) {
        let Self { request, mut respond, active } = self;
        let mut head = Recycled::<RequestHead>::take();
        let (parts, body) = request.into_parts();
        if let Err(rejected) = head_from_h2(&parts, &mut head, &Limits::default()) {
            worker.recorder.count_by(Labelled::RequestsRejected, rejected.reason(), 1);
            return reject(&mut respond, rejected);
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
        let began = Instant::now();
        if let After::Gone = carry(worker, client, &mut exchange).await
            && began.elapsed() < PREMATURE
        {
            active.streams.note_premature();
        }
    }
}

/// Tells the client that its request is too large; anything else is an error of its protocol.
/// Source: RFC 9113 section 8.1.1.
fn reject(respond: &mut SendResponse<Bytes>, rejected: meshcore_http::Rejected) {
    let status = rejected.status();
    let response = http::Response::builder().status(status).body(());
    match (status, response) {
        (414 | 417 | 431, Ok(response)) => {
            let _gone = respond.send_response(response, true); // the client may have left
        }
        (_malformed, _) => respond.send_reset(Reason::PROTOCOL_ERROR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_idle_only_without_streams() {
        let streams = Streams::default();
        streams.active.set(1);
        assert_eq!(
            (streams.patience_s(9000, false), streams.is_quiet(9000, false)),
            (IDLE_S, false)
        );
        streams.active.set(0);
        streams.idle_since_s.set(9000);
        assert_eq!((streams.patience_s(9600, false), streams.is_quiet(9600, false)), (3000, false));
        assert!(streams.is_quiet(9000 + IDLE_S, false));
        assert_eq!((streams.patience_s(9004, true), streams.is_quiet(9010, true)), (6, true));
        assert_eq!(streams.patience_s(99_999, false), 1, "never without a limit");
    }
}
