//! One field line after another, checked byte by byte. Source: RFC 9112 §5.

use super::Limits;
use super::framing::{Framing, is_protected};
use crate::fields::Fields;
use crate::known::Known;
use crate::rejected::Rejected;
use crate::scan;

/// What stands at the front of a field section.
#[derive(Debug)]
pub(crate) enum Lexed<'a> {
    /// A whole field line.
    Field(Line<'a>),
    /// The empty line that ends the section.
    End,
    /// The beginning of either; more bytes are needed.
    Partial,
}

/// A valid field line.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) name: &'a [u8],
    /// Without the whitespace around it.
    pub(crate) value: &'a [u8],
    pub(crate) known: Known,
    /// Bytes of the line, CRLF included.
    pub(crate) len: usize,
    /// Whether the line is spelled exactly `name: value\r\n`.
    pub(crate) canonical: bool,
}

/// Bytes of the empty line.
pub(crate) const END_LEN: usize = 2;

/// Reads one line of a field section.
///
/// # Errors
///
/// A [`Rejected`] about names, values, folds or line ends.
#[expect(clippy::inline_always, reason = "its result is taken apart at once, twice in all")]
#[inline(always)]
pub(crate) fn lex(rest: &[u8]) -> Result<Lexed<'_>, Rejected> {
    if let [b'\r', b'\n', ..] = rest {
        return Ok(Lexed::End);
    }
    let colon = scan::colon(rest).unwrap_or(rest.len());
    let Some((name, [_, after @ ..])) = rest.split_at_checked(colon) else {
        return not_a_field(rest);
    };
    let known = Known::find_inline(name);
    if known == Known::Other {
        // A known name is a token; the others have to show it.
        if !scan::is_token(name) {
            return not_a_field(rest);
        }
        refuse_alias(name)?;
    }
    let text = after.strip_prefix(b" ").unwrap_or(after);
    let Some((raw, end)) = text.split_at_checked(scan::value_len(text)) else {
        return Ok(Lexed::Partial);
    };
    match end {
        [b'\r', b'\n', ..] => {}
        other => return line_end(other).map(|()| Lexed::Partial),
    }
    let (value, has_more_blanks) = match raw {
        [b' ' | b'\t', ..] | [.., b' ' | b'\t'] => (scan::trim(raw), true),
        _ => (raw, false),
    };
    let canonical = text.len() != after.len() && !has_more_blanks;
    let len = rest.len().wrapping_sub(end.len()).wrapping_add(END_LEN);
    Ok(Lexed::Field(Line { name, value, known, len, canonical }))
}

/// Reads the field section that starts at `from` in `head`; returns where it ends.
///
/// Lines go into `fields` as runs of bytes; a `Host` goes to `host` instead when that is wanted.
pub(super) fn parse_section<'a>(
    head: &'a [u8],
    from: usize,
    fields: &mut Fields,
    framing: &mut Framing<'a>,
    limits: &Limits,
) -> Result<Option<usize>, Rejected> {
    let mut rest = head.get(from..).unwrap_or_default();
    let mut run = rest; // from the first line that is not copied yet
    let mut place = 0_usize; // where the next line will stand in the table
    let mut left = limits.fields;
    loop {
        let line = match lex(rest)? {
            Lexed::Field(line) => line,
            Lexed::End => {
                fields.push_bytes(before(run, rest));
                let after = rest.len().wrapping_sub(END_LEN);
                return Ok(Some(head.len().wrapping_sub(after)));
            }
            Lexed::Partial => return Ok(None),
        };
        left = left.checked_sub(1).ok_or(Rejected::TooManyFields)?;
        let after = rest.get(line.len..).unwrap_or_default();
        let moved_out = framing.note(line.known, line.value)?;
        if line.canonical && !moved_out {
            if !fields.push_ref(place, (line.name.len(), line.value.len()), line.known) {
                return Err(Rejected::HeadTooLarge);
            }
            place = place.wrapping_add(line.len);
        } else {
            fields.push_bytes(before(run, rest));
            if !moved_out && !fields.push_checked(line.name, line.value, line.known) {
                return Err(Rejected::HeadTooLarge);
            }
            run = after;
            place = fields.buffer().len();
        }
        rest = after;
    }
}

/// The front of `run` that comes before `rest`, its end.
fn before<'a>(run: &'a [u8], rest: &[u8]) -> &'a [u8] {
    run.get(..run.len().wrapping_sub(rest.len())).unwrap_or_default()
}

/// What it is if not a field line: the end, a part, or a reason to refuse.
#[cold]
fn not_a_field(rest: &[u8]) -> Result<Lexed<'_>, Rejected> {
    let name_len = scan::token_len(rest);
    match (name_len, rest.get(name_len..).unwrap_or_default()) {
        (_, []) | (0, [b'\r']) => Ok(Lexed::Partial),
        (0, [b'\r', ..]) => Err(Rejected::BareCr),
        (0, [b'\n', ..]) => Err(Rejected::BareLf),
        (0, [b' ' | b'\t', ..]) => Err(Rejected::ObsoleteFold),
        (_, [b' ' | b'\t', ..]) => Err(Rejected::SpaceBeforeColon),
        (_, [_, ..]) => Err(Rejected::BadFieldName),
    }
}

/// Whether a line that stops at `end`, which is not CRLF, is unfinished or wrong.
#[cold]
pub(super) fn line_end(end: &[u8]) -> Result<(), Rejected> {
    match end {
        [] | [b'\r'] => Ok(()),
        [b'\r', ..] => Err(Rejected::BareCr),
        [b'\n', ..] => Err(Rejected::BareLf),
        [_, ..] => Err(Rejected::BadFieldValue),
    }
}

/// Longest name that can alias a protected one (`x-envoy-upstream-rq-per-try-timeout-ms` has 38).
const ALIAS_BYTES: usize = 64;

/// Refuses a name that a gateway to CGI or WSGI would take for a protected one, because there
/// `-` and `_` are the same.
#[inline]
pub(crate) fn refuse_alias(name: &[u8]) -> Result<(), Rejected> {
    if !name.contains(&b'_') {
        return Ok(());
    }
    let mut dashed = [0; ALIAS_BYTES];
    let kept = name.len().min(ALIAS_BYTES);
    for (to, from) in dashed.iter_mut().zip(name) {
        *to = if *from == b'_' { b'-' } else { *from };
    }
    let dashed = dashed.get(..kept).unwrap_or_default();
    if is_protected(Known::find(dashed), dashed) { Err(Rejected::AliasedName) } else { Ok(()) }
}
