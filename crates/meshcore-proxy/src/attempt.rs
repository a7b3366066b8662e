//! One try of a request on one endpoint.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use meshcore_http::h1::{BodyKind, ConnectionDirective, switches_as_asked, write_request_with};
use meshcore_http::{Fields, Known, Method, ResponseHead};
use meshcore_model::{Failure, Flag, Kind};
use meshcore_policy::{Outcome, should_retry};
use meshcore_snapshot::RetryPolicy;

use crate::answer::has_body;
use crate::body::BodyError;
use crate::connect::{Connection, Plan};
use crate::converse::{Answered, Answering, Upload, await_head, client_gone, upload};
use crate::exchange::{After, Exchange};
use crate::h2_client::H2Connection;
use crate::pipeline::Walk;
use crate::pool::H1Connection;
use crate::recycle::Recycled;
use crate::replay::Replay;
use crate::reply::Reply;
use crate::route::Routed;
use crate::shape::shape_response;
use crate::sink::{H1Sink, H2Sink, Sink, TransferError, transfer};
use crate::target::Target;
use crate::timer::timeout;

/// What one try needs to know.
#[derive(Debug)]
pub(crate) struct Attempt<'a, 's> {
    pub(crate) routed: &'a Routed<'s>,
    pub(crate) target: &'a Target<'s>,
    pub(crate) policy: &'a RetryPolicy,
    pub(crate) replay: &'a Replay,
    /// Another try would be made if this one is not good.
    pub(crate) can_repeat: bool,
}

/// How a try ended that reached an answer.
#[derive(Debug)]
pub(crate) enum Tried {
    /// The client has its answer.
    Answered(After),
    /// The upstream answered with something that is worth another try.
    Unwanted,
}

/// How a conversation ended, for the connection it was on.
#[derive(Debug, Clone, Copy)]
enum Ended {
    Answered { reusable: bool },
    Upgraded,
    Unwanted,
}

impl Attempt<'_, '_> {
    /// Sends the request and passes the answer on.
    ///
    /// # Errors
    ///
    /// What went wrong, with the upstream or with the client.
    pub(crate) async fn make(
        &mut self,
        walk: &mut Walk<'_>,
        exchange: &mut Exchange<'_>,
    ) -> Result<Tried, Failure> {
        let plan = Plan::new(self.target, exchange);
        let mut must_be_new = false;
        loop {
            let connection = {
                let Exchange { head, reply, .. } = &mut *exchange;
                let connecting = pin!(plan.connection(walk.worker, head.host(), must_be_new));
                unless_gone(reply, connecting).await?
            };
            let was_used = connection.was_used();
            let tried = match connection {
                Connection::H1(connection) => self.on_h1(walk, exchange, connection).await,
                Connection::H2(connection) => self.on_h2(walk, exchange, connection).await,
            };
            match tried {
                Err(failure) if was_used && !must_be_new && self.is_stale(exchange, &failure) => {
                    must_be_new = true;
                }
                ended => return ended,
            }
        }
    }

    /// The upstream closed a kept connection while the request was on its way, and it does no
    /// harm to send it again. Source: RFC 9110 section 9.2.2; of a stream that was refused,
    /// RFC 9113 section 8.7.
    fn is_stale(&self, exchange: &Exchange<'_>, failure: &Failure) -> bool {
        let kind = failure.kind();
        let is_harmless = kind == Kind::UpstreamRefusedStream
            || kind == Kind::UpstreamClosed && exchange.head.method().is_idempotent();
        is_harmless && !exchange.reply.is_started() && self.replay.is_whole()
    }

    async fn on_h1(
        &mut self,
        walk: &mut Walk<'_>,
        exchange: &mut Exchange<'_>,
        mut connection: Box<H1Connection>,
    ) -> Result<Tried, Failure> {
        self.target.note(walk, connection.local);
        connection.requests = connection.requests.saturating_add(1);
        let mut out = Recycled::<Vec<u8>>::take();
        let directive = if exchange.wants_upgrade {
            ConnectionDirective::Upgrade
        } else {
            ConnectionDirective::KeepAlive
        };
        write_request_with(exchange.head, exchange.framing, directive, &mut out);
        let H1Connection { conn, buffer, .. } = &mut *connection;
        let sink = Sink::H1(H1Sink { conn, out: &mut out, framing: exchange.framing });
        let answering = Answering::H1 { conn, buffer, method: exchange.head.method() };
        match self.converse(walk, exchange, sink, answering).await? {
            Ended::Answered { reusable } => {
                if reusable {
                    self.target.keep(walk.worker, connection);
                }
                Ok(Tried::Answered(After::Next))
            }
            Ended::Upgraded => Ok(Tried::Answered(After::Upgraded(connection))),
            Ended::Unwanted => Ok(Tried::Unwanted),
        }
    }

    async fn on_h2(
        &mut self,
        walk: &mut Walk<'_>,
        exchange: &mut Exchange<'_>,
        connection: Rc<H2Connection>,
    ) -> Result<Tried, Failure> {
        self.target.note(walk, connection.local);
        let now_s = walk.worker.now_s();
        // Boxed, so that a try over HTTP/1 need not have room for it.
        let opening = Box::pin(connection.request(exchange.head, exchange.framing, now_s));
        let opened = opening.await?;
        let (response, send, _active) = opened.into_parts();
        let sink = Sink::H2(H2Sink::new(send, exchange.framing == BodyKind::None));
        let method = exchange.head.method();
        let answering = Answering::H2 { response: Box::new(response), received: None, method };
        let ended = Box::pin(self.converse(walk, exchange, sink, answering)).await;
        match ended.inspect_err(|failure| connection.note(failure))? {
            Ended::Answered { .. } => Ok(Tried::Answered(After::Next)),
            Ended::Upgraded => Err(Kind::UpstreamProtocol.into()),
            Ended::Unwanted => Ok(Tried::Unwanted),
        }
    }

    /// Sends the body, waits for the answer and passes it on; both at a time where they overlap.
    async fn converse(
        &mut self,
        walk: &mut Walk<'_>,
        exchange: &mut Exchange<'_>,
        mut sink: Sink<'_>,
        mut answering: Answering<'_>,
    ) -> Result<Ended, Failure> {
        let mut head = Recycled::<ResponseHead>::take();
        let sent_at = Instant::now();
        let wanted = (self.policy, self.can_repeat);
        let Exchange { head: request, body, reply, wants_upgrade, .. } = exchange;
        let sending = pin!(upload(body, &mut sink, self.replay));
        let mut uploading = Upload::new(sending);
        let limit_ms = self.policy.per_try_timeout_ms;
        let answered =
            await_head_within(limit_ms, &mut answering, &mut uploading, (reply, &mut head)).await?;
        walk.record.upstream_status = Some(head.status());
        walk.record.upstream_us = u64::try_from(sent_at.elapsed().as_micros()).ok();
        if head.status() == 101 {
            let is_wanted = *wants_upgrade && switches_as_asked(&request.fields, &head.fields);
            return switch(walk, is_wanted, reply, &head).await;
        }
        let can_send_again = uploading.can_repeat() && self.replay.is_whole();
        if is_unwanted(walk, &head, wanted) && can_send_again {
            return Ok(Ended::Unwanted);
        }
        let new_body = shape_response(walk, self.routed, request, &mut head).await?;
        walk.record.details = "via_upstream";
        walk.record.answered(head.status(), grpc_status(&head.fields));
        let framing = framing_for(reply, request.method(), (&head, answered.framing));
        let reusable = match new_body {
            Some(new_body) if framing != BodyKind::None => {
                pass_instead(walk, reply, &head, &new_body).await?
            }
            Some(_) | None => {
                pass_on(walk, (reply, &head), (answering, framing), &mut uploading).await?
            }
        };
        walk.record.response = Some(head);
        // A status without a body may have been put in place of one with a body.
        let is_read = framing != BodyKind::None || answered.framing == BodyKind::None;
        let reusable = reusable && is_read && answered.keeps_alive && uploading.is_complete();
        Ok(Ended::Answered { reusable })
    }
}

/// As [`await_head`], for as long as one try may take.
async fn await_head_within<F>(
    limit_ms: Option<u64>,
    answering: &mut Answering<'_>,
    uploading: &mut Upload<'_, F>,
    (reply, head): (&mut Reply<'_>, &mut ResponseHead),
) -> Result<Answered, Failure>
where
    F: Future<Output = Result<(), TransferError>>,
{
    let awaited = pin!(await_head(answering, uploading, reply, head));
    match limit_ms {
        None => awaited.await,
        Some(limit_ms) => timeout(Duration::from_millis(limit_ms), awaited)
            .await
            .map_err(|_late| Failure::because(Kind::UpstreamTimeout, "per try timeout"))?,
    }
}

/// Waits for a connection as long as the client does: one that has left takes no place in line.
async fn unless_gone<T>(
    reply: &mut Reply<'_>,
    mut connecting: Pin<&mut impl Future<Output = Result<T, Failure>>>,
) -> Result<T, Failure> {
    poll_fn(|cx| match connecting.as_mut().poll(cx) {
        Poll::Pending => reply.poll_gone(cx).map(|()| Err(Kind::DownstreamClosed.into())),
        connected @ Poll::Ready(_) => connected,
    })
    .await
}

/// Whether policy would rather try again than pass this answer on.
fn is_unwanted(
    walk: &mut Walk<'_>,
    head: &ResponseHead,
    (policy, can_repeat): (&RetryPolicy, bool),
) -> bool {
    let answered = Outcome::Answered {
        status: head.status(),
        grpc_status: grpc_status(&head.fields).map(u32::from),
    };
    if !should_retry(policy, 0, answered) {
        return false;
    }
    if !can_repeat {
        walk.record.flag(Flag::RetryLimitExceeded);
    }
    can_repeat
}

/// How the answer's body is framed for the client. A stream that ends with its head has an
/// empty body, which HTTP/1 must say where there could be one.
fn framing_for(
    reply: &Reply<'_>,
    method: Method,
    (head, framing): (&ResponseHead, BodyKind),
) -> BodyKind {
    let can_have_body = method != Method::Head && has_body(head.status());
    match (reply, framing) {
        (Reply::H1(_) | Reply::H2(_), _) if !can_have_body => BodyKind::None,
        (Reply::H1(_), BodyKind::None) => BodyKind::Length(0),
        (Reply::H1(_) | Reply::H2(_), framing) => framing,
    }
}

/// Sends a body made here in place of the upstream's, whose connection is given up.
async fn pass_instead(
    walk: &mut Walk<'_>,
    reply: &mut Reply<'_>,
    head: &ResponseHead,
    body: &[u8],
) -> Result<bool, Failure> {
    let framing = BodyKind::Length(body.len() as u64);
    let sending = async {
        let mut sink = reply.start(head, framing)?;
        sink.send_last(body).await?;
        sink.finish(None).await
    };
    sending.await.map_err(|error| client_gone(&error))?;
    walk.record.response_bytes = body.len() as u64;
    Ok(false)
}

/// Passes the upstream's body on; `true` when it was read to its end.
async fn pass_on<F>(
    walk: &mut Walk<'_>,
    (reply, head): (&mut Reply<'_>, &ResponseHead),
    (answering, framing): (Answering<'_>, BodyKind),
    uploading: &mut Upload<'_, F>,
) -> Result<bool, Failure>
where
    F: Future<Output = Result<(), TransferError>>,
{
    let mut body = answering.into_body(framing);
    let mut sink = reply.start(head, framing).map_err(|error| client_gone(&error))?;
    let passed = {
        let passing = pin!(transfer(&mut body, &mut sink, |_piece| {}));
        uploading.alongside(passing, |_cx| Poll::Pending).await
    };
    walk.record.response_bytes = body.total();
    if let Some(status) = body.trailers().and_then(grpc_status) {
        walk.record.grpc_status = Some(status);
    }
    match passed {
        Ok(Ok(())) => Ok(body.is_over()),
        Ok(Err(error)) => {
            sink.abort();
            Err(transfer_failed(&error))
        }
        Err(failure) => {
            sink.abort();
            Err(failure)
        }
    }
}

/// Passes a change of protocol on, if the client asked for one.
async fn switch(
    walk: &mut Walk<'_>,
    is_wanted: bool,
    reply: &mut Reply<'_>,
    head: &ResponseHead,
) -> Result<Ended, Failure> {
    match reply {
        Reply::H1(reply) if is_wanted => {
            walk.record.answered(101, None);
            walk.record.details = "via_upstream";
            reply.upgrade(head).await.map_err(|error| client_gone(&error))?;
            Ok(Ended::Upgraded)
        }
        Reply::H1(_) | Reply::H2(_) => {
            let cause = "answered 101 though no change to that protocol was asked for";
            Err(Failure::because(Kind::UpstreamProtocol, cause))
        }
    }
}

fn transfer_failed(error: &TransferError) -> Failure {
    let kind = match error {
        TransferError::Sink(_) => Kind::DownstreamClosed,
        TransferError::Source(
            BodyError::Io(_) | BodyError::Malformed(meshcore_http::Rejected::Truncated),
        ) => Kind::UpstreamClosed,
        TransferError::Source(BodyError::Malformed(_)) => Kind::UpstreamProtocol,
        TransferError::Source(BodyError::Stream(_)) => Kind::UpstreamReset,
    };
    Failure::because(kind, error.to_string())
}

fn grpc_status(fields: &Fields) -> Option<u8> {
    let value = fields.get(Known::GrpcStatus)?;
    std::str::from_utf8(value).ok()?.parse().ok()
}
