//! The data plane as an object: start, apply, rotate, read, drain.

use std::os::fd::IntoRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshcore_model::{Hook, Mesh, Node};
use meshcore_proxy::hooks::HookHost;
use meshcore_proxy::{Options, Taken};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::discovery::Discovery;
use crate::error::{Error, PluginError};
use crate::hooks::{Callee, PyHooks};
use crate::materials::Materials;
use crate::plugin_process::ProcessHook;
use crate::totals::{self, FamilyTuple};

/// Python's signal handlers run at least this often while it waits.
const SIGNALS_EVERY: Duration = Duration::from_millis(100);
/// How long threads of hooks are waited for.
const HOOKS_WITHIN: Duration = Duration::from_secs(1);

/// Hooks and their functions, read and checked to belong together.
#[pyclass(frozen, module = "meshcore._native")]
pub(crate) struct Hooks {
    hooks: Vec<Hook>,
    functions: Vec<Py<PyAny>>,
}

/// A running data plane.
#[pyclass(frozen, weakref, module = "meshcore._native")]
#[derive(Debug)]
pub(crate) struct Proxy {
    /// `None` once it was stopped.
    running: Mutex<Option<Arc<meshcore_proxy::Proxy>>>,
    hooks: Arc<PyHooks>,
    hook_ids: Mutex<Vec<u32>>,
    /// The process that it runs in.
    process: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OptionsModel {
    workers: usize,
    drain_ms: u64,
    version: String,
}

// === impl Hooks ===

#[pymethods]
impl Hooks {
    /// Reads hooks (a JSON array) and takes what they are called by, as pairs of a number and a
    /// function or what stands for the hook of a process.
    #[new]
    #[expect(clippy::needless_pass_by_value, reason = "Python hands it over")]
    fn new(py: Python<'_>, hooks: &[u8], callees: Vec<(u32, Py<PyAny>)>) -> PyResult<Self> {
        let hooks: Vec<Hook> = read("hooks", hooks)?;
        let function_of = |hook: &Hook| {
            let found = callees.iter().find(|(id, _)| *id == hook.id);
            found.map(|(_, function)| function.clone_ref(py)).ok_or_else(|| {
                PluginError::new_err(format!("hook {} ({}) has no function", hook.name, hook.id))
            })
        };
        let functions = hooks.iter().map(function_of).collect::<PyResult<_>>()?;
        Ok(Self { hooks, functions })
    }

    fn __len__(&self) -> usize {
        self.hooks.len()
    }
}

impl Hooks {
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.hooks.iter().map(|hook| hook.id).collect()
    }

    /// The hooks, each with what it is called by.
    pub(crate) fn callees(&self, py: Python<'_>) -> Vec<(Hook, Callee)> {
        let callees = self.functions.iter().map(|function| {
            let outside = function.bind(py).cast::<ProcessHook>().ok().map(Bound::get);
            let outside = outside.map(|hook| (Arc::clone(&hook.process), hook.place));
            Callee { function: function.clone_ref(py), outside }
        });
        self.hooks.iter().cloned().zip(callees).collect()
    }
}

// === impl Proxy ===

#[pymethods]
impl Proxy {
    /// Binds, starts all threads, and returns when it accepts. The first three arguments are
    /// JSON; `sockets` are those that are taken over, as pairs of a purpose and a descriptor,
    /// which stays open. With `discovery`, the mesh is only a part, and hosts that are not in it
    /// are asked for.
    #[new]
    #[pyo3(signature = (
        mesh, node, options, hooks = None, materials = None, sockets = Vec::new(), discovery = None
    ))]
    #[expect(clippy::needless_pass_by_value, reason = "owned, to go where Python is not")]
    #[expect(clippy::too_many_arguments, reason = "seven, and the interpreter")]
    fn new(
        py: Python<'_>,
        mesh: PyBackedBytes,
        node: PyBackedBytes,
        options: &[u8],
        hooks: Option<&Hooks>,
        materials: Option<&Materials>,
        sockets: Vec<(String, i32)>,
        discovery: Option<&Discovery>,
    ) -> PyResult<Self> {
        let options: OptionsModel = read("options", options)?;
        let host = PyHooks::new(false);
        let (models, ids) = match hooks {
            Some(hooks) => {
                let added = host.add(py, hooks.callees(py));
                added.inspect_err(|_| py.detach(|| host.stop(HOOKS_WITHIN)))?;
                (hooks.hooks.clone(), hooks.ids())
            }
            None => (Vec::new(), Vec::new()),
        };
        let materials = materials.map(Materials::to_native);
        let taken = sockets.into_iter().map(|(purpose, descriptor)| Taken { purpose, descriptor });
        let taken: Vec<_> = taken.collect();
        let on_demand = discovery.map(Discovery::on_demand);
        let started = py.detach(|| {
            let start = || -> Result<_, Error> {
                let (mesh, node): (Mesh, Node) = (read("mesh", &mesh)?, read("node", &node)?);
                let options = Options {
                    workers: options.workers,
                    drain: Duration::from_millis(options.drain_ms),
                    version: options.version,
                    discovery: on_demand,
                };
                let host = Arc::clone(&host) as Arc<dyn HookHost>;
                Ok(meshcore_proxy::Proxy::start(
                    &mesh, &node, models, materials, options, host, &taken,
                )?)
            };
            start().inspect_err(|_| host.stop(HOOKS_WITHIN))
        })?;
        let started = Arc::new(started);
        if let Some(discovery) = discovery {
            discovery.follow(&started);
        }
        Ok(Self {
            running: Mutex::new(Some(started)),
            hooks: host,
            hook_ids: Mutex::new(ids),
            process: std::process::id(),
        })
    }

    /// Compiles a mesh (JSON) and puts it in force, with other hooks if some are given; returns
    /// its revision.
    #[pyo3(signature = (mesh, hooks = None))]
    #[expect(clippy::needless_pass_by_value, reason = "owned, to go where Python is not")]
    fn apply(&self, py: Python<'_>, mesh: PyBackedBytes, hooks: Option<&Hooks>) -> PyResult<u64> {
        let proxy = self.running()?;
        if let Some(hooks) = hooks {
            self.hooks.add(py, hooks.callees(py))?;
        }
        let models = hooks.map(|hooks| hooks.hooks.clone());
        let applied =
            py.detach(|| -> Result<u64, Error> { Ok(proxy.apply(&read("mesh", &mesh)?, models)?) });
        if let Some(hooks) = hooks {
            self.settle_hooks(hooks.ids(), applied.is_ok());
        }
        let_go(py, proxy);
        Ok(applied?)
    }

    /// Puts other hooks in force, with the mesh that `discovery` holds; returns its revision.
    fn change_hooks(&self, py: Python<'_>, hooks: &Hooks, discovery: &Discovery) -> PyResult<u64> {
        let proxy = self.running()?;
        self.hooks.add(py, hooks.callees(py))?;
        let (in_force, models) = (Arc::clone(&proxy), hooks.hooks.clone());
        let applied = discovery.with(py, move |held| in_force.apply(&held.mesh(), Some(models)));
        let applied = applied.and_then(|applied| Ok(applied?));
        self.settle_hooks(hooks.ids(), applied.is_ok());
        let_go(py, proxy);
        Ok(applied?)
    }

    /// Uses another certificate, key and trust for all handshakes from now on.
    fn rotate(&self, py: Python<'_>, materials: &Materials) -> PyResult<()> {
        let (proxy, materials) = (self.running()?, materials.to_native());
        py.detach(|| proxy.rotate(materials));
        let_go(py, proxy);
        Ok(())
    }

    /// Notes that a change was refused before it came here.
    fn rejected(&self, py: Python<'_>, revision: u64, why: &str) -> PyResult<()> {
        self.read(py, |proxy| proxy.rejected(revision, why))
    }

    /// What is in force and how it fares, as JSON.
    fn status(&self, py: Python<'_>) -> PyResult<String> {
        self.read(py, meshcore_proxy::Proxy::status)
    }

    /// Where it listens, as JSON.
    fn addresses(&self, py: Python<'_>) -> PyResult<String> {
        let listen = self.read(py, |proxy| serde_json::to_string(proxy.addresses()))?;
        listen.map_err(|error| Error::Json { what: "addresses", error }.into())
    }

    /// All metrics in Prometheus' text format.
    #[pyo3(signature = (openmetrics = false))]
    fn metrics<'py>(&self, py: Python<'py>, openmetrics: bool) -> PyResult<Bound<'py, PyBytes>> {
        let text = self.read(py, |proxy| proxy.metrics(openmetrics))?;
        Ok(PyBytes::new(py, &text))
    }

    /// All metrics as families (name, help, kind, names of labels, samples), and the upper
    /// bounds of histograms.
    fn totals(&self, py: Python<'_>) -> PyResult<(Vec<FamilyTuple>, Vec<&'static str>)> {
        self.read(py, |proxy| totals::tuples(proxy.totals()))
    }

    /// Asks `function` at each scrape for what Python adds to the metrics, as bytes.
    fn on_scrape(&self, function: Py<PyAny>) {
        self.hooks.scrape.ask(function);
    }

    /// Makes all decisions that are remembered be made anew.
    fn forget_decisions(&self) {
        self.hooks.invalidate();
    }

    /// What people are to be told that has happened since the last call.
    fn take_notices(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.read(py, meshcore_proxy::Proxy::take_notices)
    }

    /// Opens log files again, after they were renamed.
    fn reopen_logs(&self, py: Python<'_>) -> PyResult<()> {
        self.read(py, meshcore_proxy::Proxy::reopen_logs)
    }

    /// Stops accepting, lets requests end, then ends.
    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        self.read(py, meshcore_proxy::Proxy::drain)
    }

    /// All listening sockets, as pairs of a purpose and a descriptor, which the caller closes.
    fn sockets(&self, py: Python<'_>) -> PyResult<Vec<(String, i32)>> {
        let sockets = self.read(py, meshcore_proxy::Proxy::sockets)?.map_err(Error::Sockets)?;
        Ok(sockets.into_iter().map(|(purpose, one)| (purpose, one.into_raw_fd())).collect())
    }

    /// Drains, and leaves the pages of the control thread to the process that has the sockets.
    fn hand_over(&self, py: Python<'_>) -> PyResult<()> {
        self.read(py, meshcore_proxy::Proxy::hand_over)
    }

    /// Waits until all threads have ended, at most `seconds`; whether they have.
    #[pyo3(signature = (seconds = None))]
    fn wait(&self, py: Python<'_>, seconds: Option<f64>) -> PyResult<bool> {
        let Ok(proxy) = self.running() else { return Ok(true) };
        let within = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let until = within.and_then(|within| Instant::now().checked_add(within));
        let ended = wait_until(py, &proxy, until);
        let_go(py, proxy);
        ended
    }

    /// Ends at once, and waits for its threads.
    fn stop(&self, py: Python<'_>) {
        if self.process != std::process::id() {
            return;
        }
        let proxy = self.running.lock().take();
        let hooks = Arc::clone(&self.hooks);
        py.detach(move || {
            if let Some(proxy) = &proxy {
                proxy.stop();
            }
            drop(proxy);
            hooks.stop(HOOKS_WITHIN);
        });
    }
}

impl Proxy {
    fn running(&self) -> Result<Arc<meshcore_proxy::Proxy>, Error> {
        if self.process != std::process::id() {
            return Err(Error::Forked);
        }
        self.running.lock().clone().ok_or(Error::Stopped)
    }

    fn read<T: Send>(
        &self,
        py: Python<'_>,
        read: impl FnOnce(&meshcore_proxy::Proxy) -> T + Send,
    ) -> PyResult<T> {
        let proxy = self.running()?;
        let found = py.detach(|| read(&proxy));
        let_go(py, proxy);
        Ok(found)
    }

    /// After a change: the hooks of before are forgotten, or else the new ones.
    fn settle_hooks(&self, ids: Vec<u32>, are_in_force: bool) {
        let mut in_force = self.hook_ids.lock();
        if are_in_force {
            self.hooks.retire_others(&ids);
            *in_force = ids;
        } else {
            let new: Vec<_> = ids.into_iter().filter(|id| !in_force.contains(id)).collect();
            self.hooks.withdraw(&new);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let running = self.running.get_mut().take();
        if self.process != std::process::id() {
            // The threads are another process': there is nobody to end or to wait for.
            std::mem::forget(running);
            return;
        }
        let hooks = Arc::clone(&self.hooks);
        let end = move || {
            drop(running);
            hooks.stop(HOOKS_WITHIN);
        };
        // Its threads may wait for the interpreter, which we must not keep meanwhile.
        if Python::try_attach(|_| ()).is_some() {
            Python::attach(|py| py.detach(end));
        } else {
            end();
        }
    }
}

/// Drops what may be the last reference, which waits for threads that may wait for Python.
fn let_go(py: Python<'_>, proxy: Arc<meshcore_proxy::Proxy>) {
    py.detach(move || drop(proxy));
}

fn wait_until(
    py: Python<'_>,
    proxy: &meshcore_proxy::Proxy,
    until: Option<Instant>,
) -> PyResult<bool> {
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let slice = left.map_or(SIGNALS_EVERY, |left| left.min(SIGNALS_EVERY));
        let has_ended = py.detach(|| {
            let has_ended = proxy.has_ended();
            if !has_ended {
                std::thread::park_timeout(slice);
            }
            has_ended
        });
        py.check_signals()?;
        if has_ended || left == Some(Duration::ZERO) {
            return Ok(has_ended);
        }
    }
}

pub(crate) fn read<T: DeserializeOwned>(what: &'static str, json: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(json).map_err(|error| Error::Json { what, error })
}
