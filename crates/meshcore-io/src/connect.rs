//! Outgoing connections.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

/// The address a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectFrom {
    /// Chosen by the system.
    Any,
    /// This one, with a port chosen by the system.
    Address(IpAddr),
}

/// TCP keep-alive of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Probes without an answer before the connection is given up.
    pub probes: u32,
}

/// Connects to `to`, with small writes sent at once.
///
/// # Errors
///
/// Those of the system: refused, unreachable, no local address. There is no time limit here.
///
/// # Cancel safety
///
/// Cancel safe: the attempt is given up.
pub async fn connect(
    to: SocketAddr,
    from: ConnectFrom,
    keepalive: Option<Keepalive>,
) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(keepalive) = keepalive {
        let settings = TcpKeepalive::new()
            .with_time(keepalive.idle)
            .with_interval(keepalive.interval)
            .with_retries(keepalive.probes);
        socket.set_tcp_keepalive(&settings)?;
    }
    if let ConnectFrom::Address(from) = from
        && from.is_ipv4() == to.is_ipv4()
    {
        choose_port_at_connect(&socket)?;
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    TcpSocket::from_std_stream(socket.into()).connect(to).await
}

/// Lets the port be chosen at connect, so that it only has to be free towards one peer.
///
/// Source: ip(7), `IP_BIND_ADDRESS_NO_PORT`.
fn choose_port_at_connect(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = libc::socklen_t::try_from(size_of_val(&on)).map_err(io::Error::other)?;
    // SAFETY: the value is a C int that outlives the call, and `size` is its size.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size,
        )
    };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Connects to the Unix socket at `path`.
///
/// # Errors
///
/// Those of the system.
pub async fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{accept, listen};

    #[tokio::test]
    async fn the_local_address_is_the_one_asked_for() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), false).unwrap().attach().unwrap();
        let from = ConnectFrom::Address("127.0.0.77".parse().unwrap());
        let client = connect(listener.local_addr().unwrap(), from, None).await.unwrap();
        let (_server, peer) = accept(&listener).await.unwrap();
        assert_eq!(peer.ip(), "127.0.0.77".parse::<IpAddr>().unwrap());
        assert!(client.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_closed_port_refuses() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let refused = connect(address, ConnectFrom::Any, None).await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
