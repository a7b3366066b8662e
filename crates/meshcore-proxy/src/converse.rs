//! One try: a request and its answer on one upstream connection.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use h2::client::ResponseFuture;
use meshcore_http::h1::{BodyDecoder, BodyKind, Limits, parse_response};
use meshcore_http::h2::{body_from_h2, response_head_from_h2};
use meshcore_http::{Method, ResponseHead};
use meshcore_model::{Failure, Kind};

use crate::answer::has_body;
use crate::body::{Body, BodyError, H1Body, H2Body};
use crate::buffer::Buffer;
use crate::h2_client;
use crate::replay::Replay;
use crate::reply::Reply;
use crate::sink::{Sink, SinkError, TransferError, transfer};
use crate::stream::Conn;

/// Informational answers to one request; an upstream with more to say floods us. Generous: who
/// says 102 every 20 seconds (RFC 2518 section 10.1) does so for half an hour.
const MAX_INFORMATIONAL: u32 = 100;

/// The upstream's side of a try, after the request's head was written.
#[derive(Debug)]
pub(crate) enum Answering<'u> {
    H1 { conn: &'u Conn, buffer: &'u mut Buffer, method: Method },
    H2 { response: Box<ResponseFuture>, received: Option<h2::RecvStream>, method: Method },
}

/// What an upstream's head says besides its fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    pub(crate) framing: BodyKind,
    /// The connection can carry another request after this answer.
    pub(crate) keeps_alive: bool,
    informational: bool,
}

impl<'u> Answering<'u> {
    /// Waits for the head of the answer, passing informational ones on.
    async fn head(&mut self, head: &mut ResponseHead) -> Result<Answered, Failure> {
        match self {
            Self::H1 { conn, buffer, method } => read_head(conn, buffer, head, *method).await,
            Self::H2 { response, received, method } => {
                let (parts, stream) = poll_fn(|cx| poll_h2(response, cx))
                    .await
                    .map_err(|error| h2_client::failure(&error))?;
                response_head_from_h2(&parts, head, &Limits::default())
                    .map_err(|bad| Failure::because(Kind::UpstreamProtocol, bad.reason()))?;
                let informational = stream.is_none();
                let ended = stream.as_ref().is_none_or(h2::RecvStream::is_end_stream);
                let framing = match (*method, head.status()) {
                    (Method::Head, _) => BodyKind::None,
                    (_, status) if !has_body(status) => BodyKind::None,
                    _has_body => body_from_h2(&head.fields, ended),
                };
                *received = stream;
                Ok(Answered { framing, keeps_alive: true, informational })
            }
        }
    }

    /// The body that follows the head.
    pub(crate) fn into_body(self, framing: BodyKind) -> Body<'u> {
        match self {
            Self::H1 { .. } | Self::H2 { .. } if framing == BodyKind::None => Body::Empty,
            Self::H1 { conn, buffer, .. } => {
                let decoder = BodyDecoder::from(framing);
                Body::H1(H1Body::new(conn, buffer, decoder, false))
            }
            Self::H2 { received, .. } => match received {
                Some(stream) => Body::H2(Box::new(H2Body::new(stream))),
                None => Body::Empty,
            },
        }
    }
}

/// The next head on a stream; an informational one comes without a body.
type H2Head = (http::response::Parts, Option<h2::RecvStream>);

fn poll_h2(response: &mut ResponseFuture, cx: &mut Context<'_>) -> Poll<Result<H2Head, h2::Error>> {
    if let Poll::Ready(Some(informational)) = response.poll_informational(cx) {
        return Poll::Ready(informational.map(|head| (head.into_parts().0, None)));
    }
    let polled = Pin::new(response).poll(cx);
    polled.map_ok(|response| {
        let (parts, stream) = response.into_parts();
        (parts, Some(stream))
    })
}

async fn read_head(
    conn: &Conn,
    buffer: &mut Buffer,
    head: &mut ResponseHead,
    method: Method,
) -> Result<Answered, Failure> {
    let limits = Limits::default();
    let mut seen = 0;
    loop {
        if meshcore_http::h1::is_worth_parsing(buffer.data(), seen, &limits) && !buffer.is_empty() {
            let parsed = parse_response(buffer.data(), head, &limits, method)
                .map_err(|bad| Failure::because(Kind::UpstreamProtocol, bad.reason()))?;
            if let Some(parsed) = parsed {
                buffer.consume(parsed.consumed);
                return Ok(Answered {
                    framing: parsed.body,
                    keeps_alive: parsed.keep_alive,
                    informational: parsed.informational,
                });
            }
        }
        seen = buffer.data().len();
        let read = conn.read(buffer).await;
        match read.map_err(|error| Failure::because(Kind::UpstreamClosed, error))? {
            0 if seen == 0 => {
                return Err(Failure::because(Kind::UpstreamClosed, "closed without an answer"));
            }
            0 => return Err(Failure::because(Kind::UpstreamProtocol, "closed inside a head")),
            _more => {}
        }
    }
}

/// The request's body on its way, which may go on while the answer comes back.
#[derive(Debug)]
pub(crate) struct Upload<'f, F: Future> {
    future: Pin<&'f mut F>,
    done: Option<F::Output>,
}

impl<'f, F: Future<Output = Result<(), TransferError>>> Upload<'f, F> {
    /// An upload that has not begun.
    pub(crate) const fn new(future: Pin<&'f mut F>) -> Self {
        Self { future, done: None }
    }

    /// Whether nothing is on its way that another try would have to wait for.
    pub(crate) const fn can_repeat(&self) -> bool {
        matches!(self.done, Some(Ok(()) | Err(TransferError::Sink(_))))
    }

    /// Whether all was sent.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.done, Some(Ok(())))
    }

    /// Waits for `main` while the upload goes on. `gone` tells that the client has left.
    ///
    /// # Errors
    ///
    /// `DownstreamClosed` when the client leaves or stops in the middle of its body, and
    /// `BadRequest` when the body is malformed. That the upstream takes no more of it is no
    /// error here: it may answer all the same.
    pub(crate) async fn alongside<T>(
        &mut self,
        mut main: Pin<&mut impl Future<Output = T>>,
        mut gone: impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<T, Failure> {
        poll_fn(|cx| {
            if self.done.is_none()
                && let Poll::Ready(done) = self.future.as_mut().poll(cx)
            {
                self.done = Some(done);
            }
            if let Some(Err(TransferError::Source(error))) = &self.done {
                return Poll::Ready(Err(source_failed(error)));
            }
            if let Poll::Ready(output) = main.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            match gone(cx) {
                Poll::Ready(()) => Poll::Ready(Err(Kind::DownstreamClosed.into())),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

fn source_failed(error: &BodyError) -> Failure {
    let kind = match error {
        BodyError::Malformed(meshcore_http::Rejected::Truncated)
        | BodyError::Io(_)
        | BodyError::Stream(_) => Kind::DownstreamClosed,
        BodyError::Malformed(_) => Kind::BadRequest,
    };
    Failure::because(kind, error.to_string())
}

/// Sends what an earlier try has read of the body, then the rest of it.
pub(crate) async fn upload(
    body: &mut Body<'_>,
    sink: &mut Sink<'_>,
    replay: &Replay,
) -> Result<(), TransferError> {
    let bytes = replay.bytes();
    if !bytes.is_empty() {
        sink.send_bytes(&bytes).await?;
    }
    transfer(body, sink, |piece| replay.keep(piece)).await
}

/// Waits for the final head of the answer while the upload goes on.
///
/// # Errors
///
/// Those of the upstream, and of the client as in [`Upload::alongside`].
pub(crate) async fn await_head<F>(
    answering: &mut Answering<'_>,
    upload: &mut Upload<'_, F>,
    reply: &mut Reply<'_>,
    head: &mut ResponseHead,
) -> Result<Answered, Failure>
where
    F: Future<Output = Result<(), TransferError>>,
{
    for _ in 0..=MAX_INFORMATIONAL {
        let answered = {
            let heading = pin!(answering.head(head));
            upload.alongside(heading, |cx| reply.poll_gone(cx)).await??
        };
        if !answered.informational {
            return Ok(answered);
        }
        // 100 was said here already, as far as the client asked for it.
        if head.status() != 100 {
            reply.inform(head).await.map_err(|error| client_gone(&error))?;
        }
    }
    let cause = format!("more than {MAX_INFORMATIONAL} informational answers");
    Err(Failure::because(Kind::UpstreamProtocol, cause))
}

/// The client takes no more.
pub(crate) fn client_gone(error: &SinkError) -> Failure {
    Failure::because(Kind::DownstreamClosed, error.to_string())
}
