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

/// A GET with ten fields of about 650 bytes, answered with 200 and a body that is known.
#[derive(Debug)]
pub struct Http {
    request: Vec<u8>,
    body: Vec<u8>,
}

impl Http {
    /// Asks for `path` at `host`; the answer has this body.
    pub fn new(host: &str, path: &str, body: Vec<u8>) -> Self {
        let cookie = "c".repeat(220);
        let request = format!(
            "GET {path} HTTP/1.1\r\n\
             Host: {host}\r\n\
             User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
             Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
             Accept-Language: en-US,en;q=0.5\r\n\
             Accept-Encoding: gzip, deflate, br\r\n\
             Cookie: session={cookie}\r\n\
             X-Request-Id: 0a4dd1ba-7f1c-4c8f-9f2e-1f2b3c4d5e6f\r\n\
             X-Forwarded-Proto: http\r\n\
             Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0bb902b7-01\r\n\
             X-Tenant: reviews-team\r\n\r\n"
        );
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
