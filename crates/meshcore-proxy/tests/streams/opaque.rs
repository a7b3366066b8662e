//! Bytes that are not looked at, by every way they can take.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use http::Request;
use meshcore_testkit::h2::{H2Client, end, read_all, run};
use meshcore_testkit::{Client, ClosedPort, MeshBuilder, Sidecar, TestCa, WITHIN};
use serde_json::{Value, json};

use crate::{eventually, pattern, tcp_echo, tcp_server};

const PORT: u16 = 5432;
const CONNECT: &str = "CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n";
const UNKNOWN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// How the bytes travel between the sidecars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// There is but one sidecar.
    Plain,
    Mtls,
    Hbone,
}

const WAYS: [Way; 3] = [Way::Plain, Way::Mtls, Way::Hbone];

/// The sidecars between a client and the application `db`.
pub(crate) struct Between {
    pub(crate) client: Sidecar,
    pub(crate) server: Option<Sidecar>,
}

pub(crate) fn mesh() -> MeshBuilder {
    MeshBuilder::new().service_speaking("db", PORT, "tcp")
}

pub(crate) fn between(way: Way, application: SocketAddr, mesh: MeshBuilder) -> Between {
    if way == Way::Plain {
        let client = Sidecar::of("web").outbound().mesh(&mesh.endpoint("v1", application)).start();
        return Between { client, server: None };
    }
    let ca = TestCa::default();
    let endpoint = |server: Option<&Sidecar>| {
        let inbound = server.map_or(UNKNOWN, Sidecar::inbound);
        let mut more = json!({"mtls": true, "inbound_port": inbound.port()});
        if way == Way::Hbone {
            let hbone = server.map_or(UNKNOWN, Sidecar::hbone);
            more["hbone_port"] = json!(hbone.port());
        }
        mesh.clone().endpoint_with("v1", inbound, more)
    };
    let server = Sidecar::of("db")
        .inbound(PORT, application)
        .hbone()
        .materials(ca.materials("db"))
        .mesh(&endpoint(None))
        .start();
    let with_server = endpoint(Some(&server));
    server.apply(&with_server, 2);
    let client = Sidecar::of("web").outbound().materials(ca.materials("web")).mesh(&with_server);
    Between { client: client.start(), server: Some(server) }
}

impl Between {
    /// A tunnel to the application by HTTP/1, with nothing in it yet.
    pub(crate) fn tunnel(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.client.outbound()).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        stream.write_all(CONNECT.as_bytes()).unwrap();
        let mut answer = [0; 19];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK\r\n\r\n");
        stream
    }
}

fn say(stream: &mut TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

/// What comes until the other side ends; a reset ends it too.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
    rest
}

#[test]
fn bytes_pass_and_are_counted_on_both_sides() {
    for way in WAYS {
        let both = between(way, tcp_echo(), mesh());
        let mut tunnel = both.tunnel();
        assert_eq!(say(&mut tunnel, "hello"), "hello", "{way:?}");
        assert_eq!(say(&mut tunnel, "again"), "again", "{way:?}");
        drop(tunnel);
        let mut sides = vec![(&both.client, "source", "unknown")];
        if let Some(server) = &both.server {
            sides.push((server, "destination", "mutual_tls"));
        }
        for (sidecar, reporter, security) in sides {
            let labels = [
                ("reporter", reporter),
                ("connection_security_policy", security),
                ("source_principal", "spiffe://cluster.local/ns/default/sa/web"),
                ("destination_service", "db.default.svc.cluster.local"),
                ("request_protocol", "tcp"),
            ];
            for (name, value) in [
                ("connections_opened", 1),
                ("connections_closed", 1),
                ("sent_bytes", 10),
                ("received_bytes", 10),
            ] {
                sidecar.series(&format!("istio_tcp_{name}_total"), &labels, value);
            }
        }
    }
}

#[test]
fn a_side_that_stops_sending_still_receives() {
    for way in WAYS {
        // The answer begins when all of the question has come.
        let application = tcp_server(|mut stream| {
            let mut question = Vec::new();
            stream.read_to_end(&mut question).unwrap();
            let answer = format!("{} bytes", question.len());
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let both = between(way, application, mesh());
        let mut tunnel = both.tunnel();
        tunnel.write_all(&pattern(70_000)).unwrap();
        tunnel.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut tunnel), b"70000 bytes", "{way:?}");

        // And the other way round.
        let (tell, told) = std::sync::mpsc::channel();
        let application = tcp_server(move |mut stream| {
            stream.write_all(b"all I have").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut question = Vec::new();
            stream.read_to_end(&mut question).unwrap();
            tell.send(question).unwrap();
        });
        let both = between(way, application, mesh());
        let mut tunnel = both.tunnel();
        assert_eq!(rest(&mut tunnel), b"all I have", "{way:?}");
        tunnel.write_all(b"and what I have").unwrap();
        tunnel.shutdown(Shutdown::Write).unwrap();
        assert_eq!(told.recv_timeout(WITHIN).unwrap(), b"and what I have", "{way:?}");
    }
}

#[test]
fn twenty_megabytes_arrive_whole_in_both_directions() {
    const COUNT: usize = 20 * 1024 * 1024;
    let sent = pattern(COUNT);
    for way in WAYS {
        let both = between(way, tcp_echo(), mesh());
        let mut tunnel = both.tunnel();
        let mut writer = tunnel.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                writer.write_all(&sent).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let received = rest(&mut tunnel);
            assert_eq!(received.len(), sent.len(), "{way:?}");
            assert!(received == sent, "{way:?}: changed on the way");
        });
        let bytes = u64::try_from(COUNT).unwrap();
        both.client.series("istio_tcp_sent_bytes_total", &[("reporter", "source")], bytes);
        both.client.series("istio_tcp_received_bytes_total", &[("reporter", "source")], bytes);
    }
}

#[test]
fn a_server_may_speak_first() {
    for way in WAYS {
        let application = tcp_server(|mut stream| {
            stream.write_all(b"220 ready\r\n").unwrap();
            let mut word = [0; 4];
            stream.read_exact(&mut word).unwrap();
            stream.write_all(&word).unwrap();
        });
        let both = between(way, application, mesh());
        let mut tunnel = both.tunnel();
        let mut greeting = [0; 11];
        tunnel.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"220 ready\r\n", "{way:?}");
        assert_eq!(say(&mut tunnel, "quit"), "quit", "{way:?}");
    }
}

#[test]
fn http2_clients_open_tunnels_too() {
    for way in WAYS {
        let both = between(way, tcp_echo(), mesh());
        run(async {
            let client = H2Client::connect(both.client.outbound()).await;
            for text in [&b"one"[..], b"two"] {
                let head = Request::builder().method("CONNECT").uri("db:5432").body(()).unwrap();
                let (response, mut send) = client.begin(head, false).await.unwrap();
                let response = response.await.unwrap();
                assert_eq!(response.status(), 200);
                send.send_data(bytes::Bytes::copy_from_slice(text), false).unwrap();
                end(&mut send, None);
                let (echoed, _) = read_all(&mut response.into_body()).await.unwrap();
                assert_eq!(echoed, text, "{way:?}");
            }
        });
        let labels = [("reporter", "source")];
        both.client.series("istio_tcp_connections_closed_total", &labels, 2);
    }
}

#[test]
fn a_reset_of_the_stream_closes_the_connection_to_the_application() {
    let (tell, told) = std::sync::mpsc::channel();
    let application = tcp_server(move |mut stream| {
        let mut all = Vec::new();
        let _reset = stream.read_to_end(&mut all);
        tell.send(all).unwrap();
    });
    let both = between(Way::Hbone, application, mesh());
    run(async {
        let client = H2Client::connect(both.client.outbound()).await;
        let head = Request::builder().method("CONNECT").uri("db:5432").body(()).unwrap();
        let (response, mut send) = client.begin(head, false).await.unwrap();
        let _response = response.await.unwrap();
        send.send_reset(h2::Reason::CANCEL);
        assert_eq!(told.recv_timeout(WITHIN).unwrap(), b"");
    });
}

#[test]
fn a_connection_without_bytes_is_closed_after_its_time() {
    for way in [Way::Plain, Way::Hbone] {
        let idle = json!({"connection_pool": {"tcp_idle_timeout_ms": 150}});
        let both = between(way, tcp_echo(), mesh().policy("db", idle, &[]));
        let mut tunnel = both.tunnel();
        let started = std::time::Instant::now();
        while started.elapsed().as_millis() < 400 {
            assert_eq!(say(&mut tunnel, "still here"), "still here", "{way:?}");
        }
        assert!(rest(&mut tunnel).is_empty(), "{way:?}");
        assert!(started.elapsed().as_secs() < 3, "{way:?}");
    }
}

#[test]
fn a_connection_is_allowed_by_principal() {
    let from = |name: &str| {
        let principal = format!("cluster.local/ns/default/sa/{name}");
        json!([{"from": [{"principals": {"any": [{"exact": principal}]}}]}])
    };
    let paths = json!([{"to": [{"paths": {"any": [{"exact": "/"}]}}]}]);
    let other_port = json!([{"to": [{"paths": {"any": [{"exact": "/"}]}, "ports": {"any": [1]}}]}]);
    let methods_of_web = {
        let mut rules = from("web");
        rules[0]["to"] = json!([{"methods": {"any": [{"exact": "GET"}]}}]);
        rules
    };
    let cases: [(&str, &str, Value, bool); 7] = [
        ("allow", "by principal", from("web"), true),
        ("allow", "another principal", from("somebody"), false),
        ("allow", "by path, which is no part of it", paths.clone(), false),
        ("allow", "by principal and method", methods_of_web.clone(), false),
        ("deny", "by path, which widens", paths, false),
        ("deny", "by path on another port", other_port, true),
        ("deny", "by principal and method, which widens", methods_of_web, false),
    ];
    for way in [Way::Mtls, Way::Hbone] {
        for (action, case, rules, allowed) in &cases {
            let mesh = mesh().authorization("rules", "db", action, rules.clone());
            let both = between(way, tcp_echo(), mesh);
            let mut tunnel = both.tunnel();
            let case = format!("{way:?}: {action} {case}");
            if *allowed {
                assert_eq!(say(&mut tunnel, "hello"), "hello", "{case}");
                continue;
            }
            let _may_be_closed = tunnel.write_all(b"hello");
            assert!(rest(&mut tunnel).is_empty(), "{case}");
            let server = both.server.as_ref().unwrap();
            eventually(&case, || server.sum("meshcore_requests_denied_total", &[]) == 1);
        }
    }
}

#[test]
fn what_cannot_be_reached_is_refused_in_words() {
    let nobody = ClosedPort::new();
    let blocked = json!({"outbound_policy": "registry_only"});
    let log = std::env::temp_dir().join(format!("meshcore-tcp-{}", std::process::id()));
    let logged = json!({"access_log": {"path": log, "format": "json"}});
    let mesh = mesh().endpoint("v1", nobody.address()).settings(blocked).settings(logged);
    let sidecar = Sidecar::outbound_to(&mesh);
    for (authority, status) in [("db:5432", 503), ("elsewhere.example:5432", 502)] {
        let head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        let mut client = Client::connect(sidecar.outbound());
        assert_eq!(client.ask(&head).status(), status, "{authority}");
        assert!(client.is_closed());
        run(async {
            let client = H2Client::connect(sidecar.outbound()).await;
            let head = Request::builder().method("CONNECT").uri(authority).body(()).unwrap();
            let (response, _send) = client.begin(head, false).await.unwrap();
            assert_eq!(response.await.unwrap().status(), status, "{authority}");
        });
    }
    eventually("four lines are logged", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.lines().count() == 4)
    });
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    assert_eq!(text.matches("upstream_connect_refused").count(), 2, "{text}");
    assert_eq!(text.matches("host_blocked").count(), 2, "{text}");
}

#[test]
fn a_connection_is_one_line_of_the_log() {
    let log = std::env::temp_dir().join(format!("meshcore-line-{}", std::process::id()));
    let logged = json!({"access_log": {"path": log, "format": "json"}});
    let application = tcp_echo();
    let both = between(Way::Plain, application, mesh().settings(logged));
    let mut tunnel = both.tunnel();
    assert_eq!(say(&mut tunnel, "hello"), "hello");
    drop(tunnel);
    eventually("a line is logged", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.ends_with('\n'))
    });
    let line = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["bytes_received"], 5, "{line}");
    assert_eq!(line["bytes_sent"], 5, "{line}");
    assert_eq!(line["upstream_cluster"], "outbound|5432||db.default.svc.cluster.local", "{line}");
    assert_eq!(line["upstream_host"], application.to_string(), "{line}");
    assert_eq!(line["response_flags"], "-", "{line}");
}
