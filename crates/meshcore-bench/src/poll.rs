//! A level-triggered epoll.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

const EVENTS: usize = 512;

/// What is waited for on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// That something can be read.
    Read,
    /// That something can be written.
    Write,
    /// Either.
    Both,
    /// Nothing but the end.
    Nothing,
}

/// A socket on which something happened.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    /// What it was added with.
    pub token: usize,
    /// It can be read, or has ended.
    pub readable: bool,
    /// It can be written.
    pub writable: bool,
}

/// The sockets that are waited for.
#[expect(missing_debug_implementations, reason = "events cannot be shown")]
pub struct Poll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poll {
    /// One without sockets.
    ///
    /// # Errors
    ///
    /// The system has no descriptor.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(EVENTS) })
    }

    /// Waits for a socket from now on, until it is closed.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn add(&self, socket: impl AsFd, token: usize, watch: Watch) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(token as u64), flags(watch))?)
    }

    /// Waits for something else on it.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn watch(&self, socket: impl AsFd, token: usize, watch: Watch) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, socket, EventData::new_u64(token as u64), flags(watch))?)
    }

    /// Puts what is ready into `ready`; nothing when the time is over.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn wait(&mut self, within: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let within = within.map(|within| Timespec {
            tv_sec: i64::try_from(within.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: within.subsec_nanos().into(),
        });
        ready.clear();
        self.events.clear();
        let space = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, space, within.as_ref()) {
            Ok(_count) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        ready.extend(self.events.iter().filter_map(|event| {
            let flags = event.flags;
            Some(Ready {
                token: usize::try_from(event.data.u64()).ok()?,
                readable: flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR),
                writable: flags.contains(EventFlags::OUT),
            })
        }));
        Ok(())
    }
}

fn flags(watch: Watch) -> EventFlags {
    match watch {
        Watch::Read => EventFlags::IN,
        Watch::Write => EventFlags::OUT,
        Watch::Both => EventFlags::IN | EventFlags::OUT,
        Watch::Nothing => EventFlags::empty(),
    }
}
