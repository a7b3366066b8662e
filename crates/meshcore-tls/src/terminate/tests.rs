use rcgen::{CertificateParams, KeyPair};

use super::*;

fn pair() -> ClientPair {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["a.example.com".to_owned()]).unwrap();
    let chain_pem = params.self_signed(&key).unwrap().pem();
    ClientPair { chain_pem, key_pem: key.serialize_pem() }
}

fn simple() -> Terminate {
    Terminate {
        pairs: vec![pair()],
        clients: None,
        tls12: true,
        tls13: true,
        suites: Vec::new(),
        alpn: Vec::new(),
    }
}

#[test]
fn what_is_missing_is_an_error() {
    assert!(simple().config().is_ok());
    let nothing = Terminate { pairs: Vec::new(), ..simple() };
    assert!(matches!(nothing.config(), Err(TerminateError::NoCertificate)));
    let other = ClientPair { key_pem: pair().key_pem, ..pair() };
    let mixed = Terminate { pairs: vec![other], ..simple() };
    assert!(matches!(mixed.config(), Err(TerminateError::Certificate(_))));
    let blind = ClientRules { is_required: true, ..ClientRules::default() };
    let blind = Terminate { clients: Some(blind), ..simple() };
    assert!(matches!(blind.config(), Err(TerminateError::Authorities(_))));
    let rules = ClientRules {
        ca_pem: pair().chain_pem,
        crl_pem: Some("no list".into()),
        ..ClientRules::default()
    };
    let listless = Terminate { clients: Some(rules), ..simple() };
    assert!(matches!(listless.config(), Err(TerminateError::Revocations(_))));
}

#[test]
fn only_what_is_allowed_is_spoken() {
    let suites = |terminate: &Terminate| {
        terminate
            .spoken()
            .map(|(provider, versions)| (provider.cipher_suites.len(), versions.len()))
    };
    assert_eq!(suites(&simple()).unwrap(), (9, 2));
    assert_eq!(suites(&Terminate { tls12: false, ..simple() }).unwrap(), (3, 1));
    let one = vec!["ECDHE-RSA-AES128-GCM-SHA256".to_owned()];
    assert_eq!(suites(&Terminate { suites: one.clone(), ..simple() }).unwrap(), (4, 2));
    assert_eq!(suites(&Terminate { suites: one, tls13: false, ..simple() }).unwrap(), (1, 1));
    let unknown = vec!["AES128-SHA".to_owned()];
    let none = Terminate { suites: unknown, tls13: false, ..simple() };
    assert!(matches!(none.config(), Err(TerminateError::NothingSpoken)));
}
