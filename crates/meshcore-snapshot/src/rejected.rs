//! Why a mesh cannot be compiled.

use meshcore_model::Origin;

/// A resource that cannot be put in force. Nothing of its revision is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The document.
    pub origin: Box<Origin>,
    /// The field, such as `http[2].retries.statuses`.
    pub field: String,
    /// What is wrong, and what to do.
    pub reason: String,
}

impl Rejected {
    /// The field of the document, and what is wrong with it.
    pub fn new(origin: &Origin, field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { origin: Box::new(origin.clone()), field: field.into(), reason: reason.into() }
    }
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}", self.origin, self.field, self.reason)
    }
}

impl std::error::Error for Rejected {}

/// What is wrong with a value, before it is known which document it stands in.
pub(crate) type Reason = String;
