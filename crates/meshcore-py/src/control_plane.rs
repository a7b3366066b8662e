//! The control plane as an object: start, update, read, stop.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use meshcore_discovery::certificates::SecureListener;
use meshcore_discovery::certificates::{Certificates, Counts, Own, OwnError, Policy};
use meshcore_discovery::server::{Ads, Limits, Listener, OpenError, Options, Server};
use meshcore_discovery::server::{NotLoopback, UpdateError, serve};
use meshcore_model::{Identity, InvalidIdentity, Settings, Trust};
use meshcore_tls::store::{Authorities, StoreError};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};

use crate::error::Error;

/// Connections that wait to be served.
const WAITING: usize = 64;
/// The service account of every control plane.
const ACCOUNT: &str = "meshcore-control";

/// A running control plane.
#[pyclass(frozen, module = "meshcore._native")]
#[derive(Debug)]
pub(crate) struct ControlPlane {
    server: Arc<Server>,
    own: Arc<Own>,
    counts: Arc<Counts>,
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
    secure: Option<SocketAddr>,
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
    #[serde(default)]
    secure: Option<SocketAddr>,
    /// Directory of an authority that is plugged in.
    #[serde(default)]
    cacerts: Option<PathBuf>,
    /// PEM of roots of other trust domains.
    #[serde(default)]
    foreign_roots: BTreeMap<String, String>,
    /// Trust domains whose identities ours, or another's, roots vouch for.
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    /// Longest life of certificates.
    #[serde(default)]
    max_ttl_seconds: Option<u64>,
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
    #[error("cannot listen on {0}: {1}")]
    Secure(SocketAddr, std::io::Error),
    #[error(transparent)]
    Identity(#[from] InvalidIdentity),
    #[error(transparent)]
    Authority(#[from] StoreError),
    #[error(transparent)]
    Own(#[from] OwnError),
    #[error(transparent)]
    Trust(#[from] UpdateError),
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
        let text = py.detach(|| {
            let mut text = self.server.metrics();
            text.extend_from_slice(self.counts.exposition().as_bytes());
            text
        });
        PyBytes::new(py, &text)
    }

    /// Whom the mesh trusts now, as JSON.
    fn trust(&self) -> PyResult<String> {
        let json = serde_json::to_string(&self.own.trust());
        Ok(json.map_err(|error| Error::Json { what: "trust", error })?)
    }

    /// Why certificates cannot be signed, if they cannot.
    fn trouble(&self) -> Option<String> {
        self.counts.last_trouble()
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
    let control = Identity::new(&options.trust_domain, &options.root_namespace, ACCOUNT)?;
    let authorities = Authorities::open(&options.state, &control, options.cacerts.as_deref())?;
    let tokens = Arc::new(authorities.tokens()?);
    let authorities = Arc::new(authorities);
    let policy = policy(options.max_ttl_seconds);
    let others =
        Trust { roots: options.foreign_roots, aliases: options.aliases, ..Trust::default() };
    let ttl = policy.usual.min(policy.most);
    let own = Arc::new(Own::new(Arc::clone(&authorities), ttl, others)?);
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
        Some(Arc::clone(&tokens) as Arc<dyn meshcore_discovery::peer::Tokens>),
    )?;
    let server = Arc::new(server);
    server.set_trust(own.trust())?;
    let counts = Arc::new(Counts::default());
    let certificates = Certificates::new(authorities, tokens, policy, Arc::clone(&counts));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(ControlStartError::Thread)?;
    let plain = options.plain.map(|address| runtime.block_on(Listener::bind(address)));
    let plain = plain.transpose()?;
    let secure = options.secure.map(|address| {
        let bound = SecureListener::bind(address, own.tls(), Arc::clone(&counts));
        runtime.block_on(bound).map_err(|error| ControlStartError::Secure(address, error))
    });
    let secure = secure.transpose()?;
    let at = |found: std::io::Result<SocketAddr>| found.map_err(ControlStartError::Thread);
    let addresses = Addresses {
        plain: plain.as_ref().map(|plain| at(plain.address())).transpose()?,
        secure: secure.as_ref().map(|secure| at(secure.address())).transpose()?,
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let parts = Parts {
        server: Arc::clone(&server),
        certificates,
        own: Arc::clone(&own),
        counts: Arc::clone(&counts),
        plain,
        secure,
    };
    let handle = std::thread::Builder::new()
        .name("meshcore-control".into())
        .spawn(move || runtime.block_on(run(parts, stopped)))
        .map_err(ControlStartError::Thread)?;
    let thread = Mutex::new(Some(Thread { stop, handle }));
    Ok(ControlPlane { server, own, counts, addresses, thread, process: std::process::id() })
}

fn policy(max_ttl_seconds: Option<u64>) -> Policy {
    let usual = Policy::default();
    let most = max_ttl_seconds.map_or(usual.most, Duration::from_secs);
    Policy { most: usual.most.min(most), ..usual }
}

/// What the thread serves.
struct Parts {
    server: Arc<Server>,
    certificates: Certificates,
    own: Arc<Own>,
    counts: Arc<Counts>,
    plain: Option<Listener>,
    secure: Option<SecureListener>,
}

/// Serves until it is told to stop.
async fn run(parts: Parts, stopped: oneshot::Receiver<()>) {
    let (connections, incoming) = mpsc::channel(WAITING);
    let ads = Arc::new(Ads::new(Arc::clone(&parts.server)));
    let (plain, secure) = (parts.plain, parts.secure);
    let accept_plain = async {
        match plain {
            Some(plain) => plain.accept(connections.clone()).await,
            None => std::future::pending().await,
        }
    };
    let accept_secure = async {
        match secure {
            Some(secure) => secure.accept(connections.clone()).await,
            None => std::future::pending().await,
        }
    };
    let tell = |trust| {
        // What the authority made is a resource.
        let _ = parts.server.set_trust(trust);
    };
    tokio::select! {
        () = serve(incoming, vec![ads, Arc::new(parts.certificates)]) => {}
        () = accept_plain => {}
        () = accept_secure => {}
        () = parts.server.keep() => {}
        () = parts.own.keep(&parts.counts, tell) => {}
        _ = stopped => {}
    }
}
