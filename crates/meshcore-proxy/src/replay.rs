//! The beginning of a request's body, kept so that it can be sent again.

/// Most that is kept for one request. Source: large enough for ordinary calls, and a thousand of
/// them are 64 MiB; what is larger is sent once.
const MAX_BYTES: usize = 64 * 1024;

/// What has been sent of a body.
#[derive(Debug)]
pub(crate) struct Replay {
    bytes: Vec<u8>,
    wanted: bool,
}

impl Replay {
    /// Keeps what is sent, if another try is possible at all.
    pub(crate) const fn new(wanted: bool) -> Self {
        Self { bytes: Vec::new(), wanted }
    }

    /// Keeps another piece; forgets all when there is too much.
    pub(crate) fn keep(&mut self, piece: &[u8]) {
        if !self.wanted {
            return;
        }
        if self.bytes.len().saturating_add(piece.len()) > MAX_BYTES {
            self.wanted = false;
            self.bytes = Vec::new();
        } else {
            self.bytes.extend_from_slice(piece);
        }
    }

    /// What has been sent.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether all that was sent is here, so that it can be sent again. `read` is how much was
    /// read of the body.
    pub(crate) fn is_whole(&self, read: u64) -> bool {
        self.bytes.len() as u64 == read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_body_can_be_sent_again() {
        let mut replay = Replay::new(true);
        assert!(replay.is_whole(0));
        replay.keep(b"abc");
        replay.keep(b"def");
        assert_eq!(replay.bytes(), b"abcdef");
        assert!(replay.is_whole(6));
    }

    #[test]
    fn a_large_or_unwanted_one_cannot() {
        let mut large = Replay::new(true);
        large.keep(&vec![0; MAX_BYTES]);
        large.keep(b"x");
        large.keep(b"y");
        assert!(large.bytes().is_empty() && !large.is_whole(MAX_BYTES as u64 + 2));
        let mut unwanted = Replay::new(false);
        unwanted.keep(b"x");
        assert!(!unwanted.is_whole(1));
    }
}
