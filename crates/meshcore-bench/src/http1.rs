//! The least of HTTP/1.1 framing: where a head ends, and how long the body behind it is.
//!
//! Enough for peers that are known: no chunks, and a head is not looked at beyond its length.

use memchr::memmem;

const END: &[u8] = b"\r\n\r\n";
const LENGTH: &[u8] = b"content-length:";

/// The length of the head at the beginning of `bytes`, if it is whole.
pub fn head_bytes(bytes: &[u8]) -> Option<usize> {
    memmem::find(bytes, END)?.checked_add(END.len())
}

/// The length of the body, by its field; 0 where there is none.
pub fn body_bytes(head: &[u8]) -> usize {
    let value = head.split(|byte| *byte == b'\n').find_map(|line| {
        let name = line.get(..LENGTH.len())?;
        name.eq_ignore_ascii_case(LENGTH).then(|| line.get(LENGTH.len()..))?
    });
    value
        .and_then(|value| std::str::from_utf8(value).ok())
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_in_pieces_is_not_whole() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n";
        assert_eq!(head_bytes(head.strip_suffix(b"\n").unwrap()), None);
        assert_eq!(head_bytes(head), Some(head.len()));
    }

    #[test]
    fn the_length_is_that_of_the_field() {
        assert_eq!(body_bytes(b"HTTP/1.1 200 OK\r\na: b\r\nContent-Length: 12\r\n\r\n"), 12);
        assert_eq!(body_bytes(b"HTTP/1.1 204 No Content\r\nx-content-length: 3\r\n\r\n"), 0);
    }
}
