//! Answers that are made here: refusals, redirects, fixed responses.

use meshcore_http::h1::BodyKind;
use meshcore_http::{Method, ResponseHead};
use meshcore_model::Kind;
use meshcore_snapshot::HeaderEdits;

use crate::exchange::Exchange;
use crate::hooks::Denial;
use crate::record::Record;
use crate::recycle::Recycled;
use crate::shape::edit;
use crate::sink::SinkError;

/// An answer to one request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) fields: &'a [(&'a [u8], &'a [u8])],
    pub(crate) body: &'a [u8],
    /// What a rule changes in its answers.
    pub(crate) edits: Option<&'a HeaderEdits>,
}

/// Tells the client that its request failed, in its own protocol, unless it was told something
/// else already: then it learns that the answer is not whole.
pub(crate) async fn refuse(exchange: &mut Exchange<'_>, kind: Kind, record: &mut Record) {
    if exchange.reply.is_started() {
        exchange.reply.abort();
        return;
    }
    let answer =
        Answer { status: kind.status(), fields: &[], body: kind.message().as_bytes(), edits: None };
    let grpc_status = kind.grpc_status();
    let told = respond(exchange, &answer, Some(grpc_status), record).await;
    if told.is_err() {
        exchange.reply.close();
    }
}

/// Tells the client what policy wants it to be told.
pub(crate) async fn deny(exchange: &mut Exchange<'_>, denial: &Denial, record: &mut Record) {
    if exchange.reply.is_started() {
        exchange.reply.abort();
        return;
    }
    let code: [(&[u8], &[u8]); 1] = [(b"x-meshcore-code", denial.code.as_bytes())];
    let fields = if denial.code.is_empty() { &code[..0] } else { &code[..] };
    let answer =
        Answer { status: denial.status, fields, body: denial.reason.as_bytes(), edits: None };
    let grpc_status = denial.grpc_status.unwrap_or_else(|| grpc_status_of(denial.status));
    let told = respond(exchange, &answer, Some(grpc_status), record).await;
    if told.is_err() {
        exchange.reply.close();
    }
}

/// Source: the gRPC mapping of HTTP statuses (`doc/http-grpc-status-mapping.md`).
const fn grpc_status_of(status: u16) -> u8 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// Sends an answer. A gRPC client gets `grpc_status` in place of status and body.
///
/// # Errors
///
/// [`SinkError`] when the client is gone.
pub(crate) async fn respond(
    exchange: &mut Exchange<'_>,
    answer: &Answer<'_>,
    grpc_status: Option<u8>,
    record: &mut Record,
) -> Result<(), SinkError> {
    let mut head = Recycled::<ResponseHead>::take();
    if !exchange.body.is_over() {
        exchange.reply.close();
    }
    if let Some(status) = grpc_status.filter(|_| exchange.is_grpc()) {
        write_grpc(&mut head, status, answer)?;
        record.answered(200, Some(status));
        return exchange.reply.start(&head, BodyKind::Length(0))?.finish(None).await;
    }
    let can_have_body = has_body(answer.status);
    let answer = if can_have_body { *answer } else { Answer { body: &[], ..*answer } };
    write_plain(&mut head, &answer)?;
    record.answered(answer.status, None);
    if !can_have_body {
        return exchange.reply.start(&head, BodyKind::None)?.finish(None).await;
    }
    if exchange.head.method() == Method::Head {
        let length = answer.body.len().to_string();
        set(&mut head, b"content-length", length.as_bytes())?;
        return exchange.reply.start(&head, BodyKind::None)?.finish(None).await;
    }
    record.response_bytes = answer.body.len() as u64;
    let mut sink = exchange.reply.start(&head, BodyKind::Length(answer.body.len() as u64))?;
    if !answer.body.is_empty() {
        sink.send_last(answer.body).await?;
    }
    sink.finish(None).await
}

/// Whether an answer of this status has a body. Source: RFC 9110 sections 15.3.5 and 15.4.5.
pub(crate) const fn has_body(status: u16) -> bool {
    !matches!(status, 204 | 304)
}

fn write_plain(head: &mut ResponseHead, answer: &Answer<'_>) -> Result<(), SinkError> {
    head.set_status(answer.status)?;
    for (name, value) in answer.fields {
        set(head, name, value)?;
    }
    let has_type = answer.fields.iter().any(|(name, _)| *name == b"content-type");
    if !answer.body.is_empty() && !has_type {
        set(head, b"content-type", b"text/plain; charset=utf-8")?;
    }
    match answer.edits {
        Some(edits) => edit(&mut head.fields, edits).map_err(|_invalid| SinkError::Unsayable),
        None => Ok(()),
    }
}

/// A `Trailers-Only` answer. Source: the gRPC protocol over HTTP/2, `Responses`.
fn write_grpc(head: &mut ResponseHead, status: u8, answer: &Answer<'_>) -> Result<(), SinkError> {
    head.set_status(200)?;
    set(head, b"content-type", b"application/grpc")?;
    let mut digits = itoa::Buffer::new();
    set(head, b"grpc-status", digits.format(status).as_bytes())?;
    set(head, b"grpc-message", &percent_encode(answer.body))
}

fn set(head: &mut ResponseHead, name: &[u8], value: &[u8]) -> Result<(), SinkError> {
    head.fields.set(name, value).map_err(|_invalid| SinkError::Unsayable)
}

/// Source: the gRPC protocol over HTTP/2, `Status-Message`.
fn percent_encode(message: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(message.len());
    for byte in message {
        match byte {
            b' '..=b'$' | b'&'..=b'~' => encoded.push(*byte),
            _ => encoded.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_messages_are_percent_encoded() {
        assert_eq!(percent_encode(b"no route: 100%"), b"no route: 100%25");
        assert_eq!(percent_encode("é\n".as_bytes()), b"%C3%A9%0A");
    }
}
