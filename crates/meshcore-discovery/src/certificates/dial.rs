//! Connections to the secure port of a control plane.

use std::io;
use std::sync::Arc;

use meshcore_model::Identity;
use meshcore_tls::rustls::{self, ClientConfig};
use meshcore_tls::rustls_pki_types::ServerName;
use meshcore_tls::tokio_rustls::TlsConnector;
use meshcore_tls::{Anchor, Expected, MeshTls, alpn, anchored_config};
use tokio::net::TcpStream;

use crate::client::{Connecting, Connector, Wire};

/// Over TLS, with the certificate that `tls` has at that time; accepts only the control plane.
#[derive(Debug, Clone)]
pub struct Secure {
    /// `HOST:PORT`, looked up each time.
    pub address: String,
    /// Our certificate and trust.
    pub tls: Arc<MeshTls>,
    /// The identity that the control plane has to prove.
    pub control: Identity,
}

/// Over TLS, without a certificate of our own.
#[derive(Debug, Clone)]
pub(super) struct Anchored {
    pub(super) address: String,
    pub(super) anchor: Anchor,
    pub(super) control: Identity,
}

impl Connector for Secure {
    fn connect(&self) -> Connecting {
        let expected = Expected::identities([&self.control]);
        let config = self.tls.client_config(&expected, alpn::HBONE);
        dial(self.address.clone(), config)
    }
}

impl Connector for Anchored {
    fn connect(&self) -> Connecting {
        let config = anchored_config(self.anchor.clone(), &self.control, alpn::HBONE);
        dial(self.address.clone(), config)
    }
}

fn dial(
    address: String,
    config: Result<Arc<ClientConfig>, meshcore_tls::rustls::Error>,
) -> Connecting {
    Box::pin(async move {
        let config = config.map_err(io::Error::other)?;
        let stream = TcpStream::connect(&address).await?;
        stream.set_nodelay(true)?;
        // The name decides nothing: the identity in the certificate does.
        let to = ServerName::IpAddress(stream.peer_addr()?.ip().into());
        let stream = TlsConnector::from(config).connect(to, stream).await.map_err(explained)?;
        let stream: Box<dyn Wire> = Box::new(stream);
        Ok(stream)
    })
}

/// Says what to do where the other side is not who it has to be.
fn explained(error: io::Error) -> io::Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    if !matches!(cause, Some(rustls::Error::InvalidCertificate(_))) {
        return error;
    }
    let why = format!(
        "who answers does not prove to be our control plane ({error}); if it is, its root is \
         another now: take a new token, `meshcore token create`"
    );
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}
