//! What is loaded is checked as strictly as what a peer shows.

use std::time::Duration;

use super::*;
use crate::ca::{Authority, IssuedPem};
use crate::testing::{DAY, bundle_of, identity};

fn load(issued: &IssuedPem, authority: &Authority) -> Result<Materials, MaterialsError> {
    Materials::from_pem(
        issued.chain_pem.as_bytes(),
        issued.key_pem.as_bytes(),
        bundle_of(authority),
    )
}

#[test]
fn good_materials_say_who_and_until_when() {
    let authority = Authority::create("td", DAY).unwrap();
    let issued = authority.issue(&identity("web"), DAY / 2).unwrap();
    let materials = load(&issued, &authority).unwrap();
    assert_eq!(materials.identity(), &identity("web"));
    assert_eq!(materials.not_after(), issued.not_after);
    assert!(materials.not_before() < UnixTime::now().as_secs());
    assert_eq!(materials.chain().len(), 1);
    assert_eq!(materials.chain()[0].issuer, "O=td, CN=td mesh root");
    assert_eq!(materials.chain()[0].serial, materials.serial());
    let roots: Vec<_> = materials.bundle().summary().collect();
    assert_eq!(roots, [("td", "O=td, CN=td mesh root", authority.not_after())]);
    assert_eq!(materials.bundle().trust_domains().collect::<Vec<_>>(), ["td"]);
}

#[test]
fn a_key_may_be_pkcs8_or_sec1() {
    let authority = Authority::create("td", DAY).unwrap();
    let issued = authority.issue(&identity("web"), DAY).unwrap();
    let Some(sec1) = sec1(&issued.key_pem) else {
        std::io::Write::write_all(&mut std::io::stderr(), b"skipped: openssl is not installed\n")
            .unwrap();
        return;
    };
    assert!(sec1.contains("BEGIN EC PRIVATE KEY"), "{sec1}");
    let issued = IssuedPem { key_pem: sec1, ..issued };
    assert_eq!(load(&issued, &authority).unwrap().identity(), &identity("web"));
}

/// The same key as `openssl ec` writes it.
fn sec1(pkcs8: &str) -> Option<String> {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut child = Command::new("openssl")
        .arg("ec")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(pkcs8.as_bytes()).ok()?;
    String::from_utf8(child.wait_with_output().ok()?.stdout).ok()
}

#[test]
fn materials_that_do_not_fit_are_refused() {
    let authority = Authority::create("td", DAY).unwrap();
    let issued = authority.issue(&identity("web"), DAY).unwrap();
    let other = authority.issue(&identity("web"), DAY).unwrap();
    let chain = |chain: &str| IssuedPem { chain_pem: chain.into(), ..issued.clone() };
    let key = |key: &str| IssuedPem { key_pem: key.into(), ..issued.clone() };
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (name, materials, wanted) in [
        ("no chain", chain(""), "chain is empty"),
        ("key in place of chain", chain(&issued.key_pem), "chain is empty"),
        ("no base64", chain(&broken.replace("AAAA", "!!!!")), "PEM cannot be read"),
        ("no certificate in the PEM", chain(broken), "malformed"),
        ("no end", chain(&issued.chain_pem.replace("-----END", "")), "PEM cannot be read"),
        ("no key", key(""), "private key cannot be used"),
        ("chain in place of key", key(&issued.chain_pem), "private key cannot be used"),
        ("key of another", key(&other.key_pem), "does not belong"),
        ("root first", chain(&(issued.root_pem.clone() + &issued.chain_pem)), "does not belong"),
    ] {
        let error = load(&materials, &authority).unwrap_err();
        assert!(error.to_string().contains(wanted), "{name}: {error}");
    }
    let as_leaf = IssuedPem {
        chain_pem: authority.root_pem().into(),
        key_pem: authority.key_pem(),
        ..issued.clone()
    };
    let error = load(&as_leaf, &authority).unwrap_err();
    assert!(matches!(error, MaterialsError::Refused(Refusal::IsAuthority)), "{error}");
}

#[test]
fn a_leaf_out_of_its_time_is_refused() {
    let authority = Authority::create("td", DAY).unwrap();
    let issued = authority.issue(&identity("web"), DAY).unwrap();
    let at = |seconds: u64| {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let (chain, key) = (issued.chain_pem.as_bytes(), issued.key_pem.as_bytes());
        Materials::from_pem_at(chain, key, bundle_of(&authority), now)
    };
    let not_before = at(issued.not_after).unwrap().not_before();
    assert!(at(not_before).is_ok());
    let late = at(issued.not_after + 1).unwrap_err();
    assert!(matches!(late, MaterialsError::Refused(Refusal::Expired { .. })), "{late}");
    let early = at(not_before - 1).unwrap_err();
    assert!(matches!(early, MaterialsError::Refused(Refusal::NotYetValid { .. })), "{early}");
}

#[test]
fn a_bundle_without_roots_is_refused() {
    let authority = Authority::create("td", DAY).unwrap();
    let leaf = authority.issue(&identity("web"), DAY).unwrap();
    let none: [(&str, &str); 0] = [];
    for (name, bundle, wanted) in [
        ("nothing", TrustBundle::from_pem(none), "no root certificate"),
        ("empty PEM", TrustBundle::from_pem([("td", "")]), "no root certificate for td"),
        ("a leaf", TrustBundle::from_pem([("td", leaf.chain_pem.as_str())]), "not a CA"),
        (
            "one good, one empty",
            TrustBundle::from_pem([("td", authority.root_pem()), ("partner", "")]),
            "no root certificate for partner",
        ),
    ] {
        let error = bundle.unwrap_err();
        assert!(error.to_string().contains(wanted), "{name}: {error}");
    }
}

#[test]
fn equal_trust_has_an_equal_fingerprint() {
    let (one, two) = (Authority::create("td", DAY).unwrap(), Authority::create("td", DAY).unwrap());
    let bundle = |roots: &[(&str, &Authority)]| {
        TrustBundle::from_pem(roots.iter().map(|(domain, root)| (*domain, root.root_pem())))
            .unwrap()
    };
    let both = bundle(&[("td", &one), ("td", &two)]);
    let turned = bundle(&[("td", &two), ("td", &one), ("td", &two)]);
    assert_eq!(both.fingerprint(), turned.fingerprint());
    let others = [
        bundle(&[("td", &one)]),
        bundle(&[("partner", &one), ("td", &two)]),
        bundle(&[("td", &one), ("partner", &two)]),
        both.clone().with_aliases([("old", "td")]).unwrap(),
    ];
    for other in &others {
        assert_ne!(both.fingerprint(), other.fingerprint(), "{other:?}");
    }
}
