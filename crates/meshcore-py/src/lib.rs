//! `meshcore._native`: the data plane as Python sees it.
//!
//! Every call converts, lets go of the interpreter, calls a plain function, and maps its error.
//! Hooks go the other way: see [`hooks`].
#![forbid(unsafe_code)]

mod answer;
mod attribute;
mod authority;
mod control_plane;
mod control_state;
mod discovery;
mod enrolment;
mod error;
mod hooks;
mod materials;
mod plugin_process;
mod proxy;
mod record;
mod sight;
mod totals;
mod view;

use mimalloc::MiMalloc;
use pyo3::prelude::*;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The data plane. Import `meshcore.native`, which wraps it.
#[pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use super::authority::{Authority, Issued, new_csr};
    #[pymodule_export]
    use super::control_plane::ControlPlane;
    #[pymodule_export]
    use super::control_state::ControlState;
    #[pymodule_export]
    use super::discovery::Discovery;
    #[pymodule_export]
    use super::enrolment::{Credentials, Enrolment};
    #[pymodule_export]
    use super::materials::Materials;
    #[pymodule_export]
    use super::plugin_process::{PluginConnection, PluginProcess, ProcessHook};
    #[pymodule_export]
    use super::proxy::{Hooks, Proxy};
    #[pymodule_export]
    use super::record::Record;
    #[pymodule_export]
    use super::view::{Headers, Request, Response};
}
