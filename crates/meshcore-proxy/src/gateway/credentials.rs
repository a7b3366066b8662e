//! The configurations of TLS that ends here, made when a revision is put in force and again when
//! a file has changed.

use std::fs::Metadata;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use meshcore_model::{CertificateSource, Credential, ServerTls, ServerTlsMode, TlsVersion};
use meshcore_snapshot::{Gateway, Termination};
use meshcore_tls::{ClientPair, ClientRules, Terminate, Terminated, alpn};
use parking_lot::Mutex;
use rustls::ServerConfig;
use serde_json::{Value, json};

/// Longest file of certificates that is read. Source: the root certificates of a system are a
/// fifth of a MiB.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// What a web client may speak. Source: Istio's gateways.
const WEB: &[&[u8]] = &[alpn::H2, alpn::HTTP_1_1];

/// All configurations in force, and those of before that are still used.
#[derive(Debug, Default)]
pub(crate) struct Terminations(Mutex<Vec<Entry>>);

#[derive(Debug, Clone)]
struct Entry {
    termination: Arc<Termination>,
    made: Result<Terminated, String>,
    files: Vec<Stamp>,
    /// Why files that have changed are not in force.
    stale: Option<String>,
}

/// A file, and what tells whether it has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    path: String,
    found: Option<(SystemTime, u64)>,
}

impl Terminations {
    /// Makes what a gateway needs. What cannot be made is remembered as such: its handshakes are
    /// refused, and the rest serves.
    pub(crate) fn prepare(&self, gateway: &Gateway) {
        self.0.lock().retain(|entry| Arc::strong_count(&entry.termination) > 1);
        for wanted in gateway.terminations() {
            if wanted.tls.mode == ServerTlsMode::IstioMutual {
                continue; // that of the mesh
            }
            let is_same = |entry: &&Entry| *entry.termination == **wanted;
            let same = self.0.lock().iter().find(is_same).cloned();
            let entry = match same {
                Some(same) => Entry { termination: Arc::clone(wanted), ..same },
                None => Entry::make(wanted),
            };
            self.0.lock().push(entry);
        }
    }

    /// The configuration; `None` when there is none, which status says why.
    pub(crate) fn config(&self, wanted: &Arc<Termination>) -> Option<Arc<ServerConfig>> {
        let entries = self.0.lock();
        let entry = entries.iter().find(|entry| Arc::ptr_eq(&entry.termination, wanted));
        entry?.made.as_ref().ok().map(|made| Arc::clone(&made.config))
    }

    /// Reads files again that have changed. What is in force stays when they are not good.
    ///
    /// Files are read without the lock: handshakes take it, and a disk may hang.
    pub(crate) fn refresh(&self) {
        let with_files = |entry: &&Entry| !entry.files.is_empty();
        let entries: Vec<Entry> = self.0.lock().iter().filter(with_files).cloned().collect();
        for entry in entries {
            let now: Vec<Stamp> = entry.files.iter().map(|file| Stamp::of(&file.path)).collect();
            if now == entry.files {
                continue;
            }
            let again = Entry::make(&entry.termination);
            let again = match (&entry.made, again.made) {
                (Ok(_), Err(why)) => Entry { stale: Some(why), files: now, ..entry },
                (_, made) => Entry { made, files: again.files, stale: None, ..entry },
            };
            let mut all = self.0.lock();
            let its =
                all.iter_mut().filter(|one| Arc::ptr_eq(&one.termination, &again.termination));
            its.for_each(|one| *one = again.clone());
        }
    }

    /// How each fares, without any secret.
    pub(crate) fn status(&self, gateway: &Gateway) -> Value {
        let entries = self.0.lock();
        let is_in_force =
            |entry: &&Entry| gateway.terminations().any(|one| Arc::ptr_eq(one, &entry.termination));
        let row = |entry: &Entry| {
            json!({
                "server": entry.termination.origin.to_string(),
                "mode": entry.termination.tls.mode,
                "not_after": entry.made.as_ref().ok().map(|made| made.not_after),
                "error": entry.made.as_ref().err(),
                "stale": entry.stale,
            })
        };
        entries.iter().filter(is_in_force).map(row).collect()
    }
}

impl Entry {
    fn make(termination: &Arc<Termination>) -> Self {
        let tls = &termination.tls;
        let pairs = tls.certificates.iter().flat_map(|source| match source {
            CertificateSource::Files { certificate, key } => vec![certificate, key],
            CertificateSource::Credential(_) => Vec::new(),
        });
        let clients = tls.clients.ca_file.iter().chain(&tls.clients.crl_file);
        // Looked at before they are read: what changes meanwhile is read again.
        let files = pairs.chain(clients).map(|path| Stamp::of(path)).collect();
        let made = terminate(termination)
            .and_then(|terminate| terminate.config().map_err(|error| error.to_string()));
        Self { termination: Arc::clone(termination), made, files, stale: None }
    }
}

impl Stamp {
    fn of(path: &str) -> Self {
        let stamp = |found: Metadata| Some((found.modified().ok()?, found.len()));
        let found = std::fs::metadata(path).ok().and_then(stamp);
        Self { path: path.to_owned(), found }
    }
}

fn terminate(termination: &Termination) -> Result<Terminate, String> {
    let tls = &termination.tls;
    let pair = |source: &CertificateSource| match source {
        CertificateSource::Files { certificate, key } => {
            Ok(ClientPair { chain_pem: read(certificate)?, key_pem: read(key)? })
        }
        CertificateSource::Credential(name) => pair_of(credential(termination, name)?),
    };
    Ok(Terminate {
        pairs: tls.certificates.iter().map(pair).collect::<Result<_, String>>()?,
        clients: clients(termination, tls)?,
        tls12: tls.min_version <= TlsVersion::Tls12,
        tls13: tls.max_version >= TlsVersion::Tls13,
        suites: tls.cipher_suites.clone(),
        alpn: if termination.is_http {
            WEB.iter().map(|one| one.to_vec()).collect()
        } else {
            Vec::new()
        },
    })
}

fn credential<'t>(termination: &'t Termination, name: &str) -> Result<&'t Credential, String> {
    termination.credential(name).ok_or_else(|| {
        format!("there is no credential {name} in the namespace of the gateway: add the Secret")
    })
}

fn pair_of(credential: &Credential) -> Result<ClientPair, String> {
    match (&credential.certificate, &credential.key) {
        (Some(chain), Some(key)) => {
            Ok(ClientPair { chain_pem: chain.clone(), key_pem: key.reveal().to_owned() })
        }
        (None, _) | (_, None) => Err(format!("{} lacks tls.crt or tls.key", credential.origin)),
    }
}

/// Whom clients are trusted by: the credential or file that says so, else the authority beside
/// the server's certificate, or in the credential of the same name with `-cacert`. Source:
/// Istio's `credentialName`.
fn clients(termination: &Termination, tls: &ServerTls) -> Result<Option<ClientRules>, String> {
    let is_required = match tls.mode {
        ServerTlsMode::Simple | ServerTlsMode::Passthrough | ServerTlsMode::IstioMutual => {
            return Ok(None);
        }
        ServerTlsMode::Mutual => true,
        ServerTlsMode::OptionalMutual => false,
    };
    let proof = &tls.clients;
    let beside = tls.certificates.iter().find_map(|source| match source {
        CertificateSource::Credential(name) => Some(name),
        CertificateSource::Files { .. } => None,
    });
    let (ca_pem, crl_pem) = match (&proof.ca_file, &proof.credential, beside) {
        (Some(file), _, _) => (Some(read(file)?), None),
        (None, Some(name), _) => trust_of(credential(termination, name)?),
        (None, None, Some(name)) => {
            let own = trust_of(credential(termination, name)?);
            match (own, termination.credential(&format!("{name}-cacert"))) {
                ((Some(pem), crl), _) => (Some(pem), crl),
                ((None, crl), Some(apart)) => {
                    let (pem, other) = trust_of(apart);
                    (pem, crl.or(other))
                }
                ((None, crl), None) => (None, crl),
            }
        }
        (None, None, None) => (None, None),
    };
    let missing = "clients have to show a certificate, and nothing says by which authorities: \
                   add ca.crt to the credential, or caCertificates";
    let crl_pem = match &proof.crl_file {
        Some(file) => Some(read(file)?),
        None => crl_pem,
    };
    Ok(Some(ClientRules {
        ca_pem: ca_pem.ok_or(missing)?,
        crl_pem,
        is_required,
        names: proof.names.clone(),
        key_hashes: proof.key_hashes.clone(),
        certificate_hashes: proof.certificate_hashes.clone(),
    }))
}

fn trust_of(credential: &Credential) -> (Option<String>, Option<String>) {
    (credential.authorities.clone(), credential.revocations.clone())
}

fn read(path: &str) -> Result<String, String> {
    let length = std::fs::metadata(Path::new(path)).map_err(|error| format!("{path}: {error}"))?;
    if !length.is_file() || length.len() > MAX_FILE_BYTES {
        return Err(format!("{path}: not a file of at most {MAX_FILE_BYTES} bytes"));
    }
    std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}
