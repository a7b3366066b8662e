//! Where the objects that hooks see find their request.
//!
//! An object has no reference to the request. It has the number of its call; the request of the
//! call that runs on this thread is found in [`SIGHT`], which is set for the time of the call.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use meshcore_model::{Attribute, HookStage};
use meshcore_proxy::hooks::{Facts, View};
use pyo3::exceptions::{PyAttributeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use scoped_tls_hkt::scoped_thread_local;

use crate::attribute;
use crate::error::{RequestGone, UndeclaredAttribute};
use crate::hooks::Entry;
use crate::view::{Request, Response};

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
pub(crate) enum Source {
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
        if self.entry.hook.stage == HookStage::OnResponse {
            function.call1((request, Response(Source::Copy(Arc::clone(self)))))
        } else {
            function.call1((request,))
        }
    }

    /// The hook has returned.
    pub(crate) fn forget(&self) {
        self.is_gone.store(true, Ordering::Relaxed);
    }

    fn check_here(&self) -> PyResult<()> {
        if self.is_gone.load(Ordering::Relaxed) { Err(gone()) } else { Ok(()) }
    }
}

// === impl Source ===

impl Source {
    pub(crate) fn read<T>(
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
    pub(crate) fn header_names(&self, is_response: bool) -> PyResult<Vec<String>> {
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
                    if let Attribute::Header(name) = attribute
                        && !is_response
                    {
                        add(name.as_bytes());
                    } else if let Attribute::ResponseHeader(name) = attribute
                        && is_response
                    {
                        add(name.as_bytes());
                    }
                }
            }
        }
        Ok(names)
    }

    pub(crate) fn text<'py>(
        &self,
        py: Python<'py>,
        attribute: &Attribute,
    ) -> PyResult<Option<Bound<'py, PyString>>> {
        self.read(attribute, |value| value.map(|value| text(py, value)).transpose())
    }

    /// A text that every request has.
    pub(crate) fn always<'py>(
        &self,
        py: Python<'py>,
        attribute: &Attribute,
    ) -> PyResult<Bound<'py, PyString>> {
        self.read(attribute, |value| text(py, value.unwrap_or_default()))
    }

    pub(crate) fn number(&self, attribute: &Attribute) -> PyResult<u16> {
        self.read(attribute, |value| {
            let text = value.and_then(|value| std::str::from_utf8(value).ok());
            text.and_then(|text| text.parse().ok())
                .ok_or_else(|| PyAttributeError::new_err("there is no response yet"))
        })
    }

    pub(crate) fn named<'py>(
        &self,
        py: Python<'py>,
        name: &str,
    ) -> PyResult<Option<Bound<'py, PyString>>> {
        let attribute = attribute::parse(name)
            .ok_or_else(|| PyValueError::new_err(format!("unknown attribute {name:?}")))?;
        self.text(py, &attribute)
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
pub(crate) fn text<'py>(py: Python<'py>, value: &[u8]) -> PyResult<Bound<'py, PyString>> {
    if let Ok(value) = std::str::from_utf8(value) {
        return Ok(PyString::new(py, value));
    }
    let bytes = PyBytes::new(py, value);
    Ok(bytes.call_method1("decode", ("utf-8", "surrogateescape"))?.cast_into()?)
}
