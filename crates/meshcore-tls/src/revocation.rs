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
use x509_parser::oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT;
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
    /// Name of the authority, as in the list.
    issuer: Vec<u8>,
    issuer_text: String,
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
        let issuer = parsed.tbs_cert_list.issuer.as_raw().to_vec();
        let issuer_text = parsed.issuer().to_string();
        // A list of a part is not looked at for certificates that do not name it.
        if parsed.extensions().iter().any(|one| one.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT) {
            let why = "is about a part of its certificates (IssuingDistributionPoint)";
            return Err(unusable(format!("that of {issuer_text} {why}: give one about all")));
        }
        Ok(Self {
            list: Arc::new(list.into()),
            digest: digest([der.as_ref()]),
            issuer,
            issuer_text,
            not_after: leaf::seconds(next.timestamp()),
        })
    }

    /// Whether no other list is of the same authority: only one of them would be looked at.
    ///
    /// # Errors
    /// [`MaterialsError::RevocationList`] when there is one.
    pub(crate) fn is_only_one_among(&self, others: &[Self]) -> Result<(), MaterialsError> {
        if others.iter().any(|other| other.issuer == self.issuer) {
            let issuer = &self.issuer_text;
            let why = format!("{issuer} has two lists: give the newer one alone");
            return Err(MaterialsError::RevocationList(why));
        }
        Ok(())
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
