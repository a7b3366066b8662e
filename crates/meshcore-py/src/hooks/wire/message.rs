//! Calls, finished requests and decisions as frames.

use meshcore_model::Attribute;
use meshcore_proxy::hooks::{Decision, Denial, Edits, Facts, HookError, RequestRecord, RouteTo};

use super::fields::{Malformed, Reader, put_bytes, put_len, put_optional, put_u32, put_u64};
use super::frame;
use crate::answer::shortened;
use crate::attribute;

/// What the sidecar asks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A decision.
    Call {
        /// Number of the call, never used twice.
        call: u64,
        /// Place of the hook among those of the plugin.
        hook: u32,
        /// What the hook may read.
        facts: Facts,
    },
    /// That telemetry hooks see these.
    Records(Vec<RequestRecord>),
}

/// What the process decided.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Number of the call.
    pub(crate) call: u64,
    pub(crate) decided: Result<Decision, HookError>,
}

const CALL: u8 = 1;
const RECORDS: u8 = 2;
const UNKNOWN: Malformed = Malformed("a frame of a kind that is not known");

/// Appends a call; `false` if the request is too long for it.
pub(crate) fn write_call(out: &mut Vec<u8>, call: u64, hook: u32, facts: &Facts) -> bool {
    frame(out, |out| {
        out.push(CALL);
        put_u64(out, call);
        put_u32(out, hook);
        put_len(out, facts.iter().count());
        for (name, value) in facts.iter() {
            put_bytes(out, attribute::name(name).as_bytes());
            put_optional(out, value);
        }
    })
}

/// Appends finished requests, with those of their attributes that `is_read`, in as many frames as
/// they need; returns how many of them are too long for one.
pub(crate) fn write_records(
    out: &mut Vec<u8>,
    records: &[RequestRecord],
    is_read: &impl Fn(&Attribute) -> bool,
) -> usize {
    let is_written = frame(out, |out| {
        out.push(RECORDS);
        put_len(out, records.len());
        for record in records {
            put_record(out, record, is_read);
        }
    });
    match records.split_at_checked(records.len() / 2) {
        _ if is_written => 0,
        Some((front, back)) if !front.is_empty() => {
            let lost = write_records(out, front, is_read);
            lost.saturating_add(write_records(out, back, is_read))
        }
        Some(_) | None => records.len(),
    }
}

/// Reads what the sidecar asks.
///
/// # Errors
///
/// When it is no frame of ours.
pub(crate) fn read_asked(frame: &[u8]) -> Result<Asked, Malformed> {
    let mut frame = Reader::new(frame);
    let asked = match frame.u8()? {
        CALL => Asked::Call {
            call: frame.u64()?,
            hook: frame.u32()?,
            facts: frame
                .each(|frame| {
                    let name = read_attribute(frame)?;
                    Ok((name, frame.optional()?.map(Box::from)))
                })?
                .into_iter()
                .collect(),
        },
        RECORDS => Asked::Records(frame.each(read_record)?),
        _ => return Err(UNKNOWN),
    };
    frame.end()?;
    Ok(asked)
}

/// Appends an answer, or that it is too long to be one.
pub(crate) fn write_answer(out: &mut Vec<u8>, answer: &Answer) {
    if !frame(out, |out| put_answer(out, answer)) {
        let decided = Err(HookError::Nonsense("a decision that is too long".into()));
        frame(out, |out| put_answer(out, &Answer { call: answer.call, decided }));
    }
}

/// Reads an answer.
///
/// # Errors
///
/// When it is no frame of ours.
pub(crate) fn read_answer(frame: &[u8]) -> Result<Answer, Malformed> {
    let mut frame = Reader::new(frame);
    let call = frame.u64()?;
    let decided = match frame.u8()? {
        0 => Ok(Decision::Abstain),
        1 => Ok(Decision::Allow(read_edits(&mut frame)?.into())),
        2 => Ok(Decision::Deny(read_denial(&mut frame)?)),
        3 => Ok(Decision::RouteTo(RouteTo {
            host: frame.shared_text()?,
            subset: frame.shared_text()?,
            reason: frame.text()?.into(),
        })),
        4 => Ok(Decision::Modify(read_edits(&mut frame)?.into())),
        5 => Err(HookError::Raised(shortened(frame.text()?))),
        6 => Err(HookError::Nonsense(shortened(frame.text()?))),
        7 => Err(HookError::TimedOut(frame.u64()?)),
        8 => Err(HookError::Overloaded),
        9 => Err(HookError::Broken),
        10 => Err(HookError::Down),
        _ => return Err(UNKNOWN),
    };
    frame.end()?;
    Ok(Answer { call, decided })
}

fn put_answer(out: &mut Vec<u8>, Answer { call, decided }: &Answer) {
    put_u64(out, *call);
    match decided {
        Ok(Decision::Abstain) => out.push(0),
        Ok(Decision::Allow(edits)) => {
            out.push(1);
            put_edits(out, edits);
        }
        Ok(Decision::Deny(denial)) => {
            out.push(2);
            put_u32(out, denial.status.into());
            put_u32(out, denial.grpc_status.map_or(0, u32::from));
            put_bytes(out, denial.reason.as_bytes());
            put_bytes(out, denial.code.as_bytes());
        }
        Ok(Decision::RouteTo(to)) => {
            out.push(3);
            put_optional(out, to.host.as_deref().map(str::as_bytes));
            put_optional(out, to.subset.as_deref().map(str::as_bytes));
            put_bytes(out, to.reason.as_bytes());
        }
        Ok(Decision::Modify(edits)) => {
            out.push(4);
            put_edits(out, edits);
        }
        Err(HookError::Raised(text)) => {
            out.push(5);
            put_bytes(out, text.as_bytes());
        }
        Err(HookError::Nonsense(text)) => {
            out.push(6);
            put_bytes(out, text.as_bytes());
        }
        Err(HookError::TimedOut(ms)) => {
            out.push(7);
            put_u64(out, *ms);
        }
        Err(HookError::Overloaded) => out.push(8),
        Err(HookError::Broken) => out.push(9),
        Err(HookError::Down) => out.push(10),
    }
}

fn put_edits(out: &mut Vec<u8>, edits: &Edits) {
    put_len(out, edits.set.len());
    for (name, value) in &edits.set {
        put_bytes(out, name);
        put_bytes(out, value);
    }
    put_len(out, edits.remove.len());
    edits.remove.iter().for_each(|name| put_bytes(out, name));
    put_optional(out, edits.path.as_deref());
    put_u32(out, edits.status.map_or(0, u32::from));
    put_optional(out, edits.body.as_deref());
}

fn read_edits(frame: &mut Reader<'_>) -> Result<Edits, Malformed> {
    Ok(Edits {
        set: frame.each(|frame| Ok((frame.bytes()?.into(), frame.bytes()?.into())))?,
        remove: frame.each(|frame| Ok(frame.bytes()?.into()))?,
        path: frame.optional()?.map(Box::from),
        status: Some(read_status(frame)?).filter(|status| *status != 0),
        body: frame.optional()?.map(From::from),
    })
}

fn read_denial(frame: &mut Reader<'_>) -> Result<Denial, Malformed> {
    Ok(Denial {
        status: read_status(frame)?,
        grpc_status: u8::try_from(frame.u32()?).ok().filter(|status| *status != 0),
        reason: frame.text()?.into(),
        code: frame.text()?.into(),
    })
}

fn read_status(frame: &mut Reader<'_>) -> Result<u16, Malformed> {
    u16::try_from(frame.u32()?).map_err(|_| Malformed("a status is too large"))
}

fn read_attribute(frame: &mut Reader<'_>) -> Result<Attribute, Malformed> {
    attribute::parse(frame.text()?).ok_or(Malformed("an attribute that is not known"))
}

const INBOUND: &str = "inbound";
const OUTBOUND: &str = "outbound";

fn put_record(out: &mut Vec<u8>, record: &RequestRecord, is_read: impl Fn(&Attribute) -> bool) {
    out.push(u8::from(record.direction == INBOUND));
    for text in [
        &record.method,
        &record.host,
        &record.path,
        &record.flags,
        &record.source_principal,
        &record.destination_service,
        &record.route,
    ] {
        put_bytes(out, text.as_bytes());
    }
    put_u32(out, record.status.into());
    for number in [record.duration_us, record.request_bytes, record.response_bytes] {
        put_u64(out, number);
    }
    let read = || record.attributes.iter().filter(|(name, _)| is_read(name));
    put_len(out, read().count());
    for (name, value) in read() {
        put_bytes(out, attribute::name(name).as_bytes());
        put_optional(out, value.as_deref().map(str::as_bytes));
    }
}

fn read_record(frame: &mut Reader<'_>) -> Result<RequestRecord, Malformed> {
    Ok(RequestRecord {
        direction: if frame.u8()? == 1 { INBOUND } else { OUTBOUND },
        method: frame.text()?.into(),
        host: frame.text()?.into(),
        path: frame.text()?.into(),
        flags: frame.text()?.into(),
        source_principal: frame.text()?.into(),
        destination_service: frame.text()?.into(),
        route: frame.text()?.into(),
        status: read_status(frame)?,
        duration_us: frame.u64()?,
        request_bytes: frame.u64()?,
        response_bytes: frame.u64()?,
        attributes: frame.each(|frame| {
            let name = read_attribute(frame)?;
            Ok((name, frame.optional_text()?.map(String::from)))
        })?,
    })
}

#[cfg(test)]
mod tests;
