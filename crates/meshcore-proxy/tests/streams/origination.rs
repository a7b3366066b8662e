//! TLS to servers outside the mesh.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use meshcore_testkit::tls::{PrivateCa, TlsServer};
use meshcore_testkit::{Answer, Client, MeshBuilder, Sidecar, host};
use serde_json::{Value, json};

/// A PEM file that is gone when the test is over.
struct Pem(PathBuf);

impl Pem {
    fn new(text: &str) -> Self {
        static FILES: AtomicUsize = AtomicUsize::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let name = format!("meshcore-{}-{number}.pem", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Pem {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.0);
    }
}

#[expect(clippy::needless_pass_by_value, reason = "written in place by every caller")]
fn ask(server: &TlsServer, originate: Value) -> (Answer, Sidecar) {
    let policy = json!({"tls": {"originate": originate}});
    let mesh = MeshBuilder::new()
        .service("api", 80)
        .endpoint("v1", server.address())
        .policy("api", policy, &[])
        .settings(json!({"default_retries": {"attempts": 0, "on": []}}));
    let sidecar = Sidecar::outbound_to(&mesh);
    let answer = Client::connect(sidecar.outbound()).ask("GET / HTTP/1.1\r\nhost: api\r\n\r\n");
    (answer, sidecar)
}

fn assert_refused((answer, sidecar): (Answer, Sidecar)) {
    assert_eq!((answer.status(), answer.text().as_str()), (503, "upstream TLS failure"));
    sidecar.series("istio_requests_total", &[("response_flags", "UF")], 1);
    sidecar.series("meshcore_tls_handshakes_total", &[("side", "client")], 0);
}

#[test]
fn a_server_is_known_by_a_private_authority_and_its_host() {
    let ca = PrivateCa::default();
    let root = Pem::new(&ca.root_pem());
    let server = TlsServer::start(&ca.issue(&host("api")), None);
    let (answer, sidecar) = ask(&server, json!({"ca_certificates": root.path()}));
    let expected = format!("sni={} alpn=http/1.1 certificate=false", host("api"));
    assert_eq!((answer.status(), answer.text()), (200, expected));
    sidecar.series("meshcore_tls_handshakes_total", &[("side", "client")], 1);
}

#[test]
fn another_name_or_authority_is_refused() {
    let (ca, other) = (PrivateCa::default(), PrivateCa::default());
    let (root, other_root) = (Pem::new(&ca.root_pem()), Pem::new(&other.root_pem()));
    let elsewhere = TlsServer::start(&ca.issue("elsewhere.example"), None);
    assert_refused(ask(&elsewhere, json!({"ca_certificates": root.path()})));
    let names = json!(["third.example"]);
    let originate = json!({"ca_certificates": root.path(), "subject_alt_names": names});
    assert_refused(ask(&elsewhere, originate));
    let server = TlsServer::start(&ca.issue(&host("api")), None);
    assert_refused(ask(&server, json!({"ca_certificates": other_root.path()})));
    assert_refused(ask(&server, json!({"ca_certificates": "/does/not/exist.pem"})));
}

#[test]
fn a_connection_carries_requests_for_the_host_that_was_verified_alone() {
    let ca = PrivateCa::default();
    let root = Pem::new(&ca.root_pem());
    let server = TlsServer::start(&ca.issue(&host("a")), None);
    let policy = json!({"tls": {"originate": {"ca_certificates": root.path()}}});
    let mesh = MeshBuilder::new()
        .service("*", 80)
        .endpoint_with("v1", server.address(), json!({"service_account": "any"}))
        .policy("*", policy, &[])
        .settings(json!({"default_retries": {"attempts": 0, "on": []}}));
    let sidecar = Sidecar::outbound_to(&mesh);
    let mut client = Client::connect(sidecar.outbound());
    for (name, status) in [("a", 200), ("b", 503), ("a", 200)] {
        let request = format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", host(name));
        assert_eq!(client.ask(request).status(), status, "{name}");
    }
}

#[test]
fn names_of_server_and_certificate_can_be_told() {
    let ca = PrivateCa::default();
    let root = Pem::new(&ca.root_pem());
    let server = TlsServer::start(&ca.issue("elsewhere.example"), None);
    let originate = json!({
        "ca_certificates": root.path(), "sni": "front.example",
        "subject_alt_names": ["elsewhere.example"],
    });
    let (answer, _sidecar) = ask(&server, originate);
    let expected = "sni=front.example alpn=http/1.1 certificate=false";
    assert_eq!((answer.status(), answer.text().as_str()), (200, expected));
}

#[test]
fn verification_can_be_switched_off() {
    let ca = PrivateCa::default();
    let server = TlsServer::start(&ca.issue("elsewhere.example"), None);
    let (answer, _sidecar) = ask(&server, json!({"insecure_skip_verify": true}));
    assert_eq!(answer.status(), 200);
}

#[test]
fn a_server_that_asks_for_a_certificate_gets_the_one_of_the_policy() {
    let (ca, clients) = (PrivateCa::default(), PrivateCa::default());
    let root = Pem::new(&ca.root_pem());
    let own = clients.issue("client.example");
    let (certificate, key) = (Pem::new(&own.certificate_pem), Pem::new(&own.key_pem));
    let server = TlsServer::start(&ca.issue(&host("api")), Some(&clients));
    let originate = json!({
        "ca_certificates": root.path(),
        "client_certificate": certificate.path(), "private_key": key.path(),
    });
    let (answer, _sidecar) = ask(&server, originate);
    assert_eq!(answer.status(), 200);
    assert!(answer.text().ends_with("certificate=true"), "{answer:?}");
    let (answer, _sidecar) = ask(&server, json!({"ca_certificates": root.path()}));
    assert_eq!(answer.status(), 503, "without one it is sent away");
}
