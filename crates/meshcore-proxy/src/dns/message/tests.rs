use super::*;

/// A question for a name, with an OPT record when the client takes more than 512 bytes.
fn question(name: &str, kind: u16, payload: Option<u16>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let more = u16::from(payload.is_some());
    for number in [0xBEEF, WANTS_RECURSION, 1, 0, 0, more] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend(encoded(name).unwrap());
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&CLASS_IN.to_be_bytes());
    if let Some(payload) = payload {
        bytes.push(0);
        for number in [TYPE_OPT, payload, 0, 0, 0] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
    }
    bytes
}

fn refusal(bytes: &[u8]) -> Option<u16> {
    match Query::read(bytes) {
        Ok(_) | Err(Unread::NoQuestion) => None,
        Err(Unread::Refused(refusal)) => Some(code(&refusal)),
    }
}

#[test]
fn a_question_is_read() {
    let bytes = question("Reviews.Default", TYPE_AAAA, Some(4096));
    let query = Query::read(&bytes).unwrap();
    assert_eq!(query.name.as_deref(), Some("reviews.default"));
    assert_eq!(query.wanted, Some(Wanted::V6));
    assert_eq!((query.id, query.payload), (0xBEEF, Some(4096)));
}

#[test]
fn what_is_no_question_gets_no_answer() {
    let mut answer = question("a.example", TYPE_A, None);
    answer[2] |= 0x80;
    for bytes in [&answer[..], &answer[..11], b""] {
        assert!(matches!(Query::read(bytes), Err(Unread::NoQuestion)));
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    let whole = question("a.example", TYPE_A, Some(1232));
    for end in HEADER..whole.len() {
        assert_eq!(refusal(&whole[..end]), Some(MALFORMED), "cut off at {end}");
    }
    let mut two = whole.clone();
    two[5] = 2;
    assert_eq!(refusal(&two), Some(MALFORMED));
    let mut pointer = whole.clone();
    pointer[HEADER] = 0xC0;
    assert_eq!(refusal(&pointer), Some(MALFORMED));
    let mut notify = whole;
    notify[2] |= 0x20;
    assert_eq!(refusal(&notify), Some(UNKNOWN_OPERATION));
}

#[test]
fn a_dot_inside_of_a_label_is_no_host() {
    let mut bytes = question("a-b.example", TYPE_A, None);
    bytes[HEADER + 2] = b'.';
    assert_eq!(Query::read(&bytes).unwrap().name, None);
}

#[test]
fn only_the_family_that_was_asked_for_is_answered() {
    let addresses = [IpAddr::from([10, 0, 0, 1]), "2001:2::1".parse().unwrap()];
    for (kind, bytes) in [(TYPE_A, 4), (TYPE_AAAA, 16), (TYPE_HTTPS, 0)] {
        let asked = question("a.example", kind, None);
        let query = Query::read(&asked).unwrap();
        let answer = query.answer(None, (query.wanted.unwrap(), &addresses), 30, 512);
        let record = if bytes == 0 { 0 } else { 12 + bytes };
        assert_eq!(answer.len(), asked.len() + record);
        assert_eq!((code(&answer), answer[7]), (0, u8::from(bytes > 0)));
        assert!(query.is_answered_by(&answer, 0xBEEF));
    }
}

#[test]
fn an_alias_points_at_its_name() {
    let asked = question("a.example.search", TYPE_A, None);
    let query = Query::read(&asked).unwrap();
    let addresses = [IpAddr::from([10, 0, 0, 1])];
    let answer = query.answer(Some("a.example"), (Wanted::V4, &addresses), 30, 512);
    let alias = asked.len() + 12;
    assert_eq!(&answer[alias..alias + 11], encoded("a.example").unwrap());
    let owner = u16::from_be_bytes([answer[alias + 11], answer[alias + 12]]);
    assert_eq!(usize::from(owner & 0x3FFF), alias);
}

#[test]
fn a_long_answer_is_cut_off_and_says_so() {
    let asked = question("a.example", TYPE_A, None);
    let query = Query::read(&asked).unwrap();
    let addresses: Vec<IpAddr> = (0..40).map(|last| IpAddr::from([10, 0, 0, last])).collect();
    assert!(is_truncated(&query.answer(None, (Wanted::V4, &addresses), 30, 512)));
    assert!(!is_truncated(&query.answer(None, (Wanted::V4, &addresses), 30, 1232)));
}

#[test]
fn an_answer_is_for_its_question_and_number() {
    let asked = question("a.example", TYPE_A, None);
    let query = Query::read(&asked).unwrap();
    let answer = query.answer(None, (Wanted::V4, &[]), 30, 512);
    let others = question("b.example", TYPE_A, None);
    let other = Query::read(&others).unwrap().answer(None, (Wanted::V4, &[]), 30, 512);
    assert!(query.is_answered_by(&with_id(answer.clone(), 9), 9));
    assert!(!query.is_answered_by(&answer, 9));
    assert!(!query.is_answered_by(&other, 0xBEEF));
    assert!(!query.is_answered_by(&asked, 0xBEEF));
}
