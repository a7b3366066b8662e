//! What is counted and written down about requests.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use meshcore_testkit::{Application, Client, ClosedPort, Gate, MeshBuilder, Scripted, Sidecar};
use meshcore_testkit::{Step, WITHIN, host, rule};
use serde_json::{Value, json};

use crate::{get, mesh_of, post};

/// A file for an access log, removed at the end.
struct Log(PathBuf);

impl Log {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("meshcore-{}-{name}.log", std::process::id()));
        Self(path)
    }

    fn settings(&self, format: &Value) -> Value {
        json!({"access_log": {"path": self.0, "format": format}})
    }

    /// The lines, once there are so many.
    fn lines(&self, count: usize) -> Vec<String> {
        let deadline = Instant::now() + WITHIN;
        loop {
            let text = std::fs::read_to_string(&self.0).unwrap_or_default();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            if lines.len() >= count {
                return lines;
            }
            assert!(Instant::now() < deadline, "{count} lines wanted: {lines:#?}");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn objects(&self, count: usize) -> Vec<Value> {
        self.lines(count).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

#[test]
fn a_request_is_counted_with_who_called_whom() {
    let app = Application::echo("v1");
    let sidecar = Sidecar::outbound_to(&mesh_of(&[app.address()]));
    let body = "x".repeat(1500);
    let mut client = Client::connect(sidecar.outbound());
    let answered = client.ask(post("/", "", &body)).body.len() as u64;
    let labels = [
        ("reporter", "source"),
        ("source_workload", "web"),
        ("source_workload_namespace", "default"),
        ("source_app", "web"),
        ("source_version", "v1"),
        ("destination_workload", "app-v1"),
        ("destination_app", "app"),
        ("destination_version", "v1"),
        ("destination_service", "app.default.svc.cluster.local"),
        ("destination_service_name", "app"),
        ("destination_service_namespace", "default"),
        ("request_protocol", "http"),
        ("response_code", "200"),
        ("response_flags", "-"),
        ("connection_security_policy", "unknown"),
    ];
    sidecar.series("istio_requests_total", &labels, 1);
    sidecar.series("istio_request_duration_milliseconds_count", &labels, 1);
    sidecar.series("istio_request_bytes_sum", &labels, 1500);
    sidecar.series("istio_response_bytes_sum", &labels, answered);
    sidecar.series("meshcore_upstream_connections_opened_total", &[], 1);
    sidecar.series("meshcore_connections_accepted_total", &[("listener", "outbound")], 1);
    sidecar.series("meshcore_connections_open", &[], 1);
    sidecar.series("meshcore_upstream_connections_open", &[], 1);
    sidecar.series("meshcore_requests_active", &[], 0);
    drop(client);
    sidecar.series("meshcore_connections_open", &[], 0);
}

#[test]
fn what_is_going_on_shows_in_gauges() {
    let gate = Gate::default();
    let upstream = Scripted::start([
        vec![Step::head(), Step::Wait(gate.clone()), Step::answer(200, "ok"), Step::UntilClosed],
        vec![Step::head(), Step::answer(200, "ok"), Step::UntilClosed],
    ]);
    let pool = json!({"connection_pool": {"max_connections": 1, "max_pending_requests": 1}});
    let sidecar = Sidecar::outbound_to(&mesh_of(&[upstream.address()]).policy("app", pool, &[]));
    let mut clients = [0, 1].map(|_| Client::connect(sidecar.outbound()));
    clients[0].send(get("/"));
    upstream.wait_for(0, "\r\n\r\n");
    clients[1].send(get("/"));
    sidecar.series("meshcore_requests_active", &[], 2);
    sidecar.series("meshcore_requests_pending", &[], 1);
    sidecar.series("meshcore_upstream_connections_open", &[], 1);
    gate.open();
    assert_eq!(clients[0].answer().status(), 200);
    sidecar.series("meshcore_requests_pending", &[], 0);
    drop(clients);
    sidecar.series("meshcore_requests_active", &[], 0);
}

#[test]
fn an_inbound_request_in_plain_text_has_an_unknown_caller() {
    let app = Application::echo("v1");
    let sidecar = Sidecar::of("app").inbound(80, app.address()).mesh(&mesh_of(&[])).start();
    assert_eq!(Client::connect(sidecar.inbound()).ask(get("/")).status(), 200);
    let labels = [
        ("reporter", "destination"),
        ("source_workload", "unknown"),
        ("source_principal", "unknown"),
        ("destination_workload", "app"),
        ("connection_security_policy", "none"),
        ("response_code", "200"),
    ];
    sidecar.series("istio_requests_total", &labels, 1);
}

#[test]
fn a_line_of_json_says_how_a_request_went() {
    let app = Application::echo("v1");
    let log = Log::new("json");
    let to = json!({"forward": [{"host": host("app"), "weight": 1}]});
    let rewritten = rule(
        to,
        json!({
            "name": "moved", "matches": [{"path": {"prefix": "/old"}}],
            "rewrite": {"path": "/new"},
        }),
    );
    let mesh =
        mesh_of(&[app.address()]).route("app", [rewritten]).settings(log.settings(&json!("json")));
    let sidecar = Sidecar::outbound_to(&mesh);
    let mut client = Client::connect(sidecar.outbound());
    let answer =
        client.ask(post("/old/x?q=\"1", "User-Agent: me\r\nX-Request-Id: id-1\r\n", "abc"));
    assert_eq!(answer.status(), 200);
    assert_eq!(app.last().line(), "POST /new/x?q=\"1 HTTP/1.1");
    assert_eq!(client.ask(get("/none")).status(), 404);
    client.ask("GET /old HTTP/1.1\r\nHost: app\r\nX-Envoy-Original-Path: /forged\r\n\r\n");
    assert_eq!(app.last().fields("x-envoy-original-path"), ["/old"]);
    let lines = log.objects(3);
    assert_eq!(lines[2]["path"], "/old");
    for (key, expected) in [
        ("method", json!("POST")),
        ("path", json!("/old/x?q=\"1")),
        ("protocol", json!("HTTP/1.1")),
        ("response_code", json!(200)),
        ("response_flags", json!("-")),
        ("response_code_details", json!("via_upstream")),
        ("bytes_received", json!(3)),
        ("bytes_sent", json!(answer.body.len())),
        ("user_agent", json!("me")),
        ("request_id", json!("id-1")),
        ("authority", json!("app")),
        ("upstream_host", json!(app.address().to_string())),
        ("upstream_cluster", json!("outbound|80||app.default.svc.cluster.local")),
        ("downstream_local_address", json!(sidecar.outbound().to_string())),
        ("downstream_remote_address", json!(client.stream().local_addr().unwrap().to_string())),
        ("route_name", json!("moved")),
        ("upstream_transport_failure_reason", Value::Null),
    ] {
        assert_eq!(lines[0][key], expected, "{key} in {}", lines[0]);
    }
    assert!(lines[0]["duration"].is_u64());
    let start = lines[0]["start_time"].as_str().unwrap();
    assert!(start.starts_with("20") && start.ends_with('Z'), "{start}");
    for (key, expected) in [
        ("response_code", json!(404)),
        ("response_flags", json!("NR")),
        ("response_code_details", json!("route_not_found")),
        ("upstream_host", Value::Null),
    ] {
        assert_eq!(lines[1][key], expected, "{key} in {}", lines[1]);
    }
}

#[test]
fn a_line_of_json_says_why_a_request_failed() {
    let closed = ClosedPort::new();
    let log = Log::new("failed");
    let mesh = mesh_of(&[closed.address()]).settings(log.settings(&json!("json")));
    let sidecar = Sidecar::outbound_to(&mesh);
    assert_eq!(Client::connect(sidecar.outbound()).ask(get("/")).status(), 503);
    let line = &log.objects(1)[0];
    assert_eq!(line["response_flags"], "UF,URX");
    assert_eq!(line["response_code_details"], "upstream_connect_refused");
    let cause = line["upstream_transport_failure_reason"].as_str().unwrap();
    assert!(cause.starts_with(&closed.address().to_string()), "{cause}");
}

#[test]
fn a_line_of_json_names_the_document_that_denied() {
    let app = Application::echo("v1");
    let log = Log::new("denied");
    let rules = json!([{"line": 12, "to": [{"paths": {"any": [{"prefix": "/admin"}]}}]}]);
    let mesh = mesh_of(&[app.address()])
        .authorization("no-admin", "app", "deny", rules)
        .settings(log.settings(&json!("json")));
    let sidecar = Sidecar::of("app").inbound(80, app.address()).mesh(&mesh).start();
    assert_eq!(Client::connect(sidecar.inbound()).ask(get("/admin")).status(), 403);
    let line = &log.objects(1)[0];
    assert_eq!(line["response_code_details"], "rbac_access_denied");
    let reason = line["reason"].as_str().unwrap();
    assert!(reason.starts_with("AuthorizationPolicy default/no-admin (mesh.yaml:"), "{reason}");
    let denied = sidecar.series("meshcore_requests_denied_total", &[], 1);
    assert!(denied.contains("no-admin"), "{denied}");
}

#[test]
fn a_line_of_text_is_that_of_istio() {
    let app = Application::echo("v1");
    let log = Log::new("text");
    let mesh = mesh_of(&[app.address()]).settings(log.settings(&json!({"text": null})));
    let sidecar = Sidecar::outbound_to(&mesh);
    let mut client = Client::connect(sidecar.outbound());
    let sent = client.ask(post("/a?b", "User-Agent: me\r\nX-Request-Id: id\r\n", "abc")).body.len();
    let line = &log.lines(1)[0];
    let begin = "\"POST /a?b HTTP/1.1\" 200 - via_upstream - \"-\" 3 ";
    assert!(line.starts_with('[') && line.contains(begin), "{line}");
    let address = app.address();
    for part in [
        format!(" {sent} "),
        format!("\"-\" \"me\" \"id\" \"app\" \"{address}\" outbound|80||{} ", host("app")),
        format!(" {} {} - default", sidecar.outbound(), client.stream().local_addr().unwrap()),
    ] {
        assert!(line.contains(&part), "{part} in {line}");
    }
}

#[test]
fn a_pattern_of_the_mesh_shapes_the_line() {
    let log = Log::new("pattern");
    let pattern = "%REQ(:METHOD)% %RESPONSE_CODE% %RESPONSE_FLAGS% %REQ(X-A)%";
    let mesh = mesh_of(&[]).settings(log.settings(&json!({"text": pattern})));
    let sidecar = Sidecar::outbound_to(&mesh);
    let request = "GET / HTTP/1.1\r\nHost: app\r\nX-A: b\r\n\r\n";
    assert_eq!(Client::connect(sidecar.outbound()).ask(request).status(), 503);
    assert_eq!(log.lines(1), ["GET 503 UH b"]);
}

#[test]
fn malformed_requests_and_tunnels_are_written_down() {
    let log = Log::new("malformed");
    let upstream = Scripted::start([vec![Step::until("ping"), Step::write("pong!")]]);
    let sidecar = Sidecar::outbound_to(&MeshBuilder::new().settings(log.settings(&json!("json"))));
    assert_eq!(Client::connect(sidecar.outbound()).ask("GET / HTTP/1.1\r\n\r\n").status(), 400);
    let target = upstream.address();
    let mut client = Client::connect(sidecar.outbound());
    client.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\nping"));
    client.read_until("pong!");
    drop(client);
    let lines = log.objects(2);
    assert_eq!(
        (&lines[0]["response_code"], &lines[0]["response_flags"]),
        (&json!(400), &json!("DPE"))
    );
    let tunnel = &lines[1];
    assert_eq!((&tunnel["bytes_received"], &tunnel["bytes_sent"]), (&json!(4), &json!(5)));
    assert_eq!(tunnel["upstream_cluster"], "PassthroughCluster");
}

#[test]
fn lines_that_a_full_disk_takes_not_are_counted() {
    let app = Application::echo("v1");
    let logged = json!({"access_log": {"path": "/dev/full", "format": {"text": null}}});
    let mesh = crate::mesh_of(&[app.address()]).settings(logged);
    let sidecar = Sidecar::of("web").outbound().mesh(&mesh).listen("admin", "127.0.0.1:0").start();
    let mut client = Client::connect(sidecar.outbound());
    for _ in 0..3 {
        assert_eq!(client.ask(get("/")).status(), 200);
    }
    sidecar.series("meshcore_access_log_failed_total", &[], 3);
}
