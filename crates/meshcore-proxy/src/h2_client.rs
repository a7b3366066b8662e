//! HTTP/2 connections to upstreams.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use meshcore_http::RequestHead;
use meshcore_http::h1::BodyKind;
use meshcore_http::h2::{DeferredIo, drive_client, request_to_h2};
use meshcore_model::{Failure, Kind};

use crate::contain::poll_contained;
use crate::counted::Counted;
use crate::pool::Slot;
use crate::stream::Stream;
use crate::tunnel::TunnelStream;

/// Windows of a connection to the next sidecar or an application. Source: the values with which
/// a stream fills a link of 10 Gbit/s and 0.2 ms, and a connection four such streams.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Largest header list taken from an upstream, in bytes as RFC 9113 section 6.5.2 counts them.
pub(crate) const MAX_HEADER_LIST_BYTES: u32 = 64 * 1024;

/// An HTTP/2 connection to an upstream, shared by many requests of one worker.
#[derive(Debug)]
pub(crate) struct H2Connection {
    send: SendRequest<Bytes>,
    active: Rc<Cell<u32>>,
    /// It takes no more streams: it has ended, or the peer said that it will.
    is_closed: Rc<Cell<bool>>,
    /// Trust under which the peer was verified; see [`crate::pool::Pools`].
    pub(crate) trust_epoch: u64,
    requests: Cell<u32>,
    idle_since_s: Cell<u64>,
    max_idle_s: u64,
    max_streams: u32,
    max_requests: u32,
    pub(crate) local: Option<SocketAddr>,
    /// Counts it against the limit of its cluster while it exists.
    slot: Option<Slot>,
    _open: Counted,
}

/// What bounds the use of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct H2Limits {
    /// Streams at a time.
    pub(crate) streams: u32,
    /// Streams before it is closed.
    pub(crate) requests: u32,
    /// Seconds without a stream before it is closed; 0 is no limit.
    pub(crate) idle_s: u64,
    /// Trust in force when it was asked for.
    pub(crate) trust_epoch: u64,
}

/// A request on a connection; it counts as active while this exists.
#[derive(Debug)]
pub(crate) struct H2Exchange {
    pub(crate) response: ResponseFuture,
    pub(crate) send: SendStream<Bytes>,
    active: Active,
}

#[derive(Debug)]
pub(crate) struct Active {
    connection: Rc<H2Connection>,
}

impl H2Connection {
    /// Begins HTTP/2 on `stream`, waits for the peer's settings, and drives it on the current
    /// worker. A peer may take its time with them: the caller sets the limit.
    ///
    /// # Errors
    ///
    /// `UpstreamProtocol` when the peer does not speak HTTP/2, `UpstreamRefused` when it closes.
    pub(crate) async fn begin(
        stream: Stream,
        limits: H2Limits,
        now_s: u64,
        (slot, open): (Option<Slot>, Counted),
    ) -> Result<Rc<Self>, Failure> {
        let local = stream.local_addr();
        let (io, drain) = DeferredIo::new(stream);
        let handshake = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(MAX_HEADER_LIST_BYTES)
            .initial_max_send_streams(0)
            .enable_push(false)
            .handshake::<_, Bytes>(io);
        let (send, connection) = Box::pin(handshake)
            .await
            .map_err(|error| Failure::because(Kind::UpstreamProtocol, error))?;
        let is_closed = Rc::new(Cell::new(false));
        let closed = Rc::clone(&is_closed);
        let mut driving = Box::pin(drive_client(connection, drain));
        // More streams than the peer takes would wait in line there, behind others that may
        // never end: how many it takes is known first.
        poll_fn(|cx| match driving.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Err(never_began(ended))),
            Poll::Pending if send.current_max_send_streams() > 0 => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        })
        .await?;
        let recorder = open.recorder().clone();
        tokio::task::spawn_local(async move {
            // The requests on it hear of its end by themselves.
            let _ended = poll_fn(|cx| poll_contained(&recorder, driving.as_mut(), cx)).await;
            closed.set(true);
        });
        Ok(Rc::new(Self {
            send,
            active: Rc::new(Cell::new(0)),
            is_closed,
            trust_epoch: limits.trust_epoch,
            requests: Cell::new(0),
            idle_since_s: Cell::new(now_s),
            max_idle_s: limits.idle_s,
            max_streams: limits.streams,
            max_requests: limits.requests,
            local,
            slot,
            _open: open,
        }))
    }

    /// Whether another request fits on it.
    pub(crate) fn has_room(&self) -> bool {
        let streams = usize::try_from(self.max_streams).unwrap_or(usize::MAX);
        let most = self.send.current_max_send_streams().min(streams);
        let active = usize::try_from(self.active.get()).unwrap_or(usize::MAX);
        !self.is_closed.get() && active < most && self.requests.get() < self.max_requests
    }

    /// Whether nothing is on it and nothing will be.
    pub(crate) fn is_over(&self) -> bool {
        self.is_closed.get() && self.active.get() == 0
    }

    /// Whether it lives, and is used or was not long ago.
    pub(crate) fn is_worth_keeping(&self, now_s: u64) -> bool {
        if self.active.get() > 0 {
            self.idle_since_s.set(now_s);
        }
        let idle_s = now_s.saturating_sub(self.idle_since_s.get());
        let is_idle_too_long = self.max_idle_s > 0 && idle_s >= self.max_idle_s;
        let is_used = self.active.get() > 0;
        let is_spent = self.requests.get() >= self.max_requests;
        !self.is_closed.get() && (is_used || !(is_idle_too_long || is_spent))
    }

    /// Sends the head of a request; `BodyKind::None` ends the stream with it.
    ///
    /// # Errors
    ///
    /// `UpstreamClosed` when the connection has ended, `UpstreamRefusedStream` when the peer is
    /// going away, `BadRequest` when the head cannot be said in HTTP/2.
    pub(crate) async fn request(
        self: &Rc<Self>,
        head: &RequestHead,
        body: BodyKind,
        now_s: u64,
    ) -> Result<H2Exchange, Failure> {
        let request = request_to_h2(head, body)
            .map_err(|rejected| Failure::because(Kind::BadRequest, rejected.reason()))?;
        let ended = matches!(body, BodyKind::None);
        let (response, send, active) = self.open(request, ended, now_s).await?;
        Ok(H2Exchange { response, send, active })
    }

    /// Opens a stream. A connection that refuses one is not used again.
    async fn open(
        self: &Rc<Self>,
        request: http::Request<()>,
        ended: bool,
        now_s: u64,
    ) -> Result<(ResponseFuture, SendStream<Bytes>, Active), Failure> {
        self.active.set(self.active.get().saturating_add(1));
        self.requests.set(self.requests.get().saturating_add(1));
        self.idle_since_s.set(now_s);
        let active = Active { connection: Rc::clone(self) };
        let mut send = self.send.clone();
        let ready = poll_fn(|cx| send.poll_ready(cx)).await;
        let opened = ready.and_then(|()| send.send_request(request, ended));
        let (response, send) = opened.map_err(|error| {
            self.is_closed.set(true);
            failure(&error)
        })?;
        Ok((response, send, active))
    }

    /// Takes note of how a stream failed: a peer that says good-bye gets no more of them.
    pub(crate) fn note(&self, failure: &Failure) {
        if matches!(failure.kind(), Kind::UpstreamRefusedStream | Kind::UpstreamClosed) {
            self.is_closed.set(true);
        }
    }

    /// Opens a tunnel to `authority` through the peer.
    ///
    /// # Errors
    ///
    /// As [`Self::request`]; `Denied` or `UpstreamRefused` when the peer answers so.
    pub(crate) async fn tunnel(
        self: &Rc<Self>,
        authority: &str,
        now_s: u64,
    ) -> Result<TunnelStream, Failure> {
        let request = http::Request::connect(authority)
            .body(())
            .map_err(|error| Failure::because(Kind::Internal, error))?;
        let (response, send, active) = self.open(request, false, now_s).await?;
        let response = response.await.map_err(|error| {
            let failure = failure(&error);
            self.note(&failure);
            failure
        })?;
        let status = response.status();
        if status != http::StatusCode::OK {
            let cause = format!("tunnel to {authority}: {status}");
            return Err(Failure::because(Kind::UpstreamRefused, cause));
        }
        Ok(TunnelStream::new(response.into_body(), send, Some(active)))
    }
}

impl H2Exchange {
    pub(crate) fn into_parts(self) -> (ResponseFuture, SendStream<Bytes>, Active) {
        (self.response, self.send, self.active)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let count = &self.connection.active;
        count.set(count.get().saturating_sub(1));
        if let Some(slot) = &self.connection.slot {
            slot.give_way();
        }
    }
}

/// The connection has ended before any request was sent.
fn never_began(ended: Result<(), h2::Error>) -> Failure {
    match ended.map_err(|error| failure(&error)) {
        Err(failure) if failure.kind() == Kind::UpstreamProtocol => failure,
        Err(failure) => Failure::because(Kind::UpstreamRefused, failure.reason()),
        Ok(()) => Failure::because(Kind::UpstreamRefused, "closed before it spoke HTTP/2"),
    }
}

/// What an error of the `h2` crate means for a request to an upstream.
pub(crate) fn failure(error: &h2::Error) -> Failure {
    let kind = match error.reason() {
        Some(Reason::REFUSED_STREAM) => Kind::UpstreamRefusedStream,
        Some(Reason::NO_ERROR) if error.is_go_away() && error.is_remote() => {
            Kind::UpstreamRefusedStream
        }
        // Found here, in what the peer sent.
        Some(_) if error.is_library() => Kind::UpstreamProtocol,
        Some(_) => Kind::UpstreamReset,
        None => Kind::UpstreamClosed,
    };
    Failure::because(kind, error.to_string())
}
