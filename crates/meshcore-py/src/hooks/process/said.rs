//! What a process writes to standard error, as lines for the log.

use std::time::{Duration, Instant};

/// Longest line, in bytes; what is longer becomes several.
const MAX_LINE_BYTES: usize = 1024;
/// Lines of one process in [`WINDOW`]; more are counted and not shown.
const MAX_LINES: u32 = 50;
/// What waits to be shown, in bytes, give or take what is read at a time: as much as may be shown at
/// once. What came before that is counted.
const MAX_WAITING_BYTES: usize = MAX_LINES as usize * MAX_LINE_BYTES;
const WINDOW: Duration = Duration::from_secs(1);

/// What was written and not yet shown.
#[derive(Debug, Default)]
pub(super) struct Said {
    bytes: Vec<u8>,
    window: Option<Instant>,
    shown: u32,
    kept_back: u64,
}

// === impl Said ===

impl Said {
    /// Where what comes is put.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        if self.bytes.len() >= MAX_WAITING_BYTES {
            self.take(0);
        }
        self.bytes.reserve(MAX_LINE_BYTES);
        &mut self.bytes
    }

    /// The whole lines that came, as many as may be shown now.
    pub(super) fn lines(&mut self, now: Instant) -> Vec<String> {
        if self.window.is_none_or(|began| now.saturating_duration_since(began) >= WINDOW) {
            self.window = Some(now);
            self.shown = 0;
        }
        self.take(MAX_LINES)
    }

    /// Takes the whole lines away; returns those until so many are shown, and counts the others.
    fn take(&mut self, most: u32) -> Vec<String> {
        let mut lines = Vec::new();
        let mut rest = self.bytes.as_slice();
        while let Some((line, after)) = split(rest) {
            rest = after;
            if line.is_empty() {
                continue;
            }
            if self.shown >= most {
                self.kept_back = self.kept_back.saturating_add(1);
                continue;
            }
            self.shown = self.shown.saturating_add(1);
            if self.kept_back > 0 {
                lines.push(format!("({} lines before this are not shown)", self.kept_back));
                self.kept_back = 0;
            }
            lines.push(shown(line));
        }
        let taken = self.bytes.len().saturating_sub(rest.len());
        self.bytes.drain(..taken);
        lines
    }

    /// All that is left, when nothing more comes.
    pub(super) fn last_lines(&mut self, now: Instant) -> Vec<String> {
        self.bytes.push(b'\n');
        self.lines(now)
    }
}

/// The first line, if it is there whole or as long as one may be, and what comes after it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let longest = bytes.get(..MAX_LINE_BYTES).unwrap_or(bytes);
    match longest.iter().position(|byte| *byte == b'\n') {
        Some(end) => Some((bytes.get(..end)?, bytes.get(end.checked_add(1)?..)?)),
        None => bytes.split_at_checked(MAX_LINE_BYTES),
    }
}

/// A line without what a terminal would obey.
fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim_end()
        .chars()
        .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_are_shown_and_long_ones_cut() {
        let (mut said, now) = (Said::default(), Instant::now());
        said.room().extend_from_slice(b"one\n\ntw");
        assert_eq!(said.lines(now), ["one"]);
        said.room().extend_from_slice(b"o\r\n\x1b[2J");
        assert_eq!(said.lines(now), ["two"]);
        said.room().resize(MAX_LINE_BYTES + 10, b'x');
        assert_eq!(said.lines(now).concat().chars().count(), MAX_LINE_BYTES);
        assert_eq!(said.last_lines(now).len(), 1);
        assert!(said.bytes.is_empty());
    }

    #[test]
    fn a_flood_is_counted_instead() {
        let (mut said, now) = (Said::default(), Instant::now());
        for _ in 0..1000 {
            said.room().extend_from_slice(b"again\n");
        }
        assert_eq!(said.lines(now).len(), 50);
        said.room().extend_from_slice(b"later\n");
        assert_eq!(said.lines(now + WINDOW), ["(950 lines before this are not shown)", "later"]);
    }

    #[test]
    fn a_flood_that_nobody_looks_at_takes_no_memory() {
        let mut said = Said::default();
        for _ in 0..100_000 {
            said.room().extend_from_slice(b"again\n");
        }
        assert!(said.bytes.capacity() <= 4 * MAX_WAITING_BYTES, "{}", said.bytes.capacity());
        let left = said.bytes.len() / b"again\n".len();
        let first = format!("({} lines before this are not shown)", 100_000 - left);
        assert_eq!(said.last_lines(Instant::now()).first(), Some(&first));
    }
}
