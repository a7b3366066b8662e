//! The authority signs what the caller says and nothing that the request says.

use rcgen::BasicConstraints;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;

use super::*;
use crate::leaf::Leaf;
use crate::testing::{DAY, identity};
use crate::{Materials, TrustBundle};

fn read(issued: &Issued) -> (CertificateDer<'static>, Leaf) {
    let der = CertificateDer::from_pem_slice(issued.chain_pem.as_bytes()).unwrap();
    let leaf = Leaf::read(&der).unwrap();
    (der, leaf)
}

fn with_leaf<T>(issued: &Issued, look: impl FnOnce(&X509Certificate<'_>) -> T) -> T {
    look(&crate::leaf::parse(&read(issued).0).unwrap())
}

fn request(edit: impl FnOnce(&mut CertificateParams)) -> String {
    request_by(&new_key().unwrap(), edit)
}

fn request_by(key: &KeyPair, edit: impl FnOnce(&mut CertificateParams)) -> String {
    let mut params = CertificateParams::default();
    edit(&mut params);
    params.serialize_request(key).unwrap().pem().unwrap()
}

#[test]
fn a_signed_request_makes_usable_materials() {
    let authority = Authority::create("td", DAY).unwrap();
    let csr = new_csr(&identity("web")).unwrap();
    let issued = authority.sign_csr(&csr.csr_pem, &identity("web"), DAY / 2).unwrap();
    let bundle = TrustBundle::from_pem([("td", &issued.root_pem)]).unwrap();
    let materials =
        Materials::from_pem(issued.chain_pem.as_bytes(), csr.key_pem.as_bytes(), bundle).unwrap();
    assert_eq!(materials.identity(), &identity("web"));
    assert_eq!(materials.not_after(), issued.not_after);
    assert_eq!(issued.certificates.len(), 2, "leaf, then root");
    assert_eq!(issued.certificates[1], authority.root_pem());
    assert!(
        issued.serial.ends_with(materials.serial()) || materials.serial().ends_with(&issued.serial)
    );
}

#[test]
fn the_identity_is_the_callers_whatever_the_request_says() {
    let authority = Authority::create("td", DAY).unwrap();
    let greedy = request(|params| {
        params.distinguished_name.push(DnType::CommonName, "admin");
        params.subject_alt_names = vec![
            SanType::URI("spiffe://td/ns/kube-system/sa/admin".try_into().unwrap()),
            SanType::DnsName("admin.td".try_into().unwrap()),
        ];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    });
    let issued = authority.sign_csr(&greedy, &identity("web"), DAY).unwrap();
    assert_eq!(read(&issued).1.identity, identity("web"));
    with_leaf(&issued, |leaf| {
        assert_eq!(leaf.subject().iter().count(), 0, "no subject");
        let names = leaf.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 1);
        assert!(names.critical, "names are critical when the subject is empty");
        assert!(!leaf.is_ca());
        assert!(!leaf.key_usage().unwrap().unwrap().value.key_cert_sign());
        let usage = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && usage.server_auth && !usage.code_signing);
    });
}

#[test]
fn life_is_capped_and_begins_two_minutes_ago() {
    let authority = Authority::create("td", DAY * 400).unwrap();
    let now = UnixTime::now().as_secs();
    for (asked, given) in [(DAY, DAY), (MAX_TTL * 3, MAX_TTL), (Duration::MAX, MAX_TTL)] {
        let csr = new_csr(&identity("web")).unwrap().csr_pem;
        let issued = authority.sign_csr(&csr, &identity("web"), asked).unwrap();
        let life = issued.not_after - now;
        assert!((given.as_secs()..given.as_secs() + 60).contains(&life), "{life}");
        assert!((115..=121).contains(&(now - issued.not_before)), "{}", issued.not_before);
        assert_eq!(read(&issued).1.not_after, issued.not_after);
    }
    let brief = Authority::create("td", Duration::from_mins(10)).unwrap();
    let issued = brief.issue(&identity("web"), DAY).unwrap();
    assert_eq!(issued.not_after, brief.not_after(), "never past the authority");
    let nothing = brief.issue(&identity("web"), Duration::ZERO).unwrap_err();
    assert!(matches!(nothing, CaError::ZeroTtl));
}

#[test]
fn an_authority_past_its_end_does_not_sign() {
    let authority = Authority::create("td", Duration::from_secs(2)).unwrap();
    while UnixTime::now().as_secs() < authority.not_after() {
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let error = authority.issue(&identity("web"), DAY).unwrap_err();
    assert!(matches!(error, CaError::AuthorityExpired(_)), "{error}");
}

#[test]
fn serials_are_random_and_long() {
    let authority = Authority::create("td", DAY).unwrap();
    let serials: std::collections::HashSet<_> =
        (0..64).map(|_| authority.issue(&identity("web"), DAY).unwrap().serial).collect();
    assert_eq!(serials.len(), 64);
    assert!(serials.iter().all(|serial| serial.len() == 32), "{serials:?}");
}

#[test]
fn requests_that_prove_nothing_are_refused() {
    let authority = Authority::create("td", DAY).unwrap();
    let good = request(|_| {});
    let flipped = {
        let mut der =
            rustls_pki_types::CertificateSigningRequestDer::from_pem_slice(good.as_bytes())
                .unwrap()
                .to_vec();
        let at = der.len() - 20;
        der[at] ^= 1;
        armoured(&der)
    };
    let ed25519 = request_by(&KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(), |_| {});
    let long = format!("{good}{}", " ".repeat(20_000));
    for (name, pem, wanted) in [
        ("empty", String::new(), "cannot be read"),
        ("text", "hello".into(), "cannot be read"),
        ("certificate", authority.root_pem().to_owned(), "cannot be read"),
        ("no DER", armoured(b"hello"), "cannot be read"),
        ("cut off", good.replace("-----END", "-----FIN"), "cannot be read"),
        ("longer than 16 KiB", long, "cannot be read"),
        ("signature damaged", flipped, "not signed by its own key"),
        ("Ed25519", ed25519, "refused"),
    ] {
        let error = authority.sign_csr(&pem, &identity("web"), DAY).unwrap_err();
        assert!(error.to_string().contains(wanted), "{name}: {error}");
    }
}

/// The request of a workload that makes its keys with OpenSSL, as Istio's agents may: RSA 2048
/// is the least.
#[test]
fn rsa_keys_are_signed_from_2048_bits_on() {
    let authority = Authority::create("td", DAY).unwrap();
    let make = |bits: &str| {
        let output = std::process::Command::new("openssl")
            .args(["req", "-new", "-nodes", "-newkey", bits, "-keyout", "/dev/null", "-subj", "/"])
            .output();
        output
            .ok()
            .filter(|output| output.status.success())
            .map(|output| String::from_utf8(output.stdout).unwrap())
    };
    let (Some(good), Some(weak)) = (make("rsa:2048"), make("rsa:1024")) else {
        std::io::Write::write_all(&mut std::io::stderr(), b"skipped: openssl is not installed\n")
            .unwrap();
        return;
    };
    let issued = authority.sign_csr(&good, &identity("web"), DAY).unwrap();
    assert_eq!(read(&issued).1.identity, identity("web"));
    let error = authority.sign_csr(&weak, &identity("web"), DAY).unwrap_err();
    assert!(matches!(error, CaError::WeakKey(_)), "{error}");
}

#[test]
fn an_authority_comes_back_from_its_pem() {
    let authority = Authority::create("td", DAY).unwrap();
    let again = Authority::load(&authority.cert_pem(), &authority.key_pem()).unwrap();
    assert_eq!(again.root_pem(), authority.root_pem());
    let issued = again.issue(&identity("web"), DAY).unwrap();
    let bundle = TrustBundle::from_pem([("td", authority.root_pem())]).unwrap();
    let materials =
        Materials::from_pem(issued.chain_pem.as_bytes(), issued.key_pem.as_bytes(), bundle);
    let shared = crate::shared::Shared::new(materials.unwrap());
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(issued.chain_pem.as_bytes()).map(Result::unwrap).collect();
    crate::verify::verify(&shared, crate::verify::Role::Client, &chain, UnixTime::now()).unwrap();
}

/// An intermediate of `authority`, as `(PEM, key)`.
fn below(authority: &Authority, edit: impl FnOnce(&mut CertificateParams)) -> (String, KeyPair) {
    let key = new_key().unwrap();
    let mut params = lasting(DAY, u64::MAX).unwrap();
    params.distinguished_name.push(DnType::CommonName, "intermediate");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    edit(&mut params);
    let pem = params.signed_by(&key, &authority.0.issuer).unwrap().pem();
    (pem, key)
}

#[test]
fn an_intermediate_shows_itself_and_not_the_root() {
    let root = Authority::create("td", DAY).unwrap();
    let (pem, key) = below(&root, |_| {});
    let chain = format!("an intermediate\n{pem}and its root\n{}", root.root_pem());
    let authority = Authority::load(&chain, &key.serialize_pem()).unwrap();
    assert_eq!(authority.root_pem(), root.root_pem());
    let csr = new_csr(&identity("web")).unwrap();
    let issued = authority.sign_csr(&csr.csr_pem, &identity("web"), DAY).unwrap();
    assert_eq!(issued.certificates.len(), 3);
    assert_eq!(issued.chain_pem.matches("BEGIN CERTIFICATE").count(), 2);
    let bundle = TrustBundle::from_pem([("td", root.root_pem())]).unwrap();
    let materials =
        Materials::from_pem(issued.chain_pem.as_bytes(), csr.key_pem.as_bytes(), bundle).unwrap();
    let mesh = crate::MeshTls::new(materials, crate::MeshTlsOptions::default());
    let expected = crate::Expected::identities([&identity("web")]);
    let client = mesh.client_config(&expected, crate::alpn::HBONE).unwrap();
    let server = mesh.server_config(crate::alpn::HBONE).unwrap();
    let pair = crate::testing::shake(&client, &server, "a.b").unwrap();
    assert_eq!(mesh.client_of(&pair.1).unwrap(), identity("web"));
}

#[test]
fn an_authority_that_does_not_fit_together_is_refused() {
    let root = Authority::create("td", DAY).unwrap();
    let other = Authority::create("td", DAY).unwrap();
    let (pem, key) = below(&root, |_| {});
    let key = key.serialize_pem();
    let (no_ca, no_ca_key) = below(&root, |params| params.is_ca = IsCa::NoCa);
    let (mute, mute_key) =
        below(&root, |params| params.key_usages = vec![KeyUsagePurpose::CrlSign]);
    let (old, old_key) = below(&root, |params| params.not_after = rcgen::date_time_ymd(2002, 1, 1));
    let upper = Authority::load(&format!("{pem}{}", root.root_pem()), &key).unwrap();
    let (deep, deep_key) = below(&upper, |_| {});
    let deep = format!("{deep}{}", upper.cert_pem());
    let leaf = root.issue(&identity("web"), DAY).unwrap();
    let with_root = |pem: &str| format!("{pem}{}", root.root_pem());
    for (name, chain, key, wanted) in [
        ("nothing", String::new(), key.clone(), "no certificate"),
        ("no key", with_root(&pem), String::new(), "private key"),
        ("key of another", with_root(&pem), root.key_pem(), "another certificate"),
        ("no root", pem.clone(), key.clone(), "append the chain"),
        ("another root", format!("{pem}{}", other.root_pem()), key.clone(), "append the chain"),
        ("root first", format!("{}{pem}", root.root_pem()), root.key_pem(), "append the chain"),
        ("too deep", deep, deep_key.serialize_pem(), "does not allow"),
        ("no CA", with_root(&no_ca), no_ca_key.serialize_pem(), "not a CA"),
        ("a leaf", with_root(&leaf.chain_pem), leaf.key_pem.clone(), "not a CA"),
        ("may not sign", with_root(&mute), mute_key.serialize_pem(), "may not sign"),
        ("expired", with_root(&old), old_key.serialize_pem(), "expired"),
    ] {
        let error = Authority::load(&chain, &key).unwrap_err();
        assert!(error.to_string().contains(wanted), "{name}: {error}");
    }
}

#[test]
fn secrets_stay_out_of_debug_output() {
    let authority = Authority::create("td", DAY).unwrap();
    let issued = authority.issue(&identity("web"), DAY).unwrap();
    let csr = new_csr(&identity("web")).unwrap();
    let bundle = TrustBundle::from_pem([("td", authority.root_pem())]).unwrap();
    let materials =
        Materials::from_pem(issued.chain_pem.as_bytes(), issued.key_pem.as_bytes(), bundle);
    let shown = format!("{authority:?} {issued:?} {csr:?} {materials:?}");
    for key in [authority.key_pem(), issued.key_pem, csr.key_pem] {
        let line = key.lines().nth(1).unwrap();
        assert!(!shown.contains(line) && !shown.contains("PRIVATE KEY"));
    }
}

fn armoured(der: &[u8]) -> String {
    let label = "CERTIFICATE REQUEST";
    let lines = crate::testing::base64_lines(der);
    format!("-----BEGIN {label}-----\n{lines}-----END {label}-----\n")
}
