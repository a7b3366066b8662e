//! Who may call whom, and what cannot be talked around.

use meshcore_testkit::{Answer, Application, Client, MeshBuilder, Sidecar, TestCa};
use serde_json::{Value, json};

/// An application behind its sidecar, and a caller with an identity behind another.
struct Scene {
    app: Application,
    server: Sidecar,
    caller: Sidecar,
}

fn mesh(endpoint: std::net::SocketAddr, policies: &[(&str, Value)]) -> MeshBuilder {
    let mesh = MeshBuilder::new().service("app", 80).mesh_endpoint("v1", endpoint);
    policies.iter().fold(mesh, |mesh, (action, rules)| {
        mesh.authorization(action, "app", action, rules.clone())
    })
}

impl Scene {
    fn new(policies: &[(&str, Value)]) -> Self {
        Self::with(policies, json!({}))
    }

    fn with(policies: &[(&str, Value)], settings: Value) -> Self {
        let ca = TestCa::default();
        let app = Application::echo("app");
        let server = Sidecar::of("app")
            .inbound(80, app.address())
            .mesh(&mesh(app.address(), policies).settings(settings.clone()))
            .materials(ca.materials("app"))
            .start();
        let caller = Sidecar::of("web")
            .outbound()
            .mesh(&mesh(server.inbound(), &[]).settings(settings))
            .materials(ca.materials("web"))
            .start();
        Self { app, server, caller }
    }

    /// Asks as the workload `web`.
    fn as_web(&self, request: &str) -> Answer {
        Client::connect(self.caller.outbound()).ask(request)
    }

    /// Asks in plain text, as nobody.
    fn as_nobody(&self, request: &str) -> Answer {
        Client::connect(self.server.inbound()).ask(request)
    }
}

/// Policies, method, path, field, status for the workload, status for nobody.
type Case<'a> = (Vec<(&'a str, Value)>, &'a str, &'a str, &'a str, u16, u16);

fn request(method: &str, path: &str, field: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: app\r\n{field}Content-Length: 0\r\n\r\n")
}

fn from(principal: &str) -> Value {
    json!([{"from": [{"principals": {"any": [{"exact": principal}]}}]}])
}

fn to_path(path: &str) -> Value {
    json!([{"to": [{"paths": {"any": [{"exact": path}]}}]}])
}

#[test]
fn rules_allow_and_deny_by_principal_path_method_and_header() {
    let web = "cluster.local/ns/default/sa/web";
    let methods = json!([{"to": [{"methods": {"any": [{"exact": "GET"}]}}]}]);
    let header = json!([{"when": [{
        "key": {"request_header": "x-role"}, "values": {"any": [{"exact": "admin"}]},
    }]}]);
    let both = json!([{
        "from": [{"principals": {"any": [{"exact": web}]}}],
        "to": [{"paths": {"any": [{"prefix": "/open"}]}}],
    }]);
    let any_mtls = json!([{"from": [{"principals": {"any": ["present"]}}]}]);
    let nobody = json!([]);
    let cases: Vec<Case<'_>> = vec![
        (vec![], "GET", "/", "", 200, 200),
        (vec![("allow", from(web))], "GET", "/", "", 200, 403),
        (vec![("allow", from("cluster.local/ns/default/sa/other"))], "GET", "/", "", 403, 403),
        (vec![("deny", from(web))], "GET", "/", "", 403, 200),
        (vec![("allow", any_mtls)], "GET", "/", "", 200, 403),
        (vec![("allow", nobody)], "GET", "/", "", 403, 403),
        (vec![("allow", to_path("/a"))], "GET", "/a?q", "", 200, 200),
        (vec![("allow", to_path("/a"))], "GET", "/b", "", 403, 403),
        (vec![("deny", to_path("/a"))], "GET", "/a", "", 403, 403),
        (vec![("deny", to_path("/a"))], "GET", "/b", "", 200, 200),
        (vec![("allow", methods.clone())], "GET", "/", "", 200, 200),
        (vec![("allow", methods)], "POST", "/", "", 403, 403),
        (vec![("allow", header.clone())], "GET", "/", "X-Role: admin\r\n", 200, 200),
        (vec![("allow", header.clone())], "GET", "/", "X-Role: user\r\n", 403, 403),
        (vec![("deny", header)], "GET", "/", "x-role: admin\r\n", 403, 403),
        (vec![("allow", both.clone())], "GET", "/open/x", "", 200, 403),
        (vec![("allow", both.clone())], "GET", "/closed", "", 403, 403),
        (vec![("allow", both), ("deny", to_path("/open/no"))], "GET", "/open/no", "", 403, 403),
    ];
    for (policies, method, path, field, web, nobody) in cases {
        let scene = Scene::new(&policies);
        let request = request(method, path, field);
        let statuses = (scene.as_web(&request).status(), scene.as_nobody(&request).status());
        assert_eq!(statuses, (web, nobody), "{policies:?} {request:?}");
        let reached = [web, nobody].iter().filter(|status| **status == 200).count();
        assert_eq!(scene.app.seen().len(), reached);
    }
}

#[test]
fn another_spelling_of_a_path_does_not_pass_a_denial() {
    let rules = json!([{"to": [{"paths": {"any": [{"prefix": "/admin"}]}}]}]);
    let scene = Scene::new(&[("deny", rules)]);
    for path in [
        "/admin",
        "/admin/",
        "/admin?x",
        "/admin;x",
        "//admin",
        "///admin",
        "/./admin",
        "/x/../admin",
        "/x/..//admin",
        "/a/b/../../admin",
        "/x/%2e%2e/admin",
        "/x/.%2e/admin",
        "/%2e/admin",
        "/%2E%2E/admin",
        "/%61dmin",
        "/adm%69n",
        "/%2fadmin",
        "/%2Fadmin",
        "/x%2f..%2fadmin",
        "/x/..%2fadmin",
        "/admin%2fusers",
        "/%5cadmin",
        "/\\admin",
        "/x\\..\\admin",
        "http://app/admin",
        "http://app//admin",
        "http://app/x/../admin",
    ] {
        let status = scene.as_nobody(&request("GET", path, "")).status();
        assert!(matches!(status, 400 | 403), "{path} is a {status}: {:?}", scene.app.seen());
        let status = scene.as_web(&request("GET", path, "")).status();
        assert!(matches!(status, 400 | 403), "{path} is a {status}: {:?}", scene.app.seen());
    }
    assert_eq!(scene.app.seen(), []);
}

#[test]
fn another_spelling_of_a_path_is_not_allowed_as_another_one() {
    let scene = Scene::new(&[(
        "allow",
        json!([
            {"to": [{"paths": {"any": [{"prefix": "/public/"}]}}]},
        ]),
    )]);
    for path in [
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public/..%2fadmin",
        "/public/%2e%2e%2fadmin",
        "/public\\..\\..\\admin",
        "/public/x/../../admin",
    ] {
        let status = scene.as_nobody(&request("GET", path, "")).status();
        assert!(matches!(status, 400 | 403), "{path} is a {status}: {:?}", scene.app.seen());
    }
    assert_eq!(scene.as_nobody(&request("GET", "/public/a/../b", "")).status(), 200);
    assert_eq!(scene.app.last().line(), "GET /public/b HTTP/1.1");
}

#[test]
fn a_path_with_a_null_byte_is_refused() {
    let scene = Scene::new(&[]);
    assert_eq!(scene.as_nobody(&request("GET", "/a%00b", "")).status(), 400);
    assert_eq!(scene.app.seen(), []);
}

#[test]
fn who_calls_cannot_be_forged() {
    const FORGED: &str =
        "X-Forwarded-Client-Cert: By=x;URI=spiffe://cluster.local/ns/a/sa/admin\r\n";
    let scene = Scene::new(&[]);
    let name = "x-forwarded-client-cert";
    scene.as_nobody(&request("GET", "/", FORGED));
    assert_eq!(scene.app.last().field(name), None);
    scene.as_web(&request("GET", "/", FORGED));
    let by =
        "By=spiffe://cluster.local/ns/default/sa/app;URI=spiffe://cluster.local/ns/default/sa/web";
    assert_eq!(scene.app.last().fields(name), [by]);
}

#[test]
fn a_denial_is_counted_with_the_document_that_made_it() {
    let scene = Scene::new(&[("deny", to_path("/a"))]);
    assert_eq!(scene.as_web(&request("GET", "/a", "")).status(), 403);
    let labels = [
        ("reporter", "destination"),
        ("response_code", "403"),
        ("source_principal", "spiffe://cluster.local/ns/default/sa/web"),
        ("connection_security_policy", "mutual_tls"),
    ];
    scene.server.series("istio_requests_total", &labels, 1);
    let reason = scene.server.series("meshcore_requests_denied_total", &[], 1);
    assert!(reason.contains("AuthorizationPolicy default/deny (mesh.yaml:"), "{reason}");
    let labels = [("reporter", "source"), ("response_code", "403")];
    scene.caller.series("istio_requests_total", &labels, 1);
}

#[test]
fn a_strict_port_takes_no_plain_text() {
    let ca = TestCa::default();
    let app = Application::echo("app");
    let mesh = MeshBuilder::new().service("app", 80).endpoint("v1", app.address()).mtls("strict");
    let server = Sidecar::of("app")
        .inbound(80, app.address())
        .mesh(&mesh)
        .materials(ca.materials("app"))
        .start();
    let mut client = Client::connect(server.inbound());
    client.send(request("GET", "/", ""));
    assert!(client.is_closed());
    assert_eq!(app.seen(), []);
    server.series("meshcore_tls_handshakes_failed_total", &[("reason", "plain text refused")], 1);
}

#[test]
fn a_change_of_policy_holds_for_the_next_request_of_a_connection() {
    let scene = Scene::new(&[]);
    let mut client = Client::connect(scene.server.inbound());
    assert_eq!(client.ask(request("GET", "/a", "")).status(), 200);
    let denying = mesh(scene.app.address(), &[("deny", to_path("/a"))]);
    scene.server.apply(&denying, 2);
    assert_eq!(client.ask(request("GET", "/a", "")).status(), 403);
    assert_eq!(client.ask(request("GET", "/b", "")).status(), 200);
}
