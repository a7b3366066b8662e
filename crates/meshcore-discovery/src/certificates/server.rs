//! The side of the control plane: who asks is proved, and the request counts only for its key.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use meshcore_model::Identity;
use meshcore_tls::ca::{CaError, MAX_TTL};
use meshcore_tls::store::{Authorities, Signed, StoreError, Tokens};
use prost_types::value::Kind;
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::counts::{Counts, Reason};
use crate::peer::{self, Peer, Refused};
use crate::server::{Answering, Call, Known};
use crate::wire::{CREATE_CERTIFICATE, CertificateRequest, CertificateResponse};

/// Largest message: a request with an RSA 8192 key has 4 KiB.
const MAX_MESSAGE_BYTES: usize = 64 << 10;
/// Calls that are answered or wait, at most: a mesh that comes back at once.
const CALLS: usize = 4096;
/// Signatures at a time: they take the processor, and now and then the disk.
const SIGNING: usize = 2;

/// How long certificates live.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// If nothing is asked for. Source: Istio `DEFAULT_WORKLOAD_CERT_TTL`, 24 hours.
    pub usual: Duration,
    /// At most, whatever is asked for. Source: Istio `MAX_WORKLOAD_CERT_TTL`, 90 days.
    pub most: Duration,
}

/// The certificate service.
#[derive(Debug, Clone)]
pub struct Certificates(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    authorities: Arc<Authorities>,
    tokens: Arc<Tokens>,
    policy: Policy,
    counts: Arc<Counts>,
    calls: Arc<Semaphore>,
    signing: Semaphore,
}

impl Default for Policy {
    fn default() -> Self {
        Self { usual: Duration::from_hours(24), most: MAX_TTL }
    }
}

// === impl Certificates ===

impl Certificates {
    /// A service that signs with these authorities for who has one of these tokens, or a
    /// certificate.
    pub fn new(
        authorities: Arc<Authorities>,
        tokens: Arc<Tokens>,
        policy: Policy,
        counts: Arc<Counts>,
    ) -> Self {
        let (calls, signing) = (Arc::new(Semaphore::new(CALLS)), Semaphore::new(SIGNING));
        Self(Arc::new(Inner { authorities, tokens, policy, counts, calls, signing }))
    }
}

impl Call for Certificates {
    fn path(&self) -> &'static str {
        CREATE_CERTIFICATE
    }

    fn answer(&self, request: http::Request<Body>) -> Answering {
        let service = self.clone();
        Box::pin(async move {
            let codec = ProstCodec::<CertificateResponse, CertificateRequest>::default();
            let mut grpc = Grpc::new(codec).apply_max_message_size_config(
                Some(MAX_MESSAGE_BYTES),
                Some(MAX_MESSAGE_BYTES * 4),
            );
            grpc.unary(service, request).await
        })
    }
}

impl UnaryService<CertificateRequest> for Certificates {
    type Response = CertificateResponse;
    type Future =
        Pin<Box<dyn Future<Output = Result<Response<CertificateResponse>, Status>> + Send>>;

    fn call(&mut self, request: Request<CertificateRequest>) -> Self::Future {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            inner.counts.asked();
            match Arc::clone(&inner).create(request).await {
                Ok(response) => {
                    inner.counts.issued();
                    Ok(Response::new(response))
                }
                Err((reason, status)) => {
                    inner.counts.refused(reason);
                    Err(status)
                }
            }
        })
    }
}

type Refusal = (Reason, Status);

// === impl Inner ===

impl Inner {
    async fn create(
        self: Arc<Self>,
        request: Request<CertificateRequest>,
    ) -> Result<CertificateResponse, Refusal> {
        let busy = || (Reason::Busy, Status::resource_exhausted("too many requests: try later"));
        let _place = self.calls.try_acquire().map_err(|_| busy())?;
        let identity = self.caller(&request)?;
        if let Some(known) = request.extensions().get::<Known>() {
            known.is_known();
        }
        let asked = request.into_inner();
        if wants_another(&asked) {
            let told = format!("{identity} may not ask for the identity of another");
            return Err((Reason::Impersonation, Status::permission_denied(told)));
        }
        let ttl = self.life(asked.validity_duration)?;
        let _turn = self.signing.acquire().await.map_err(|_| busy())?;
        let inner = Arc::clone(&self);
        let signed = tokio::task::spawn_blocking(move || {
            inner.authorities.sign_csr(&asked.csr, &identity, ttl)
        });
        match signed.await {
            Ok(Ok(signed)) => Ok(answer(signed)),
            Ok(Err(error)) => Err(self.unsigned(&error)),
            Err(_) => Err((Reason::Authority, Status::internal("signing did not end"))),
        }
    }

    /// Who asks. Where a token and a certificate say different things, neither is believed.
    fn caller(&self, request: &Request<CertificateRequest>) -> Result<Identity, Refusal> {
        let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
        let by_token = match peer::bearer(request.metadata()) {
            None => None,
            Some(token) => {
                let verified = self
                    .tokens
                    .verify(token)
                    .map_err(|error| (Reason::Token, Status::unauthenticated(error.to_string())))?;
                Some(verified.identity().clone())
            }
        };
        let identity = match (peer.identity, by_token) {
            (Some(certified), Some(token)) if certified != token => {
                let told = "the token and the certificate are of different identities";
                return Err((Reason::Ambiguous, Status::unauthenticated(told)));
            }
            (Some(identity), None) => {
                let told = match self.tokens.may_renew(&identity) {
                    Ok(true) => return self.checked(identity),
                    Ok(false) => "a token of this identity was revoked: show another".to_owned(),
                    Err(error) => error.to_string(),
                };
                return Err((Reason::Token, Status::unauthenticated(told)));
            }
            (Some(identity), Some(_)) | (None, Some(identity)) => identity,
            (None, None) => {
                let told = "a token or a certificate is missing: meshcore token create";
                return Err((Reason::NoIdentity, Status::unauthenticated(told)));
            }
        };
        self.checked(identity)
    }

    /// Whether an identity may have certificates of this mesh.
    fn checked(&self, identity: Identity) -> Result<Identity, Refusal> {
        let control = self.authorities.control();
        if identity.trust_domain() != control.trust_domain() {
            let told = format!("{identity} is not of {}", control.trust_domain());
            return Err((Reason::TrustDomain, Status::permission_denied(told)));
        }
        if identity == *control {
            let told = "that is the identity of the control plane";
            return Err((Reason::Reserved, Status::permission_denied(told)));
        }
        Ok(identity)
    }

    fn life(&self, asked_seconds: i64) -> Result<Duration, Refusal> {
        match u64::try_from(asked_seconds) {
            Ok(0) => Ok(self.policy.usual.min(self.policy.most)),
            Ok(seconds) => Ok(Duration::from_secs(seconds).min(self.policy.most)),
            Err(_) => {
                let told = "validity_duration is negative, 0 takes the usual";
                Err((Reason::Validity, Status::invalid_argument(told)))
            }
        }
    }

    fn unsigned(&self, error: &StoreError) -> Refusal {
        let told = error.to_string();
        let reason = match error {
            StoreError::Authority(CaError::MalformedCsr(_) | CaError::UnprovenKey) => {
                Reason::Request
            }
            StoreError::Authority(CaError::WeakKey(_)) => Reason::Key,
            StoreError::Authority(CaError::ZeroTtl) => Reason::Validity,
            StoreError::Authority(
                CaError::AuthorityExpired(_)
                | CaError::Unusable(_)
                | CaError::Refused(_)
                | CaError::Signing(_),
            )
            | StoreError::At { .. }
            | StoreError::Missing(_)
            | StoreError::NotNow(_)
            | StoreError::Token(_) => {
                self.counts.trouble(Some(told));
                let told = "the authority cannot sign: see the control plane's status";
                return (Reason::Authority, Status::unavailable(told));
            }
        };
        (reason, Status::invalid_argument(told))
    }
}

/// The leaf, those above it, and last all roots that are trusted.
fn answer(signed: Signed) -> CertificateResponse {
    let mut cert_chain = signed.issued.certificates;
    cert_chain.pop();
    cert_chain.push(signed.roots);
    CertificateResponse { cert_chain }
}

/// Whether somebody asks for another identity. Source: Istio's `ImpersonatedIdentity`.
fn wants_another(asked: &CertificateRequest) -> bool {
    let fields = asked.metadata.as_ref().map(|metadata| &metadata.fields);
    let wanted = fields.and_then(|fields| fields.get("ImpersonatedIdentity"));
    match wanted.and_then(|value| value.kind.as_ref()) {
        None | Some(Kind::NullValue(_)) => false,
        Some(Kind::StringValue(text)) => !text.is_empty(),
        Some(
            Kind::NumberValue(_) | Kind::BoolValue(_) | Kind::StructValue(_) | Kind::ListValue(_),
        ) => true,
    }
}

/// Registering, too, believes these tokens.
impl peer::Tokens for Tokens {
    fn identity(&self, bearer: &str) -> Result<Identity, Refused> {
        let verified =
            self.verify(bearer).map_err(|error| Refused { reason: error.to_string() })?;
        Ok(verified.identity().clone())
    }
}
