//! The process of a plugin: takes calls from its sidecar, and answers them.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use meshcore_io::end_group;
use meshcore_proxy::hooks::HookError;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::PyHooks;
use super::entry::Entry;
use super::queue::Job;
use super::reply::{Owed, Reply};
use super::wire::{Answer, Asked, Inbox, Malformed, frame, read_asked, write_answer};

/// Read from the connection at a time.
const CHUNK_BYTES: usize = 16 * 1024;
/// Answers that are written at a time.
const BATCH: usize = 64;
/// How long the process may go on when its sidecar is gone.
const END_WITHIN: Duration = Duration::from_secs(1);

/// The connection to the sidecar.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    inbox: Inbox,
}

// === impl Connection ===

impl Connection {
    /// The connection that the process was started with, as its standard input. The process ends a
    /// second after the sidecar is gone, whether or not the plugin lets it.
    ///
    /// # Errors
    ///
    /// When that is closed, or the system has no thread for it.
    pub(crate) fn of_standard_input() -> io::Result<Self> {
        let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        end_with_sidecar(stream.as_fd().try_clone_to_owned()?)?;
        Ok(Self { stream, inbox: Inbox::default() })
    }

    /// The next frame; `None` when the sidecar is gone.
    ///
    /// # Errors
    ///
    /// When what comes is no frame.
    pub(crate) fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut chunk = [0; CHUNK_BYTES];
        loop {
            if let Some(frame) = self.inbox.next().map_err(invalid)? {
                return Ok(Some(frame.to_vec()));
            }
            let count = match self.stream.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if count == 0 {
                return Ok(None);
            }
            self.inbox.bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
        }
    }

    /// Sends a frame.
    ///
    /// # Errors
    ///
    /// When it is too long, or the sidecar is gone.
    pub(crate) fn send(&mut self, content: &[u8]) -> io::Result<()> {
        let mut out = Vec::new();
        if !frame(&mut out, |out| out.extend_from_slice(content)) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.stream.write_all(&out)
    }
}

/// Starts the thread that ends the process, and all that the plugin has started, when the sidecar
/// is gone. It needs no interpreter, which the plugin may hold for ever.
fn end_with_sidecar(connection: OwnedFd) -> io::Result<()> {
    // Unlike poll(2), it does not keep a connection open that the plugin closes.
    let hangup = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&hangup, &connection, EventData::new_u64(0), EventFlags::empty())?;
    std::thread::Builder::new().name("meshcore-end".into()).spawn(move || {
        let mut events = Vec::<Event>::with_capacity(1);
        while epoll::wait(&hangup, rustix::buffer::spare_capacity(&mut events), None)
            == Err(rustix::io::Errno::INTR)
        {}
        std::thread::park_timeout(END_WITHIN);
        let _ = end_group(std::process::id());
        drop(connection);
        std::process::abort(); // it has left its group
    })?;
    Ok(())
}

/// Answers the sidecar's calls until it is gone. Call it detached.
///
/// # Errors
///
/// When the connection cannot be used.
pub(crate) fn serve(host: &Arc<PyHooks>, ids: &[u32], connection: Connection) -> io::Result<()> {
    let entries: Vec<_> = ids.iter().filter_map(|id| host.table.find(*id)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Service::new(host, &entries).serve(connection))
}

/// What answers.
struct Service<'s> {
    host: &'s Arc<PyHooks>,
    entries: &'s [Arc<Entry>],
    answers: mpsc::UnboundedSender<Answer>,
    answered: mpsc::UnboundedReceiver<Answer>,
}

// === impl Service ===

impl<'s> Service<'s> {
    fn new(host: &'s Arc<PyHooks>, entries: &'s [Arc<Entry>]) -> Self {
        // As long as the sidecar's calls that have no answer yet, which it bounds.
        let (answers, answered) = mpsc::unbounded_channel();
        Self { host, entries, answers, answered }
    }

    async fn serve(mut self, connection: Connection) -> io::Result<()> {
        let Connection { stream, mut inbox } = connection;
        stream.set_nonblocking(true)?;
        let (mut reading, mut writing) = tokio::net::UnixStream::from_std(stream)?.into_split();
        let (mut outbox, mut answers) = (Vec::new(), Vec::with_capacity(BATCH));
        loop {
            while let Some(frame) = inbox.next().map_err(invalid)? {
                self.take(read_asked(frame).map_err(invalid)?);
            }
            inbox.bytes.reserve(CHUNK_BYTES);
            tokio::select! {
                read = reading.read_buf(&mut inbox.bytes) => if read? == 0 {
                    return Ok(());
                },
                _ = self.answered.recv_many(&mut answers, BATCH) => {
                    for answer in answers.drain(..) {
                        write_answer(&mut outbox, &answer);
                    }
                    writing.write_all(&outbox).await?;
                    outbox.clear();
                }
            }
        }
    }

    fn take(&self, asked: Asked) {
        match asked {
            Asked::Records(records) => drop(self.host.desk.put(records)),
            Asked::Call { call, hook, facts } => {
                let place = usize::try_from(hook).unwrap_or(usize::MAX);
                let Some(entry) = self.entries.get(place) else {
                    let decided = Err(HookError::Nonsense("a hook that it does not have".into()));
                    // We hold the other end.
                    let _ = self.answers.send(Answer { call, decided });
                    return;
                };
                let owed = Owed::new(call, entry.hook.timeout_ms, self.answers.clone());
                let entry = Arc::clone(entry);
                let job = Job { entry, facts, reply: Reply::Sidecar(owed) };
                // A call that does not fit is let go, which answers it.
                self.host.enqueue(job, self.host.now_ns());
                self.host.queue.ring();
            }
        }
    }
}

fn invalid(malformed: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, malformed)
}
