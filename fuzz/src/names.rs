//! Names in text: identities, names of the mesh in SNI, authorities.

use meshcore_http::RequestHead;
use meshcore_model::{Identity, MeshSni};
use meshcore_snapshot::Authority;

/// What is read is written the same, and routing reads an authority as the parser did.
pub(crate) fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(name) = text.parse::<MeshSni>() {
            assert_eq!(name.to_string().to_ascii_lowercase(), in_one_form(text), "a mesh name");
        }
        if let Ok(identity) = text.parse::<Identity>() {
            assert_eq!(identity.to_string(), text);
            let (domain, namespace) = (identity.trust_domain(), identity.namespace());
            let again = Identity::new(domain, namespace, identity.service_account());
            assert_eq!(again, Ok(identity.clone()), "parts are not the whole");
            assert_eq!(format!("spiffe://{}", identity.principal()), text);
        }
    }
    let mut head = RequestHead::new();
    if head.set_authority(data).is_ok() {
        let Some(ours) = Authority::parse(head.authority()) else {
            return assert_eq!(head.port(), Some(0), "routing reads what was accepted");
        };
        assert_eq!(ours.port(), head.port());
        let host = head.host().strip_prefix(b"[").unwrap_or(head.host());
        let host = host.strip_suffix(b"]").unwrap_or(host);
        assert!(!host.is_empty());
        match std::str::from_utf8(host).ok().and_then(|host| host.parse().ok()) {
            Some(address) => assert_eq!(ours.address(), Some(address)),
            None => assert_eq!(ours.host(), host),
        }
    }
}

/// The port without leading zeros, all in lower case.
fn in_one_form(text: &str) -> String {
    let mut parts: Vec<&str> = text.splitn(4, "_.").collect();
    parts[1] = parts[1].trim_start_matches('0');
    parts.join("_.").to_ascii_lowercase()
}
