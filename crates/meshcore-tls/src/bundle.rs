//! The roots of each trust domain. A certificate is only ever checked against the roots of the
//! domain that it names, so a partner's CA cannot speak for ours.

use std::collections::BTreeMap;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};

use crate::leaf;
use crate::materials::MaterialsError;
use crate::provider::digest;
use crate::revocation::Revocations;

/// The roots of every trust domain that we accept, and the aliases of domains.
#[derive(Clone)]
pub struct TrustBundle {
    domains: BTreeMap<Box<str>, Vec<Root>>,
    aliases: BTreeMap<Box<str>, Box<str>>,
    revocations: BTreeMap<Box<str>, Vec<Revocations>>,
}

#[derive(Clone)]
struct Root {
    der: CertificateDer<'static>,
    anchor: TrustAnchor<'static>,
    subject: String,
    /// Unix seconds.
    not_after: u64,
}

/// The roots that may vouch for one identity at one moment, and what they have taken back.
pub(crate) struct Trusted<'b> {
    pub(crate) anchors: Vec<TrustAnchor<'static>>,
    pub(crate) revocations: Vec<&'b Revocations>,
    /// When the first of them ends, in unix seconds.
    pub(crate) not_after: u64,
}

// === impl TrustBundle ===

impl TrustBundle {
    /// Reads roots as PEM, one entry for each trust domain; entries of the same domain add up.
    ///
    /// # Errors
    /// [`MaterialsError`] when nothing is given, a PEM has no certificate, or a certificate is
    /// malformed or may not sign others.
    pub fn from_pem<D, P>(roots: impl IntoIterator<Item = (D, P)>) -> Result<Self, MaterialsError>
    where
        D: AsRef<str>,
        P: AsRef<[u8]>,
    {
        let mut domains: BTreeMap<Box<str>, Vec<Root>> = BTreeMap::new();
        for (domain, pem) in roots {
            let domain = domain.as_ref();
            let store = domains.entry(domain.into()).or_default();
            for root in read_roots(domain, pem.as_ref())? {
                if !store.iter().any(|known| known.der == root.der) {
                    store.push(root);
                }
            }
        }
        if domains.is_empty() {
            return Err(MaterialsError::NoRoots("any trust domain".into()));
        }
        Ok(Self { domains, aliases: BTreeMap::new(), revocations: BTreeMap::new() })
    }

    /// The same bundle, in which identities of each `alias` are vouched for by the roots of
    /// `domain` as well. Source: Istio MeshConfig `trustDomainAliases`.
    ///
    /// # Errors
    /// [`MaterialsError::NoRoots`] when an alias points to a domain without roots.
    pub fn with_aliases<A, D>(
        mut self,
        aliases: impl IntoIterator<Item = (A, D)>,
    ) -> Result<Self, MaterialsError>
    where
        A: AsRef<str>,
        D: AsRef<str>,
    {
        for (alias, domain) in aliases {
            if !self.domains.contains_key(domain.as_ref()) {
                return Err(MaterialsError::NoRoots(domain.as_ref().into()));
            }
            self.aliases.insert(alias.as_ref().into(), domain.as_ref().into());
        }
        Ok(self)
    }

    /// The same bundle, in which certificates that the authorities of `domain` have taken back are
    /// refused: `lists` are CRLs as PEM, of roots and intermediates. An authority without a list
    /// has taken none back; all certificates of one whose list is past its end are refused.
    /// Source: Istio's `ca-crl.pem`.
    ///
    /// # Errors
    /// [`MaterialsError::NoRoots`] for a domain without roots;
    /// [`MaterialsError::RevocationList`] when there is no list, or one that cannot be read.
    pub fn with_revocations<D, P>(
        mut self,
        lists: impl IntoIterator<Item = (D, P)>,
    ) -> Result<Self, MaterialsError>
    where
        D: AsRef<str>,
        P: AsRef<[u8]>,
    {
        for (domain, pem) in lists {
            let domain = domain.as_ref();
            if !self.domains.contains_key(domain) {
                return Err(MaterialsError::NoRoots(domain.into()));
            }
            let known = self.revocations.entry(domain.into()).or_default();
            for list in Revocations::from_pem(pem.as_ref())? {
                list.is_only_one_among(known)?;
                known.push(list);
            }
        }
        Ok(self)
    }

    /// The trust domains that have roots of their own, sorted.
    pub fn trust_domains(&self) -> impl Iterator<Item = &str> {
        self.domains.keys().map(AsRef::as_ref)
    }

    /// The roots as `(trust domain, subject, end in unix seconds)`, for the admin page.
    pub fn summary(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.domains.iter().flat_map(|(domain, roots)| {
            roots.iter().map(|root| (domain.as_ref(), root.subject.as_str(), root.not_after))
        })
    }

    /// The roots that may vouch for `domain` now; `None` if the domain is unknown. Expired roots
    /// are left out.
    pub(crate) fn anchors(&self, domain: &str, now: UnixTime) -> Option<Trusted<'_>> {
        let own = self.domains.get(domain);
        let alias = self.aliases.get(domain);
        let aliased = alias.and_then(|of| self.domains.get(of));
        if own.is_none() && aliased.is_none() {
            return None;
        }
        let revocations: Vec<_> = [Some(domain), alias.map(AsRef::as_ref)]
            .into_iter()
            .flatten()
            .filter_map(|of| self.revocations.get(of))
            .flatten()
            .collect();
        // One that has ended refuses what it is about; it says nothing of others.
        let in_force = revocations.iter().map(|list| list.not_after);
        let lists_end = in_force.filter(|end| *end >= now.as_secs()).min();
        let not_after = lists_end.unwrap_or(u64::MAX);
        let mut found = Trusted { anchors: Vec::new(), revocations, not_after };
        let known = own.into_iter().chain(aliased).flatten();
        for root in known.filter(|root| root.not_after >= now.as_secs()) {
            found.anchors.push(root.anchor.clone());
            found.not_after = found.not_after.min(root.not_after);
        }
        Some(found)
    }

    /// Equal for equal trust, whatever the order in which it was given.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let mut parts: Vec<Vec<u8>> = Vec::new();
        for (domain, roots) in &self.domains {
            let mut digests: Vec<_> =
                roots.iter().map(|root| digest([root.der.as_ref()])).collect();
            digests.sort_unstable();
            parts.push(domain.as_bytes().to_vec());
            parts.push(digests.concat());
        }
        for (alias, domain) in &self.aliases {
            parts.push(b"alias".to_vec());
            parts.push(alias.as_bytes().to_vec());
            parts.push(domain.as_bytes().to_vec());
        }
        for (domain, lists) in &self.revocations {
            let mut digests: Vec<_> = lists.iter().map(Revocations::digest).collect();
            digests.sort_unstable();
            parts.push(b"revocations".to_vec());
            parts.push(domain.as_bytes().to_vec());
            parts.push(digests.concat());
        }
        digest(parts.iter().map(Vec::as_slice))
    }
}

impl std::fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let roots: Vec<_> = self.summary().collect();
        f.debug_struct("TrustBundle")
            .field("roots", &roots)
            .field("aliases", &self.aliases)
            .finish_non_exhaustive()
    }
}

fn read_roots(domain: &str, pem: &[u8]) -> Result<Vec<Root>, MaterialsError> {
    let mut roots = Vec::new();
    for item in CertificateDer::pem_slice_iter(pem) {
        let der = item.map_err(|error| MaterialsError::Pem(error.to_string()))?;
        roots.push(read_root(der)?);
    }
    if roots.is_empty() {
        return Err(MaterialsError::NoRoots(domain.into()));
    }
    Ok(roots)
}

fn read_root(der: CertificateDer<'static>) -> Result<Root, MaterialsError> {
    let certificate = leaf::parse(&der)?;
    let subject = certificate.subject().to_string();
    let is_authority =
        certificate.basic_constraints().ok().flatten().is_some_and(|found| found.value.ca);
    let not_after = leaf::seconds(certificate.validity().not_after.timestamp());
    if !is_authority {
        return Err(MaterialsError::NotAuthority(subject));
    }
    let anchor = webpki::anchor_from_trusted_cert(&der)
        .map_err(|error| MaterialsError::Pem(error.to_string()))?
        .to_owned();
    Ok(Root { der, anchor, subject, not_after })
}
