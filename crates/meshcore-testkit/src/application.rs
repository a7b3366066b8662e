//! An HTTP/1.1 application that remembers what it was asked.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::WITHIN;
use crate::message::{Framing, Incoming, field, framing};

/// An application on a free port. It answers each request with what a function says.
#[derive(Debug)]
pub struct Application {
    address: SocketAddr,
    memory: Arc<Memory>,
}

/// A request that the application has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Number of the connection it came on, from 0.
    pub connection: usize,
    /// Request line and fields.
    pub head: String,
    /// Body, without its framing.
    pub body: Vec<u8>,
    /// Lines after the last chunk.
    pub trailers: String,
}

impl Seen {
    /// The value of a field, the first of several.
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// All values of a field.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let pairs = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let named = pairs.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim()).collect()
    }

    /// The request line.
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }
}

/// What the application answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Bytes as they are written.
    pub bytes: Vec<u8>,
    /// The connection is closed after it.
    pub closes: bool,
}

impl Reply {
    /// A whole answer with a length.
    pub fn new(status: u16, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut bytes =
            format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(body);
        Self { bytes, closes: false }
    }

    /// These bytes.
    pub fn raw(bytes: impl AsRef<[u8]>) -> Self {
        Self { bytes: bytes.as_ref().to_vec(), closes: false }
    }
}

#[derive(Debug, Default)]
struct Memory {
    seen: Mutex<Vec<Seen>>,
    more: Condvar,
}

impl Application {
    /// Answers each request with the application's name, a line with what it was asked, and the
    /// body it was sent.
    pub fn echo(name: &'static str) -> Self {
        Self::start(move |seen| {
            let mut body = format!("{name}\n{}\n\n", seen.head).into_bytes();
            body.extend_from_slice(&seen.body);
            Reply::new(200, body)
        })
    }

    /// Answers each request with what `answer` says.
    pub fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let memory = Arc::new(Memory::default());
        let shared = Arc::clone(&memory);
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (answer, memory) = (Arc::clone(&answer), Arc::clone(&shared));
                let stream = stream.unwrap();
                std::thread::spawn(move || serve(connection, stream, &*answer, &memory));
            }
        });
        Self { address, memory }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All requests it has seen.
    pub fn seen(&self) -> Vec<Seen> {
        self.memory.seen.lock().clone()
    }

    /// All requests it has seen, once there are so many.
    pub fn wait_for(&self, count: usize) -> Vec<Seen> {
        let deadline = Instant::now() + WITHIN;
        let mut seen = self.memory.seen.lock();
        while seen.len() < count {
            let late = self.memory.more.wait_until(&mut seen, deadline).timed_out();
            assert!(!late, "{} of {count} requests came", seen.len());
        }
        seen.clone()
    }

    /// The last request it has seen.
    pub fn last(&self) -> Seen {
        self.memory.seen.lock().last().cloned().expect("no request came")
    }
}

fn serve(
    connection: usize,
    stream: TcpStream,
    answer: &(dyn Fn(&Seen) -> Reply + Send + Sync),
    memory: &Memory,
) {
    stream.set_nodelay(true).unwrap();
    let mut incoming = Incoming::new(stream);
    while let Ok(Some(head)) = incoming.head() {
        let framing = framing(&head).unwrap_or(Framing::None);
        let Ok((body, trailers)) = incoming.body(framing) else { return };
        let seen = Seen { connection, head, body, trailers };
        memory.seen.lock().push(seen.clone());
        memory.more.notify_all();
        let reply = answer(&seen);
        if incoming.stream().write_all(&reply.bytes).is_err() || reply.closes {
            return;
        }
    }
}
