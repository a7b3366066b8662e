//! A whole sidecar between a client that sends the input and an origin that reads strictly.
//!
//! The first byte chooses the way: `i` calls to the application, `o` calls of it, `a` the admin
//! port; `h` and `j` are as `i` and `o`, with HTTP/2's preface and SETTINGS before what is sent, and
//! `f` and `g` are as `h` and `j`, with frames in a form whose lengths are always right.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use meshcore_testkit::{MeshBuilder, Sidecar};
use parking_lot::Mutex;
use serde_json::json;

use crate::strict::{self, Unread};

/// How long the sidecar may take to be done with an input whose sender has said all.
const WITHIN: Duration = Duration::from_secs(8);

/// How long an answer may take before the input is taken for one that gets none.
const QUIET: Duration = Duration::from_millis(10);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const BYSTANDER: &[u8] = b"GET /bystander HTTP/1.1\r\nhost: origin\r\nconnection: close\r\n\r\n";

/// No input keeps its connection, hurts another request, or gets something past the sidecar that
/// an origin could read in two ways.
pub(crate) fn run(data: &[u8]) {
    let Some((way, bytes)) = data.split_first() else { return };
    let scene = &*SCENE;
    let (address, input) = match way {
        b'i' => (scene.inbound.inbound(), bytes.to_vec()),
        b'o' => (scene.outbound.outbound(), bytes.to_vec()),
        b'a' => (scene.inbound.admin(), bytes.to_vec()),
        b'h' => (scene.inbound.inbound(), [PREFACE, bytes].concat()),
        b'j' => (scene.outbound.outbound(), [PREFACE, bytes].concat()),
        b'f' => (scene.inbound.inbound(), [PREFACE, &frames(bytes)].concat()),
        b'g' => (scene.outbound.outbound(), [PREFACE, &frames(bytes)].concat()),
        _ => return,
    };
    converse(address, &input, QUIET);
    for sidecar in [&scene.inbound, &scene.outbound] {
        assert_eq!(sidecar.sum("meshcore_panics_total", &[]), 0, "a task has panicked");
    }
    for address in [scene.inbound.inbound(), scene.outbound.outbound()] {
        let answer = converse(address, BYSTANDER, WITHIN);
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", answer.escape_ascii());
    }
    // What goes through a tunnel is the client's own, and HTTP/2 can ask for one in many spellings.
    let may_tunnel = *way != b'o' || input.starts_with(b"PRI") || has(&input, b"CONNECT");
    for (origin, may_tunnel) in [(&scene.application, false), (&scene.elsewhere, may_tunnel)] {
        let ambiguous = origin.ambiguous.lock().take();
        assert!(may_tunnel || ambiguous.is_none(), "may be read in two ways: {ambiguous:?}");
    }
}

fn has(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// HTTP/2 frames: type, flags, stream, length, then so many bytes.
fn frames(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [kind, flags, stream, length, rest @ ..] = bytes {
        let (payload, rest) = rest.split_at_checked(usize::from(*length)).unwrap_or((rest, &[]));
        let length = u8::try_from(payload.len()).expect("at most 255");
        out.extend_from_slice(&[0, 0, length, *kind, *flags, 0, 0, 0, *stream]);
        out.extend_from_slice(payload);
        bytes = rest;
    }
    out
}

/// Sends `input`, and after so long a silence that it is all; returns what comes until the
/// end. A sidecar takes a client that has said all for one that is gone.
fn converse(address: SocketAddr, input: &[u8], silence: Duration) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("the sidecar accepts");
    // A sidecar that has refused what came first does not wait for the rest.
    let _refused = stream.write_all(input);
    let mut answer = Vec::new();
    if is_open_after(silence, &mut stream, &mut answer) {
        let _closed = stream.shutdown(Shutdown::Write);
        let is_open = is_open_after(WITHIN, &mut stream, &mut answer);
        assert!(!is_open, "still open after {WITHIN:?}: {}", input.escape_ascii());
    }
    answer
}

/// Reads until the end, or until nothing has come for so long.
fn is_open_after(silence: Duration, stream: &mut TcpStream, answer: &mut Vec<u8>) -> bool {
    stream.set_read_timeout(Some(silence)).expect("a socket");
    let read = stream.read_to_end(answer);
    read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

struct Scene {
    /// Behind the inbound sidecar.
    application: Arc<Origin>,
    /// Where the outbound one leads, also by CONNECT.
    elsewhere: Arc<Origin>,
    inbound: Sidecar,
    outbound: Sidecar,
}

static SCENE: LazyLock<Scene> = LazyLock::new(|| {
    let (application, address) = Origin::start();
    let (elsewhere, reached) = Origin::start();
    let mesh = MeshBuilder::new()
        .settings(json!({"outbound_policy": "registry_only"}))
        .service("origin", 80)
        .endpoint("v1", reached)
        .mtls("permissive");
    let inbound = Sidecar::of("origin").inbound(reached.port(), address).mesh(&mesh).start();
    let outbound = Sidecar::of("web").outbound().mesh(&mesh).start();
    Scene { application, elsewhere, inbound, outbound }
});

/// An application that answers what it can read in one way, and remembers the rest.
#[derive(Default)]
struct Origin {
    ambiguous: Mutex<Option<String>>,
}

impl Origin {
    fn start() -> (Arc<Self>, SocketAddr) {
        let origin = Arc::new(Self::default());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a socket");
        let shared = Arc::clone(&origin);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (origin, stream) = (Arc::clone(&shared), stream.expect("a connection"));
                std::thread::spawn(move || origin.serve(stream));
            }
        });
        (origin, address)
    }

    fn serve(&self, mut stream: TcpStream) {
        let (mut bytes, mut piece) = (Vec::new(), [0; 16 * 1024]);
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            bytes.extend_from_slice(&piece[..count]);
            if is_tunnelled(&bytes) {
                continue;
            }
            loop {
                match strict::request(&bytes) {
                    Ok((_message, rest)) => bytes = rest.to_vec(),
                    Err(Unread::More) => break,
                    Err(Unread::Ambiguous(why)) => {
                        let all = bytes.escape_ascii();
                        *self.ambiguous.lock() = Some(format!("{why} in {all}"));
                        return;
                    }
                }
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                if stream.write_all(answer).is_err() {
                    return;
                }
            }
        }
    }
}

/// Whether these bytes are TLS or a tunnel, which a sidecar passes on without reading them.
fn is_tunnelled(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x16)
}
