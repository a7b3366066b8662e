//! The listening sockets of a process: bound, or taken over from the process before.

use std::net::SocketAddr;
use std::os::fd::RawFd;

use meshcore_io::{Accepting, Datagrams};
use meshcore_model::Listen;

use crate::accept::Purpose;
use crate::control::Page;
use crate::gateway::PURPOSE;
use crate::proxy::StartError;

/// A listening socket that another process hands over. The descriptor stays with the caller.
#[derive(Debug, Clone)]
pub struct Taken {
    /// What it is for, as [`crate::Proxy::sockets`] says it.
    pub purpose: String,
    /// Its descriptor in this process.
    pub descriptor: RawFd,
}

/// Listeners of one worker.
pub(crate) type WorkerListeners = Vec<(Purpose, Accepting)>;

/// All listeners, not yet accepting.
pub(crate) struct Bound {
    pub(crate) workers: Vec<WorkerListeners>,
    pub(crate) pages: Vec<(Page, Accepting)>,
    /// Where names are asked for, by UDP and TCP.
    pub(crate) names: Vec<(Datagrams, Accepting)>,
    pub(crate) listen: Listen,
    /// The same sockets with their purposes, for the next process.
    pub(crate) kept: Vec<(&'static str, Accepting)>,
    /// Sockets of a gateway that were taken over, by the address that documents say.
    pub(crate) gateway: Vec<(SocketAddr, Accepting)>,
}

impl Bound {
    /// Takes the sockets over that there are, and binds what is missing.
    ///
    /// # Errors
    ///
    /// [`StartError`] when an address is in use, or a socket was taken over that is not wanted:
    /// it would be left with connections that nobody accepts.
    pub(crate) fn bind(
        wanted: &Listen,
        workers: usize,
        taken: &[Taken],
    ) -> Result<Self, StartError> {
        let (gateway, taken): (Vec<Taken>, Vec<Taken>) =
            taken.iter().cloned().partition(|one| one.purpose.starts_with(PURPOSE));
        let mut taken = adopted(&taken)?;
        let mut bound = Self {
            workers: (0..workers.max(1)).map(|_| Vec::new()).collect(),
            pages: Vec::new(),
            names: Vec::new(),
            listen: Listen { gateway: wanted.gateway, ..Listen::default() },
            kept: Vec::new(),
            gateway: gateway.iter().filter_map(of_gateway).collect(),
        };
        let mut of = |name, wanted| of_purpose(&mut taken, name, wanted);
        let outbound = of("outbound", wanted.outbound)?;
        let outbound_other = of("outbound (other family)", wanted.outbound_other)?;
        let inbound = of("inbound", wanted.inbound)?;
        let inbound_other = of("inbound (other family)", wanted.inbound_other)?;
        let hbone = of("HBONE", wanted.hbone)?;
        let admin = of("admin", wanted.admin)?;
        let health = of("health", wanted.health)?;
        let metrics = of("metrics", wanted.metrics)?;
        let dns = of("DNS", wanted.dns)?;
        let dns_other = of("DNS (other family)", wanted.dns_other)?;
        if let Some((purpose, socket)) = taken.pop() {
            let taken = local_addr(&purpose, &socket)?;
            return Err(StartError::Moved { purpose, taken, wanted: None });
        }
        bound.listen.outbound = bound.for_workers(outbound, Purpose::Outbound)?;
        bound.listen.inbound = bound.for_workers(inbound, Purpose::Inbound)?;
        bound.listen.outbound_other = bound.for_workers(outbound_other, Purpose::Outbound)?;
        bound.listen.inbound_other = bound.for_workers(inbound_other, Purpose::Inbound)?;
        bound.listen.hbone = bound.for_workers(hbone, Purpose::Hbone)?;
        bound.listen.admin = bound.for_control(admin, Page::Admin)?;
        bound.listen.health = bound.for_control(health, Page::Health)?;
        bound.listen.metrics = bound.for_control(metrics, Page::Metrics)?;
        bound.listen.dns = bound.for_names(dns)?;
        bound.listen.dns_other = bound.for_names(dns_other)?;
        Ok(bound)
    }

    /// A socket for each worker, so that each has its own queue. If more were taken over than
    /// there are workers, some have several.
    fn for_workers(
        &mut self,
        mut listener: Listener,
        purpose: Purpose,
    ) -> Result<Option<SocketAddr>, StartError> {
        let Some(mut address) = listener.address()? else { return Ok(None) };
        let failed = |error| StartError::Listen { purpose: listener.name, address, error };
        // Another process on the address would share its connections: the first socket of an
        // address that was asked for has it alone for a moment.
        if listener.taken.is_empty() && address.port() != 0 {
            drop(meshcore_io::listen(address, false).map_err(failed)?);
        }
        while listener.taken.len() < self.workers.len() {
            let failed = |error| StartError::Listen { purpose: listener.name, address, error };
            let socket = meshcore_io::listen(address, true).map_err(failed)?;
            address = socket.local_addr().map_err(failed)?;
            listener.taken.push(socket);
        }
        for (at, socket) in listener.taken.drain(..).enumerate() {
            self.keep(listener.name, address, &socket)?;
            let at = at.checked_rem(self.workers.len()).unwrap_or_default();
            if let Some(worker) = self.workers.get_mut(at) {
                worker.push((purpose, socket));
            }
        }
        Ok(Some(address))
    }

    fn for_control(
        &mut self,
        listener: Listener,
        page: Page,
    ) -> Result<Option<SocketAddr>, StartError> {
        let Some((address, sockets)) = self.alone(listener)? else { return Ok(None) };
        self.pages.extend(sockets.into_iter().map(|socket| (page, socket)));
        Ok(Some(address))
    }

    /// The same number by UDP, which is bound anew: nothing waits there for long.
    fn for_names(&mut self, listener: Listener) -> Result<Option<SocketAddr>, StartError> {
        let purpose = listener.name;
        let Some((address, sockets)) = self.alone(listener)? else { return Ok(None) };
        for socket in sockets {
            let failed = |error| StartError::Listen { purpose, address, error };
            self.names.push((meshcore_io::receive(address).map_err(failed)?, socket));
        }
        Ok(Some(address))
    }

    /// The sockets for the control thread, with their address.
    fn alone(
        &mut self,
        mut listener: Listener,
    ) -> Result<Option<(SocketAddr, Vec<Accepting>)>, StartError> {
        let Some(mut address) = listener.address()? else { return Ok(None) };
        if listener.taken.is_empty() {
            let failed = |error| StartError::Listen { purpose: listener.name, address, error };
            let socket = meshcore_io::listen(address, false).map_err(failed)?;
            address = socket.local_addr().map_err(failed)?;
            listener.taken.push(socket);
        }
        for socket in &listener.taken {
            self.keep(listener.name, address, socket)?;
        }
        Ok(Some((address, listener.taken)))
    }

    fn keep(
        &mut self,
        name: &'static str,
        address: SocketAddr,
        socket: &Accepting,
    ) -> Result<(), StartError> {
        let failed = |error| StartError::Listen { purpose: name, address, error };
        self.kept.push((name, socket.try_clone().map_err(failed)?));
        Ok(())
    }
}

/// The sockets of one purpose.
struct Listener {
    name: &'static str,
    wanted: Option<SocketAddr>,
    taken: Vec<Accepting>,
}

impl Listener {
    /// Where it listens, or will; `None` when it is not wanted.
    fn address(&self) -> Result<Option<SocketAddr>, StartError> {
        match self.taken.first() {
            Some(socket) => local_addr(self.name, socket).map(Some),
            None => Ok(self.wanted),
        }
    }
}

/// A socket of a gateway that still listens: one whose server was removed does not.
fn of_gateway(taken: &Taken) -> Option<(SocketAddr, Accepting)> {
    let address = taken.purpose.strip_prefix(PURPOSE)?.parse().ok()?;
    Some((address, Accepting::adopt(taken.descriptor).ok()?))
}

/// The sockets behind descriptors, with their purposes.
fn adopted(taken: &[Taken]) -> Result<Vec<(String, Accepting)>, StartError> {
    let adopt = |one: &Taken| {
        let socket = Accepting::adopt(one.descriptor);
        let socket =
            socket.map_err(|error| StartError::Taken { purpose: one.purpose.clone(), error })?;
        Ok((one.purpose.clone(), socket))
    };
    taken.iter().map(adopt).collect()
}

/// Takes the sockets of a purpose out of all that were taken over.
fn of_purpose(
    taken: &mut Vec<(String, Accepting)>,
    name: &'static str,
    wanted: Option<SocketAddr>,
) -> Result<Listener, StartError> {
    let mut listener = Listener { name, wanted, taken: Vec::new() };
    for (_purpose, socket) in taken.extract_if(.., |(purpose, _)| purpose == name) {
        let address = local_addr(name, &socket)?;
        let is_wanted = wanted.is_some_and(|wanted| {
            wanted == address || wanted.port() == 0 && wanted.ip() == address.ip()
        });
        if !is_wanted {
            return Err(StartError::Moved { purpose: name.to_owned(), taken: address, wanted });
        }
        listener.taken.push(socket);
    }
    Ok(listener)
}

fn local_addr(purpose: &str, socket: &Accepting) -> Result<SocketAddr, StartError> {
    let failed = |error| StartError::Taken { purpose: purpose.to_owned(), error };
    socket.local_addr().map_err(failed)
}
