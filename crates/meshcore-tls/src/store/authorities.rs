//! The authorities of a control plane: one signs, and during a rotation two are trusted.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use meshcore_model::Identity;
use parking_lot::Mutex;
use rustls_pki_types::UnixTime;

use super::cacerts::{Files, Plugged};
use super::disk::{self, Lock, Stamp};
use super::record::{Next, Phase, Record, Standing};
use super::{StoreError, Tokens};
use crate::ca::{Authority, Issued, IssuedPem, MAX_TTL};
use crate::leaf;

/// Life of a root that we make.
const ROOT_VALIDITY: Duration = Duration::from_hours(10 * 365 * 24);

/// How far ahead the end of the last certificate is noted: one write serves that long.
const AHEAD_SECONDS: u64 = 3600;

/// The authorities in a control plane's state directory.
#[derive(Debug)]
pub struct Authorities {
    directory: PathBuf,
    control: Identity,
    current: Mutex<Arc<Current>>,
}

/// A signed certificate and what to trust with it.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The certificate.
    pub issued: Issued,
    /// PEM of all roots that are trusted now.
    pub roots: String,
}

/// What is on disk at one moment.
#[derive(Debug)]
struct Current {
    stamp: Stamp,
    record: Record,
    /// As [`Record::trusted`]: the first one signs.
    signer: Authority,
    standings: Vec<Standing>,
    roots: String,
}

// === impl Authorities ===

impl Authorities {
    /// Opens the directory. At the first time a root is made for the trust domain of `control`,
    /// the identity of the control plane; or else the authority in `plugged` is taken over.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be used, is of another control plane, or has another authority
    /// than the one in `plugged`.
    pub fn open(
        directory: &Path,
        control: &Identity,
        plugged: Option<&Path>,
    ) -> Result<Self, StoreError> {
        disk::private_directory(directory)?;
        let lock = disk::lock(directory)?;
        if !record_path(directory).exists() {
            let files = new_files(control.trust_domain(), plugged)?;
            let record = Record::new(control.clone(), "1".into());
            disk::private_directory(&directory.join("ca"))?;
            disk::remove_directory(&directory.join("ca").join("1"));
            files.write(&directory.join("ca").join("1"))?;
            write(directory, &record, &lock)?;
        } else if let Some(plugged) = plugged {
            refuse_another(directory, plugged)?;
        }
        drop(lock);
        let opened = Self::existing(directory)?;
        if opened.control() != control {
            let why = format!("has the authority of {}, use another directory", opened.control);
            return Err(StoreError::at(directory, why));
        }
        Ok(opened)
    }

    /// Opens the directory of a control plane that was started before.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if it never was, else as [`Authorities::open`].
    pub fn existing(directory: &Path) -> Result<Self, StoreError> {
        if !record_path(directory).exists() {
            return Err(StoreError::Missing(directory.display().to_string()));
        }
        disk::private_directory(directory)?;
        let current = Current::read(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            control: current.record.control.clone(),
            current: Mutex::new(Arc::new(current)),
        })
    }

    /// The tokens of the same directory.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be used.
    pub fn tokens(&self) -> Result<Tokens, StoreError> {
        Tokens::open(&self.directory, self.control.clone())
    }

    /// The identity of the control plane.
    pub fn control(&self) -> &Identity {
        &self.control
    }

    /// Signs the key of a request for the identity that the caller authenticated.
    ///
    /// # Errors
    /// [`StoreError`] if the request is refused, or what is on disk cannot be read or written.
    pub fn sign_csr(
        &self,
        csr_pem: &str,
        identity: &Identity,
        ttl: Duration,
    ) -> Result<Signed, StoreError> {
        let current = self.current_for(ttl)?;
        let issued = current.signer.sign_csr(csr_pem, identity, ttl)?;
        Ok(Signed { issued, roots: current.roots.clone() })
    }

    /// Makes a key and a certificate for the control plane itself; with the trusted roots.
    ///
    /// # Errors
    /// [`StoreError`], as [`Authorities::sign_csr`].
    pub fn issue_own(&self, ttl: Duration) -> Result<(IssuedPem, String), StoreError> {
        let current = self.current_for(ttl)?;
        Ok((current.signer.issue(&self.control, ttl)?, current.roots.clone()))
    }

    /// PEM of all roots that are trusted now, that of the signing authority first.
    ///
    /// # Errors
    /// [`StoreError`] if what is on disk cannot be read or written.
    pub fn roots(&self) -> Result<String, StoreError> {
        Ok(self.current()?.roots.clone())
    }

    /// Where a rotation stands, and the authorities, the signing one first.
    ///
    /// # Errors
    /// As [`Authorities::roots`].
    pub fn standings(&self) -> Result<(Phase, Vec<Standing>), StoreError> {
        let current = self.current()?;
        Ok((current.record.phase(), current.standings.clone()))
    }

    /// Begins a rotation: a new root, or the authority in `plugged`, is trusted from now on, and
    /// signs when `overlap` has passed.
    ///
    /// # Errors
    /// [`StoreError::NotNow`] during a rotation, else as [`Authorities::roots`].
    pub fn begin(&self, overlap: Duration, plugged: Option<&Path>) -> Result<(), StoreError> {
        let files = new_files(self.control.trust_domain(), plugged)?;
        self.change(|record, directory| {
            match record.phase() {
                Phase::Stable => {}
                Phase::Adding { .. } | Phase::Retiring { .. } => {
                    let why = "a rotation is going on, finish it before the next one begins";
                    return Err(StoreError::NotNow(why.into()));
                }
            }
            let name = record.free_name();
            let place = directory.join("ca").join(&name);
            disk::remove_directory(&place); // of a rotation that was killed before it counted
            files.write(&place)?;
            let signs_from = now().saturating_add(overlap.as_secs());
            record.next = Some(Next { name, signs_from });
            Ok(())
        })
    }

    /// Ends a rotation: the old root is trusted no more. Unless `now_already`, not before the last
    /// certificate below it has ended.
    ///
    /// # Errors
    /// [`StoreError::NotNow`] if it is too early, else as [`Authorities::roots`].
    pub fn finish(&self, now_already: bool) -> Result<(), StoreError> {
        let removed = self.current()?.record.retiring.clone();
        self.change(|record, _| match record.phase() {
            Phase::Stable if removed.is_none() => {
                Err(StoreError::NotNow("no rotation is going on, begin one".into()))
            }
            Phase::Stable => Ok(()),
            Phase::Adding { signs_from } => Err(StoreError::NotNow(format!(
                "the new root signs from {signs_from} (unix seconds) on, wait until certificates are of it"
            ))),
            Phase::Retiring { leaves_until } if !now_already && leaves_until >= now() => {
                Err(StoreError::NotNow(format!(
                    "certificates of the old root are valid until {leaves_until} (unix seconds), \
                     wait, or say --now to cut off who still has one"
                )))
            }
            Phase::Retiring { .. } => {
                record.retiring = None;
                Ok(())
            }
        })
    }

    /// What is on disk now, with what time has brought.
    fn current(&self) -> Result<Arc<Current>, StoreError> {
        let mut current = self.current.lock();
        if Stamp::of(&record_path(&self.directory))? != current.stamp {
            *current = Arc::new(Current::read(&self.directory)?);
        }
        if current.record.due(now()).is_some() {
            let lock = disk::lock(&self.directory)?;
            let record = read(&self.directory)?;
            if let Some(later) = record.due(now()) {
                write(&self.directory, &later, &lock)?;
                remove_unused(&self.directory, &later, &lock);
            }
            *current = Arc::new(Current::read(&self.directory)?);
        }
        Ok(Arc::clone(&current))
    }

    /// As [`Authorities::current`], after it was noted that a certificate may live for `ttl`.
    fn current_for(&self, ttl: Duration) -> Result<Arc<Current>, StoreError> {
        let current = self.current()?;
        let until = now().saturating_add(ttl.min(MAX_TTL).as_secs());
        let until = until.min(current.signer.not_after());
        if until <= current.record.signer.leaves_until {
            return Ok(current);
        }
        self.change(|record, _| {
            let ahead = until.saturating_add(AHEAD_SECONDS);
            record.signer.leaves_until = record.signer.leaves_until.max(ahead);
            Ok(())
        })?;
        self.current()
    }

    fn change(
        &self,
        edit: impl FnOnce(&mut Record, &Path) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let lock = disk::lock(&self.directory)?;
        let read = read(&self.directory)?;
        let mut record = read.due(now()).unwrap_or(read);
        edit(&mut record, &self.directory)?;
        write(&self.directory, &record, &lock)?;
        remove_unused(&self.directory, &record, &lock);
        drop(lock);
        *self.current.lock() = Arc::new(Current::read(&self.directory)?);
        Ok(())
    }
}

// === impl Current ===

impl Current {
    fn read(directory: &Path) -> Result<Self, StoreError> {
        let stamp = Stamp::of(&record_path(directory))?; // first: a change meanwhile is seen later
        let record = read(directory)?;
        let signer = load(directory, &record.signer.name)?;
        let mut standings = Vec::new();
        let mut roots = String::new();
        for (name, part) in record.trusted() {
            let plugged = load(directory, name)?;
            let root = leaf::fingerprint(plugged.authority.root_pem()).unwrap_or_default();
            let not_after = plugged.authority.not_after();
            standings.push(Standing { name: name.to_owned(), part, root, not_after });
            roots.push_str(&plugged.roots);
        }
        Ok(Self { stamp, record, signer: signer.authority, standings, roots })
    }
}

fn load(directory: &Path, name: &str) -> Result<Plugged, StoreError> {
    if name.parse::<u64>().is_err() {
        let path = record_path(directory);
        return Err(StoreError::at(&path, format!("{name:?} is no name of an authority")));
    }
    let place = directory.join("ca").join(name);
    Files::read(&place)?.plug(&place)
}

fn new_files(trust_domain: &str, plugged: Option<&Path>) -> Result<Files, StoreError> {
    let Some(place) = plugged else {
        return Ok(Files::of_root(&Authority::create(trust_domain, ROOT_VALIDITY)?));
    };
    let files = Files::read(place)?;
    files.plug(place)?;
    Ok(files)
}

/// The authority that is plugged in must be one that we have: another one would cut off everybody.
fn refuse_another(directory: &Path, plugged: &Path) -> Result<(), StoreError> {
    let offered = Files::read(plugged)?.plug(plugged)?.authority.cert_pem();
    for (name, _) in read(directory)?.trusted() {
        if load(directory, name)?.authority.cert_pem() == offered {
            return Ok(());
        }
    }
    let why = "is another authority than the one in use: change it with \
               meshcore cert rotate-root begin --cacerts";
    Err(StoreError::at(plugged, why))
}

fn record_path(directory: &Path) -> PathBuf {
    directory.join("authority.json")
}

fn read(directory: &Path) -> Result<Record, StoreError> {
    let path = record_path(directory);
    let text = disk::read_secret(&path)?;
    serde_json::from_str(&text).map_err(|error| StoreError::at(&path, error.to_string()))
}

fn write(directory: &Path, record: &Record, _lock: &Lock) -> Result<(), StoreError> {
    let path = record_path(directory);
    let text =
        serde_json::to_vec(record).map_err(|error| StoreError::at(&path, error.to_string()))?;
    disk::replace(&path, &text)
}

/// Removes the keys of authorities that are not trusted any more.
fn remove_unused(directory: &Path, record: &Record, _lock: &Lock) {
    let Ok(entries) = std::fs::read_dir(directory.join("ca")) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if record.trusted().all(|(used, _)| name != used) {
            disk::remove_directory(&entry.path());
        }
    }
}

fn now() -> u64 {
    UnixTime::now().as_secs()
}
