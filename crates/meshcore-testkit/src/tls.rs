//! TLS peers: clients of the mesh, strangers, and servers outside the mesh.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use meshcore_model::Identity;
use meshcore_tls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use meshcore_tls::rustls::server::WebPkiClientVerifier;
use meshcore_tls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
};
use meshcore_tls::rustls_pki_types::pem::PemObject;
use meshcore_tls::rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use meshcore_tls::tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use meshcore_tls::{Expected, Materials, MeshTls, MeshTlsOptions, provider};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A client of the mesh that expects the server `expected`, and offers these ALPN names.
pub fn mesh_client(materials: Materials, expected: &Identity, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let tls = MeshTls::new(materials, MeshTlsOptions::default());
    tls.client_config(&Expected::identities([expected]), alpn).unwrap()
}

/// A client without a certificate that takes any server.
pub fn stranger(alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider());
    let mut config = builder
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

/// Connects with TLS.
///
/// # Errors
///
/// The handshake's. With TLS 1.3 a server that refuses our certificate says so later: at the
/// first read.
pub async fn connect(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    sni: &str,
) -> io::Result<client::TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(sni.to_owned()).unwrap();
    TlsConnector::from(config).connect(name, stream).await
}

/// Sends these bytes and reads until the server closes.
///
/// # Errors
///
/// Those of the handshake and of the connection.
pub async fn exchange(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    (sni, bytes): (&str, &[u8]),
) -> io::Result<Vec<u8>> {
    let mut stream = connect(address, config, sni).await?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer).await {
        // Many servers close without saying good-bye.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !answer.is_empty() => {}
        read => drop(read?),
    }
    Ok(answer)
}

/// Takes any certificate.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// An authority outside the mesh, which names its servers by DNS.
#[derive(Debug)]
pub struct PrivateCa(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate_pem: String,
    /// Its key.
    pub key_pem: String,
}

impl Default for PrivateCa {
    fn default() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }
}

impl PrivateCa {
    /// Its own certificate.
    pub fn root_pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a name.
    pub fn issue(&self, name: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pair { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() }
    }
}

/// A TLS server on a free port. It answers each HTTP/1 request with the server name, the ALPN
/// name and whether the client has a certificate.
#[derive(Debug)]
pub struct TlsServer {
    address: SocketAddr,
}

impl TlsServer {
    /// Starts with a certificate; with `clients`, these must have signed the client's.
    pub fn start(pair: &Pair, clients: Option<&PrivateCa>) -> Self {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                let root = CertificateDer::from_pem_slice(ca.root_pem().as_bytes()).unwrap();
                roots.add(root).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let chain = vec![CertificateDer::from_pem_slice(pair.certificate_pem.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(pair.key_pem.as_bytes()).unwrap();
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let acceptor = TlsAcceptor::from(Arc::new(config));
                loop {
                    let (stream, _peer) = listener.accept().await.unwrap();
                    let acceptor = acceptor.clone();
                    tokio::spawn(async move {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            let _gone = answer_all(stream).await;
                        }
                    });
                }
            });
        });
        Self { address }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn answer_all(mut stream: server::TlsStream<TcpStream>) -> io::Result<()> {
    let connection = stream.get_ref().1;
    let name = connection.server_name().unwrap_or("-").to_owned();
    let alpn = String::from_utf8_lossy(connection.alpn_protocol().unwrap_or(b"-")).into_owned();
    let has_certificate = connection.peer_certificates().is_some();
    let body = format!("sni={name} alpn={alpn} certificate={has_certificate}");
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut seen = Vec::new();
    loop {
        if stream.read_buf(&mut seen).await? == 0 {
            return stream.shutdown().await;
        }
        while let Some(end) = crate::message::find(&seen, b"\r\n\r\n") {
            let head: Vec<u8> = seen.drain(..end + 4).collect();
            stream.write_all(answer.as_bytes()).await?;
            if crate::message::find(&head, b"close").is_some() {
                return stream.shutdown().await;
            }
        }
    }
}
