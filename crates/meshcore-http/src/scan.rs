//! Byte classes, and the searches for the first byte outside a class.
//!
//! The searches look at sixteen bytes a step.

use wide::u8x16;

/// Bytes of a token. Source: RFC 9110 §5.6.2.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        #[expect(clippy::indexing_slicing, reason = "a byte is below 256")]
        {
            table[byte as usize] = byte.is_ascii_alphanumeric() || is_token_mark(byte);
        }
        byte = byte.wrapping_add(1);
    }
    table
};

/// Bytes of a host name: unreserved ones. Source: RFC 3986 §2.3.
static HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        #[expect(clippy::indexing_slicing, reason = "a byte is below 256")]
        {
            table[byte as usize] =
                byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        }
        byte = byte.wrapping_add(1);
    }
    table
};

const fn is_token_mark(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#'
            | b'$'
            | b'%'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'-'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~'
    )
}

/// Whether `byte` may stand in a token.
#[inline]
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).copied().unwrap_or(false)
}

/// Whether `bytes` is a token: not empty, token bytes only.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_len(bytes) == bytes.len()
}

/// Number of token bytes at the front of `bytes`.
#[inline]
pub(crate) fn token_len(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(bytes.len())
}

/// Whether `bytes` may be a field value: no control but HTAB, no DEL. Source: RFC 9110 §5.5.
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    value_len(bytes) == bytes.len()
}

/// Number of field value bytes at the front of `bytes` (HTAB, SP, visible, above ASCII).
#[inline]
pub(crate) fn value_len(bytes: &[u8]) -> usize {
    first(
        bytes,
        |block| controls(block) & !equal(block, b'\t') | equal(block, 0x7f),
        |byte| byte < 0x20 && byte != b'\t' || byte == 0x7f,
    )
}

/// Number of host name bytes at the front of `bytes`.
#[inline]
pub(crate) fn host_len(bytes: &[u8]) -> usize {
    let fits = |byte: &u8| HOST.get(usize::from(*byte)).copied().unwrap_or(false);
    bytes.iter().position(|byte| !fits(byte)).unwrap_or(bytes.len())
}

/// Number of request target bytes at the front of `bytes`: visible ASCII but no `#`.
///
/// Wider than RFC 3986, whose delimiters clients do not always encode; narrower than it by
/// the fragment, which never belongs on the wire (RFC 9112 §3.2).
#[inline]
pub(crate) fn target_len(bytes: &[u8]) -> usize {
    first(
        bytes,
        |block| {
            let visible = block.min(u8x16::splat(0x7e)).simd_eq(block);
            controls(block) | equal(block, b' ') | equal(block, b'#') | !visible
        },
        |byte| !byte.is_ascii_graphic() || byte == b'#',
    )
}

/// Where the first colon is.
#[inline]
pub(crate) fn colon(bytes: &[u8]) -> Option<usize> {
    let len = first(bytes, |block| equal(block, b':'), |byte| byte == b':');
    (len < bytes.len()).then_some(len)
}

/// `bytes` without the optional whitespace at both ends. Source: RFC 9110 §5.6.3.
#[inline]
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    trim_end(bytes)
}

/// `bytes` without the optional whitespace at the end.
#[inline]
pub(crate) fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Elements of a comma-separated list, trimmed, empty ones left out. Source: RFC 9110 §5.6.1.
pub(crate) fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// Where the first byte is that is looked for, or the number of bytes. `found` flags lanes of a
/// block, `is` tells the same of a byte.
#[inline]
fn first(bytes: &[u8], found: impl Fn(u8x16) -> u8x16, is: impl Fn(u8) -> bool) -> usize {
    let Some(last) = bytes.last_chunk::<LANES>() else {
        return bytes.iter().position(|byte| is(*byte)).unwrap_or(bytes.len());
    };
    let (blocks, tail) = bytes.as_chunks::<LANES>();
    for (index, block) in blocks.iter().enumerate() {
        let lanes = found(u8x16::new(*block)).to_bitmask();
        if lanes != 0 {
            return index.wrapping_mul(LANES).wrapping_add(lanes.trailing_zeros() as usize);
        }
    }
    // The last block looks at some bytes a second time, which finds nothing in them.
    let lanes = found(u8x16::new(*last)).to_bitmask();
    if tail.is_empty() || lanes == 0 {
        return bytes.len();
    }
    bytes.len().wrapping_sub(LANES).wrapping_add(lanes.trailing_zeros() as usize)
}

/// Bytes of a block.
const LANES: usize = 16;

/// Flags the lanes that are `byte`.
#[inline]
fn equal(block: u8x16, byte: u8) -> u8x16 {
    block.simd_eq(u8x16::splat(byte))
}

/// Flags the lanes that are below a space.
#[inline]
fn controls(block: u8x16) -> u8x16 {
    block.min(u8x16::splat(0x1f)).simd_eq(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_ends_a_run_at_each_place_or_nowhere() {
        for byte in 0..=255_u8 {
            for (place, len) in (0..40).flat_map(|place| [(place, 40), (place, place + 1)]) {
                let mut text = vec![b'a'; len];
                text[place] = byte;
                let value = byte == b'\t' || (byte >= 0x20 && byte != 0x7f);
                assert_eq!(value_len(&text), if value { len } else { place }, "{byte:#x} {place}");
                let target = (0x21..0x7f).contains(&byte) && byte != b'#';
                assert_eq!(
                    target_len(&text),
                    if target { len } else { place },
                    "{byte:#x} {place}"
                );
                let host = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
                assert_eq!(host_len(&text), if host { len } else { place }, "{byte:#x} {place}");
                let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
                assert_eq!(token_len(&text), if token { len } else { place }, "{byte:#x} {place}");
            }
        }
    }

    #[test]
    fn the_first_colon_is_found() {
        for place in 0..20 {
            let mut text = vec![b';'; 20];
            assert_eq!(colon(&text), None);
            text[place] = b':';
            text[19] = b':';
            assert_eq!(colon(&text), Some(place));
        }
    }

    #[test]
    fn a_tab_inside_a_value_does_not_end_it() {
        assert_eq!(value_len(b"\t\t\t\t\t\t\t\t\t\rx"), 9);
        assert_eq!(value_len(b"a\tb\x80\xff\x7f"), 5);
    }

    #[test]
    fn lists_lose_blanks_and_empty_elements() {
        let found: Vec<&[u8]> = elements(b" ,a,, b\t,").collect();
        assert_eq!(found, [b"a", b"b"]);
    }
}
