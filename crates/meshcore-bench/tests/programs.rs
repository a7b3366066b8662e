//! The programs do together what a bench wants of them, and the load sees what is wrong.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails here, where it says why"
)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Starts a server, and waits until it listens.
fn serve(program: &str, arguments: &[&str]) -> (Running, String) {
    let port = free_port();
    let text = port.to_string();
    let child = Command::new(program).args(arguments).args(["--port", &text]).spawn().unwrap();
    let (running, deadline) = (Running(child), Instant::now() + Duration::from_secs(20));
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(Instant::now() < deadline, "{program} does not listen");
        std::thread::yield_now();
    }
    (running, text)
}

fn load(arguments: &[&str]) -> Output {
    let mut load = Command::new(env!("CARGO_BIN_EXE_load"));
    load.args(arguments).output().unwrap()
}

/// What a load said, which must have gone well.
fn well(arguments: &[&str]) -> serde_json::Value {
    let output = load(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// An origin, the floor before it, and where that listens.
fn through_the_floor(relay: &str, origin: &str) -> (Running, Running, String) {
    let (origin, origin_port) = serve(env!("CARGO_BIN_EXE_origin"), &[origin]);
    let floor = env!("CARGO_BIN_EXE_floor");
    let (floor, port) = serve(floor, &[relay, "--origin", &origin_port]);
    (origin, floor, port)
}

#[test]
fn requests_are_relayed_and_counted() {
    let (_origin, _floor, port) = through_the_floor("http", "http");
    let said = well(&["http", "--port", &port, "--connections", "4", "--count", "1000"]);
    assert_eq!(said["units"], 1000);
    let paced = ["--connections", "4", "--seconds", "0.5", "--rate", "200"];
    let said = well(&[&["http", "--port", &port][..], &paced[..]].concat());
    assert_eq!(said["units"], 100, "as many as were due");
    assert!(said["p50_us"].as_f64().unwrap() > 0.0);
}

#[test]
fn bytes_are_relayed_both_ways_and_in_bulk() {
    let (_origin, _floor, port) = through_the_floor("tcp", "echo");
    let echoed = ["--connections", "3", "--count", "300", "--bytes", "64"];
    assert_eq!(well(&[&["echo", "--port", &port][..], &echoed[..]].concat())["units"], 300);
    let (_origin, _floor, port) = through_the_floor("tcp", "count");
    assert_eq!(well(&["bulk", "--port", &port, "--mebibytes", "64"])["units"], 64);
}

#[test]
fn idle_connections_are_held_until_a_line_comes() {
    let (_origin, _floor, port) = through_the_floor("http", "http");
    let mut idle = Command::new(env!("CARGO_BIN_EXE_load"))
        .args(["idle", "--port", &port, "--steps", "5,10"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    idle.stdin.take().unwrap().write_all(b"\n\n").unwrap();
    let mut said = String::new();
    idle.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "{\"open\":5}\n{\"open\":10}\n");
    assert!(idle.wait().unwrap().success());
}

#[test]
fn a_wrong_answer_ends_the_load() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    std::thread::spawn(move || {
        for body in ["short", &"y".repeat(1024)] {
            let (mut stream, _from) = listener.accept().unwrap();
            let length = body.len();
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        }
    });
    for why in ["wrong answer", "wrong body"] {
        let output = load(&["http", "--port", &port, "--connections", "1", "--count", "1"]);
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(why), "{said}");
    }
}
