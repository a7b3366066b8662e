//! Messages to the DNS proxy.

use std::net::IpAddr;

use meshcore_proxy::dns_message::{PLAIN_UDP, Query, Unread, Wanted};

/// Header, longest name with type and class, and the record of EDNS.
const SHORTEST_BYTES: usize = 12 + 255 + 4 + 11;

/// Nothing that is said can be taken for a question; it fits the question, and the client.
pub(crate) fn run(data: &[u8]) {
    let query = match Query::read(data) {
        Ok(query) => query,
        Err(Unread::NoQuestion) => return,
        Err(Unread::Refused(refusal)) => return is_no_question(&refusal),
    };
    let addresses = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([0x2001, 2, 0, 0, 0, 0, 0, 1])];
    for alias in [None, Some("a.example")] {
        for limit in [PLAIN_UDP.into(), SHORTEST_BYTES, usize::from(u16::MAX)] {
            let answer = query.answer(alias, (Wanted::Both, &addresses), 30, limit);
            assert!(answer.len() <= limit.max(SHORTEST_BYTES), "longer than the client takes");
            says(&query, &answer);
        }
    }
    says(&query, &query.failed());
    says(&query, &query.nothing());
    let passed_on = query.numbered(7);
    let again = Query::read(&passed_on).expect("what was read is read again");
    assert_eq!((again.id, &again.name, again.wanted), (7, &query.name, query.wanted));
    assert_eq!(passed_on.get(2..), data.get(2..));
}

fn says(query: &Query<'_>, answer: &[u8]) {
    assert!(query.is_answered_by(answer, query.id), "it answers another question");
    is_no_question(answer);
}

fn is_no_question(answer: &[u8]) {
    assert!(matches!(Query::read(answer), Err(Unread::NoQuestion)), "it goes round");
}
