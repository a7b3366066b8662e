//! A forger's workshop: roots, intermediates and leaves with one thing wrong at a time.

use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, CustomExtension};
use rcgen::{DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use rcgen::{SanType, date_time_ymd};
use rustls_pki_types::CertificateDer;

use crate::testing::base64_lines;

pub(super) type Issuing = CertifiedIssuer<'static, KeyPair>;

/// URI, in the tagging of `GeneralName`. Source: RFC 5280 section 4.2.1.6.
pub(super) const URI: u8 = 0x86;
pub(super) const DNS: u8 = 0x82;
pub(super) const EMAIL: u8 = 0x81;
pub(super) const IP: u8 = 0x87;
pub(super) const OTHER_NAME: u8 = 0xa0;
pub(super) const DIRECTORY_NAME: u8 = 0xa4;
pub(super) const REGISTERED_ID: u8 = 0x88;

/// The identity of a good leaf.
pub(super) const WEB: &[u8] = b"spiffe://td/ns/ns/sa/web";

/// What a peer shows: a chain, leaf first, and the key that it holds.
pub(super) struct Shown {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: KeyPair,
}

pub(super) struct Forge {
    pub(super) td: Issuing,
    pub(super) partner: Issuing,
}

impl Forge {
    pub(super) fn new() -> Self {
        Self { td: root("td root", |_| {}), partner: root("partner root", |_| {}) }
    }

    /// A good leaf of `td`, changed by `edit`.
    pub(super) fn leaf(&self, edit: impl FnOnce(&mut CertificateParams)) -> Shown {
        self.leaf_by(&self.td, edit)
    }

    #[expect(clippy::unused_self, reason = "reads as the other makers")]
    pub(super) fn leaf_by(
        &self,
        issuer: &Issuing,
        edit: impl FnOnce(&mut CertificateParams),
    ) -> Shown {
        let key = KeyPair::generate().unwrap();
        let mut params = good();
        edit(&mut params);
        let leaf = params.signed_by(&key, issuer).unwrap();
        Shown { chain: vec![leaf.der().clone()], key }
    }

    /// A good leaf under an intermediate of `td` changed by `edit`, shown with it.
    pub(super) fn below(&self, edit: impl FnOnce(&mut CertificateParams)) -> Shown {
        let middle = intermediate(&self.td, "td intermediate", edit);
        let mut shown = self.leaf_by(&middle, |_| {});
        shown.chain.push(middle.der().clone());
        shown
    }
}

impl Shown {
    pub(super) fn chain_pem(&self) -> String {
        let block = |der| {
            let lines = base64_lines(der);
            format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
        };
        self.chain.iter().map(|der| block(der.as_ref())).collect()
    }
}

/// Parameters of a leaf with nothing wrong.
pub(super) fn good() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2090, 1, 1);
    params.is_ca = IsCa::ExplicitNoCa;
    params.subject_alt_names = vec![SanType::URI("spiffe://td/ns/ns/sa/web".try_into().unwrap())];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// Puts the leaf into another trust domain.
pub(super) fn name(params: &mut CertificateParams, trust_domain: &str) {
    let uri = format!("spiffe://{trust_domain}/ns/ns/sa/web");
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
}

pub(super) fn root(common_name: &str, edit: impl FnOnce(&mut CertificateParams)) -> Issuing {
    let mut params = authority(common_name);
    edit(&mut params);
    Issuing::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

pub(super) fn intermediate(
    above: &Issuing,
    common_name: &str,
    edit: impl FnOnce(&mut CertificateParams),
) -> Issuing {
    let mut params = authority(common_name);
    edit(&mut params);
    Issuing::signed_by(params, KeyPair::generate().unwrap(), above).unwrap()
}

fn authority(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2091, 1, 1);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Replaces the names by raw ones: `(tag, content)` each.
pub(super) fn raw_names(params: &mut CertificateParams, names: &[(u8, &[u8])]) {
    params.subject_alt_names.clear();
    params.custom_extensions.push(names_extension(names));
}

pub(super) fn names_extension(names: &[(u8, &[u8])]) -> CustomExtension {
    let content: Vec<u8> = names.iter().flat_map(|(tag, content)| der(*tag, content)).collect();
    CustomExtension::from_oid_content(&[2, 5, 29, 17], der(0x30, &content))
}

/// Name constraints: `subtrees` is 0xa0 (permitted) or 0xa1 (excluded).
pub(super) fn constraint(subtrees: u8, tag: u8, base: &[u8]) -> CustomExtension {
    let subtree = der(0x30, &der(tag, base));
    let content = der(0x30, &der(subtrees, &subtree));
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 30], content);
    extension.set_criticality(true);
    extension
}

/// One DER element of up to 64 KiB.
pub(super) fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(length @ 0..=127) => out.push(length),
        Ok(length) => out.extend([0x81, length]),
        Err(_) => {
            out.push(0x82);
            out.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        }
    }
    out.extend_from_slice(content);
    out
}

/// The certificate with one bit of its signature turned.
pub(super) fn damaged(certificate: &Certificate) -> CertificateDer<'static> {
    let mut bytes = certificate.der().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    bytes.into()
}
