//! The header table: every field in wire form, in one buffer, with a short record for each.

use crate::known::{Known, KnownSet};
use crate::scan;

/// Memory a cleared table keeps; a buffer that grew beyond it is given back.
const KEPT_BYTES: usize = 16 * 1024;

/// Dead bytes that edits may leave before the table is written afresh.
const SLACK_BYTES: usize = 4 * 1024;

/// Bytes of a line that are neither name nor value: `: ` and CRLF.
const MARKS: usize = 4;

/// One header table, for heads and trailers of HTTP/1 and HTTP/2.
///
/// Owns its bytes: every field is stored as `name: value\r\n`, so that writing HTTP/1 is copying
/// contiguous runs. Names keep their spelling and are compared without regard to case. Order is
/// kept. A request's `Host` is not in here but in [`crate::RequestHead::authority`].
#[derive(Clone, Debug, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    list: Vec<FieldRef>,
    present: KnownSet,
    live_bytes: usize,
}

/// Where one line stands in the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldRef {
    start: u32,
    value_len: u32,
    name_len: u16,
    known: Known,
}

/// A name or value that cannot stand in a field; nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InvalidField {
    /// The name is not a token. Source: RFC 9110 §5.1.
    Name,
    /// The value has a control character. Source: RFC 9110 §5.5.
    Value,
    /// The table would not fit in 32-bit offsets, or the name in 16 bits.
    TooLarge,
}

// === impl Fields ===

impl Fields {
    /// An empty table that owns no memory yet.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), list: Vec::new(), present: KnownSet::EMPTY, live_bytes: 0 }
    }

    /// Number of fields.
    #[inline]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is no field.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Bytes of all fields as HTTP/1 lines, `name: value` and CRLF.
    #[inline]
    pub fn wire_len(&self) -> usize {
        self.live_bytes
    }

    /// The known names that stand in the table.
    #[inline]
    pub fn known(&self) -> KnownSet {
        self.present
    }

    /// Removes all fields and keeps the memory, up to 16 KiB of it.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.list.clear();
        self.present = KnownSet::EMPTY;
        self.live_bytes = 0;
    }

    /// Value of the first field named `known`.
    #[inline]
    pub fn get(&self, known: Known) -> Option<&[u8]> {
        if !self.present.contains(known) {
            return None;
        }
        self.list.iter().find(|field| field.known == known).map(|field| self.value(field))
    }

    /// Value of the first field named `name`; `name` is in lower case.
    pub fn get_named(&self, name: &[u8]) -> Option<&[u8]> {
        self.values_named(name).next()
    }

    /// Values of all fields named `known`, in order.
    pub fn values(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        let list: &[FieldRef] = if self.present.contains(known) { &self.list } else { &[] };
        list.iter().filter(move |field| field.known == known).map(|field| self.value(field))
    }

    /// Values of all fields named `name`, in order; `name` is in lower case.
    pub fn values_named<'s>(&'s self, name: &[u8]) -> impl Iterator<Item = &'s [u8]> {
        let known = Known::find(name);
        let list: &[FieldRef] = if self.present.contains(known) { &self.list } else { &[] };
        list.iter().filter(move |field| self.is_named(field, known, name)).map(|f| self.value(f))
    }

    /// Number of fields named `known`.
    pub fn count(&self, known: Known) -> usize {
        self.values(known).count()
    }

    /// All fields in order: name as it was spelled, value, known name.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8], Known)> {
        self.list.iter().map(|field| (self.name(field), self.value(field), field.known))
    }

    /// Adds a field after all others. Whitespace around `value` is left out.
    ///
    /// # Errors
    ///
    /// [`InvalidField`] when `name` is not a token, `value` has a control character, or the table
    /// is full; nothing has changed.
    pub fn append(&mut self, name: &[u8], value: &[u8]) -> Result<(), InvalidField> {
        let known = Known::find(name);
        let value = scan::trim(value);
        let field = self.checked_ref(name, value, known)?;
        self.write_line(name, value);
        self.list.push(field);
        Ok(())
    }

    /// Makes `value` the only value of `name`, in the place of the first one if there was any.
    ///
    /// # Errors
    ///
    /// As [`Fields::append`].
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), InvalidField> {
        let known = Known::find(name);
        let value = scan::trim(value);
        let Some(first) = self.position(known, name) else { return self.append(name, value) };
        let field = self.checked_ref(name, value, known)?;
        self.drop_lines(known, name, first.saturating_add(1));
        if !self.overwrite(first, value) {
            let old = self.list.get(first).map_or(0, FieldRef::line_len);
            self.live_bytes = self.live_bytes.saturating_sub(old);
            self.write_line(name, value);
            if let Some(slot) = self.list.get_mut(first) {
                *slot = field;
            }
            self.compact_if_sparse();
        }
        Ok(())
    }

    /// Removes all fields named `known`; returns how many there were.
    pub fn remove(&mut self, known: Known) -> usize {
        if known == Known::Other || !self.present.contains(known) {
            return 0;
        }
        let removed = self.drop_lines(known, b"", 0);
        self.present.remove(known);
        removed
    }

    /// Removes all fields named `name` (any case); returns how many there were.
    pub fn remove_named(&mut self, name: &[u8]) -> usize {
        let known = Known::find(name);
        if known == Known::Other {
            return self.drop_lines(known, name, 0);
        }
        self.remove(known)
    }

    // --- for the parsers and writers of this crate ---

    /// Lines in order, for a writer that copies runs.
    pub(crate) fn refs(&self) -> &[FieldRef] {
        &self.list
    }

    /// All lines as one run, if edits have left no dead bytes between them.
    pub(crate) fn whole(&self) -> Option<&[u8]> {
        (self.bytes.len() == self.live_bytes).then_some(self.bytes.as_slice())
    }

    /// Bytes that [`FieldRef::start`] and [`FieldRef::end`] count in.
    pub(crate) fn buffer(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn name(&self, field: &FieldRef) -> &[u8] {
        self.bytes.get(field.start()..field.name_end()).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn value(&self, field: &FieldRef) -> &[u8] {
        self.bytes.get(field.value_start()..field.value_end()).unwrap_or_default()
    }

    /// Adds a line whose bytes are, or will be, at `start`; false when it does not fit.
    #[inline]
    pub(crate) fn push_ref(&mut self, start: usize, line: (usize, usize), known: Known) -> bool {
        let (name_len, value_len) = line;
        if (start | value_len) > u32::MAX as usize || name_len > u16::MAX as usize {
            return false;
        }
        #[expect(clippy::cast_possible_truncation, reason = "compared with the limits above")]
        let (start, value_len, name_len) = (start as u32, value_len as u32, name_len as u16);
        let field = FieldRef { start, value_len, name_len, known };
        self.live_bytes = self.live_bytes.wrapping_add(field.line_len());
        self.present.insert(known);
        self.list.push(field);
        true
    }

    /// Adds bytes for lines that [`Fields::push_ref`] announced.
    #[inline]
    pub(crate) fn push_bytes(&mut self, lines: &[u8]) {
        self.bytes.extend_from_slice(lines);
    }

    /// Adds the bytes and the record of a line that a parser has checked; false as above.
    pub(crate) fn push_checked(&mut self, name: &[u8], value: &[u8], known: Known) -> bool {
        if !self.push_ref(self.bytes.len(), (name.len(), value.len()), known) {
            return false;
        }
        let counted = self.live_bytes;
        self.write_line(name, value);
        self.live_bytes = counted;
        true
    }

    // --- inside ---

    fn is_named(&self, field: &FieldRef, known: Known, name: &[u8]) -> bool {
        field.known == known
            && (known != Known::Other || self.name(field).eq_ignore_ascii_case(name))
    }

    fn position(&self, known: Known, name: &[u8]) -> Option<usize> {
        if !self.present.contains(known) {
            return None;
        }
        self.list.iter().position(|field| self.is_named(field, known, name))
    }

    /// The record that a line at the end of the bytes would have.
    fn checked_ref(
        &mut self,
        name: &[u8],
        value: &[u8],
        known: Known,
    ) -> Result<FieldRef, InvalidField> {
        if !scan::is_token(name) {
            return Err(InvalidField::Name);
        }
        if !scan::is_value(value) {
            return Err(InvalidField::Value);
        }
        let after = self.bytes.len().saturating_add(name.len()).saturating_add(value.len());
        let (Ok(start), Ok(name_len), Ok(value_len), Ok(_)) = (
            u32::try_from(self.bytes.len()),
            u16::try_from(name.len()),
            u32::try_from(value.len()),
            u32::try_from(after.saturating_add(MARKS)),
        ) else {
            return Err(InvalidField::TooLarge);
        };
        self.present.insert(known);
        Ok(FieldRef { start, value_len, name_len, known })
    }

    fn write_line(&mut self, name: &[u8], value: &[u8]) {
        let line_len = name.len().saturating_add(value.len()).saturating_add(MARKS);
        self.bytes.reserve(line_len);
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b": ");
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(b"\r\n");
        self.live_bytes = self.live_bytes.saturating_add(line_len);
    }

    /// Writes `value` over the value at `index` if it has the same length.
    fn overwrite(&mut self, index: usize, value: &[u8]) -> bool {
        let Some(field) = self.list.get(index) else { return false };
        match self.bytes.get_mut(field.value_start()..field.value_end()) {
            Some(old) if old.len() == value.len() => {
                old.copy_from_slice(value);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Forgets all lines of that name from index `from` on; returns how many.
    fn drop_lines(&mut self, known: Known, name: &[u8], from: usize) -> usize {
        let mut list = std::mem::take(&mut self.list);
        let before = list.len();
        let mut index = 0_usize;
        let mut dropped_bytes = 0_usize;
        list.retain(|field| {
            let drop = index >= from && self.is_named(field, known, name);
            index = index.wrapping_add(1);
            if drop {
                dropped_bytes = dropped_bytes.saturating_add(field.line_len());
            }
            !drop
        });
        let removed = before.saturating_sub(list.len());
        self.list = list;
        self.live_bytes = self.live_bytes.saturating_sub(dropped_bytes);
        removed
    }

    /// Writes the lines afresh, in order, when edits have left too many dead bytes.
    fn compact_if_sparse(&mut self) {
        let dead = self.bytes.len().saturating_sub(self.live_bytes);
        if dead <= self.live_bytes.saturating_add(SLACK_BYTES) {
            return;
        }
        let mut fresh = Self::new();
        fresh.bytes.reserve(self.live_bytes);
        for field in &self.list {
            fresh.push_checked(self.name(field), self.value(field), field.known);
        }
        *self = fresh;
    }
}

impl PartialEq for Fields {
    /// Equal when the same names (any case) with the same values stand in the same order.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .iter()
                .zip(other.iter())
                .all(|(mine, theirs)| mine.0.eq_ignore_ascii_case(theirs.0) && mine.1 == theirs.1)
    }
}

impl Eq for Fields {}

// === impl FieldRef ===

#[expect(
    clippy::arithmetic_side_effects,
    reason = "32-bit parts of a buffer in memory cannot overflow 64 bits"
)]
impl FieldRef {
    #[inline]
    pub(crate) const fn known(&self) -> Known {
        self.known
    }

    #[inline]
    pub(crate) const fn start(&self) -> usize {
        self.start as usize
    }

    #[inline]
    const fn name_end(&self) -> usize {
        self.start as usize + self.name_len as usize
    }

    #[inline]
    const fn value_start(&self) -> usize {
        self.name_end() + 2
    }

    #[inline]
    const fn value_end(&self) -> usize {
        self.value_start() + self.value_len as usize
    }

    pub(crate) const fn value_range(&self) -> std::ops::Range<usize> {
        self.value_start()..self.value_end()
    }

    /// One past the CRLF.
    #[inline]
    pub(crate) const fn end(&self) -> usize {
        self.value_end() + 2
    }

    #[inline]
    const fn line_len(&self) -> usize {
        self.name_len as usize + self.value_len as usize + MARKS
    }
}

// === impl InvalidField ===

impl std::fmt::Display for InvalidField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Name => "field name is not a token: use letters, digits and hyphens",
            Self::Value => "field value has a control character: encode it",
            Self::TooLarge => "field does not fit in the header table",
        })
    }
}

impl std::error::Error for InvalidField {}

#[cfg(test)]
mod tests;
