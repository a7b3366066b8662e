//! Attacks on the certificate service over real sockets, and the ways in that are meant.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use meshcore_model::{Identity, Trust};
use meshcore_tls::ca::{Authority, new_csr};
use meshcore_tls::rustls_pki_types::CertificateDer;
use meshcore_tls::rustls_pki_types::pem::PemObject;
use meshcore_tls::store::{Authorities, Tokens};
use meshcore_tls::{Anchor, Materials, MeshTls, MeshTlsOptions, TrustBundle};
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::dial::Anchored;
use super::*;
use crate::client::{Connector, connect};
use crate::server::{Listener, serve};
use crate::wire::{CREATE_CERTIFICATE, CertificateRequest, CertificateResponse};

const DAY: Duration = Duration::from_hours(24);

/// A control plane on both ports.
struct Rig {
    authorities: Arc<Authorities>,
    tokens: Arc<Tokens>,
    counts: Arc<Counts>,
    own: Arc<Own>,
    secure: SocketAddr,
    plain: SocketAddr,
    _home: tempfile::TempDir,
}

fn id(account: &str) -> Identity {
    Identity::new("td", "shop", account).unwrap()
}

impl Rig {
    async fn start() -> Self {
        Self::of("td").await
    }

    async fn of(domain: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let control = Identity::new(domain, "istio-system", "meshcore-control").unwrap();
        let place = home.path().join("control");
        let authorities = Arc::new(Authorities::open(&place, &control, None).unwrap());
        let tokens = Arc::new(authorities.tokens().unwrap());
        let counts = Arc::new(Counts::default());
        let own = Own::new(Arc::clone(&authorities), DAY, Trust::default()).unwrap();
        let own = Arc::new(own);
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = SecureListener::bind(any, own.tls(), Arc::clone(&counts)).await.unwrap();
        let plainly = Listener::bind(any).await.unwrap();
        let (secure, plain) = (listener.address().unwrap(), plainly.address().unwrap());
        let (connections, incoming) = mpsc::channel(16);
        tokio::spawn(listener.accept(connections.clone()));
        tokio::spawn(plainly.accept(connections));
        let service = Certificates::new(
            Arc::clone(&authorities),
            Arc::clone(&tokens),
            Policy::default(),
            Arc::clone(&counts),
        );
        tokio::spawn(serve(incoming, vec![Arc::new(service)]));
        Self { authorities, tokens, counts, own, secure, plain, _home: home }
    }

    fn token(&self, account: &str) -> String {
        self.tokens.create(&self.authorities, id(account), DAY).unwrap().text
    }

    fn bundle(&self) -> TrustBundle {
        TrustBundle::from_pem([("td", self.authorities.roots().unwrap())]).unwrap()
    }

    /// Materials for any identity, as a certificate of the mesh.
    fn materials(&self, identity: &Identity, ttl: Duration) -> Materials {
        let csr = new_csr(identity).unwrap();
        let signed = self.authorities.sign_csr(&csr.csr_pem, identity, ttl).unwrap();
        let (chain, key) = (signed.issued.chain_pem, csr.key_pem);
        Materials::from_pem(chain.as_bytes(), key.as_bytes(), self.bundle()).unwrap()
    }

    fn anchored(&self) -> Arc<dyn Connector> {
        Arc::new(Anchored {
            address: self.secure.to_string(),
            anchor: Anchor::Roots(self.bundle()),
            control: self.authorities.control().clone(),
        })
    }

    fn certified(&self, materials: Materials) -> Arc<dyn Connector> {
        Arc::new(Secure {
            address: self.secure.to_string(),
            tls: MeshTls::new(materials, MeshTlsOptions::default()),
            control: self.authorities.control().clone(),
        })
    }

    fn options(&self, token: Option<String>) -> EnrolmentOptions {
        EnrolmentOptions {
            address: self.secure.to_string(),
            token,
            roots: None,
            control: None,
            is_plain: false,
            ttl: DAY,
            deadline: Duration::from_secs(10),
        }
    }
}

async fn call(
    connector: Arc<dyn Connector>,
    bearer: Option<&str>,
    asked: CertificateRequest,
) -> Result<CertificateResponse, Status> {
    let channel = connect(connector).await.map_err(Status::unavailable)?;
    let mut request = Request::new(asked);
    if let Some(bearer) = bearer {
        request.metadata_mut().insert("authorization", bearer.parse().unwrap());
    }
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static(CREATE_CERTIFICATE);
    let codec = ProstCodec::<CertificateRequest, CertificateResponse>::default();
    Ok(grpc.unary(request, path, codec).await?.into_inner())
}

fn asked(csr: String) -> CertificateRequest {
    CertificateRequest { csr, validity_duration: 3600, metadata: None }
}

fn good() -> CertificateRequest {
    asked(new_csr(&id("web")).unwrap().csr_pem)
}

/// The one URI of a leaf, found in its bytes.
fn issued_to(response: &CertificateResponse) -> String {
    let der = CertificateDer::from_pem_slice(response.cert_chain[0].as_bytes()).unwrap();
    let starts: Vec<_> = (1..der.len()).filter(|at| der[*at..].starts_with(b"spiffe://")).collect();
    assert_eq!(starts.len(), 1, "one identity");
    let (before, name) = der.split_at(starts[0]);
    let length = usize::from(*before.last().unwrap());
    String::from_utf8(name[..length].to_vec()).unwrap()
}

#[tokio::test]
async fn a_token_gets_a_certificate_and_that_gets_the_next() {
    let rig = Rig::start().await;
    let enrolment = Enrolment::new(rig.options(Some(rig.token("web"))), None).unwrap();
    assert_eq!(enrolment.identity(), &id("web"));
    let first = enrolment.issue().await.unwrap();
    assert_eq!(first.materials().identity(), &id("web"));
    let second = enrolment.issue().await.unwrap();
    assert_ne!(first.key_pem, second.key_pem, "a new key each time");
    let options =
        EnrolmentOptions { control: Some(rig.authorities.control().clone()), ..rig.options(None) };
    let later = Enrolment::new(options, Some(second)).unwrap();
    let third = later.issue().await.expect("by the certificate");
    assert_eq!(third.materials().identity(), &id("web"));
    assert_eq!(rig.counts.signed(), 3);
    assert!(rig.counts.exposition().contains("citadel_server_csr_count 3"));
    let revoked = rig.tokens.list().unwrap()[0].id.clone();
    rig.tokens.revoke(&revoked).unwrap();
    let refused = later.issue().await.unwrap_err().to_string();
    assert!(refused.contains("was revoked: show another"), "{refused}");
    let another = Enrolment::new(rig.options(Some(rig.token("web"))), Some(third)).unwrap();
    another.issue().await.expect("by another token");
}

#[tokio::test]
async fn plain_text_is_for_this_host_and_for_roots_that_are_pinned() {
    let rig = Rig::start().await;
    let plain = EnrolmentOptions {
        address: rig.plain.to_string(),
        is_plain: true,
        ..rig.options(Some(rig.token("web")))
    };
    let given = Enrolment::new(plain.clone(), None).unwrap().issue().await.unwrap();
    given.materials().check_trusted().unwrap();
    let away = EnrolmentOptions { address: "192.0.2.1:15010".into(), ..plain };
    let error = Enrolment::new(away, None).unwrap().issue().await.unwrap_err();
    assert!(matches!(error, EnrolError::Refused(_)), "{error}");
}

#[tokio::test]
async fn a_sidecar_does_not_talk_to_another_control_plane() {
    let (rig, other) = (Rig::start().await, Rig::start().await);
    let mut options = rig.options(Some(rig.token("web")));
    options.address = other.secure.to_string();
    let error = Enrolment::new(options.clone(), None).unwrap().issue().await.unwrap_err();
    assert!(matches!(error, EnrolError::Unreachable(_)), "{error}");
    assert_eq!(other.counts.of(Reason::Token), 0, "the token was not shown");
    options.address = "127.0.0.1:1".into();
    let gone = Enrolment::new(options, None).unwrap().issue().await.unwrap_err();
    assert!(matches!(gone, EnrolError::Unreachable(_)), "{gone}");
    let none = Enrolment::new(rig.options(None), None).unwrap_err();
    assert!(matches!(none, EnrolError::Refused(_)), "{none}");
    assert!(Enrolment::new(rig.options(Some("junk".into())), None).is_err());
}

#[tokio::test]
async fn who_proves_nothing_gets_nothing() {
    let (rig, other) = (Rig::start().await, Rig::of("td").await);
    let token = rig.token("web");
    let revoked = rig.tokens.create(&rig.authorities, id("web"), DAY).unwrap();
    rig.tokens.revoke(revoked.claims.id()).unwrap();
    let (head, rest) = token.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    for (name, bearer) in [
        ("nothing", None),
        ("empty", Some(String::new())),
        ("no scheme", Some(token.clone())),
        ("basic", Some(format!("Basic {token}"))),
        ("no token", Some("Bearer ".into())),
        ("junk", Some("Bearer a.b.c".into())),
        ("revoked", Some(format!("Bearer {}", revoked.text))),
        ("another control plane's", Some(format!("Bearer {}", other.token("web")))),
        ("without signature", Some(format!("Bearer {head}.{body}."))),
        ("bodies swapped", Some(format!("Bearer {body}.{head}.{signature}"))),
        ("two tokens", Some(format!("Bearer {token} {token}"))),
        ("huge", Some(format!("Bearer {}", "A".repeat(10_000)))),
    ] {
        let status = call(rig.anchored(), bearer.as_deref(), good()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{name}: {status}");
        assert!(!status.message().contains(signature), "{name}");
    }
    assert_eq!(rig.counts.signed(), 0);
    assert!(rig.counts.of(Reason::NoIdentity) >= 3 && rig.counts.of(Reason::Token) >= 6);
}

#[tokio::test]
async fn the_request_counts_only_for_its_key() {
    let rig = Rig::start().await;
    let bearer = format!("Bearer {}", rig.token("web"));
    for other in [
        new_csr(&id("admin")).unwrap(),
        new_csr(&Identity::new("other", "kube-system", "root").unwrap()).unwrap(),
        new_csr(rig.authorities.control()).unwrap(),
    ] {
        let given = call(rig.anchored(), Some(&bearer), asked(other.csr_pem)).await.unwrap();
        assert_eq!(issued_to(&given), id("web").as_str());
    }
    let flipped = {
        let csr = good().csr;
        let at = csr.len() - 60;
        let other = if csr.as_bytes()[at] == b'A' { "B" } else { "A" };
        format!("{}{other}{}", &csr[..at], &csr[at + 1..])
    };
    for (name, csr) in [
        ("empty", String::new()),
        ("junk", "junk".into()),
        ("certificate", rig.authorities.roots().unwrap()),
        ("damaged", flipped),
        ("long", "A".repeat(20_000)),
        ("NUL", "\0".repeat(100)),
    ] {
        let status = call(rig.anchored(), Some(&bearer), asked(csr)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{name}: {status}");
    }
    let huge = call(rig.anchored(), Some(&bearer), asked("A".repeat(1 << 20))).await;
    assert!(huge.is_err());
    assert_eq!(rig.counts.signed(), 3);
}

#[tokio::test]
async fn lives_are_bounded() {
    let rig = Rig::start().await;
    let bearer = format!("Bearer {}", rig.token("web"));
    for seconds in [-1, i64::MIN] {
        let wanted = CertificateRequest { validity_duration: seconds, ..good() };
        let status = call(rig.anchored(), Some(&bearer), wanted).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{seconds}");
    }
    for seconds in [0, 1, i64::MAX] {
        let wanted = CertificateRequest { validity_duration: seconds, ..good() };
        assert!(call(rig.anchored(), Some(&bearer), wanted).await.is_ok(), "{seconds}");
    }
    assert_eq!(rig.counts.of(Reason::Validity), 2);
}

#[tokio::test]
async fn nobody_gets_the_identity_of_another() {
    let rig = Rig::start().await;
    let bearer = format!("Bearer {}", rig.token("web"));
    for kind in [
        Kind::StringValue("spiffe://td/ns/shop/sa/admin".into()),
        Kind::BoolValue(true),
        Kind::ListValue(prost_types::ListValue::default()),
    ] {
        let field = ("ImpersonatedIdentity".to_owned(), Value { kind: Some(kind) });
        let metadata = Some(Struct { fields: [field].into() });
        let wanted = CertificateRequest { metadata, ..good() };
        let status = call(rig.anchored(), Some(&bearer), wanted).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
    }
    let api = rig.certified(rig.materials(&id("api"), DAY));
    let status = call(api, Some(&bearer), good()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "token and certificate differ");
    let control = rig.certified(rig.own.tls().materials());
    let status = call(control, None, good()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "the control plane's own identity");
    assert_eq!(rig.counts.of(Reason::Impersonation), 3);
    assert_eq!(rig.counts.of(Reason::Ambiguous), 1);
    assert_eq!(rig.counts.of(Reason::Reserved), 1);
}

#[tokio::test]
async fn certificates_that_are_not_of_the_mesh_do_not_authenticate() {
    let rig = Rig::start().await;
    let foreign = Authority::create("td", DAY).unwrap();
    let issued = foreign.issue(&id("web"), DAY).unwrap();
    let (chain, key) = (issued.chain_pem.as_bytes(), issued.key_pem.as_bytes());
    let stranger = Materials::from_pem(chain, key, rig.bundle()).unwrap();
    assert!(call(rig.certified(stranger), None, good()).await.is_err(), "another root");
    let brief = rig.materials(&id("web"), Duration::from_secs(2));
    assert!(call(rig.certified(brief.clone()), None, good()).await.is_ok());
    let channel = connect(rig.certified(brief.clone())).await.unwrap();
    tokio::time::sleep(Duration::from_millis(3500)).await;
    let mut old = Grpc::new(channel);
    let path = PathAndQuery::from_static(CREATE_CERTIFICATE);
    let codec = ProstCodec::<CertificateRequest, CertificateResponse>::default();
    let kept = match old.ready().await {
        Ok(()) => old.unary(Request::new(good()), path, codec).await.is_ok(),
        Err(_) => false,
    };
    assert!(!kept, "a connection ends with its certificate");
    assert!(call(rig.certified(brief), None, good()).await.is_err(), "expired");
    assert_eq!(rig.counts.signed(), 1);
}

#[tokio::test]
async fn junk_closes_a_connection_and_leaves_the_port_open() {
    let rig = Rig::start().await;
    for junk in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0x16; 600]]
    {
        let mut stream = TcpStream::connect(rig.secure).await.unwrap();
        stream.write_all(junk).await.unwrap();
        let mut rest = Vec::new();
        let read = stream.read_to_end(&mut rest);
        // A reset is an end too.
        let _ = tokio::time::timeout(Duration::from_secs(5), read).await.expect("is closed");
    }
    let bearer = format!("Bearer {}", rig.token("web"));
    assert!(call(rig.anchored(), Some(&bearer), good()).await.is_ok());
    assert_eq!(rig.counts.of(Reason::Handshake), 3);
}

#[tokio::test]
async fn many_at_once_all_get_their_own() {
    let rig = Rig::start().await;
    let calls: Vec<_> = (0..40)
        .map(|number| {
            let account = format!("w{}", number % 8);
            let (connector, token) = (rig.anchored(), rig.token(&account));
            tokio::spawn(async move {
                let given = call(connector, Some(&format!("Bearer {token}")), good()).await;
                assert_eq!(issued_to(&given.unwrap()), id(&account).as_str());
            })
        })
        .collect();
    for one in calls {
        one.await.unwrap();
    }
    assert_eq!(rig.counts.signed(), 40);
}

#[tokio::test]
async fn a_rotation_reaches_the_control_plane_itself() {
    let rig = Rig::start().await;
    let before = rig.own.trust();
    let enrolment = Enrolment::new(rig.options(Some(rig.token("web"))), None).unwrap();
    enrolment.issue().await.unwrap();
    assert_eq!(rig.own.turn().unwrap(), None, "nothing is new");
    rig.authorities.begin(Duration::ZERO, None).unwrap();
    let after = rig.own.turn().unwrap().expect("trust has changed");
    assert_ne!(after.signer, before.signer);
    assert_eq!(after.roots["td"].matches("BEGIN").count(), 2);
    // Its certificate is of the old root, the control plane's of the new one: it has not heard.
    let fresh = Enrolment::new(rig.options(Some(rig.token("web"))), None).unwrap();
    let renewed = fresh.issue().await.unwrap();
    assert_eq!(renewed.roots[0].1.matches("BEGIN").count(), 2);
    rig.authorities.finish(true).unwrap();
    let last = rig.own.turn().unwrap().expect("trust has changed");
    assert_eq!(last.roots["td"].matches("BEGIN").count(), 1);
    assert!(fresh.issue().await.is_ok());
    let error = enrolment.issue().await.unwrap_err();
    assert!(matches!(error, EnrolError::Unreachable(_)), "the token pins the old root: {error}");
}
