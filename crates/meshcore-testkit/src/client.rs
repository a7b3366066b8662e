//! A client that writes exactly the bytes it is given.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::WITHIN;
use crate::message::{Framing, Incoming, field, framing};

/// One connection of a client.
#[derive(Debug)]
pub struct Client(Incoming);

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status line and fields.
    pub head: String,
    /// Body, without its framing.
    pub body: Vec<u8>,
    /// Lines after the last chunk.
    pub trailers: String,
}

impl Answer {
    /// The status.
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap()
    }

    /// The value of a field, the first of several.
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        Self(Incoming::new(stream))
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        self.0.stream()
    }

    /// Sends these bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    /// Sends these bytes, if the peer takes them.
    ///
    /// # Errors
    ///
    /// That of the socket.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.0.stream().write_all(bytes.as_ref())
    }

    /// The next answer to a request with a method other than HEAD.
    pub fn answer(&mut self) -> Answer {
        self.try_answer(false).unwrap().expect("the connection ended without an answer")
    }

    /// The next answer to a HEAD request.
    pub fn answer_to_head(&mut self) -> Answer {
        self.try_answer(true).unwrap().expect("the connection ended without an answer")
    }

    /// The next answer; `None` when the connection ended before it.
    ///
    /// # Errors
    ///
    /// That of the socket; `UnexpectedEof` when the answer is not whole.
    pub fn try_answer(&mut self, to_head: bool) -> io::Result<Option<Answer>> {
        let Some(head) = self.0.head()? else { return Ok(None) };
        let mut answer = Answer { head, body: Vec::new(), trailers: String::new() };
        let has_none = to_head || matches!(answer.status(), 100..=199 | 204 | 304);
        let framing = match framing(&answer.head) {
            _ if has_none => Framing::None,
            Some(framing) => framing,
            None => Framing::UntilClose,
        };
        (answer.body, answer.trailers) = self.0.body(framing)?;
        Ok(Some(answer))
    }

    /// Sends a request and takes its answer.
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request);
        self.answer()
    }

    /// Reads until `pattern` has come; what came until then, and the pattern, are returned.
    pub fn read_until(&mut self, pattern: impl AsRef<[u8]>) -> Vec<u8> {
        let pattern = pattern.as_ref();
        loop {
            if let Some(at) = crate::message::find(self.0.rest(), pattern) {
                let (bytes, _) = self.0.body(Framing::Length(at + pattern.len())).unwrap();
                return bytes;
            }
            let more = self.0.more().unwrap_or_else(|error| {
                panic!("{error} after {:?}", String::from_utf8_lossy(self.0.rest()))
            });
            assert!(more, "ended after {:?}", String::from_utf8_lossy(self.0.rest()));
        }
    }

    /// All that comes until the connection ends.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        self.0.body(Framing::UntilClose).unwrap().0
    }

    /// Whether the peer closes, or resets, the connection without another byte.
    pub fn is_closed(&mut self) -> bool {
        match self.0.more() {
            Ok(more) => !more && self.0.rest().is_empty(),
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// Whether nothing comes for `quiet`, and the connection stays open.
    pub fn is_silent_for(&mut self, quiet: Duration) -> bool {
        self.0.stream().set_read_timeout(Some(quiet)).unwrap();
        let read = self.0.more();
        self.0.stream().set_read_timeout(Some(WITHIN)).unwrap();
        let is_late = |kind| matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
        read.is_err_and(|error| is_late(error.kind()))
    }

    /// Tells the peer that nothing more is sent.
    pub fn shutdown(&mut self) {
        self.0.stream().shutdown(Shutdown::Write).unwrap();
    }
}

/// Sends one request on a connection of its own; it must ask for the connection to be closed.
pub fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    let mut client = Client::connect(address);
    let answer = client.ask(request);
    assert!(client.is_closed(), "the connection stays open, or says more");
    answer
}
