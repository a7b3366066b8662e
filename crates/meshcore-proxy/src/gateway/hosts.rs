//! The host of a request that came in at a gateway.

use meshcore_http::RequestHead;
use meshcore_model::{Failure, Kind};
use meshcore_snapshot::{Authority, GatewayChain, GatewayHosts, GatewayTls, Serves, Snapshot};
use meshcore_snapshot::{Termination, VirtualHost};

use super::Entrance;
use crate::client::Client;

/// The host of a request, and the port that clients know the listener by.
///
/// # Errors
///
/// `NoRoute` when nobody serves the host, or the listener is closed; `Misdirected` when it is
/// served, but not on this connection.
pub(crate) fn find_host<'s>(
    client: &Client,
    snapshot: &'s Snapshot,
    head: &RequestHead,
) -> Result<(&'s VirtualHost, u16), Failure> {
    let closed = || Failure::because(Kind::NoRoute, "its listener is closed");
    let entrance = client.entrance.as_deref().ok_or_else(closed)?;
    let gateway = snapshot.gateway.as_deref().ok_or_else(closed)?;
    let listener = gateway.listener(entrance.listener).ok_or_else(closed)?;
    let Some(authority) = Authority::parse(head.authority()) else {
        return Err(Failure::because(Kind::BadRequest, "authority is not host[:port]"));
    };
    let hosts = match (&listener.serves, &entrance.termination) {
        (Serves::Http(hosts), None) => hosts,
        (Serves::Tls(tls), Some(before)) => hosts_of(tls, client, (before, authority.host()))?,
        (Serves::Http(_) | Serves::Tls(_) | Serves::Tcp(_), _) => {
            return Err(Failure::because(Kind::Misdirected, "the listener has changed"));
        }
    };
    let vhost = hosts.find(head.authority()).ok_or(Kind::NoRoute)?;
    Ok((vhost, listener.port))
}

/// The hosts of the server that a connection was made to, as long as it has shown what that
/// server asks for by now. A host that has a server of its own is served only there: it may ask
/// for more. Source: RFC 9110 section 15.5.20, RFC 9113 section 9.1.2.
fn hosts_of<'s>(
    tls: &'s GatewayTls,
    client: &Client,
    (before, host): (&Termination, &[u8]),
) -> Result<&'s GatewayHosts, Failure> {
    let misdirected = |why: &'static str| Failure::because(Kind::Misdirected, why);
    let own = tls.chain(client.sni.as_deref().map(str::as_bytes));
    let Some(own @ GatewayChain::Http(now, hosts)) = own else {
        return Err(misdirected("the server of the connection is gone"));
    };
    if !now.asks_no_more_than(before) {
        return Err(misdirected("the server asks for something else by now"));
    }
    match tls.chain(Some(host)) {
        Some(wanted) if std::ptr::eq(wanted, own) => Ok(hosts),
        Some(_other) => Err(misdirected("another server has the host")),
        None => Err(Kind::NoRoute.into()),
    }
}

impl Entrance {
    /// Whether the client came by TLS that ended here.
    pub(crate) const fn is_tls(&self) -> bool {
        self.termination.is_some()
    }
}
