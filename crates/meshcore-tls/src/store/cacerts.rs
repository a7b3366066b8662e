//! An authority in four files, as Istio's `cacerts` has them, checked to fit together.

use std::path::Path;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::{StoreError, disk};
use crate::ca::Authority;
use crate::leaf;

/// Names of the files. Source: Istio's plugin CA certificates.
pub(super) const CERTIFICATE: &str = "ca-cert.pem";
pub(super) const KEY: &str = "ca-key.pem";
pub(super) const CHAIN: &str = "cert-chain.pem";
pub(super) const ROOTS: &str = "root-cert.pem";

/// The texts of the four files.
pub(super) struct Files {
    certificate: String,
    key: String,
    chain: String,
    roots: String,
}

/// An authority with the roots that are trusted because of it.
#[derive(Debug)]
pub(super) struct Plugged {
    pub(super) authority: Authority,
    /// PEM of all of them.
    pub(super) roots: String,
}

// === impl Files ===

impl Files {
    pub(super) fn read(directory: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            certificate: disk::read(&directory.join(CERTIFICATE))?,
            key: disk::read_secret(&directory.join(KEY))?,
            chain: disk::read(&directory.join(CHAIN))?,
            roots: disk::read(&directory.join(ROOTS))?,
        })
    }

    /// Those of a root that signs itself.
    pub(super) fn of_root(root: &Authority) -> Self {
        let certificate = root.root_pem().to_owned();
        Self {
            key: root.key_pem(),
            chain: certificate.clone(),
            roots: certificate.clone(),
            certificate,
        }
    }

    pub(super) fn write(&self, directory: &Path) -> Result<(), StoreError> {
        let texts = [
            (CERTIFICATE, self.certificate.as_str()),
            (KEY, self.key.as_str()),
            (CHAIN, self.chain.as_str()),
            (ROOTS, self.roots.as_str()),
        ];
        disk::create_whole(directory, &texts)
    }

    /// Puts them together; `directory` is for messages.
    pub(super) fn plug(&self, directory: &Path) -> Result<Plugged, StoreError> {
        let own = certificates(&directory.join(CERTIFICATE), &self.certificate)?;
        let above = certificates(&directory.join(CHAIN), &self.chain)?;
        let roots = certificates(&directory.join(ROOTS), &self.roots)?;
        let [own] = own.as_slice() else {
            let several = "has several certificates, put only the authority's own there";
            return Err(StoreError::at(&directory.join(CERTIFICATE), several));
        };
        let mut chain = vec![own.clone()];
        chain.extend(above.into_iter().filter(|one| one != own));
        let last = chain.last().unwrap_or(own);
        if !roots.contains(last) {
            let root = roots.iter().find(|root| signed(last, root));
            chain.push(root.cloned().ok_or_else(|| {
                let why = format!("no root in it signed the last certificate of {CHAIN}");
                StoreError::at(&directory.join(ROOTS), why)
            })?);
        }
        let chain: String = chain.iter().map(|der| leaf::pem(der)).collect();
        let authority = Authority::load(&chain, &self.key)
            .map_err(|error| StoreError::at(directory, error.to_string()))?;
        let roots = roots.iter().map(|der| leaf::pem(der)).collect();
        Ok(Plugged { authority, roots })
    }
}

fn certificates(path: &Path, pem: &str) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let read = read.map_err(|error| StoreError::at(path, error.to_string()))?;
    if read.is_empty() {
        return Err(StoreError::at(path, "no certificate in it, give a file in PEM form"));
    }
    for der in &read {
        leaf::parse(der).map_err(|error| StoreError::at(path, error.to_string()))?;
    }
    Ok(read)
}

/// Whether the second certificate signed the first.
fn signed(below: &CertificateDer<'_>, above: &CertificateDer<'_>) -> bool {
    let (Ok(below), Ok(above)) = (leaf::parse(below), leaf::parse(above)) else { return false };
    below.issuer().as_raw() == above.subject().as_raw()
        && below.verify_signature(Some(above.public_key())).is_ok()
}
