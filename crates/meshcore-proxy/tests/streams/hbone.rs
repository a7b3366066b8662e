//! Tunnels of the mesh, and what comes out of them.

use std::io::{Read, Write};
use std::net::SocketAddr;

use http::Request;
use meshcore_testkit::h2::{H2Client, read_all, request, run};
use meshcore_testkit::tls::{connect, mesh_client};
use meshcore_testkit::{Application, MeshBuilder, Sidecar, TestCa};
use meshcore_tls::alpn;
use serde_json::json;

use crate::opaque::{Way, between, mesh};
use crate::tcp_echo;

/// A client of the mesh on the HBONE listener.
async fn hbone(ca: &TestCa, sidecar: &Sidecar) -> H2Client {
    let config = mesh_client(ca.materials("web"), &ca.identity("api"), alpn::HBONE);
    H2Client::over(connect(sidecar.hbone(), config, "api").await.unwrap()).await
}

fn api(ca: &TestCa, mesh: &MeshBuilder, ports: &[(u16, SocketAddr)]) -> Sidecar {
    let start = Sidecar::of("api").hbone().materials(ca.materials("api")).mesh(mesh);
    ports
        .iter()
        .fold(start, |sidecar, (port, application)| sidecar.inbound(*port, *application))
        .start()
}

fn http_mesh() -> MeshBuilder {
    let unknown = ([127, 0, 0, 1], 1).into();
    MeshBuilder::new().service("api", 80).mesh_endpoint("v1", unknown)
}

async fn open(client: &H2Client, authority: &str) -> u16 {
    let head = Request::builder().method("CONNECT").uri(authority).body(()).unwrap();
    let (response, _send) = client.begin(head, false).await.unwrap();
    response.await.unwrap().status().as_u16()
}

#[test]
fn tunnels_share_a_connection() {
    let both = between(Way::Hbone, tcp_echo(), mesh());
    let mut tunnels: Vec<_> = (0..10).map(|_| both.tunnel()).collect();
    for (n, tunnel) in tunnels.iter_mut().enumerate() {
        let text = format!("tunnel {n}");
        tunnel.write_all(text.as_bytes()).unwrap();
        let mut echoed = vec![0; text.len()];
        tunnel.read_exact(&mut echoed).unwrap();
        assert_eq!(String::from_utf8(echoed).unwrap(), text);
    }
    let server = both.server.as_ref().unwrap();
    server.series("meshcore_connections_accepted_total", &[("listener", "hbone")], 1);
    server.series("istio_tcp_connections_opened_total", &[("reporter", "destination")], 10);
    both.client.series("meshcore_tls_handshakes_total", &[("side", "client")], 1);
}

#[test]
fn http_in_a_tunnel_is_seen_and_judged() {
    let ca = TestCa::default();
    let application = Application::echo("v1");
    let rules = json!([{
        "from": [{"principals": {"any": [{"exact": "cluster.local/ns/default/sa/web"}]}}],
        "to": [{"paths": {"any": [{"exact": "/open"}]}}],
    }]);
    let mesh = http_mesh().authorization("rules", "api", "allow", rules);
    let sidecar = api(&ca, &mesh, &[(80, application.address())]);
    run(async {
        let client = hbone(&ca, &sidecar).await;
        for (path, status) in [("/open", "200"), ("/closed", "403")] {
            let head = Request::builder().method("CONNECT").uri("127.0.0.1:80").body(()).unwrap();
            let (response, mut send) = client.begin(head, false).await.unwrap();
            let response = response.await.unwrap();
            assert_eq!(response.status(), 200);
            let inner = format!("GET {path} HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n");
            send.send_data(inner.into(), false).unwrap();
            let (answer, _) = read_all(&mut response.into_body()).await.unwrap();
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        }
    });
    assert_eq!(application.seen().len(), 1);
    let cert = application.last().field("x-forwarded-client-cert").unwrap().to_owned();
    assert!(cert.ends_with(";URI=spiffe://cluster.local/ns/default/sa/web"), "{cert}");
    for code in ["200", "403"] {
        let labels = [("response_code", code), ("connection_security_policy", "mutual_tls")];
        sidecar.series("istio_requests_total", &labels, 1);
    }
}

#[test]
fn tunnels_to_elsewhere_are_refused() {
    let ca = TestCa::default();
    let application = Application::echo("v1");
    let sidecar = api(&ca, &http_mesh(), &[(80, application.address())]);
    let own = application.address();
    run(async {
        let client = hbone(&ca, &sidecar).await;
        for authority in ["127.0.0.1:81", "127.0.0.2:80", "10.0.0.1:80", "api:80", &own.to_string()]
        {
            assert_eq!(open(&client, authority).await, 404, "{authority}");
        }
        assert_eq!(open(&client, "127.0.0.1:80").await, 200, "the connection lives");
        // What is no tunnel has nowhere to go.
        assert_eq!(client.get("127.0.0.1:80", "/").await.unwrap().status, 404);
        assert_eq!(client.get("api", "/").await.unwrap().status, 404);
    });
    assert!(application.seen().is_empty());
}

#[test]
fn tunnels_open_on_their_own_listener_alone() {
    let ca = TestCa::default();
    let (open_port, strict_port) = (Application::echo("open"), Application::echo("strict"));
    let mesh = MeshBuilder::new().service("api", 80).port(90, "strict", "http").endpoint_with(
        "v1",
        ([127, 0, 0, 1], 1).into(),
        json!({"mtls": true, "ports": {}}),
    );
    let strict = json!({
        "origin": meshcore_testkit::origin("PeerAuthentication", "strict"),
        "selector": {"app": "api"}, "mode": "permissive", "ports": {"90": "strict"},
    });
    let mesh = mesh.resource("peer_auths", strict);
    let sidecar = api(&ca, &mesh, &[(80, open_port.address()), (90, strict_port.address())]);
    run(async {
        let names = alpn::OUTBOUND_HTTP2;
        let config = mesh_client(ca.materials("web"), &ca.identity("api"), names);
        let sni = "outbound_.80_._.api.default.svc.cluster.local";
        let stream = connect(sidecar.inbound(), config, sni).await.unwrap();
        let client = H2Client::over(stream).await;
        assert_eq!(open(&client, "127.0.0.1:90").await, 404);
        assert_eq!(open(&client, "127.0.0.1:80").await, 404);
        let inner = client.ask(request("GET", "api", "/", &[]), &[]).await.unwrap();
        assert_eq!(inner.status, 200, "the connection lives");
    });
    assert!(strict_port.seen().is_empty());
}

#[test]
fn a_tunnel_needs_a_certificate() {
    let ca = TestCa::default();
    let sidecar = api(&ca, &http_mesh(), &[(80, tcp_echo())]);
    run(async {
        let config = meshcore_testkit::tls::stranger(alpn::HBONE);
        let refused = match connect(sidecar.hbone(), config, "api").await {
            Err(_refused) => true,
            Ok(mut stream) => {
                use tokio::io::AsyncReadExt;
                stream.read(&mut [0; 1]).await.is_err()
            }
        };
        assert!(refused);
    });
    sidecar.series("meshcore_tls_handshakes_failed_total", &[("reason", "no_certificate")], 1);
}
