//! Listening sockets.

use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

/// Connections the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;

/// A bound socket that is not yet tied to a runtime, so that it can be handed to a worker.
#[derive(Debug)]
pub struct Accepting(std::net::TcpListener);

impl Accepting {
    /// The address it is bound to; tells the port when 0 was asked for.
    ///
    /// # Errors
    ///
    /// When the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Ties the socket to the runtime of the current thread.
    ///
    /// # Errors
    ///
    /// When the runtime cannot watch the socket.
    pub fn attach(self) -> io::Result<TcpListener> {
        TcpListener::from_std(self.0)
    }
}

/// Binds `address` and listens. Several sockets with `shared` may have the same address: the
/// kernel spreads connections over them, so that each worker has its own queue.
///
/// # Errors
///
/// When the address cannot be bound.
pub fn listen(address: SocketAddr, shared: bool) -> io::Result<Accepting> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(Accepting(socket.into()))
}

/// The next connection, with small writes sent at once.
///
/// # Errors
///
/// Those of the system, among them `EMFILE` when descriptors are used up.
///
/// # Cancel safety
///
/// Cancel safe: no connection is lost.
pub async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer))
}

/// A descriptor that is given up when there is no other, so that a connection that cannot be kept
/// is at least refused: its client would wait in the queue otherwise.
#[derive(Debug, Default)]
pub struct SpareDescriptor(Option<File>);

impl SpareDescriptor {
    /// Sees to it that there is one, if the system gives it.
    pub fn keep(&mut self) {
        if self.0.is_none() {
            self.0 = File::open("/dev/null").ok();
        }
    }

    /// Closes the next connection, if there is one. `false` when even that cannot be done, so
    /// that it is better to wait.
    pub async fn refuse_one(&mut self, listener: &TcpListener) -> bool {
        let had_one = self.0.take().is_some();
        let accepted = poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await;
        had_one && !matches!(accepted, Poll::Ready(Err(_)))
    }
}

/// Where the client wanted to connect before the connection was redirected here; `None` when it
/// was not redirected.
pub fn original_destination(stream: &TcpStream) -> Option<SocketAddr> {
    let local = stream.local_addr().ok()?;
    let socket = SockRef::from(stream);
    let original = match local {
        SocketAddr::V4(_) => socket.original_dst_v4(),
        SocketAddr::V6(_) => socket.original_dst_v6(),
    };
    original.ok()?.as_socket().filter(|destination| *destination != local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_sockets_share_an_address() {
        let first = listen("127.0.0.1:0".parse().unwrap(), true).unwrap();
        let address = first.local_addr().unwrap();
        let second = listen(address, true).unwrap();
        assert_eq!(second.local_addr().unwrap(), address);
    }

    #[tokio::test]
    async fn an_address_in_use_is_an_error() {
        let first = listen("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let taken = listen(first.local_addr().unwrap(), false);
        assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn a_connection_that_was_not_redirected_has_no_original_destination() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), false).unwrap().attach().unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, peer) = accept(&listener).await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        assert_eq!(original_destination(&server), None);
    }
}
