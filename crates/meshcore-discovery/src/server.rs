//! The control plane's side of discovery: what the mesh is, who is connected, who registered.
//!
//! [`Server`] is all of that; [`serve`] lets clients in by connections that somebody accepted,
//! and [`Listener`] accepts those in plain text.

mod ads;
mod answers;
mod client;
mod counts;
mod exposition;
mod node;
mod plain;
mod registering;
mod requests;
mod responses;
mod serve;
mod state;
mod status;
mod update;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshcore_model::Settings;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::peer::Tokens;
use crate::registry::{Store, StoreError, Write};
use state::State;

pub use ads::Ads;
pub(crate) use node::Facts;
pub use plain::{Listener, NotLoopback};
pub(crate) use serve::Known;
pub use serve::{Answering, Call, Connection, serve};
pub use update::UpdateError;

/// How a server behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory in which registrations are kept; `None` keeps them in memory.
    pub state: Option<PathBuf>,
    /// What holds until a resource has settings.
    pub settings: Settings,
    /// Version of the program, for the status.
    pub version: String,
    /// How long a workload stays whose stream is gone.
    pub grace: Duration,
    /// Bounds of what clients may do.
    pub limits: Limits,
}

/// Bounds of what clients may do.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Streams at a time.
    pub streams: usize,
    /// Keys of one client.
    pub keys: usize,
    /// Names that a client may have of an earlier stream.
    pub resumed: usize,
    /// How long a client may take to take a piece of a response.
    pub write: Duration,
    /// How long a client may take to say who it is.
    pub hello: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams: 20_000,
            keys: 10_000,
            resumed: 200_000,
            write: Duration::from_secs(20),
            hello: Duration::from_secs(10),
        }
    }
}

/// A server cannot start.
#[derive(Debug, thiserror::Error)]
#[error("the registry cannot be used: {0}")]
pub struct OpenError(StoreError);

/// The mesh, those who are connected, and those who registered.
#[derive(Debug)]
pub struct Server {
    state: Mutex<State>,
    /// `None` without a state directory, and once it is closed.
    store: Mutex<Option<Arc<Store>>>,
    tokens: Option<Arc<dyn Tokens>>,
    /// Whether the mesh is known: nobody is answered before.
    is_ready: watch::Sender<bool>,
    limits: Limits,
    grace: Duration,
}

impl Server {
    /// Opens the registry. Clients are answered after the first [`Self::update`].
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the registry in the state directory cannot be read.
    pub fn open(options: Options, tokens: Option<Arc<dyn Tokens>>) -> Result<Self, OpenError> {
        let mut state = State::new(options.settings, options.limits.clone());
        state.version = options.version;
        let store = match &options.state {
            Some(directory) => {
                let (store, kept) = Store::open(directory).map_err(OpenError)?;
                state.registry.restore(kept, Instant::now());
                Some(Arc::new(store))
            }
            None => None,
        };
        let (is_ready, _) = watch::channel(false);
        let (limits, grace) = (options.limits, options.grace);
        let store = Mutex::new(store);
        Ok(Self { state: Mutex::new(state), store, tokens, is_ready, limits, grace })
    }

    /// Removes workloads whose streams have been gone for too long, for as long as it is polled.
    pub async fn keep(&self) {
        let between = self
            .grace
            .checked_div(4)
            .unwrap_or_default()
            .clamp(Duration::from_millis(20), Duration::from_secs(1));
        loop {
            tokio::time::sleep(between).await;
            let removed = self.state.lock().expire(self.grace, Instant::now());
            self.persist(removed.into_iter().map(Write::Remove).collect()).await;
        }
    }

    /// Closes the registry, so that another server can open it. Nobody may be served any more.
    pub fn close(&self) {
        let store = self.store.lock().take();
        drop(store);
    }

    fn store(&self) -> Option<Arc<Store>> {
        self.store.lock().clone()
    }

    /// Writes what may be written again: a failure is counted, and shows in the status.
    async fn persist(&self, changes: Vec<Write>) {
        let Some(store) = self.store().filter(|_| !changes.is_empty()) else { return };
        if let Err(error) = store.write(changes).await {
            self.state.lock().counts.unwritten(&error.to_string());
        }
    }
}

#[cfg(test)]
mod tests;
