//! The listeners of a gateway, which open and close as servers come and go.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshcore_io::Accepting;
use meshcore_model::Origin;
use meshcore_snapshot::Snapshot;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::accept::{Purpose, accept_all, accept_waiting};
use crate::contain::for_ever;
use crate::worker::Worker;

/// How the purpose of a socket begins that is handed to another process.
pub(crate) const PURPOSE: &str = "gateway ";

/// Ports below are privileged. Source: Linux' `net.ipv4.ip_unprivileged_port_start`.
const FIRST_FREE_PORT: u16 = 1024;

/// How long workers may take to close a listener.
const CLOSED_WITHIN: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A listener cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("gateway listener {address} of {origin}: {error}{hint}")]
pub(crate) struct ListenError {
    address: SocketAddr,
    pub(crate) origin: Arc<Origin>,
    error: io::Error,
    hint: &'static str,
}

/// Sockets of one address, one for each worker.
type Sockets = Arc<[Accepting]>;
/// All sockets by address.
type Open = Arc<BTreeMap<SocketAddr, Sockets>>;

/// The listeners that are open, which workers follow.
#[derive(Debug)]
pub(crate) struct Listeners {
    workers: usize,
    open: watch::Sender<Open>,
    /// Those of another process, until the first revision is in force.
    taken: Mutex<BTreeMap<SocketAddr, Vec<Accepting>>>,
}

impl Listeners {
    /// None yet, for so many workers.
    pub(crate) fn new(workers: usize, taken: Vec<(SocketAddr, Accepting)>) -> Self {
        let mut by_address: BTreeMap<SocketAddr, Vec<Accepting>> = BTreeMap::new();
        for (address, socket) in taken {
            by_address.entry(address).or_default().push(socket);
        }
        let open = watch::Sender::new(Open::default());
        Self { workers: workers.max(1), open, taken: Mutex::new(by_address) }
    }

    /// Opens what a snapshot has and is not open yet. They are not accepted from before
    /// [`Self::publish`].
    ///
    /// # Errors
    ///
    /// An address cannot be bound; nothing has changed then.
    pub(crate) fn prepare(&self, snapshot: &Snapshot) -> Result<Open, ListenError> {
        let before = self.open.borrow().clone();
        let mut open = BTreeMap::new();
        let listeners = snapshot.gateway.as_ref().map_or(&[][..], |gateway| gateway.listeners());
        for listener in listeners {
            let address = listener.address;
            let sockets = match before.get(&address) {
                Some(sockets) => Arc::clone(sockets),
                None => self.bind(address).map_err(|error| ListenError {
                    address,
                    origin: Arc::clone(&listener.origin),
                    hint: hint(&error, address),
                    error,
                })?,
            };
            open.insert(address, sockets);
        }
        Ok(Arc::new(open))
    }

    /// Lets workers accept from these, and close all others.
    pub(crate) fn publish(&self, open: Open) {
        self.taken.lock().clear();
        self.open.send_replace(open);
    }

    /// All sockets once more, with their purposes.
    pub(crate) fn sockets(&self) -> io::Result<Vec<(String, Accepting)>> {
        let open = self.open.borrow().clone();
        let all = open.iter().flat_map(|(address, sockets)| {
            sockets.iter().map(move |one| Ok((format!("{PURPOSE}{address}"), one.try_clone()?)))
        });
        all.collect()
    }

    /// Whether it listens at an address.
    pub(crate) fn has(&self, address: SocketAddr) -> bool {
        self.open.borrow().contains_key(&address)
    }

    /// Another process may have left us sockets of the address. A worker needs one of its own.
    fn bind(&self, address: SocketAddr) -> io::Result<Sockets> {
        let mut sockets = self.taken.lock().remove(&address).unwrap_or_default();
        if sockets.is_empty() {
            // Another process on the address would share its connections.
            drop(alone(address)?);
        }
        while sockets.len() < self.workers {
            sockets.push(meshcore_io::listen(address, true)?);
        }
        Ok(sockets.into())
    }
}

/// The first socket of an address. Workers may be about to close one that a change took away just
/// before.
fn alone(address: SocketAddr) -> io::Result<Accepting> {
    let until = Instant::now().checked_add(CLOSED_WITHIN);
    loop {
        match meshcore_io::listen(address, false) {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse
                    && until.is_some_and(|until| Instant::now() < until) =>
            {
                std::thread::park_timeout(LOOK_AGAIN);
            }
            bound => return bound,
        }
    }
}

fn hint(error: &io::Error, address: SocketAddr) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied && address.port() < FIRST_FREE_PORT {
        return ": ports below 1024 are privileged, give the port a targetPort above, or the \
                program the capability CAP_NET_BIND_SERVICE";
    }
    if error.kind() == io::ErrorKind::AddrInUse {
        return ": end the program that listens there, or use another port";
    }
    ""
}

/// Accepts from the sockets of a worker, for ever, as they come and go.
pub(crate) async fn keep_listening(worker: Rc<Worker>, position: usize) {
    let mut open = worker.shared.listeners.open.subscribe();
    let mut accepting: BTreeMap<SocketAddr, (Sockets, watch::Sender<()>)> = BTreeMap::new();
    let mut tasks = JoinSet::new(); // ends them all when it is dropped
    loop {
        let now = open.borrow_and_update().clone();
        // A sender that is dropped tells its task to close.
        accepting.retain(|address, (sockets, _)| {
            now.get(address).is_some_and(|other| Arc::ptr_eq(other, sockets))
        });
        for (address, sockets) in &*now {
            if accepting.contains_key(address) {
                continue;
            }
            // If more were taken over than there are workers, some have several.
            let own = sockets.iter().skip(position).step_by(worker.shared.listeners.workers);
            let (keep, gone) = watch::channel(());
            for socket in own {
                let attached = socket.try_clone().and_then(Accepting::attach);
                let Ok(listener) = attached else { continue };
                let task =
                    accept_until(Rc::clone(&worker), Rc::new(listener), (*address, gone.clone()));
                tasks.spawn_local(task);
            }
            accepting.insert(*address, (Arc::clone(sockets), keep));
        }
        tokio::select! {
            changed = open.changed() => if changed.is_err() { return },
            Some(_ended) = tasks.join_next() => {}
        }
    }
}

/// Accepts until the listener is closed; what waits then is still served.
async fn accept_until(
    worker: Rc<Worker>,
    listener: Rc<TcpListener>,
    (address, mut gone): (SocketAddr, watch::Receiver<()>),
) {
    let purpose = Purpose::Gateway(address);
    let accepting = for_ever(worker.recorder.clone(), || {
        accept_all(Rc::clone(&worker), Rc::clone(&listener), purpose)
    });
    tokio::select! {
        () = accepting => {}
        _closed = async { while gone.changed().await.is_ok() {} } => {}
    }
    accept_waiting(&worker, &listener, purpose).await;
    // Whoever has the socket too, such as a supervisor, must not keep it open.
    meshcore_io::stop_listening(&listener);
}
