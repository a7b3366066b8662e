//! What rules look at.

use std::net::{IpAddr, SocketAddr};

use meshcore_model::Identity;

/// A request as rules see it. Implemented over the header table, without copies.
pub trait Request {
    /// Method.
    fn method(&self) -> &[u8];
    /// Path after normalization, without its query; empty when there is none (CONNECT).
    fn path(&self) -> &[u8];
    /// Query, without its question mark.
    fn query(&self) -> Option<&[u8]>;
    /// Authority, in letters of either case.
    fn authority(&self) -> &[u8];
    /// Scheme in lower case.
    fn scheme(&self) -> &[u8];
    /// Calls `each` with every value of a header field, in the order of the message. The name
    /// is in lower case.
    fn for_each_value<'a>(&'a self, name: &str, each: impl FnMut(&'a [u8]));
}

/// The other end of a connection, and this end.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'a> {
    /// Verified identity.
    pub identity: Option<&'a Identity>,
    /// Address of the peer.
    pub address: IpAddr,
    /// Address of the client before any trusted proxy; without one, that of the peer.
    pub remote: IpAddr,
    /// Address of this workload, with the port of the workload.
    pub destination: SocketAddr,
    /// Server name that the peer sent.
    pub sni: Option<&'a str>,
}

/// The request of a connection that has none. Its answers are never asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoRequest;

impl Request for NoRequest {
    fn method(&self) -> &[u8] {
        &[]
    }

    fn path(&self) -> &[u8] {
        &[]
    }

    fn query(&self) -> Option<&[u8]> {
        None
    }

    fn authority(&self) -> &[u8] {
        &[]
    }

    fn scheme(&self) -> &[u8] {
        &[]
    }

    fn for_each_value<'a>(&'a self, _: &str, _: impl FnMut(&'a [u8])) {}
}
