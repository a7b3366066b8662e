//! A server that does exactly what a script says, connection by connection.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use socket2::SockRef;

use crate::WITHIN;
use crate::message::find;

/// One thing that is done on a connection.
#[derive(Debug, Clone)]
pub enum Step {
    /// Reads until this has come, after what earlier steps have read.
    Until(Vec<u8>),
    /// Reads so many bytes more.
    Bytes(usize),
    /// Reads until the peer closes or resets.
    UntilClosed,
    /// Writes this.
    Write(Vec<u8>),
    /// Waits until the test opens the gate.
    Wait(Gate),
    /// Waits.
    Sleep(Duration),
    /// Says that nothing more is written.
    Shutdown,
    /// Closes with a reset. A script that is over closes in the ordinary way.
    Reset,
}

impl Step {
    /// Reads until this has come.
    pub fn until(pattern: impl AsRef<[u8]>) -> Self {
        Self::Until(pattern.as_ref().to_vec())
    }

    /// Reads until the end of a head.
    pub fn head() -> Self {
        Self::until("\r\n\r\n")
    }

    /// Writes this.
    pub fn write(bytes: impl AsRef<[u8]>) -> Self {
        Self::Write(bytes.as_ref().to_vec())
    }

    /// Writes a whole answer with a length.
    pub fn answer(status: u16, body: &str) -> Self {
        let length = body.len();
        Self::write(format!("HTTP/1.1 {status} -\r\ncontent-length: {length}\r\n\r\n{body}"))
    }
}

/// Something that a script waits for and a test opens.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Lets everybody through, from now on.
    pub fn open(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let mut is_open = self.0.0.lock();
        while !*is_open {
            if self.0.1.wait_for(&mut is_open, WITHIN).timed_out() {
                return;
            }
        }
    }
}

/// A server on a free port: the first connection gets the first script, and so on. When no
/// script is left, connections get the last one again.
#[derive(Debug)]
pub struct Scripted {
    address: SocketAddr,
    captured: Arc<Captured>,
}

#[derive(Debug, Default)]
struct Captured {
    connections: Mutex<Vec<Connection>>,
    changed: Condvar,
}

#[derive(Debug, Clone, Default)]
struct Connection {
    bytes: Vec<u8>,
    is_over: bool,
    is_closed_by_peer: bool,
}

impl Scripted {
    /// Starts with a script for each connection.
    pub fn start(scripts: impl IntoIterator<Item = Vec<Step>>) -> Self {
        let scripts: Vec<Vec<Step>> = scripts.into_iter().collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let captured = Arc::new(Captured::default());
        let shared = Arc::clone(&captured);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let script = scripts.get(number).or(scripts.last()).cloned().unwrap_or_default();
                let captured = Arc::clone(&shared);
                captured.connections.lock().push(Connection::default());
                captured.changed.notify_all();
                let stream = stream.unwrap();
                std::thread::spawn(move || play(number, stream, &script, &captured));
            }
        });
        Self { address, captured }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.captured.connections.lock().len()
    }

    /// What has come on a connection so far.
    pub fn captured(&self, connection: usize) -> Vec<u8> {
        let connections = self.captured.connections.lock();
        connections.get(connection).map(|one| one.bytes.clone()).unwrap_or_default()
    }

    /// What has come on a connection so far, as text.
    pub fn text(&self, connection: usize) -> String {
        String::from_utf8_lossy(&self.captured(connection)).into_owned()
    }

    /// Waits until so many connections were made.
    pub fn wait_for_connections(&self, count: usize) {
        self.wait(|connections| connections.len() >= count, "connections");
    }

    /// Waits until `pattern` has come on a connection.
    pub fn wait_for(&self, connection: usize, pattern: impl AsRef<[u8]>) {
        let pattern = pattern.as_ref();
        let has = |one: &Connection| find(&one.bytes, pattern).is_some();
        self.wait(|all| all.get(connection).is_some_and(has), "bytes");
    }

    /// Waits until the script of a connection is over.
    pub fn wait_until_over(&self, connection: usize) {
        self.wait(|all| all.get(connection).is_some_and(|one| one.is_over), "the script's end");
    }

    /// Waits until the peer has closed a connection whose script reads until then.
    pub fn wait_until_closed(&self, connection: usize) {
        let closed = |one: &Connection| one.is_closed_by_peer;
        self.wait(|all| all.get(connection).is_some_and(closed), "the peer to close");
    }

    fn wait(&self, holds: impl Fn(&[Connection]) -> bool, what: &str) {
        let deadline = Instant::now() + WITHIN;
        let mut connections = self.captured.connections.lock();
        while !holds(&connections) {
            let late = self.captured.changed.wait_until(&mut connections, deadline).timed_out();
            assert!(!late, "waited for {what} in vain: {connections:?}");
        }
    }
}

impl Captured {
    fn update(&self, number: usize, change: impl FnOnce(&mut Connection)) {
        if let Some(connection) = self.connections.lock().get_mut(number) {
            change(connection);
        }
        self.changed.notify_all();
    }
}

fn play(number: usize, stream: TcpStream, script: &[Step], captured: &Captured) {
    stream.set_nodelay(true).unwrap();
    let mut player = Player { number, stream, captured, pending: Vec::new() };
    for step in script {
        if player.step(step).is_none() {
            break;
        }
    }
    captured.update(number, |connection| connection.is_over = true);
}

struct Player<'c> {
    number: usize,
    stream: TcpStream,
    captured: &'c Captured,
    pending: Vec<u8>,
}

impl Player<'_> {
    /// `None` ends the script: the peer is gone.
    fn step(&mut self, step: &Step) -> Option<()> {
        match step {
            Step::Until(pattern) => loop {
                if let Some(at) = find(&self.pending, pattern) {
                    self.pending.drain(..at + pattern.len());
                    return Some(());
                }
                self.read()?;
            },
            Step::Bytes(count) => {
                while self.pending.len() < *count {
                    self.read()?;
                }
                self.pending.drain(..*count);
            }
            Step::UntilClosed => while self.read().is_some() {},
            Step::Write(bytes) => self.stream.write_all(bytes).ok()?,
            Step::Wait(gate) => gate.wait(),
            #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
            Step::Sleep(time) => std::thread::sleep(*time),
            Step::Shutdown => self.stream.shutdown(Shutdown::Write).ok()?,
            Step::Reset => {
                SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).ok()?;
                return None;
            }
        }
        Some(())
    }

    fn read(&mut self) -> Option<()> {
        let mut piece = [0; 16 * 1024];
        let count = self.stream.read(&mut piece).unwrap_or(0);
        self.pending.extend_from_slice(&piece[..count]);
        self.captured.update(self.number, |connection| {
            connection.bytes.extend_from_slice(&piece[..count]);
            connection.is_closed_by_peer |= count == 0;
        });
        (count > 0).then_some(())
    }
}
