//! A token is taken if it is exactly what we sign, and in no other case.

use super::*;
use crate::testing::{DAY, identity};

const NOW: u64 = 1_800_000_000;

fn control() -> Identity {
    Identity::new("td", "istio-system", "meshcore-control").unwrap()
}

fn grant(ttl: Duration) -> Grant {
    let roots = vec!["ab".repeat(32)];
    Grant { identity: identity("web"), issuer: control(), roots, ttl }
}

fn body() -> serde_json::Value {
    serde_json::json!({
        "iss": control().as_str(), "sub": "system:serviceaccount:ns:web", "aud": "meshcore-ca",
        "iat": NOW, "exp": NOW + 3600, "jti": "0".repeat(32), "meshcore.io/root": "ab".repeat(32),
    })
}

fn signed(key: &TokenKey, header: &str, body: &str) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(body));
    let random = aws_lc_rs::rand::SystemRandom::new();
    let signature = key.pair.sign(&random, text.as_bytes()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn what_is_signed_comes_back() {
    let key = TokenKey::create().unwrap();
    let again = TokenKey::load(key.pem()).unwrap();
    let token = key.sign(&grant(DAY), NOW).unwrap();
    let claims = again.verify(&token.text, &control(), NOW + 10).unwrap();
    assert_eq!(claims, token.claims);
    assert_eq!(claims.identity(), &identity("web"));
    assert_eq!(claims.expires_at(), NOW + 86_400);
    assert_eq!(Claims::unverified(&token.text).unwrap(), claims);
    assert_ne!(key.sign(&grant(DAY), NOW).unwrap().claims.id(), claims.id());
    assert!(!format!("{key:?} {token:?}").contains(&token.text[..20]));
}

#[test]
fn a_life_has_bounds() {
    let key = TokenKey::create().unwrap();
    for ttl in [Duration::ZERO, Duration::from_millis(900), MAX_TOKEN_TTL * 2, Duration::MAX] {
        assert_eq!(key.sign(&grant(ttl), NOW).unwrap_err(), TokenError::Life);
    }
    let token = key.sign(&grant(Duration::from_secs(2)), NOW).unwrap().text;
    assert!(key.verify(&token, &control(), NOW + 1).is_ok());
    let ended = key.verify(&token, &control(), NOW + 2).unwrap_err();
    assert_eq!(ended, TokenError::Expired(NOW + 2));
    assert!(key.verify(&token, &control(), NOW - 59).is_ok(), "clocks differ");
    assert_eq!(key.verify(&token, &control(), NOW - 61).unwrap_err(), TokenError::NotYetValid(NOW));
}

#[test]
fn nobody_speaks_for_the_control_plane() {
    let key = TokenKey::create().unwrap();
    let ours = Grant { identity: control(), ..grant(DAY) };
    assert_eq!(key.sign(&ours, NOW).unwrap_err(), TokenError::Reserved);
    let mut forged = body();
    forged["sub"] = "system:serviceaccount:istio-system:meshcore-control".into();
    let token = signed(&key, claims::HEADER, &forged.to_string());
    assert_eq!(key.verify(&token, &control(), NOW).unwrap_err(), TokenError::Reserved);
}

/// Each of these has a valid signature of the right key.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_we_do_not_write_is_refused_though_it_is_signed() {
    let key = TokenKey::create().unwrap();
    let verify =
        |header: &str, body: &str| key.verify(&signed(&key, header, body), &control(), NOW);
    let plain = body();
    assert!(verify(claims::HEADER, &plain.to_string()).is_ok());
    for (name, header) in [
        ("alg none", r#"{"alg":"none"}"#),
        ("alg None", r#"{"alg":"None","typ":"JWT"}"#),
        ("alg HS256", r#"{"alg":"HS256","typ":"JWT"}"#),
        ("alg RS256", r#"{"alg":"RS256","typ":"JWT"}"#),
        ("alg es256", r#"{"alg":"es256"}"#),
        ("no alg", r#"{"typ":"JWT"}"#),
        ("alg twice", r#"{"alg":"ES256","alg":"none"}"#),
        ("alg list", r#"{"alg":["ES256"]}"#),
        ("kid", r#"{"alg":"ES256","kid":"../../dev/null"}"#),
        ("jwk", r#"{"alg":"ES256","jwk":{}}"#),
        ("jku", r#"{"alg":"ES256","jku":"http://a/"}"#),
        ("crit", r#"{"alg":"ES256","crit":["b64"],"b64":false}"#),
        ("another typ", r#"{"alg":"ES256","typ":"at+jwt"}"#),
        ("no object", "[]"),
        ("empty", ""),
    ] {
        assert!(verify(header, &plain.to_string()).is_err(), "{name}");
    }
    let with = |name: &str, value: serde_json::Value| {
        let mut body = body();
        body[name] = value;
        body.to_string()
    };
    let without = |name: &str| {
        let mut body = body();
        body.as_object_mut().unwrap().remove(name);
        body.to_string()
    };
    for (name, body) in [
        ("audience", with("aud", "istio-ca".into())),
        ("audiences", with("aud", serde_json::json!(["meshcore-ca"]))),
        ("no audience", without("aud")),
        ("no issuer", without("iss")),
        ("another issuer", with("iss", "spiffe://td/ns/other/sa/meshcore-control".into())),
        (
            "another domain",
            with("iss", "spiffe://other/ns/istio-system/sa/meshcore-control".into()),
        ),
        ("no subject", without("sub")),
        ("a user", with("sub", "system:admin".into())),
        ("no account", with("sub", "system:serviceaccount:ns".into())),
        ("empty account", with("sub", "system:serviceaccount:ns:".into())),
        ("account with a colon", with("sub", "system:serviceaccount:ns:web:x".into())),
        ("account with a slash", with("sub", "system:serviceaccount:ns:web/sa/x".into())),
        ("account of dots", with("sub", "system:serviceaccount:..:web".into())),
        ("no end", without("exp")),
        ("end as text", with("exp", "9999999999".into())),
        ("end as fraction", with("exp", serde_json::json!(1.9e9))),
        ("end before beginning", with("exp", (NOW - 1).into())),
        ("no life", with("exp", NOW.into())),
        ("too long a life", with("exp", (NOW + 365 * 86_400).into())),
        ("negative beginning", with("iat", (-1).into())),
        ("no beginning", without("iat")),
        ("from tomorrow on", with("nbf", (NOW + 86_400).into())),
        ("no id", without("jti")),
        ("id of a path", with("jti", "../../../../../../../../etc/pass".into())),
        ("no root", without("meshcore.io/root")),
        ("junk as root", with("meshcore.io/root", "x".into())),
        ("many roots", with("meshcore.io/root", vec!["ab".repeat(32); 9].join(" ").into())),
        ("a claim more", with("groups", "admin".into())),
        (
            "subject twice",
            plain.to_string().replacen('{', r#"{"sub":"system:serviceaccount:ns:a","#, 1),
        ),
        ("end twice", plain.to_string().replacen('{', r#"{"exp":9999999999,"#, 1)),
        ("bytes after", format!("{plain}x")),
        ("no object", "1".into()),
    ] {
        assert!(verify(claims::HEADER, &body).is_err(), "{name}");
    }
}

#[test]
fn what_is_not_signed_by_us_is_refused() {
    let key = TokenKey::create().unwrap();
    let other = TokenKey::create().unwrap();
    let good = key.sign(&grant(DAY), NOW).unwrap().text;
    let (rest, signature) = good.rsplit_once('.').unwrap();
    let (header, body) = rest.split_once('.').unwrap();
    let elevated = String::from_utf8(URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap();
    let elevated = URL_SAFE_NO_PAD.encode(elevated.replace("ns:web", "ns:admin"));
    // The classic: the public key as the secret of a MAC.
    let mac_header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let mac_key =
        aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key.pair.public_key().as_ref());
    let mac_text = format!("{mac_header}.{body}");
    let mac = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&mac_key, mac_text.as_bytes()));
    for (name, token) in [
        ("empty", String::new()),
        ("dots", "..".into()),
        ("two parts", rest.to_owned()),
        ("four parts", format!("{good}.{signature}")),
        ("no signature", format!("{rest}.")),
        ("another key", other.sign(&grant(DAY), NOW).unwrap().text),
        ("another body", format!("{header}.{elevated}.{signature}")),
        ("MAC with the public key", format!("{mac_text}.{mac}")),
        ("zeros", format!("{rest}.{}", URL_SAFE_NO_PAD.encode([0; 64]))),
        ("signature in DER", format!("{rest}.{}", URL_SAFE_NO_PAD.encode([48; 70]))),
        ("padded", format!("{good}=")),
        ("a blank", format!(" {good}")),
        ("a line", format!("{good}\n")),
        ("none", format!("{}.{body}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#))),
        ("huge", format!("{good}{}", "A".repeat(1 << 20))),
        ("not ASCII", "é.é.é".into()),
    ] {
        assert!(key.verify(&token, &control(), NOW).is_err(), "{name}");
    }
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(key.verify(&changed, &control(), NOW).is_err(), "byte {at}");
    }
}
