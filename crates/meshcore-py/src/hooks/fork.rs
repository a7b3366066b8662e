//! Hooks do not fork: the copy would go on as this process, with all of its connections.

use std::cell::Cell;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCFunction, PyString};

use crate::error::PluginError;

/// What Python calls it when a process is about to be copied. Source: its audit events table.
const FORKS: [&str; 2] = ["os.fork", "os.forkpty"];

thread_local! {
    static RUNS_HOOKS: Cell<bool> = const { Cell::new(false) };
}

/// This thread runs hooks from now on.
pub(crate) fn this_thread_runs_hooks() {
    RUNS_HOOKS.set(true);
}

/// Makes forks on threads that run hooks raise. Programs can still be started by `subprocess`.
///
/// # Errors
///
/// When the interpreter takes no audit hook.
pub(crate) fn refuse(py: Python<'_>) -> PyResult<()> {
    static REFUSES: PyOnceLock<()> = PyOnceLock::new();
    REFUSES.get_or_try_init(py, || {
        let check = PyCFunction::new_closure(py, None, None, |args, _kwargs| {
            if !RUNS_HOOKS.get() {
                return Ok(());
            }
            let event = args.get_item(0)?.cast_into::<PyString>()?;
            if FORKS.contains(&event.to_str()?) {
                let why = "a hook cannot fork, its copy would hold the connections of the sidecar: \
                           use subprocess";
                return Err(PluginError::new_err(why));
            }
            Ok(())
        })?;
        py.import("sys")?.call_method1("addaudithook", (check,)).map(drop)
    })?;
    Ok(())
}
