//! Errors of the data plane as Python's exceptions. They are defined in `meshcore.errors`, so
//! that Python can raise them too.

use meshcore_discovery::certificates::EnrolError;
use meshcore_discovery::server::UpdateError;
use meshcore_model::InvalidIdentity;
use meshcore_proxy::{ApplyError, StartError};
use meshcore_tls::MaterialsError;
use meshcore_tls::ca::CaError;
use meshcore_tls::store::StoreError;
use pyo3::prelude::*;

use crate::control_plane::ControlStartError;

mod imported {
    use pyo3::import_exception;

    import_exception!(meshcore.errors, CertificateError);
    import_exception!(meshcore.errors, NativeError);
    import_exception!(meshcore.errors, PluginError);
    import_exception!(meshcore.errors, RequestGone);
    import_exception!(meshcore.errors, SnapshotRejected);
    import_exception!(meshcore.errors, StaleRevision);
    import_exception!(meshcore.errors, StartFailed);
    import_exception!(meshcore.errors, UndeclaredAttribute);
    import_exception!(meshcore.errors, Unreachable);
}

use imported::Unreachable;
use imported::{CertificateError, NativeError, SnapshotRejected, StaleRevision, StartFailed};
pub(crate) use imported::{PluginError, RequestGone, UndeclaredAttribute};

/// Everything that can go wrong at this border.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Bytes from Python are not the JSON that they should be.
    #[error("{what} cannot be read: {error}")]
    Json {
        /// Of what.
        what: &'static str,
        /// Why.
        error: serde_json::Error,
    },
    /// The process was forked after the data plane had started.
    #[error("this process was forked from the one that runs the data plane, start another here")]
    Forked,
    /// The data plane was stopped.
    #[error("the data plane has been stopped, start another")]
    Stopped,
    /// There are no descriptors for the sockets that are to be handed over.
    #[error("the sockets cannot be handed over: {0}")]
    Sockets(std::io::Error),
    /// Nothing proves who the control plane is, or who we are.
    #[error("the control plane is reached with a certificate and its identity, or in plain text")]
    NoProof,
    /// The thread of the client of a control plane cannot be started.
    #[error("the client of the control plane does not start: {0}")]
    Client(std::io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Control(#[from] ControlStartError),
    #[error(transparent)]
    Update(#[from] UpdateError),
    #[error(transparent)]
    Materials(#[from] MaterialsError),
    #[error(transparent)]
    Authority(#[from] CaError),
    #[error(transparent)]
    Identity(#[from] InvalidIdentity),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Enrol(#[from] EnrolError),
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Json { .. }
            | Error::Start(StartError::Rejected(_))
            | Error::Apply(ApplyError::Rejected(_) | ApplyError::Gateway { .. })
            | Error::Update(UpdateError::Refused { .. }) => SnapshotRejected::new_err(text),
            Error::Update(UpdateError::Stale { offered, current }) => {
                StaleRevision::new_err((offered, current))
            }
            Error::Apply(ApplyError::Stale(stale)) => {
                StaleRevision::new_err((stale.offered, stale.current))
            }
            Error::Control(_)
            | Error::Start(
                StartError::Listen { .. }
                | StartError::Gateway(_)
                | StartError::Taken { .. }
                | StartError::Moved { .. }
                | StartError::AccessLog(_)
                | StartError::Thread(_),
            )
            | Error::NoProof
            | Error::Client(_) => StartFailed::new_err(text),
            Error::Materials(_)
            | Error::Authority(_)
            | Error::Identity(_)
            | Error::Store(_)
            | Error::Enrol(EnrolError::Refused(_)) => CertificateError::new_err(text),
            Error::Enrol(EnrolError::Unreachable(_)) => Unreachable::new_err(text),
            Error::Forked
            | Error::Stopped
            | Error::Sockets(_)
            | Error::Apply(ApplyError::AccessLog(_)) => NativeError::new_err(text),
        }
    }
}
