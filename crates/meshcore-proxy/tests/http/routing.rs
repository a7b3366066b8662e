//! Where requests go, and what is changed on the way.

use meshcore_testkit::{Answer, Application, Client, MeshBuilder, Reply, Sidecar, host, rule};
use serde_json::{Value, json};

use crate::get;

/// Services `app` (the caller's) and `other`, each with an application that says its name.
struct Two {
    app: Application,
    other: Application,
}

impl Two {
    fn new() -> Self {
        Self { app: Application::echo("app"), other: Application::echo("other") }
    }

    fn mesh(&self) -> MeshBuilder {
        MeshBuilder::new()
            .service("app", 80)
            .endpoint("v1", self.app.address())
            .service("other", 80)
            .endpoint("v1", self.other.address())
    }

    fn sidecar(&self, rules: impl IntoIterator<Item = Value>) -> Sidecar {
        Sidecar::outbound_to(&self.mesh().route("app", rules))
    }
}

fn to(name: &str) -> Value {
    json!({"forward": [{"host": host(name), "weight": 1}]})
}

fn ask(sidecar: &Sidecar, request: &str) -> Answer {
    Client::connect(sidecar.outbound()).ask(request)
}

/// Which application answers, or the status when none does.
fn who(sidecar: &Sidecar, request: &str) -> String {
    let answer = ask(sidecar, request);
    let is_ok = answer.status() == 200;
    if is_ok { answer.text().lines().next().unwrap().into() } else { answer.status().to_string() }
}

#[test]
fn a_service_has_many_names() {
    let two = Two::new();
    let sidecar = Sidecar::outbound_to(&two.mesh());
    for name in [
        "app",
        "app:80",
        "APP",
        "app.default",
        "app.default.svc",
        "app.default.svc:80",
        "app.default.svc.cluster.local",
        "App.Default.Svc.Cluster.Local:80",
        "app.default.svc.cluster.local.",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n");
        assert_eq!(who(&sidecar, &request), "app", "{name}");
        let request = format!("GET http://{name}/ HTTP/1.1\r\nHost: {name}\r\n\r\n");
        assert_eq!(who(&sidecar, &request), "app", "{name}, absolute");
    }
    assert!(two.app.last().head.starts_with("GET / HTTP/1.1\r\n"), "{:?}", two.app.last());
}

#[test]
fn paths_methods_headers_and_queries_choose() {
    let two = Two::new();
    let conditions: [(Value, &[&str], &[&str]); 12] = [
        (json!({"path": {"exact": "/a"}}), &["GET /a", "GET /a?x"], &["GET /a/", "GET /A"]),
        (json!({"path": {"prefix": "/a"}}), &["GET /a", "GET /ab"], &["GET /b/a"]),
        (json!({"path": {"segment_prefix": "/a"}}), &["GET /a", "GET /a/b"], &["GET /ab"]),
        (json!({"path": {"regex": "/a+"}}), &["GET /aaa", "GET /a?b"], &["GET /aab"]),
        (json!({"path": {"exact": "/a"}, "ignore_path_case": true}), &["GET /A"], &["GET /b"]),
        (json!({"method": {"exact": "PUT"}}), &["PUT /"], &["GET /", "put /"]),
        (json!({"method": {"regex": "P.T"}}), &["PUT /", "PAT /"], &["POST /"]),
        (
            json!({"query": [{"name": "v", "value": {"exact": "2"}}]}),
            &["GET /?v=2", "GET /?a=1&v=2"],
            &["GET /?v=1", "GET /?w=2", "GET /"],
        ),
        (
            json!({"headers": [{"name": "x-v", "value": {"exact": "2"}}]}),
            &["GET / X-V: 2", "GET / x-v: 2"],
            &["GET / X-V: 22", "GET /"],
        ),
        (json!({"headers": [{"name": "x-v", "value": "present"}]}), &["GET / X-V: 2"], &["GET /"]),
        (
            json!({"without_headers": [{"name": "x-v", "value": {"exact": "2"}}]}),
            &["GET /", "GET / X-V: 1"],
            &["GET / X-V: 2"],
        ),
        (json!({"authority": {"prefix": "app.default"}}), &[], &["GET /"]),
    ];
    for (condition, yes, no) in conditions {
        let matching = rule(to("other"), json!({"matches": [condition]}));
        let sidecar = two.sidecar([matching, rule(to("app"), json!({}))]);
        for (requests, expected) in [(yes, "other"), (no, "app")] {
            for request in requests {
                let mut words = request.splitn(3, ' ');
                let (method, target) = (words.next().unwrap(), words.next().unwrap());
                let field = words.next().map(|field| format!("{field}\r\n")).unwrap_or_default();
                let request = format!(
                    "{method} {target} HTTP/1.1\r\nHost: app\r\n{field}Content-Length: 0\r\n\r\n"
                );
                assert_eq!(who(&sidecar, &request), expected, "{condition} {request:?}");
            }
        }
    }
}

#[test]
fn the_port_of_the_request_chooses() {
    let two = Two::new();
    let mesh = MeshBuilder::new()
        .service("app", 80)
        .port(81, "second", "http")
        .endpoint("v1", two.app.address())
        .service("other", 80)
        .endpoint("v1", two.other.address())
        .route(
            "app",
            [rule(to("other"), json!({"matches": [{"port": 81}]})), rule(to("app"), json!({}))],
        );
    let sidecar = Sidecar::outbound_to(&mesh);
    assert_eq!(who(&sidecar, "GET / HTTP/1.1\r\nHost: app\r\n\r\n"), "app");
    assert_eq!(who(&sidecar, "GET / HTTP/1.1\r\nHost: app:80\r\n\r\n"), "app");
    assert_eq!(who(&sidecar, "GET / HTTP/1.1\r\nHost: app:81\r\n\r\n"), "other");
}

#[test]
fn without_a_matching_rule_there_is_no_route() {
    let two = Two::new();
    let only = rule(to("app"), json!({"matches": [{"path": {"exact": "/here"}}]}));
    let sidecar = two.sidecar([only]);
    assert_eq!(who(&sidecar, &get("/here")), "app");
    assert_eq!(who(&sidecar, &get("/there")), "404");
    let labels = [("response_code", "404"), ("response_flags", "NR")];
    sidecar.series("istio_requests_total", &labels, 1);
}

#[test]
fn a_rule_may_lead_to_no_cluster() {
    let two = Two::new();
    let sidecar = two.sidecar([rule(to("nowhere"), json!({}))]);
    assert_eq!(who(&sidecar, &get("/")), "503");
    let labels = [("response_code", "503"), ("response_flags", "NC")];
    sidecar.series("istio_requests_total", &labels, 1);
}

#[test]
fn weights_divide_the_requests() {
    let two = Two::new();
    let split = json!({"forward": [
        {"host": host("app"), "weight": 90}, {"host": host("other"), "weight": 10},
    ]});
    let sidecar = two.sidecar([rule(split, json!({}))]);
    let mut client = Client::connect(sidecar.outbound());
    for _ in 0..1000 {
        assert_eq!(client.ask(get("/")).status(), 200);
    }
    // Six standard deviations of a binomial distribution: one false alarm in 500 million.
    let minor = two.other.seen().len();
    assert!((43..=157).contains(&minor), "{minor} of 1000 went to a share of 10 %");
}

#[test]
fn a_share_of_nothing_gets_nothing() {
    let two = Two::new();
    let split = json!({"forward": [
        {"host": host("app"), "weight": 100}, {"host": host("other"), "weight": 0},
    ]});
    let sidecar = two.sidecar([rule(split, json!({}))]);
    let mut client = Client::connect(sidecar.outbound());
    for _ in 0..100 {
        assert_eq!(client.ask(get("/")).status(), 200);
    }
    assert_eq!(two.other.seen(), []);
}

#[test]
fn subsets_choose_endpoints_by_label() {
    let (one, two) = (Application::echo("v1"), Application::echo("v2"));
    let subset =
        |name: &str| json!({"forward": [{"host": host("app"), "subset": name, "weight": 1}]});
    let matches = json!({"matches": [{"path": {"prefix": "/two"}}]});
    let mesh = crate::mesh_of(&[one.address(), two.address()])
        .policy("app", json!({}), &["v1", "v2", "v3"])
        .route(
            "app",
            [
                rule(subset("v2"), matches),
                rule(subset("v3"), json!({"matches": [{"path": {"prefix": "/three"}}]})),
                rule(subset("v1"), json!({})),
            ],
        );
    let sidecar = Sidecar::outbound_to(&mesh);
    for _ in 0..10 {
        assert_eq!(who(&sidecar, &get("/two")), "v2");
        assert_eq!(who(&sidecar, &get("/one")), "v1");
    }
    assert_eq!(who(&sidecar, &get("/three")), "503");
    let labels = [("response_code", "503"), ("response_flags", "UH")];
    sidecar.series("istio_requests_total", &labels, 1);
}

#[test]
fn rewrites_change_path_and_authority() {
    let two = Two::new();
    let cases = [
        (json!({"prefix": "/old"}), json!({"path": "/new"}), "/old/x?q=1", "/new/x?q=1"),
        (json!({"prefix": "/old/"}), json!({"path": "/"}), "/old/x", "/x"),
        (json!({"exact": "/old"}), json!({"path": "/new"}), "/old?q", "/new?q"),
        (json!({"segment_prefix": "/old"}), json!({"path": "/"}), "/old/x", "/x"),
        (
            json!({"prefix": "/"}),
            json!({"regex": ["^/v([0-9])/(.*)$", "/\\2/\\1"]}),
            "/v1/items?q",
            "/items/1?q",
        ),
    ];
    for (path, rewrite, asked, expected) in cases {
        let more = json!({"matches": [{"path": path}], "rewrite": rewrite});
        let sidecar = two.sidecar([rule(to("app"), more)]);
        assert_eq!(who(&sidecar, &get(asked)), "app");
        assert_eq!(two.app.last().line(), format!("GET {expected} HTTP/1.1"), "{rewrite}");
        assert_eq!(two.app.last().fields("host"), ["app"]);
    }
    let rewrite = json!({"rewrite": {"authority": "example.com:8080"}});
    let sidecar = two.sidecar([rule(to("app"), rewrite)]);
    assert_eq!(who(&sidecar, &get("/")), "app");
    assert_eq!(two.app.last().fields("host"), ["example.com:8080"]);
}

#[test]
fn redirects_and_direct_responses_are_answered_here() {
    let two = Two::new();
    let redirect = |fields: Value| json!({"redirect": fields});
    let prefix = json!({"matches": [{"path": {"prefix": "/old"}}]});
    let sidecar = two.sidecar([
        rule(
            redirect(json!({"status": 301, "path": "/new"})),
            json!({"matches": [{"path": {"exact": "/a"}}]}),
        ),
        rule(redirect(json!({"status": 308, "prefix": "/new"})), prefix),
        rule(
            redirect(json!({"status": 302, "authority": "b.example", "scheme": "https"})),
            json!({"matches": [{"path": {"exact": "/b"}}]}),
        ),
        rule(
            json!({"respond": {"status": 204, "body": "HTTP/1.1 200 OK"}}),
            json!({"matches": [{"path": {"exact": "/empty"}}]}),
        ),
        rule(
            json!({"respond": {"status": 503, "body": "closed"}}),
            json!({"response_headers": {"set": [["x-why", "holiday"]], "add": [["x-b", "1"]]}}),
        ),
    ]);
    let mut client = Client::connect(sidecar.outbound());
    for (path, status, location) in [
        ("/a?q=1", 301, "http://app/new?q=1"),
        ("/old/x", 308, "http://app/new/x"),
        ("/b", 302, "https://b.example/b"),
    ] {
        let answer = client.ask(get(path));
        assert_eq!((answer.status(), answer.field("location")), (status, Some(location)));
    }
    let empty = client.ask(get("/empty"));
    assert_eq!((empty.status(), empty.field("content-length")), (204, None));
    let closed = client.ask(get("/else"));
    assert_eq!((closed.status(), closed.text().as_str()), (503, "closed"));
    assert_eq!((closed.field("x-why"), closed.field("x-b")), (Some("holiday"), Some("1")));
    client.send("HEAD /else HTTP/1.1\r\nHost: app\r\n\r\n");
    let head = client.answer_to_head();
    assert_eq!((head.status(), head.field("content-length")), (503, Some("6")));
    assert_eq!(client.ask(get("/a")).status(), 301);
    assert_eq!(two.app.seen(), []);
}

#[test]
fn header_fields_are_set_added_and_removed_both_ways() {
    let app = Application::start(|_| {
        Reply::raw("HTTP/1.1 200 OK\r\nserver: secret\r\nx-a: app\r\ncontent-length: 0\r\n\r\n")
    });
    let edits = |set: &str, add: &str, remove: &str| json!({"set": [[set, "rule"]], "add": [[add, "rule"]], "remove": [remove]});
    let forward = json!({"forward": [{
        "host": host("app"), "weight": 1,
        "request_headers": {"set": [["x-dest", "yes"]], "remove": ["x-gone"]},
        "response_headers": {"add": [["x-dest", "yes"]]},
    }]});
    let mesh = crate::mesh_of(&[app.address()]).route(
        "app",
        [rule(
            forward,
            json!({
                "request_headers": edits("x-set", "x-add", "x-secret"),
                "response_headers": edits("x-a", "x-add", "server"),
            }),
        )],
    );
    let sidecar = Sidecar::outbound_to(&mesh);
    let answer = ask(
        &sidecar,
        "GET / HTTP/1.1\r\nHost: app\r\nX-Set: old\r\nX-Set: older\r\nX-Add: client\r\n\
         X-Secret: s\r\nX-Gone: g\r\n\r\n",
    );
    let seen = app.last();
    assert_eq!(seen.fields("x-set"), ["rule"]);
    assert_eq!(seen.fields("x-add"), ["client", "rule"]);
    assert_eq!(seen.fields("x-secret"), [""; 0]);
    assert_eq!(seen.fields("x-gone"), [""; 0]);
    assert_eq!(seen.fields("x-dest"), ["yes"]);
    assert_eq!((answer.field("x-a"), answer.field("x-add")), (Some("rule"), Some("rule")));
    assert_eq!((answer.field("server"), answer.field("x-dest")), (None, Some("yes")));
}

#[test]
fn a_host_header_can_be_set_for_a_destination() {
    let two = Two::new();
    let forward = json!({"forward": [{
        "host": host("app"), "weight": 1,
        "request_headers": {"set": [["host", "inner.example"]]},
    }]});
    let sidecar = two.sidecar([rule(forward, json!({}))]);
    assert_eq!(who(&sidecar, &get("/")), "app");
    assert_eq!(two.app.last().fields("host"), ["inner.example"]);
}

#[test]
fn hop_by_hop_fields_stay_on_their_hop() {
    let two = Two::new();
    let sidecar = Sidecar::outbound_to(&two.mesh());
    let request = "GET / HTTP/1.1\r\nHost: app\r\nConnection: keep-alive, x-mine\r\nX-Mine: 1\r\n\
                   Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
                   Proxy-Authorization: Basic x\r\nTE: trailers\r\nX-Kept: 1\r\n\r\n";
    assert_eq!(who(&sidecar, request), "app");
    let seen = two.app.last();
    for name in ["x-mine", "keep-alive", "proxy-connection"] {
        assert_eq!(seen.field(name), None, "{name}");
    }
    assert_eq!(seen.field("x-kept"), Some("1"));
}

#[test]
fn a_request_id_is_kept_or_made() {
    let two = Two::new();
    let sidecar = Sidecar::outbound_to(&two.mesh());
    who(&sidecar, "GET / HTTP/1.1\r\nHost: app\r\nX-Request-Id: mine\r\n\r\n");
    assert_eq!(two.app.last().fields("x-request-id"), ["mine"]);
    let mut made = std::collections::HashSet::new();
    for _ in 0..10 {
        who(&sidecar, &get("/"));
        let id = two.app.last().field("x-request-id").unwrap().to_owned();
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'), "{id}");
        assert!(made.insert(id));
    }
}
