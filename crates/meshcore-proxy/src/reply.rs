//! The way back to the client of one request.

use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use meshcore_http::h1::{BodyKind, ConnectionDirective, body_for_peer, write_response};
use meshcore_http::{ResponseHead, Version};

use crate::sink::{H1Sink, H2Sink, Sink, SinkError};
use crate::stream::Conn;
use crate::waits::Waits;

/// Where the answer to one request goes.
#[derive(Debug)]
pub(crate) enum Reply<'c> {
    H1(H1Reply<'c>),
    H2(H2Reply),
}

/// An answer on an HTTP/1 connection.
#[derive(Debug)]
pub(crate) struct H1Reply<'c> {
    pub(crate) conn: &'c Conn,
    pub(crate) out: &'c mut Vec<u8>,
    pub(crate) version: Version,
    /// The connection can carry another request after this one. Cleared when the answer says
    /// otherwise.
    pub(crate) keeps_alive: bool,
    pub(crate) is_started: bool,
    /// Tells whether the process drains, so that the client is told not to come back here.
    pub(crate) waits: &'c Waits,
}

/// An answer on an HTTP/2 stream.
#[derive(Debug)]
pub(crate) struct H2Reply {
    pub(crate) respond: SendResponse<Bytes>,
    pub(crate) is_started: bool,
}

impl Reply<'_> {
    /// Whether the client has been told a status, so that it cannot be told another.
    pub(crate) const fn is_started(&self) -> bool {
        match self {
            Self::H1(reply) => reply.is_started,
            Self::H2(reply) => reply.is_started,
        }
    }

    /// Tells when the client has left.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::H1(reply) => reply.conn.poll_hangup(cx),
            Self::H2(reply) => reply.respond.poll_reset(cx).map(|_reason| ()),
        }
    }

    /// The connection is to be closed after the answer.
    pub(crate) const fn close(&mut self) {
        match self {
            Self::H1(reply) => reply.keeps_alive = false,
            Self::H2(_) => {}
        }
    }

    /// Sends an informational answer (1xx but 101) to a client that understands it.
    pub(crate) async fn inform(&mut self, head: &ResponseHead) -> Result<(), SinkError> {
        match self {
            Self::H1(reply) if reply.version == Version::Http11 => {
                let directive = ConnectionDirective::KeepAlive;
                write_response(head, BodyKind::None, reply.version, directive, reply.out);
                reply.conn.write_all(reply.out).await?;
                reply.out.clear();
                Ok(())
            }
            Self::H1(_) => Ok(()),
            Self::H2(reply) => match meshcore_http::h2::response_to_h2(head, BodyKind::None) {
                Ok(response) => Ok(reply.respond.send_informational(response)?),
                Err(_not_for_h2) => Ok(()),
            },
        }
    }

    /// Begins the answer; its body goes into the sink.
    pub(crate) fn start(
        &mut self,
        head: &ResponseHead,
        body: BodyKind,
    ) -> Result<Sink<'_>, SinkError> {
        match self {
            Self::H1(reply) => Ok(reply.start(head, body)),
            Self::H2(reply) => reply.start(head, body),
        }
    }

    /// Lets the client know that a begun answer will not be whole.
    pub(crate) fn abort(&mut self) {
        match self {
            Self::H1(reply) => reply.keeps_alive = false,
            Self::H2(reply) => reply.respond.send_reset(h2::Reason::INTERNAL_ERROR),
        }
    }
}

impl H1Reply<'_> {
    fn start(&mut self, head: &ResponseHead, body: BodyKind) -> Sink<'_> {
        self.is_started = true;
        let framing = body_for_peer(body, self.version);
        if framing == BodyKind::UntilClose || self.waits.is_draining() {
            self.keeps_alive = false;
        }
        let directive = if self.keeps_alive {
            ConnectionDirective::KeepAlive
        } else {
            ConnectionDirective::Close
        };
        write_response(head, body, self.version, directive, self.out);
        Sink::H1(H1Sink { conn: self.conn, out: self.out, framing })
    }

    /// Answers that the connection changes protocol.
    pub(crate) async fn upgrade(&mut self, head: &ResponseHead) -> Result<(), SinkError> {
        self.is_started = true;
        let directive = ConnectionDirective::Upgrade;
        write_response(head, BodyKind::None, self.version, directive, self.out);
        self.conn.write_all(self.out).await?;
        self.out.clear();
        Ok(())
    }
}

impl H2Reply {
    fn start(&mut self, head: &ResponseHead, body: BodyKind) -> Result<Sink<'_>, SinkError> {
        self.is_started = true;
        let response = meshcore_http::h2::response_to_h2(head, body)?;
        let ended = matches!(body, BodyKind::None | BodyKind::Length(0));
        let stream = self.respond.send_response(response, ended)?;
        Ok(Sink::H2(H2Sink::new(stream, ended)))
    }
}
