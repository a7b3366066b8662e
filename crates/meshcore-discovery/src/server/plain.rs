//! Connections in plain text, from this host alone.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::serve::Connection;
use crate::peer::Peer;

/// How long is waited when the system has no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// A listener on a loopback address.
#[derive(Debug)]
pub struct Listener(TcpListener);

/// Plain text is only for this host.
#[derive(Debug, thiserror::Error)]
pub enum NotLoopback {
    /// The address is reached from elsewhere.
    #[error("plain text is for loopback addresses only, and {0} is none: use the secure port")]
    Address(SocketAddr),
    /// The socket cannot be had.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
}

impl Listener {
    /// Listens.
    ///
    /// # Errors
    ///
    /// [`NotLoopback`] for an address that others reach, or that cannot be had.
    pub async fn bind(address: SocketAddr) -> Result<Self, NotLoopback> {
        if !address.ip().to_canonical().is_loopback() {
            return Err(NotLoopback::Address(address));
        }
        let bound = TcpListener::bind(address).await;
        bound.map(Self).map_err(|error| NotLoopback::Listen(address, error))
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Accepts until nobody takes the connections any more.
    pub async fn accept(self, connections: mpsc::Sender<Connection>) {
        loop {
            let Ok((stream, address)) = self.0.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            // Small messages must not wait for each other; without it they only come later.
            let _ = stream.set_nodelay(true);
            let peer = Peer { address: Some(address), ..Peer::default() };
            if connections.send(Connection::new(stream, peer)).await.is_err() {
                return;
            }
        }
    }
}
