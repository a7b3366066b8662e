//! Handshakes between our own configurations.

use std::sync::Arc;

use rustls::{CipherSuite, HandshakeKind, NamedGroup, ProtocolVersion};

use super::*;
use crate::ca::Authority;
use crate::testing::{DAY, Pair, bundle_of, identity, materials, materials_for, shake};
use crate::{TrustBundle, alpn};

const NAME: &str = "outbound_.80_._.web.ns.svc.cluster.local";

fn mesh(authority: &Authority, account: &str) -> Arc<MeshTls> {
    MeshTls::new(materials(authority, account), MeshTlsOptions::default())
}

/// A handshake with everything as it should be: client `client`, server `server`.
fn greet(client: &MeshTls, server: &MeshTls) -> Result<Pair, (&'static str, rustls::Error)> {
    let expected = Expected::identities([&server.identity()]);
    let client = client.client_config(&expected, alpn::OUTBOUND_HTTP2).unwrap();
    shake(&client, &server.server_config(alpn::INBOUND).unwrap(), NAME)
}

fn kind(pair: &Pair) -> HandshakeKind {
    assert_eq!(pair.0.handshake_kind(), pair.1.handshake_kind());
    pair.1.handshake_kind().unwrap()
}

#[test]
fn both_ends_learn_who_the_other_is() {
    let authority = Authority::create("td", DAY).unwrap();
    let (client, server) = (mesh(&authority, "client"), mesh(&authority, "server"));
    let pair = greet(&client, &server).unwrap();
    assert_eq!(server.client_of(&pair.1).unwrap(), identity("client"));
    assert_eq!(client.server_of(&pair.0).unwrap(), identity("server"));
    assert_eq!(pair.1.server_name(), Some(NAME));
}

#[test]
fn the_preferred_cryptography_is_negotiated() {
    let authority = Authority::create("td", DAY).unwrap();
    let (client, server) = (mesh(&authority, "client"), mesh(&authority, "server"));
    let pair = greet(&client, &server).unwrap();
    assert_eq!(pair.0.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let suite = pair.0.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(suite, CipherSuite::TLS13_AES_128_GCM_SHA256);
    let group = pair.1.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    assert_eq!(kind(&pair), HandshakeKind::Full, "no retry for the key share");
}

#[test]
fn the_servers_best_protocol_is_chosen() {
    let authority = Authority::create("td", DAY).unwrap();
    let (client, server) = (mesh(&authority, "client"), mesh(&authority, "server"));
    let expected = Expected::trust_domains(["td"]);
    for (offered, accepted, chosen) in [
        (alpn::OUTBOUND_HTTP2, alpn::INBOUND, alpn::ISTIO_H2),
        (alpn::OUTBOUND_HTTP1, alpn::INBOUND, alpn::ISTIO_HTTP_1_1),
        (alpn::OUTBOUND_TCP, alpn::INBOUND, alpn::ISTIO_PEER_EXCHANGE),
        (alpn::HBONE, alpn::HBONE, alpn::H2),
    ] {
        let config = client.client_config(&expected, offered).unwrap();
        let pair = shake(&config, &server.server_config(accepted).unwrap(), NAME).unwrap();
        assert_eq!(pair.0.alpn_protocol(), Some(chosen));
        assert_eq!(pair.1.alpn_protocol(), Some(chosen));
    }
    let config = client.client_config(&expected, alpn::OUTBOUND_TCP).unwrap();
    let refused = shake(&config, &server.server_config(alpn::HBONE).unwrap(), NAME).unwrap_err();
    assert_eq!(refused, ("server", rustls::Error::NoApplicationProtocol));
}

#[test]
fn an_unexpected_server_is_refused_by_name() {
    let authority = Authority::create("td", DAY).unwrap();
    let (client, server) = (mesh(&authority, "client"), mesh(&authority, "server"));
    for expected in [
        Expected::identities([&identity("other")]),
        Expected::identities([&identity("server2"), &identity("serve")]),
        Expected::identities([]),
        Expected::trust_domains(["td2", "t", "td.example"]),
        Expected::trust_domains::<&str>([]),
    ] {
        let config = client.client_config(&expected, alpn::OUTBOUND_TCP).unwrap();
        let server = server.server_config(alpn::INBOUND).unwrap();
        let (side, error) = shake(&config, &server, NAME).unwrap_err();
        assert_eq!(side, "client");
        let refusal = Refusal::behind(&error).unwrap();
        assert_eq!(refusal.label(), "unexpected_identity", "{refusal}");
        assert!(refusal.to_string().contains("spiffe://td/ns/ns/sa/server"), "{refusal}");
    }
}

#[test]
fn a_client_without_certificate_is_refused() {
    let authority = Authority::create("td", DAY).unwrap();
    let server = mesh(&authority, "server");
    let mut anonymous = mesh(&authority, "client")
        .client_config(&Expected::trust_domains(["td"]), alpn::OUTBOUND_TCP)
        .unwrap()
        .as_ref()
        .clone();
    anonymous.client_auth_cert_resolver = Arc::new(NoCertificate);
    let server = server.server_config(alpn::INBOUND).unwrap();
    let (side, error) = shake(&Arc::new(anonymous), &server, NAME).unwrap_err();
    assert_eq!((side, error), ("server", rustls::Error::NoCertificatesPresented));
}

#[derive(Debug)]
struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[test]
fn tls12_is_spoken_only_when_allowed() {
    let authority = Authority::create("td", DAY).unwrap();
    let options = MeshTlsOptions { allow_tls12: true };
    let old = MeshTls::new(materials(&authority, "old"), options);
    let config = old.client_config(&Expected::trust_domains(["td"]), alpn::OUTBOUND_TCP).unwrap();
    let mut config = config.as_ref().clone();
    let pair = shake(&Arc::new(config.clone()), &old.server_config(alpn::INBOUND).unwrap(), NAME);
    assert_eq!(pair.unwrap().0.protocol_version(), Some(ProtocolVersion::TLSv1_3));

    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(VerifyServer {
            shared: Arc::clone(&old.shared),
            expected: Expected::trust_domains(["td"]),
        }));
    config = builder.with_client_cert_resolver(Arc::clone(&config.client_auth_cert_resolver));
    config.alpn_protocols = alpn::owned(alpn::OUTBOUND_TCP);
    let config = Arc::new(config);
    let pair = shake(&config, &old.server_config(alpn::INBOUND).unwrap(), NAME).unwrap();
    assert_eq!(pair.0.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    assert_eq!(old.client_of(&pair.1).unwrap(), identity("old"));
    let strict = mesh(&authority, "server").server_config(alpn::INBOUND).unwrap();
    assert_eq!(shake(&config, &strict, NAME).unwrap_err().0, "server");
}

#[test]
fn a_session_resumes_and_names_the_same_peer() {
    let authority = Authority::create("td", DAY).unwrap();
    let (client, server) = (mesh(&authority, "client"), mesh(&authority, "server"));
    assert_eq!(kind(&greet(&client, &server).unwrap()), HandshakeKind::Full);
    for _ in 0..3 {
        let pair = greet(&client, &server).unwrap();
        assert_eq!(kind(&pair), HandshakeKind::Resumed);
        assert_eq!(server.client_of(&pair.1).unwrap(), identity("client"));
        assert_eq!(client.server_of(&pair.0).unwrap(), identity("server"));
    }
}

#[test]
fn another_expectation_does_not_share_sessions() {
    let authority = Authority::create("td", DAY).unwrap();
    let (client, server) = (mesh(&authority, "client"), mesh(&authority, "server"));
    greet(&client, &server).unwrap();
    let expected = Expected::identities([&identity("other")]);
    let config = client.client_config(&expected, alpn::OUTBOUND_HTTP2).unwrap();
    let refused = shake(&config, &server.server_config(alpn::INBOUND).unwrap(), NAME);
    assert_eq!(refused.unwrap_err().0, "client");
}

#[test]
fn a_session_survives_a_new_certificate_of_the_server() {
    let authority = Authority::create("td", DAY).unwrap();
    let (client, server) = (mesh(&authority, "client"), mesh(&authority, "server"));
    greet(&client, &server).unwrap();
    server.rotate(materials(&authority, "server"));
    assert_eq!(kind(&greet(&client, &server).unwrap()), HandshakeKind::Resumed);
    client.rotate(materials(&authority, "client"));
    assert_eq!(kind(&greet(&client, &server).unwrap()), HandshakeKind::Full, "new client leaf");
}

#[test]
fn no_session_survives_a_change_of_trust() {
    let old = Authority::create("td", DAY).unwrap();
    let new = Authority::create("td", DAY).unwrap();
    let (client, server) = (mesh(&old, "client"), mesh(&old, "server"));
    greet(&client, &server).unwrap();
    let kept_config = server.server_config(alpn::INBOUND).unwrap();
    let expected = Expected::identities([&identity("server")]);
    let client_config = client.client_config(&expected, alpn::OUTBOUND_HTTP2).unwrap();
    let before = greet(&client, &server).unwrap();

    // The server still presents a certificate that the client trusts, but trusts only `new`.
    let issued = old.issue(&identity("server"), DAY).unwrap();
    let (chain, key) = (issued.chain_pem.as_bytes(), issued.key_pem.as_bytes());
    server.rotate(Materials::from_pem(chain, key, bundle_of(&new)).unwrap());
    for config in [kept_config, server.server_config(alpn::INBOUND).unwrap()] {
        let (side, error) = shake(&client_config, &config, NAME).unwrap_err();
        assert_eq!((side, Refusal::behind(&error)), ("server", Some(Refusal::UnknownIssuer)));
    }
    assert_eq!(server.client_of(&before.1), Err(Refusal::UnknownIssuer), "live connection");
}

#[test]
fn a_resumed_peer_past_its_certificate_is_refused() {
    let authority = Authority::create("td", DAY).unwrap();
    let server = mesh(&authority, "server");
    let brief = materials_for(&authority, "client", std::time::Duration::from_secs(4));
    let client = MeshTls::new(brief, MeshTlsOptions::default());
    let pair = greet(&client, &server).unwrap();
    let not_after = client.materials().not_after();
    while UnixTime::now().as_secs() <= not_after {
        std::thread::park_timeout(std::time::Duration::from_millis(100));
    }
    let resumed = greet(&client, &server).unwrap();
    assert_eq!(kind(&resumed), HandshakeKind::Resumed, "rustls itself does not look again");
    for pair in [&pair, &resumed] {
        assert_eq!(server.client_of(&pair.1), Err(Refusal::Expired { not_after }));
    }
}

#[test]
fn every_handshake_succeeds_during_a_hundred_rotations() {
    let authority = Authority::create("td", DAY).unwrap();
    let (client, server) = (mesh(&authority, "client"), mesh(&authority, "server"));
    let expected = Expected::identities([&identity("server")]);
    let kept = client.client_config(&expected, alpn::OUTBOUND_HTTP2).unwrap();
    let live = greet(&client, &server).unwrap();
    std::thread::scope(|scope| {
        let rotating = scope.spawn(|| {
            for _ in 0..100 {
                // The client last: a session of its last generation is one with the server's last.
                server.rotate(materials(&authority, "server"));
                client.rotate(materials(&authority, "client"));
            }
        });
        let mut handshakes = 0;
        while !rotating.is_finished() || handshakes < 20 {
            let pair = greet(&client, &server).unwrap();
            assert_eq!(server.client_of(&pair.1).unwrap(), identity("client"));
            shake(&kept, &server.server_config(alpn::INBOUND).unwrap(), NAME).unwrap();
            handshakes += 1;
        }
    });
    assert_eq!((client.generation(), client.trust_epoch()), (100, 0));
    let pair = greet(&client, &server).unwrap();
    let serial = crate::leaf::Leaf::read(&pair.0.peer_certificates().unwrap()[0]).unwrap().serial;
    assert_eq!(serial, server.materials().serial(), "the newest certificate is presented");
    assert_eq!(server.client_of(&live.1).unwrap(), identity("client"), "old connection is good");
}

#[test]
fn roots_can_be_changed_in_three_steps_without_a_failure() {
    let old = Authority::create("td", DAY).unwrap();
    let new = Authority::create("td", DAY).unwrap();
    let both = TrustBundle::from_pem([("td", old.root_pem()), ("td", new.root_pem())]).unwrap();
    let step = |authority: &Authority, bundle: &TrustBundle, account: &str| {
        let issued = authority.issue(&identity(account), DAY).unwrap();
        let (chain, key) = (issued.chain_pem.as_bytes(), issued.key_pem.as_bytes());
        Materials::from_pem(chain, key, bundle.clone()).unwrap()
    };
    let (client, server) = (mesh(&old, "client"), mesh(&old, "server"));
    let only_new = bundle_of(&new);
    for (authority, bundle) in [(&old, &both), (&new, &both), (&new, &only_new)] {
        server.rotate(step(authority, bundle, "server"));
        greet(&client, &server).unwrap();
        client.rotate(step(authority, bundle, "client"));
        greet(&client, &server).unwrap();
    }
    assert_eq!(server.trust_epoch(), 2, "the leaf alone is no change of trust");
}

#[test]
fn equal_requests_share_a_configuration_until_a_rotation() {
    let authority = Authority::create("td", DAY).unwrap();
    let mesh = mesh(&authority, "a");
    let (one, two) = (identity("one"), identity("two"));
    let config =
        |list: [&Identity; 2], alpn| mesh.client_config(&Expected::identities(list), alpn).unwrap();
    let first = config([&one, &two], alpn::HBONE);
    assert!(Arc::ptr_eq(&first, &config([&two, &one], alpn::HBONE)));
    assert!(!Arc::ptr_eq(&first, &config([&one, &two], alpn::OUTBOUND_TCP)));
    assert!(!Arc::ptr_eq(&first, &config([&one, &one], alpn::HBONE)));
    let server = mesh.server_config(alpn::INBOUND).unwrap();
    assert!(Arc::ptr_eq(&server, &mesh.server_config(alpn::INBOUND).unwrap()));
    assert!(!Arc::ptr_eq(&server, &mesh.server_config(alpn::HBONE).unwrap()));
    mesh.rotate(materials(&authority, "a"));
    assert!(!Arc::ptr_eq(&first, &config([&one, &two], alpn::HBONE)));
    assert!(Arc::ptr_eq(&server, &mesh.server_config(alpn::INBOUND).unwrap()));
}

#[test]
fn configurations_nobody_holds_make_room() {
    let authority = Authority::create("td", DAY).unwrap();
    let mesh = mesh(&authority, "a");
    let expected = |number: usize| Expected::trust_domains([format!("td{number}")]);
    let held = mesh.client_config(&expected(0), alpn::HBONE).unwrap();
    for number in 1..MAX_CLIENT_CONFIGS + 10 {
        mesh.client_config(&expected(number), alpn::HBONE).unwrap();
    }
    assert!(mesh.clients.lock().configs.len() <= MAX_CLIENT_CONFIGS);
    assert!(Arc::ptr_eq(&held, &mesh.client_config(&expected(0), alpn::HBONE).unwrap()));
}

#[test]
fn a_verified_chain_is_remembered_and_a_repeated_one_is_found() {
    let authority = Authority::create("td", DAY).unwrap();
    let (client, server) = (mesh(&authority, "client"), mesh(&authority, "server"));
    assert_eq!(server.shared.verified.len(), 0);
    let pair = greet(&client, &server).unwrap();
    assert_eq!(server.shared.verified.len(), 1);
    server.client_of(&pair.1).unwrap();
    assert_eq!(server.shared.verified.len(), 1);
    client.rotate(materials(&authority, "client"));
    greet(&client, &server).unwrap();
    assert_eq!(server.shared.verified.len(), 2, "another certificate, another entry");
}
