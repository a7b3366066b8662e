//! Connections to upstreams that wait for their next request, one set for each worker.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use meshcore_model::{Failure, Kind};
use tokio::sync::Notify;

use crate::buffer::Buffer;
use crate::counted::Counted;
use crate::dial::UpstreamKey;
use crate::h2_client::H2Connection;
use crate::stream::{Conn, Stream};

/// Idle HTTP/1 connections kept for one upstream by one worker.
const MAX_IDLE: usize = 1024;

/// An HTTP/1 connection to an upstream.
#[derive(Debug)]
pub(crate) struct H1Connection {
    pub(crate) conn: Conn,
    pub(crate) buffer: Buffer,
    /// Requests it has carried.
    pub(crate) requests: u32,
    pub(crate) opened_s: u64,
    pub(crate) local: Option<SocketAddr>,
    /// Trust under which the peer was verified; see [`Pools`].
    trust_epoch: u64,
    idle_since_s: u64,
    /// Counts it against the limit of its cluster while it exists.
    pub(crate) slot: Option<Slot>,
    _open: Counted,
}

impl H1Connection {
    /// `trust_epoch` is the one in force when the connection was asked for.
    pub(crate) fn new(
        stream: Stream,
        (now_s, trust_epoch): (u64, u64),
        (slot, open): (Option<Slot>, Counted),
    ) -> Self {
        let local = stream.local_addr();
        Self {
            conn: Conn::new(stream),
            buffer: Buffer::new(),
            requests: 0,
            opened_s: now_s,
            local,
            trust_epoch,
            idle_since_s: now_s,
            slot,
            _open: open,
        }
    }

    /// Whether the upstream has neither closed nor sent anything out of turn.
    pub(crate) fn is_fresh(&self) -> bool {
        self.buffer.is_empty() && self.conn.is_quiet()
    }
}

/// All connections of a worker that wait. Those that were opened under another trust than the
/// one in force are never given out.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    h1: RefCell<HashMap<UpstreamKey, Idle, RandomState>>,
    h2: RefCell<HashMap<UpstreamKey, Vec<Rc<H2Connection>>, RandomState>>,
    opening: RefCell<HashMap<UpstreamKey, Rc<Opening>, RandomState>>,
}

/// An HTTP/2 connection that is being made; requests that want one wait for it.
#[derive(Debug, Default)]
struct Opening {
    ended: Notify,
    failed: RefCell<Option<(Kind, String)>>,
}

/// Ends an [`Opening`] also when its request is given up.
struct Opens<'p> {
    pools: &'p Pools,
    key: &'p UpstreamKey,
    opening: Rc<Opening>,
}

impl Drop for Opens<'_> {
    fn drop(&mut self) {
        self.pools.opening.borrow_mut().remove(self.key);
        self.opening.ended.notify_waiters();
    }
}

#[derive(Debug)]
#[expect(clippy::vec_box, reason = "a box goes to its user and back without a copy")]
struct Idle {
    connections: Vec<Box<H1Connection>>,
    max_idle_s: u64,
}

impl Pools {
    /// The connection that was used last, if there is one that still lives.
    pub(crate) fn take(&self, key: &UpstreamKey, trust_epoch: u64) -> Option<Box<H1Connection>> {
        let mut pools = self.h1.borrow_mut();
        let idle = pools.get_mut(key)?;
        while let Some(connection) = idle.connections.pop() {
            if connection.trust_epoch >= trust_epoch && connection.is_fresh() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for the next request, at most `max_idle_s` (0 is no limit), and lets a
    /// request that waits for one look. On another worker, or for another endpoint, it will want
    /// the place instead: see [`Self::yield_wanted`].
    pub(crate) fn put(
        &self,
        key: &UpstreamKey,
        mut connection: Box<H1Connection>,
        (now_s, max_idle_s): (u64, u64),
    ) {
        let waiting = connection.slot.as_ref().filter(|slot| slot.is_wanted());
        let waiting = waiting.map(|slot| Arc::clone(&slot.usage));
        connection.idle_since_s = now_s;
        let mut pools = self.h1.borrow_mut();
        if let Some(idle) = pools.get_mut(key) {
            idle.max_idle_s = max_idle_s;
            if idle.connections.len() < MAX_IDLE {
                idle.connections.push(connection);
            }
        } else {
            pools.insert(key.clone(), Idle { connections: vec![connection], max_idle_s });
        }
        if let Some(usage) = waiting {
            usage.returned.notify_waiters();
        }
    }

    /// Closes one idle connection of each upstream whose cluster is full while requests wait.
    pub(crate) fn yield_wanted(&self) {
        for idle in self.h1.borrow_mut().values_mut() {
            let wanted = idle
                .connections
                .iter()
                .position(|connection| connection.slot.as_ref().is_some_and(Slot::is_wanted));
            if let Some(at) = wanted {
                drop(idle.connections.swap_remove(at));
            }
        }
    }

    /// An HTTP/2 connection that takes another request.
    pub(crate) fn h2_with_room(
        &self,
        key: &UpstreamKey,
        trust_epoch: u64,
    ) -> Option<Rc<H2Connection>> {
        let mut pools = self.h2.borrow_mut();
        let connections = pools.get_mut(key)?;
        // What has ended makes room at once, and not when somebody sweeps.
        connections.retain(|connection| !connection.is_over());
        let has_room = |connection: &&Rc<H2Connection>| {
            connection.trust_epoch >= trust_epoch && connection.has_room()
        };
        connections.iter().find(has_room).map(Rc::clone)
    }

    /// Whether there is a connection whose streams will end here.
    pub(crate) fn has_h2(&self, key: &UpstreamKey) -> bool {
        self.h2.borrow().get(key).is_some_and(|connections| !connections.is_empty())
    }

    /// Waits for the HTTP/2 connection that is being made; `None` when none is.
    pub(crate) async fn opened_h2(&self, key: &UpstreamKey) -> Option<Result<(), Failure>> {
        let opening = self.opening.borrow().get(key).map(Rc::clone)?;
        opening.ended.notified().await;
        let failed = opening.failed.borrow();
        Some(match &*failed {
            Some((kind, cause)) => Err(Failure::because(*kind, cause.clone())),
            None => Ok(()),
        })
    }

    /// An HTTP/2 connection made by `open`, and kept to be shared by requests. Who wants one
    /// asks [`Self::opened_h2`] first, so that one is made for all of them.
    ///
    /// # Errors
    ///
    /// Those of `open`.
    pub(crate) async fn open_h2(
        &self,
        key: &UpstreamKey,
        open: impl Future<Output = Result<Rc<H2Connection>, Failure>>,
    ) -> Result<Rc<H2Connection>, Failure> {
        let opening = Rc::new(Opening::default());
        self.opening.borrow_mut().insert(key.clone(), Rc::clone(&opening));
        let opens = Opens { pools: self, key, opening };
        match open.await {
            Ok(connection) => {
                let mut pools = self.h2.borrow_mut();
                pools.entry_ref(key).or_default().push(Rc::clone(&connection));
                Ok(connection)
            }
            Err(failure) => {
                *opens.opening.failed.borrow_mut() = Some((failure.kind(), failure.reason()));
                Err(failure)
            }
        }
    }

    /// Closes what the upstream has closed and what has waited too long.
    pub(crate) fn sweep(&self, now_s: u64, trust_epoch: u64) {
        self.h1.borrow_mut().retain(|_, idle| {
            let max_idle_s = if idle.max_idle_s == 0 { u64::MAX } else { idle.max_idle_s };
            idle.connections.retain(|connection| {
                connection.trust_epoch >= trust_epoch
                    && now_s.saturating_sub(connection.idle_since_s) < max_idle_s
                    && connection.is_fresh()
            });
            !idle.connections.is_empty()
        });
        self.h2.borrow_mut().retain(|_, connections| {
            connections.retain(|connection| {
                connection.trust_epoch >= trust_epoch && connection.is_worth_keeping(now_s)
            });
            !connections.is_empty()
        });
    }

    /// Closes all idle connections to upstreams that are not `wanted` any more.
    pub(crate) fn retain(&self, wanted: impl Fn(&UpstreamKey) -> bool) {
        self.h1.borrow_mut().retain(|key, _| wanted(key));
        self.h2.borrow_mut().retain(|key, _| wanted(key));
    }
}

/// What a cluster with limits uses at the moment, over all workers.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    connections: AtomicU32,
    pending: AtomicU32,
    requests: AtomicU32,
    retries: AtomicU32,
    returned: Notify,
}

/// A connection that is counted while it exists.
#[derive(Debug)]
pub(crate) struct Slot {
    usage: Arc<Usage>,
}

/// A request, or a retry, that is counted while it is carried.
#[derive(Debug)]
pub(crate) struct Turn {
    usage: Arc<Usage>,
    retry: bool,
}

/// A request without a connection; it is counted while this exists.
#[derive(Debug)]
pub(crate) struct Queued<'u>(&'u AtomicU32);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Usage {
    /// Counts a request, unless there are `limit` already.
    pub(crate) fn begin(self: &Arc<Self>, limit: u32) -> Result<Turn, Full> {
        enter(&self.requests, limit)?;
        Ok(Turn { usage: Arc::clone(self), retry: false })
    }

    /// Counts a retry, unless there are `limit` already.
    pub(crate) fn retry(self: &Arc<Self>, limit: u32) -> Result<Turn, Full> {
        enter(&self.retries, limit)?;
        Ok(Turn { usage: Arc::clone(self), retry: true })
    }

    /// Counts a new connection, unless there are `limit` already.
    pub(crate) fn open(self: &Arc<Self>, limit: u32) -> Result<Slot, Full> {
        enter(&self.connections, limit)?;
        Ok(Slot { usage: Arc::clone(self) })
    }

    /// Counts a request that has no connection yet, unless there are `limit` already.
    pub(crate) fn queue(&self, limit: u32) -> Result<Queued<'_>, Full> {
        enter(&self.pending, limit)?;
        Ok(Queued(&self.pending))
    }

    /// Until a connection may be free, counted from this call: who waits asks for this first,
    /// and then looks whether there is one. All who wait look again, since what is free on one
    /// worker is of no use on another.
    pub(crate) fn returned(&self) -> impl Future<Output = ()> {
        self.returned.notified()
    }

    /// Connections and requests at the moment, for the admin page.
    pub(crate) fn now(&self) -> (u32, u32) {
        (self.connections.load(Ordering::Relaxed), self.requests.load(Ordering::Relaxed))
    }
}

impl Slot {
    /// A request on the connection has ended, for which another may wait.
    pub(crate) fn give_way(&self) {
        if self.is_wanted() {
            self.usage.returned.notify_waiters();
        }
    }

    fn is_wanted(&self) -> bool {
        self.usage.pending.load(Ordering::Relaxed) > 0
    }
}

fn enter(count: &AtomicU32, limit: u32) -> Result<(), Full> {
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (count < limit).then(|| count.saturating_add(1))
        })
        .map(|_before| ())
        .map_err(|_count| Full)
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.usage.connections.fetch_sub(1, Ordering::Relaxed);
        self.usage.returned.notify_waiters();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let count = if self.retry { &self.usage.retries } else { &self.usage.requests };
        count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn what_is_returned_is_told_to_all_who_wait() {
        let usage = Arc::new(Usage::default());
        let slot = usage.open(1).unwrap();
        let _pending = (usage.queue(2).unwrap(), usage.queue(2).unwrap());
        let (mut here, mut there) = (pin!(usage.returned()), pin!(usage.returned()));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(here.as_mut().poll(&mut cx).is_pending());
        slot.give_way();
        assert!(here.as_mut().poll(&mut cx).is_ready());
        assert!(there.as_mut().poll(&mut cx).is_ready(), "also when it had not begun to wait");
        let (mut here, mut there) = (pin!(usage.returned()), pin!(usage.returned()));
        drop(slot);
        assert!(here.as_mut().poll(&mut cx).is_ready());
        assert!(there.as_mut().poll(&mut cx).is_ready());
    }
}
