//! Certificates of a control plane, for a sidecar.

use std::time::Duration;

use meshcore_discovery::certificates::{self, EnrolError};
use meshcore_model::Identity;
use meshcore_tls::TrustBundle;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use serde::Deserialize;

use crate::error::Error;
use crate::materials::Materials;

/// A certificate, its key, and the roots that were trusted when it was made.
#[pyclass(frozen, module = "meshcore._native")]
#[derive(Debug)]
pub(crate) struct Credentials(pub(crate) certificates::Credentials);

/// Gets the certificates of one identity.
#[pyclass(frozen, module = "meshcore._native")]
#[derive(Debug)]
pub(crate) struct Enrolment(certificates::Enrolment);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OptionsModel {
    address: String,
    token: Option<String>,
    roots: Option<String>,
    control: Option<Identity>,
    plain: bool,
    ttl_seconds: u64,
    deadline_ms: u64,
}

#[pymethods]
impl Credentials {
    /// Puts credentials together that were kept: PEM of the chain, its key, and the roots of each
    /// trust domain.
    #[new]
    #[expect(clippy::needless_pass_by_value, reason = "owned, to go where Python is not")]
    fn new(
        py: Python<'_>,
        chain: PyBackedBytes,
        key: PyBackedBytes,
        roots: Vec<(String, PyBackedBytes)>,
    ) -> PyResult<Self> {
        let read = || -> Result<_, Error> {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let roots = roots.iter().map(|(domain, pem)| (domain.clone(), text(pem))).collect();
            Ok(certificates::Credentials::new(text(&chain), text(&key), roots)?)
        };
        Ok(Self(py.detach(read)?))
    }

    /// PEM of the leaf and those above it.
    #[getter]
    fn chain(&self) -> &str {
        &self.0.chain_pem
    }

    /// PEM of the key. Keep it secret.
    #[getter]
    fn key(&self) -> &str {
        &self.0.key_pem
    }

    /// PEM of the roots, by trust domain.
    #[getter]
    fn roots(&self) -> Vec<(String, String)> {
        self.0.roots.clone()
    }

    /// The identity in the certificate.
    #[getter]
    fn identity(&self) -> &str {
        self.0.materials().identity().as_str()
    }

    /// Its serial number in lower-case hex.
    #[getter]
    fn serial(&self) -> &str {
        self.0.materials().serial()
    }

    /// Beginning of its validity in unix seconds.
    #[getter]
    fn not_before(&self) -> u64 {
        self.0.materials().not_before()
    }

    /// End of its validity in unix seconds.
    #[getter]
    fn not_after(&self) -> u64 {
        self.0.materials().not_after()
    }

    /// The certificate with its own roots, or with others, that are pairs of a trust domain and
    /// PEM. `aliases` are pairs of a trust domain and the one whose roots vouch for it.
    #[pyo3(signature = (roots = None, aliases = Vec::new()))]
    fn materials(
        &self,
        py: Python<'_>,
        roots: Option<Vec<(String, PyBackedBytes)>>,
        aliases: Vec<(String, String)>,
    ) -> PyResult<Materials> {
        let read = || -> Result<_, Error> {
            let bundle = match roots {
                Some(roots) => TrustBundle::from_pem(roots)?,
                None => TrustBundle::from_pem(self.0.roots.iter().map(|(of, pem)| (of, pem)))?,
            };
            let (chain, key) = (self.0.chain_pem.as_bytes(), self.0.key_pem.as_bytes());
            let bundle = bundle.with_aliases(aliases)?;
            Ok(meshcore_tls::Materials::from_pem(chain, key, bundle)?)
        };
        Ok(Materials::from_native(py.detach(read)?))
    }

    /// Whether it is of the root with this SHA-256 of its DER, in lower-case hex.
    fn is_of_root(&self, py: Python<'_>, digest: &str) -> bool {
        py.detach(|| self.0.is_of_root(digest))
    }

    fn __repr__(&self) -> String {
        format!("<Credentials {} serial={}>", self.identity(), self.serial())
    }
}

#[pymethods]
impl Enrolment {
    /// Takes options as JSON, and credentials that were kept from before.
    #[new]
    #[pyo3(signature = (options, credentials = None))]
    fn new(
        py: Python<'_>,
        options: &[u8],
        credentials: Option<&Bound<'_, Credentials>>,
    ) -> PyResult<Self> {
        let options: OptionsModel = serde_json::from_slice(options)
            .map_err(|error| Error::Json { what: "options", error })?;
        let kept = credentials.map(|kept| kept.get().0.clone());
        let options = certificates::EnrolmentOptions {
            address: options.address,
            token: options.token,
            roots: options.roots,
            control: options.control,
            is_plain: options.plain,
            ttl: Duration::from_secs(options.ttl_seconds),
            deadline: Duration::from_millis(options.deadline_ms),
        };
        let enrolment = py.detach(|| certificates::Enrolment::new(options, kept));
        Ok(Self(enrolment.map_err(Error::from)?))
    }

    /// Whom the certificates are for.
    #[getter]
    fn identity(&self) -> &str {
        self.0.identity().as_str()
    }

    /// The identity that the control plane has to prove.
    #[getter]
    fn control(&self) -> &str {
        self.0.control().as_str()
    }

    /// Asks for a certificate for a new key. Waits.
    fn issue(&self, py: Python<'_>) -> PyResult<Credentials> {
        let issue = || -> Result<_, Error> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| EnrolError::Unreachable(error.to_string()))?;
            Ok(runtime.block_on(self.0.issue())?)
        };
        Ok(Credentials(py.detach(issue)?))
    }
}
