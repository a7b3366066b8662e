//! What a hook returned, as a decision for its stage.

use std::sync::Arc;

use meshcore_model::HookStage;
use meshcore_proxy::hooks::{Decision, Denial, Edits, HookError, RouteTo};
use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString, PyTuple, PyType};

/// Longest text of an error or of junk that is repeated to others, in characters.
const MAX_SHOWN: usize = 500;

/// What a hook may add to a head, in bytes: as much as the largest head that most servers take.
const MAX_EDIT_BYTES: usize = 64 * 1024;
/// Header fields that a hook cannot change. Source: `FRAMING` in `meshcore.plugin.decisions`.
const FRAMING: [&[u8]; 9] = [
    b"connection",
    b"content-length",
    b"host",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];

/// What one hook allowed last, with the tuples that it was read from. Most hooks return one decision
/// again and again, and a tuple of texts does not change.
#[derive(Default)]
pub(crate) struct LastAllowed(Mutex<Option<Arc<Allowed>>>);

struct Allowed {
    set: Py<PyTuple>,
    remove: Py<PyTuple>,
    edits: Arc<Edits>,
}

/// The decisions of `meshcore.plugin.decisions`, looked up once.
struct Vocabulary {
    allow: Py<PyAny>,
    abstain: Py<PyAny>,
    deny: Py<PyAny>,
    allow_type: Py<PyType>,
    abstain_type: Py<PyType>,
    deny_type: Py<PyType>,
    route_type: Py<PyType>,
    modify_type: Py<PyType>,
}

/// The decision that a hook of this stage returned; `last` is for this hook alone.
///
/// # Errors
///
/// [`HookError::Nonsense`] when it is none, or none for this stage.
pub(crate) fn decision(
    stage: HookStage,
    last: &LastAllowed,
    value: &Bound<'_, PyAny>,
) -> Result<Decision, HookError> {
    let words = Vocabulary::of(value.py()).map_err(|error| raised(value.py(), &error))?;
    if let Some(edits) = last.recall(words, value) {
        return Ok(Decision::Allow(edits));
    }
    match known(words, value).map_err(|error| raised(value.py(), &error))? {
        Some(decision) if is_for(stage, &decision) => {
            check(stage, &decision)?;
            last.keep(value, &decision);
            Ok(decision)
        }
        None if value.is_none() && stage != HookStage::Authorize => Ok(Decision::Abstain),
        _ => Err(HookError::Nonsense(format!("{}, {}", shown(value), expected(stage)))),
    }
}

/// Checks a decision that may come from where nobody checked it: a plugin may have changed what
/// makes decisions, and a process may say anything.
///
/// # Errors
///
/// [`HookError::Nonsense`] when it is none for this stage, or edits what the proxy alone writes.
pub(crate) fn check(stage: HookStage, decision: &Decision) -> Result<(), HookError> {
    let is_sound = is_for(stage, decision)
        && match decision {
            Decision::Abstain | Decision::RouteTo(_) => true,
            Decision::Deny(denial) => {
                let said = denial.reason.len().saturating_add(denial.code.len());
                (400..600).contains(&denial.status) && said <= MAX_EDIT_BYTES
            }
            Decision::Allow(edits) | Decision::Modify(edits) => {
                let set = edits.set.iter().map(|(name, _)| name);
                !set.chain(&edits.remove).any(|name| is_framing(name))
                    && bytes_of(edits) <= MAX_EDIT_BYTES
                    && edits.status.is_none_or(|status| (200..600).contains(&status))
            }
        };
    if is_sound {
        return Ok(());
    }
    let why = format!(
        "a decision that cannot be made here, {}, without fields that frame a message, of at most \
         {MAX_EDIT_BYTES} bytes",
        expected(stage)
    );
    Err(HookError::Nonsense(why))
}

/// As much of a text as is repeated to others.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}

/// What a hook raised.
pub(crate) fn raised(py: Python<'_>, error: &PyErr) -> HookError {
    let name = error.get_type(py).name().map(|name| name.to_string()).unwrap_or_default();
    let text = error.value(py).str().map(|text| text.to_string()).unwrap_or_default();
    let text = if text.is_empty() { name } else { format!("{name}: {text}") };
    HookError::Raised(shortened(&text))
}

fn known(words: &Vocabulary, value: &Bound<'_, PyAny>) -> PyResult<Option<Decision>> {
    let py = value.py();
    if value.is(&words.allow) {
        return Ok(Some(Decision::Allow(Arc::default())));
    }
    if value.is(&words.abstain) {
        return Ok(Some(Decision::Abstain));
    }
    if value.is(&words.deny) {
        return Ok(Some(Decision::Deny(Denial {
            status: 403,
            grpc_status: None,
            reason: "".into(),
            code: "".into(),
        })));
    }
    let kind = value.get_type();
    Ok(if kind.is(&words.allow_type) {
        Some(Decision::Allow(header_edits(value)?.into()))
    } else if kind.is(&words.abstain_type) {
        Some(Decision::Abstain)
    } else if kind.is(&words.deny_type) {
        Some(Decision::Deny(Denial {
            status: value.getattr(intern!(py, "status"))?.extract()?,
            grpc_status: value.getattr(intern!(py, "grpc_status"))?.extract()?,
            reason: text(value, intern!(py, "reason"))?.unwrap_or_else(|| "".into()),
            code: text(value, intern!(py, "code"))?.unwrap_or_else(|| "".into()),
        }))
    } else if kind.is(&words.route_type) {
        Some(Decision::RouteTo(RouteTo {
            host: text(value, intern!(py, "host"))?,
            subset: text(value, intern!(py, "subset"))?,
            reason: text(value, intern!(py, "reason"))?.unwrap_or_else(|| "".into()),
        }))
    } else if kind.is(&words.modify_type) {
        Some(Decision::Modify(message_edits(value)?.into()))
    } else {
        None
    })
}

fn is_for(stage: HookStage, decision: &Decision) -> bool {
    match (stage, decision) {
        (_, Decision::Abstain)
        | (HookStage::Authorize | HookStage::OnRequest, Decision::Allow(_) | Decision::Deny(_))
        | (HookStage::Route, Decision::RouteTo(_)) => true,
        (HookStage::OnRequest, Decision::Modify(edits)) => {
            edits.status.is_none() && edits.body.is_none()
        }
        (HookStage::OnResponse, Decision::Modify(edits)) => edits.path.is_none(),
        (HookStage::Telemetry, _)
        | (HookStage::Authorize, Decision::RouteTo(_) | Decision::Modify(_))
        | (HookStage::Route, Decision::Allow(_) | Decision::Deny(_) | Decision::Modify(_))
        | (HookStage::OnRequest, Decision::RouteTo(_))
        | (HookStage::OnResponse, Decision::Allow(_) | Decision::Deny(_) | Decision::RouteTo(_)) => {
            false
        }
    }
}

fn is_framing(name: &[u8]) -> bool {
    FRAMING.iter().any(|framing| framing.eq_ignore_ascii_case(name))
}

/// What edits may add to a head.
fn bytes_of(edits: &Edits) -> usize {
    let fields = edits.set.iter().map(|(name, value)| name.len().saturating_add(value.len()));
    fields.fold(edits.path.as_ref().map_or(0, |path| path.len()), usize::saturating_add)
}

const fn expected(stage: HookStage) -> &'static str {
    match stage {
        HookStage::Authorize => "return allow(), deny() or abstain()",
        HookStage::Route => "return RouteTo(...) or None",
        HookStage::OnRequest => "return Modify(...) of headers and path, deny() or None",
        HookStage::OnResponse => "return Modify(...) of headers, status and body, or None",
        HookStage::Telemetry => "return None",
    }
}

fn shown(value: &Bound<'_, PyAny>) -> String {
    let text = value.repr().map(|text| text.to_string());
    text.unwrap_or_else(|_| "what cannot be shown".into()).chars().take(MAX_SHOWN).collect()
}

fn header_edits(value: &Bound<'_, PyAny>) -> PyResult<Edits> {
    let py = value.py();
    let mut edits = Edits::default();
    for pair in value.getattr(intern!(py, "set_headers"))?.try_iter()? {
        let (name, value): (Bound<'_, PyString>, Bound<'_, PyString>) = pair?.extract()?;
        edits.set.push((bytes(&name)?, bytes(&value)?));
    }
    for name in value.getattr(intern!(py, "remove_headers"))?.try_iter()? {
        edits.remove.push(bytes(name?.cast()?)?);
    }
    Ok(edits)
}

fn message_edits(value: &Bound<'_, PyAny>) -> PyResult<Edits> {
    let py = value.py();
    let mut edits = header_edits(value)?;
    let path: Option<Bound<'_, PyString>> = value.getattr(intern!(py, "path"))?.extract()?;
    edits.path = path.map(|path| bytes(&path)).transpose()?;
    edits.status = value.getattr(intern!(py, "status"))?.extract()?;
    let body: Option<Bound<'_, PyBytes>> = value.getattr(intern!(py, "body"))?.extract()?;
    edits.body = body.map(|body| Arc::from(body.as_bytes()));
    Ok(edits)
}

fn text(value: &Bound<'_, PyAny>, name: &Bound<'_, PyString>) -> PyResult<Option<Arc<str>>> {
    let text: Option<String> = value.getattr(name)?.extract()?;
    Ok(text.map(Arc::from))
}

/// Bytes of a text; those that came in as bytes outside of UTF-8 go out as they came.
fn bytes(text: &Bound<'_, PyString>) -> PyResult<Box<[u8]>> {
    if let Ok(text) = text.to_str() {
        return Ok(text.as_bytes().into());
    }
    let encoded = text.call_method1("encode", ("utf-8", "surrogateescape"))?;
    Ok(encoded.cast::<PyBytes>()?.as_bytes().into())
}

// === impl LastAllowed ===

impl LastAllowed {
    /// What an `Allow` of the same tuples changed, which was checked then.
    fn recall(&self, words: &Vocabulary, value: &Bound<'_, PyAny>) -> Option<Arc<Edits>> {
        if !value.get_type().is(&words.allow_type) {
            return None;
        }
        // Not locked while Python may run, which may wait for another thread that wants the lock.
        let last = self.0.lock().clone()?;
        let py = value.py();
        let is_same = |name, tuple: &Py<PyTuple>| value.getattr(name).is_ok_and(|it| it.is(tuple));
        (is_same(intern!(py, "set_headers"), &last.set)
            && is_same(intern!(py, "remove_headers"), &last.remove))
        .then(|| Arc::clone(&last.edits))
    }

    fn keep(&self, value: &Bound<'_, PyAny>, decision: &Decision) {
        let Decision::Allow(edits) = decision else { return };
        let py = value.py();
        let tuple = |name| Some(value.getattr(name).ok()?.cast_into_exact().ok()?.unbind());
        if let Some(set) = tuple(intern!(py, "set_headers"))
            && let Some(remove) = tuple(intern!(py, "remove_headers"))
        {
            let now = Arc::new(Allowed { set, remove, edits: Arc::clone(edits) });
            let before = self.0.lock().replace(now);
            drop(before);
        }
    }
}

// === impl Vocabulary ===

impl Vocabulary {
    fn of(py: Python<'_>) -> PyResult<&Self> {
        static WORDS: PyOnceLock<Vocabulary> = PyOnceLock::new();
        WORDS.get_or_try_init(py, || {
            let module = py.import("meshcore.plugin.decisions")?;
            let value = |name: &str| module.getattr(name).map(Bound::unbind);
            let class = |name: &str| -> PyResult<Py<PyType>> {
                Ok(module.getattr(name)?.cast_into::<PyType>()?.unbind())
            };
            Ok(Self {
                allow: value("ALLOW")?,
                abstain: value("ABSTAIN")?,
                deny: value("DENY")?,
                allow_type: class("Allow")?,
                abstain_type: class("Abstain")?,
                deny_type: class("Deny")?,
                route_type: class("RouteTo")?,
                modify_type: class("Modify")?,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_frames_a_message_is_refused_in_any_case() {
        for name in ["content-length", "Content-Length", "TRANSFER-ENCODING", "Host"] {
            let name: Box<[u8]> = name.as_bytes().into();
            let set = Edits { set: vec![(name.clone(), (*b"1").into())], ..Edits::default() };
            let remove = Edits { remove: vec![name], ..Edits::default() };
            for edits in [set, remove].map(Arc::new) {
                assert!(check(HookStage::OnRequest, &Decision::Modify(edits.clone())).is_err());
                assert!(check(HookStage::Authorize, &Decision::Allow(edits)).is_err());
            }
        }
        let edits = Edits { remove: vec![(*b"Content-Language").into()], ..Edits::default() };
        assert!(check(HookStage::OnRequest, &Decision::Modify(edits.into())).is_ok());
    }
}
