//! Who is on the other end of a connection, and how a token says so.

use std::fmt;
use std::net::SocketAddr;

use meshcore_model::Identity;
use tonic::metadata::MetadataMap;

/// Who called, in the extensions of every request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peer {
    /// Where the connection came from.
    pub address: Option<SocketAddr>,
    /// Identity of the certificate that the connection proved.
    pub identity: Option<Identity>,
    /// The connection is encrypted, and the server proved who it is.
    pub is_secure: bool,
}

/// Reads tokens.
pub trait Tokens: Send + Sync + fmt::Debug {
    /// The identity that a bearer token proves.
    ///
    /// # Errors
    ///
    /// [`Refused`] when the token proves nothing, or that cannot be found out.
    fn identity(&self, bearer: &str) -> Result<Identity, Refused>;
}

/// A token that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// What is wrong, and what to do. It is told to the caller: without parts of the token.
    pub reason: String,
}

/// The token in `authorization: Bearer`, if there is one.
pub(crate) fn bearer(metadata: &MetadataMap) -> Option<&str> {
    let header = metadata.get("authorization").and_then(|value| value.to_str().ok())?;
    let (_, token) =
        header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))?;
    Some(token.trim())
}
