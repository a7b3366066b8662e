//! Messages of DNS, as far as a resolver between two others needs them: one question is read,
//! answers of addresses are written, and what others say is passed on as it is.
//!
//! Source: RFC 1035 section 4; RFC 6891 for EDNS.

use std::net::IpAddr;

/// Bytes before the question.
const HEADER: usize = 12;
/// Longest name with its lengths, and longest label. Source: RFC 1035 section 2.3.4.
const MAX_NAME: usize = 255;
const MAX_LABEL: u8 = 63;
/// Records that are looked at behind the question, to find what the client can take.
const MAX_RECORDS: u16 = 16;

const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;
const TYPE_OPT: u16 = 41;
/// Says where to connect to in other words (RFC 9460): a known name has none.
const TYPE_SVCB: u16 = 64;
const TYPE_HTTPS: u16 = 65;
const TYPE_ANY: u16 = 255;
const CLASS_IN: u16 = 1;

const IS_ANSWER: u16 = 0x8000;
const OPERATION: u16 = 0x7800;
const AUTHORITATIVE: u16 = 0x0400;
const TRUNCATED: u16 = 0x0200;
const WANTS_RECURSION: u16 = 0x0100;
const HAS_RECURSION: u16 = 0x0080;
const CODE: u16 = 0x000F;

const MALFORMED: u16 = 1;
const FAILED: u16 = 2;
/// Code for a name that does not exist.
pub const NOTHING: u16 = 3;
const UNKNOWN_OPERATION: u16 = 4;

/// Bytes that any client takes by UDP, and that we take: RFC 1035 section 4.2.1, and what the
/// DNS flag day of 2020 agreed on.
pub const PLAIN_UDP: u16 = 512;
const OUR_UDP: u16 = 1232;

/// A pointer to the name of the question.
const TO_QUESTION: [u8; 2] = [0xC0, 12];

/// Which addresses a question is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Those of IPv4.
    V4,
    /// Those of IPv6.
    V6,
    /// All.
    Both,
    /// Something that a name with addresses does not have.
    Neither,
}

impl Wanted {
    fn takes(self, address: IpAddr) -> bool {
        match self {
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
            Self::Both => true,
            Self::Neither => false,
        }
    }
}

/// A message with one question.
#[derive(Debug)]
pub struct Query<'a> {
    /// The whole message.
    pub bytes: &'a [u8],
    /// Its number.
    pub id: u16,
    flags: u16,
    /// In lower case, without the last dot; `None` when it has other characters than hosts have.
    pub name: Option<String>,
    /// What is asked that the mesh can answer.
    pub wanted: Option<Wanted>,
    /// Where the question ends.
    end: usize,
    /// Bytes the client takes by UDP, if it says so.
    pub payload: Option<u16>,
}

/// Why a message is not carried on.
#[derive(Debug)]
pub enum Unread {
    /// It is an answer, or not even a header.
    NoQuestion,
    /// It gets this answer.
    Refused(Vec<u8>),
}

impl<'a> Query<'a> {
    /// Reads a question.
    ///
    /// # Errors
    ///
    /// [`Unread`] says what becomes of what is none, or cannot be read.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Unread> {
        let header = Header::read(bytes).ok_or(Unread::NoQuestion)?;
        if header.flags & IS_ANSWER != 0 {
            return Err(Unread::NoQuestion);
        }
        let refused = |code| Unread::Refused(bare(&header, code));
        if header.flags & OPERATION != 0 {
            return Err(refused(UNKNOWN_OPERATION));
        }
        Self::read_question(bytes, &header).ok_or_else(|| refused(MALFORMED))
    }

    fn read_question(bytes: &'a [u8], header: &Header) -> Option<Self> {
        if header.counts[0] != 1 {
            return None;
        }
        let (name, at) = read_name(bytes, HEADER)?;
        let (kind, at) = read_u16(bytes, at)?;
        let (class, end) = read_u16(bytes, at)?;
        let wanted = match kind {
            TYPE_A => Some(Wanted::V4),
            TYPE_AAAA => Some(Wanted::V6),
            TYPE_ANY => Some(Wanted::Both),
            TYPE_SVCB | TYPE_HTTPS => Some(Wanted::Neither),
            _ => None,
        };
        let wanted = wanted.filter(|_| class == CLASS_IN);
        let payload = read_payload(bytes, end, header)?;
        Some(Self { bytes, id: header.id, flags: header.flags, name, wanted, end, payload })
    }

    /// An answer with those of `addresses` that were asked for, under the name of the question
    /// or an `alias` of it. It is cut off, and says so, when it is longer than `limit`.
    pub fn answer(
        &self,
        alias: Option<&str>,
        (wanted, addresses): (Wanted, &[IpAddr]),
        ttl_s: u32,
        limit: usize,
    ) -> Vec<u8> {
        let mut records = Vec::new();
        let mut count: u16 = 0;
        let mut owner = TO_QUESTION;
        if let Some(alias) = alias.and_then(encoded) {
            // The name is at the end of this record, behind the fixed part of 12 bytes.
            let at = self.end.saturating_add(HEADER);
            if let Some(pointer) = u16::try_from(at).ok().filter(|at| *at < 0x4000) {
                put_record(&mut records, (owner, TYPE_CNAME), ttl_s, &alias);
                owner = (pointer | 0xC000).to_be_bytes();
                count = 1;
            }
        }
        for address in addresses.iter().filter(|address| wanted.takes(**address)) {
            match address {
                IpAddr::V4(address) => {
                    put_record(&mut records, (owner, TYPE_A), ttl_s, &address.octets());
                }
                IpAddr::V6(address) => {
                    put_record(&mut records, (owner, TYPE_AAAA), ttl_s, &address.octets());
                }
            }
            count = count.saturating_add(1);
        }
        let whole = self.assembled(AUTHORITATIVE, count, &records);
        if whole.len() <= limit { whole } else { self.assembled(AUTHORITATIVE | TRUNCATED, 0, &[]) }
    }

    /// The answer that nobody could be asked, or nobody answered.
    pub fn failed(&self) -> Vec<u8> {
        self.assembled(FAILED, 0, &[])
    }

    /// The answer that the name is there, and has no such records.
    pub fn nothing(&self) -> Vec<u8> {
        self.assembled(0, 0, &[])
    }

    fn assembled(&self, flags: u16, count: u16, records: &[u8]) -> Vec<u8> {
        let kept = self.flags & (OPERATION | WANTS_RECURSION);
        let has_edns = u16::from(self.payload.is_some());
        let flags = IS_ANSWER | HAS_RECURSION | kept | flags;
        let mut answer = Vec::new();
        for number in [self.id, flags, 1, count, 0, has_edns] {
            answer.extend_from_slice(&number.to_be_bytes());
        }
        answer.extend_from_slice(self.bytes.get(HEADER..self.end).unwrap_or_default());
        answer.extend_from_slice(records);
        if has_edns == 1 {
            answer.push(0);
            answer.extend_from_slice(&TYPE_OPT.to_be_bytes());
            answer.extend_from_slice(&OUR_UDP.to_be_bytes());
            answer.extend_from_slice(&[0; 6]);
        }
        answer
    }

    /// The same message with another number.
    pub fn numbered(&self, id: u16) -> Vec<u8> {
        with_id(self.bytes.to_vec(), id)
    }

    /// Whether a message answers this question, asked with another number.
    pub fn is_answered_by(&self, answer: &[u8], id: u16) -> bool {
        let Some(header) = Header::read(answer) else { return false };
        let question = |bytes: &[u8]| bytes.get(HEADER..self.end).map(<[u8]>::to_ascii_lowercase);
        header.id == id
            && header.flags & IS_ANSWER != 0
            && header.counts[0] == 1
            && question(answer) == question(self.bytes)
    }

    /// An answer to this question with the number that the client knows.
    pub fn renumbered(&self, answer: Vec<u8>) -> Vec<u8> {
        with_id(answer, self.id)
    }
}

/// Whether an answer was cut off.
pub fn is_truncated(answer: &[u8]) -> bool {
    Header::read(answer).is_some_and(|header| header.flags & TRUNCATED != 0)
}

/// What an answer says of the name.
pub fn code(answer: &[u8]) -> u16 {
    Header::read(answer).map_or(FAILED, |header| header.flags & CODE)
}

/// Whether an answer says that its server cannot answer, so that others may be asked.
pub fn is_failure(answer: &[u8]) -> bool {
    // Source: RFC 1035 section 4.1.1: failure, not implemented, refused.
    matches!(code(answer), FAILED | UNKNOWN_OPERATION | 5)
}

fn with_id(mut message: Vec<u8>, id: u16) -> Vec<u8> {
    if let Some(place) = message.get_mut(..2) {
        place.copy_from_slice(&id.to_be_bytes());
    }
    message
}

struct Header {
    id: u16,
    flags: u16,
    counts: [u16; 4],
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (id, at) = read_u16(bytes, 0)?;
        let (flags, mut at) = read_u16(bytes, at)?;
        let mut counts = [0; 4];
        for count in &mut counts {
            (*count, at) = read_u16(bytes, at)?;
        }
        Some(Self { id, flags, counts })
    }
}

/// An answer without even the question.
fn bare(header: &Header, code: u16) -> Vec<u8> {
    let kept = header.flags & (OPERATION | WANTS_RECURSION);
    let numbers = [header.id, IS_ANSWER | HAS_RECURSION | kept | code, 0, 0, 0, 0];
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn read_u16(bytes: &[u8], at: usize) -> Option<(u16, usize)> {
    let end = at.checked_add(2)?;
    let two: [u8; 2] = bytes.get(at..end)?.try_into().ok()?;
    Some((u16::from_be_bytes(two), end))
}

/// A name without pointers, as text, and where it ends. The text is `None` when the name has
/// other characters than those of hosts: a dot inside of a label would be read in two ways.
fn read_name(bytes: &[u8], from: usize) -> Option<(Option<String>, usize)> {
    let mut at = from;
    let mut name = Some(String::new());
    loop {
        let length = *bytes.get(at)?;
        at = at.checked_add(1)?;
        if length == 0 {
            break;
        }
        if length > MAX_LABEL {
            return None;
        }
        let end = at.checked_add(usize::from(length))?;
        let label = bytes.get(at..end)?;
        at = end;
        if at.saturating_sub(from) >= MAX_NAME {
            return None;
        }
        let is_host = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        name = name.filter(|_| label.iter().all(is_host)).map(|mut name| {
            if !name.is_empty() {
                name.push('.');
            }
            name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
            name
        });
    }
    Some((name.filter(|name| !name.is_empty()), at))
}

/// What the client takes by UDP, if it says so; `None` when a record is not whole.
#[expect(clippy::option_option, reason = "malformed, not said, said")]
fn read_payload(bytes: &[u8], from: usize, header: &Header) -> Option<Option<u16>> {
    let [_questions, answers, authorities, more] = header.counts;
    let count = answers.checked_add(authorities)?.checked_add(more)?;
    if count > MAX_RECORDS {
        return None;
    }
    let mut at = from;
    let mut payload = None;
    for _record in 0..count {
        at = skip_name(bytes, at)?;
        let (kind, after) = read_u16(bytes, at)?;
        let (class, after) = read_u16(bytes, after)?;
        let (length, after) = read_u16(bytes, after.checked_add(4)?)?;
        at = after.checked_add(usize::from(length))?;
        if at > bytes.len() {
            return None;
        }
        if kind == TYPE_OPT {
            payload = Some(class.max(PLAIN_UDP));
        }
    }
    Some(payload)
}

/// Where a name ends that may end in a pointer.
fn skip_name(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let length = *bytes.get(at)?;
        at = at.checked_add(1)?;
        match length {
            0 => return Some(at),
            0xC0.. => return at.checked_add(1).filter(|at| *at <= bytes.len()),
            _ if length > MAX_LABEL => return None,
            _ => at = at.checked_add(usize::from(length))?,
        }
    }
}

fn put_record(into: &mut Vec<u8>, (owner, kind): ([u8; 2], u16), ttl_s: u32, data: &[u8]) {
    let Ok(length) = u16::try_from(data.len()) else { return };
    into.extend_from_slice(&owner);
    into.extend_from_slice(&kind.to_be_bytes());
    into.extend_from_slice(&CLASS_IN.to_be_bytes());
    into.extend_from_slice(&ttl_s.to_be_bytes());
    into.extend_from_slice(&length.to_be_bytes());
    into.extend_from_slice(data);
}

/// A host as a name of DNS; `None` when it is none.
fn encoded(host: &str) -> Option<Vec<u8>> {
    let mut name = Vec::new();
    for label in host.split('.') {
        let length = u8::try_from(label.len()).ok()?;
        if length == 0 || length > MAX_LABEL {
            return None;
        }
        name.push(length);
        name.extend_from_slice(label.as_bytes());
    }
    name.push(0);
    (name.len() <= MAX_NAME).then_some(name)
}

#[cfg(test)]
mod tests;
