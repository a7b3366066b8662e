//! One request and the way back for its answer.

use meshcore_http::h1::BodyKind;
use meshcore_http::{Known, RequestHead};

use crate::body::Body;
use crate::pool::H1Connection;
use crate::reply::Reply;

/// One request, while it is carried.
#[derive(Debug)]
pub(crate) struct Exchange<'c> {
    pub(crate) head: &'c mut RequestHead,
    /// How the body is framed; what is forwarded may be framed in another way.
    pub(crate) framing: BodyKind,
    pub(crate) body: Body<'c>,
    pub(crate) reply: Reply<'c>,
    /// The client asks to change the protocol of its connection.
    pub(crate) wants_upgrade: bool,
}

/// What happens to the client's connection after a request.
#[derive(Debug)]
pub(crate) enum After {
    /// It may carry another one, if the client and the answer allow it.
    Next,
    /// The client left before its answer was whole.
    Gone,
    /// It has changed protocol: what follows is opaque in both directions.
    Upgraded(Box<H1Connection>),
}

impl Exchange<'_> {
    /// Whether it is a gRPC call, which is answered in gRPC's own way.
    pub(crate) fn is_grpc(&self) -> bool {
        is_grpc(self.head)
    }
}

/// Source: the gRPC protocol over HTTP/2, `Content-Type`.
pub(crate) fn is_grpc(head: &RequestHead) -> bool {
    const NAME: &[u8] = b"application/grpc";
    let Some(value) = head.fields.get(Known::ContentType) else { return false };
    match value.split_at_checked(NAME.len()) {
        Some((name, rest)) => {
            name.eq_ignore_ascii_case(NAME) && matches!(rest.first(), None | Some(b'+' | b';'))
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_by_its_content_type() {
        let head = |value: &[u8]| {
            let mut head = RequestHead::new();
            head.fields.append(b"content-type", value).unwrap();
            head
        };
        for value in ["application/grpc", "application/grpc+proto", "Application/gRPC;x=1"] {
            assert!(is_grpc(&head(value.as_bytes())), "{value}");
        }
        for value in ["application/grpc-web", "application/json", "application/grp", ""] {
            assert!(!is_grpc(&head(value.as_bytes())), "{value}");
        }
        assert!(!is_grpc(&RequestHead::new()));
    }
}
