//! Names over DNS: those of the mesh are answered from the snapshot, the rest by the resolvers of
//! this host. It runs on the control thread.
//!
//! It listens on loopback addresses alone, where only programs of this host can ask.

mod forward;
pub mod message;
mod resolvers;

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use meshcore_telemetry::{Counter, Recorder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;

use crate::shared::Shared;

use forward::{Asked, forward};
use message::{NOTHING, Query, Unread};
use resolvers::Resolvers;

/// How long an answer may be kept, in seconds. Source: Istio's DNS proxy.
const TTL_S: u32 = 30;

/// How long a question waits for all resolvers together. Source: Istio's DNS proxy, and the
/// timeout of resolver(3), after which a client asks again.
const RESOLVERS_WITHIN: Duration = Duration::from_secs(5);

/// Questions that wait for resolvers at the same time; the next ones are told to try again.
const MAX_WAITING: usize = 512;

/// Clients by TCP at a time; more wait in the kernel.
const MAX_CLIENTS: usize = 64;

/// How long a client by TCP may be silent, and take for a message. Source: the seconds that
/// RFC 7766 section 6.2.3 speaks of.
const CLIENT_WITHIN: Duration = Duration::from_secs(10);

/// Pause after the system could not give us a connection or a message.
const FAILED_PAUSE: Duration = Duration::from_millis(50);

/// Longest question by UDP that is read.
const MAX_QUERY_BYTES: usize = 4096;

/// Answers names.
#[derive(Debug)]
pub(crate) struct Names {
    shared: Arc<Shared>,
    recorder: Recorder,
    resolvers: RefCell<Resolvers>,
    waiting: Semaphore,
    clients: Arc<Semaphore>,
}

impl Names {
    /// Nothing is served yet. Where it listens is never asked as a resolver.
    pub(crate) fn new(shared: Arc<Shared>, recorder: Recorder) -> Self {
        let own = [shared.listen.dns, shared.listen.dns_other];
        Self {
            resolvers: RefCell::new(Resolvers::new(own.into_iter().flatten().collect())),
            waiting: Semaphore::new(MAX_WAITING),
            clients: Arc::new(Semaphore::new(MAX_CLIENTS)),
            shared,
            recorder,
        }
    }

    /// Answers what comes by UDP, for ever.
    pub(crate) async fn serve_udp(self: Rc<Self>, socket: Rc<UdpSocket>) {
        let mut buffer = vec![0; MAX_QUERY_BYTES];
        loop {
            let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
                tokio::time::sleep(FAILED_PAUSE).await;
                continue;
            };
            let received = buffer.get(..length).unwrap_or_default();
            match self.quickly(received, Asked::ByUdp) {
                Quick::Silence => {}
                Quick::Answer(answer) => send(&socket, &answer, client).await,
                Quick::Elsewhere => {
                    let (names, socket) = (Rc::clone(&self), Rc::clone(&socket));
                    let received: Box<[u8]> = received.into();
                    tokio::task::spawn_local(async move {
                        if let Some(answer) = names.elsewhere(&received, Asked::ByUdp).await {
                            send(&socket, &answer, client).await;
                        }
                    });
                }
            }
        }
    }

    /// Answers what comes by TCP, for ever.
    pub(crate) async fn serve_tcp(self: Rc<Self>, listener: Rc<TcpListener>) {
        loop {
            let Ok(turn) = Arc::clone(&self.clients).acquire_owned().await else { return };
            match meshcore_io::accept(&listener).await {
                Ok((stream, _peer)) => {
                    let names = Rc::clone(&self);
                    tokio::task::spawn_local(async move {
                        let _ended = names.serve_client(stream).await; // it asks again
                        drop(turn);
                    });
                }
                Err(_for_now) => tokio::time::sleep(FAILED_PAUSE).await,
            }
        }
    }

    /// One question after the other, each behind its length (RFC 1035 section 4.2.2).
    async fn serve_client(&self, mut stream: TcpStream) -> std::io::Result<()> {
        loop {
            let reading = async {
                let length = stream.read_u16().await?;
                let mut received = vec![0; usize::from(length)];
                stream.read_exact(&mut received).await?;
                std::io::Result::Ok(received)
            };
            let received = tokio::time::timeout(CLIENT_WITHIN, reading).await??;
            let answer = match self.quickly(&received, Asked::ByTcp) {
                Quick::Silence => return Ok(()),
                Quick::Answer(answer) => Some(answer),
                Quick::Elsewhere => self.elsewhere(&received, Asked::ByTcp).await,
            };
            let Some(answer) = answer else { return Ok(()) };
            let length = u16::try_from(answer.len()).map_err(std::io::Error::other)?;
            let mut framed = length.to_be_bytes().to_vec();
            framed.extend_from_slice(&answer);
            tokio::time::timeout(CLIENT_WITHIN, stream.write_all(&framed)).await??;
        }
    }

    /// What can be said without asking anybody.
    fn quickly(&self, received: &[u8], asked: Asked) -> Quick {
        let query = match Query::read(received) {
            Ok(query) => query,
            Err(Unread::NoQuestion) => return Quick::Silence,
            Err(Unread::Refused(refusal)) => return Quick::Answer(refusal),
        };
        self.recorder.count(Counter::DnsQueries, 1);
        match self.known(&query, asked) {
            Some(answer) => Quick::Answer(answer),
            None => Quick::Elsewhere,
        }
    }

    /// The answer for a name of the mesh, in the mesh's own words.
    fn known(&self, query: &Query<'_>, asked: Asked) -> Option<Vec<u8>> {
        let wanted = query.wanted?;
        let (alias, addresses) = self.addresses(query)?;
        let turned = usize::from(query.id).checked_rem(addresses.len().max(1)).unwrap_or_default();
        let (late, early) = addresses.split_at_checked(turned).unwrap_or((&addresses, &[]));
        let addresses: Vec<IpAddr> = early.iter().chain(late).copied().collect();
        let limit = asked.limit(query);
        Some(query.answer(alias.as_deref(), (wanted, &addresses), TTL_S, limit))
    }

    /// The addresses of a name of the mesh; with the name that it is an alias of, where a search
    /// domain was put behind it.
    fn addresses(&self, query: &Query<'_>) -> Option<(Option<String>, Box<[IpAddr]>)> {
        let name = query.name.as_deref()?;
        let snapshot = self.shared.cell.load();
        if let Some(addresses) = snapshot.outbound.addresses_of(name.as_bytes()) {
            return Some((None, addresses.into()));
        }
        let mut resolvers = self.resolvers.borrow_mut();
        // Only whole names: `www` and a search domain may be a host that is not of the mesh.
        let whole = resolvers.without_search_domain(name).filter(|name| name.contains('.'))?;
        let addresses = snapshot.outbound.addresses_of(whole.as_bytes())?;
        Some((Some(whole.to_owned()), addresses.into()))
    }

    /// Asks others: the one place where more can be found out of a name than the snapshot has.
    async fn elsewhere(&self, received: &[u8], asked: Asked) -> Option<Vec<u8>> {
        let query = Query::read(received).ok()?;
        let Ok(_turn) = self.waiting.try_acquire() else {
            self.recorder.count(Counter::DnsFailed, 1);
            return Some(query.failed());
        };
        let servers = self.resolvers.borrow_mut().servers();
        self.recorder.count(Counter::DnsForwarded, 1);
        let Some(answer) = forward(&query, &servers, (asked, RESOLVERS_WITHIN)).await else {
            self.recorder.count(Counter::DnsFailed, 1);
            return Some(query.failed());
        };
        if message::code(&answer) == NOTHING && self.addresses(&query).is_some() {
            // The name is there, as far as the mesh goes; it only has nothing of this type.
            return Some(query.nothing());
        }
        Some(answer)
    }
}

/// What can be said at once.
enum Quick {
    /// It is no question: an answer could go round for ever.
    Silence,
    Answer(Vec<u8>),
    /// Others have to be asked.
    Elsewhere,
}

async fn send(socket: &UdpSocket, answer: &[u8], client: SocketAddr) {
    let _gone = socket.send_to(answer, client).await; // it asks again
}
