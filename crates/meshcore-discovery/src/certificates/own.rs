//! The control plane's own certificate, made by its own authority, and what the mesh trusts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meshcore_model::Trust;
use meshcore_tls::store::{Authorities, StoreError};
use meshcore_tls::{Materials, MaterialsError, MeshTls, MeshTlsOptions, TrustBundle};
use parking_lot::Mutex;

use super::counts::Counts;

/// How often is looked whether a rotation goes on, or the certificate is due.
const LOOK: Duration = Duration::from_secs(1);

/// Keeps the certificate of the control plane fresh.
#[derive(Debug)]
pub struct Own {
    authorities: Arc<Authorities>,
    tls: Arc<MeshTls>,
    ttl: Duration,
    /// Roots of other trust domains, and aliases, that are not ours to make.
    others: Trust,
    told: Mutex<Trust>,
}

/// Why the control plane has no certificate.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    /// The authority does not sign.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The roots or aliases given do not fit.
    #[error(transparent)]
    Materials(#[from] MaterialsError),
}

// === impl Own ===

impl Own {
    /// Makes the first certificate, which is valid for `ttl`. `others` are roots of other trust
    /// domains, and aliases.
    ///
    /// # Errors
    ///
    /// [`OwnError`] if the authority does not sign, or `others` has roots of our own domain.
    pub fn new(
        authorities: Arc<Authorities>,
        ttl: Duration,
        others: Trust,
    ) -> Result<Self, OwnError> {
        let materials = materials(&authorities, ttl, &others.aliases)?;
        let tls = MeshTls::new(materials, MeshTlsOptions::default());
        let told = Mutex::new(trust(&authorities, &others)?);
        Ok(Self { authorities, tls, ttl, others, told })
    }

    /// What the secure port uses.
    pub fn tls(&self) -> Arc<MeshTls> {
        Arc::clone(&self.tls)
    }

    /// Whom sidecars are to trust now.
    pub fn trust(&self) -> Trust {
        self.told.lock().clone()
    }

    /// Renews at half of the certificate's life, and tells what is trusted when it changes, for as
    /// long as it is polled.
    pub async fn keep(&self, counts: &Counts, tell: impl Fn(Trust)) {
        loop {
            tokio::time::sleep(LOOK).await;
            match self.turn() {
                Ok(changed) => {
                    counts.trouble(None);
                    changed.into_iter().for_each(&tell);
                }
                Err(error) => counts.trouble(Some(error.to_string())),
            }
        }
    }

    /// Does what is due; what is trusted, if that changed.
    ///
    /// # Errors
    ///
    /// [`OwnError`]; what was in use stays in use.
    pub fn turn(&self) -> Result<Option<Trust>, OwnError> {
        let trust = trust(&self.authorities, &self.others)?;
        let is_changed = trust != *self.told.lock();
        let current = self.tls.materials();
        let life = current.not_after().saturating_sub(current.not_before());
        let is_due = now() >= current.not_before().saturating_add(life / 2);
        if is_changed || is_due {
            self.tls.rotate(materials(&self.authorities, self.ttl, &self.others.aliases)?);
        }
        if !is_changed {
            return Ok(None);
        }
        self.told.lock().clone_from(&trust);
        Ok(Some(trust))
    }
}

/// Our certificate, with its root at the end: who has only its digest can find it there.
fn materials(
    authorities: &Authorities,
    ttl: Duration,
    aliases: &BTreeMap<String, String>,
) -> Result<Materials, OwnError> {
    let (issued, roots) = authorities.issue_own(ttl)?;
    let ours = authorities.control().trust_domain();
    // Certificates of other domains are not for this port.
    let aliases = aliases.iter().filter(|(_, domain)| *domain == ours);
    let bundle = TrustBundle::from_pem([(ours, roots)])?.with_aliases(aliases)?;
    let chain = format!("{}{}", issued.chain_pem, issued.root_pem);
    Ok(Materials::from_pem(chain.as_bytes(), issued.key_pem.as_bytes(), bundle)?)
}

fn trust(authorities: &Authorities, others: &Trust) -> Result<Trust, OwnError> {
    let ours = authorities.control().trust_domain().to_owned();
    let mut trust = others.clone();
    trust.roots.insert(ours, authorities.roots()?);
    let (_, standings) = authorities.standings()?;
    trust.signer = standings.into_iter().next().map(|one| one.root).unwrap_or_default();
    TrustBundle::from_pem(&trust.roots)?.with_aliases(&trust.aliases)?;
    Ok(trust)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
