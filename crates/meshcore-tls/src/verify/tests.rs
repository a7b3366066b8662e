//! Certificates that must be refused, and the few that must not, shown in real handshakes from
//! either side.

use std::sync::Arc;

use rcgen::KeyPair;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use crate::testing::{identity, shake};
use crate::{Materials, MeshTls, MeshTlsOptions, TrustBundle, alpn};

mod cases;
mod forge;
mod revoked;

use forge::{Forge, Shown};

/// The side that judges, and a side that shows it certificates and itself trusts everything.
struct Court {
    judge: Arc<MeshTls>,
    shows: Arc<MeshTls>,
}

/// A judge in trust domain `td` that also knows `partner`.
fn court(forge: &Forge) -> Court {
    court_with(forge, both(forge))
}

fn court_with(forge: &Forge, bundle: TrustBundle) -> Court {
    Court { judge: mesh_with(forge, bundle), shows: mesh_with(forge, both(forge)) }
}

fn both(forge: &Forge) -> TrustBundle {
    TrustBundle::from_pem([("td", forge.td.pem()), ("partner", forge.partner.pem())]).unwrap()
}

fn mesh_with(forge: &Forge, bundle: TrustBundle) -> Arc<MeshTls> {
    let good = forge.leaf(|_| {});
    let (chain, key) = (good.chain_pem(), good.key.serialize_pem());
    let materials = Materials::from_pem(chain.as_bytes(), key.as_bytes(), bundle);
    MeshTls::new(materials.unwrap(), MeshTlsOptions::default())
}

fn anyone() -> Expected {
    Expected::trust_domains(["td", "partner", "alias"])
}

fn certified(chain: &[CertificateDer<'static>], key: &KeyPair) -> CertifiedKey {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    CertifiedKey::new(chain.to_vec(), provider().key_provider.load_private_key(key).unwrap())
}

/// A client that shows whatever it is given.
fn showing_client(court: &Court, certified: CertifiedKey) -> Arc<ClientConfig> {
    let mut config = court.shows.client_config(&anyone(), alpn::HBONE).unwrap().as_ref().clone();
    config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified));
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

/// A server that shows whatever it is given.
fn showing_server(court: &Court, certified: CertifiedKey) -> Arc<ServerConfig> {
    let mut config = court.shows.server_config(alpn::HBONE).unwrap().as_ref().clone();
    config.cert_resolver = Arc::new(SingleCertAndKey::from(certified));
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

/// `ok`, or the label under which the judge refuses the chain.
fn shown_by_client(court: &Court, shown: &Shown) -> &'static str {
    let client = showing_client(court, certified(&shown.chain, &shown.key));
    verdict("server", shake(&client, &court.judge.server_config(alpn::HBONE).unwrap(), "a.b"))
}

fn shown_by_server(court: &Court, shown: &Shown) -> &'static str {
    let server = showing_server(court, certified(&shown.chain, &shown.key));
    let client = court.judge.client_config(&anyone(), alpn::HBONE).unwrap();
    verdict("client", shake(&client, &server, "a.b"))
}

fn verdict<T>(judge: &str, outcome: Result<T, (&'static str, rustls::Error)>) -> &'static str {
    match outcome {
        Ok(_) => "ok",
        Err((side, error)) => {
            assert_eq!(side, judge, "{error}");
            Refusal::behind(&error).unwrap_or_else(|| panic!("{error:?}")).label()
        }
    }
}

#[test]
fn every_forged_certificate_gets_its_verdict_from_both_sides() {
    let forge = Forge::new();
    let court = court(&forge);
    let cases = cases::all(&forge);
    let bad = cases.iter().filter(|case| (case.as_client, case.as_server) != ("ok", "ok")).count();
    assert!(bad >= 80, "only {bad} bad ones");
    // The second time chains are remembered; the third we have another certificate.
    for time in ["first", "again", "after a rotation"] {
        let mut wrong = Vec::new();
        for case in &cases {
            let client = shown_by_client(&court, &case.shown);
            let server = shown_by_server(&court, &case.shown);
            if (client, server) != (case.as_client, case.as_server) {
                wrong.push((case.name, (client, server), (case.as_client, case.as_server)));
            }
        }
        assert!(wrong.is_empty(), "{time}: case, (client, server) verdicts, expected:\n{wrong:#?}");
        if time == "again" {
            court.judge.rotate(mesh_with(&forge, both(&forge)).materials());
        }
    }
}

#[test]
fn a_certificate_without_its_key_is_worth_nothing() {
    let forge = Forge::new();
    let court = court(&forge);
    let stolen = forge.leaf(|_| {});
    shown_by_client(&court, &stolen); // the chain is in the cache now
    let thief = Shown { chain: stolen.chain.clone(), key: KeyPair::generate().unwrap() };
    let client = showing_client(&court, certified(&thief.chain, &thief.key));
    let outcome = shake(&client, &court.judge.server_config(alpn::HBONE).unwrap(), "a.b");
    let bad_signature = rustls::Error::from(rustls::CertificateError::BadSignature);
    assert_eq!(outcome.unwrap_err(), ("server", bad_signature.clone()));
    let server = showing_server(&court, certified(&thief.chain, &thief.key));
    let client = court.judge.client_config(&anyone(), alpn::HBONE).unwrap();
    assert_eq!(shake(&client, &server, "a.b").unwrap_err(), ("client", bad_signature));
}

#[test]
fn two_authorities_by_two_domains_by_four_bundles() {
    let forge = Forge::new();
    let (a, b) = (&forge.td, &forge.partner);
    let bundles = [
        vec![("td", a)],
        vec![("partner", b)],
        vec![("td", a), ("partner", b)],
        vec![("td", b), ("partner", a)],
    ];
    for bundle in &bundles {
        let pems = bundle.iter().map(|(domain, root)| (*domain, root.pem()));
        let court = court_with(&forge, TrustBundle::from_pem(pems).unwrap());
        for (root, domain) in [(a, "td"), (a, "partner"), (b, "td"), (b, "partner")] {
            let shown = forge.leaf_by(root, |params| forge::name(params, domain));
            let trusted = bundle.iter().find(|(known, _)| *known == domain);
            let expected = match trusted {
                None => "unknown_trust_domain",
                Some((_, of)) if std::ptr::eq(*of, root) => "ok",
                Some(_) => "unknown_issuer",
            };
            assert_eq!(shown_by_client(&court, &shown), expected, "{domain}");
            assert_eq!(shown_by_server(&court, &shown), expected, "{domain}");
        }
    }
}

#[test]
fn an_alias_is_vouched_for_by_its_domain_only() {
    let forge = Forge::new();
    let roots = || [("td", forge.td.pem()), ("partner", forge.partner.pem())];
    let bundle = TrustBundle::from_pem(roots()).unwrap();
    let by_td = forge.leaf(|params| forge::name(params, "alias"));
    let by_partner = forge.leaf_by(&forge.partner, |params| forge::name(params, "alias"));
    let court = court_with(&forge, bundle.clone());
    assert_eq!(shown_by_client(&court, &by_td), "unknown_trust_domain");
    court.judge.rotate({
        let aliased = bundle.clone().with_aliases([("alias", "td")]).unwrap();
        mesh_with(&forge, aliased).materials()
    });
    assert_eq!(shown_by_client(&court, &by_td), "ok");
    assert_eq!(shown_by_server(&court, &by_td), "ok");
    assert_eq!(shown_by_client(&court, &by_partner), "unknown_issuer");
    assert!(bundle.with_aliases([("alias", "nowhere")]).is_err());
}

#[test]
fn an_expired_root_vouches_for_nobody() {
    let forge = Forge::new();
    let root = forge::root("td root", |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let court = court_with(&forge, TrustBundle::from_pem([("td", root.pem())]).unwrap());
    let shown = forge.leaf_by(&root, |_| {});
    assert_eq!(shown_by_client(&court, &shown), "unknown_issuer");
}

#[test]
fn a_cached_verdict_ends_with_the_first_certificate_of_the_chain() {
    let forge = Forge::new();
    let court = court(&forge);
    let good = forge.leaf(|_| {});
    let now = UnixTime::now();
    let shared = Shared::new(court.judge.materials());
    let leaf = verify(&shared, Role::Client, &good.chain, now).unwrap();
    assert_eq!(leaf.identity, identity("web"));
    let later = |seconds| {
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(leaf.not_after + seconds))
    };
    assert!(verify(&shared, Role::Client, &good.chain, later(0)).is_ok());
    let expired = Refusal::Expired { not_after: leaf.not_after };
    assert_eq!(verify(&shared, Role::Client, &good.chain, later(1)).unwrap_err(), expired);
    let none: &[CertificateDer<'_>] = &[];
    assert_eq!(verify(&shared, Role::Client, none, now).unwrap_err(), Refusal::NoCertificate);
}

#[test]
fn a_chain_cached_for_one_role_is_not_accepted_in_the_other() {
    let forge = Forge::new();
    let shared = Shared::new(court(&forge).judge.materials());
    let server_only = forge.leaf(|params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    let now = UnixTime::now();
    verify(&shared, Role::Server, &server_only.chain, now).unwrap();
    let refused = verify(&shared, Role::Client, &server_only.chain, now).unwrap_err();
    assert_eq!(refused.label(), "wrong_purpose");
}
