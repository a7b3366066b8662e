//! A process of a plugin, from its start to its end.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use std::{fs, io};

use meshcore_io::end_group;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

use super::super::wire::{Inbox, Malformed};
use super::said::Said;

/// How a process is started.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// The program and its arguments.
    pub(crate) command: Vec<OsString>,
    /// Its whole environment.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// The first frame it is sent.
    pub(crate) hello: Vec<u8>,
    /// How long it may take to load the plugin.
    pub(crate) within: Duration,
}

/// A process that runs. It ends with this value, and so does all that it started.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    stream: UnixStream,
    stderr: pipe::Receiver,
    /// It closed its standard error.
    is_silent: bool,
    /// It was made to end, and its number may be another's.
    is_over: bool,
    /// What came.
    pub(super) inbox: Inbox,
    /// What is to be sent.
    pub(super) outbox: Vec<u8>,
    sent: usize,
    /// What it wrote to standard error.
    pub(super) said: Said,
}

/// Read from the connection at a time.
const CHUNK_BYTES: usize = 16 * 1024;

// === impl Child ===

impl Child {
    /// Starts it, in a process group of its own, with a connection as its standard input.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub(super) fn start(recipe: &Recipe) -> io::Result<Self> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        let (program, arguments) =
            recipe.command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut process = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(recipe.environment.iter().map(|(name, value)| (name, value)))
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let stderr = process.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        ours.set_nonblocking(true)?;
        Ok(Self {
            process,
            stream: UnixStream::from_std(ours)?,
            stderr: pipe::Receiver::from_owned_fd(stderr.into())?,
            is_silent: false,
            is_over: false,
            inbox: Inbox::default(),
            outbox: Vec::new(),
            sent: 0,
            said: Said::default(),
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends, receives, or hears what it says, whatever can be done first. Cancel safe.
    ///
    /// # Errors
    ///
    /// When the connection ended.
    pub(super) async fn step(&mut self) -> Result<(), Fault> {
        let (mut reading, mut writing) = self.stream.split();
        self.inbox.bytes.reserve(CHUNK_BYTES);
        tokio::select! {
            read = reading.read_buf(&mut self.inbox.bytes) => match read {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Err(Fault::Ended),
            },
            written = writing.write(self.outbox.get(self.sent..).unwrap_or_default()),
                if self.sent < self.outbox.len() =>
            {
                self.sent = self.sent.saturating_add(written.map_err(|_| Fault::Ended)?);
                if self.sent >= self.outbox.len() {
                    self.outbox.clear();
                    self.sent = 0;
                }
            },
            heard = self.stderr.read_buf(self.said.room()), if !self.is_silent => {
                self.is_silent = !matches!(heard, Ok(1..));
            },
        }
        Ok(())
    }

    /// What it takes of memory, in bytes; 0 where that cannot be known. Source: `proc_pid_statm(5)`.
    pub(super) fn resident_bytes(&self) -> u64 {
        /// Of every Linux that Python runs on and we build for.
        const PAGE_BYTES: u64 = 4096;
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.id())).unwrap_or_default();
        let pages: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
        pages.saturating_mul(PAGE_BYTES)
    }

    /// Asks it to end, and makes it `within` that time; returns how it ended.
    pub(super) async fn end(&mut self, within: Duration) -> String {
        let _ = self.stream.shutdown().await; // which it sees, if it still looks
        let hear_the_rest = async {
            while !self.is_silent {
                self.is_silent = !matches!(self.stderr.read_buf(self.said.room()).await, Ok(1..));
            }
        };
        let _ = tokio::time::timeout(within, hear_the_rest).await;
        self.end_now().map_or_else(|| "ended".into(), shown)
    }

    /// Its status if it has ended already; it keeps that although it is killed.
    fn end_now(&mut self) -> Option<ExitStatus> {
        if !std::mem::replace(&mut self.is_over, true) {
            let _ = end_group(self.process.id()); // nobody may be left
            let _ = self.process.kill(); // it may have left its group
        }
        self.process.wait().ok()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end_now();
    }
}

fn shown(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".into(),
    }
}

/// Why a process is ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// It ended by itself, or closed its connection.
    #[error("it ended by itself")]
    Ended,
    /// It wrote what cannot be read.
    #[error("it wrote what is no answer ({0})")]
    Malformed(#[from] Malformed),
    /// It answered what it was not asked, or twice.
    #[error("it answered a call that it does not have")]
    Unasked,
    /// A hook does not end.
    #[error("hook {hook} did not end within {within_ms} ms")]
    Hung {
        /// Its name.
        hook: String,
        /// How long it had.
        within_ms: u128,
    },
    /// It takes too much memory.
    #[error("it has grown by {0} MiB since it was loaded")]
    Grown(u64),
    /// It did not load its plugin in time.
    #[error("it was not loaded within {0:?}")]
    Slow(Duration),
    /// It loaded something else than the first time.
    #[error("the plugin loads differently than before")]
    Changed,
    /// It cannot be started at all.
    #[error("it cannot be started: {0}")]
    Start(#[from] io::Error),
}
