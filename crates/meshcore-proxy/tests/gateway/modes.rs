//! Servers with TLS.

use std::sync::Arc;

use meshcore_testkit::h2::{H2Client, run};
use meshcore_testkit::tls::{Pair, PrivateCa, TlsServer, connect, exchange, mesh_client, stranger};
use meshcore_testkit::{Application, MeshBuilder, Sidecar, TestCa};
use meshcore_tls::rustls::ClientConfig;
use meshcore_tls::rustls_pki_types::pem::PemObject;
use meshcore_tls::rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use crate::{at, credential, document, free_port, gateway, route, server, tcp_route};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a.com\r\nconnection: close\r\n\r\n";

fn tls(mode: &str, name: &str) -> Value {
    json!({"mode": mode, "certificates": [{"credential": name}]})
}

/// As [`stranger`], with a certificate.
fn client_with(pair: &Pair) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(&stranger(&[b"http/1.1"]));
    let chain = CertificateDer::pem_slice_iter(pair.certificate_pem.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(pair.key_pem.as_bytes()).unwrap();
    let key = meshcore_tls::provider().key_provider.load_private_key(key).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let certified = meshcore_tls::rustls::sign::CertifiedKey::new(chain, key);
    let resolver = meshcore_tls::rustls::sign::SingleCertAndKey::from(certified);
    config.client_auth_cert_resolver = Arc::new(resolver);
    Arc::new(config)
}

async fn ask(port: u16, config: Arc<ClientConfig>, name: &str) -> Result<String, String> {
    let answer =
        exchange(at(port), config, (name, GET)).await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8(answer).unwrap())
}

fn failed(edge: &Sidecar, reason: &str) {
    edge.series("meshcore_tls_handshakes_failed_total", &[("reason", reason)], 1);
}

/// A service `app` behind servers of these hosts.
fn mesh_of(application: &Application, servers: &[Value]) -> MeshBuilder {
    MeshBuilder::new()
        .service("app", 80)
        .endpoint("v1", application.address())
        .resource("gateways", document("edge", servers))
        .resource("routes", route(&["*"], &["default/edge"], "", "app"))
}

#[test]
fn tls_ends_by_server_name_and_hosts_of_other_servers_are_misdirected() {
    let (port, ca, application) = (free_port(), PrivateCa::default(), Application::echo("app"));
    let servers = [
        server(port, "http", &["a.com", "*.wild.com"], tls("simple", "a")),
        server(port, "http", &["b.com", "deep.wild.com"], tls("simple", "b")),
    ];
    let mesh = mesh_of(&application, &servers)
        .resource("credentials", credential("a", &ca.issue("a.com"), None))
        .resource("credentials", credential("b", &ca.issue("b.com"), None));
    let edge = gateway(&mesh).start();
    run(async {
        let stream = connect(at(port), stranger(&[b"h2", b"http/1.1"]), "a.com").await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let client = H2Client::over(stream).await;
        assert_eq!(client.get("a.com", "/").await.unwrap().status, 200);
        assert_eq!(application.last().field("x-forwarded-proto"), Some("https"));
        assert_eq!(client.get("x.wild.com", "/").await.unwrap().status, 200, "the same server");
        assert_eq!(client.get("b.com", "/").await.unwrap().status, 421);
        assert_eq!(client.get("deep.wild.com", "/").await.unwrap().status, 421);
        assert_eq!(client.get("c.com", "/").await.unwrap().status, 404);
        assert!(ask(port, stranger(&[b"http/1.1"]), "c.com").await.is_err());
        failed(&edge, "unknown server name");
        assert!(ask(port, stranger(&[b"http/1.1"]), "B.com").await.unwrap().contains(" 421 "));
    });
}

#[test]
fn a_client_shows_the_certificate_that_is_asked_for() {
    let (port, ca, application) = (free_port(), PrivateCa::default(), Application::echo("app"));
    let trusted = PrivateCa::default();
    let mut named = tls("mutual", "a");
    named["clients"] = json!({"names": ["good.client"]});
    let servers = [
        server(port, "http", &["a.com"], tls("mutual", "a")),
        server(port, "http", &["named.com"], named),
        server(port, "http", &["may.com"], tls("optional_mutual", "a")),
    ];
    let pair = ca.issue("a.com");
    let mesh = mesh_of(&application, &servers)
        .resource("credentials", credential("a", &pair, Some(trusted.root_pem())));
    let _edge = gateway(&mesh).start();
    let (good, bad) = (trusted.issue("good.client"), trusted.issue("bad.client"));
    run(async {
        assert!(ask(port, stranger(&[b"http/1.1"]), "a.com").await.is_err());
        assert!(ask(port, client_with(&ca.issue("good.client")), "a.com").await.is_err());
        assert!(ask(port, client_with(&bad), "a.com").await.unwrap().contains(" 200 "));
        let said = application.last().field("x-forwarded-client-cert").unwrap().to_owned();
        assert!(said.starts_with("Hash=") && said.ends_with(";DNS=bad.client"), "{said}");
        assert!(ask(port, client_with(&bad), "named.com").await.is_err());
        assert!(ask(port, client_with(&good), "named.com").await.unwrap().contains(" 421 "));
        assert!(ask(port, stranger(&[b"http/1.1"]), "may.com").await.unwrap().contains(" 421 "));
        assert!(ask(port, client_with(&ca.issue("x")), "may.com").await.is_err());
    });
}

#[test]
fn a_server_without_a_certificate_refuses_and_the_others_serve() {
    let (port, ca, application) = (free_port(), PrivateCa::default(), Application::echo("app"));
    let servers = [
        server(port, "http", &["b.com"], tls("simple", "missing")),
        server(port, "http", &["a.com"], tls("simple", "a")),
    ];
    let pair = ca.issue("a.com");
    let mesh =
        mesh_of(&application, &servers).resource("credentials", credential("a", &pair, None));
    let edge = gateway(&mesh).start();
    run(async {
        assert!(ask(port, stranger(&[]), "b.com").await.is_err());
        failed(&edge, "no certificate");
        assert!(ask(port, stranger(&[]), "a.com").await.unwrap().contains(" 200 "));
        let all = edge.proxy().status();
        assert!(all.contains("there is no credential missing"), "{all}");
        let secret = pair.key_pem.lines().nth(1).unwrap();
        assert!(!all.contains(secret));
        let pages = meshcore_testkit::ask(
            edge.admin(),
            "GET /config_dump HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        );
        assert!(pages.text().contains("\"simple\"") && !pages.text().contains(secret));
    });
}

#[test]
fn a_credential_is_replaced_under_open_connections() {
    let (port, ca, application) = (free_port(), PrivateCa::default(), Application::echo("app"));
    let servers = [server(port, "http", &["a.com"], tls("simple", "a"))];
    let mesh = |pair: &Pair| {
        mesh_of(&application, &servers).resource("credentials", credential("a", pair, None))
    };
    let (first, second) = (ca.issue("a.com"), ca.issue("a.com"));
    let edge = gateway(&mesh(&first)).start();
    let shown = |stream: &meshcore_tls::tokio_rustls::client::TlsStream<tokio::net::TcpStream>| {
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    run(async {
        let before = connect(at(port), stranger(&[b"h2"]), "a.com").await.unwrap();
        let old = shown(&before);
        let client = H2Client::over(before).await;
        assert_eq!(client.get("a.com", "/").await.unwrap().status, 200);
        edge.apply(&mesh(&second), 2);
        let after = connect(at(port), stranger(&[b"h2"]), "a.com").await.unwrap();
        assert_ne!(shown(&after), old);
        assert_eq!(client.get("a.com", "/").await.unwrap().status, 200, "it stays open");
    });
}

#[test]
fn what_a_server_asks_for_by_now_holds_for_open_connections() {
    let (port, ca, application) = (free_port(), PrivateCa::default(), Application::echo("app"));
    let pair = ca.issue("a.com");
    let mesh = |mode: &str| {
        mesh_of(&application, &[server(port, "http", &["a.com"], tls(mode, "a"))])
            .resource("credentials", credential("a", &pair, Some(ca.root_pem())))
    };
    let edge = gateway(&mesh("simple")).start();
    run(async {
        let stream = connect(at(port), stranger(&[b"h2"]), "a.com").await.unwrap();
        let client = H2Client::over(stream).await;
        assert_eq!(client.get("a.com", "/").await.unwrap().status, 200);
        edge.apply(&mesh("mutual"), 2);
        assert_eq!(client.get("a.com", "/").await.unwrap().status, 421);
    });
}

#[test]
fn tls_goes_on_by_its_server_name() {
    let (port, outside) = (free_port(), PrivateCa::default());
    let behind = TlsServer::start(&outside.issue("a.com"), None);
    let mesh = MeshBuilder::new()
        .service_speaking("app", 443, "tls")
        .endpoint("v1", behind.address())
        .resource(
            "gateways",
            document("edge", &[server(port, "tcp", &["*.com"], json!({"mode": "passthrough"}))]),
        )
        .resource("routes", tcp_route(&["a.com"], &["a.com"], "app"));
    let _edge = gateway(&mesh).start();
    run(async {
        let answer = ask(port, stranger(&[b"http/1.1"]), "a.com").await.unwrap();
        assert!(answer.ends_with("sni=a.com alpn=http/1.1 certificate=false"), "{answer}");
        assert!(ask(port, stranger(&[b"http/1.1"]), "b.com").await.is_err());
    });
}

#[test]
fn the_mesh_comes_in_with_its_own_identities() {
    let (port, ca, application) = (free_port(), TestCa::default(), Application::echo("app"));
    let rules = json!([{"from": [{"principals": {"any": [{"exact": "cluster.local/ns/default/sa/web"}]}}]}]);
    let tls = json!({"mode": "istio_mutual"});
    let mesh = mesh_of(&application, &[server(port, "http", &["a.com"], tls)])
        .authorization("only-web", "edge", "allow", rules);
    let _edge = gateway(&mesh).materials(ca.materials("edge")).start();
    run(async {
        let config = |name: &str| {
            mesh_client(
                ca.materials(name),
                &ca.identity("edge"),
                meshcore_tls::alpn::OUTBOUND_HTTP1,
            )
        };
        assert!(ask(port, config("web"), "a.com").await.unwrap().contains(" 200 "));
        assert!(ask(port, config("other"), "a.com").await.unwrap().contains(" 403 "));
        assert!(ask(port, stranger(&[b"http/1.1"]), "a.com").await.is_err());
    });
}
