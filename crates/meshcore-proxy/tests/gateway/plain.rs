//! Servers without TLS.

use meshcore_testkit::{Application, Client, MeshBuilder};
use serde_json::{Value, json};

use crate::{at, document, free_port, gateway, route, server, tcp_route};

fn get(host: &str, path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")
}

#[test]
fn routes_of_one_host_are_appended_and_those_for_all_come_last() {
    let port = free_port();
    let (all, some) = (Application::echo("all"), Application::echo("some"));
    let mesh = MeshBuilder::new()
        .service("all", 80)
        .endpoint("v1", all.address())
        .service("some", 80)
        .endpoint("v1", some.address())
        .resource("gateways", document("edge", &[server(port, "http", &["*"], Value::Null)]))
        .resource("routes", route(&["a.com"], &["default/edge"], "", "all"))
        .resource("routes", route(&["a.com"], &["default/edge"], "/some", "some"))
        .resource("routes", route(&["b.com"], &["mesh"], "", "all"));
    let edge = gateway(&mesh).start();
    let mut client = Client::connect(at(port));
    assert!(client.ask(get("a.com", "/", "")).text().starts_with("all\n"));
    assert!(client.ask(get("a.com:8080", "/some/x", "")).text().starts_with("some\n"));
    assert_eq!(client.ask(get("b.com", "/", "")).status(), 404, "it is for sidecars");
    assert_eq!(client.ask(get("c.com", "/", "")).status(), 404);
    let labels = [("reporter", "source"), ("response_code", "200"), ("source_workload", "edge")];
    edge.series(
        "istio_requests_total",
        &[&labels[..], &[("destination_service", "some.default.svc.cluster.local")]].concat(),
        1,
    );
}

#[test]
fn those_behind_learn_who_the_client_is_and_nothing_that_it_says_itself() {
    let port = free_port();
    let application = Application::echo("app");
    let mesh = MeshBuilder::new()
        .service("app", 80)
        .endpoint("v1", application.address())
        .resource("gateways", document("edge", &[server(port, "http", &["*"], Value::Null)]))
        .resource("routes", route(&["*"], &["default/edge"], "", "app"));
    let _edge = gateway(&mesh).start();
    let fields = "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Client-Cert: By=me\r\n\
                  X-Forwarded-Proto: https\r\nX-Envoy-External-Address: 9.9.9.9\r\n";
    assert_eq!(Client::connect(at(port)).ask(get("a.com", "/a//b", fields)).status(), 200);
    let seen = application.last();
    assert_eq!(seen.line(), "GET /a/b HTTP/1.1");
    assert_eq!(seen.fields("x-forwarded-for"), ["1.2.3.4,127.0.0.1"]);
    assert_eq!(seen.fields("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.field("x-forwarded-client-cert"), None);
    assert_eq!(seen.field("x-envoy-external-address"), None);
    assert_eq!(seen.field("x-envoy-internal"), Some("true"));
    assert!(seen.field("x-request-id").is_some());
}

#[test]
fn a_server_redirects_to_https() {
    let port = free_port();
    let mut redirecting = server(port, "http", &["a.com"], Value::Null);
    redirecting["https_redirect"] = json!(true);
    let mesh = MeshBuilder::new().resource("gateways", document("edge", &[redirecting]));
    let _edge = gateway(&mesh).start();
    let mut client = Client::connect(at(port));
    let answer = client.ask(get("a.com", "/x?y=z", ""));
    assert_eq!((answer.status(), answer.field("location")), (301, Some("https://a.com/x?y=z")));
    assert_eq!(client.ask(get("b.com", "/", "")).status(), 404);
}

#[test]
fn policy_that_selects_the_gateway_holds() {
    let port = free_port();
    let application = Application::echo("app");
    let deny = json!([{"to": [{"paths": {"any": [{"prefix": "/admin"}]}}]}]);
    let mesh = MeshBuilder::new()
        .service("app", 80)
        .endpoint("v1", application.address())
        .resource("gateways", document("edge", &[server(port, "http", &["*"], Value::Null)]))
        .resource("routes", route(&["*"], &["default/edge"], "", "app"))
        .authorization("no-admin", "edge", "deny", deny);
    let _edge = gateway(&mesh).start();
    let mut client = Client::connect(at(port));
    assert_eq!(client.ask(get("a.com", "/", "")).status(), 200);
    assert_eq!(client.ask(get("a.com", "/admin", "")).status(), 403);
    assert_eq!(client.ask(get("a.com", "/x/../%61dmin", "")).status(), 403);
}

#[test]
fn bytes_go_where_their_route_leads() {
    let port = free_port();
    let application = Application::echo("app");
    let mesh = MeshBuilder::new()
        .service_speaking("app", 80, "tcp")
        .endpoint("v1", application.address())
        .resource("gateways", document("edge", &[server(port, "tcp", &["*"], Value::Null)]))
        .resource("routes", tcp_route(&["*"], &[], "app"));
    let _edge = gateway(&mesh).start();
    assert_eq!(Client::connect(at(port)).ask(get("a.com", "/", "")).status(), 200);
}

#[test]
fn a_tunnel_leads_nowhere() {
    let port = free_port();
    let mesh = MeshBuilder::new()
        .resource("gateways", document("edge", &[server(port, "http", &["*"], Value::Null)]));
    let _edge = gateway(&mesh).start();
    let answer =
        Client::connect(at(port)).ask("CONNECT a.com:80 HTTP/1.1\r\nHost: a.com:80\r\n\r\n");
    assert_eq!(answer.status(), 404);
}
