//! Making connections to upstreams.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use meshcore_io::{ConnectFrom, Keepalive};
use meshcore_model::{Failure, Identity, Kind, TlsOrigination};
use meshcore_snapshot::{ClusterId, EndpointAddress, EndpointId, InboundPort, Limits};
use meshcore_snapshot::{Snapshot, Transport};
use meshcore_telemetry::Counter;
use meshcore_tls::{ClientPair, Expected, Originated, Origination, alpn};
use rustls_pki_types::ServerName;
use tokio_rustls::{TlsConnector, TlsStream};

use crate::buffer::Buffer;
use crate::client::Client;
use crate::shared::Shared;
use crate::stream::{Prefixed, Stream};
use crate::timer::timeout;
use crate::worker::Worker;

/// What stands for an upstream in the pools.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum UpstreamKey {
    /// An endpoint of a cluster.
    Endpoint(EndpointId),
    /// An endpoint that has to prove that it is this host, which each request names for itself.
    Host(EndpointId, Box<[u8]>),
    /// The address that a client wanted, with the security of a cluster, and the host it has to
    /// prove to be (empty is none).
    Original(ClusterId, SocketAddr, Box<[u8]>),
    /// The application: what is connected to it has passed its policies.
    Application(SocketAddr),
    /// An address without a cluster: where a client wanted to go.
    Address(EndpointAddress),
}

/// An upstream to connect to.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    pub(crate) key: UpstreamKey,
    /// Address that is connected to.
    pub(crate) dial: EndpointAddress,
    pub(crate) transport: Transport,
    pub(crate) from: ConnectFrom,
    pub(crate) connect_within: Duration,
    pub(crate) keepalive: Option<Keepalive>,
}

/// What will be spoken, which decides the ALPN names that are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaking {
    Http1,
    Http2,
    Opaque,
}

/// What our own connections to an application come from where they would be redirected: rules
/// let these pass. The application sees them as the caller. Source: Istio's inbound passthrough.
const TO_APPLICATION: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(127, 0, 0, 6), Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6));

impl Upstream {
    /// The application beside us, at a port that a client came to.
    ///
    /// # Errors
    ///
    /// `Loop` when that is this sidecar.
    pub(crate) fn application(
        worker: &Worker,
        client: &Client,
        (snapshot, port): (&Snapshot, &InboundPort),
        connect_within: Duration,
    ) -> Result<Self, Failure> {
        let address = client.application(port);
        if port.number == 0 && worker.shared.is_own(address) {
            return Err(Kind::Loop.into());
        }
        let from = match address {
            _ if !snapshot.node.intercepted => ConnectFrom::Any,
            SocketAddr::V4(_) => ConnectFrom::Address(TO_APPLICATION.0.into()),
            SocketAddr::V6(_) => ConnectFrom::Address(TO_APPLICATION.1.into()),
        };
        let key = UpstreamKey::Application(address);
        Ok(Self { key, from, ..Self::plain(address, connect_within) })
    }

    /// An address without a cluster, in plain text.
    pub(crate) fn plain(address: SocketAddr, connect_within: Duration) -> Self {
        let address = EndpointAddress::Socket(address);
        Self {
            key: UpstreamKey::Address(address.clone()),
            dial: address,
            transport: Transport::Plain,
            from: ConnectFrom::Any,
            connect_within,
            keepalive: None,
        }
    }

    /// Connects, with the security that the transport asks for. `host` is the request's own,
    /// for TLS to servers outside the mesh.
    ///
    /// # Errors
    ///
    /// `UpstreamRefused`, `UpstreamConnectTimeout` or `UpstreamTls`, with the cause.
    pub(crate) async fn connect(
        &self,
        worker: &Worker,
        speaking: Speaking,
        host: &str,
    ) -> Result<Stream, Failure> {
        let connecting = async {
            let stream = self.open().await.map_err(|error| refused(&self.dial, &error))?;
            self.secure(worker, stream, speaking, host).await
        };
        match timeout(self.connect_within, pin!(connecting)).await {
            Ok(connected) => connected,
            Err(_elapsed) => {
                let within = self.connect_within;
                let cause = format!("{}: no connection within {within:?}", self.dial);
                Err(Failure::because(Kind::UpstreamConnectTimeout, cause))
            }
        }
    }

    async fn open(&self) -> io::Result<Stream> {
        match &self.dial {
            EndpointAddress::Socket(to) => {
                let stream = meshcore_io::connect(*to, self.from, self.keepalive).await?;
                Ok(Stream::Tcp(stream))
            }
            EndpointAddress::Unix(path) => {
                Ok(Stream::Unix(meshcore_io::connect_unix(Path::new(&**path)).await?))
            }
        }
    }

    async fn secure(
        &self,
        worker: &Worker,
        stream: Stream,
        speaking: Speaking,
        host: &str,
    ) -> Result<Stream, Failure> {
        match &self.transport {
            Transport::Plain => Ok(stream),
            Transport::Mtls { sni, expected } => {
                let names = match speaking {
                    Speaking::Http1 => alpn::OUTBOUND_HTTP1,
                    Speaking::Http2 => alpn::OUTBOUND_HTTP2,
                    Speaking::Opaque => &[alpn::ISTIO],
                };
                self.secure_in_mesh(worker, stream, names, (sni, expected)).await
            }
            Transport::Hbone { expected, .. } => {
                self.secure_in_mesh(worker, stream, alpn::HBONE, ("", expected)).await
            }
            Transport::Originate { tls, host: fallback } => {
                let host = if fallback.is_empty() { host } else { fallback };
                let originated = originate(&worker.shared, tls, host, speaking)?;
                let tls = handshake(originated.config, originated.server_name, stream)
                    .await
                    .map_err(|error| self.tls_failed(&error))?;
                worker.count_handshake(Counter::ClientHandshakes, tls.get_ref().1);
                Ok(Stream::Tls(Box::new(tls)))
            }
        }
    }

    async fn secure_in_mesh(
        &self,
        worker: &Worker,
        stream: Stream,
        names: &[&[u8]],
        (sni, expected): (&str, &Arc<[Identity]>),
    ) -> Result<Stream, Failure> {
        let Some(tls) = &worker.shared.tls else {
            let cause = "this sidecar has no certificate, run `meshcore cert` or give one";
            return Err(Failure::because(Kind::UpstreamTls, cause));
        };
        let expected = Expected::identities(expected.iter());
        let config = tls
            .client_config(&expected, names)
            .map_err(|error| Failure::because(Kind::UpstreamTls, error))?;
        let server_name = self.server_name(sni)?;
        let stream = handshake(config, server_name, stream)
            .await
            .map_err(|error| self.tls_failed(&error))?;
        if let TlsStream::Client(client) = &stream {
            tls.server_of(client.get_ref().1)
                .map_err(|refusal| Failure::because(Kind::UpstreamTls, refusal))?;
        }
        worker.count_handshake(Counter::ClientHandshakes, stream.get_ref().1);
        Ok(Stream::Tls(Box::new(stream)))
    }

    /// Tunnels have no server name of their own: the address stands in, which is never sent.
    fn server_name(&self, sni: &str) -> Result<ServerName<'static>, Failure> {
        match (sni, &self.dial) {
            ("", EndpointAddress::Socket(address)) => {
                Ok(ServerName::IpAddress(address.ip().into()))
            }
            ("", EndpointAddress::Unix(_)) => {
                Ok(ServerName::IpAddress(IpAddr::from([127, 0, 0, 1]).into()))
            }
            (sni, _) => ServerName::try_from(sni.to_owned())
                .map_err(|error| Failure::because(Kind::UpstreamTls, error)),
        }
    }

    fn tls_failed(&self, error: &io::Error) -> Failure {
        Failure::because(Kind::UpstreamTls, format!("{}: {error}", self.dial))
    }
}

async fn handshake(
    config: Arc<rustls::ClientConfig>,
    server_name: ServerName<'static>,
    stream: Stream,
) -> io::Result<TlsStream<Prefixed>> {
    let stream = Prefixed::new(Buffer::new(), stream);
    let stream = TlsConnector::from(config).connect(server_name, stream).await?;
    Ok(TlsStream::Client(stream))
}

/// The configuration for a server outside the mesh. Its files are read for each connection, so
/// that renewed ones are used; equal ones share a configuration.
fn originate(
    shared: &Shared,
    tls: &Arc<TlsOrigination>,
    host: &str,
    speaking: Speaking,
) -> Result<Originated, Failure> {
    let read = |path: &String| {
        std::fs::read_to_string(path)
            .map_err(|error| Failure::because(Kind::UpstreamTls, format!("{path}: {error}")))
    };
    let client = match (&tls.client_certificate, &tls.private_key) {
        (Some(chain), Some(key)) => {
            Some(ClientPair { chain_pem: read(chain)?, key_pem: read(key)? })
        }
        (None | Some(_), None | Some(_)) => None,
    };
    let origination = Origination {
        ca_pem: tls.ca_certificates.as_ref().map(read).transpose()?,
        subject_alt_names: tls.subject_alt_names.clone(),
        sni: tls.sni.clone(),
        client,
        insecure_skip_verify: tls.insecure_skip_verify,
        alpn: match speaking {
            Speaking::Http1 => vec![alpn::HTTP_1_1.to_vec()],
            Speaking::Http2 => vec![alpn::H2.to_vec()],
            Speaking::Opaque => Vec::new(),
        },
    };
    shared
        .originator
        .originate(&origination, host)
        .map_err(|error| Failure::because(Kind::UpstreamTls, error))
}

fn refused(address: &EndpointAddress, error: &io::Error) -> Failure {
    Failure::because(Kind::UpstreamRefused, format!("{address}: {error}"))
}

/// Keep-alive as the limits of a cluster ask for it; 0 is the system's own value.
pub(crate) fn keepalive(limits: &Limits) -> Option<Keepalive> {
    // Source: the defaults of Linux, tcp(7).
    const PROBES: u32 = 9;
    const IDLE_S: u64 = 7200;
    const INTERVAL_S: u64 = 75;
    let (probes, idle_s, interval_s) = limits.keepalive?;
    let or = |value: u64, default: u64| if value == 0 { default } else { value };
    Some(Keepalive {
        idle: Duration::from_secs(or(idle_s, IDLE_S)),
        interval: Duration::from_secs(or(interval_s, INTERVAL_S)),
        probes: if probes == 0 { PROBES } else { probes },
    })
}
