//! The certificate authority, for `meshcore cert` and the control plane.

use std::time::Duration;

use meshcore_model::Identity;
use meshcore_tls::ca;
use pyo3::prelude::*;

use crate::error::Error;

/// An authority, ready to sign.
#[pyclass(frozen, module = "meshcore._native")]
#[derive(Debug)]
pub(crate) struct Authority(ca::Authority);

/// A signed certificate.
#[pyclass(frozen, get_all, module = "meshcore._native")]
#[derive(Clone)]
pub(crate) struct Issued {
    /// PEM of the leaf and of the intermediates above it.
    chain: String,
    /// PEM of the private key; `None` if its owner made it.
    key: Option<String>,
    /// PEM of the root.
    root: String,
    /// Serial number in lower-case hex.
    serial: String,
    /// End of validity in unix seconds.
    not_after: u64,
}

/// Makes a key and a certificate request for an identity; returns both as PEM, the request first.
#[pyfunction]
pub(crate) fn new_csr(py: Python<'_>, identity: &str) -> PyResult<(String, String)> {
    let csr = py.detach(|| -> Result<_, Error> { Ok(ca::new_csr(&identity.parse()?)?) })?;
    Ok((csr.csr_pem, csr.key_pem))
}

#[pymethods]
impl Authority {
    /// Makes a self-signed root for a trust domain.
    #[staticmethod]
    fn create(py: Python<'_>, trust_domain: &str, validity_seconds: u64) -> PyResult<Self> {
        let validity = Duration::from_secs(validity_seconds);
        let create = || ca::Authority::create(trust_domain, validity).map_err(Error::from);
        Ok(Self(py.detach(create)?))
    }

    /// Reads an authority: its certificate and those above it, and its key, as PEM.
    #[staticmethod]
    fn load(py: Python<'_>, certificate: &str, key: &str) -> PyResult<Self> {
        let load = || ca::Authority::load(certificate, key).map_err(Error::from);
        Ok(Self(py.detach(load)?))
    }

    /// Makes a key and signs it.
    fn issue(&self, py: Python<'_>, identity: &str, ttl_seconds: u64) -> PyResult<Issued> {
        let issue = || -> Result<_, Error> {
            let identity: Identity = identity.parse()?;
            Ok(self.0.issue(&identity, Duration::from_secs(ttl_seconds))?)
        };
        let issued = py.detach(issue)?;
        Ok(Issued {
            chain: issued.chain_pem,
            key: Some(issued.key_pem),
            root: issued.root_pem,
            serial: issued.serial,
            not_after: issued.not_after,
        })
    }

    /// Signs the key of a certificate request for an identity that was authenticated.
    fn sign_csr(
        &self,
        py: Python<'_>,
        csr: &str,
        identity: &str,
        ttl_seconds: u64,
    ) -> PyResult<Issued> {
        let sign = || -> Result<_, Error> {
            let identity: Identity = identity.parse()?;
            Ok(self.0.sign_csr(csr, &identity, Duration::from_secs(ttl_seconds))?)
        };
        let issued = py.detach(sign)?;
        Ok(Issued {
            chain: issued.chain_pem,
            key: None,
            root: issued.root_pem,
            serial: issued.serial,
            not_after: issued.not_after,
        })
    }

    /// PEM of the authority's certificate and those above it, the root last.
    #[getter]
    fn certificate(&self) -> String {
        self.0.cert_pem()
    }

    /// PEM of the authority's key. Keep it secret.
    #[getter]
    fn key(&self) -> String {
        self.0.key_pem()
    }

    /// PEM of the root.
    #[getter]
    fn root(&self) -> &str {
        self.0.root_pem()
    }

    /// When the first certificate of its chain ends, in unix seconds.
    #[getter]
    fn not_after(&self) -> u64 {
        self.0.not_after()
    }
}

#[pymethods]
impl Issued {
    fn __repr__(&self) -> String {
        format!("<Issued serial={} not_after={}>", self.serial, self.not_after)
    }
}
