//! Certificates that their authority has taken back, as its lists (CRLs) say.
//!
//! A list speaks for the certificates of its issuer: leaves and intermediates are looked up in it.
//! Where an authority has given no list, none of its certificates counts as taken back; where its
//! list is past its end, nobody knows, and all are refused. Source: RFC 5280 sections 5 and 6.3.

use std::sync::Arc;

use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject;
use webpki::{
    CertRevocationList, ExpirationPolicy, OwnedCertRevocationList, RevocationCheckDepth,
    RevocationOptions, RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::leaf;
use crate::materials::MaterialsError;
use crate::provider::digest;

/// The list of one authority.
#[derive(Clone)]
pub(crate) struct Revocations {
    list: Arc<CertRevocationList<'static>>,
    digest: [u8; 32],
    /// When a newer one must be there, in unix seconds.
    pub(crate) not_after: u64,
}

// === impl Revocations ===

impl Revocations {
    /// Reads all lists of a PEM file.
    ///
    /// # Errors
    /// [`MaterialsError::RevocationList`] when there is none, or one that cannot be used.
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Vec<Self>, MaterialsError> {
        let unusable =
            |error: &dyn std::fmt::Display| MaterialsError::RevocationList(error.to_string());
        let lists: Vec<Self> = CertificateRevocationListDer::pem_slice_iter(pem)
            .map(|item| item.map_err(|error| unusable(&error)).and_then(|der| Self::read(&der)))
            .collect::<Result<_, _>>()?;
        if lists.is_empty() {
            return Err(unusable(&"no X509 CRL in it"));
        }
        Ok(lists)
    }

    fn read(der: &CertificateRevocationListDer<'_>) -> Result<Self, MaterialsError> {
        let unusable = |why: String| MaterialsError::RevocationList(why);
        let list = OwnedCertRevocationList::from_der(der).map_err(|e| unusable(e.to_string()))?;
        let (_, parsed) =
            CertificateRevocationList::from_der(der).map_err(|e| unusable(e.to_string()))?;
        let next = parsed.next_update().ok_or_else(|| unusable("it has no next update".into()))?;
        Ok(Self {
            list: Arc::new(list.into()),
            digest: digest([der.as_ref()]),
            not_after: leaf::seconds(next.timestamp()),
        })
    }

    pub(crate) fn list(&self) -> &CertRevocationList<'static> {
        &self.list
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

/// How certificates are looked up in these lists; `None` where there are none.
pub(crate) fn options<'a>(
    lists: &'a [&'a CertRevocationList<'a>],
) -> Option<RevocationOptions<'a>> {
    let builder = RevocationOptionsBuilder::new(lists).ok()?;
    Some(
        builder
            .with_depth(RevocationCheckDepth::Chain)
            .with_status_policy(UnknownStatusPolicy::Allow)
            .with_expiration_policy(ExpirationPolicy::Enforce)
            .build(),
    )
}
