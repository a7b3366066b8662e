//! Questions that others answer.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::message::{PLAIN_UDP, Query, is_failure, is_truncated};

/// How a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    ByUdp,
    ByTcp,
}

impl Asked {
    /// Bytes of an answer that the client takes.
    pub(super) fn limit(self, query: &Query<'_>) -> usize {
        match self {
            Self::ByUdp => query.payload.unwrap_or(PLAIN_UDP).into(),
            Self::ByTcp => u16::MAX.into(),
        }
    }
}

/// What one of the servers answers, in their order; the answer of one that cannot answer, when no
/// other does. They share the time that they have. `None` when none answers.
pub(super) async fn forward(
    query: &Query<'_>,
    servers: &[SocketAddr],
    (asked, within): (Asked, Duration),
) -> Option<Vec<u8>> {
    let share = within.checked_div(u32::try_from(servers.len()).ok()?)?;
    let mut failure = None;
    for server in servers {
        match tokio::time::timeout(share, ask(query, *server, asked)).await {
            Ok(Ok(answer)) if is_failure(&answer) => failure = Some(answer),
            Ok(Ok(answer)) => return Some(query.renumbered(answer)),
            Ok(Err(_)) | Err(_) => {}
        }
    }
    failure.map(|answer| query.renumbered(answer))
}

/// By UDP first: a client by TCP gets the rest by TCP, one by UDP is told to come again.
async fn ask(query: &Query<'_>, server: SocketAddr, asked: Asked) -> io::Result<Vec<u8>> {
    let answer = ask_by_udp(query, server).await?;
    match asked {
        Asked::ByTcp if is_truncated(&answer) => ask_by_tcp(query, server).await,
        Asked::ByUdp | Asked::ByTcp => Ok(answer),
    }
}

/// The port is the system's choice and new for each question, the number is chance: who did not
/// see the question has to guess both. The kernel passes only what comes from the server.
async fn ask_by_udp(query: &Query<'_>, server: SocketAddr) -> io::Result<Vec<u8>> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    let id = random_id();
    socket.send(&query.numbered(id)).await?;
    let mut answer = vec![0; query.payload.unwrap_or(PLAIN_UDP).into()];
    loop {
        let length = socket.recv(&mut answer).await?;
        let received = answer.get(..length).unwrap_or_default();
        if query.is_answered_by(received, id) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

async fn ask_by_tcp(query: &Query<'_>, server: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let id = random_id();
    let message = query.numbered(id);
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(&message);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await?;
    if query.is_answered_by(&answer, id) {
        Ok(answer)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// A number that cannot be foretold: the keys of the standard library's hashes are random.
fn random_id() -> u16 {
    let [first, second, ..] = RandomState::new().build_hasher().finish().to_be_bytes();
    u16::from_be_bytes([first, second])
}

#[cfg(test)]
mod tests;
