//! Mutual TLS of one process: configurations that always use the materials in force.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, CommonState, ServerConfig, SignatureScheme};
use rustls::{ClientConnection, ServerConnection};
use rustls_pki_types::UnixTime;

use meshcore_model::Identity;

use crate::alpn;
use crate::expected::Expected;
use crate::materials::Materials;
use crate::provider::{provider, versions};
use crate::refusal::Refusal;
use crate::sessions::Sessions;
use crate::shared::Shared;
use crate::ticket::Tickets;
use crate::verify::{Role, VerifyClient, VerifyServer, verify};

/// Client configurations kept, at most; those nobody holds go first.
const MAX_CLIENT_CONFIGS: usize = 1024;

/// What may differ between deployments.
#[derive(Debug, Clone, Copy, Default)]
pub struct MeshTlsOptions {
    /// Speak TLS 1.2 too. Off by default: every mesh peer speaks 1.3.
    pub allow_tls12: bool,
}

/// Mutual TLS for everything that this process says in the mesh. One for each process, shared.
#[derive(Debug)]
pub struct MeshTls {
    shared: Arc<Shared>,
    options: MeshTlsOptions,
    servers: Mutex<Vec<ServerEntry>>,
    clients: Mutex<Clients>,
}

#[derive(Debug)]
struct ServerEntry {
    trust_epoch: u64,
    needs_certificate: bool,
    alpn: Vec<Vec<u8>>,
    config: Arc<ServerConfig>,
}

#[derive(Debug, Default)]
struct Clients {
    generation: u64,
    configs: HashMap<(Expected, Vec<Vec<u8>>), Arc<ClientConfig>>,
}

// === impl MeshTls ===

impl MeshTls {
    /// Begins with these materials.
    pub fn new(materials: Materials, options: MeshTlsOptions) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::new(Shared::new(materials)),
            options,
            servers: Mutex::default(),
            clients: Mutex::default(),
        })
    }

    /// Puts new materials in force. Handshakes from now on use them; live connections stay.
    ///
    /// If our identity or the trust bundle differs from before, no session resumes across the
    /// change.
    pub fn rotate(&self, materials: Materials) {
        self.shared.rotate(materials);
    }

    /// A copy of the materials in force.
    pub fn materials(&self) -> Materials {
        self.shared.current().materials.clone()
    }

    /// Who we are now.
    pub fn identity(&self) -> Identity {
        self.shared.current().materials.identity().clone()
    }

    /// How often [`MeshTls::rotate`] was called: a pool that remembers it knows which of its
    /// connections were opened with an older certificate.
    pub fn generation(&self) -> u64 {
        self.shared.current().generation
    }

    /// How often our identity or our trust changed. Connections of an older epoch should be
    /// closed, since their peer may no longer be trusted.
    pub fn trust_epoch(&self) -> u64 {
        self.shared.current().trust_epoch
    }

    /// The configuration of a mesh listener: a client certificate is required. `alpn` is best
    /// first (see [`crate::alpn`]); a client that offers only other names is refused.
    ///
    /// Ask for it at each accept: it is shared and cheap, and a configuration kept across a
    /// change of trust still serves, but no longer resumes.
    ///
    /// # Errors
    /// [`rustls::Error`] if the system gives no random numbers.
    pub fn server_config(&self, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, rustls::Error> {
        self.server_config_of(true, alpn)
    }

    /// As [`MeshTls::server_config`], for a listener that serves clients without a certificate
    /// too: [`MeshTls::client_of`] then says [`Refusal::NoCertificate`]. A bad one is refused.
    ///
    /// # Errors
    /// As [`MeshTls::server_config`].
    pub fn open_server_config(&self, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, rustls::Error> {
        self.server_config_of(false, alpn)
    }

    fn server_config_of(
        &self,
        needs_certificate: bool,
        alpn: &[&[u8]],
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        let trust_epoch = self.trust_epoch();
        let mut servers = self.servers.lock();
        servers.retain(|entry| entry.trust_epoch >= trust_epoch);
        let known = servers
            .iter()
            .find(|entry| entry.alpn == alpn && entry.needs_certificate == needs_certificate);
        if let Some(entry) = known {
            return Ok(Arc::clone(&entry.config));
        }
        let config = Arc::new(self.build_server(trust_epoch, needs_certificate, alpn)?);
        let (alpn, kept) = (alpn::owned(alpn), Arc::clone(&config));
        servers.push(ServerEntry { trust_epoch, needs_certificate, alpn, config: kept });
        Ok(config)
    }

    /// The configuration of a client in the mesh: presents our certificate and accepts only the
    /// `expected` servers. Equal arguments give the same configuration and sessions.
    ///
    /// Ask for it at each connect, for the reason named at [`MeshTls::server_config`].
    ///
    /// # Errors
    /// [`rustls::Error`] if the cryptography cannot be set up.
    pub fn client_config(
        &self,
        expected: &Expected,
        alpn: &[&[u8]],
    ) -> Result<Arc<ClientConfig>, rustls::Error> {
        let generation = self.generation();
        let key = (expected.clone(), alpn::owned(alpn));
        let mut clients = self.clients.lock();
        clients.begin(generation);
        if let Some(config) = clients.configs.get(&key) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.build_client(clients.generation, expected, alpn)?);
        clients.make_room();
        clients.configs.insert(key, Arc::clone(&config));
        Ok(config)
    }

    /// Who the client of this connection is, verified against the trust now in force. Call it
    /// after each handshake: a resumed session is verified here.
    ///
    /// # Errors
    /// [`Refusal`]: close the connection.
    pub fn client_of(&self, connection: &ServerConnection) -> Result<Identity, Refusal> {
        self.peer_of(Role::Client, connection)
    }

    /// As [`MeshTls::client_of`], with the end of the client's certificate in unix seconds.
    ///
    /// # Errors
    /// As [`MeshTls::client_of`].
    pub fn client_until(&self, connection: &ServerConnection) -> Result<(Identity, u64), Refusal> {
        let chain = connection.peer_certificates().unwrap_or_default();
        let leaf = verify(&self.shared, Role::Client, chain, UnixTime::now())?;
        Ok((leaf.identity.clone(), leaf.not_after))
    }

    /// Who the server of this connection is, verified as [`MeshTls::client_of`].
    ///
    /// # Errors
    /// [`Refusal`]: close the connection.
    pub fn server_of(&self, connection: &ClientConnection) -> Result<Identity, Refusal> {
        self.peer_of(Role::Server, connection)
    }

    fn peer_of(&self, role: Role, connection: &CommonState) -> Result<Identity, Refusal> {
        let chain = connection.peer_certificates().unwrap_or_default();
        let leaf = verify(&self.shared, role, chain, UnixTime::now())?;
        Ok(leaf.identity.clone())
    }

    fn build_server(
        &self,
        epoch: u64,
        is_required: bool,
        alpn: &[&[u8]],
    ) -> Result<ServerConfig, rustls::Error> {
        let verifier = VerifyClient { shared: Arc::clone(&self.shared), is_required };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(self.options.allow_tls12))?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(OurCertificate(Arc::clone(&self.shared))));
        config.alpn_protocols = alpn::owned(alpn);
        config.ignore_client_order = true;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Arc::new(Tickets::new(Arc::clone(&self.shared), epoch)?);
        config.send_tls13_tickets = 1;
        config.require_ems = self.options.allow_tls12;
        Ok(config)
    }

    fn build_client(
        &self,
        generation: u64,
        expected: &Expected,
        alpn: &[&[u8]],
    ) -> Result<ClientConfig, rustls::Error> {
        let verifier =
            VerifyServer { shared: Arc::clone(&self.shared), expected: expected.clone() };
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(self.options.allow_tls12))?
            .dangerous() // rustls' word for any verifier but its own
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(OurCertificate(Arc::clone(&self.shared))));
        config.alpn_protocols = alpn::owned(alpn);
        config.resumption =
            Resumption::store(Arc::new(Sessions::new(Arc::clone(&self.shared), generation)));
        config.require_ems = self.options.allow_tls12;
        Ok(config)
    }
}

// === impl Clients ===

impl Clients {
    fn begin(&mut self, generation: u64) {
        if self.generation < generation {
            self.generation = generation;
            self.configs.clear();
        }
    }

    fn make_room(&mut self) {
        if self.configs.len() >= MAX_CLIENT_CONFIGS {
            self.configs.retain(|_, config| Arc::strong_count(config) > 1);
        }
        if self.configs.len() >= MAX_CLIENT_CONFIGS {
            self.configs.clear();
        }
    }
}

/// Presents the certificate in force at the moment of the handshake.
#[derive(Debug)]
struct OurCertificate(Arc<Shared>);

// === impl OurCertificate ===

impl OurCertificate {
    fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(self.0.current().materials.certified())
    }
}

impl ResolvesServerCert for OurCertificate {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }
}

impl ResolvesClientCert for OurCertificate {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
