//! The table of certificates: what is wrong, and what each side must answer.

use rcgen::{BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, KeyPair};
use rcgen::{ExtendedKeyUsagePurpose as Purpose, KeyUsagePurpose as Usage, date_time_ymd};

use super::forge::{
    self, DIRECTORY_NAME, DNS, EMAIL, Forge, IP, OTHER_NAME, REGISTERED_ID, Shown, URI, WEB,
};

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) shown: Shown,
    /// The verdict when a client shows it.
    pub(super) as_client: &'static str,
    /// The verdict when a server shows it.
    pub(super) as_server: &'static str,
}

fn case(name: &'static str, verdict: &'static str, shown: Shown) -> Case {
    Case { name, shown, as_client: verdict, as_server: verdict }
}

pub(super) fn all(forge: &Forge) -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(names(forge));
    cases.extend(identities(forge));
    cases.extend(encodings(forge));
    cases.extend(purposes(forge));
    cases.extend(times_and_keys(forge));
    cases.extend(chains(forge));
    cases.extend(intermediates(forge));
    cases.extend(constraints(forge));
    cases
}

fn names(forge: &Forge) -> Vec<Case> {
    let with = |names: &[(u8, &[u8])]| forge.leaf(|params| forge::raw_names(params, names));
    let common_name = |text: &'static str| {
        forge.leaf(|params| {
            params.subject_alt_names.clear();
            params.distinguished_name.push(DnType::CommonName, text);
        })
    };
    let other_name = |text: &[u8]| {
        let oid = forge::der(0x06, &[0x2b, 0x06, 0x01]);
        [oid, forge::der(0xa0, &forge::der(0x16, text))].concat()
    };
    let directory = forge::der(0x30, &[]);
    vec![
        case("good", "ok", forge.leaf(|_| {})),
        case("DNS beside", "ok", with(&[(URI, WEB), (DNS, b"web.ns.svc")])),
        case(
            "IP and email beside",
            "ok",
            with(&[(IP, &[127, 0, 0, 1]), (EMAIL, b"a@b"), (URI, WEB)]),
        ),
        case("identity in CN only", "no_identity", common_name("spiffe://td/ns/ns/sa/web")),
        case("host in CN only", "no_identity", common_name("web.ns.svc")),
        case("DNS only", "no_identity", with(&[(DNS, b"web.ns.svc")])),
        case("DNS that reads as URI", "no_identity", with(&[(DNS, WEB)])),
        case("email only", "no_identity", with(&[(EMAIL, b"web@td")])),
        case("IP only", "no_identity", with(&[(IP, &[127, 0, 0, 1])])),
        case(
            "two identities",
            "many_identities",
            with(&[(URI, WEB), (URI, b"spiffe://td/ns/ns/sa/db")]),
        ),
        case("the same twice", "many_identities", with(&[(URI, WEB), (URI, WEB)])),
        case("https beside", "many_identities", with(&[(URI, WEB), (URI, b"https://td/")])),
        case("https before", "many_identities", with(&[(URI, b"https://td/"), (URI, WEB)])),
        case("otherName only", "forbidden_name", with(&[(OTHER_NAME, &other_name(WEB))])),
        case(
            "otherName beside",
            "forbidden_name",
            with(&[(URI, WEB), (OTHER_NAME, &other_name(b"x"))]),
        ),
        case(
            "directoryName beside",
            "forbidden_name",
            with(&[(URI, WEB), (DIRECTORY_NAME, &directory)]),
        ),
        case(
            "registeredID beside",
            "forbidden_name",
            with(&[(URI, WEB), (REGISTERED_ID, &[0x2b, 6, 1])]),
        ),
        case("unknown kind beside", "forbidden_name", with(&[(URI, WEB), (0x89, b"x")])),
    ]
}

fn identities(forge: &Forge) -> Vec<Case> {
    let uri = |name, text: &str| {
        let names: &[(u8, &[u8])] = &[(URI, text.as_bytes())];
        case(name, "not_spiffe", forge.leaf(|params| forge::raw_names(params, names)))
    };
    let long = format!("spiffe://td/ns/ns/sa/{}", "w".repeat(2048));
    vec![
        uri("https", "https://td/ns/ns/sa/web"),
        uri("upper-case scheme", "SPIFFE://td/ns/ns/sa/web"),
        uri("upper-case domain", "spiffe://TD/ns/ns/sa/web"),
        uri("no path", "spiffe://td"),
        uri("no service account", "spiffe://td/ns/ns"),
        uri("empty service account", "spiffe://td/ns/ns/sa/"),
        uri("empty namespace", "spiffe://td/ns//sa/web"),
        uri("empty domain", "spiffe:///ns/ns/sa/web"),
        uri("more path", "spiffe://td/ns/ns/sa/web/x"),
        uri("slash at the end", "spiffe://td/ns/ns/sa/web/"),
        uri("query", "spiffe://td/ns/ns/sa/web?a=b"),
        uri("fragment", "spiffe://td/ns/ns/sa/web#a"),
        uri("port", "spiffe://td:443/ns/ns/sa/web"),
        uri("user", "spiffe://a@td/ns/ns/sa/web"),
        uri("percent", "spiffe://td/ns/ns/sa/%77eb"),
        uri("dot segment", "spiffe://td/ns/../sa/web"),
        uri("swapped", "spiffe://td/sa/web/ns/ns"),
        uri("wildcard", "spiffe://td/ns/*/sa/web"),
        uri("empty", ""),
        uri("two slashes fewer", "spiffe:/td/ns/ns/sa/web"),
        uri("backslash", "spiffe://td\\ns\\ns\\sa\\web"),
        uri("domain with a dot at the end of its path", "spiffe://td/ns/ns/sa/."),
        uri("underscore in the keyword", "spiffe://td/n_s/ns/sa/web"),
        uri("longer than SPIFFE allows", &long),
    ]
}

fn encodings(forge: &Forge) -> Vec<Case> {
    let with = |names: &[(u8, &[u8])]| forge.leaf(|params| forge::raw_names(params, names));
    let raw = |content: Vec<u8>| {
        forge.leaf(|params| {
            params.subject_alt_names.clear();
            let extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], content);
            params.custom_extensions.push(extension);
        })
    };
    let twice = forge.leaf(|params| {
        forge::raw_names(params, &[(URI, WEB)]);
        params.custom_extensions.push(forge::names_extension(&[(URI, WEB)]));
    });
    let forbidden = |name, uri: &[u8]| case(name, "forbidden_name", with(&[(URI, uri)]));
    let mut trailing = forge.leaf(|_| {});
    trailing.chain[0] = [trailing.chain[0].as_ref(), b"x"].concat().into();
    let garbage =
        Shown { chain: vec![b"garbage".to_vec().into()], key: KeyPair::generate().unwrap() };
    vec![
        forbidden("NUL at the end", b"spiffe://td/ns/ns/sa/web\0"),
        forbidden("NUL in the account", b"spiffe://td/ns/ns/sa/web\0.evil"),
        forbidden("NUL in the domain", b"spiffe://td\0.evil/ns/ns/sa/web"),
        forbidden("blank", b"spiffe://td/ns/ns/sa/web "),
        forbidden("newline", b"spiffe://td/ns/ns/sa/web\n"),
        forbidden("homoglyph", "spiffe://td/ns/ns/sa/w\u{435}b".as_bytes()),
        forbidden("no UTF-8", b"spiffe://td/ns/ns/sa/w\xffb"),
        case("NUL in DNS beside", "forbidden_name", with(&[(URI, WEB), (DNS, b"a\0.b")])),
        case("no UTF-8 in DNS beside", "forbidden_name", with(&[(URI, WEB), (DNS, b"\xff")])),
        case("names are empty", "no_identity", with(&[])),
        case("names are cut off", "malformed", raw(vec![0x30, 0x20, URI, 0x18])),
        case("names are no sequence", "malformed", raw(forge::der(0x04, WEB))),
        case("names twice", "malformed", twice),
        case("bytes after the certificate", "malformed", trailing),
        case("no certificate at all", "malformed", garbage),
    ]
}

fn purposes(forge: &Forge) -> Vec<Case> {
    let used =
        |purposes: &[Purpose]| forge.leaf(|params| params.extended_key_usages = purposes.to_vec());
    let usages = |usages: &[Usage]| forge.leaf(|params| params.key_usages = usages.to_vec());
    let authority = |constraints| forge.leaf(|params| params.is_ca = IsCa::Ca(constraints));
    vec![
        case("CA", "is_authority", authority(BasicConstraints::Unconstrained)),
        case(
            "CA that may have leaves",
            "is_authority",
            authority(BasicConstraints::Constrained(0)),
        ),
        case(
            "may sign certificates",
            "is_authority",
            usages(&[Usage::DigitalSignature, Usage::KeyCertSign]),
        ),
        case("may sign CRLs", "is_authority", usages(&[Usage::DigitalSignature, Usage::CrlSign])),
        case("may only encipher", "wrong_purpose", usages(&[Usage::KeyEncipherment])),
        case("no key usage", "ok", usages(&[])),
        case("no extended key usage", "ok", used(&[])),
        Case {
            name: "server only",
            shown: used(&[Purpose::ServerAuth]),
            as_client: "wrong_purpose",
            as_server: "ok",
        },
        Case {
            name: "client only",
            shown: used(&[Purpose::ClientAuth]),
            as_client: "ok",
            as_server: "wrong_purpose",
        },
        case("code signing only", "wrong_purpose", used(&[Purpose::CodeSigning])),
        case(
            "OCSP and time stamps",
            "wrong_purpose",
            used(&[Purpose::OcspSigning, Purpose::TimeStamping]),
        ),
        case("any purpose", "wrong_purpose", used(&[Purpose::Any])),
    ]
}

fn times_and_keys(forge: &Forge) -> Vec<Case> {
    let between = |from: i32, to: i32| {
        forge.leaf(|params| {
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(to, 1, 1);
        })
    };
    let keyed = |algorithm| {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let leaf = forge::good().signed_by(&key, &forge.td).unwrap();
        Shown { chain: vec![leaf.der().clone()], key }
    };
    vec![
        case("expired", "expired", between(2001, 2002)),
        case("not yet valid", "not_yet_valid", between(2080, 2081)),
        case("ends before it begins", "expired", between(2081, 2002)),
        case("P-384 key", "ok", keyed(&rcgen::PKCS_ECDSA_P384_SHA384)),
        case("Ed25519 key", "ok", keyed(&rcgen::PKCS_ED25519)),
    ]
}

fn chains(forge: &Forge) -> Vec<Case> {
    let self_signed = {
        let key = KeyPair::generate().unwrap();
        let leaf = forge::good().self_signed(&key).unwrap();
        Shown { chain: vec![leaf.der().clone()], key }
    };
    let damaged = {
        let key = KeyPair::generate().unwrap();
        let leaf = forge::good().signed_by(&key, &forge.td).unwrap();
        Shown { chain: vec![forge::damaged(&leaf)], key }
    };
    let mut alone = forge.below(|_| {});
    alone.chain.truncate(1);
    let mut with_root = forge.below(|_| {});
    with_root.chain.push(forge.td.der().clone());
    let mut with_others = forge.below(|_| {});
    with_others.chain.insert(1, forge.partner.der().clone());
    let mut long = forge.leaf(|_| {});
    long.chain.extend(std::iter::repeat_n(forge.td.der().clone(), super::MAX_CHAIN));
    let own_root = forge::root("own root", |_| {});
    let mut brings_its_root = forge.leaf_by(&own_root, |_| {});
    brings_its_root.chain.push(own_root.der().clone());
    let same_name = forge::root("td root", |_| {});
    let named = |issuer, domain: &str| forge.leaf_by(issuer, |params| forge::name(params, domain));
    vec![
        case("self-signed", "unknown_issuer", self_signed),
        case("signature damaged", "unknown_issuer", damaged),
        case("root of the same name", "unknown_issuer", forge.leaf_by(&same_name, |_| {})),
        case("brings its own root", "unknown_issuer", brings_its_root),
        case("unknown trust domain", "unknown_trust_domain", named(&forge.td, "stranger")),
        case("domain with a prefix", "unknown_trust_domain", named(&forge.td, "td.evil")),
        case("partner named by our CA", "unknown_issuer", named(&forge.td, "partner")),
        case("we named by the partner's CA", "unknown_issuer", named(&forge.partner, "td")),
        case("partner", "ok", named(&forge.partner, "partner")),
        case("intermediate", "ok", forge.below(|_| {})),
        case("intermediate and root", "ok", with_root),
        case("unrelated certificates", "ok", with_others),
        case("intermediate is missing", "unknown_issuer", alone),
        case("chain of nine", "chain_too_long", long),
    ]
}

fn constraints(forge: &Forge) -> Vec<Case> {
    let below = |edit: &dyn Fn(&mut CertificateParams)| forge.below(edit);
    let constrained = |subtrees, tag, base: &'static [u8]| {
        below(&|params| params.custom_extensions.push(forge::constraint(subtrees, tag, base)))
    };
    let critical = |name: &'static str, oid: &[u64]| {
        let mut extension = CustomExtension::from_oid_content(oid, vec![5, 0]);
        extension.set_criticality(true);
        case(name, "chain", forge.leaf(|params| params.custom_extensions.push(extension)))
    };
    let dns_below = {
        let middle = forge::intermediate(&forge.td, "narrow", |params| {
            params.custom_extensions.push(forge::constraint(0xa0, DNS, b"example.com"));
        });
        let names: &[(u8, &[u8])] = &[(URI, WEB), (DNS, b"web.evil")];
        let mut shown = forge.leaf_by(&middle, |params| forge::raw_names(params, names));
        shown.chain.push(middle.der().clone());
        shown
    };
    vec![
        case("DNS name outside the constraint", "chain", dns_below),
        case("constraint on DNS, URI shown", "ok", constrained(0xa0, DNS, b"example.com")),
        case("URI constraint permits", "chain", constrained(0xa0, URI, b"td")),
        case("URI constraint excludes another", "chain", constrained(0xa1, URI, b"evil")),
        critical("unknown critical extension", &[1, 2, 3, 4]),
        critical("critical policy constraints", &[2, 5, 29, 36]),
        critical("critical inhibit any policy", &[2, 5, 29, 54]),
        case(
            "unknown critical extension of the intermediate",
            "chain",
            below(&|params| {
                let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
                extension.set_criticality(true);
                params.custom_extensions.push(extension);
            }),
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table, one entry per certificate")]
fn intermediates(forge: &Forge) -> Vec<Case> {
    let below = |edit: &dyn Fn(&mut CertificateParams)| forge.below(edit);
    let by_leaf = {
        let leaf = forge::intermediate(&forge.td, "leaf", |params| {
            params.is_ca = IsCa::NoCa;
            params.key_usages = vec![Usage::DigitalSignature];
        });
        let mut shown = forge.leaf_by(&leaf, |_| {});
        shown.chain.push(leaf.der().clone());
        shown
    };
    let two_below = {
        let upper = forge::intermediate(&forge.td, "upper", |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        });
        let lower = forge::intermediate(&upper, "lower", |_| {});
        let mut shown = forge.leaf_by(&lower, |_| {});
        shown.chain.extend([lower.der().clone(), upper.der().clone()]);
        shown
    };
    vec![
        case(
            "intermediate expired",
            "expired",
            below(&|params| {
                params.not_after = date_time_ymd(2002, 1, 1);
            }),
        ),
        case(
            "intermediate is no CA",
            "chain",
            below(&|params| {
                params.is_ca = IsCa::ExplicitNoCa;
            }),
        ),
        case(
            "intermediate for code",
            "wrong_purpose",
            below(&|params| {
                params.extended_key_usages = vec![Purpose::CodeSigning];
            }),
        ),
        case(
            "intermediate not yet valid",
            "not_yet_valid",
            below(&|params| {
                params.not_before = date_time_ymd(2080, 1, 1);
            }),
        ),
        case(
            "intermediate may not sign",
            "wrong_purpose",
            below(&|params| {
                params.key_usages = vec![Usage::DigitalSignature];
            }),
        ),
        Case {
            name: "intermediate for servers",
            shown: below(&|params| params.extended_key_usages = vec![Purpose::ServerAuth]),
            as_client: "wrong_purpose",
            as_server: "ok",
        },
        case("a leaf as issuer", "chain", by_leaf),
        case("path is too long", "chain", two_below),
    ]
}
