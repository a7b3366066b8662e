//! What hooks see: objects that read where the bytes are, and nothing once the hook has returned.

use meshcore_model::Attribute;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use crate::sight::{Source, text};

/// A request, while a hook is called.
#[pyclass(frozen, module = "meshcore._native")]
#[derive(Debug)]
pub(crate) struct Request(pub(crate) Source);

/// A response, while a hook is called.
#[pyclass(frozen, module = "meshcore._native")]
#[derive(Debug)]
pub(crate) struct Response(pub(crate) Source);

/// Header fields by name, in any case; one that is missing is `None`.
#[pyclass(frozen, mapping, module = "meshcore._native")]
#[derive(Debug)]
pub(crate) struct Headers {
    source: Source,
    is_response: bool,
}

#[pymethods]
impl Request {
    /// `request.method`.
    #[getter]
    fn method<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        self.0.read(&Attribute::Method, |value| match value.unwrap_or_default() {
            b"GET" => Ok(intern!(py, "GET").clone()),
            b"POST" => Ok(intern!(py, "POST").clone()),
            other => text(py, other),
        })
    }

    /// `request.path`: normalised, without the query.
    #[getter]
    fn path<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        self.0.always(py, &Attribute::Path)
    }

    /// `request.query`, without the `?`.
    #[getter]
    fn query<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyString>>> {
        self.0.text(py, &Attribute::Query)
    }

    /// `request.host`: the authority, as the client named it.
    #[getter]
    fn host<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        self.0.always(py, &Attribute::Host)
    }

    /// `request.scheme`.
    #[getter]
    fn scheme<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        self.0.always(py, &Attribute::Scheme)
    }

    /// `request.protocol`.
    #[getter]
    fn protocol<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        self.0.always(py, &Attribute::Protocol)
    }

    /// `request.headers[...]`.
    #[getter]
    fn headers(&self) -> Headers {
        Headers { source: self.0.clone(), is_response: false }
    }

    /// `source.principal`: the peer's SPIFFE identity.
    #[getter]
    fn principal<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyString>>> {
        self.0.text(py, &Attribute::SourcePrincipal)
    }

    /// `source.namespace`.
    #[getter]
    fn namespace<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyString>>> {
        self.0.text(py, &Attribute::SourceNamespace)
    }

    /// `source.ip`.
    #[getter]
    fn ip<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        self.0.always(py, &Attribute::SourceIp)
    }

    /// `destination.port`.
    #[getter]
    fn port(&self) -> PyResult<u16> {
        self.0.number(&Attribute::DestinationPort)
    }

    /// `connection.mtls`.
    #[getter]
    fn mtls(&self) -> PyResult<bool> {
        self.0.read(&Attribute::Mtls, |value| Ok(value == Some(b"true")))
    }

    /// `route.name`.
    #[getter]
    fn route<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        self.0.always(py, &Attribute::RouteName)
    }

    /// The value of an attribute by its name in `reads=`.
    fn attribute<'py>(
        &self,
        py: Python<'py>,
        name: &str,
    ) -> PyResult<Option<Bound<'py, PyString>>> {
        self.0.named(py, name)
    }

    /// The names of all headers, in lower case.
    fn header_names<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        iterator(py, self.0.header_names(false)?)
    }
}

#[pymethods]
impl Response {
    /// `response.code`.
    #[getter]
    fn status(&self) -> PyResult<u16> {
        self.0.number(&Attribute::ResponseCode)
    }

    /// `response.headers[...]`.
    #[getter]
    fn headers(&self) -> Headers {
        Headers { source: self.0.clone(), is_response: true }
    }

    /// The value of an attribute by its name in `reads=`.
    fn attribute<'py>(
        &self,
        py: Python<'py>,
        name: &str,
    ) -> PyResult<Option<Bound<'py, PyString>>> {
        self.0.named(py, name)
    }

    /// The names of all headers, in lower case.
    fn header_names<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        iterator(py, self.0.header_names(true)?)
    }
}

#[pymethods]
impl Headers {
    fn __getitem__<'py>(
        &self,
        py: Python<'py>,
        name: &str,
    ) -> PyResult<Option<Bound<'py, PyString>>> {
        self.source.text(py, &self.field(name))
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Ok(name) = name.cast::<PyString>() else { return Ok(false) };
        self.source.read(&self.field(name.to_str()?), |value| Ok(value.is_some()))
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        iterator(py, self.source.header_names(self.is_response)?)
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(self.source.header_names(self.is_response)?.len())
    }

    /// The value of a field, or `default` if the message has none.
    #[pyo3(signature = (name, default = None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let value = self.source.text(py, &self.field(name))?;
        Ok(value.map(Bound::into_any).or(default))
    }

    /// The names of all fields, in lower case.
    fn keys(&self) -> PyResult<Vec<String>> {
        self.source.header_names(self.is_response)
    }

    /// The values of all fields.
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Vec<Option<Bound<'py, PyString>>>> {
        let names = self.keys()?;
        names.iter().map(|name| self.source.text(py, &self.field(name))).collect()
    }

    /// The names and values of all fields.
    fn items<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Option<Bound<'py, PyString>>)>> {
        Ok(self.keys()?.into_iter().zip(self.values(py)?).collect())
    }
}

impl Headers {
    fn field(&self, name: &str) -> Attribute {
        let name = name.to_ascii_lowercase();
        match &*name {
            _ if self.is_response => Attribute::ResponseHeader(name),
            "host" => Attribute::Host, // which is not among the fields
            _ => Attribute::Header(name),
        }
    }
}

fn iterator(py: Python<'_>, names: Vec<String>) -> PyResult<Bound<'_, PyAny>> {
    Ok(PyList::new(py, names)?.try_iter()?.into_any())
}
