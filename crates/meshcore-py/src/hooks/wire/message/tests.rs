use std::sync::Arc;

use super::super::Inbox;
use super::*;

fn edits() -> Edits {
    Edits {
        set: vec![(b"x-plan".as_slice().into(), b"caf\xe9".as_slice().into())],
        remove: vec![b"x-tenant".as_slice().into()],
        path: Some(b"/a?b=c".as_slice().into()),
        status: Some(299),
        body: Some(Arc::from(b"new".as_slice())),
    }
}

fn decisions() -> Vec<Result<Decision, HookError>> {
    let denial =
        |grpc_status| Denial { status: 403, grpc_status, reason: "no".into(), code: "P1".into() };
    let to = |host: Option<&str>| RouteTo {
        host: host.map(Arc::from),
        subset: Some("v2".into()),
        reason: "".into(),
    };
    vec![
        Ok(Decision::Abstain),
        Ok(Decision::Allow(Edits::default().into())),
        Ok(Decision::Allow(edits().into())),
        Ok(Decision::Deny(denial(None))),
        Ok(Decision::Deny(denial(Some(7)))),
        Ok(Decision::RouteTo(to(None))),
        Ok(Decision::RouteTo(to(Some("reviews")))),
        Ok(Decision::Modify(edits().into())),
        Err(HookError::Raised("ValueError: no".into())),
        Err(HookError::Nonsense("1".into())),
        Err(HookError::TimedOut(50)),
        Err(HookError::Overloaded),
        Err(HookError::Broken),
        Err(HookError::Down),
    ]
}

fn content(wire: Vec<u8>) -> Vec<u8> {
    let mut inbox = Inbox { bytes: wire, ..Inbox::default() };
    inbox.next().unwrap().unwrap().to_vec()
}

fn facts() -> Facts {
    let value = |text: &[u8]| Some(Box::from(text));
    [
        (Attribute::Path, value(b"/")),
        (Attribute::Query, None),
        (Attribute::Header("x-raw".into()), value(b"\xff\0")),
        (Attribute::ResponseCode, value(b"200")),
    ]
    .into_iter()
    .collect()
}

fn record() -> RequestRecord {
    RequestRecord {
        direction: OUTBOUND,
        method: "GET".into(),
        status: 200,
        duration_us: u64::MAX,
        attributes: vec![
            (Attribute::Header("x-one".into()), Some("1".into())),
            (Attribute::Header("x-other".into()), Some("2".into())),
        ],
        ..RequestRecord::default()
    }
}

#[test]
fn every_decision_arrives_as_it_was_made() {
    for (call, decided) in (0..).zip(decisions()) {
        let answer = Answer { call, decided };
        let mut wire = Vec::new();
        write_answer(&mut wire, &answer);
        assert_eq!(read_answer(&content(wire)), Ok(answer));
    }
}

#[test]
fn calls_arrive_with_their_facts_and_records_with_what_is_read_of_them() {
    let mut wire = Vec::new();
    assert!(write_call(&mut wire, 7, 3, &facts()));
    assert_eq!(read_asked(&content(wire)), Ok(Asked::Call { call: 7, hook: 3, facts: facts() }));
    let mut wire = Vec::new();
    let is_read = |name: &Attribute| *name == Attribute::Header("x-one".into());
    assert_eq!(write_records(&mut wire, &[record()], &is_read), 0);
    let mut seen = record();
    seen.attributes.truncate(1);
    assert_eq!(read_asked(&content(wire)), Ok(Asked::Records(vec![seen])));
}

#[test]
fn long_paths_hide_no_request() {
    let long = RequestRecord { path: "x".repeat(60_000), ..record() };
    let mut all = vec![long; 200];
    all.push(RequestRecord { path: "x".repeat(super::super::MAX_FRAME_BYTES), ..record() });
    let mut wire = Vec::new();
    assert_eq!(write_records(&mut wire, &all, &|_: &Attribute| true), 1, "one alone is too long");
    let (mut inbox, mut seen) = (super::super::Inbox::default(), 0);
    inbox.bytes.extend(&wire);
    while let Some(frame) = inbox.next().unwrap() {
        let Ok(Asked::Records(records)) = read_asked(frame) else { panic!("no records") };
        seen += records.len();
    }
    assert_eq!(seen, 200);
}

#[test]
fn a_decision_that_is_too_long_is_told_to_be() {
    let body = Some(Arc::from(vec![0; super::super::MAX_FRAME_BYTES]));
    let decided = Ok(Decision::Modify(Edits { body, ..Edits::default() }.into()));
    let mut wire = Vec::new();
    write_answer(&mut wire, &Answer { call: 1, decided });
    let answer = read_answer(&content(wire)).unwrap();
    assert!(matches!(answer.decided, Err(HookError::Nonsense(_))));
}

/// Cut off anywhere, longer, or with any byte changed: refused or read, and never more than
/// that.
#[test]
fn what_is_malformed_is_refused() {
    let mut frames = Vec::new();
    for decided in decisions() {
        let mut wire = Vec::new();
        write_answer(&mut wire, &Answer { call: 1, decided });
        frames.push((content(wire), true));
    }
    let mut wire = Vec::new();
    write_call(&mut wire, 7, 3, &facts());
    frames.push((content(std::mem::take(&mut wire)), false));
    write_records(&mut wire, &[record()], &|_: &Attribute| true);
    frames.push((content(wire), false));
    for (frame, is_answer) in frames {
        let reads = |bytes: &[u8]| {
            if is_answer { read_answer(bytes).is_ok() } else { read_asked(bytes).is_ok() }
        };
        assert!(reads(&frame));
        assert!(!reads(&[&frame[..], b"x"].concat()));
        for end in 0..frame.len() {
            assert!(!reads(&frame[..end]), "cut at {end}");
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = frame.clone();
                changed[end] = byte;
                reads(&changed);
            }
        }
    }
}
