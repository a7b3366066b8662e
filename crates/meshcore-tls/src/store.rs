//! What a control plane keeps on disk to be an authority: certificates and keys, how far a rotation
//! of the root has come, and tokens.
//!
//! ```text
//! lock                 held by whoever writes
//! authority.json       which authority signs, which are trusted
//! ca/1/                ca-cert.pem, ca-key.pem, cert-chain.pem, root-cert.pem
//! tokens/key.pem       signs tokens
//! tokens/tokens.json   which tokens were made, and which of them revoked
//! ```
//!
//! A file or directory is there whole or not at all, and on disk before anything relies on it: the
//! one step that counts is a rename. Several processes may use the directory at once: the control
//! plane sees what the command line changed at its next call.

mod authorities;
mod cacerts;
mod disk;
mod record;
mod token_list;

pub use authorities::{Authorities, Signed};
pub use record::{Phase, Standing};
pub use token_list::{Listed, Tokens};

use std::path::Path;

/// Why what is on disk cannot be used or changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A file or directory: which, and what is wrong with it.
    #[error("{path}: {reason}")]
    At {
        /// The file or directory.
        path: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// There is no control plane's state.
    #[error("{0} has no authority of a control plane, start meshcore control, or say --state")]
    Missing(String),
    /// A step of a rotation that is not the next one.
    #[error("{0}")]
    NotNow(String),
    /// The authority does not sign.
    #[error(transparent)]
    Authority(#[from] crate::ca::CaError),
    /// A token is not taken or made.
    #[error(transparent)]
    Token(#[from] crate::tokens::TokenError),
}

// === impl StoreError ===

impl StoreError {
    fn at(path: &Path, reason: impl Into<String>) -> Self {
        Self::At { path: path.display().to_string(), reason: reason.into() }
    }

    fn io(path: &Path, error: &std::io::Error) -> Self {
        Self::at(path, error.to_string().to_lowercase())
    }
}

#[cfg(test)]
mod tests;
