//! The beginning of a request's body, kept so that it can be sent again.

use std::cell::{Cell, RefCell};

/// Most that is kept for one request. Source: large enough for ordinary calls, and a thousand of
/// them are 64 MiB; what is larger is sent once.
const MAX_BYTES: usize = 64 * 1024;

/// What has been sent of a body. Shared by the upload, which adds to it, and by whoever decides
/// on another try meanwhile.
#[derive(Debug)]
pub(crate) struct Replay {
    bytes: RefCell<Vec<u8>>,
    wanted: Cell<bool>,
    is_lost: Cell<bool>,
}

impl Replay {
    /// Keeps what is sent, if another try is possible at all.
    pub(crate) const fn new(wanted: bool) -> Self {
        Self {
            bytes: RefCell::new(Vec::new()),
            wanted: Cell::new(wanted),
            is_lost: Cell::new(false),
        }
    }

    /// Keeps another piece; forgets all when there is too much.
    pub(crate) fn keep(&self, piece: &[u8]) {
        if !self.wanted.get() {
            self.is_lost.set(true);
            return;
        }
        let mut bytes = self.bytes.borrow_mut();
        if bytes.len().saturating_add(piece.len()) > MAX_BYTES {
            self.wanted.set(false);
            self.is_lost.set(true);
            *bytes = Vec::new();
        } else {
            bytes.extend_from_slice(piece);
        }
    }

    /// What has been sent, for another try.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes.borrow().clone()
    }

    /// Whether all that was sent is here, so that it can be sent again.
    pub(crate) fn is_whole(&self) -> bool {
        !self.is_lost.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_body_can_be_sent_again() {
        let replay = Replay::new(true);
        assert!(replay.is_whole());
        replay.keep(b"abc");
        replay.keep(b"def");
        assert_eq!(replay.bytes(), b"abcdef");
        assert!(replay.is_whole());
    }

    #[test]
    fn a_large_or_unwanted_one_cannot() {
        let large = Replay::new(true);
        large.keep(&vec![0; MAX_BYTES]);
        large.keep(b"x");
        large.keep(b"y");
        assert!(large.bytes().is_empty() && !large.is_whole());
        let unwanted = Replay::new(false);
        assert!(unwanted.is_whole());
        unwanted.keep(b"x");
        assert!(!unwanted.is_whole());
    }
}
