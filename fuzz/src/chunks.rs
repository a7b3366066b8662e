//! Bodies in chunks.

use meshcore_http::Fields;
use meshcore_http::h1::{
    BodyDecoder, BodyKind, Decoded, Limits, write_chunk_head, write_last_chunk,
};

use crate::strict;

/// Limits that short inputs reach.
const TIGHT: Limits = Limits { trailer_bytes: 40, trailer_fields: 2, ..LOOSE };

/// Limits for what we wrote ourselves: normal form may be a little longer than what came.
pub(crate) const LOOSE: Limits = Limits {
    head_bytes: 1 << 20,
    fields: 200,
    target_bytes: 1 << 13,
    trailer_bytes: 1 << 20,
    trailer_fields: 64,
};

/// The result does not depend on reads; what was decoded survives being written again, and a
/// second reader finds the same in it.
pub(crate) fn run(data: &[u8]) {
    for limits in [LOOSE, TIGHT] {
        let whole = decode(data, data.len().max(1), &limits);
        for step in [1, 2, 3, 7] {
            let pieces = decode(data, step, &limits);
            assert_eq!(pieces, whole, "reads of {step} bytes change the result");
        }
        if let Some((content, trailers, _used)) = whole {
            comes_back(&content, &trailers);
        }
    }
}

/// Content, trailers, and the bytes that they took.
fn decode(data: &[u8], step: usize, limits: &Limits) -> Option<(Vec<u8>, Fields, usize)> {
    let mut decoder = BodyDecoder::new(BodyKind::Chunked, limits);
    let (content, used) = drain(&mut decoder, data, step)?;
    Some((content, decoder.trailers().clone(), used))
}

fn comes_back(content: &[u8], trailers: &Fields) {
    let mut wire = b"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let head = wire.len();
    write_chunk_head(content.len(), &mut wire);
    if !content.is_empty() {
        wire.extend_from_slice(content);
        wire.extend_from_slice(b"\r\n");
    }
    write_last_chunk(Some(trailers), &mut wire);
    let body = &wire[head..];
    let again = decode(body, body.len(), &LOOSE);
    let expected = (content.to_vec(), trailers.clone(), body.len());
    assert_eq!(again, Some(expected), "writing is not stable");
    let (message, rest) = strict::request(&wire).expect("an own body is read alike");
    assert_eq!((message.body.as_slice(), rest), (content, &b""[..]));
    for name in ["content-length", "transfer-encoding", "host", "x-forwarded-for"] {
        assert!(message.trailers.iter().all(|(known, _)| known != name), "{name} as trailer");
    }
}

/// The content of a body that is read `step` bytes at a time, and the bytes that it took; none
/// when it is refused or does not end.
pub(crate) fn drain(
    decoder: &mut BodyDecoder,
    data: &[u8],
    step: usize,
) -> Option<(Vec<u8>, usize)> {
    let (mut content, mut at, mut shown) = (Vec::new(), 0, 0);
    loop {
        match decoder.decode(&data[at..shown]).ok()? {
            Decoded::Data { skip, len } => {
                assert_ne!(len, 0, "no content is not content");
                content.extend_from_slice(&data[at + skip..at + skip + len]);
                at += skip + len;
            }
            Decoded::NeedMore { skip } => {
                at += skip;
                if shown == data.len() {
                    return decoder.close().ok().map(|()| (content, at));
                }
                shown = (shown + step).min(data.len());
            }
            Decoded::Done { skip } => {
                assert!(at + skip <= shown && decoder.is_done(), "read past the end");
                return Some((content, at + skip));
            }
        }
    }
}
