//! A server that is never the bottleneck: `origin http|echo|count --port PORT`.
//!
//! `http` answers each request with the same 1 KiB of `x`; it takes no bodies. `echo` sends back
//! what comes. `count` says, when a client has said all, how many bytes it were (8 bytes, big
//! endian).
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::rc::Rc;

use meshcore_bench::{Arguments, Failure, Poll, Slots, Watch, http1};

const BODY_BYTES: usize = 1024;
const LISTENER: usize = usize::MAX;

/// What is done with bytes of a client; none are its end. An error ends the connection.
type Answer = fn(&mut Client, &[u8]) -> io::Result<()>;

fn main() -> Result<(), Failure> {
    let arguments = Arguments::read()?;
    let answer: Answer = match arguments.word(0) {
        "http" => answer,
        "echo" => echo,
        "count" => count,
        other => return Err(format!("no origin {other:?}: http, echo or count").into()),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.needed("port")?))?;
    let poll = Poll::new()?;
    poll.add(&listener, LISTENER, Watch::Read)?;
    serve(&listener, poll, answer)
}

struct Client {
    stream: TcpStream,
    /// What came of a request that is not whole.
    begun: Vec<u8>,
    counted: u64,
    response: Rc<[u8]>,
}

fn serve(listener: &TcpListener, mut poll: Poll, answer: Answer) -> Result<(), Failure> {
    let response = response();
    let mut clients: Slots<Client> = Slots::default();
    let (mut ready, mut buffer) = (Vec::new(), vec![0; 256 << 10]);
    loop {
        poll.wait(None, &mut ready)?;
        for ready in ready.drain(..) {
            if ready.token == LISTENER {
                let (stream, _from) = listener.accept()?;
                stream.set_nodelay(true)?;
                poll.add(&stream, clients.next(), Watch::Read)?;
                let response = Rc::clone(&response);
                clients.put(Client { stream, begun: Vec::new(), counted: 0, response });
            } else if let Some(client) = clients.get(ready.token) {
                let read = client.stream.read(&mut buffer);
                let bytes = read.map(|count| buffer.get(..count).unwrap_or_default());
                if bytes.and_then(|bytes| answer(client, bytes)).is_err() {
                    clients.remove(ready.token);
                }
            }
        }
        clients.end_turn();
    }
}

fn response() -> Rc<[u8]> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nserver: origin\r\ndate: Tue, 24 Nov 2026 12:00:00 GMT\r\n\
         content-type: text/plain\r\ncontent-length: {BODY_BYTES}\r\n\r\n"
    );
    [head.into_bytes(), vec![b'x'; BODY_BYTES]].concat().into()
}

fn answer(client: &mut Client, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    client.begun.extend_from_slice(bytes);
    while let Some(end) = http1::head_bytes(&client.begun) {
        client.begun.drain(..end);
        client.stream.write_all(&client.response)?;
    }
    Ok(())
}

fn echo(client: &mut Client, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    client.stream.write_all(bytes)
}

fn count(client: &mut Client, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        client.stream.write_all(&client.counted.to_be_bytes())?;
        return Err(ErrorKind::UnexpectedEof.into());
    }
    client.counted = client.counted.saturating_add(bytes.len() as u64);
    Ok(())
}
