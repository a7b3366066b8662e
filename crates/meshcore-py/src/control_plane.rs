//! The control plane as an object: start, update, read, stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use meshcore_discovery::server::{Ads, Limits, Listener, OpenError, Options, Server};
use meshcore_discovery::server::{NotLoopback, serve};
use meshcore_model::Settings;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};

use crate::error::Error;

/// Connections that wait to be served.
const WAITING: usize = 64;

/// A running control plane.
#[pyclass(frozen, module = "meshcore._native")]
#[derive(Debug)]
pub(crate) struct ControlPlane {
    server: Arc<Server>,
    addresses: Addresses,
    /// `None` once it was stopped.
    thread: Mutex<Option<Thread>>,
    /// The process that it runs in.
    process: u32,
}

/// Where it listens.
#[derive(Debug, Clone, serde::Serialize)]
struct Addresses {
    plain: Option<SocketAddr>,
}

/// The thread that serves; it ends when `stop` is dropped.
#[derive(Debug)]
struct Thread {
    stop: oneshot::Sender<()>,
    handle: std::thread::JoinHandle<()>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OptionsModel {
    plain: Option<SocketAddr>,
    state: PathBuf,
    trust_domain: String,
    root_namespace: String,
    domain: String,
    version: String,
    grace_ms: u64,
}

/// The control plane does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlStartError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Listen(#[from] NotLoopback),
    #[error("the control plane's thread does not start: {0}")]
    Thread(std::io::Error),
}

#[pymethods]
impl ControlPlane {
    /// Opens the registry, binds, and returns when it accepts. `options` is JSON.
    #[new]
    fn new(py: Python<'_>, options: &[u8]) -> PyResult<Self> {
        let options: OptionsModel = serde_json::from_slice(options)
            .map_err(|error| Error::Json { what: "options", error })?;
        Ok(py.detach(|| start(options)).map_err(Error::from)?)
    }

    /// Puts resources (name, JSON) in place and removes others; nothing of it when one is wrong.
    #[expect(clippy::needless_pass_by_value, reason = "owned, to go where Python is not")]
    fn update(
        &self,
        py: Python<'_>,
        revision: u64,
        changed: Vec<(String, PyBackedBytes)>,
        removed: Vec<String>,
    ) -> PyResult<()> {
        self.usable()?;
        let updated = py.detach(|| self.server.update(revision, &changed, &removed));
        Ok(updated.map_err(Error::from)?)
    }

    /// Where it listens, as JSON.
    fn addresses(&self) -> PyResult<String> {
        let json = serde_json::to_string(&self.addresses);
        Ok(json.map_err(|error| Error::Json { what: "addresses", error })?)
    }

    /// What holds, who is connected, and who registered, as JSON.
    fn status(&self, py: Python<'_>) -> String {
        py.detach(|| self.server.status())
    }

    /// All metrics in Prometheus' text format.
    fn metrics<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let text = py.detach(|| self.server.metrics());
        PyBytes::new(py, &text)
    }

    /// Ends all streams, and waits for the thread.
    fn stop(&self, py: Python<'_>) {
        if self.process == std::process::id() {
            py.detach(|| {
                end(self.thread.lock().take());
                self.server.close();
            });
        }
    }
}

impl ControlPlane {
    fn usable(&self) -> Result<(), Error> {
        if self.process != std::process::id() {
            return Err(Error::Forked);
        }
        match &*self.thread.lock() {
            Some(_) => Ok(()),
            None => Err(Error::Stopped),
        }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let thread = self.thread.get_mut().take();
        if self.process == std::process::id() {
            end(thread);
        } else {
            // The thread is another process'.
            std::mem::forget(thread);
        }
    }
}

/// Ends the thread, which never needs the interpreter.
fn end(thread: Option<Thread>) {
    if let Some(thread) = thread {
        drop(thread.stop);
        // It has nothing to say at its end.
        let _ = thread.handle.join();
    }
}

fn start(options: OptionsModel) -> Result<ControlPlane, ControlStartError> {
    let settings = Settings {
        trust_domain: options.trust_domain,
        root_namespace: options.root_namespace,
        domain: options.domain,
        ..Settings::default()
    };
    let server = Server::open(
        Options {
            state: Some(options.state),
            version: options.version,
            settings,
            grace: Duration::from_millis(options.grace_ms),
            limits: Limits::default(),
        },
        None,
    )?;
    let server = Arc::new(server);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(ControlStartError::Thread)?;
    let plain = options.plain.map(|address| runtime.block_on(Listener::bind(address)));
    let plain = plain.transpose()?;
    let bound = plain.as_ref().map(Listener::address).transpose();
    let addresses = Addresses { plain: bound.map_err(ControlStartError::Thread)? };
    let (stop, stopped) = oneshot::channel::<()>();
    let shared = Arc::clone(&server);
    let handle = std::thread::Builder::new()
        .name("meshcore-control".into())
        .spawn(move || runtime.block_on(run(shared, plain, stopped)))
        .map_err(ControlStartError::Thread)?;
    let thread = Mutex::new(Some(Thread { stop, handle }));
    Ok(ControlPlane { server, addresses, thread, process: std::process::id() })
}

/// Serves until it is told to stop.
async fn run(server: Arc<Server>, plain: Option<Listener>, stopped: oneshot::Receiver<()>) {
    let (connections, incoming) = mpsc::channel(WAITING);
    let ads = Arc::new(Ads::new(Arc::clone(&server)));
    let accept = async {
        match plain {
            Some(plain) => plain.accept(connections.clone()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = serve(incoming, vec![ads]) => {}
        () = accept => {}
        () = server.keep() => {}
        _ = stopped => {}
    }
}
