//! Interim answers, upgrades and tunnels.

use meshcore_testkit::{Application, Client, Gate, MeshBuilder, Scripted, Sidecar, Step, rule};
use serde_json::json;

use crate::{get, mesh_of, sidecar_to};

const EXPECTING: &str =
    "POST / HTTP/1.1\r\nHost: app\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";

#[test]
fn a_client_that_expects_100_gets_one_and_then_its_answer() {
    let app = Application::echo("v1");
    let sidecar = sidecar_to(&[app.address()]);
    let mut client = Client::connect(sidecar.outbound());
    for _ in 0..2 {
        assert_eq!(client.ask(EXPECTING).status(), 100);
        let answer = client.ask("body");
        assert_eq!(answer.status(), 200);
        assert_eq!(app.last().body, b"body");
        assert_eq!(app.last().field("expect"), None);
    }
}

#[test]
fn a_client_that_does_not_wait_for_100_needs_none() {
    let app = Application::echo("v1");
    let sidecar = sidecar_to(&[app.address()]);
    let mut client = Client::connect(sidecar.outbound());
    assert_eq!(client.ask(format!("{EXPECTING}body")).status(), 200);
}

#[test]
fn a_denied_request_gets_its_answer_and_no_100() {
    let app = Application::echo("v1");
    let rules = json!([{"to": [{"paths": {"any": [{"exact": "/open"}]}}]}]);
    let mesh = MeshBuilder::new().service("app", 80).endpoint("v1", app.address()).authorization(
        "only-open",
        "app",
        "allow",
        rules,
    );
    let sidecar = Sidecar::of("app").inbound(80, app.address()).mesh(&mesh).start();
    let mut client = Client::connect(sidecar.inbound());
    let denied = client.ask(EXPECTING);
    assert_eq!((denied.status(), denied.field("connection")), (403, Some("close")));
    assert!(client.is_closed());
    assert_eq!(app.seen().len(), 0);
    let mut client = Client::connect(sidecar.inbound());
    assert_eq!(client.ask(EXPECTING.replace("POST /", "POST /open")).status(), 100);
    assert_eq!(client.ask("body").status(), 200);
}

#[test]
fn a_request_without_a_route_gets_its_answer_and_no_100() {
    let sidecar = sidecar_to(&[]);
    let mut client = Client::connect(sidecar.outbound());
    assert_eq!(client.ask(EXPECTING).status(), 503);
}

#[test]
fn interim_answers_are_passed_on_but_not_100() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
                   HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n\
                   HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let upstream = Scripted::start([vec![Step::head(), Step::write(interim), Step::UntilClosed]]);
    let sidecar = sidecar_to(&[upstream.address()]);
    let mut client = Client::connect(sidecar.outbound());
    assert_eq!(client.ask(get("/")).status(), 102);
    let hints = client.answer();
    assert_eq!((hints.status(), hints.field("link")), (103, Some("</a>; rel=preload")));
    assert_eq!(client.answer().text(), "ok");
}

#[test]
fn an_old_client_gets_no_interim_answer() {
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let upstream = Scripted::start([vec![Step::head(), Step::write(interim), Step::UntilClosed]]);
    let sidecar = sidecar_to(&[upstream.address()]);
    let mut client = Client::connect(sidecar.outbound());
    assert_eq!(client.ask("GET / HTTP/1.0\r\nHost: app\r\n\r\n").status(), 200);
}

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: app\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\nSec-WebSocket-Key: abc\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                        upgrade: websocket\r\nsec-websocket-accept: xyz\r\n\r\n";

#[test]
fn an_upgraded_connection_carries_bytes_both_ways_until_both_sides_end() {
    let upstream = Scripted::start([vec![
        Step::head(),
        Step::write(format!("{SWITCHED}hello")),
        Step::until("ping"),
        Step::write("pong"),
        Step::Shutdown,
        Step::until("late"),
        Step::UntilClosed,
    ]]);
    let sidecar = sidecar_to(&[upstream.address()]);
    let mut client = Client::connect(sidecar.outbound());
    client.send(UPGRADE);
    let switched = String::from_utf8(client.read_until("\r\n\r\n")).unwrap();
    assert!(switched.starts_with("HTTP/1.1 101 "), "{switched}");
    assert!(switched.to_lowercase().contains("upgrade: websocket"), "{switched}");
    assert!(switched.contains("sec-websocket-accept: xyz"), "{switched}");
    client.read_until("hello");
    client.send("ping");
    assert_eq!(client.read_to_end(), b"pong");
    client.send("late");
    client.shutdown();
    upstream.wait_until_closed(0);
    let asked = upstream.text(0).to_lowercase();
    assert!(asked.contains("connection: upgrade\r\n"), "{asked}");
    assert!(asked.contains("upgrade: websocket\r\n"), "{asked}");
    sidecar.series("istio_requests_total", &[("response_code", "101")], 1);
}

#[test]
fn bytes_after_an_upgrade_request_wait_for_the_101() {
    let gate = Gate::default();
    let upstream = Scripted::start([vec![
        Step::head(),
        Step::Wait(gate.clone()),
        Step::write(SWITCHED),
        Step::until("early"),
        Step::write("seen"),
    ]]);
    let sidecar = sidecar_to(&[upstream.address()]);
    let mut client = Client::connect(sidecar.outbound());
    client.send(format!("{UPGRADE}early"));
    upstream.wait_for(0, "\r\n\r\n");
    assert!(upstream.text(0).ends_with("\r\n\r\n"), "{}", upstream.text(0));
    gate.open();
    client.read_until("\r\n\r\nseen");
}

#[test]
fn http_goes_on_after_a_refused_upgrade() {
    let upstream = Scripted::start([vec![
        Step::head(),
        Step::answer(200, "no"),
        Step::head(),
        Step::answer(200, "next"),
        Step::UntilClosed,
    ]]);
    let sidecar = sidecar_to(&[upstream.address()]);
    let mut client = Client::connect(sidecar.outbound());
    client.send(format!("{UPGRADE}{}", get("/next")));
    assert_eq!(client.answer().text(), "no");
    assert_eq!(client.answer().text(), "next");
    let next = upstream.text(0).rsplit_once("GET /next").unwrap().1.to_lowercase();
    assert!(!next.contains("upgrade"), "{next}");
}

#[test]
fn a_101_that_nobody_asked_for_is_an_error() {
    let upstream = Scripted::start([vec![Step::head(), Step::write(SWITCHED), Step::UntilClosed]]);
    let sidecar = sidecar_to(&[upstream.address()]);
    let mut client = Client::connect(sidecar.outbound());
    assert_eq!(client.ask(get("/")).status(), 502);
    upstream.wait_until_closed(0);
}

#[test]
fn a_101_to_a_protocol_that_was_not_offered_is_an_error() {
    for protocol in ["upgrade: h2c\r\n", "upgrade: websocket, h2c\r\n", ""] {
        let switched = format!("HTTP/1.1 101 Other\r\nconnection: upgrade\r\n{protocol}\r\nbytes");
        let upstream =
            Scripted::start([vec![Step::head(), Step::write(switched), Step::UntilClosed]]);
        let sidecar = sidecar_to(&[upstream.address()]);
        let mut client = Client::connect(sidecar.outbound());
        assert_eq!(client.ask(UPGRADE).status(), 502, "{protocol}");
        upstream.wait_until_closed(0);
    }
}

#[test]
fn an_upstream_that_never_comes_to_the_point_is_given_up() {
    let many = "HTTP/1.1 102 Processing\r\n\r\n".repeat(101);
    let upstream = Scripted::start([vec![Step::head(), Step::write(many), Step::UntilClosed]]);
    let sidecar = sidecar_to(&[upstream.address()]);
    let mut client = Client::connect(sidecar.outbound());
    client.send(get("/"));
    client.read_until("HTTP/1.1 502 ");
    upstream.wait_until_closed(0);
}

#[test]
fn connect_opens_a_tunnel_to_a_service_and_to_an_address() {
    let upstream =
        || Scripted::start([vec![Step::until("ping"), Step::write("pong"), Step::UntilClosed]]);
    let (known, unknown) = (upstream(), upstream());
    let mesh =
        MeshBuilder::new().service_speaking("db", 5432, "tcp").endpoint("v1", known.address());
    let sidecar = Sidecar::outbound_to(&mesh);
    for (target, upstream) in
        [("db:5432".to_owned(), &known), (unknown.address().to_string(), &unknown)]
    {
        let mut client = Client::connect(sidecar.outbound());
        client.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\nping"));
        let established = String::from_utf8(client.read_until("\r\n\r\n")).unwrap();
        assert!(established.starts_with("HTTP/1.1 200 "), "{established}");
        client.read_until("pong");
        drop(client);
        upstream.wait_until_closed(0);
        assert_eq!(upstream.text(0), "ping");
    }
}

#[test]
fn connect_reaches_nothing_from_the_mesh_side() {
    let app = Application::echo("app");
    let sidecar = Sidecar::of("app").inbound(80, app.address()).start();
    let target = app.address();
    let mut client = Client::connect(sidecar.inbound());
    let answer = client.ask(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
    assert_eq!(answer.status(), 404);
    assert!(client.is_closed());
}

#[test]
fn http_2_cannot_be_had_by_an_upgrade() {
    // Whoever got it could ask for anything behind the back of policy.
    let upstream = Scripted::start([vec![Step::head(), Step::answer(200, "no")]]);
    let sidecar = sidecar_to(&[upstream.address()]);
    let mut client = Client::connect(sidecar.outbound());
    let fields =
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    assert_eq!(client.ask(format!("GET / HTTP/1.1\r\nHost: app\r\n{fields}\r\n")).status(), 200);
    let asked = upstream.text(0).to_lowercase();
    assert!(!asked.contains("h2c") && !asked.contains("http2-settings"), "{asked}");
}

#[test]
fn connect_is_refused_where_it_leads_nowhere() {
    let mesh = MeshBuilder::new().settings(json!({"outbound_policy": "registry_only"}));
    let sidecar = Sidecar::outbound_to(&mesh);
    let own = sidecar.outbound();
    let mut client = Client::connect(own);
    let answer = client.ask("CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: 127.0.0.1:9\r\n\r\n");
    assert_eq!(answer.status(), 502);
    assert!(client.is_closed());
    sidecar.apply(&MeshBuilder::new(), 2);
    let target = format!("localhost:{}", own.port());
    let mut client = Client::connect(own);
    let answer = client.ask(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
    assert_eq!(answer.status(), 508);
}

#[test]
fn an_upgrade_to_an_answer_made_here_is_answered() {
    let mesh = mesh_of(&[])
        .route("app", [rule(json!({"respond": {"status": 418, "body": "tea"}}), json!({}))]);
    let sidecar = Sidecar::outbound_to(&mesh);
    let mut client = Client::connect(sidecar.outbound());
    assert_eq!(client.ask(UPGRADE).text(), "tea");
    assert_eq!(client.ask(get("/")).text(), "tea");
}
