//! Handshakes with servers outside the mesh.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, ServerConfig};
use rustls_pki_types::PrivateKeyDer;

use super::*;
use crate::testing::shake;

type Ca = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Ca {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ca::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn pair(ca: &Ca, names: &[&str]) -> ClientPair {
    let mut params = CertificateParams::default();
    let uri = |name: &str| SanType::URI(name.try_into().unwrap());
    params.subject_alt_names = names
        .iter()
        .map(|name| match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) if name.contains("://") => uri(name),
            Err(_) => SanType::DnsName((*name).try_into().unwrap()),
        })
        .collect();
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, ca).unwrap();
    ClientPair { chain_pem: leaf.pem(), key_pem: key.serialize_pem() }
}

/// A server with these names; with `clients`, one that wants certificates of that authority.
fn server(ca: &Ca, names: &[&str], clients: Option<&Ca>) -> Arc<ServerConfig> {
    let pair = pair(ca, names);
    let chain = CertificateDer::pem_slice_iter(pair.chain_pem.as_bytes()).map(Result::unwrap);
    let key = PrivateKeyDer::from_pem_slice(pair.key_pem.as_bytes()).unwrap();
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(true))
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(ca.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let mut config = builder.with_single_cert(chain.collect(), key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

fn simple(ca: &Ca) -> Origination {
    Origination { ca_pem: Some(ca.pem()), ..Origination::default() }
}

fn connect(
    origination: &Origination,
    host: &str,
    server: &Arc<ServerConfig>,
) -> Result<crate::testing::Pair, (&'static str, rustls::Error)> {
    let made = Originator::new().originate(origination, host).unwrap();
    shake(&made.config, server, &made.server_name.to_str())
}

fn is_wrong_name(outcome: Result<crate::testing::Pair, (&'static str, rustls::Error)>) -> bool {
    match outcome {
        Ok(_) => false,
        Err((side, rustls::Error::InvalidCertificate(error))) => {
            side == "client"
                && matches!(
                    error,
                    CertificateError::NotValidForName
                        | CertificateError::NotValidForNameContext { .. }
                )
        }
        Err((_, error)) => panic!("{error}"),
    }
}

#[test]
fn the_host_is_verified_and_sent() {
    let ca = authority();
    let pair = connect(&simple(&ca), "api.example", &server(&ca, &["api.example"], None)).unwrap();
    assert_eq!(pair.1.server_name(), Some("api.example"));
    assert!(pair.1.peer_certificates().is_none());
    assert!(is_wrong_name(connect(&simple(&ca), "api.evil", &server(&ca, &["api.example"], None))));
    connect(&simple(&ca), "127.0.0.1", &server(&ca, &["127.0.0.1"], None)).unwrap();
    assert!(is_wrong_name(connect(&simple(&ca), "127.0.0.1", &server(&ca, &["a.b"], None))));
}

#[test]
fn sni_is_sent_and_verified_in_place_of_the_host() {
    let ca = authority();
    let origination = Origination { sni: Some("real.example".into()), ..simple(&ca) };
    let server_of = |name| server(&ca, &[name], None);
    let pair = connect(&origination, "alias.internal", &server_of("real.example")).unwrap();
    assert_eq!(pair.1.server_name(), Some("real.example"));
    assert!(is_wrong_name(connect(&origination, "alias.internal", &server_of("alias.internal"))));
}

#[test]
fn one_of_the_alternative_names_must_be_carried_exactly() {
    let ca = authority();
    let wanting = |names: &[&str]| Origination {
        subject_alt_names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..simple(&ca)
    };
    let spiffe = "spiffe://td/ns/a/sa/b";
    for (wanted, carried, accepted) in [
        (&["a.example", "b.example"][..], &["b.example"][..], true),
        (&["a.example"], &["host.example"], false),
        (&["a.b.example"], &["*.b.example"], true),
        (&["x.a.b.example"], &["*.b.example"], false),
        (&["*.example"], &["*.example"], true),
        (&["*.example"], &["a.example"], false),
        (&[spiffe], &[spiffe], true),
        (&[spiffe], &["spiffe://td/ns/a/sa/b2"], false),
        (&[spiffe], &["host.example"], false),
        (&["10.0.0.1"], &["10.0.0.1"], true),
        (&["10.0.0.1"], &["10.0.0.2"], false),
        (&["not a name"], &["host.example"], false),
    ] {
        let outcome = connect(&wanting(wanted), "host.example", &server(&ca, carried, None));
        let as_wanted = if accepted { outcome.is_ok() } else { is_wrong_name(outcome) };
        assert!(as_wanted, "{wanted:?} {carried:?}");
    }
}

#[test]
fn only_the_given_authorities_are_trusted() {
    let (ca, other) = (authority(), authority());
    let (side, error) =
        connect(&simple(&other), "a.example", &server(&ca, &["a.example"], None)).unwrap_err();
    assert_eq!(side, "client");
    assert!(matches!(
        error,
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature
        )
    ));
}

#[test]
fn skipping_verification_still_needs_the_servers_key() {
    let ca = authority();
    let origination = Origination { insecure_skip_verify: true, ..Origination::default() };
    connect(&origination, "a.example", &server(&ca, &["b.example"], None)).unwrap();
    let mut thief = server(&ca, &["a.example"], None).as_ref().clone();
    let victim = pair(&ca, &["a.example"]);
    let chain = CertificateDer::pem_slice_iter(victim.chain_pem.as_bytes()).map(Result::unwrap);
    let key = KeyPair::generate().unwrap().serialize_der();
    let key = provider().key_provider.load_private_key(PrivateKeyDer::try_from(key).unwrap());
    let certified = rustls::sign::CertifiedKey::new(chain.collect(), key.unwrap());
    thief.cert_resolver = Arc::new(SingleCertAndKey::from(certified));
    let (side, error) = connect(&origination, "a.example", &Arc::new(thief)).unwrap_err();
    assert_eq!((side, error), ("client", CertificateError::BadSignature.into()));
}

#[test]
fn a_client_certificate_is_shown_when_given() {
    let (ca, clients) = (authority(), authority());
    let server = server(&ca, &["a.example"], Some(&clients));
    let mutual = Origination { client: Some(pair(&clients, &["me"])), ..simple(&ca) };
    let shaken = connect(&mutual, "a.example", &server).unwrap();
    assert_eq!(shaken.1.peer_certificates().unwrap().len(), 1);
    let (side, error) = connect(&simple(&ca), "a.example", &server).unwrap_err();
    assert_eq!((side, error), ("server", rustls::Error::NoCertificatesPresented));
}

#[test]
fn protocols_are_offered_as_asked() {
    let ca = authority();
    let server = server(&ca, &["a.example"], None);
    for (alpn, chosen) in [(vec![], None), (vec![b"http/1.1".to_vec()], Some(&b"http/1.1"[..]))] {
        let origination = Origination { alpn, ..simple(&ca) };
        let pair = connect(&origination, "a.example", &server).unwrap();
        assert_eq!(pair.0.alpn_protocol(), chosen);
    }
}

#[test]
fn equal_originations_share_and_different_ones_do_not() {
    let (ca, other) = (authority(), authority());
    let originator = Originator::new();
    let config =
        |origination: &Origination, host| originator.originate(origination, host).unwrap().config;
    let base = simple(&ca);
    let first = config(&base, "a.example");
    assert!(Arc::ptr_eq(&first, &config(&base.clone(), "b.example")));
    for different in [
        simple(&other),
        Origination { insecure_skip_verify: true, ..base.clone() },
        Origination { subject_alt_names: vec!["a".into()], ..base.clone() },
        Origination { alpn: vec![b"a".to_vec()], ..base.clone() },
        Origination { client: Some(pair(&ca, &["me"])), ..base.clone() },
    ] {
        assert!(!Arc::ptr_eq(&first, &config(&different, "a.example")), "{different:?}");
    }
    let names = |names: &[&str]| Origination {
        subject_alt_names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..base.clone()
    };
    assert_ne!(names(&["ab", "c"]).fingerprint(), names(&["a", "bc"]).fingerprint());
}

#[test]
fn missing_trust_is_an_error() {
    let ca = authority();
    let originator = Originator::new();
    let refused = |origination: &Origination, host: &str| {
        originator.originate(origination, host).unwrap_err()
    };
    for pem in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let broken = Origination { ca_pem: Some(pem.into()), ..Origination::default() };
        assert!(matches!(refused(&broken, "a.example"), OriginateError::Authorities(_)), "{pem}");
    }
    assert!(matches!(refused(&simple(&ca), "a b"), OriginateError::ServerName(_)));
    let mismatched =
        ClientPair { key_pem: KeyPair::generate().unwrap().serialize_pem(), ..pair(&ca, &["me"]) };
    let mutual = Origination { client: Some(mismatched), ..simple(&ca) };
    let error = refused(&mutual, "a.example");
    assert!(matches!(error, OriginateError::Client(MaterialsError::KeyMismatch)), "{error}");
}

/// Machines without `ca-certificates` exist, and there it must be an error.
#[test]
fn system_roots_are_used_or_their_absence_is_an_error() {
    let originator = Originator::new();
    match originator.originate(&Origination::default(), "a.example") {
        Ok(_) => assert!(!originator.system_roots().unwrap().is_empty()),
        Err(error) => assert!(matches!(error, OriginateError::NoSystemRoots(_)), "{error}"),
    }
    let ca = authority();
    if let Ok(made) = originator.originate(&Origination::default(), "a.example") {
        let private = server(&ca, &["a.example"], None);
        assert_eq!(shake(&made.config, &private, "a.example").unwrap_err().0, "client");
    }
}
