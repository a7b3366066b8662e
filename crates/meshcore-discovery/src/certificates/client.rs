//! The side of a sidecar: makes a key, asks for a certificate, and checks what comes back.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use meshcore_model::Identity;
use meshcore_tls::ca::{self, Csr};
use meshcore_tls::rustls_pki_types::CertificateDer;
use meshcore_tls::rustls_pki_types::pem::PemObject;
use meshcore_tls::tokens::Claims;
use meshcore_tls::{Anchor, Materials, MeshTls, MeshTlsOptions, TrustBundle};
use parking_lot::Mutex;
use tonic::Request;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic_prost::ProstCodec;

use super::dial::{Anchored, Secure};
use crate::client::{Connector, Plain, connect};
use crate::wire::{CREATE_CERTIFICATE, CertificateRequest, CertificateResponse};

/// Largest answer: a chain of eight, and the roots of two plugged-in authorities.
const MAX_ANSWER_BYTES: usize = 256 << 10;

/// How a sidecar gets its certificates.
#[derive(Debug, Clone)]
pub struct EnrolmentOptions {
    /// `HOST:PORT` of the control plane.
    pub address: String,
    /// A token of the control plane.
    pub token: Option<String>,
    /// PEM of the roots that vouch for the control plane, rather than what the token says.
    pub roots: Option<String>,
    /// Identity of the control plane, if no token says it.
    pub control: Option<Identity>,
    /// Plain text, to a loopback address.
    pub is_plain: bool,
    /// Wanted life.
    pub ttl: Duration,
    /// How long a call may take, with its connection.
    pub deadline: Duration,
}

/// A certificate, its key, and the roots that were trusted when it was made.
#[derive(Clone)]
pub struct Credentials {
    /// PEM of the leaf and those above it.
    pub chain_pem: String,
    /// PEM of the key. Keep it secret.
    pub key_pem: String,
    /// PEM of the roots, by trust domain.
    pub roots: Vec<(String, String)>,
    materials: Materials,
}

/// Gets the certificates of one identity.
#[derive(Debug)]
pub struct Enrolment {
    options: EnrolmentOptions,
    identity: Identity,
    control: Identity,
    anchor: Option<Anchor>,
    last: Mutex<Option<Credentials>>,
}

/// Why there is no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnrolError {
    /// Trying again does not help.
    #[error("{0}")]
    Refused(String),
    /// The control plane does not answer; later it may.
    #[error("{0}")]
    Unreachable(String),
}

// === impl Credentials ===

impl Credentials {
    /// Puts credentials together, as they were given or kept.
    ///
    /// # Errors
    ///
    /// [`EnrolError::Refused`] if they do not fit together.
    pub fn new(
        chain_pem: String,
        key_pem: String,
        roots: Vec<(String, String)>,
    ) -> Result<Self, EnrolError> {
        let refused = |error: &dyn std::error::Error| EnrolError::Refused(error.to_string());
        let bundle = TrustBundle::from_pem(roots.iter().map(|(domain, pem)| (domain, pem)))
            .map_err(|error| refused(&error))?;
        let materials = Materials::from_pem(chain_pem.as_bytes(), key_pem.as_bytes(), bundle)
            .map_err(|error| refused(&error))?;
        materials.check_trusted().map_err(|error| refused(&error))?;
        Ok(Self { chain_pem, key_pem, roots, materials })
    }

    /// Whether the certificate is of the root with this SHA-256 of its DER, in lower-case hex.
    pub fn is_of_root(&self, digest: &str) -> bool {
        let domain = self.materials.identity().trust_domain();
        let own = self.roots.iter().filter(|(of, _)| of == domain);
        let all: Vec<_> = own
            .flat_map(|(_, pem)| CertificateDer::pem_slice_iter(pem.as_bytes()))
            .filter_map(Result::ok)
            .collect();
        let root = Anchor::Digests(vec![digest.to_owned()]).pinned_pem(&all);
        let (chain, key) = (self.chain_pem.as_bytes(), self.key_pem.as_bytes());
        let bundle = TrustBundle::from_pem([(domain, root)]);
        bundle
            .and_then(|bundle| Materials::from_pem(chain, key, bundle))
            .is_ok_and(|materials| materials.check_trusted().is_ok())
    }

    /// The certificate and its trust, read.
    pub fn materials(&self) -> &Materials {
        &self.materials
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("materials", &self.materials).finish_non_exhaustive()
    }
}

// === impl Enrolment ===

impl Enrolment {
    /// Takes a token, or credentials that were kept from before.
    ///
    /// # Errors
    ///
    /// [`EnrolError::Refused`] if there is neither, or they or the roots cannot be read.
    pub fn new(options: EnrolmentOptions, last: Option<Credentials>) -> Result<Self, EnrolError> {
        let refused = |why: &str| EnrolError::Refused(why.to_owned());
        let claims = options.token.as_deref().map(Claims::unverified).transpose();
        let claims = claims.map_err(|error| refused(&error.to_string()))?;
        let control = options.control.clone().or(claims.as_ref().map(|one| one.issuer().clone()));
        let control = control
            .ok_or_else(|| refused("the identity of the control plane is missing: give a token"))?;
        let kept = last.as_ref().map(|kept| kept.materials.identity().clone());
        let identity = match (claims.as_ref().map(|one| one.identity().clone()), kept) {
            (Some(token), Some(kept)) if token != kept => {
                let why = format!("the token is for {token}, the certificate of before for {kept}");
                return Err(EnrolError::Refused(why));
            }
            (Some(identity), _) | (None, Some(identity)) => identity,
            (None, None) => return Err(refused("a token is missing: meshcore token create")),
        };
        let anchor = match (&options.roots, &claims) {
            (Some(pem), _) => {
                let bundle = TrustBundle::from_pem([(control.trust_domain(), pem)]);
                Some(Anchor::Roots(bundle.map_err(|error| refused(&error.to_string()))?))
            }
            (None, Some(claims)) => Some(Anchor::Digests(claims.roots().to_vec())),
            (None, None) => None,
        };
        Ok(Self { options, identity, control, anchor, last: Mutex::new(last) })
    }

    /// Whom the certificates are for.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Who the control plane has to be.
    pub fn control(&self) -> &Identity {
        &self.control
    }

    /// Asks for a certificate for a new key: by the certificate of before while it is valid, else,
    /// or if that is refused, by the token.
    ///
    /// # Errors
    ///
    /// [`EnrolError`]; the certificate of before is still what it was.
    pub async fn issue(&self) -> Result<Credentials, EnrolError> {
        match tokio::time::timeout(self.options.deadline, Box::pin(self.ask())).await {
            Ok(asked) => {
                let credentials = asked?;
                *self.last.lock() = Some(credentials.clone());
                Ok(credentials)
            }
            Err(_) => Err(EnrolError::Unreachable(format!(
                "{} gives no certificate within {:?}",
                self.options.address, self.options.deadline
            ))),
        }
    }

    async fn ask(&self) -> Result<Credentials, EnrolError> {
        let last = self.last.lock().clone();
        let is_proof = !self.options.is_plain && last.as_ref().is_some_and(is_valid);
        if let Some(last) = last.filter(|_| is_proof) {
            let tls = MeshTls::new(last.materials, MeshTlsOptions::default());
            let (address, control) = (self.options.address.clone(), self.control.clone());
            let asked = self.ask_by(Arc::new(Secure { address, tls, control }), None).await;
            match asked {
                Ok(credentials) => return Ok(credentials),
                Err(error) if self.options.token.is_none() => return Err(error),
                Err(_) => {}
            }
        }
        let (Some(token), Some(anchor)) = (&self.options.token, &self.anchor) else {
            let why = "the certificate of before has ended, and there is no token: give one";
            return Err(EnrolError::Refused(why.into()));
        };
        let address = self.options.address.clone();
        let connector: Arc<dyn Connector> = if self.options.is_plain {
            Arc::new(Plain { address: self.loopback().await? })
        } else {
            let (anchor, control) = (anchor.clone(), self.control.clone());
            Arc::new(Anchored { address, anchor, control })
        };
        self.ask_by(connector, Some(token)).await
    }

    async fn ask_by(
        &self,
        connector: Arc<dyn Connector>,
        token: Option<&str>,
    ) -> Result<Credentials, EnrolError> {
        let address = &self.options.address;
        let channel = connect(connector).await;
        let channel =
            channel.map_err(|why| EnrolError::Unreachable(format!("{address}: {why}")))?;
        let csr =
            ca::new_csr(&self.identity).map_err(|error| EnrolError::Refused(error.to_string()))?;
        let mut request = Request::new(CertificateRequest {
            csr: csr.csr_pem.clone(),
            validity_duration: i64::try_from(self.options.ttl.as_secs()).unwrap_or(i64::MAX),
            metadata: None,
        });
        if let Some(token) = token {
            let header = format!("Bearer {token}").parse();
            let header = header.map_err(|_| EnrolError::Refused("token is no text".into()))?;
            request.metadata_mut().insert("authorization", header);
        }
        let mut grpc = Grpc::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES);
        let unready =
            |error: tonic::transport::Error| EnrolError::Unreachable(format!("{address}: {error}"));
        grpc.ready().await.map_err(unready)?;
        let codec = ProstCodec::<CertificateRequest, CertificateResponse>::default();
        let path = PathAndQuery::from_static(CREATE_CERTIFICATE);
        let answered = grpc.unary(request, path, codec).await;
        let answered = answered.map_err(|status| told(address, &status))?;
        self.check(csr, answered.into_inner())
    }

    /// What came back is for our key and identity, and its roots are believed.
    fn check(&self, csr: Csr, answer: CertificateResponse) -> Result<Credentials, EnrolError> {
        let mut chain = answer.cert_chain;
        let roots = chain.pop().unwrap_or_default();
        let domain = self.identity.trust_domain().to_owned();
        let roots = if self.options.is_plain { self.believed(&roots)? } else { roots };
        let credentials = Credentials::new(chain.concat(), csr.key_pem, vec![(domain, roots)])?;
        let given = credentials.materials.identity();
        if *given != self.identity {
            let why = format!("the certificate that came is for {given}, not {}", self.identity);
            return Err(EnrolError::Refused(why));
        }
        Ok(credentials)
    }

    /// Of roots that came in plain text, those that the token names or a file has.
    fn believed(&self, pem: &str) -> Result<String, EnrolError> {
        let refused = |why: &str| EnrolError::Refused(why.to_owned());
        if let Some(roots) = &self.options.roots {
            return Ok(roots.clone());
        }
        let anchor = self.anchor.as_ref().ok_or_else(|| refused("no root is known"))?;
        let shown: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let shown = shown.map_err(|_| refused("the roots that came are no PEM"))?;
        let believed = anchor.pinned_pem(&shown);
        if believed.is_empty() {
            return Err(refused("none of the roots that came is named in the token"));
        }
        Ok(believed)
    }

    /// The address, if it is of this host.
    async fn loopback(&self) -> Result<String, EnrolError> {
        let address = &self.options.address;
        let found = tokio::net::lookup_host(address).await;
        let found =
            found.map_err(|error| EnrolError::Unreachable(format!("{address}: {error}")))?;
        let is_here = |one: &SocketAddr| IpAddr::is_loopback(&one.ip().to_canonical());
        let here = found.into_iter().find(is_here).ok_or_else(|| {
            EnrolError::Refused(format!(
                "{address} is on another host, where a token may not go in plain text: use the \
                 secure port"
            ))
        })?;
        Ok(here.to_string())
    }
}

fn is_valid(credentials: &Credentials) -> bool {
    credentials.materials.check_trusted().is_ok()
}

/// What the control plane says, and whether to ask again.
fn told(address: &str, status: &tonic::Status) -> EnrolError {
    let text = format!("{address}: {}", status.message());
    match status.code() {
        tonic::Code::Unauthenticated
        | tonic::Code::PermissionDenied
        | tonic::Code::InvalidArgument
        | tonic::Code::Unimplemented => EnrolError::Refused(text),
        tonic::Code::Ok
        | tonic::Code::Cancelled
        | tonic::Code::Unknown
        | tonic::Code::DeadlineExceeded
        | tonic::Code::NotFound
        | tonic::Code::AlreadyExists
        | tonic::Code::ResourceExhausted
        | tonic::Code::FailedPrecondition
        | tonic::Code::Aborted
        | tonic::Code::OutOfRange
        | tonic::Code::Internal
        | tonic::Code::Unavailable
        | tonic::Code::DataLoss => EnrolError::Unreachable(text),
    }
}
