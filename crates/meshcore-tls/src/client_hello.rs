//! A look at the first bytes of a connection: is it TLS, for whom, and in which protocol?
//!
//! Decides PERMISSIVE ports (mesh ALPN or not) and passthrough routing (SNI). It reads the first
//! handshake message, over as many records as it takes, and nothing else of it.
//!
//! Source: RFC 8446 sections 4.1.2 (ClientHello), 5.1 (records); RFC 6066 section 3 (SNI);
//! RFC 7301 section 3.1 (ALPN).

use rustls_pki_types::DnsName;

use crate::alpn;

/// Bytes that may be asked for before the answer is [`NotTls`]. A hello with ML-KEM has 1.8 kB;
/// the handshake layer of rustls stops at the same size.
pub const MAX_CLIENT_HELLO_BYTES: usize = 64 * 1024;

/// Largest plaintext record. Source: RFC 8446 section 5.1.
const MAX_RECORD_BYTES: usize = 16 * 1024;

/// Kind and length of a handshake message. Source: RFC 8446 section 4.
const HEADER_BYTES: usize = 4;

const RECORD_HANDSHAKE: u8 = 22;
/// First byte of the version of a record, from SSL 3.0 to TLS 1.3.
const VERSION_MAJOR: u8 = 3;
const CLIENT_HELLO: u8 = 1;
const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_ALPN: u16 = 16;
const NAME_TYPE_HOST: u8 = 0;

/// What a client says first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientHello {
    server_name: Option<Box<str>>,
    /// The ALPN list as on the wire: each name after its length.
    alpn: Box<[u8]>,
}

/// The bytes are no TLS client hello, and will not become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("connection does not begin with a TLS client hello")]
pub struct NotTls;

/// Reads the hello out of what has arrived so far. `None` asks for more bytes: keep the prefix
/// and call again with a longer one.
///
/// The plaintext protocols are told apart at the first byte; a client that sends fewer bytes
/// than it announces keeps `None`, so the caller needs a deadline.
///
/// # Errors
/// [`NotTls`] as soon as it is certain, also for a hello longer than
/// [`MAX_CLIENT_HELLO_BYTES`].
pub fn client_hello(prefix: &[u8]) -> Result<Option<ClientHello>, NotTls> {
    let mut records = Records { rest: prefix };
    let first = records.next()?.unwrap_or_default();
    let found = match message_bytes(first)? {
        Some(length) if length <= first.len() => parse_message(first, length).map(Some),
        Some(_) | None => join(prefix),
    }?;
    if found.is_none() && prefix.len() >= MAX_CLIENT_HELLO_BYTES {
        return Err(NotTls);
    }
    Ok(found)
}

/// Whether `prefix` begins as a TLS handshake does. Where [`client_hello`] finds none in it all the
/// same, a more lenient server behind us may: nobody can say what that one would read.
pub fn begins_as_handshake(prefix: &[u8]) -> bool {
    matches!(prefix, [RECORD_HANDSHAKE] | [RECORD_HANDSHAKE, VERSION_MAJOR, ..])
}

// === impl ClientHello ===

impl ClientHello {
    /// The server name in lower case, if the client sends one.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The protocols that the client offers, best first; empty if it offers none.
    pub fn alpn(&self) -> impl Iterator<Item = &[u8]> {
        let mut reader = Reader(&self.alpn);
        std::iter::from_fn(move || reader.short_vector().ok())
    }

    /// Whether a mesh client speaks: one of Istio's names is among the offered.
    pub fn is_mesh_alpn(&self) -> bool {
        self.alpn().any(alpn::is_mesh)
    }
}

/// The fragments of the handshake, record by record; `None` when the next has not arrived.
struct Records<'a> {
    rest: &'a [u8],
}

// === impl Records ===

impl<'a> Records<'a> {
    /// The next record's content. A record that has not arrived as a whole is given as far as
    /// it has, and then there is no other.
    fn next(&mut self) -> Result<Option<&'a [u8]>, NotTls> {
        let rest = self.rest;
        // Each header byte is judged as soon as it is there: `GET` must not wait for a fifth.
        if rest.first().is_some_and(|kind| *kind != RECORD_HANDSHAKE)
            || rest.get(1).is_some_and(|major| *major != 3)
            || rest.get(2).is_some_and(|minor| *minor > 4)
        {
            return Err(NotTls);
        }
        let Some(([_, _, _, high, low], content)) = rest.split_first_chunk::<5>() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length == 0 || length > MAX_RECORD_BYTES {
            return Err(NotTls);
        }
        let fragment = content.get(..length).unwrap_or(content);
        self.rest = content.get(length..).unwrap_or_default();
        Ok(Some(fragment))
    }
}

/// Length of the handshake message that begins so, header included; `None` while that is open.
fn message_bytes(beginning: &[u8]) -> Result<Option<usize>, NotTls> {
    if beginning.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
        return Err(NotTls);
    }
    let Some([_, high, middle, low]) = beginning.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let body = u32::from_be_bytes([0, *high, *middle, *low]);
    let length = usize::try_from(body).map_err(|_| NotTls)?.saturating_add(HEADER_BYTES);
    if length > MAX_CLIENT_HELLO_BYTES {
        return Err(NotTls);
    }
    Ok(Some(length))
}

/// A hello over several records, which is rare, is copied together, but only when all of it is
/// there: a client that drips bytes makes us copy nothing.
fn join(prefix: &[u8]) -> Result<Option<ClientHello>, NotTls> {
    let Some(length) = complete_length(prefix)? else { return Ok(None) };
    let mut message = Vec::with_capacity(length.saturating_add(MAX_RECORD_BYTES));
    let mut records = Records { rest: prefix };
    while message.len() < length {
        match records.next()? {
            Some(fragment) => message.extend_from_slice(fragment),
            None => return Ok(None),
        }
    }
    parse_message(&message, length).map(Some)
}

/// Length of the message if its last byte has arrived.
fn complete_length(prefix: &[u8]) -> Result<Option<usize>, NotTls> {
    let mut records = Records { rest: prefix };
    let mut beginning = [0; HEADER_BYTES];
    let mut arrived: usize = 0;
    while let Some(fragment) = records.next()? {
        beginning.iter_mut().skip(arrived).zip(fragment).for_each(|(to, from)| *to = *from);
        arrived = arrived.saturating_add(fragment.len());
        let known = beginning.get(..arrived).unwrap_or(&beginning);
        if let Some(length) = message_bytes(known)?.filter(|length| *length <= arrived) {
            return Ok(Some(length));
        }
    }
    Ok(None)
}

fn parse_message(message: &[u8], length: usize) -> Result<ClientHello, NotTls> {
    parse_hello(message.get(HEADER_BYTES..length).ok_or(NotTls)?)
}

fn parse_hello(body: &[u8]) -> Result<ClientHello, NotTls> {
    let mut reader = Reader(body);
    let _legacy_version_and_random = reader.take(2 + 32)?;
    let _session_id = reader.short_vector()?;
    let cipher_suites = reader.vector()?;
    let compressions = reader.short_vector()?;
    if cipher_suites.len() < 2 || compressions.is_empty() {
        return Err(NotTls);
    }
    let mut hello = ClientHello::default();
    if reader.0.is_empty() {
        return Ok(hello); // before TLS 1.2, extensions may be left out
    }
    let mut extensions = Reader(reader.vector()?);
    while !extensions.0.is_empty() {
        let kind = extensions.number()?;
        let content = extensions.vector()?;
        match kind {
            EXTENSION_SERVER_NAME => hello.server_name = host_name(content)?,
            EXTENSION_ALPN => hello.alpn = protocols(content)?,
            _ => {}
        }
    }
    Ok(hello)
}

/// The host among the server names, without the dot of a fully qualified name. A name that could
/// not be a host, or is an address, is left out, since it can select nothing.
fn host_name(extension: &[u8]) -> Result<Option<Box<str>>, NotTls> {
    let mut names = Reader(Reader(extension).vector()?);
    let mut host = None;
    while !names.0.is_empty() {
        let kind = names.take(1)?;
        let name = names.vector()?;
        if kind == [NAME_TYPE_HOST] && host.replace(name).is_some() {
            return Err(NotTls); // not allowed, and nobody knows which one counts
        }
    }
    let host = host.and_then(|name| DnsName::try_from(name).ok());
    Ok(host.map(|name| {
        let text = name.as_ref();
        text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase().into_boxed_str()
    }))
}

/// The list of names, checked to be well-formed so that reading it later cannot fail.
fn protocols(extension: &[u8]) -> Result<Box<[u8]>, NotTls> {
    let list = Reader(extension).vector()?;
    let mut names = Reader(list);
    while !names.0.is_empty() {
        if names.short_vector()?.is_empty() {
            return Err(NotTls);
        }
    }
    Ok(list.into())
}

/// Reads lengths and vectors in the presentation language of TLS. Source: RFC 8446 section 3.4.
struct Reader<'a>(&'a [u8]);

// === impl Reader ===

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], NotTls> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(NotTls)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u16, NotTls> {
        let (number, rest) = self.0.split_first_chunk::<2>().ok_or(NotTls)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*number))
    }

    /// A vector with a length of two bytes.
    fn vector(&mut self) -> Result<&'a [u8], NotTls> {
        let length = self.number()?;
        self.take(usize::from(length))
    }

    /// A vector with a length of one byte.
    fn short_vector(&mut self) -> Result<&'a [u8], NotTls> {
        let (length, rest) = self.0.split_first().ok_or(NotTls)?;
        self.0 = rest;
        self.take(usize::from(*length))
    }
}

#[cfg(test)]
mod tests;
