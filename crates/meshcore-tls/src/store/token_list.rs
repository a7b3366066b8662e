//! The tokens of a control plane: made, listed, revoked, verified.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use meshcore_model::Identity;
use parking_lot::Mutex;
use rustls_pki_types::UnixTime;
use serde::{Deserialize, Serialize};

use super::disk::{self, Stamp};
use super::{Authorities, StoreError};
use crate::ca::MAX_TTL;
use crate::tokens::{Claims, Grant, Token, TokenError, TokenKey};

/// The tokens in a control plane's state directory.
#[derive(Debug)]
pub struct Tokens {
    directory: PathBuf,
    control: Identity,
    key: TokenKey,
    current: Mutex<Arc<Current>>,
}

/// A token that was made, without the token itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// By which it is revoked.
    pub id: String,
    /// Whom it speaks for.
    pub identity: Identity,
    /// When it was made, in unix seconds.
    pub issued_at: u64,
    /// When it ends, in unix seconds.
    pub expires_at: u64,
    /// It is not taken any more.
    pub is_revoked: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    tokens: Vec<Listed>,
}

#[derive(Debug)]
struct Current {
    stamp: Stamp,
    list: List,
}

// === impl Tokens ===

impl Tokens {
    /// Opens those of a state directory; makes the key at the first time.
    pub(super) fn open(directory: &Path, control: Identity) -> Result<Self, StoreError> {
        let lock = disk::lock(directory)?;
        let place = directory.join("tokens");
        if !place.exists() {
            let key = TokenKey::create()?;
            let empty = serde_json::to_string(&List::default()).unwrap_or_default();
            let files = [("key.pem", key.pem()), ("tokens.json", empty.as_str())];
            disk::create_whole(&place, &files)?;
        }
        drop(lock);
        disk::private_directory(&place)?;
        let path = place.join("key.pem");
        let key = TokenKey::load(&disk::read_secret(&path)?)
            .map_err(|error| StoreError::at(&path, error.to_string()))?;
        let current = Mutex::new(Arc::new(Current::read(directory)?));
        Ok(Self { directory: directory.to_owned(), control, key, current })
    }

    /// Makes a token for `identity`, and notes that it was made.
    ///
    /// # Errors
    /// [`StoreError`] if it is for the control plane itself, of another trust domain, for no time
    /// or too long, or cannot be noted.
    pub fn create(
        &self,
        authorities: &Authorities,
        identity: Identity,
        ttl: Duration,
    ) -> Result<Token, StoreError> {
        if identity.trust_domain() != self.control.trust_domain() {
            return Err(TokenError::Issuer.into());
        }
        let (_, standings) = authorities.standings()?;
        let roots = standings.into_iter().map(|one| one.root).collect();
        let grant = Grant { identity, issuer: self.control.clone(), roots, ttl };
        let token = self.key.sign(&grant, now())?;
        let claims = &token.claims;
        self.change(|list| {
            list.tokens.push(Listed {
                id: claims.id().to_owned(),
                identity: claims.identity().clone(),
                issued_at: claims.issued_at(),
                expires_at: claims.expires_at(),
                is_revoked: false,
            });
            Ok(())
        })?;
        Ok(token)
    }

    /// The tokens that have not ended, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`] if the list cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let now = now();
        let tokens = self.current()?.list.tokens.clone();
        Ok(tokens.into_iter().filter(|one| one.expires_at > now).collect())
    }

    /// Takes a token back, by its id; gives what it was.
    ///
    /// # Errors
    /// [`StoreError::NotNow`] if there is none of this id, else if the list cannot be written.
    pub fn revoke(&self, id: &str) -> Result<Listed, StoreError> {
        let mut revoked = None;
        self.change(|list| {
            let found = list.tokens.iter_mut().find(|one| one.id == id);
            let found = found.ok_or_else(|| {
                StoreError::NotNow(format!("no token has the id {id:?}, see meshcore token list"))
            })?;
            found.is_revoked = true;
            revoked = Some(found.clone());
            Ok(())
        })?;
        revoked.ok_or_else(|| StoreError::NotNow(format!("no token has the id {id:?}")))
    }

    /// Verifies a token; says whom it speaks for. What was revoked a moment ago is refused.
    ///
    /// # Errors
    /// [`TokenError`], also when it cannot be found out whether it was revoked.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        let claims = self.key.verify(token, &self.control, now())?;
        let current = self.current().map_err(|error| TokenError::Unknown(error.to_string()))?;
        let known = current.list.tokens.iter().find(|one| one.id == claims.id());
        match known {
            Some(known) if known.is_revoked => Err(TokenError::Revoked),
            // Every token is noted before it is given away.
            None => {
                Err(TokenError::Unknown("it is not in the list of those that were made".into()))
            }
            Some(_) => Ok(claims),
        }
    }

    /// Whether an identity may renew its certificate without a token: not once one of its tokens
    /// was revoked, for whoever had that may have a certificate as well.
    ///
    /// # Errors
    /// [`TokenError`] when it cannot be found out.
    pub fn may_renew(&self, identity: &Identity) -> Result<bool, TokenError> {
        let current = self.current().map_err(|error| TokenError::Unknown(error.to_string()))?;
        Ok(!current.list.tokens.iter().any(|one| one.is_revoked && one.identity == *identity))
    }

    fn current(&self) -> Result<Arc<Current>, StoreError> {
        let mut current = self.current.lock();
        if Stamp::of(&list_path(&self.directory))? != current.stamp {
            *current = Arc::new(Current::read(&self.directory)?);
        }
        Ok(Arc::clone(&current))
    }

    fn change(
        &self,
        edit: impl FnOnce(&mut List) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let lock = disk::lock(&self.directory)?;
        let mut list = Current::read(&self.directory)?.list;
        let now = now();
        list.tokens.retain(|one| one.is_known_until() > now);
        edit(&mut list)?;
        let path = list_path(&self.directory);
        let text =
            serde_json::to_vec(&list).map_err(|error| StoreError::at(&path, error.to_string()))?;
        if u64::try_from(text.len()).is_ok_and(|length| length > disk::MAX_FILE_BYTES) {
            let why = "there are too many tokens, wait until some have ended";
            return Err(StoreError::NotNow(why.into()));
        }
        disk::replace(&path, &text)?;
        drop(lock);
        *self.current.lock() = Arc::new(Current::read(&self.directory)?);
        Ok(())
    }
}

// === impl Listed ===

impl Listed {
    /// One that was revoked is remembered for as long as a certificate that it got may live.
    fn is_known_until(&self) -> u64 {
        let longer = if self.is_revoked { MAX_TTL.as_secs() } else { 0 };
        self.expires_at.saturating_add(longer)
    }
}

// === impl Current ===

impl Current {
    fn read(directory: &Path) -> Result<Self, StoreError> {
        let path = list_path(directory);
        let stamp = Stamp::of(&path)?; // first: a change meanwhile is seen later
        let text = disk::read_secret(&path)?;
        let list = serde_json::from_str(&text)
            .map_err(|error| StoreError::at(&path, error.to_string()))?;
        Ok(Self { stamp, list })
    }
}

fn list_path(directory: &Path) -> PathBuf {
    directory.join("tokens").join("tokens.json")
}

fn now() -> u64 {
    UnixTime::now().as_secs()
}
