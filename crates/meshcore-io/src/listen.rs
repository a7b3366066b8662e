//! Listening sockets.

use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::task::Poll;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

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

    /// The listening socket behind a descriptor that another process handed over. The descriptor
    /// stays with the caller: this has one of its own.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when it is no TCP socket that listens; `EBADF` when it is not open.
    pub fn adopt(descriptor: RawFd) -> io::Result<Self> {
        // SAFETY: takes and gives numbers; one that is not open is an error.
        let own = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 0) };
        if own < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was made by the line above, and nobody else knows of it.
        let socket = Socket::from(unsafe { OwnedFd::from_raw_fd(own) });
        if socket.local_addr()?.as_socket().is_none() || !socket.is_listener()? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen for TCP"));
        }
        socket.set_nonblocking(true)?;
        Ok(Self(socket.into()))
    }

    /// The same socket once more: it listens until the last of both is dropped.
    ///
    /// # Errors
    ///
    /// `EMFILE` when descriptors are used up.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
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

impl From<Accepting> for OwnedFd {
    fn from(accepting: Accepting) -> Self {
        accepting.0.into()
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

/// A bound UDP socket that is not yet tied to a runtime.
#[derive(Debug)]
pub struct Datagrams(std::net::UdpSocket);

impl Datagrams {
    /// Ties the socket to the runtime of the current thread.
    ///
    /// # Errors
    ///
    /// When the runtime cannot watch the socket.
    pub fn attach(self) -> io::Result<UdpSocket> {
        UdpSocket::from_std(self.0)
    }
}

/// Binds `address` for UDP. The next process of the same user may have it too, so that there is
/// always one that receives.
///
/// # Errors
///
/// When the address cannot be bound.
pub fn receive(address: SocketAddr) -> io::Result<Datagrams> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(Datagrams(socket.into()))
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

/// A connection that waits already; `None` when there is none.
pub async fn accept_waiting(listener: &TcpListener) -> Option<io::Result<(TcpStream, SocketAddr)>> {
    let polled = poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await;
    match polled {
        Poll::Ready(Ok((stream, peer))) => Some(stream.set_nodelay(true).map(|()| (stream, peer))),
        Poll::Ready(Err(error)) => Some(Err(error)),
        Poll::Pending => None,
    }
}

/// Stops listening, also for other processes that have the socket. What waits is reset.
pub fn stop_listening(listener: &TcpListener) {
    let _not_listening = SockRef::from(listener).shutdown(std::net::Shutdown::Both);
}

/// Whether `error` says that the process, or the system, has no descriptor left.
pub fn lacks_descriptor(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
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

    /// Closes the next connection. `false` when there is none, or even that cannot be done, so
    /// that it is better to wait.
    pub async fn refuse_one(&mut self, listener: &TcpListener) -> bool {
        drop(self.0.take());
        let accepted = poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await;
        matches!(accepted, Poll::Ready(Ok(_)))
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
    use std::os::fd::AsRawFd;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};

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
    async fn an_adopted_socket_takes_what_waits_at_the_first_one() {
        let first = listen("127.0.0.1:0".parse().unwrap(), true).unwrap();
        let address = first.local_addr().unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        let second = Accepting::adopt(first.0.as_raw_fd()).unwrap();
        drop(first);
        let (_server, peer) = accept(&second.attach().unwrap()).await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    }

    #[test]
    fn what_does_not_listen_for_tcp_is_not_adopted() {
        let pipe = std::io::pipe().unwrap().0;
        let unbound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let name = format!("meshcore-{}", std::process::id());
        let local =
            UnixAddress::from_abstract_name(name).and_then(|at| UnixListener::bind_addr(&at));
        let local = local.unwrap();
        for descriptor in [pipe.as_raw_fd(), unbound.as_raw_fd(), local.as_raw_fd(), -1] {
            assert!(Accepting::adopt(descriptor).is_err(), "{descriptor}");
        }
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
