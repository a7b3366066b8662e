//! What holds for any input: splits, stability, no panic.

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::{Limits, RequestHead, ResponseHead, parse_request, parse_response, request};
use crate::{Method, Rejected, fuzz};

/// Pieces that heads are made of, good ones and bad ones.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => proptest::sample::select(vec![
            "GET ", "POST ", "/ ", "/a?b ", "http://a/ ", "HTTP/1.1\r\n", "HTTP/1.0\r\n",
            "Host: a\r\n", "Host: b:80\r\n", "Content-Length: 5\r\n", "Content-Length:0\r\n",
            "Transfer-Encoding: chunked\r\n", "Connection: close, x\r\n", "X: 1\r\n", "x:\t2 \r\n",
            "Upgrade: a\r\n", "TE: trailers\r\n", "Expect: 100-continue\r\n", "\r\n", "\n", "\r",
            " ", ":", "a_b: c\r\n", "content_length: 1\r\n", "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 304\r\n", "Keep-Alive: a\r\n", "Cookie: a=b; c\r\n", "Trailer: x\r\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Mostly valid requests.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let line = "(GET|POST|PURGE|OPTIONS) (/|/a\\?b=c|\\*|http://A:80/x) HTTP/1\\.[01]\r\n";
    let fields = proptest::collection::vec("[A-Za-z-]{1,20}:[ \t]{0,2}[ -~]{0,40}\r\n", 0..8);
    let host = "(Host: a:80\r\n|host:A:80\r\n)?";
    let framing = "(Content-Length: [0-9]{1,4}\r\n|Transfer-Encoding: chunked\r\n)?";
    (line, fields, host, framing).prop_map(|(line, fields, host, framing)| {
        format!("{line}{}{host}{framing}\r\n", fields.concat()).into_bytes()
    })
}

/// Chunked bodies, good ones and bad ones.
fn chunk_pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => proptest::sample::select(vec![
            "3\r\nabc\r\n", "1\r\nx\r\n", "0A\r\n0123456789\r\n", "2;a=b;c=\"d\\\"\"\r\nhi\r\n",
            "0\r\n\r\n", "0\r\n", "a: b\r\n", "Host: x\r\n", "\r\n", ";", " ", "\n", "5", "\"", "\\",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

/// Feeds ever longer fronts of `bytes`, as reads would; the first answer counts.
fn in_pieces<T>(
    bytes: &[u8],
    mut cuts: Vec<usize>,
    mut parse: impl FnMut(&[u8]) -> Result<Option<T>, Rejected>,
) -> Result<Option<T>, Rejected> {
    cuts.sort_unstable();
    for cut in cuts {
        match parse(bytes.get(..cut).unwrap_or(bytes)) {
            Ok(None) => {}
            answer => return answer,
        }
    }
    parse(bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_request_is_the_same_in_any_reads(
        bytes in prop_oneof![pieces(), requests()],
        cuts in proptest::collection::vec(0_usize..200, 0..6),
    ) {
        let limits = Limits { head_bytes: 160, fields: 5, target_bytes: 20, ..Limits::default() };
        let (mut whole, mut split) = (RequestHead::new(), RequestHead::new());
        let at_once = parse_request(&bytes, &mut whole, &limits);
        let split_up = in_pieces(&bytes, cuts, |front| parse_request(front, &mut split, &limits));
        prop_assert_eq!(at_once, split_up);
        if matches!(at_once, Ok(Some(_))) {
            prop_assert_eq!(&whole.fields, &split.fields);
            prop_assert_eq!(whole.authority(), split.authority());
        }
    }

    #[test]
    fn a_response_is_the_same_in_any_reads(
        bytes in pieces().prop_map(|tail| [b"HTTP/1.1 200 OK\r\n".to_vec(), tail].concat()),
        cuts in proptest::collection::vec(0_usize..200, 0..6),
    ) {
        let limits = Limits { head_bytes: 160, fields: 5, ..Limits::default() };
        let mut head = ResponseHead::new();
        let at_once = parse_response(&bytes, &mut head, &limits, Method::Get);
        let split_up =
            in_pieces(&bytes, cuts, |front| parse_response(front, &mut head, &limits, Method::Get));
        prop_assert_eq!(at_once, split_up);
    }

    #[test]
    fn writing_a_request_is_stable(bytes in prop_oneof![pieces(), requests()]) {
        fuzz::fuzz_request(&bytes);
    }

    #[test]
    fn writing_a_response_is_stable(bytes in pieces()) {
        fuzz::fuzz_response(&bytes);
        fuzz::fuzz_response(&[b"HTTP/1.1 200 OK\r\n".to_vec(), bytes].concat());
    }

    #[test]
    fn chunks_are_the_same_in_any_reads(bytes in chunk_pieces()) {
        fuzz::fuzz_chunks(&bytes);
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        fuzz::fuzz_request(&bytes);
        fuzz::fuzz_response(&bytes);
        fuzz::fuzz_chunks(&bytes);
    }
}

#[test]
fn the_made_requests_are_mostly_accepted() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let accepted = (0..200)
        .filter(|_| {
            let bytes = requests().new_tree(&mut runner).unwrap().current();
            matches!(request(&bytes).0, Ok(Some(_)))
        })
        .count();
    assert!(accepted > 40, "only {accepted} of 200: the properties would test nothing");
}
