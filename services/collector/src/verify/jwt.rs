//! A realm's JWT: signature by the key's own algorithm, issuer, audience, expiry, and the hash of the body it came with.

use super::{Refused, jwks};
use crate::config::{BodyBinding, Jwt, JwtKeys};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse},
};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Clock difference that is forgiven, seconds.
const LEEWAY_SECONDS: u64 = 30;

/// Longest token, bytes.
const TOKEN_BYTES: usize = 8 * 1024;

pub(super) struct Checker {
    issuer: String,
    audience: String,
    body: BodyBinding,
    keys: Source,
}

enum Source {
    Fixed(JwkSet),
    Fetched { url: String, keys: jwks::Keys, fetch: Arc<dyn jwks::FetchKeys> },
}

#[derive(serde::Deserialize)]
struct Claims {
    #[serde(default)]
    request_body_sha256: Option<String>,
}

#[derive(serde::Deserialize)]
struct Head {
    #[serde(default)]
    jku: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    jwk: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    x5u: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    crit: Option<serde::de::IgnoredAny>,
}

impl Checker {
    pub fn new(config: &Jwt, fetch: Arc<dyn jwks::FetchKeys>) -> Result<Self, serde_json::Error> {
        let keys = match &config.keys {
            JwtKeys::Inline(text) => Source::Fixed(serde_json::from_str(text)?),
            JwtKeys::Url(url) => Source::Fetched { url: url.clone(), keys: jwks::Keys::default(), fetch },
        };
        Ok(Self { issuer: config.issuer.clone(), audience: config.audience.clone(), body: config.body, keys })
    }

    pub async fn check(&self, token: &str, body: &[u8]) -> Result<(), Refused> {
        if token.len() > TOKEN_BYTES || brings_keys(token) {
            return Err(Refused);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refused)?;
        let kid = header.kid.ok_or(Refused)?;
        let key = match &self.keys {
            Source::Fixed(set) => set.find(&kid).cloned(),
            Source::Fetched { url, keys, fetch } => keys.find(&kid, url, fetch.as_ref()).await,
        };
        let key = key.ok_or(Refused)?;
        let algorithm = algorithm(&key).ok_or(Refused)?;
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        let key = DecodingKey::from_jwk(&key).map_err(|_| Refused)?;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation).map_err(|_| Refused)?.claims;
        self.check_body(claims.request_body_sha256.as_deref(), body)
    }

    fn check_body(&self, claimed: Option<&str>, body: &[u8]) -> Result<(), Refused> {
        let Some(claimed) = claimed else {
            return if self.body == BodyBinding::Required { Err(Refused) } else { Ok(()) };
        };
        let actual = hex::encode(Sha256::digest(body));
        let equal = actual.as_bytes().ct_eq(claimed.as_bytes());
        if bool::from(equal) { Ok(()) } else { Err(Refused) }
    }
}

/// A header that names or brings its own keys, or asks for extensions, is never followed.
fn brings_keys(token: &str) -> bool {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let Some((head, _)) = token.split_once('.') else { return true };
    let Ok(head) = URL_SAFE_NO_PAD.decode(head) else { return true };
    let Ok(head) = serde_json::from_slice::<Head>(&head) else { return true };
    head.jku.is_some() || head.jwk.is_some() || head.x5u.is_some() || head.crit.is_some()
}

/// The one algorithm of a key: what it names, else the usual one of its kind. Symmetric keys have none.
fn algorithm(key: &Jwk) -> Option<Algorithm> {
    if !matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let rsa = matches!(key.algorithm, AlgorithmParameters::RSA(_));
    let named = match key.common.key_algorithm {
        Some(KeyAlgorithm::RS256) if rsa => Some(Algorithm::RS256),
        Some(KeyAlgorithm::RS384) if rsa => Some(Algorithm::RS384),
        Some(KeyAlgorithm::RS512) if rsa => Some(Algorithm::RS512),
        Some(KeyAlgorithm::PS256) if rsa => Some(Algorithm::PS256),
        Some(KeyAlgorithm::PS384) if rsa => Some(Algorithm::PS384),
        Some(KeyAlgorithm::PS512) if rsa => Some(Algorithm::PS512),
        _ => None,
    };
    match &key.algorithm {
        AlgorithmParameters::RSA(_) if key.common.key_algorithm.is_none() => Some(Algorithm::RS256),
        AlgorithmParameters::RSA(_) => named,
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => Some(Algorithm::ES256),
            EllipticCurve::P384 => Some(Algorithm::ES384),
            _ => None,
        },
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Some(Algorithm::EdDSA),
        _ => None,
    }
}
