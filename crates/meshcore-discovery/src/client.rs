//! The client of a sidecar: asks a control plane for what the sidecar needs, keeps it, and puts it
//! in force.
//!
//! It has a thread of its own. What is in force stays in force, whatever the control plane does:
//! it may be gone, stand still, or send nonsense.

mod answer;
mod asked;
mod backoff;
mod collect;
mod connect;
mod held;
mod kept;
mod news;
mod node;
mod run;
mod stand_in;
mod stream;
mod take;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use meshcore_model::AccessLog;
use parking_lot::Mutex;
use tokio::sync::mpsc as channel;

use crate::wire::Node;

use asked::Keys;
use run::{Command, Runner};

pub use answer::Health;
pub use asked::Asked;
pub(crate) use connect::connect;
pub use connect::{Connecting, Connector, Plain, Wire};
pub use held::{Held, Refusal, Sink, Unfit};
pub use news::{News, Notice, Origin, Status};
pub use node::node;

/// How a client works.
#[derive(Debug)]
pub struct Options {
    /// How the control plane is reached.
    pub connector: Arc<dyn Connector>,
    /// What it is called in messages: `HOST:PORT`.
    pub address: String,
    /// Who the sidecar is.
    pub node: Node,
    /// File of the token that says so; it is read for every connection.
    pub token: Option<PathBuf>,
    /// Whether it is a gateway: it asks for what its Gateways need, too, and for their keys.
    pub is_gateway: bool,
    /// In place of the mesh's access log.
    pub access_log: Option<AccessLog>,
    /// Hosts that were not used for so long are dropped.
    pub unused: Duration,
    /// File for what was in force, to begin with when there is no control plane.
    pub file: Option<PathBuf>,
}

/// A running client. It stops when it is dropped.
#[derive(Debug)]
pub struct Client {
    keys: Arc<Keys>,
    news: Arc<News>,
    commands: channel::UnboundedSender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Client {
    /// Reads what was kept, starts the thread, and connects.
    ///
    /// # Errors
    ///
    /// The thread or its runtime cannot be started.
    pub fn start(options: Options) -> io::Result<Self> {
        let (keys, news) = (Arc::new(Keys::new()), Arc::new(News::new(options.address.clone())));
        let (commands, told) = channel::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let runner = Runner::new(options, (Arc::clone(&keys), Arc::clone(&news)), told);
        let thread = thread::Builder::new()
            .name("meshcore-client".into())
            .spawn(move || runtime.block_on(runner.run()))?;
        Ok(Self { keys, news, commands, thread: Mutex::new(Some(thread)) })
    }

    /// What is known of a key; it is asked for if it was not before.
    pub fn ask(&self, key: &str) -> Asked {
        let (asked, is_new) = self.keys.ask(key);
        if is_new {
            let _stopped = self.commands.send(Command::Keys); // then nobody answers
        }
        asked
    }

    /// What happened, and how it is now.
    pub fn news(&self) -> &News {
        &self.news
    }

    /// Waits until the control plane has said what the sidecar is, at most `within`; then takes
    /// what was kept. `None` when there is neither.
    pub fn first(&self, within: Duration) -> Option<Origin> {
        self.news.wait_for_self(Instant::now().checked_add(within))
    }

    /// Runs a function with what is held, in turn with all changes. `None` once it was stopped.
    pub fn with<T: Send + 'static>(
        &self,
        function: impl FnOnce(&mut Held) -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = mpsc::sync_channel(1);
        let run = Box::new(move |held: &mut Held| drop(tell.send(function(held))));
        self.commands.send(Command::Run(run)).ok()?;
        told.recv().ok()
    }

    /// Puts what is held in force with `sink`, which is only tried; what it refuses is held no
    /// more, and the control plane will hear of it. Returns the sink.
    pub fn try_out<S: Sink + 'static>(&self, sink: S) -> Option<S> {
        let (tell, told) = mpsc::sync_channel(1);
        let mut sink = Some(sink);
        let run = Box::new(move |runner: &mut Runner| {
            if let Some(mut sink) = sink.take() {
                runner.put_all(&mut sink);
                drop(tell.send(sink));
            }
        });
        self.commands.send(Command::TryOut(run)).ok()?;
        told.recv().ok()
    }

    /// Puts every change in force with `sink` from now on, and what is held at once.
    pub fn follow(&self, sink: Box<dyn Sink>) {
        let _stopped = self.commands.send(Command::Follow(sink));
    }

    /// Tells the health of the application, now and after each new connection.
    pub fn tell(&self, health: Health) {
        let _stopped = self.commands.send(Command::Health(health));
    }

    /// Ends, and waits for the thread.
    pub fn stop(&self) {
        let _stopped = self.commands.send(Command::Stop);
        let thread = self.thread.lock().take();
        // It may be the last that knows of us: then it ends by itself.
        if let Some(thread) = thread.filter(|one| one.thread().id() != thread::current().id()) {
            let _panicked = thread.join(); // it was printed
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop();
    }
}
