//! A small HTTP/1 server for the pages of the control thread.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use meshcore_http::h1::{
    BodyKind, ConnectionDirective, Limits, ParsedRequest, parse_request, write_response,
};
use meshcore_http::{Known, Method, Rejected, RequestHead, ResponseHead, Version};
use tokio::net::{TcpListener, TcpStream};

use super::{Control, Page};
use crate::buffer::Buffer;
use crate::stream::{Conn, Stream};

/// How long a client may take for a request, and for taking an answer: clients that are slow
/// keep others waiting.
const WITHIN: Duration = Duration::from_secs(10);

/// Clients at a time; more wait in the kernel.
const MAX_CLIENTS: usize = 64;

/// An answer of a page.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
}

impl Response {
    pub(super) fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: body.into() }
    }

    pub(super) fn json(body: &serde_json::Value) -> Self {
        let mut text = format!("{body:#}").into_bytes();
        text.push(b'\n');
        Self { status: 200, content_type: "application/json", body: text }
    }
}

/// Serves a page's listener until it is handed over.
pub(super) async fn serve_all(control: Arc<Control>, listener: Rc<TcpListener>, page: Page) {
    tokio::select! {
        () = accept_all(&control, &listener, page) => {}
        () = control.handed_over() => {}
    }
}

async fn accept_all(control: &Arc<Control>, listener: &TcpListener, page: Page) {
    let clients = Arc::new(tokio::sync::Semaphore::new(MAX_CLIENTS));
    loop {
        let Ok(permit) = Arc::clone(&clients).acquire_owned().await else { return };
        match meshcore_io::accept(listener).await {
            Ok((stream, _peer)) => {
                let control = Arc::clone(control);
                tokio::task::spawn_local(async move {
                    serve(&control, stream, page).await;
                    drop(permit);
                });
            }
            Err(_exhausted) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve(control: &Arc<Control>, stream: TcpStream, page: Page) {
    let conn = Conn::new(Stream::Tcp(stream));
    let mut buffer = Buffer::new();
    let mut head = RequestHead::new();
    loop {
        let reading = read_request(&conn, &mut buffer, &mut head);
        let read = tokio::select! {
            biased;
            read = tokio::time::timeout(WITHIN, reading) => read,
            () = control.handed_over() => return,
        };
        let parsed = match read {
            Ok(Some(Ok(parsed))) => parsed,
            Ok(Some(Err(rejected))) => {
                let response = Response::text(rejected.status(), rejected.reason());
                let _last = send(&conn, &response, Method::Get, (false, WITHIN)).await; // it ends
                return;
            }
            Ok(None) | Err(_) => return,
        };
        buffer.consume(parsed.consumed);
        let has_body = !matches!(parsed.body, BodyKind::None | BodyKind::Length(0));
        let response = if page == Page::Admin && !is_local(&head) {
            // A page in a browser may reach us under a name of its own, but not read us.
            Response::text(403, "ask for this address by number or as localhost\n")
        } else if page == Page::Admin && head.fields.get(Known::Origin).is_some() {
            // Browsers say so in what a page sends, which can change things without reading.
            Response::text(403, "no page of a browser may ask this\n")
        } else if has_body {
            Response::text(413, "no body is taken here\n")
        } else {
            page.answer(control, &head).await
        };
        let keeps_alive = parsed.keep_alive && !has_body && head.version() == Version::Http11;
        if !send(&conn, &response, head.method(), (keeps_alive, WITHIN)).await {
            return;
        }
        if !keeps_alive {
            let closing = conn.shutdown(); // the peer may be gone already
            let _closed = tokio::time::timeout(WITHIN, closing).await;
            return;
        }
    }
}

/// The next request; `None` when the client has left.
async fn read_request(
    conn: &Conn,
    buffer: &mut Buffer,
    head: &mut RequestHead,
) -> Option<Result<ParsedRequest, Rejected>> {
    loop {
        if let Some(parsed) = parse_request(buffer.data(), head, &Limits::default()).transpose() {
            return Some(parsed);
        }
        match conn.read(buffer).await {
            Ok(count) if count > 0 => {}
            Ok(_) | Err(_) => return None,
        }
    }
}

/// Whether the request names us by address or as `localhost`: a name that an attacker's DNS
/// points at us is neither. Metrics and health are asked for by name too, but tell no secrets.
fn is_local(head: &RequestHead) -> bool {
    let host = head.host();
    let text = std::str::from_utf8(host).unwrap_or_default();
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    host.is_empty()
        || text.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok()
}

/// Sends an answer; tells whether the client took all of it in time.
async fn send(
    conn: &Conn,
    response: &Response,
    method: Method,
    (keeps_alive, within): (bool, Duration),
) -> bool {
    let mut head = ResponseHead::new();
    let fields = [
        (&b"content-type"[..], response.content_type.as_bytes()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ];
    let set = head.set_status(response.status).is_ok()
        && fields.iter().all(|(name, value)| head.fields.set(name, value).is_ok());
    if !set {
        return false;
    }
    let directive =
        if keeps_alive { ConnectionDirective::KeepAlive } else { ConnectionDirective::Close };
    let mut out = Vec::with_capacity(response.body.len().saturating_add(256));
    let framing = BodyKind::Length(response.body.len() as u64);
    write_response(&head, framing, Version::Http11, directive, &mut out);
    if method != Method::Head {
        out.extend_from_slice(&response.body);
    }
    debug_assert!(head.fields.get(Known::ContentType).is_some());
    matches!(tokio::time::timeout(within, conn.write_all(&out)).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_never_reads_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let conn = Conn::new(Stream::Tcp(listener.accept().await.unwrap().0));
        let within = (true, Duration::from_millis(100));
        assert!(send(&conn, &Response::text(200, "small"), Method::Get, within).await);
        let large = Response::text(200, vec![b'x'; 64 * 1024 * 1024]);
        let sending = send(&conn, &large, Method::Get, within);
        let sent = tokio::time::timeout(Duration::from_secs(30), sending).await;
        assert_eq!(sent, Ok(false));
    }
}
