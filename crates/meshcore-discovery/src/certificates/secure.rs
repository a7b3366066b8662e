//! The secure port: TLS, with a certificate of the client or without.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meshcore_tls::tokio_rustls::TlsAcceptor;
use meshcore_tls::{MeshTls, Refusal, alpn};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::counts::{Counts, Reason};
use super::expiring::Expiring;
use crate::peer::Peer;
use crate::server::Connection;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes at a time; who comes when there are so many is closed, and comes again.
const HANDSHAKES: usize = 1024;
/// How long is waited when the system has no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// A listener for sidecars anywhere.
#[derive(Debug)]
pub struct SecureListener {
    tcp: TcpListener,
    tls: Arc<MeshTls>,
    counts: Arc<Counts>,
}

// === impl SecureListener ===

impl SecureListener {
    /// Listens, with the certificate in `tls`.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub async fn bind(
        address: SocketAddr,
        tls: Arc<MeshTls>,
        counts: Arc<Counts>,
    ) -> std::io::Result<Self> {
        Ok(Self { tcp: TcpListener::bind(address).await?, tls, counts })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Accepts until nobody takes the connections any more.
    pub async fn accept(self, connections: mpsc::Sender<Connection>) {
        let places = Arc::new(Semaphore::new(HANDSHAKES));
        while !connections.is_closed() {
            let Ok((stream, address)) = self.tcp.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                self.counts.refused(Reason::Busy);
                continue;
            };
            let (tls, counts) = (Arc::clone(&self.tls), Arc::clone(&self.counts));
            let connections = connections.clone();
            tokio::spawn(async move {
                let shaken = timeout(HANDSHAKE, shake(&tls, stream, address)).await;
                match shaken.ok().flatten() {
                    // The receiver is gone when the server stops.
                    Some(connection) => drop(connections.send(connection).await),
                    None => counts.refused(Reason::Handshake),
                }
                drop(place);
            });
        }
    }
}

/// Shakes hands; `None` for anything but a client of HTTP/2 with a good certificate or none.
async fn shake(tls: &MeshTls, stream: TcpStream, address: SocketAddr) -> Option<Connection> {
    // Small messages must not wait for each other; without it they only come later.
    let _ = stream.set_nodelay(true);
    let config = tls.open_server_config(alpn::HBONE).ok()?;
    let stream = TlsAcceptor::from(config).accept(stream).await.ok()?;
    let session = stream.get_ref().1;
    if session.alpn_protocol() != Some(alpn::H2) {
        return None;
    }
    let (identity, not_after) = match tls.client_until(session) {
        Ok((identity, not_after)) => (Some(identity), Some(not_after)),
        Err(Refusal::NoCertificate) => (None, None),
        Err(_) => return None,
    };
    let left = not_after.map(|end| Duration::from_secs(end.saturating_sub(now())));
    let peer = Peer { address: Some(address), identity, is_secure: true };
    Some(Connection::new(Expiring::new(stream, left), peer))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
