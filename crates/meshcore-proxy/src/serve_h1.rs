//! A client's HTTP/1 connection: requests one after the other.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use meshcore_http::h1::parse_request;
use meshcore_http::h1::{BodyDecoder, BodyKind, Limits, ParsedRequest, is_worth_parsing};
use meshcore_http::{Known, Rejected, RequestHead, Version};
use meshcore_model::Kind;
use meshcore_telemetry::Labelled;

use crate::answer::refuse;
use crate::body::{Body, H1Body};
use crate::buffer::Buffer;
use crate::client::Client;
use crate::exchange::{After, Exchange};
use crate::opaque::{connect_tunnel, relay_upgraded};
use crate::pipeline::carry;
use crate::record::Record;
use crate::recycle::Recycled;
use crate::reply::{H1Reply, Reply};
use crate::route::is_tunnel;
use crate::stream::{Conn, Stream};
use crate::timer::timeout;
use crate::waits::{Interrupted, Wait, Waiting};
use crate::worker::Worker;

/// A client without requests for so long is closed. Source: Istio's default (Envoy's idle
/// timeout of a connection).
pub(crate) const IDLE_S: u64 = 3600;

/// A head that is not whole after so long is given up.
pub(crate) const HEAD_S: u64 = 60;

/// How long a closed connection is still read, so that the client sees the last answer before
/// it sees that we no longer listen. Source: RFC 9112 section 9.6.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes that are read and thrown away while lingering.
const LINGER_BYTES: usize = 256 * 1024;

/// Serves a connection until it ends.
pub(crate) async fn serve_h1(
    worker: &Rc<Worker>,
    client: &Client,
    stream: Stream,
    mut buffer: Buffer,
    wait: &Wait,
) {
    let conn = Conn::new(stream);
    loop {
        let next = match next_request(&conn, &mut buffer, wait).await {
            Next::Request(head, parsed) => (head, parsed),
            Next::Malformed(head, rejected) => {
                let answering = answer_malformed(worker, client, &conn, (head, rejected));
                Box::pin(answering).await;
                return Box::pin(linger(&conn, &mut buffer)).await;
            }
            Next::End => {
                let _closed = conn.shutdown().await; // the peer may be gone already
                return;
            }
        };
        let (head, parsed) = next;
        if is_tunnel(&head) {
            return Box::pin(connect_tunnel(worker, client, (conn, buffer), &head)).await;
        }
        // Boxed, so that a connection that waits is small; written into its box, which spares a copy.
        let place = Box::new_uninit();
        let carrying = carry_one(worker, client, &conn, &mut buffer, (head, parsed));
        match Box::into_pin(Box::write(place, carrying)).await {
            (After::Upgraded(upstream), _) => {
                return Box::pin(relay_upgraded((conn, buffer), *upstream)).await;
            }
            (After::Next, true) => {}
            (After::Next, false) | (After::Gone, _) => {
                return Box::pin(linger(&conn, &mut buffer)).await;
            }
        }
    }
}

/// What comes next on a connection.
enum Next {
    Request(Recycled<RequestHead>, ParsedRequest),
    Malformed(Recycled<RequestHead>, Rejected),
    End,
}

async fn next_request(conn: &Conn, buffer: &mut Buffer, wait: &Wait) -> Next {
    let limits = Limits::default();
    if buffer.is_empty() {
        match wait.within(IDLE_S, Waiting::Kept, conn.read(buffer)).await {
            Ok(Ok(count)) if count > 0 => {}
            Ok(Ok(_) | Err(_)) | Err(Interrupted::Expired | Interrupted::Draining) => {
                return Next::End;
            }
        }
    }
    let mut head = Recycled::<RequestHead>::take();
    let began_s = wait.now_s();
    let mut seen = 0;
    loop {
        if is_worth_parsing(buffer.data(), seen, &limits) {
            match parse_request(buffer.data(), &mut head, &limits) {
                Ok(Some(parsed)) => {
                    buffer.consume(parsed.consumed);
                    return Next::Request(head, parsed);
                }
                Ok(None) => {}
                Err(rejected) => return Next::Malformed(head, rejected),
            }
        }
        seen = buffer.data().len();
        // One limit for all of the head: a byte now and then does not make it longer.
        let spent_s = wait.now_s().saturating_sub(began_s);
        let left_s = HEAD_S.saturating_sub(spent_s).max(1);
        match wait.within(left_s, Waiting::Busy, conn.read(buffer)).await {
            Ok(Ok(count)) if count > 0 => {}
            Ok(Ok(_) | Err(_)) | Err(Interrupted::Expired | Interrupted::Draining) => {
                return Next::End;
            }
        }
    }
}

/// Carries one request; `true` when the connection can carry another.
async fn carry_one(
    worker: &Rc<Worker>,
    client: &Client,
    conn: &Conn,
    buffer: &mut Buffer,
    (mut head, parsed): (Recycled<RequestHead>, ParsedRequest),
) -> (After, bool) {
    let mut out = Recycled::<Vec<u8>>::take();
    let version = head.version();
    if parsed.expect_continue {
        head.fields.remove(Known::Expect); // answered here, when the body is wanted
    }
    let body = match parsed.body {
        BodyKind::None | BodyKind::Length(0) => Body::Empty,
        framing @ (BodyKind::Length(_) | BodyKind::Chunked | BodyKind::UntilClose) => {
            let decoder = BodyDecoder::from(framing);
            let owes_continue = parsed.expect_continue && version == Version::Http11;
            Body::H1(H1Body::new(conn, buffer, decoder, owes_continue))
        }
    };
    let reply = Reply::H1(H1Reply {
        conn,
        out: &mut out,
        version,
        keeps_alive: parsed.keep_alive,
        is_started: false,
        waits: &worker.waits,
    });
    let mut exchange = Exchange {
        head: &mut head,
        framing: parsed.body,
        body,
        reply,
        wants_upgrade: parsed.upgrade,
    };
    let after = carry(worker, client, &mut exchange).await;
    let is_read = exchange.body.is_over();
    let keeps_alive = match exchange.reply {
        Reply::H1(reply) => reply.keeps_alive,
        Reply::H2(_) => false,
    };
    (after, keeps_alive && is_read)
}

async fn answer_malformed(
    worker: &Rc<Worker>,
    client: &Client,
    conn: &Conn,
    (mut head, rejected): (Recycled<RequestHead>, Rejected),
) {
    worker.recorder.count_by(Labelled::RequestsRejected, rejected.reason(), 1);
    let kind = match rejected.status() {
        414 => Kind::TargetTooLong,
        417 => Kind::ExpectationFailed,
        431 => Kind::HeadTooLarge,
        501 => Kind::NotImplemented,
        505 => Kind::VersionNotSupported,
        _bad => Kind::BadRequest,
    };
    head.clear();
    let mut record = Record::open(&head, client);
    let mut out = Recycled::<Vec<u8>>::take();
    let reply = Reply::H1(H1Reply {
        conn,
        out: &mut out,
        version: Version::Http11,
        keeps_alive: false,
        is_started: false,
        waits: &worker.waits,
    });
    let mut exchange = Exchange {
        head: &mut head,
        framing: BodyKind::None,
        body: Body::Empty,
        reply,
        wants_upgrade: false,
    };
    record.failed(&meshcore_model::Failure::because(kind, rejected.reason()));
    refuse(&mut exchange, kind, &mut record).await;
    let snapshot = worker.snapshot();
    record.close(worker, &snapshot, client, exchange.head);
}

/// Ends a connection on which the client may still be sending.
pub(crate) async fn linger(conn: &Conn, buffer: &mut Buffer) {
    if conn.shutdown().await.is_err() {
        return;
    }
    let reading = async {
        let mut read = buffer.data().len();
        buffer.consume(read);
        while read < LINGER_BYTES {
            match conn.read(buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    buffer.consume(count);
                    read = read.saturating_add(count);
                }
            }
        }
    };
    let _late = timeout(LINGER, pin!(reading)).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixStream;

    use super::*;
    use crate::waits::Waits;

    #[test]
    fn a_head_that_trickles_in_is_given_up_at_its_limit() {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        // Sockets are looked at in every turn, so that each byte comes at its own second.
        let runtime = builder.enable_io().event_interval(1).build().unwrap();
        runtime.block_on(async {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let (conn, waits) = (Conn::new(Stream::Unix(ours)), Rc::new(Waits::default()));
            let wait = waits.enter();
            let mut buffer = Buffer::new();
            let clock = async {
                for second in 0..HEAD_S {
                    theirs.write_all(b"x").await.unwrap();
                    waits.tick(second);
                    tokio::task::yield_now().await;
                }
                // The first byte may have come some seconds late; a limit for each byte would
                // have begun anew with the last.
                for late_s in 0..HEAD_S / 2 {
                    waits.tick(HEAD_S + late_s);
                    for _ in 0..8 {
                        tokio::task::yield_now().await;
                    }
                }
            };
            tokio::select! {
                next = next_request(&conn, &mut buffer, &wait) => {
                    assert!(matches!(next, Next::End));
                }
                () = clock => panic!("the head is still waited for"),
            }
            assert!(buffer.data().len() > 1, "the bytes came one by one");
        });
    }
}
