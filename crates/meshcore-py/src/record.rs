//! Finished requests, as telemetry hooks see them.

use meshcore_proxy::hooks::RequestRecord;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::attribute;
use crate::error::UndeclaredAttribute;

/// A finished request.
#[pyclass(frozen, module = "meshcore._native")]
#[derive(Debug)]
pub(crate) struct Record(RequestRecord);

// === impl Record ===

impl Record {
    pub(crate) const fn new(record: RequestRecord) -> Self {
        Self(record)
    }
}

#[pymethods]
impl Record {
    #[getter]
    fn direction(&self) -> &str {
        self.0.direction
    }

    #[getter]
    fn method(&self) -> &str {
        &self.0.method
    }

    #[getter]
    fn host(&self) -> &str {
        &self.0.host
    }

    #[getter]
    fn path(&self) -> &str {
        &self.0.path
    }

    #[getter]
    fn status(&self) -> u16 {
        self.0.status
    }

    #[getter]
    fn flags(&self) -> &str {
        &self.0.flags
    }

    #[getter]
    fn principal(&self) -> &str {
        &self.0.source_principal
    }

    #[getter]
    fn service(&self) -> &str {
        &self.0.destination_service
    }

    #[getter]
    fn route(&self) -> &str {
        &self.0.route
    }

    #[getter]
    fn duration_us(&self) -> u64 {
        self.0.duration_us
    }

    #[getter]
    fn request_bytes(&self) -> u64 {
        self.0.request_bytes
    }

    #[getter]
    fn response_bytes(&self) -> u64 {
        self.0.response_bytes
    }

    /// A declared attribute.
    fn attribute(&self, name: &str) -> PyResult<Option<&str>> {
        let attribute = attribute::parse(name)
            .ok_or_else(|| PyValueError::new_err(format!("unknown attribute {name:?}")))?;
        let found = self.0.attributes.iter().find(|(known, _)| *known == attribute);
        found.map(|(_, value)| value.as_deref()).ok_or_else(|| {
            UndeclaredAttribute::new_err(format!(
                "{name} was not recorded, write reads=[\"{name}\"] at the telemetry hook"
            ))
        })
    }

    fn __repr__(&self) -> String {
        let RequestRecord { direction, method, host, path, status, .. } = &self.0;
        format!("<Record {direction} {method} {host}{path} {status}>")
    }
}
