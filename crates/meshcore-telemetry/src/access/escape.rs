//! Escapes, so that no value can end its field or its line, or steer a terminal.

use std::io::Write as _;

/// Appends `value` for a text line: quotes, backslashes, control and direction characters,
/// and bytes that are not UTF-8 become escapes.
pub(super) fn text(value: &[u8], out: &mut Vec<u8>) {
    if value.iter().all(|b| is_plain(*b)) {
        out.extend_from_slice(value);
        return;
    }
    for chunk in value.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                _ if is_harmful(char) && char.is_ascii() => {
                    format(out, format_args!("\\x{:02x}", u32::from(char)));
                }
                _ if is_harmful(char) => format(out, format_args!("\\u{{{:x}}}", u32::from(char))),
                _ => push(char, out),
            }
        }
        for byte in chunk.invalid() {
            format(out, format_args!("\\x{byte:02x}"));
        }
    }
}

/// Appends `value` for the inside of a JSON string; bytes that are not UTF-8 become U+FFFD.
/// Source: RFC 8259 section 7.
pub(super) fn json(value: &[u8], out: &mut Vec<u8>) {
    if value.iter().all(|b| is_plain(*b)) {
        out.extend_from_slice(value);
        return;
    }
    for chunk in value.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                _ if is_harmful(char) => format(out, format_args!("\\u{:04x}", u32::from(char))),
                _ => push(char, out),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

/// The longest beginning of `value` of at most `limit` bytes that cuts no character.
pub(super) fn shorten(value: &[u8], limit: usize) -> &[u8] {
    let Some(short) = value.get(..limit) else {
        return value;
    };
    let is_continued = value.get(limit).is_some_and(|b| b & 0xc0 == 0x80);
    let start = short.iter().rposition(|b| b & 0xc0 != 0x80).filter(|_| is_continued);
    start.and_then(|start| short.get(..start)).unwrap_or(short)
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

/// Characters that end lines, hide or turn around what follows. All lie in the first plane.
/// Source: Unicode Standard Annex 9 (bidirectional formatting), Annex 14 (line breaks).
const fn is_harmful(char: char) -> bool {
    matches!(char,
        '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn push(char: char, out: &mut Vec<u8>) {
    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
}

fn format(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(escape: fn(&[u8], &mut Vec<u8>), value: &[u8]) -> String {
        let mut out = Vec::new();
        escape(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn no_value_can_leave_its_field() {
        for (value, in_text, in_json) in [
            (&b"plain /path?q=1"[..], "plain /path?q=1", "plain /path?q=1"),
            (b"a\r\n[forged] \"", "a\\r\\n[forged] \\\"", "a\\r\\n[forged] \\\""),
            (
                b"\\n\t\0\x1b[2J\x7f",
                "\\\\n\\t\\x00\\x1b[2J\\x7f",
                "\\\\n\\t\\u0000\\u001b[2J\\u007f",
            ),
            (
                "é\u{85}\u{2028}\u{202e}".as_bytes(),
                "é\\u{85}\\u{2028}\\u{202e}",
                "é\\u0085\\u2028\\u202e",
            ),
            (b"\xff\xfea\xc3", "\\xff\\xfea\\xc3", "\\ufffd\\ufffda\\ufffd"),
        ] {
            assert_eq!(escaped(text, value), in_text);
            assert_eq!(escaped(json, value), in_json);
        }
    }

    #[test]
    fn every_byte_stays_on_its_line() {
        let all: Vec<u8> = (0..=255).collect();
        for escape in [text, json] {
            let line = escaped(escape, &all);
            assert!(!line.contains(|c: char| c.is_control()));
            assert_eq!(line.matches('"').count(), line.matches("\\\"").count());
        }
    }

    #[test]
    fn shortening_cuts_no_character() {
        assert_eq!(shorten(b"abc", 2), b"ab");
        assert_eq!(shorten(b"abc", 3), b"abc");
        assert_eq!(shorten("aé".as_bytes(), 2), b"a");
        assert_eq!(shorten("aé".as_bytes(), 3), "aé".as_bytes());
        assert_eq!(shorten("éa".as_bytes(), 2), "é".as_bytes());
    }
}
