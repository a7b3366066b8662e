//! The pages of the control thread.

use meshcore_testkit::{Answer, Application, Client, Sidecar, TestCa, host, rule};
use serde_json::{Value, json};

use crate::mesh_of;

fn ask(sidecar: &Sidecar, method: &str, path: &str, host: &str) -> Answer {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    Client::connect(sidecar.admin()).ask(request)
}

fn page(sidecar: &Sidecar, path: &str) -> Value {
    let answer = ask(sidecar, "GET", path, "localhost:15000");
    assert_eq!((answer.status(), answer.field("content-type")), (200, Some("application/json")));
    serde_json::from_slice(&answer.body).unwrap()
}

fn sidecar() -> Sidecar {
    let app = Application::echo("v1");
    let to = json!({"forward": [{"host": host("app"), "weight": 1}]});
    let rules = json!([{"to": [{"paths": {"any": [{"exact": "/a"}]}}]}]);
    let mesh = mesh_of(&[app.address()])
        .route("app", [rule(to, json!({"timeout_ms": 250}))])
        .policy("app", json!({"connection_pool": {"max_connections": 3}}), &[])
        .authorization("only-a", "web", "allow", rules);
    Sidecar::of("web")
        .outbound()
        .inbound(8080, app.address())
        .mesh(&mesh)
        .materials(TestCa::default().materials("web"))
        .start()
}

#[test]
fn ready_says_whether_requests_are_taken() {
    let sidecar = sidecar();
    let ready = ask(&sidecar, "GET", "/ready", "127.0.0.1");
    assert_eq!((ready.status(), ready.text().as_str()), (200, "ready\n"));
}

#[test]
fn status_says_what_is_in_force_and_what_was_refused() {
    let sidecar = sidecar();
    sidecar.apply(&mesh_of(&[]), 5);
    let refused = sidecar.proxy().apply(&mesh_of(&[]).build(4), None).unwrap_err();
    let status = page(&sidecar, "/status");
    assert_eq!(status["state"], "ready");
    assert_eq!(status["revision"], 5);
    assert_eq!((&status["applied"], &status["rejected"]), (&json!(1), &json!(1)));
    assert_eq!(status["node"]["name"], "web");
    assert_eq!(status["services"], 1);
    assert_eq!(status["certificate"]["identity"], "spiffe://cluster.local/ns/default/sa/web");
    assert_eq!(sidecar.proxy().status().parse::<Value>().unwrap()["revision"], 5);
    assert!(refused.to_string().contains('4'), "{refused}");
}

#[test]
fn config_dump_names_the_line_that_made_everything() {
    let dump = page(&sidecar(), "/config_dump");
    let rules = dump["outbound"][0]["rules"].as_array().unwrap();
    assert_eq!(dump["outbound"][0]["host"], host("app"));
    assert!(
        rules.iter().any(|rule| {
            rule["origin"] == "VirtualService default/app (mesh.yaml:9)"
                && rule["timeout_ms"] == 250
        }),
        "{rules:?}"
    );
    let inbound = &dump["inbound"][0];
    assert_eq!((&inbound["port"], &inbound["denies_by_default"]), (&json!(8080), &json!(true)));
    let allow = inbound["allow"][0].as_str().unwrap();
    assert!(allow.starts_with("AuthorizationPolicy default/only-a (mesh.yaml"), "{allow}");
    let cluster = &dump["clusters"][0];
    assert_eq!(cluster["service"], "ServiceEntry default/app (mesh.yaml:7)");
    assert_eq!(cluster["policy"], "DestinationRule default/app (mesh.yaml:7)");
}

#[test]
fn clusters_show_their_endpoints_and_what_is_used() {
    let clusters = page(&sidecar(), "/clusters");
    let cluster = &clusters[0];
    assert_eq!(cluster["name"], "outbound|80||app.default.svc.cluster.local");
    let endpoint = &cluster["endpoints"][0];
    assert_eq!(
        (&endpoint["workload"], &endpoint["transport"]),
        (&json!("app-v1"), &json!("plain"))
    );
    assert!(endpoint["address"].as_str().unwrap().starts_with("127.0.0.1:"));
}

#[test]
fn certs_show_our_certificate_and_whom_we_trust() {
    let certs = page(&sidecar(), "/certs");
    assert_eq!(certs["identity"], "spiffe://cluster.local/ns/default/sa/web");
    assert!(certs["not_after"].as_u64() > certs["not_before"].as_u64());
    assert_eq!(certs["trust"][0]["trust_domain"], "cluster.local");
    assert!(!certs.to_string().contains("PRIVATE KEY"));
    let plain = Sidecar::of("plain").start();
    assert_eq!(page(&plain, "/certs"), Value::Null);
}

#[test]
fn listeners_and_metrics_are_shown() {
    let sidecar = sidecar();
    let listeners = page(&sidecar, "/listeners");
    assert_eq!(listeners["outbound"], sidecar.outbound().to_string());
    for path in ["/stats/prometheus", "/metrics", "/stats"] {
        let metrics = ask(&sidecar, "GET", path, "localhost");
        assert!(metrics.text().contains("meshcore_workers 1\n"), "{path}");
    }
}

#[test]
fn unknown_pages_and_methods_are_refused() {
    let sidecar = sidecar();
    for (method, path) in [
        ("GET", "/nowhere"),
        ("POST", "/status"),
        ("DELETE", "/ready"),
        ("GET", "/drain_listeners"),
    ] {
        assert_eq!(ask(&sidecar, method, path, "localhost").status(), 404, "{method} {path}");
    }
    let mut client = Client::connect(sidecar.admin());
    client.send("HEAD /ready HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.answer_to_head().status(), 200);
    assert_eq!(ask(&sidecar, "GET", "/ready", "localhost").status(), 200);
}

#[test]
fn a_page_of_another_site_cannot_read_or_write() {
    let sidecar = sidecar();
    for host in ["evil.example", "evil.example:15000", "127.0.0.1.evil.example", "localhost.evil"] {
        assert_eq!(ask(&sidecar, "GET", "/config_dump", host).status(), 403, "{host}");
        assert_eq!(ask(&sidecar, "POST", "/drain_listeners", host).status(), 403, "{host}");
    }
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1:15000", "[::1]:15000"] {
        assert_eq!(ask(&sidecar, "GET", "/ready", host).status(), 200, "{host}");
    }
}

#[test]
fn a_page_of_another_site_cannot_write_to_our_address() {
    let sidecar = sidecar();
    let fields = "Host: 127.0.0.1:15000\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n";
    let request = format!("POST /drain_listeners HTTP/1.1\r\n{fields}\r\n");
    assert_eq!(Client::connect(sidecar.admin()).ask(request).status(), 403);
    assert_eq!(ask(&sidecar, "GET", "/ready", "localhost").status(), 200);
}

#[test]
fn metrics_and_health_are_asked_for_by_any_name() {
    let any = "127.0.0.1:0";
    let sidecar = Sidecar::of("web").listen("metrics", any).listen("health", any).start();
    let addresses = sidecar.proxy().addresses();
    for (address, path) in
        [(addresses.metrics, "/stats/prometheus"), (addresses.health, "/healthz/ready")]
    {
        let request = format!("GET {path} HTTP/1.1\r\nHost: web.example:15090\r\n\r\n");
        assert_eq!(Client::connect(address.unwrap()).ask(request).status(), 200, "{path}");
    }
}

#[test]
fn a_post_drains() {
    let sidecar = sidecar();
    let mut client = Client::connect(sidecar.outbound());
    let drain = ask(&sidecar, "POST", "/drain_listeners", "localhost");
    assert_eq!((drain.status(), drain.text().as_str()), (200, "draining\n"));
    assert!(client.is_closed());
    sidecar.wait_until_ended();
    assert_eq!(sidecar.sum("meshcore_draining", &[]), 1);
}
