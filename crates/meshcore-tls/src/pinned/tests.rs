//! A sidecar that knows only a digest finds its control plane, and nobody else.

use super::*;
use crate::ca::Authority;
use crate::testing::{DAY, bundle_of, identity, shake};
use crate::{Materials, MeshTls, MeshTlsOptions, alpn};

/// A control plane that shows its root, as `account`.
fn server(authority: &Authority, account: &str) -> Arc<rustls::ServerConfig> {
    let issued = authority.issue(&identity(account), DAY).unwrap();
    let chain = format!("{}{}", issued.chain_pem, issued.root_pem);
    let key = issued.key_pem.as_bytes();
    let materials = Materials::from_pem(chain.as_bytes(), key, bundle_of(authority)).unwrap();
    let mesh = MeshTls::new(materials, MeshTlsOptions::default());
    mesh.open_server_config(alpn::HBONE).unwrap()
}

#[test]
fn the_pinned_root_or_the_root_itself_vouches() {
    let (authority, other) =
        (Authority::create("td", DAY).unwrap(), Authority::create("td", DAY).unwrap());
    let digest = |of: &Authority| leaf::fingerprint(of.root_pem()).unwrap();
    let control = identity("control");
    for (name, anchor, wanted) in [
        ("digest", Anchor::Digests(vec![digest(&authority)]), true),
        ("two digests", Anchor::Digests(vec![digest(&other), digest(&authority)]), true),
        ("digest of another", Anchor::Digests(vec![digest(&other)]), false),
        ("no digest", Anchor::Digests(Vec::new()), false),
        ("root", Anchor::Roots(bundle_of(&authority)), true),
        ("another root", Anchor::Roots(bundle_of(&other)), false),
    ] {
        let client = anchored_config(anchor, &control, alpn::HBONE).unwrap();
        let done = shake(&client, &server(&authority, "control"), "a.b");
        assert_eq!(done.is_ok(), wanted, "{name}: {:?}", done.err());
    }
}

#[test]
fn a_workload_is_no_control_plane() {
    let authority = Authority::create("td", DAY).unwrap();
    let pin = vec![leaf::fingerprint(authority.root_pem()).unwrap()];
    let client = anchored_config(Anchor::Digests(pin), &identity("control"), alpn::HBONE).unwrap();
    let error = shake(&client, &server(&authority, "web"), "a.b").unwrap_err().1;
    assert!(matches!(Refusal::behind(&error), Some(Refusal::Unexpected { .. })), "{error}");
}

#[test]
fn a_leaf_that_is_pinned_is_no_root() {
    let authority = Authority::create("td", DAY).unwrap();
    let issued = authority.issue(&identity("web"), DAY).unwrap();
    let pin = vec![leaf::fingerprint(&issued.chain_pem).unwrap()];
    let client = anchored_config(Anchor::Digests(pin), &identity("control"), alpn::HBONE).unwrap();
    assert!(shake(&client, &server(&authority, "control"), "a.b").is_err());
}
