//! What Python adds to a scrape.

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

/// The function that is asked at each scrape, if any.
#[derive(Debug, Default)]
pub(crate) struct Scrape(Mutex<Option<Py<PyAny>>>);

impl Scrape {
    /// Asks `function` from now on.
    pub(crate) fn ask(&self, function: Py<PyAny>) {
        *self.0.lock() = Some(function);
    }

    /// What the function returns; nothing when it fails, which Python reports as unraisable.
    pub(crate) fn text(&self) -> Vec<u8> {
        if self.0.lock().is_none() {
            return Vec::new();
        }
        let asked = |py: Python<'_>| {
            let function = self.0.lock().as_ref()?.clone_ref(py);
            match function.call0(py).and_then(|text| Ok(text.extract::<PyBackedBytes>(py)?)) {
                Ok(text) => Some(text.to_vec()),
                Err(error) => {
                    error.write_unraisable(py, Some(function.bind(py)));
                    None
                }
            }
        };
        Python::try_attach(asked).flatten().unwrap_or_default()
    }
}
