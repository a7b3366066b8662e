//! Certificates that were taken back.

use rcgen::date_time_ymd;
use rcgen::{
    CertificateRevocationListParams, CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope,
    KeyIdMethod, RevokedCertParams, SerialNumber,
};
use rustls::HandshakeKind;

use super::forge::Issuing;
use super::*;
use crate::MaterialsError;
use crate::leaf;
use crate::testing::base64_lines;

/// A list of what `issuer` has taken back, good until the beginning of a year.
fn list(issuer: &Issuing, taken_back: &[&CertificateDer<'_>], until: i32) -> String {
    let serial = |der: &&CertificateDer<'_>| leaf::parse(der).unwrap().raw_serial().to_vec();
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(until, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: taken_back
            .iter()
            .map(|der| RevokedCertParams {
                serial_number: SerialNumber::from(serial(der)),
                revocation_time: date_time_ymd(2021, 1, 1),
                reason_code: None,
                invalidity_date: None,
            })
            .collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let der = params.signed_by(issuer).unwrap();
    let lines = base64_lines(der.der());
    format!("-----BEGIN X509 CRL-----\n{lines}-----END X509 CRL-----\n")
}

/// A list about the leaves of `issuer` alone.
fn partial(issuer: &Issuing) -> Vec<u8> {
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(2090, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: Some(CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint { uris: vec!["http://crl.test/".into()] },
            scope: Some(CrlScope::UserCertsOnly),
        }),
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).unwrap().der().to_vec()
}

fn judging_by(forge: &Forge, list: String) -> Court {
    court_with(forge, both(forge).with_revocations([("td", list)]).unwrap())
}

fn verdicts(court: &Court, shown: &Shown) -> (&'static str, &'static str) {
    (shown_by_client(court, shown), shown_by_server(court, shown))
}

#[test]
fn what_is_on_the_list_of_its_issuer_is_refused_and_nothing_else() {
    let forge = Forge::new();
    let (gone, stays) = (forge.leaf(|_| {}), forge.leaf(|_| {}));
    let partners = forge.leaf_by(&forge.partner, |params| forge::name(params, "partner"));
    let below = forge.below(|_| {});
    let court = judging_by(&forge, list(&forge.td, &[&gone.chain[0], &below.chain[1]], 2090));
    assert_eq!(verdicts(&court, &gone), ("revoked", "revoked"));
    assert_eq!(verdicts(&court, &below), ("revoked", "revoked"), "its intermediate is");
    assert_eq!(verdicts(&court, &stays), ("ok", "ok"));
    assert_eq!(verdicts(&court, &partners), ("ok", "ok"), "whose authority has no list");
}

#[test]
fn a_list_past_its_end_refuses_all_that_its_issuer_has_signed() {
    let forge = Forge::new();
    let good = forge.leaf(|_| {});
    let court = judging_by(&forge, list(&forge.td, &[], 2021));
    assert_eq!(verdicts(&court, &good), ("stale_revocations", "stale_revocations"));
}

#[test]
fn a_list_that_its_issuer_has_not_signed_refuses() {
    let forge = Forge::new();
    let good = forge.leaf(|_| {});
    let namesake = forge::root("td root", |_| {});
    let court = judging_by(&forge, list(&namesake, &[], 2090));
    assert_eq!(verdicts(&court, &good), ("chain", "chain"));
}

#[test]
fn a_session_is_not_resumed_once_its_certificate_was_taken_back() {
    let forge = Forge::new();
    let court = court(&forge);
    let taken_back = court.shows.materials().certified().cert.clone();
    let kinds = |resumed: &'static str| {
        let client = court.shows.client_config(&anyone(), alpn::HBONE).unwrap();
        let server = court.judge.server_config(alpn::HBONE).unwrap();
        let to_us = shake(&client, &server, "a.b");
        let client = court.judge.client_config(&anyone(), alpn::HBONE).unwrap();
        let server = court.shows.server_config(alpn::HBONE).unwrap();
        let by_us = shake(&client, &server, "a.b");
        for (judge, outcome) in [("server", to_us), ("client", by_us)] {
            match outcome {
                Ok((client, _)) if client.handshake_kind() == Some(HandshakeKind::Resumed) => {
                    assert_eq!(resumed, "resumed", "{judge}");
                }
                Ok(_full) => assert_eq!(resumed, "full", "{judge}"),
                Err(error) => {
                    assert_eq!(verdict::<()>(judge, Err(error)), resumed, "{judge}");
                }
            }
        }
    };
    kinds("full");
    kinds("resumed");
    let revoked =
        both(&forge).with_revocations([("td", list(&forge.td, &[&taken_back[0]], 2090))]).unwrap();
    court.judge.rotate(mesh_with(&forge, revoked).materials());
    kinds("revoked");
    kinds("revoked");
}

#[test]
fn a_list_that_cannot_be_used_is_said_to_be() {
    let forge = Forge::new();
    let good = list(&forge.td, &[], 2090);
    let broken = good.replacen("CRL-----\nMI", "CRL-----\nAI", 1);
    assert_ne!(broken, good);
    let part = "-----BEGIN X509 CRL-----\n".to_owned()
        + &base64_lines(&partial(&forge.td))
        + "-----END X509 CRL-----\n";
    let twice = format!("{good}{}", list(&forge.td, &[], 2091));
    for pem in ["", "garbage", &forge.td.pem(), &broken, &part, &twice] {
        let refused = both(&forge).with_revocations([("td", pem)]).unwrap_err();
        assert!(matches!(refused, MaterialsError::RevocationList(_)), "{refused}");
    }
    let nobody = both(&forge).with_revocations([("stranger", &good)]).unwrap_err();
    assert!(matches!(nobody, MaterialsError::NoRoots(_)), "{nobody}");
}
