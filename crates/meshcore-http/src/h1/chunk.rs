//! The chunked coding, a byte at a time, so that any split of the input gives the same result.
//! Source: RFC 9112 §7.1.

use crate::rejected::Rejected;
use crate::scan;

/// Most digits of a chunk size; 16 of them fill 64 bits.
const SIZE_DIGITS: u8 = 16;

/// Longest chunk extension, and the most bytes of extensions in one body: they carry nothing
/// that is forwarded, so that a peer could make us read without end.
const EXTENSION_BYTES: u32 = 256;
const EXTENSIONS_BYTES: u32 = 16 * 1024;

/// Where in a chunk head the next byte stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// In the size; that many digits were read.
    Size(u8),
    /// In blanks that only `;` may end.
    BeforeSemicolon,
    /// In blanks after `;`.
    BeforeName,
    /// In an extension's name.
    Name,
    /// In blanks that `=` or `;` may end.
    AfterName,
    /// In blanks after `=`.
    BeforeValue,
    /// In a value that is a token.
    Token,
    /// In a quoted value, or after a backslash in it.
    Quoted,
    Escaped,
    /// After the closing quote.
    AfterQuoted,
    /// After CR.
    Lf,
}

/// Reads one chunk head: size, extensions, CRLF.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkHead {
    place: Place,
    size: u64,
    extension_bytes: u32,
    extensions_bytes: u32,
}

impl ChunkHead {
    pub(super) const fn new() -> Self {
        Self { place: Place::Size(0), size: 0, extension_bytes: 0, extensions_bytes: 0 }
    }

    /// Reads on; returns how many bytes it took and, at the end of the head, the chunk's size.
    ///
    /// # Errors
    ///
    /// [`Rejected::BadChunkSize`], [`Rejected::BadChunkExtension`], [`Rejected::BareCr`] or
    /// [`Rejected::BareLf`].
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(usize, Option<u64>), Rejected> {
        let mut taken = 0_usize;
        for byte in bytes {
            taken = taken.wrapping_add(1);
            if self.place == Place::Lf {
                if *byte != b'\n' {
                    return Err(Rejected::BareCr);
                }
                let size = self.size;
                *self = Self { extensions_bytes: self.extensions_bytes, ..Self::new() };
                return Ok((taken, Some(size)));
            }
            self.place = self.step(*byte)?;
        }
        Ok((taken, None))
    }

    fn step(&mut self, byte: u8) -> Result<Place, Rejected> {
        match (self.place, byte) {
            (Place::Size(digits), _) => self.step_size(digits, byte),
            (_, b'\n') => Err(Rejected::BareLf),
            _ => self.step_extension(byte),
        }
    }

    fn step_size(&mut self, digits: u8, byte: u8) -> Result<Place, Rejected> {
        match (char::from(byte).to_digit(16), byte) {
            (Some(digit), _) => {
                if digits == SIZE_DIGITS {
                    return Err(Rejected::BadChunkSize);
                }
                self.size = self.size.wrapping_shl(4) | u64::from(digit);
                if self.size > i64::MAX.unsigned_abs() {
                    return Err(Rejected::BadChunkSize);
                }
                Ok(Place::Size(digits.saturating_add(1)))
            }
            (None, _) if digits == 0 => Err(Rejected::BadChunkSize),
            (None, b'\r') => Ok(Place::Lf),
            (None, b';') => Ok(Place::BeforeName),
            (None, b' ' | b'\t') => Ok(Place::BeforeSemicolon),
            (None, b'\n') => Err(Rejected::BareLf),
            (None, _) => Err(Rejected::BadChunkSize),
        }
    }

    /// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`. Source: §7.1.1.
    fn step_extension(&mut self, byte: u8) -> Result<Place, Rejected> {
        self.extension_bytes = self.extension_bytes.saturating_add(1);
        self.extensions_bytes = self.extensions_bytes.saturating_add(1);
        let long = self.extension_bytes > EXTENSION_BYTES;
        if long || self.extensions_bytes > EXTENSIONS_BYTES {
            return Err(Rejected::BadChunkExtension);
        }
        let next = match (self.place, Class::of(byte)) {
            (Place::BeforeSemicolon | Place::Token | Place::AfterQuoted, Class::Blank) => {
                Place::BeforeSemicolon
            }
            (
                Place::BeforeSemicolon
                | Place::Name
                | Place::AfterName
                | Place::Token
                | Place::AfterQuoted,
                Class::Semicolon,
            )
            | (Place::BeforeName, Class::Blank) => Place::BeforeName,
            (Place::BeforeName | Place::Name, Class::Token) => Place::Name,
            (Place::Name | Place::AfterName, Class::Blank) => Place::AfterName,
            (Place::Name | Place::AfterName, Class::Equals)
            | (Place::BeforeValue, Class::Blank) => Place::BeforeValue,
            (Place::BeforeValue | Place::Token, Class::Token) => Place::Token,
            (Place::Name | Place::Token | Place::AfterQuoted, Class::Cr) => Place::Lf,
            (Place::Quoted, Class::Quote) => Place::AfterQuoted,
            (Place::Quoted, Class::Backslash) => Place::Escaped,
            (Place::Quoted | Place::Escaped, class)
                if class != Class::Cr && class != Class::Bad =>
            {
                Place::Quoted
            }
            (Place::BeforeValue, Class::Quote) => Place::Quoted,
            (
                Place::Size(_)
                | Place::BeforeSemicolon
                | Place::BeforeName
                | Place::Name
                | Place::AfterName
                | Place::BeforeValue
                | Place::Token
                | Place::Quoted
                | Place::Escaped
                | Place::AfterQuoted
                | Place::Lf,
                _,
            ) => return Err(Rejected::BadChunkExtension),
        };
        Ok(next)
    }
}

/// What a byte can mean in an extension.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    Token,
    Blank,
    Semicolon,
    Equals,
    Quote,
    Backslash,
    Cr,
    /// Allowed between quotes only.
    Text,
    Bad,
}

impl Class {
    fn of(byte: u8) -> Self {
        match byte {
            b' ' | b'\t' => Self::Blank,
            b';' => Self::Semicolon,
            b'=' => Self::Equals,
            b'"' => Self::Quote,
            b'\\' => Self::Backslash,
            b'\r' => Self::Cr,
            _ if scan::is_token_byte(byte) => Self::Token,
            _ if scan::is_value(&[byte]) => Self::Text,
            _ => Self::Bad,
        }
    }
}
