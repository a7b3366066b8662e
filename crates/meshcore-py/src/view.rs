//! What hooks see: objects that read where the bytes are, and nothing once the hook has returned.
//!
//! An object has no reference to the request. It has the number of its call; the request of the
//! call that runs on this thread is found in [`SIGHT`], which is set for the time of the call.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use meshcore_model::Attribute;
use meshcore_proxy::hooks::{Facts, View};
use pyo3::exceptions::{PyAttributeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};
use scoped_tls_hkt::scoped_thread_local;

use crate::attribute;
use crate::error::{RequestGone, UndeclaredAttribute};
use crate::hooks::Entry;

/// A request, and in its stage the response, while a hook is called on this thread.
#[derive(Clone, Copy)]
pub(crate) struct Sight<'a> {
    view: &'a View<'a>,
    entry: &'a Entry,
    call: u64,
}

scoped_thread_local!(static SIGHT: for<'a> Sight<'a>);

/// Where an object finds its request.
#[derive(Debug, Clone)]
enum Source {
    /// With the call of this number, on the thread that it runs on.
    Call(u64),
    /// In a copy, on any thread, until the hook has returned.
    Copy(Arc<Copied>),
}

/// A request that was copied for a call on another thread.
#[derive(Debug)]
pub(crate) struct Copied {
    facts: Facts,
    entry: Arc<Entry>,
    is_gone: AtomicBool,
}

/// A request, while a hook is called.
#[pyclass(frozen, module = "meshcore._native")]
#[derive(Debug)]
pub(crate) struct Request(Source);

/// A response, while a hook is called.
#[pyclass(frozen, module = "meshcore._native")]
#[derive(Debug)]
pub(crate) struct Response(Source);

/// Header fields by name, in any case; one that is missing is `None`.
#[pyclass(frozen, mapping, module = "meshcore._native")]
#[derive(Debug)]
pub(crate) struct Headers {
    source: Source,
    is_response: bool,
}

/// Calls a hook on this thread with objects that see the request as long as the call lasts.
pub(crate) fn call_here<'py>(
    py: Python<'py>,
    entry: &Entry,
    view: &View<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    let call = next_call();
    SIGHT.set(Sight { view, entry, call }, || {
        let function = entry.function.bind(py);
        let request = Request(Source::Call(call));
        if view.response.is_some() {
            function.call1((request, Response(Source::Call(call))))
        } else {
            function.call1((request,))
        }
    })
}

// === impl Copied ===

impl Copied {
    pub(crate) fn new(facts: Facts, entry: Arc<Entry>) -> Arc<Self> {
        Arc::new(Self { facts, entry, is_gone: AtomicBool::new(false) })
    }

    /// Calls the hook with objects that see the copy until [`Self::forget`].
    pub(crate) fn call<'py>(self: &Arc<Self>, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let function = self.entry.function.bind(py);
        let request = Request(Source::Copy(Arc::clone(self)));
        if self.entry.hook.stage == meshcore_model::HookStage::OnResponse {
            function.call1((request, Response(Source::Copy(Arc::clone(self)))))
        } else {
            function.call1((request,))
        }
    }

    /// The hook has returned.
    pub(crate) fn forget(&self) {
        self.is_gone.store(true, Ordering::Relaxed);
    }
}

// === impl Source ===

impl Source {
    fn read<T>(
        &self,
        attribute: &Attribute,
        see: impl FnOnce(Option<&[u8]>) -> PyResult<T>,
    ) -> PyResult<T> {
        match self {
            Self::Call(call) => with_sight(*call, |sight| {
                check(sight.entry, attribute)?;
                sight.view.read(attribute, see)
            }),
            Self::Copy(copied) => {
                copied.check_here()?;
                check(&copied.entry, attribute)?;
                see(copied.facts.read(attribute).flatten())
            }
        }
    }

    /// Names of all fields, in lower case, each once. Only a hook without `reads=` sees them.
    fn header_names(&self, is_response: bool) -> PyResult<Vec<String>> {
        let mut names = Vec::new();
        let mut add = |name: &[u8]| {
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            if !names.contains(&name) {
                names.push(name);
            }
        };
        match self {
            Self::Call(call) => with_sight(*call, |sight| {
                check_names(sight.entry, is_response)?;
                if !is_response {
                    sight.view.request.fields.iter().for_each(|(name, _, _)| add(name));
                } else if let Some(response) = sight.view.response {
                    response.fields.iter().for_each(|(name, _, _)| add(name));
                }
                Ok(())
            })?,
            Self::Copy(copied) => {
                copied.check_here()?;
                check_names(&copied.entry, is_response)?;
                for (attribute, _) in copied.facts.iter() {
                    match attribute {
                        Attribute::Header(name) if !is_response => add(name.as_bytes()),
                        Attribute::ResponseHeader(name) if is_response => add(name.as_bytes()),
                        _ => {}
                    }
                }
            }
        }
        Ok(names)
    }

    fn text<'py>(
        &self,
        py: Python<'py>,
        attribute: &Attribute,
    ) -> PyResult<Option<Bound<'py, PyString>>> {
        self.read(attribute, |value| value.map(|value| text(py, value)).transpose())
    }

    /// A text that every request has.
    fn always<'py>(
        &self,
        py: Python<'py>,
        attribute: &Attribute,
    ) -> PyResult<Bound<'py, PyString>> {
        self.read(attribute, |value| text(py, value.unwrap_or_default()))
    }

    fn number(&self, attribute: &Attribute) -> PyResult<u16> {
        self.read(attribute, |value| {
            let text = value.and_then(|value| std::str::from_utf8(value).ok());
            text.and_then(|text| text.parse().ok())
                .ok_or_else(|| PyAttributeError::new_err("there is no response yet"))
        })
    }

    fn named<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyString>>> {
        let attribute = attribute::parse(name)
            .ok_or_else(|| PyValueError::new_err(format!("unknown attribute {name:?}")))?;
        self.text(py, &attribute)
    }
}

impl Copied {
    fn check_here(&self) -> PyResult<()> {
        if self.is_gone.load(Ordering::Relaxed) { Err(gone()) } else { Ok(()) }
    }
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
    #[expect(clippy::type_complexity, reason = "names and values")]
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

/// Numbers of calls, of which each thread takes many at a time.
fn next_call() -> u64 {
    const TAKEN_AT_ONCE: u64 = 1 << 20;
    static NEXT: AtomicU64 = AtomicU64::new(0);
    thread_local!(static MINE: Cell<u64> = const { Cell::new(0) });
    let before = MINE.get();
    let call = if before.is_multiple_of(TAKEN_AT_ONCE) {
        NEXT.fetch_add(TAKEN_AT_ONCE, Ordering::Relaxed)
    } else {
        before
    };
    MINE.set(call.wrapping_add(1));
    call
}

fn with_sight<T>(call: u64, see: impl FnOnce(Sight<'_>) -> PyResult<T>) -> PyResult<T> {
    if !SIGHT.is_set() {
        return Err(gone());
    }
    SIGHT.with(|sight| if sight.call == call { see(sight) } else { Err(gone()) })
}

fn gone() -> PyErr {
    RequestGone::new_err(
        "the hook that this request was given to has returned, keep what you need of it instead",
    )
}

fn check(entry: &Entry, attribute: &Attribute) -> PyResult<()> {
    if entry.may_read(attribute) {
        return Ok(());
    }
    Err(UndeclaredAttribute::new_err(entry.undeclared(&attribute::name(attribute))))
}

fn check_names(entry: &Entry, is_response: bool) -> PyResult<()> {
    if entry.hook.reads.is_none() {
        return Ok(());
    }
    let side = if is_response { "response" } else { "request" };
    Err(UndeclaredAttribute::new_err(format!(
        "hook {} has reads, so it cannot list the headers of the {side}, name the ones it needs",
        entry.hook.name
    )))
}

/// Bytes outside of UTF-8 become surrogates, so that different bytes stay different.
fn text<'py>(py: Python<'py>, value: &[u8]) -> PyResult<Bound<'py, PyString>> {
    if let Ok(value) = std::str::from_utf8(value) {
        return Ok(PyString::new(py, value));
    }
    let bytes = PyBytes::new(py, value);
    Ok(bytes.call_method1("decode", ("utf-8", "surrogateescape"))?.cast_into()?)
}

fn iterator(py: Python<'_>, names: Vec<String>) -> PyResult<Bound<'_, PyAny>> {
    Ok(PyList::new(py, names)?.try_iter()?.into_any())
}
