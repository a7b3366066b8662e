//! Plugins in processes of their own, as Python starts them and is started by them.

use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::error::PluginError;
use crate::hooks::{Connection, Process, PyHooks, Recipe, serve};
use crate::proxy::Hooks;

/// Python's signal handlers run at least this often while it waits.
const SIGNALS_EVERY: Duration = Duration::from_millis(100);

/// The process of a plugin. It ends when nothing refers to it any more.
#[pyclass(frozen, module = "meshcore._native")]
pub(crate) struct PluginProcess(Arc<Process>);

/// A hook that runs there: stands in the place of its function.
#[pyclass(frozen, module = "meshcore._native")]
pub(crate) struct ProcessHook {
    pub(crate) process: Arc<Process>,
    pub(crate) place: u32,
}

/// The other side: the connection of such a process to its sidecar.
#[pyclass(frozen, module = "meshcore._native")]
pub(crate) struct PluginConnection(Mutex<Option<Connection>>);

#[pymethods]
impl PluginProcess {
    /// Starts a process, sends it a frame, and waits for one.
    #[new]
    #[expect(clippy::needless_pass_by_value, reason = "Python hands it over")]
    #[expect(clippy::too_many_arguments, reason = "five, and the interpreter")]
    fn new(
        py: Python<'_>,
        name: String,
        command: Vec<OsString>,
        environment: Vec<(OsString, OsString)>,
        hello: PyBackedBytes,
        within_seconds: f64,
    ) -> PyResult<Self> {
        let within = Duration::try_from_secs_f64(within_seconds).unwrap_or(Duration::MAX);
        let recipe = Recipe { command, environment, hello: hello.to_vec(), within };
        let mut starting = Process::start(name, recipe).map_err(PluginError::new_err)?;
        loop {
            let ready = py.detach(|| starting.wait(SIGNALS_EVERY));
            py.check_signals()?;
            if let Some(ready) = ready {
                return Ok(Self(Arc::new(ready.map_err(PluginError::new_err)?)));
            }
        }
    }

    /// The first frame that it sent.
    #[getter]
    fn hello<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.hello)
    }

    /// Stands for the hook at this place in the process.
    fn hook(&self, place: u32) -> ProcessHook {
        ProcessHook { process: Arc::clone(&self.0), place }
    }
}

#[pymethods]
impl PluginConnection {
    /// Takes standard input.
    #[new]
    fn new() -> PyResult<Self> {
        Ok(Self(Mutex::new(Some(Connection::of_standard_input()?))))
    }

    /// Waits for a frame; `None` when the sidecar is gone.
    fn receive<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let frame = py.detach(|| self.0.lock().as_mut().ok_or_else(used)?.receive())?;
        Ok(frame.map(|frame| PyBytes::new(py, &frame)))
    }

    /// Sends a frame.
    #[expect(clippy::needless_pass_by_value, reason = "owned, to go where Python is not")]
    fn send(&self, py: Python<'_>, frame: PyBackedBytes) -> PyResult<()> {
        Ok(py.detach(|| self.0.lock().as_mut().ok_or_else(used)?.send(&frame))?)
    }

    /// Calls hooks as the sidecar asks, until it is gone. The process ends soon after.
    fn serve(&self, py: Python<'_>, hooks: &Hooks) -> PyResult<()> {
        let connection = self.0.lock().take().ok_or_else(used)?;
        let host = PyHooks::new(true);
        host.add(py, hooks.callees(py))?;
        let ids = hooks.ids();
        Ok(py.detach(|| serve(&host, &ids, connection))?)
    }
}

fn used() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the connection is used already")
}
