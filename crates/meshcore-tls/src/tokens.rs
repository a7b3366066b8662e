//! Tokens with which a sidecar shows who it is before it has a certificate: JWTs of one form.
//!
//! What is read is exactly what [`TokenKey::sign`] writes. The algorithm is ES256 because we say so,
//! not because the token does; a field that is not known, or is there twice, is refused.
//!
//! Source: RFC 7519 (claims), RFC 7515 (form), RFC 8725 (what goes wrong), Kubernetes' service
//! account tokens (`sub`).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshcore_model::Identity;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use std::time::Duration;

use crate::leaf::hex;
use crate::provider::provider;

mod claims;

pub use claims::{AUDIENCE, Claims};

/// Longest life of a token: that of the longest certificate.
pub const MAX_TOKEN_TTL: Duration = crate::ca::MAX_TTL;

/// Longest token that is read. Ours have 0.7 KiB.
const MAX_TOKEN_BYTES: usize = 4096;

/// How far the clock of who signed may be ahead of ours. Source: RFC 7519 section 4.1.4 allows
/// "a few minutes".
const SKEW_SECONDS: u64 = 60;

/// A key that signs tokens and verifies them. A control plane has one.
pub struct TokenKey {
    pair: EcdsaKeyPair,
    pem: String,
}

/// What a token is to say.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Whom it speaks for.
    pub identity: Identity,
    /// The control plane that signs it.
    pub issuer: Identity,
    /// SHA-256 of the roots that vouch for the control plane, in lower-case hex.
    pub roots: Vec<String>,
    /// How long it is valid.
    pub ttl: Duration,
}

/// A token, and what is known of it without reading it.
#[derive(Clone)]
pub struct Token {
    /// The token. Keep it secret.
    pub text: String,
    /// What it says.
    pub claims: Claims,
}

/// Why a token is not taken, or not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not the form of our tokens.
    #[error("token cannot be read: {0}, make one with meshcore token create")]
    Malformed(&'static str),
    /// Another algorithm than ours.
    #[error("token is signed in another way than ours, make one with meshcore token create")]
    Algorithm,
    /// Signed by somebody else, or changed since.
    #[error("token is not signed by this control plane")]
    Signature,
    /// For somebody else to read.
    #[error("token is not meant for {AUDIENCE}")]
    Audience,
    /// Signed for another control plane.
    #[error("token is of another control plane")]
    Issuer,
    /// Past its end.
    #[error("token expired at {0} (unix seconds), make another")]
    Expired(u64),
    /// Before its beginning.
    #[error("token is not valid before {0} (unix seconds), check the clocks")]
    NotYetValid(u64),
    /// A life of nothing, or one too long.
    #[error("life of the token is not between a second and 90 days")]
    Life,
    /// Taken back.
    #[error("token was revoked")]
    Revoked,
    /// Whether it was taken back is not known.
    #[error("whether the token was revoked cannot be found out: {0}")]
    Unknown(String),
    /// The identity that belongs to the control plane itself.
    #[error("no token speaks for the control plane itself")]
    Reserved,
    /// The key cannot be read, or not be made.
    #[error("key of tokens cannot be used: {0}")]
    Key(String),
}

// === impl TokenKey ===

impl TokenKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// [`TokenError::Key`] if the system gives no random numbers.
    pub fn create() -> Result<Self, TokenError> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256);
        Self::load(&key.map_err(|error| TokenError::Key(error.to_string()))?.serialize_pem())
    }

    /// Reads a key, as PEM (PKCS#8, P-256).
    ///
    /// # Errors
    /// [`TokenError::Key`] if it is none.
    pub fn load(pem: &str) -> Result<Self, TokenError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| TokenError::Key(error.to_string()))?;
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der())
                .map_err(|_| TokenError::Key("not a P-256 key in PKCS#8".into()))?;
        Ok(Self { pair, pem: pem.to_owned() })
    }

    /// The key as PEM. Keep it secret.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Signs a token that is valid from `now`, in unix seconds.
    ///
    /// # Errors
    /// [`TokenError::Life`] for a life that no token has, [`TokenError::Reserved`] for the identity
    /// of the control plane, [`TokenError::Key`] if signing fails.
    pub fn sign(&self, grant: &Grant, now: u64) -> Result<Token, TokenError> {
        if grant.identity == grant.issuer {
            return Err(TokenError::Reserved);
        }
        if grant.ttl < Duration::from_secs(1) || grant.ttl > MAX_TOKEN_TTL {
            return Err(TokenError::Life);
        }
        let claims = Claims::new(grant, now, random_id()?);
        let (header, body) = (claims::HEADER, claims.to_json()?);
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(body));
        let signature = self
            .pair
            .sign(&aws_lc_rs::rand::SystemRandom::new(), signed.as_bytes())
            .map_err(|_| TokenError::Key("signing failed".into()))?;
        let text = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        Ok(Token { text, claims })
    }

    /// Verifies a token of `issuer` at `now`, in unix seconds; says whom it speaks for.
    ///
    /// # Errors
    /// The first [`TokenError`] met. The signature is checked before what it signs is read.
    pub fn verify(&self, token: &str, issuer: &Identity, now: u64) -> Result<Claims, TokenError> {
        let parts = Parts::of(token)?;
        claims::check_header(&decoded(parts.header)?)?;
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key());
        key.verify(parts.signed.as_bytes(), &decoded(parts.signature)?)
            .map_err(|_| TokenError::Signature)?;
        let claims = Claims::read(&decoded(parts.body)?)?;
        if claims.issuer() != issuer {
            return Err(TokenError::Issuer);
        }
        if claims.identity() == issuer {
            return Err(TokenError::Reserved);
        }
        claims.check_time(now)?;
        Ok(claims)
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKey").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("claims", &self.claims).finish_non_exhaustive()
    }
}

impl Claims {
    /// What a token says, for its holder, who cannot verify it.
    ///
    /// # Errors
    /// [`TokenError`] if it has not the form of our tokens.
    pub fn unverified(token: &str) -> Result<Self, TokenError> {
        let parts = Parts::of(token)?;
        claims::check_header(&decoded(parts.header)?)?;
        Self::read(&decoded(parts.body)?)
    }
}

struct Parts<'t> {
    signed: &'t str,
    header: &'t str,
    body: &'t str,
    signature: &'t str,
}

impl<'t> Parts<'t> {
    fn of(token: &'t str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Malformed("longer than 4 KiB"));
        }
        let (signed, signature) =
            token.rsplit_once('.').ok_or(TokenError::Malformed("not three parts"))?;
        let (header, body) =
            signed.split_once('.').ok_or(TokenError::Malformed("not three parts"))?;
        if body.contains('.') {
            return Err(TokenError::Malformed("not three parts"));
        }
        Ok(Self { signed, header, body, signature })
    }
}

fn decoded(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed("not base64url"))
}

/// 128 random bits in hex.
fn random_id() -> Result<String, TokenError> {
    let mut bytes = [0; claims::ID_BYTES];
    provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| TokenError::Key("the system gives no random numbers".into()))?;
    Ok(hex(&bytes))
}

#[cfg(test)]
mod tests;
