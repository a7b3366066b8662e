//! What an inbound port takes: mutual TLS, plain text, TLS that is not ours.

use std::net::SocketAddr;
use std::sync::Arc;

use meshcore_testkit::h2::{H2Application, H2Client, request, run};
use meshcore_testkit::tls::{PrivateCa, TlsServer, connect, exchange, mesh_client, stranger};
use meshcore_testkit::{Application, Client, MeshBuilder, Sidecar, TestCa, host};
use meshcore_tls::alpn;
use meshcore_tls::rustls::ClientConfig;
use serde_json::json;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n";
const SNI: &str = "outbound_.80_._.api.default.svc.cluster.local";
const UNKNOWN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// A service `api`, port 80, and the sidecar beside it, which takes what `mode` says.
fn server(ca: &TestCa, mode: &str, protocol: &str, application: SocketAddr) -> Sidecar {
    let mesh = MeshBuilder::new()
        .service_speaking("api", 80, protocol)
        .mesh_endpoint("v1", UNKNOWN)
        .mtls(mode);
    Sidecar::of("api").inbound(80, application).materials(ca.materials("api")).mesh(&mesh).start()
}

fn refused(sidecar: &Sidecar, reason: &str, count: u64) {
    sidecar.series("meshcore_tls_handshakes_failed_total", &[("reason", reason)], count);
}

/// A client of the mesh named `web`.
fn web(ca: &TestCa, names: &[&[u8]]) -> Arc<ClientConfig> {
    mesh_client(ca.materials("web"), &ca.identity("api"), names)
}

async fn ask_by_tls(sidecar: &Sidecar, config: Arc<ClientConfig>) -> std::io::Result<String> {
    let answer = exchange(sidecar.inbound(), config, (SNI, GET)).await?;
    Ok(String::from_utf8(answer).unwrap())
}

#[test]
fn permissive_takes_mutual_tls_and_plain_http() {
    let ca = TestCa::default();
    let application = Application::echo("v1");
    let sidecar = server(&ca, "permissive", "http", application.address());
    let plain = Client::connect(sidecar.inbound()).ask(GET);
    assert_eq!(plain.status(), 200);
    run(async {
        let answer = ask_by_tls(&sidecar, web(&ca, alpn::OUTBOUND_HTTP1)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains("URI=spiffe://cluster.local/ns/default/sa/web"), "{answer}");
    });
    for (policy, principal) in
        [("none", "unknown"), ("mutual_tls", "spiffe://cluster.local/ns/default/sa/web")]
    {
        let labels = [("connection_security_policy", policy), ("source_principal", principal)];
        sidecar.series("istio_requests_total", &labels, 1);
    }
}

#[test]
fn permissive_passes_foreign_tls_to_the_application() {
    let (ca, outside) = (TestCa::default(), PrivateCa::default());
    let application = TlsServer::start(&outside.issue("api.example.com"), None);
    let sidecar = server(&ca, "permissive", "detect", application.address());
    run(async {
        let config = stranger(&[b"http/1.1"]);
        let answer = exchange(sidecar.inbound(), config, ("api.example.com", GET)).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.ends_with("sni=api.example.com alpn=http/1.1 certificate=false"),
            "{answer}"
        );
    });
    let labels = [("reporter", "destination"), ("connection_security_policy", "none")];
    sidecar.series("istio_tcp_connections_closed_total", &labels, 1);
}

#[test]
fn a_hello_that_comes_too_slowly_is_given_up() {
    let ca = TestCa::default();
    let application = Application::echo("v1");
    let mesh = MeshBuilder::new()
        .service_speaking("api", 80, "http")
        .mesh_endpoint("v1", UNKNOWN)
        .mtls("strict")
        .settings(json!({"detection_timeout_ms": 1000}));
    let sidecar = Sidecar::of("api")
        .inbound(80, application.address())
        .materials(ca.materials("api"))
        .mesh(&mesh)
        .start();
    let mut slow = Client::connect(sidecar.inbound());
    // A record of 512 bytes, of which one comes each 200 ms.
    slow.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    let mut sent = 0;
    while sent < 20 && slow.try_send(b"\x07").is_ok() {
        sent += 1;
        std::thread::park_timeout(std::time::Duration::from_millis(200));
    }
    assert!(sent < 20, "it was waited for");
    refused(&sidecar, "malformed hello", 1);
}

#[test]
fn a_hello_that_cannot_be_read_is_not_passed_on() {
    let (ca, outside) = (TestCa::default(), PrivateCa::default());
    let application = TlsServer::start(&outside.issue("api.example.com"), None);
    let sidecar = server(&ca, "permissive", "detect", application.address());
    let cases: [&[u8]; 2] = [b"\x16\x03\x01\0\x05\x01\0\0\x01\0", b"\x16\x03\x01\xff\xff"];
    for (nth, wrong) in (1..).zip(cases) {
        let mut client = Client::connect(sidecar.inbound());
        client.send(wrong);
        assert!(client.is_closed(), "{wrong:?}");
        refused(&sidecar, "malformed hello", nth);
    }
    assert_eq!(sidecar.sum("istio_tcp_connections_opened_total", &[]), 0);
}

#[test]
fn strict_refuses_plain_text_and_tls_without_a_certificate() {
    let ca = TestCa::default();
    let application = Application::echo("v1");
    let sidecar = server(&ca, "strict", "http", application.address());
    let mut plain = Client::connect(sidecar.inbound());
    plain.send(GET);
    assert!(plain.is_closed());
    refused(&sidecar, "plain text refused", 1);
    run(async {
        for names in [&[], &[alpn::HTTP_1_1], alpn::OUTBOUND_HTTP1] as [&[&[u8]]; 3] {
            ask_by_tls(&sidecar, stranger(names)).await.unwrap_err();
        }
        refused(&sidecar, "no_certificate", 3);
        let answer = ask_by_tls(&sidecar, web(&ca, alpn::OUTBOUND_HTTP1)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(application.seen().len(), 1, "nothing of the others came through");
        // Where all TLS ends here, a certificate of the mesh is enough.
        for names in [&[], &[alpn::HTTP_1_1]] as [&[&[u8]]; 2] {
            let answer = ask_by_tls(&sidecar, web(&ca, names)).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
    });
}

#[test]
fn disable_passes_even_the_meshs_tls_through() {
    let (ca, outside) = (TestCa::default(), PrivateCa::default());
    let application = TlsServer::start(&outside.issue("api.example.com"), None);
    let sidecar = server(&ca, "disable", "tcp", application.address());
    run(async {
        let names: &[&[u8]] = &[alpn::ISTIO, b"http/1.1"];
        let answer = exchange(sidecar.inbound(), stranger(names), (SNI, GET)).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.ends_with("alpn=http/1.1 certificate=false"), "{answer}");
    });
    sidecar.series("meshcore_tls_handshakes_total", &[("side", "server")], 0);
}

#[test]
fn clients_of_another_authority_or_trust_domain_are_refused() {
    let (ca, other_ca, other_domain) =
        (TestCa::default(), TestCa::default(), TestCa::new("elsewhere.org"));
    let application = Application::echo("v1");
    let sidecar = server(&ca, "permissive", "http", application.address());
    run(async {
        for (ca_of_client, reason) in
            [(&other_ca, "unknown_issuer"), (&other_domain, "unknown_trust_domain")]
        {
            let materials = ca_of_client.materials_trusting("web", &ca);
            let config = mesh_client(materials, &ca.identity("api"), alpn::OUTBOUND_HTTP1);
            ask_by_tls(&sidecar, config).await.unwrap_err();
            refused(&sidecar, reason, 1);
        }
    });
    assert!(application.seen().is_empty());
}

#[test]
fn http2_is_spoken_where_its_names_are_agreed_on() {
    let ca = TestCa::default();
    let application = H2Application::echo();
    let sidecar = server(&ca, "strict", "http2", application.address());
    run(async {
        for names in [alpn::OUTBOUND_HTTP2, alpn::HBONE, &[alpn::ISTIO]] as [&[&[u8]]; 3] {
            let stream = connect(sidecar.inbound(), web(&ca, names), SNI).await.unwrap();
            let client = H2Client::over(stream).await;
            let answer = client.ask(request("POST", "api", "/", &[]), b"hello").await.unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
            let told = answer.field("x-got-x-forwarded-client-cert").unwrap().to_owned();
            assert!(told.ends_with(";URI=spiffe://cluster.local/ns/default/sa/web"), "{told}");
        }
    });
    let labels = [("connection_security_policy", "mutual_tls"), ("reporter", "destination")];
    sidecar.series("istio_requests_total", &labels, 3);
}

#[test]
fn the_server_name_chooses_among_ports() {
    let ca = TestCa::default();
    let (first, second) = (Application::echo("first"), Application::echo("second"));
    let mesh = MeshBuilder::new().service("api", 80).port(8080, "other", "http").endpoint_with(
        "v1",
        UNKNOWN,
        json!({"mtls": true, "ports": {"other": 9090}}),
    );
    let sidecar = Sidecar::of("api")
        .inbound(80, first.address())
        .inbound(9090, second.address())
        .materials(ca.materials("api"))
        .mesh(&mesh)
        .start();
    run(async {
        for (port, name) in [(80, "first"), (8080, "second")] {
            let sni = format!("outbound_.{port}_._.{}", host("api"));
            let config = web(&ca, alpn::OUTBOUND_HTTP1);
            let answer = exchange(sidecar.inbound(), config, (&sni, GET)).await.unwrap();
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.contains(&format!("\r\n\r\n{name}\n")), "{answer}");
        }
        let sni = format!("outbound_.81_._.{}", host("api"));
        let config = web(&ca, alpn::OUTBOUND_HTTP1);
        assert!(
            exchange(sidecar.inbound(), config, (&sni, GET)).await.unwrap_or_default().is_empty()
        );
        refused(&sidecar, "unknown port", 1);
    });
}

#[test]
fn a_server_that_is_somebody_else_is_not_spoken_to() {
    let ca = TestCa::default();
    let application = Application::echo("v1");
    let sidecar = server(&ca, "permissive", "http", application.address());
    let log = std::env::temp_dir().join(format!("meshcore-log-{}", std::process::id()));
    let mesh = MeshBuilder::new()
        .service("api", 80)
        .endpoint_with(
            "v1",
            sidecar.inbound(),
            json!({
                "mtls": true, "inbound_port": sidecar.inbound().port(),
                "service_account": "somebody-else",
            }),
        )
        .settings(json!({"access_log": {"path": log, "format": "json"}}));
    let client = Sidecar::of("web").outbound().materials(ca.materials("web")).mesh(&mesh).start();
    let answer = Client::connect(client.outbound()).ask("GET / HTTP/1.1\r\nhost: api\r\n\r\n");
    assert_eq!((answer.status(), answer.text().as_str()), (503, "upstream TLS failure"));
    let labels = [("response_code", "503"), ("response_flags", "UF,URX")];
    client.series("istio_requests_total", &labels, 1);
    crate::eventually("a line is logged", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.ends_with('\n'))
    });
    let line = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    for part in ["\"UF,URX\"", "sa/api", "expected", "sa/somebody-else"] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(application.seen().is_empty());
}
