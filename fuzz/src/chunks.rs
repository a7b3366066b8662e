//! Bodies in chunks.

use meshcore_http::h1::{
    BodyDecoder, BodyKind, Decoded, Limits, write_chunk_head, write_last_chunk,
};

use crate::request::unlimited;
use crate::strict;

/// The result does not depend on reads; what was decoded survives being written again, and a
/// second reader finds the same in it.
pub(crate) fn run(data: &[u8]) {
    for limits in [unlimited(), Limits { trailer_bytes: 40, trailer_fields: 2, ..unlimited() }] {
        let decode = |data: &[u8], step: usize| {
            let mut decoder = BodyDecoder::new(BodyKind::Chunked, &limits);
            let (content, used) = drain(&mut decoder, data, step)?;
            Some((content, decoder.trailers().clone(), used))
        };
        let whole = decode(data, data.len().max(1));
        for step in [1, 2, 3, 7] {
            assert_eq!(whole, decode(data, step), "reads of {step} bytes change the result");
        }
        let Some((content, trailers, _used)) = whole else { continue };
        let mut wire = Vec::new();
        write_chunk_head(content.len(), &mut wire);
        if !content.is_empty() {
            wire.extend_from_slice(&content);
            wire.extend_from_slice(b"\r\n");
        }
        write_last_chunk(Some(&trailers), &mut wire);
        let all = wire.len();
        let again = decode(&wire, all);
        assert_eq!(again, Some((content.clone(), trailers, all)), "writing is not stable");
        let mut message = b"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        message.extend_from_slice(&wire);
        let (message, rest) = strict::request(&message).expect("an own body is read alike");
        assert_eq!((message.body, rest), (content, &b""[..]));
        for name in ["content-length", "transfer-encoding", "host", "x-forwarded-for"] {
            assert!(message.trailers.iter().all(|(known, _)| known != name), "{name} as trailer");
        }
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
