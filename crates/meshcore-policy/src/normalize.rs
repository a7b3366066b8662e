//! Paths in one form, so that policy, routing and the upstream see the same.

use std::borrow::Cow;

use meshcore_model::PathNormalization as Mode;

/// A path that cannot be brought to one form; the request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// `%` is not followed by two hexadecimal digits.
    Escape,
    /// A NUL, as such or escaped.
    Nul,
    /// A `#`, which no request has, or another byte that may not stand in a path.
    Byte,
    /// It does not begin with a slash, and is not `*`.
    NotRooted,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Escape => "the path has a `%` without two hexadecimal digits",
            Self::Nul => "the path has a NUL",
            Self::Byte => "the path has a byte that may not stand there",
            Self::NotRooted => "the path does not begin with a slash",
        })
    }
}

impl std::error::Error for Malformed {}

/// The path (without its query) in the one form of this mode. What comes out stays as it is when
/// it goes in again. A path without escapes, dots after a slash and the like is not copied. `*`
/// and nothing stay as they are.
///
/// Source: RFC 3986 sections 5.2.4, 6.2.2.1 and 6.2.2.2; Istio's `MeshConfig.pathNormalization`.
///
/// # Errors
///
/// [`Malformed`]: such a path means different things to different servers.
pub fn normalize_path(path: &[u8], mode: Mode) -> Result<Cow<'_, [u8]>, Malformed> {
    if path.is_empty() || path == b"*" {
        return Ok(Cow::Borrowed(path));
    }
    if path.first() != Some(&b'/') && !(mode != Mode::None && path.first() == Some(&b'\\')) {
        return Err(Malformed::NotRooted);
    }
    let merges = match mode {
        Mode::None => {
            check(path)?;
            return Ok(Cow::Borrowed(path));
        }
        Mode::Base => false,
        Mode::MergeSlashes | Mode::DecodeAndMergeSlashes => true,
    };
    if is_normal(path, merges) {
        return Ok(Cow::Borrowed(path));
    }
    let decodes = mode == Mode::DecodeAndMergeSlashes;
    let unescaped = unescape(path, decodes)?;
    Ok(Cow::Owned(resolve(&unescaped, merges, decodes)))
}

/// Refuses what no mode takes.
fn check(path: &[u8]) -> Result<(), Malformed> {
    if path.windows(3).any(|three| three == b"%00") {
        return Err(Malformed::Nul);
    }
    path.iter().try_for_each(|byte| check_byte(*byte))
}

fn check_byte(byte: u8) -> Result<(), Malformed> {
    match byte {
        0 => Err(Malformed::Nul),
        b'#' | b'?' | 1..=b' ' | 0x7f => Err(Malformed::Byte),
        _ => Ok(()),
    }
}

/// Whether nothing is to be done. The common case, in one pass without memory.
fn is_normal(path: &[u8], merges: bool) -> bool {
    let mut before = 0;
    for byte in path {
        let odd = match byte {
            b'%' | b'\\' | b'#' | b'?' | 0..=b' ' | 0x7f => true,
            b'.' => before == b'/',
            b'/' => merges && before == b'/',
            _ => false,
        };
        if odd {
            return false;
        }
        before = *byte;
    }
    true
}

/// Decodes what needs no escape, writes the other escapes in capitals, and makes `\` a slash.
fn unescape(path: &[u8], decodes_slashes: bool) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let (Some(high), Some(low)) = (bytes.next(), bytes.next()) else {
                    return Err(Malformed::Escape);
                };
                let value = digit(high)? << 4 | digit(low)?;
                match value {
                    0 => return Err(Malformed::Nul),
                    b'/' | b'\\' if decodes_slashes => out.push(b'/'),
                    _ if is_unreserved(value) => out.push(value),
                    _ => out.extend([b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]),
                }
            }
            b'\\' => out.push(b'/'),
            _ => {
                check_byte(byte)?;
                out.push(byte);
            }
        }
    }
    Ok(out)
}

fn digit(byte: u8) -> Result<u8, Malformed> {
    let value = char::from(byte).to_digit(16).ok_or(Malformed::Escape)?;
    u8::try_from(value).map_err(|_| Malformed::Escape)
}

/// Source: RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Takes out dot segments and, with `merges`, empty ones. With `strict`, a dot segment with
/// parameters (`..;a`) is one too, as servlet containers see it.
fn resolve(path: &[u8], merges: bool, strict: bool) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut ends_with_slash = false;
    for segment in path.split(|byte| *byte == b'/').skip(1) {
        let name = match segment.iter().position(|byte| *byte == b';') {
            Some(end) if strict => segment.get(..end).unwrap_or(segment),
            Some(_) | None => segment,
        };
        ends_with_slash = true;
        match name {
            b"." => {}
            b".." => drop(kept.pop()),
            b"" if merges && segment.is_empty() => {}
            _ => {
                kept.push(segment);
                ends_with_slash = false;
            }
        }
    }
    let mut out = Vec::with_capacity(path.len());
    for segment in kept {
        out.push(b'/');
        out.extend_from_slice(segment);
    }
    if ends_with_slash || out.is_empty() {
        out.push(b'/');
    }
    out
}

#[cfg(test)]
mod tests;
