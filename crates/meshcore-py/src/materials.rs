//! A workload's certificate and trust, read once.

use meshcore_tls::TrustBundle;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::error::Error;

/// A certificate chain, its key, and whom we trust.
#[pyclass(frozen, module = "meshcore._native")]
#[derive(Debug)]
pub(crate) struct Materials(meshcore_tls::Materials);

// === impl Materials ===

impl Materials {
    pub(crate) fn from_native(materials: meshcore_tls::Materials) -> Self {
        Self(materials)
    }

    pub(crate) fn to_native(&self) -> meshcore_tls::Materials {
        self.0.clone()
    }
}

#[pymethods]
impl Materials {
    /// Reads PEM: the chain (leaf first), its key, and the roots of each trust domain.
    /// `aliases` are pairs of a trust domain and the one whose roots vouch for it, `revocations`
    /// pairs of a trust domain and the CRLs of its authorities.
    #[new]
    #[pyo3(signature = (certificate, key, roots, aliases = Vec::new(), revocations = Vec::new()))]
    #[expect(clippy::needless_pass_by_value, reason = "owned, to go where Python is not")]
    #[expect(clippy::too_many_arguments, reason = "each is a file of its own")]
    fn new(
        py: Python<'_>,
        certificate: PyBackedBytes,
        key: PyBackedBytes,
        roots: Vec<(String, PyBackedBytes)>,
        aliases: Vec<(String, String)>,
        revocations: Vec<(String, PyBackedBytes)>,
    ) -> PyResult<Self> {
        let read = || -> Result<_, Error> {
            let bundle = TrustBundle::from_pem(roots)?.with_aliases(aliases)?;
            let bundle = bundle.with_revocations(revocations)?;
            Ok(meshcore_tls::Materials::from_pem(&certificate, &key, bundle)?)
        };
        Ok(Self(py.detach(read)?))
    }

    /// The identity in the certificate.
    #[getter]
    fn identity(&self) -> &str {
        self.0.identity().as_str()
    }

    /// Beginning of its validity in unix seconds.
    #[getter]
    fn not_before(&self) -> u64 {
        self.0.not_before()
    }

    /// End of its validity in unix seconds.
    #[getter]
    fn not_after(&self) -> u64 {
        self.0.not_after()
    }

    /// Its serial number in lower-case hex.
    #[getter]
    fn serial(&self) -> &str {
        self.0.serial()
    }
}
