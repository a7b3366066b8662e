//! The state of a control plane's authority on disk: tokens, and the rotation of the root.

use std::path::{Path, PathBuf};
use std::time::Duration;

use meshcore_model::Identity;
use meshcore_tls::store::{Authorities, Listed, Phase, Tokens};
use pyo3::prelude::*;
use serde::Serialize;

use crate::error::Error;

/// The authority of a control plane, for who may read its directory. The control plane may run
/// meanwhile: it sees what is changed.
#[pyclass(frozen, module = "meshcore._native")]
#[derive(Debug)]
pub(crate) struct ControlState {
    authorities: Authorities,
    tokens: Tokens,
}

#[derive(Serialize)]
struct RotationModel {
    phase: &'static str,
    /// When the phase ends by itself, in unix seconds.
    until: Option<u64>,
    authorities: Vec<StandingModel>,
}

#[derive(Serialize)]
struct StandingModel {
    name: String,
    part: &'static str,
    root: String,
    not_after: u64,
}

#[derive(Serialize)]
struct TokenModel {
    id: String,
    identity: Identity,
    issued_at: u64,
    expires_at: u64,
    is_revoked: bool,
}

#[pymethods]
impl ControlState {
    /// Opens the directory; with `control`, an identity, it is made at the first time, and
    /// `cacerts` is the directory of an authority that is plugged in.
    #[new]
    #[pyo3(signature = (directory, control = None, cacerts = None))]
    #[expect(clippy::needless_pass_by_value, reason = "owned, to go where Python is not")]
    fn new(
        py: Python<'_>,
        directory: PathBuf,
        control: Option<String>,
        cacerts: Option<PathBuf>,
    ) -> PyResult<Self> {
        let open = || -> Result<_, Error> {
            let authorities = match control {
                Some(control) => {
                    Authorities::open(&directory, &control.parse()?, cacerts.as_deref())?
                }
                None => Authorities::existing(&directory)?,
            };
            let tokens = authorities.tokens()?;
            Ok(Self { authorities, tokens })
        };
        Ok(py.detach(open)?)
    }

    /// The identity of the control plane.
    #[getter]
    fn control(&self) -> &str {
        self.authorities.control().as_str()
    }

    /// PEM of all roots that are trusted now.
    fn roots(&self, py: Python<'_>) -> PyResult<String> {
        Ok(py.detach(|| self.authorities.roots()).map_err(Error::from)?)
    }

    /// Makes a token for an account of a namespace; the token, and what it is as JSON.
    fn create_token(
        &self,
        py: Python<'_>,
        namespace: &str,
        service_account: &str,
        ttl_seconds: u64,
    ) -> PyResult<(String, String)> {
        let create = || -> Result<_, Error> {
            let domain = self.authorities.control().trust_domain();
            let identity = Identity::new(domain, namespace, service_account)?;
            let ttl = Duration::from_secs(ttl_seconds);
            let token = self.tokens.create(&self.authorities, identity, ttl)?;
            let claims = &token.claims;
            let listed = TokenModel {
                id: claims.id().to_owned(),
                identity: claims.identity().clone(),
                issued_at: claims.issued_at(),
                expires_at: claims.expires_at(),
                is_revoked: false,
            };
            Ok((token.text.clone(), json(&listed)?))
        };
        Ok(py.detach(create)?)
    }

    /// The tokens that have not ended, as JSON, the oldest first.
    fn tokens(&self, py: Python<'_>) -> PyResult<String> {
        let list = || -> Result<_, Error> {
            let listed = self.tokens.list()?;
            json(&listed.into_iter().map(TokenModel::from).collect::<Vec<_>>())
        };
        Ok(py.detach(list)?)
    }

    /// Takes a token back; what it was, as JSON.
    fn revoke_token(&self, py: Python<'_>, token_id: &str) -> PyResult<String> {
        let revoke =
            || -> Result<_, Error> { json(&TokenModel::from(self.tokens.revoke(token_id)?)) };
        Ok(py.detach(revoke)?)
    }

    /// Begins a rotation of the root: a new one, or the authority in `cacerts`.
    #[pyo3(signature = (overlap_seconds, cacerts = None))]
    #[expect(clippy::needless_pass_by_value, reason = "owned, to go where Python is not")]
    fn begin_rotation(
        &self,
        py: Python<'_>,
        overlap_seconds: u64,
        cacerts: Option<PathBuf>,
    ) -> PyResult<()> {
        let overlap = Duration::from_secs(overlap_seconds);
        let begin = || self.authorities.begin(overlap, cacerts.as_deref().map(Path::new));
        Ok(py.detach(begin).map_err(Error::from)?)
    }

    /// Where a rotation stands, and the authorities, as JSON.
    fn rotation(&self, py: Python<'_>) -> PyResult<String> {
        let look = || -> Result<_, Error> {
            let (phase, standings) = self.authorities.standings()?;
            let (phase, until) = match phase {
                Phase::Stable => ("stable", None),
                Phase::Adding { signs_from } => ("adding", Some(signs_from)),
                Phase::Retiring { leaves_until } => ("retiring", Some(leaves_until)),
            };
            let authorities = standings.into_iter().map(|one| StandingModel {
                name: one.name,
                part: one.part,
                root: one.root,
                not_after: one.not_after,
            });
            json(&RotationModel { phase, until, authorities: authorities.collect() })
        };
        Ok(py.detach(look)?)
    }

    /// Ends a rotation; before the last certificate of the old root has ended only if `now`.
    #[pyo3(signature = (now = false))]
    fn finish_rotation(&self, py: Python<'_>, now: bool) -> PyResult<()> {
        Ok(py.detach(|| self.authorities.finish(now)).map_err(Error::from)?)
    }
}

impl From<Listed> for TokenModel {
    fn from(listed: Listed) -> Self {
        let Listed { id, identity, issued_at, expires_at, is_revoked } = listed;
        Self { id, identity, issued_at, expires_at, is_revoked }
    }
}

fn json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Json { what: "state", error })
}
