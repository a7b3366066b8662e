//! Bytes both ways, connection by connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

use meshcore_bench::{Failure, Poll, Ready, Slots, Watch};

use super::LISTENER;

/// The relay.
pub(crate) struct Relay {
    origin: SocketAddr,
    poll: Poll,
    ends: Slots<End>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct End {
    stream: TcpStream,
    other: usize,
    /// What it could not take yet.
    pending: Vec<u8>,
    has_ended: bool,
}

impl Relay {
    pub(crate) fn new(origin: SocketAddr) -> Result<Self, Failure> {
        Ok(Self { origin, poll: Poll::new()?, ends: Slots::default(), buffer: vec![0; 256 << 10] })
    }

    pub(crate) fn serve(mut self, listener: &TcpListener) -> Result<(), Failure> {
        self.poll.add(listener, LISTENER, Watch::Read)?;
        let mut ready = Vec::new();
        loop {
            self.poll.wait(None, &mut ready)?;
            for ready in ready.drain(..) {
                if ready.token == LISTENER {
                    self.pair(listener.accept()?.0)?;
                } else if self.turn(ready).is_err() {
                    self.close(ready.token);
                }
            }
            self.ends.end_turn();
        }
    }

    fn pair(&mut self, client: TcpStream) -> Result<(), Failure> {
        let origin = TcpStream::connect(self.origin)?;
        let first = self.add(client)?;
        let second = self.add(origin)?;
        self.ends.get(first).ok_or("gone")?.other = second;
        self.ends.get(second).ok_or("gone")?.other = first;
        Ok(())
    }

    fn add(&mut self, stream: TcpStream) -> Result<usize, Failure> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let token = self.ends.next();
        self.poll.add(&stream, token, Watch::Read)?;
        self.ends.put(End { stream, other: token, pending: Vec::new(), has_ended: false });
        Ok(token)
    }

    fn turn(&mut self, ready: Ready) -> Result<(), Failure> {
        if ready.writable {
            self.flush(ready.token)?;
        }
        if ready.readable { self.carry(ready.token) } else { Ok(()) }
    }

    /// Reads from one end and writes to the other. Where that cannot take all, nothing more is read.
    fn carry(&mut self, token: usize) -> Result<(), Failure> {
        let Some(end) = self.ends.get(token) else { return Ok(()) };
        let (other, count) = (end.other, end.stream.read(&mut self.buffer)?);
        if count == 0 {
            return self.end(token);
        }
        let bytes = self.buffer.get(..count).unwrap_or_default();
        let to = self.ends.get(other).ok_or("gone")?;
        let written = match to.stream.write(bytes) {
            Ok(written) => written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error.into()),
        };
        let rest = bytes.get(written..).unwrap_or_default();
        if !rest.is_empty() {
            to.pending.extend_from_slice(rest);
            self.watch(token)?;
            self.watch(other)?;
        }
        Ok(())
    }

    fn flush(&mut self, token: usize) -> Result<(), Failure> {
        let Some(end) = self.ends.get(token) else { return Ok(()) };
        let written = end.stream.write(&end.pending)?;
        end.pending.drain(..written);
        if end.pending.is_empty() {
            let other = end.other;
            self.watch(token)?;
            self.watch(other)?;
        }
        Ok(())
    }

    /// One end has said all: the other is told, and both are gone when both have.
    fn end(&mut self, token: usize) -> Result<(), Failure> {
        let end = self.ends.get(token).ok_or("gone")?;
        end.has_ended = true;
        let other = end.other;
        self.watch(token)?;
        let to = self.ends.get(other).ok_or("gone")?;
        if to.has_ended {
            return Err("both have ended".into());
        }
        Ok(to.stream.shutdown(Shutdown::Write)?)
    }

    /// Waits for what an end can do now.
    fn watch(&mut self, token: usize) -> Result<(), Failure> {
        let other = self.ends.get(token).ok_or("gone")?.other;
        let is_held = !self.ends.get(other).ok_or("gone")?.pending.is_empty();
        let end = self.ends.get(token).ok_or("gone")?;
        let watch = match (is_held || end.has_ended, end.pending.is_empty()) {
            (false, true) => Watch::Read,
            (false, false) => Watch::Both,
            (true, true) => Watch::Nothing,
            (true, false) => Watch::Write,
        };
        Ok(self.poll.watch(&end.stream, token, watch)?)
    }

    fn close(&mut self, token: usize) {
        if let Some(end) = self.ends.remove(token) {
            self.ends.remove(end.other);
        }
    }
}
