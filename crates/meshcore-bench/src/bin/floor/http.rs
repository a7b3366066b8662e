//! HTTP/1.1 with kept connections: each request goes to the origin's connection that was used last.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use meshcore_bench::{Failure, Poll, Slots, Watch, http1};

use super::LISTENER;

/// The relay.
pub(crate) struct Relay {
    origin: SocketAddr,
    poll: Poll,
    ends: Slots<End>,
    idle: Vec<usize>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct End {
    stream: TcpStream,
    /// The end that the current exchange is with.
    other: Option<usize>,
    /// Of a client: a request that is not whole.
    begun: Vec<u8>,
    /// Of an origin: bytes of the answer that are still to come.
    remaining: usize,
    is_client: bool,
}

impl Relay {
    pub(crate) fn new(origin: SocketAddr) -> Result<Self, Failure> {
        let (idle, buffer) = (Vec::new(), vec![0; 64 << 10]);
        Ok(Self { origin, poll: Poll::new()?, ends: Slots::default(), idle, buffer })
    }

    pub(crate) fn serve(mut self, listener: &TcpListener) -> Result<(), Failure> {
        self.poll.add(listener, LISTENER, Watch::Read)?;
        let mut ready = Vec::new();
        loop {
            self.poll.wait(None, &mut ready)?;
            for ready in ready.drain(..) {
                if ready.token == LISTENER {
                    let (stream, _from) = listener.accept()?;
                    self.add(stream, true)?;
                } else if self.turn(ready.token).is_err() {
                    self.close(ready.token);
                }
            }
            self.ends.end_turn();
        }
    }

    fn add(&mut self, stream: TcpStream, is_client: bool) -> Result<usize, Failure> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let token = self.ends.next();
        self.poll.add(&stream, token, Watch::Read)?;
        self.ends.put(End { stream, other: None, begun: Vec::new(), remaining: 0, is_client });
        Ok(token)
    }

    /// Carries what one end has said; an error is its end.
    fn turn(&mut self, token: usize) -> Result<(), Failure> {
        let Some(end) = self.ends.get(token) else { return Ok(()) };
        let count = end.stream.read(&mut self.buffer)?;
        if count == 0 {
            return Err("ended".into());
        }
        if end.is_client { self.request(token, count) } else { self.answer(token, count) }
    }

    fn request(&mut self, token: usize, count: usize) -> Result<(), Failure> {
        let other = match self.idle.pop() {
            Some(other) => other,
            None => self.add(TcpStream::connect(self.origin)?, false)?,
        };
        let client = self.ends.get(token).ok_or("gone")?;
        let bytes = self.buffer.get(..count).unwrap_or_default();
        if client.begun.is_empty() && bytes.ends_with(b"\r\n\r\n") {
            client.other = Some(other);
            let origin = self.ends.get(other).ok_or("gone")?;
            origin.other = Some(token);
            origin.stream.write_all(bytes)?;
            return Ok(());
        }
        client.begun.extend_from_slice(bytes);
        if http1::head_bytes(&client.begun).is_none() {
            self.idle.push(other);
            return Ok(());
        }
        client.other = Some(other);
        let whole = std::mem::take(&mut client.begun);
        let origin = self.ends.get(other).ok_or("gone")?;
        origin.other = Some(token);
        origin.stream.write_all(&whole)?;
        Ok(())
    }

    fn answer(&mut self, token: usize, count: usize) -> Result<(), Failure> {
        let origin = self.ends.get(token).ok_or("gone")?;
        let bytes = self.buffer.get(..count).unwrap_or_default();
        if origin.remaining == 0 {
            let head = http1::head_bytes(bytes).ok_or("a head in pieces")?;
            let body = http1::body_bytes(bytes.get(..head).unwrap_or_default());
            origin.remaining = head.saturating_add(body);
        }
        origin.remaining = origin.remaining.checked_sub(count).ok_or("more than an answer")?;
        let is_whole = origin.remaining == 0;
        let other = if is_whole { origin.other.take() } else { origin.other };
        let client = self.ends.get(other.ok_or("nobody asked")?).ok_or("gone")?;
        client.stream.write_all(bytes)?;
        if is_whole {
            client.other = None;
            self.idle.push(token);
        }
        Ok(())
    }

    /// Ends a connection, and the one that it has an exchange with.
    fn close(&mut self, token: usize) {
        self.idle.retain(|idle| *idle != token);
        let other = self.ends.remove(token).and_then(|end| end.other);
        if let Some(other) = other {
            self.idle.retain(|idle| *idle != other);
            self.ends.remove(other);
        }
    }
}
