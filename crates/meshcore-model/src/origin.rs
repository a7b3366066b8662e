//! Where a resource was written, so that every later decision can name the line that made it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The document a resource was compiled from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Kind of the document, such as `VirtualService`.
    pub kind: String,
    /// Namespace of the document.
    pub namespace: String,
    /// Name of the document.
    pub name: String,
    /// File it was read from; empty when it did not come from a file.
    #[serde(default)]
    pub file: String,
    /// First line of the document in `file`, counted from 1; 0 when unknown.
    #[serde(default)]
    pub line: u32,
}

impl Origin {
    /// The same document at `line`: names a rule inside it.
    #[must_use]
    pub fn at(&self, line: u32) -> Self {
        Self { line, ..self.clone() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)?;
        match (self.file.is_empty(), self.line) {
            (true, _) => Ok(()),
            (false, 0) => write!(f, " ({})", self.file),
            (false, line) => write!(f, " ({}:{line})", self.file),
        }
    }
}
