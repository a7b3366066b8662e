//! A second reader of HTTP/1, line by line and strict, which shares no code with the product.
//!
//! It takes only what every peer must understand alike. Source: RFC 9112.

/// A message as everybody reads it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// The first line, between its blanks; a reason has blanks itself.
    pub(crate) line: [Vec<u8>; 3],
    /// Names in lower case.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
}

/// Why there is no message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is not whole.
    More,
    /// Two peers may read it differently.
    Ambiguous(String),
}

type Read<'a, T> = Result<(T, &'a [u8]), Unread>;

/// Most bytes that a number may count, in a peer that counts with a sign.
const GREATEST_LENGTH: u64 = i64::MAX as u64;

/// Reads a request; what follows it is returned too.
pub(crate) fn request(data: &[u8]) -> Read<'_, Message> {
    let (mut message, rest) = head(data)?;
    let [method, target, version] = &message.line;
    let is_target = !target.is_empty() && target.iter().all(u8::is_ascii_graphic);
    if !is_token(method) || !is_target || version != b"HTTP/1.1" {
        return ambiguous("the request line", data);
    }
    if message.all("host").len() != 1 {
        return ambiguous("not one host", data);
    }
    let rest = message.take_body(rest, false)?;
    Ok((message, rest))
}

/// Reads a response to a request that was HEAD or not; what follows it is returned too.
pub(crate) fn response(data: &[u8], to_head: bool) -> Read<'_, Message> {
    let (mut message, rest) = head(data)?;
    let [version, status, _reason] = &message.line;
    let is_status = status.len() == 3 && status.iter().all(u8::is_ascii_digit);
    if version != b"HTTP/1.1" || !is_status {
        return ambiguous("the status line", data);
    }
    let has_none = to_head || status[0] == b'1' || status == b"204" || status == b"304";
    let is_framed = ["content-length", "transfer-encoding"].map(|name| message.all(name).len());
    if has_none {
        return Ok((message, rest));
    }
    if is_framed == [0, 0] {
        message.body = rest.to_vec();
        return Ok((message, &[]));
    }
    let rest = message.take_body(rest, true)?;
    Ok((message, rest))
}

impl Message {
    pub(crate) fn all(&self, name: &str) -> Vec<&[u8]> {
        let named = self.fields.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| value.as_slice()).collect()
    }

    /// How long the body is said to be.
    pub(crate) fn length(&self) -> Option<u64> {
        std::str::from_utf8(self.all("content-length").first()?).ok()?.parse().ok()
    }

    fn take_body<'a>(&mut self, rest: &'a [u8], is_response: bool) -> Result<&'a [u8], Unread> {
        let lengths = self.all("content-length");
        let encodings = self.all("transfer-encoding");
        match (lengths.as_slice(), encodings.as_slice()) {
            ([], []) => Ok(rest),
            ([], [b"chunked"]) => self.take_chunks(rest),
            ([digits], []) if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
                let Some(length) = self.length().filter(|length| *length <= GREATEST_LENGTH) else {
                    return ambiguous("a length that overflows", digits);
                };
                let wanted = usize::try_from(length).map_err(|_| Unread::More)?;
                let (body, rest) = rest.split_at_checked(wanted).ok_or(Unread::More)?;
                self.body = body.to_vec();
                Ok(rest)
            }
            _ => ambiguous(if is_response { "a response's framing" } else { "framing" }, b""),
        }
    }

    fn take_chunks<'a>(&mut self, mut rest: &'a [u8]) -> Result<&'a [u8], Unread> {
        loop {
            let (digits, after) = line(rest)?;
            let text = std::str::from_utf8(digits).unwrap_or_default();
            let is_size = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let size = usize::from_str_radix(text, 16).ok().filter(|_| is_size);
            let Some(size) = size else { return ambiguous("a chunk's size", digits) };
            if size == 0 {
                let (trailers, rest) = section(after)?;
                self.trailers = trailers;
                return Ok(rest);
            }
            let (content, after) = after.split_at_checked(size).ok_or(Unread::More)?;
            self.body.extend_from_slice(content);
            rest = match after {
                [b'\r', b'\n', rest @ ..] => rest,
                [] | [b'\r'] => return Err(Unread::More),
                _ => return ambiguous("a chunk's end", after),
            };
        }
    }
}

fn head(data: &[u8]) -> Read<'_, Message> {
    let (first, rest) = line(data)?;
    let mut parts = first.splitn(3, |byte| *byte == b' ').map(<[u8]>::to_vec);
    let line = [(); 3].map(|()| parts.next().unwrap_or_default());
    let (fields, rest) = section(rest)?;
    Ok((Message { line, fields, ..Message::default() }, rest))
}

fn section(mut rest: &[u8]) -> Read<'_, Vec<(String, Vec<u8>)>> {
    let mut fields = Vec::new();
    loop {
        let (text, after) = line(rest)?;
        rest = after;
        if text.is_empty() {
            return Ok((fields, rest));
        }
        let colon = text.iter().position(|byte| *byte == b':').unwrap_or(0);
        let (name, value) = text.split_at(colon);
        if !is_token(name) {
            return ambiguous("a field line", text);
        }
        let value = value[1..].trim_ascii();
        if value.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
            return ambiguous("a value", text);
        }
        fields.push((String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec()));
    }
}

/// A line without its CRLF.
fn line(data: &[u8]) -> Read<'_, &[u8]> {
    let end = data.iter().position(|byte| *byte == b'\n').ok_or(Unread::More)?;
    match data[..end].split_last() {
        Some((b'\r', text)) if !text.iter().any(|byte| matches!(byte, b'\r' | 0)) => {
            Ok((text, &data[end + 1..]))
        }
        _ => ambiguous("a line's end", &data[..end]),
    }
}

fn is_token(text: &[u8]) -> bool {
    let is_mark = |byte: &u8| b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
}

fn ambiguous<T>(what: &str, bytes: &[u8]) -> Result<T, Unread> {
    Err(Unread::Ambiguous(format!("{what}: {}", bytes.escape_ascii())))
}
