//! What a token says.

use meshcore_model::Identity;
use serde::{Deserialize, Serialize};

use super::{Grant, MAX_TOKEN_TTL, SKEW_SECONDS, TokenError};

/// Whom our tokens are meant for.
pub const AUDIENCE: &str = "meshcore-ca";

/// The header of our tokens.
pub(super) const HEADER: &str = r#"{"alg":"ES256","typ":"JWT"}"#;

/// Random bytes of an id.
pub(super) const ID_BYTES: usize = 16;

/// Source: Kubernetes `pkg/serviceaccount`.
const SUBJECT: &str = "system:serviceaccount:";

/// Roots that a token names, at most: those of a rotation and one more.
const MAX_ROOTS: usize = 4;

/// What a token says, read strictly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    identity: Identity,
    issuer: Identity,
    roots: Vec<String>,
    id: String,
    issued_at: u64,
    not_before: Option<u64>,
    expires_at: u64,
}

/// As it is written. Serde refuses a field that is there twice.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    iss: Identity,
    sub: String,
    aud: String,
    iat: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    exp: u64,
    jti: String,
    #[serde(rename = "meshcore.io/root")]
    root: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    #[serde(default)]
    typ: Option<String>,
}

// === impl Claims ===

impl Claims {
    pub(super) fn new(grant: &Grant, now: u64, id: String) -> Self {
        Self {
            identity: grant.identity.clone(),
            issuer: grant.issuer.clone(),
            roots: grant.roots.clone(),
            id,
            issued_at: now,
            not_before: None,
            expires_at: now.saturating_add(grant.ttl.as_secs()),
        }
    }

    pub(super) fn read(json: &[u8]) -> Result<Self, TokenError> {
        let written: Written =
            serde_json::from_slice(json).map_err(|_| TokenError::Malformed("not our claims"))?;
        written.try_into()
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>, TokenError> {
        serde_json::to_vec(&Written::from(self)).map_err(|error| TokenError::Key(error.to_string()))
    }

    pub(super) fn check_time(&self, now: u64) -> Result<(), TokenError> {
        let latest = now.saturating_add(SKEW_SECONDS);
        let begin = self.not_before.unwrap_or(0).max(self.issued_at);
        if begin > latest {
            return Err(TokenError::NotYetValid(begin));
        }
        if self.expires_at <= now {
            return Err(TokenError::Expired(self.expires_at));
        }
        Ok(())
    }

    /// Whom the token speaks for.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The control plane that signed it.
    pub fn issuer(&self) -> &Identity {
        &self.issuer
    }

    /// SHA-256 of the roots that vouch for the control plane, in lower-case hex.
    pub fn roots(&self) -> &[String] {
        &self.roots
    }

    /// By which the token is revoked.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When it was made, in unix seconds.
    pub fn issued_at(&self) -> u64 {
        self.issued_at
    }

    /// When it ends, in unix seconds.
    pub fn expires_at(&self) -> u64 {
        self.expires_at
    }
}

impl TryFrom<Written> for Claims {
    type Error = TokenError;

    fn try_from(written: Written) -> Result<Self, TokenError> {
        if written.aud != AUDIENCE {
            return Err(TokenError::Audience);
        }
        let subject = written.sub.strip_prefix(SUBJECT).and_then(|rest| rest.split_once(':'));
        let (namespace, account) =
            subject.ok_or(TokenError::Malformed("sub is no service account"))?;
        let identity = Identity::new(written.iss.trust_domain(), namespace, account)
            .map_err(|_| TokenError::Malformed("sub is no service account"))?;
        if !is_hex(&written.jti, ID_BYTES) {
            return Err(TokenError::Malformed("jti is not 128 bits in hex"));
        }
        let roots: Vec<_> = written.root.split(' ').map(str::to_owned).collect();
        if roots.len() > MAX_ROOTS || !roots.iter().all(|root| is_hex(root, 32)) {
            return Err(TokenError::Malformed("meshcore.io/root is not SHA-256 in hex"));
        }
        let life = written.exp.checked_sub(written.iat).ok_or(TokenError::Life)?;
        if !(1..=MAX_TOKEN_TTL.as_secs()).contains(&life) {
            return Err(TokenError::Life);
        }
        Ok(Self {
            identity,
            issuer: written.iss,
            roots,
            id: written.jti,
            issued_at: written.iat,
            not_before: written.nbf,
            expires_at: written.exp,
        })
    }
}

impl From<&Claims> for Written {
    fn from(claims: &Claims) -> Self {
        let of = &claims.identity;
        Self {
            sub: format!("{SUBJECT}{}:{}", of.namespace(), of.service_account()),
            iss: claims.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            iat: claims.issued_at,
            nbf: claims.not_before,
            exp: claims.expires_at,
            jti: claims.id.clone(),
            root: claims.roots.join(" "),
        }
    }
}

/// Refuses every header but ours: with one more field it may mean something else to others.
pub(super) fn check_header(json: &[u8]) -> Result<(), TokenError> {
    let header: Header =
        serde_json::from_slice(json).map_err(|_| TokenError::Malformed("not our header"))?;
    if header.alg != "ES256" {
        return Err(TokenError::Algorithm);
    }
    match header.typ.as_deref() {
        None | Some("JWT") => Ok(()),
        Some(_) => Err(TokenError::Malformed("not our header")),
    }
}

fn is_hex(text: &str, bytes: usize) -> bool {
    Some(text.len()) == bytes.checked_mul(2)
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
