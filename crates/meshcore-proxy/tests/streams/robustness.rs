//! Bugs, want of descriptors, and many connections: what a process lives through.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use meshcore_testkit::h2::{H2Client, run};
use meshcore_testkit::{Application, Client, MeshBuilder, Sidecar};
use serde_json::json;

use crate::eventually;
use crate::hooks::{Double, beside, hook};

const GET: &str = "GET / HTTP/1.1\r\nhost: api\r\n\r\n";

#[test]
fn a_request_that_panics_ends_alone() {
    let application = Application::echo("v1");
    let host = Arc::new(Double::default());
    let cached = json!({"cache_ms": 1000, "reads": ["path"], "path_prefixes": ["/bad"]});
    let sidecar = beside(&application, hook("authorize", cached), &host);
    host.epoch_panics.store(true, Ordering::SeqCst); // not a place where a host may fail
    let mut other = Client::connect(sidecar.inbound());
    assert_eq!(other.ask(GET).status(), 200);
    let mut client = Client::connect(sidecar.inbound());
    let answer = client.ask("GET /bad HTTP/1.1\r\nhost: api\r\n\r\n");
    assert_eq!((answer.status(), answer.field("connection")), (500, Some("close")));
    assert!(client.is_closed());
    sidecar.series("meshcore_panics_total", &[], 1);
    sidecar.series("istio_requests_total", &[("response_code", "500")], 1);
    assert_eq!(other.ask(GET).status(), 200, "another connection goes on");
    run(async {
        let client = H2Client::connect(sidecar.inbound()).await;
        let (bad, good) = tokio::join!(client.get("api", "/bad"), client.get("api", "/"));
        assert_eq!((bad.unwrap().status, good.unwrap().status), (500, 200));
        assert_eq!(client.get("api", "/").await.unwrap().status, 200, "so do other streams");
    });
    sidecar.series("meshcore_panics_total", &[], 2);
    eventually("nothing is left open", || {
        drop(std::mem::replace(&mut other, Client::connect(sidecar.inbound())));
        sidecar.sum("meshcore_connections_open", &[]) <= 2
    });
}

#[test]
fn a_panic_says_where_it_was() {
    let said = in_a_process("with_a_panic", 1024);
    assert!(said.contains("'meshcore-worker'"), "{said}");
    assert!(said.contains("tests/streams/hooks.rs:"), "{said}");
}

#[test]
#[ignore = "run by another test, in a process whose standard error is looked at"]
fn with_a_panic() {
    let application = Application::echo("v1");
    let host = Arc::new(Double::default());
    let cached = json!({"cache_ms": 1000, "reads": ["path"]});
    let sidecar = beside(&application, hook("authorize", cached), &host);
    host.epoch_panics.store(true, Ordering::SeqCst);
    assert_eq!(Client::connect(sidecar.inbound()).ask(GET).status(), 500);
}

/// Runs an ignored test of this file in a process of its own, under a limit of descriptors;
/// returns all that it said.
fn in_a_process(test: &str, descriptors: u32) -> String {
    let exe = std::env::current_exe().unwrap();
    let script = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
    let output = Command::new("sh")
        .args(["-c", &script])
        .arg(exe)
        .args(["--exact", &format!("robustness::{test}"), "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{errors}");
    said + &errors
}

fn to_an_application() -> (Application, Sidecar) {
    let application = Application::echo("v1");
    let mesh = MeshBuilder::new().service("api", 80).endpoint("v1", application.address());
    let sidecar = Sidecar::outbound_to(&mesh);
    (application, sidecar)
}

#[test]
fn want_of_descriptors_is_lived_through() {
    in_a_process("with_few_descriptors", 160);
}

#[test]
#[ignore = "run by another test, in a process with few descriptors"]
fn with_few_descriptors() {
    let (_application, sidecar) = to_an_application();
    let mut kept = Client::connect(sidecar.outbound());
    assert_eq!(kept.ask(GET).status(), 200);
    let mut clients = Vec::new();
    while let Ok(client) = TcpStream::connect(sidecar.outbound()) {
        clients.push(client);
        assert!(clients.len() < 160, "there is no limit");
    }
    eventually("connections are refused", || {
        sidecar.sum("meshcore_connections_refused_total", &[]) > 0
    });
    assert_eq!(kept.ask(GET).status(), 200, "what is open goes on");
    drop(clients);
    let mut client = loop {
        if let Ok(stream) = TcpStream::connect(sidecar.outbound()) {
            drop(stream);
            break Client::connect(sidecar.outbound());
        }
    };
    assert_eq!(client.ask(GET).status(), 200, "and there is room again");
}

#[test]
fn two_thousand_idle_connections_cost_little() {
    let text = in_a_process("with_many_connections", 8192);
    let figure = text.lines().find(|line| line.contains("bytes a connection")).unwrap();
    #[expect(clippy::print_stdout, reason = "the figure is what is looked for")]
    {
        println!("{figure}");
    }
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

fn ask(stream: &mut TcpStream) {
    let mut answer = [0; 1024];
    stream.write_all(GET.as_bytes()).unwrap();
    assert!(stream.read(&mut answer).unwrap() > 0 && answer.starts_with(b"HTTP/1.1 200 "));
}

#[test]
#[ignore = "run by another test, in a process of its own"]
fn with_many_connections() {
    const COUNT: usize = 2000;
    let (_application, sidecar) = to_an_application();
    let connect = || {
        let mut stream = TcpStream::connect(sidecar.outbound()).unwrap();
        ask(&mut stream);
        stream
    };
    let warm: Vec<_> = (0..100).map(|_| connect()).collect();
    let before = resident_bytes();
    let mut idle: Vec<_> = (0..COUNT).map(|_| connect()).collect();
    eventually("all are open", || {
        sidecar.sum("meshcore_connections_open", &[]) == u64::try_from(COUNT + 100).unwrap()
    });
    let each = resident_bytes().saturating_sub(before) / COUNT;
    #[expect(clippy::print_stdout, reason = "the figure is what is looked for")]
    {
        println!("{each} bytes a connection that is idle after a request");
    }
    assert!(each <= 4096, "{each} bytes a connection");
    ask(idle.last_mut().unwrap());
    drop(warm);
}
