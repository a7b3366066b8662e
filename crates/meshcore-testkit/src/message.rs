//! Just enough of HTTP/1.1 to read a message of a well-behaved peer.

use std::io::{self, Read};
use std::net::TcpStream;

/// Bytes of a connection, read message by message.
#[derive(Debug)]
pub(crate) struct Incoming {
    stream: TcpStream,
    bytes: Vec<u8>,
}

/// How the bytes after a head end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

impl Incoming {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, bytes: Vec::new() }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// What was read and not yet used.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads more; `false` at the end of the stream.
    pub(crate) fn more(&mut self) -> io::Result<bool> {
        let mut piece = [0; 16 * 1024];
        let count = self.stream.read(&mut piece)?;
        self.bytes.extend_from_slice(&piece[..count]);
        Ok(count > 0)
    }

    /// The next head without its empty line; `None` when the peer closed before it.
    pub(crate) fn head(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = find(&self.bytes, b"\r\n\r\n") {
                let head = self.bytes.drain(..end + 4).take(end).collect();
                return Ok(Some(String::from_utf8(head).unwrap()));
            }
            if !self.more()? {
                return Ok(None);
            }
        }
    }

    /// A body and its trailers.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when the peer closed inside it.
    pub(crate) fn body(&mut self, framing: Framing) -> io::Result<(Vec<u8>, String)> {
        match framing {
            Framing::None => Ok((Vec::new(), String::new())),
            Framing::Length(length) => Ok((self.take(length)?, String::new())),
            Framing::UntilClose => {
                while self.more()? {}
                Ok((std::mem::take(&mut self.bytes), String::new()))
            }
            Framing::Chunked => self.chunks(),
        }
    }

    fn chunks(&mut self) -> io::Result<(Vec<u8>, String)> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let digits = line.split(';').next().unwrap_or_default();
            let size =
                usize::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("chunk size {line:?}"));
            if size == 0 {
                let mut trailers = String::new();
                loop {
                    let line = self.line()?;
                    if line.is_empty() {
                        return Ok((body, trailers));
                    }
                    trailers.push_str(&line);
                    trailers.push('\n');
                }
            }
            body.extend(self.take(size)?);
            assert_eq!(self.line()?, "", "after a chunk");
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.bytes, b"\r\n") {
                let line = self.bytes.drain(..end + 2).take(end).collect();
                return Ok(String::from_utf8(line).unwrap());
            }
            self.need_more()?;
        }
    }

    fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.bytes.len() < count {
            self.need_more()?;
        }
        Ok(self.bytes.drain(..count).collect())
    }

    fn need_more(&mut self) -> io::Result<()> {
        if self.more()? { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

/// How the body after `head` ends, when the head itself does not say that there is none.
pub(crate) fn framing(head: &str) -> Option<Framing> {
    if field(head, "transfer-encoding").is_some() {
        return Some(Framing::Chunked);
    }
    field(head, "content-length").map(|length| Framing::Length(length.parse().unwrap()))
}

/// The value of a field of a head, the first of several.
pub(crate) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Where `pattern` first is in `bytes`.
pub(crate) fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}
