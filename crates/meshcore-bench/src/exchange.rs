//! What is asked, and how its answer is told to be whole and right.

use crate::{Failure, http1};

/// A question and its answer, the same each time.
pub trait Exchange {
    /// What is sent.
    fn question(&self) -> &[u8];

    /// The length of the answer at the beginning of `bytes`, once it is whole.
    ///
    /// # Errors
    ///
    /// It is not the right one.
    fn answer_bytes(&self, bytes: &[u8]) -> Result<Option<usize>, Failure>;
}

/// A GET, answered with 200 and a body that is known.
#[derive(Debug)]
pub struct Http {
    request: Vec<u8>,
    body: Vec<u8>,
}

impl Http {
    /// Asks for `path` at `host` with further `fields`, lines that end in CRLF but for the last;
    /// the answer has this body.
    pub fn new(host: &str, path: &str, fields: &str, body: Vec<u8>) -> Self {
        let end = if fields.is_empty() { "" } else { "\r\n" };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}{end}\r\n");
        Self { request: request.into_bytes(), body }
    }
}

impl Exchange for Http {
    fn question(&self) -> &[u8] {
        &self.request
    }

    fn answer_bytes(&self, bytes: &[u8]) -> Result<Option<usize>, Failure> {
        let Some((head, rest)) =
            http1::head_bytes(bytes).and_then(|end| bytes.split_at_checked(end))
        else {
            return Ok(None);
        };
        let is_ok = head.starts_with(b"HTTP/1.1 200 ");
        if !is_ok || http1::body_bytes(head) != self.body.len() {
            return Err(format!("wrong answer: {}", String::from_utf8_lossy(bytes)).into());
        }
        if rest.len() < self.body.len() {
            return Ok(None);
        }
        if rest.get(..self.body.len()) != Some(&self.body) {
            return Err("a wrong body".into());
        }
        Ok(head.len().checked_add(self.body.len()))
    }
}

/// Bytes that come back as they were.
#[derive(Debug)]
pub struct Echo(Vec<u8>);

impl Echo {
    /// So many of them.
    pub fn new(bytes: usize) -> Self {
        Self((0..=u8::MAX).cycle().take(bytes).collect())
    }
}

impl Exchange for Echo {
    fn question(&self) -> &[u8] {
        &self.0
    }

    fn answer_bytes(&self, bytes: &[u8]) -> Result<Option<usize>, Failure> {
        if !self.0.starts_with(bytes) {
            return Err(format!("{} bytes came back wrong", bytes.len()).into());
        }
        Ok((bytes.len() == self.0.len()).then_some(bytes.len()))
    }
}
