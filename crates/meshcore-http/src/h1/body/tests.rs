#![expect(clippy::arithmetic_side_effects, reason = "sums of test data are small")]

use super::*;

/// Content, consumed bytes and trailers, or why not; `None` when the body does not end.
type Outcome = Result<Option<(Vec<u8>, usize, Fields)>, Rejected>;

fn decode(kind: BodyKind, bytes: &[u8], limits: &Limits) -> Outcome {
    let mut decoder = BodyDecoder::new(kind, limits);
    let (mut content, mut at) = (Vec::new(), 0);
    loop {
        match decoder.decode(&bytes[at..])? {
            Decoded::Data { skip, len } => {
                content.extend_from_slice(&bytes[at + skip..][..len]);
                at += skip + len;
            }
            Decoded::NeedMore { .. } => return Ok(None),
            Decoded::Done { skip } => {
                return Ok(Some((content, at + skip, decoder.trailers().clone())));
            }
        }
    }
}

fn chunked(bytes: &[u8]) -> Outcome {
    decode(BodyKind::Chunked, bytes, &Limits::default())
}

#[test]
fn good_chunks_give_their_content() {
    let cases: &[(&str, &[u8], &[u8])] = &[
        ("empty", b"0\r\n\r\n", b""),
        ("one", b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
        ("two", b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (
            "hexadecimal of both cases",
            b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
            b"01234567890123456789",
        ),
        ("leading zeros", b"0003\r\nabc\r\n0000000000000000\r\n\r\n", b"abc"),
        ("CRLF as content", b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
        ("extension", b"3;a\r\nabc\r\n0;b=c\r\n\r\n", b"abc"),
        ("extensions with blanks", b"3 ; a\t=\tb ;c\r\nabc\r\n0\r\n\r\n", b"abc"),
        ("quoted extension", b"3;a=\"b;\\\"c\\\\\xff\t\"\r\nabc\r\n0\r\n\r\n", b"abc"),
        ("blanks after quoted extension", b"3;a=\"\" ;b\r\nabc\r\n0\r\n\r\n", b"abc"),
        ("trailers", b"3\r\nabc\r\n0\r\nX: 1\r\nY:2\r\n\r\n", b"abc"),
    ];
    for (case, bytes, content) in cases {
        let with_next = [bytes, &b"GET"[..]].concat();
        let (found, consumed, _) = chunked(&with_next).expect(case).expect(case);
        assert_eq!((found.as_slice(), consumed), (*content, bytes.len()), "{case}");
    }
}

#[test]
fn bad_chunks_are_refused_for_their_reason() {
    let cases: &[(&str, Rejected, &[u8])] = &[
        ("no size", Rejected::BadChunkSize, b"\r\nabc\r\n"),
        ("no digit", Rejected::BadChunkSize, b"g\r\n"),
        ("prefix", Rejected::BadChunkSize, b"0x3\r\nabc\r\n"),
        ("sign", Rejected::BadChunkSize, b"+3\r\nabc\r\n"),
        ("minus", Rejected::BadChunkSize, b"-1\r\n"),
        ("blank before", Rejected::BadChunkSize, b" 3\r\nabc\r\n"),
        ("underscore", Rejected::BadChunkSize, b"1_0\r\n"),
        ("comma", Rejected::BadChunkSize, b"1,0\r\n"),
        ("NUL", Rejected::BadChunkSize, b"3\0\r\nabc\r\n"),
        ("empty extension name only", Rejected::BadChunkSize, b";a\r\n"),
        ("17 digits", Rejected::BadChunkSize, b"00000000000000003\r\nabc\r\n"),
        ("2^64", Rejected::BadChunkSize, b"10000000000000000\r\n"),
        ("2^64 - 1", Rejected::BadChunkSize, b"ffffffffffffffff\r\n"),
        ("2^63", Rejected::BadChunkSize, b"8000000000000000\r\n"),
        ("2^64 + 3", Rejected::BadChunkSize, b"10000000000000003\r\nabc\r\n"),
        ("bare LF after size", Rejected::BareLf, b"3\nabc\r\n"),
        ("bare CR after size", Rejected::BareCr, b"3\rabc\r\n"),
        ("CR CR LF after size", Rejected::BareCr, b"3\r\r\nabc\r\n"),
        ("blank before CRLF", Rejected::BadChunkExtension, b"3 \r\nabc\r\n"),
        ("word after blank", Rejected::BadChunkExtension, b"3 a\r\nabc\r\n"),
        ("semicolon only", Rejected::BadChunkExtension, b"3;\r\nabc\r\n"),
        ("extension without name", Rejected::BadChunkExtension, b"3;=a\r\nabc\r\n"),
        ("extension without value", Rejected::BadChunkExtension, b"3;a=\r\nabc\r\n"),
        ("two equals", Rejected::BadChunkExtension, b"3;a==b\r\nabc\r\n"),
        ("two semicolons", Rejected::BadChunkExtension, b"3;;a\r\nabc\r\n"),
        ("blank at the end of an extension", Rejected::BadChunkExtension, b"3;a \r\nabc\r\n"),
        ("bare LF in extension", Rejected::BareLf, b"3;a\nabc\r\n"),
        ("bare CR in extension", Rejected::BareCr, b"3;a\rb\r\nabc\r\n"),
        ("bare LF in quotes", Rejected::BareLf, b"3;a=\"\n\"\r\nabc\r\n"),
        ("CRLF in quotes", Rejected::BadChunkExtension, b"3;a=\"\r\n\"\r\nabc\r\n"),
        ("escaped CR", Rejected::BadChunkExtension, b"3;a=\"\\\r\n\"\r\nabc\r\n"),
        ("word after quotes", Rejected::BadChunkExtension, b"3;a=\"b\"c\r\nabc\r\n"),
        ("NUL in quotes", Rejected::BadChunkExtension, b"3;a=\"\0\"\r\nabc\r\n"),
        ("NUL in extension", Rejected::BadChunkExtension, b"3;a\0\r\nabc\r\n"),
        ("data longer than size", Rejected::BadChunkEnd, b"3\r\nabcd\r\n0\r\n\r\n"),
        ("data shorter than size", Rejected::BadChunkEnd, b"3\r\nab\r\n0\r\n\r\n"),
        ("no CRLF after data", Rejected::BadChunkEnd, b"3\r\nabc0\r\n\r\n"),
        ("bare LF after data", Rejected::BadChunkEnd, b"3\r\nabc\n0\r\n\r\n"),
        ("bare CR after data", Rejected::BadChunkEnd, b"3\r\nabc\r0\r\n\r\n"),
        ("CR CR LF after data", Rejected::BadChunkEnd, b"3\r\nabc\r\r\n0\r\n\r\n"),
        ("bare LF ends trailers", Rejected::BareLf, b"0\r\n\n"),
        ("bare CR ends trailers", Rejected::BareCr, b"0\r\n\rx"),
        ("bare LF in trailers", Rejected::BareLf, b"0\r\nA: b\n\r\n"),
        ("fold in trailers", Rejected::ObsoleteFold, b"0\r\nA: b\r\n c\r\n\r\n"),
        ("blank before colon in trailers", Rejected::SpaceBeforeColon, b"0\r\nA : b\r\n\r\n"),
        ("pseudo-field in trailers", Rejected::BadFieldName, b"0\r\n:path: /\r\n\r\n"),
        ("request for a trailer", Rejected::SpaceBeforeColon, b"0\r\nGET / HTTP/1.1\r\n\r\n"),
        ("control in trailers", Rejected::BadFieldValue, b"0\r\nA: \0\r\n\r\n"),
        ("alias in trailers", Rejected::AliasedName, b"0\r\ncontent_length: 5\r\n\r\n"),
    ];
    for (case, reason, bytes) in cases {
        assert_eq!(chunked(bytes), Err(*reason), "{case}");
    }
}

#[test]
fn each_front_of_a_body_asks_for_more() {
    let bytes = b"3;a=\"b\"\r\nabc\r\n2\r\nde\r\n0\r\nX: 1\r\n\r\n";
    for end in 0..bytes.len() {
        assert_eq!(chunked(&bytes[..end]), Ok(None), "{end} bytes");
    }
}

#[test]
fn trailers_cannot_frame_route_or_identify() {
    let bytes =
        b"0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: b\r\nTrailer: a\r\n\
        Authorization: a\r\nConnection: close\r\nTE: a\r\nUpgrade: a\r\nExpect: a\r\nCookie: a\r\n\
        Set-Cookie: a\r\nX-Forwarded-For: a\r\nx-envoy-retry-on: a\r\nX-Meshcore-Peer: a\r\n\
        Content-Type: a\r\nContent-Encoding: a\r\nCache-Control: a\r\nLocation: a\r\n\
        grpc-status: 0\r\nX-Sum: abc\r\n\r\n";
    let (_, consumed, trailers) = chunked(bytes).unwrap().unwrap();
    let names: Vec<&[u8]> = trailers.iter().map(|field| field.0).collect();
    assert_eq!(names, [&b"grpc-status"[..], b"X-Sum"]);
    assert_eq!(consumed, bytes.len());
}

#[test]
fn trailers_have_limits_to_the_byte() {
    let limits = Limits { trailer_bytes: 16, trailer_fields: 2, ..Limits::default() };
    let decode = |bytes: &[u8]| decode(BodyKind::Chunked, bytes, &limits).map(|end| end.is_some());
    assert_eq!(decode(b"0\r\nA: 12345678901\r\n\r\n"), Ok(true));
    assert_eq!(decode(b"0\r\nA: 123456789012\r\n\r\n"), Err(Rejected::TrailersTooLarge));
    assert_eq!(decode(b"0\r\nA: 123456789012345"), Err(Rejected::TrailersTooLarge));
    assert_eq!(decode(b"0\r\nA: 1\r\nB: 2\r\n\r\n"), Ok(true));
    assert_eq!(decode(b"0\r\nA:\r\nB:\r\nC:\r\n\r\n"), Err(Rejected::TrailersTooLarge));
    assert_eq!(decode(b"0\r\nTE:\r\nTE:\r\nTE:\r\n\r\n"), Err(Rejected::TrailersTooLarge));
}

#[test]
fn extensions_have_limits() {
    let long = [b"1;", &vec![b'a'; 300][..], b"\r\nx\r\n"].concat();
    assert_eq!(chunked(&long), Err(Rejected::BadChunkExtension));
    let one = [b"1;", &vec![b'a'; 200][..], b"\r\nx\r\n"].concat();
    assert_eq!(chunked(&one), Ok(None));
    assert_eq!(chunked(&one.repeat(100)), Err(Rejected::BadChunkExtension));
}

#[test]
fn a_length_ends_to_the_byte() {
    let limits = Limits::default();
    let (content, consumed, _) = decode(BodyKind::Length(3), b"abcdef", &limits).unwrap().unwrap();
    assert_eq!((content.as_slice(), consumed), (&b"abc"[..], 3));
    assert_eq!(decode(BodyKind::Length(3), b"ab", &limits), Ok(None));
    for kind in [BodyKind::None, BodyKind::Length(0)] {
        let mut decoder = BodyDecoder::from(kind);
        assert!(decoder.is_done());
        assert_eq!(decoder.decode(b"next"), Ok(Decoded::Done { skip: 0 }));
    }
    let mut decoder = BodyDecoder::from(BodyKind::Length(u64::MAX));
    assert_eq!(decoder.decode(b"abc"), Ok(Decoded::Data { skip: 0, len: 3 }));
    assert_eq!(decoder.certain_bytes(), u64::MAX - 3);
}

#[test]
fn only_some_bodies_may_end_with_the_connection() {
    let mut decoder = BodyDecoder::from(BodyKind::UntilClose);
    assert_eq!(decoder.decode(b"abc"), Ok(Decoded::Data { skip: 0, len: 3 }));
    assert!(!decoder.is_done());
    assert_eq!(decoder.close(), Ok(()));
    assert!(decoder.is_done());
    let mut decoder = BodyDecoder::from(BodyKind::Length(1));
    assert_eq!(decoder.close(), Err(Rejected::Truncated));
    let mut decoder = BodyDecoder::from(BodyKind::Chunked);
    decoder.decode(b"1\r\na\r\n0\r\n").unwrap();
    assert_eq!(decoder.close(), Err(Rejected::Truncated));
}

#[test]
fn content_that_went_another_way_counts() {
    let mut decoder = BodyDecoder::from(BodyKind::Chunked);
    assert_eq!(decoder.certain_bytes(), 0);
    assert_eq!(decoder.decode(b"10\r\nab"), Ok(Decoded::Data { skip: 4, len: 2 }));
    assert_eq!(decoder.certain_bytes(), 14);
    decoder.advance(14);
    assert_eq!(decoder.decode(b"\r\n0\r\n\r\n"), Ok(Decoded::Done { skip: 7 }));
    let mut decoder = BodyDecoder::from(BodyKind::Length(5));
    decoder.advance(5);
    assert!(decoder.is_done());
}
