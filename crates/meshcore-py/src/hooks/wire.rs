//! What a sidecar and the process of a plugin say to each other.
//!
//! Everything is a frame: its length as four bytes, the lowest first, and so many bytes. The first
//! frame of each side is JSON, which Python writes and reads. Those after it are here: the sidecar
//! asks, the process answers each call once.

mod fields;
mod message;

use std::ops::Range;

pub(crate) use fields::Malformed;
pub(crate) use message::{
    Answer, Asked, read_answer, read_asked, write_answer, write_call, write_records,
};

/// Longest frame of either side: what one decision or one request may be; finished requests take
/// several. Heads are a tenth of it at most; the body of an answer that a hook replaces is the rest.
pub(crate) const MAX_FRAME_BYTES: usize = 1 << 20;
const LENGTH_BYTES: usize = 4;

/// Bytes that came, until they are whole frames.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) bytes: Vec<u8>,
    /// What of it was taken.
    taken: usize,
}

// === impl Inbox ===

impl Inbox {
    /// The next frame, if it is there whole.
    ///
    /// # Errors
    ///
    /// When it would be longer than [`MAX_FRAME_BYTES`].
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, Malformed> {
        let rest = self.bytes.get(self.taken..).unwrap_or_default();
        let Some(range) = first(rest)? else {
            self.bytes.drain(..self.taken);
            self.taken = 0;
            return Ok(None);
        };
        let begin = self.taken.saturating_add(range.start);
        let end = self.taken.saturating_add(range.end);
        self.taken = end;
        Ok(self.bytes.get(begin..end))
    }
}

/// Where the first frame's content is, if it is there whole.
fn first(bytes: &[u8]) -> Result<Option<Range<usize>>, Malformed> {
    let Some(length) = bytes.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > MAX_FRAME_BYTES {
        return Err(Malformed("a frame is too long"));
    }
    let end = LENGTH_BYTES.saturating_add(length);
    Ok((bytes.len() >= end).then_some(LENGTH_BYTES..end))
}

/// Appends a frame with what `write` writes; takes it back and says `false` if that is too long.
pub(crate) fn frame(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> bool {
    let begin = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    let content = out.len();
    write(out);
    let length = out.len().saturating_sub(content);
    if length <= MAX_FRAME_BYTES
        && let Ok(length) = u32::try_from(length)
        && let Some(place) = out.get_mut(begin..content)
    {
        place.copy_from_slice(&length.to_le_bytes());
        return true;
    }
    out.truncate(begin);
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_as_they_become_whole() {
        let mut wire = Vec::new();
        for text in [&b"one"[..], b"", b"three"] {
            assert!(frame(&mut wire, |out| out.extend_from_slice(text)));
        }
        let (mut inbox, mut seen) = (Inbox::default(), Vec::new());
        for byte in wire {
            inbox.bytes.push(byte);
            while let Some(content) = inbox.next().unwrap() {
                seen.push(content.to_vec());
            }
        }
        assert_eq!(seen, [&b"one"[..], b"", b"three"]);
        assert!(inbox.bytes.is_empty(), "nothing is kept");
    }

    #[test]
    fn a_frame_that_is_too_long_is_neither_written_nor_read() {
        let mut wire = b"before".to_vec();
        assert!(!frame(&mut wire, |out| out.resize(out.len() + MAX_FRAME_BYTES + 1, 0)));
        assert_eq!(wire, b"before");
        let mut inbox = Inbox::default();
        inbox.bytes.extend_from_slice(&u32::MAX.to_le_bytes());
        assert!(inbox.next().is_err());
    }
}
