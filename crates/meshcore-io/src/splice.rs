//! Moving bytes between sockets without bringing them into the process.
//!
//! Source: splice(2). A pipe is the kernel's buffer between the two sockets.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use tokio::io::Interest;
use tokio::net::TcpStream;

/// Bytes asked of the kernel for a pipe: the largest an unprivileged process gets by default
/// is 1 MiB; 256 KiB was the cheapest per byte measured.
const PIPE_BYTES: i32 = 256 * 1024;

/// A kernel buffer for one direction of a connection.
#[derive(Debug)]
pub struct Pipe {
    read_end: OwnedFd,
    write_end: OwnedFd,
    capacity: usize,
    filled: usize,
}

impl Pipe {
    /// Makes a pipe.
    ///
    /// # Errors
    ///
    /// When descriptors are used up.
    pub fn new() -> io::Result<Self> {
        let mut ends = [0; 2];
        // SAFETY: `ends` is a valid array of two descriptors for the call to fill.
        let made = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) };
        if made < 0 {
            return Err(io::Error::last_os_error());
        }
        let [read_end, write_end] = ends;
        // SAFETY: the call succeeded, so this descriptor is open and owned by nobody else.
        let read_end = unsafe { OwnedFd::from_raw_fd(read_end) };
        // SAFETY: as above, for the other end.
        let write_end = unsafe { OwnedFd::from_raw_fd(write_end) };
        // SAFETY: sets the size of a pipe we own; no memory is passed.
        let sized = unsafe { libc::fcntl(write_end.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_BYTES) };
        // A smaller pipe works too; the limit of a user may have been reached.
        let capacity = usize::try_from(sized).unwrap_or(64 * 1024);
        Ok(Self { read_end, write_end, capacity, filled: 0 })
    }

    /// Bytes that have been read from one socket and not yet written to the other.
    pub fn filled(&self) -> usize {
        self.filled
    }
}

/// Moves what `from` has into `pipe`, without waiting; 0 is the end of the stream.
///
/// # Errors
///
/// `WouldBlock` when there is nothing to move; those of the socket.
pub fn try_splice_in(from: &TcpStream, pipe: &mut Pipe) -> io::Result<usize> {
    let room = pipe.capacity.saturating_sub(pipe.filled);
    let moved =
        from.try_io(Interest::READABLE, || move_bytes(from.as_fd(), pipe.write_end.as_fd(), room))?;
    pipe.filled = pipe.filled.saturating_add(moved);
    Ok(moved)
}

/// Moves all of `pipe` to `to`.
///
/// # Errors
///
/// Those of the socket.
///
/// # Cancel safety
///
/// Cancel safe: what was not written is still in the pipe.
pub async fn splice_out(pipe: &mut Pipe, to: &TcpStream) -> io::Result<()> {
    while pipe.filled > 0 {
        let filled = pipe.filled;
        let moved = to
            .async_io(Interest::WRITABLE, || move_bytes(pipe.read_end.as_fd(), to.as_fd(), filled))
            .await?;
        if moved == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        pipe.filled = pipe.filled.saturating_sub(moved);
    }
    Ok(())
}

fn move_bytes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    // SAFETY: both descriptors are open for the time of the call (borrowed); the null offsets
    // say that neither is a file with a position.
    let moved = unsafe {
        libc::splice(
            from.as_raw_fd(),
            std::ptr::null_mut(),
            to.as_raw_fd(),
            std::ptr::null_mut(),
            most,
            flags,
        )
    };
    usize::try_from(moved).map_err(|_negative| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::{ConnectFrom, accept, connect, listen};

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = listen("127.0.0.1:0".parse().unwrap(), false).unwrap().attach().unwrap();
        let client = connect(listener.local_addr().unwrap(), ConnectFrom::Any, None);
        let (client, accepted) = tokio::join!(client, accept(&listener));
        (client.unwrap(), accepted.unwrap().0)
    }

    async fn splice_in(from: &TcpStream, pipe: &mut Pipe) -> io::Result<usize> {
        loop {
            from.readable().await?;
            match try_splice_in(from, pipe) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                moved => return moved,
            }
        }
    }

    #[tokio::test]
    async fn a_megabyte_arrives_unchanged() {
        let (mut source, from) = pair().await;
        let (to, mut sink) = pair().await;
        let sent: Vec<u8> = (0..1_000_003u32).map(|i| (i % 251) as u8).collect();
        let expected = sent.clone();
        let write = async move {
            source.write_all(&sent).await.unwrap();
            source.shutdown().await.unwrap();
        };
        let relay = async move {
            let mut pipe = Pipe::new().unwrap();
            while splice_in(&from, &mut pipe).await.unwrap() > 0 {
                splice_out(&mut pipe, &to).await.unwrap();
            }
        };
        let mut received = Vec::new();
        let ((), (), read) = tokio::join!(write, relay, sink.read_to_end(&mut received));
        read.unwrap();
        assert!(received == expected, "{} of {} bytes", received.len(), expected.len());
    }

    #[tokio::test]
    async fn a_closed_peer_is_an_error_or_an_end() {
        let (source, from) = pair().await;
        drop(source);
        let mut pipe = Pipe::new().unwrap();
        assert_eq!(splice_in(&from, &mut pipe).await.unwrap(), 0);
        assert_eq!(pipe.filled(), 0);
    }
}
