//! The parts of a frame: numbers with the lowest byte first, and bytes behind their length.

use std::sync::Arc;

/// A frame that is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// What is left of a frame that is being read.
#[derive(Debug)]
pub(crate) struct Reader<'f>(&'f [u8]);

/// What stands for the length of a value that is not there.
const NONE: u32 = u32::MAX;

pub(crate) fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

pub(crate) fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// A count of what follows.
pub(crate) fn put_len(out: &mut Vec<u8>, length: usize) {
    put_u32(out, u32::try_from(length).unwrap_or(NONE));
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

pub(crate) fn put_optional(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => put_bytes(out, bytes),
        None => put_u32(out, NONE),
    }
}

// === impl Reader ===

impl<'f> Reader<'f> {
    pub(crate) const fn new(frame: &'f [u8]) -> Self {
        Self(frame)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        let (&byte, rest) = self.0.split_first().ok_or(CUT)?;
        self.0 = rest;
        Ok(byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(CUT)?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*bytes))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(CUT)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    pub(crate) fn optional(&mut self) -> Result<Option<&'f [u8]>, Malformed> {
        let length = self.u32()?;
        if length == NONE {
            return Ok(None);
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(CUT)?;
        self.0 = rest;
        Ok(Some(bytes))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'f [u8], Malformed> {
        self.optional()?.ok_or(Malformed("a value is missing"))
    }

    pub(crate) fn optional_text(&mut self) -> Result<Option<&'f str>, Malformed> {
        self.optional()?.map(text).transpose()
    }

    pub(crate) fn text(&mut self) -> Result<&'f str, Malformed> {
        text(self.bytes()?)
    }

    pub(crate) fn shared_text(&mut self) -> Result<Option<Arc<str>>, Malformed> {
        Ok(self.optional_text()?.map(Arc::from))
    }

    /// As many things as a count says. A count that lies ends with the frame.
    pub(crate) fn each<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.u32()?;
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(read(self)?);
        }
        Ok(all)
    }

    /// Nothing may be left.
    pub(crate) fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("a frame goes on after its end")) }
    }
}

const CUT: Malformed = Malformed("a frame is cut off");

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed("a text is not UTF-8"))
}
