//! What the intake must know of its sources: plain structs, read from config by the program, checked here.
//!
//! Never reads a file or the environment. Secrets never appear in a debug print.

use serde::Deserialize;
use std::{fmt, time::Duration};

/// A secret from config: prints as `Secret(..)`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself; only for comparing and signing.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// One source: a Keycloak server or a Backstage installation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Immutable id, part of every row: 1 to 64 of `a-z 0-9 - _ .`.
    pub id: String,
    /// Product, with how its requests prove themselves.
    pub kind: SourceAuth,
    /// IANA zone of times that name none (default UTC).
    #[serde(default = "utc")]
    pub zone: String,
}

fn utc() -> String {
    "UTC".into()
}

/// Product of a source and its proofs.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SourceAuth {
    /// A Keycloak server.
    Keycloak(KeycloakAuth),
    /// A Backstage installation.
    Backstage(BackstageAuth),
}

/// Proofs that a Keycloak source accepts; at least one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeycloakAuth {
    /// HMAC-SHA256 secrets of `X-Keycloak-Signature`: one, or two while one is being rotated.
    pub hmac: Vec<Secret>,
    /// Bearer tokens of plain listeners and of `tokentrail import`.
    pub bearer: Vec<Secret>,
    /// HTTP Basic users.
    pub basic: Vec<Basic>,
    /// Bearer JWTs signed by the realm.
    pub jwt: Option<Jwt>,
    /// Names of client certificates: `dns:NAME` or `uri:URI`.
    pub certificates: Vec<String>,
}

/// Proofs that a Backstage source accepts; at least one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackstageAuth {
    /// Bearer tokens of shippers.
    pub bearer: Vec<Secret>,
    /// HTTP Basic users.
    pub basic: Vec<Basic>,
    /// Names of client certificates: `dns:NAME` or `uri:URI`.
    pub certificates: Vec<String>,
}

/// One HTTP Basic user.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// User name, without a colon.
    pub user: String,
    /// Password.
    pub password: Secret,
}

/// How a realm's JWTs are checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// The realm's issuer, compared exactly.
    pub issuer: String,
    /// Audience that the token must name.
    pub audience: String,
    /// Where the keys come from.
    pub keys: JwtKeys,
    /// Whether a token without `request_body_sha256` is refused.
    #[serde(default)]
    pub body: BodyBinding,
}

/// Where a realm's keys come from.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum JwtKeys {
    /// Fetched from here and kept for a while.
    Url(String),
    /// A JWK set as JSON text, never refreshed.
    Inline(String),
}

/// Binding of a JWT to the body it came with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyBinding {
    /// `request_body_sha256` must be there and right: a stolen token is good for one body only.
    #[default]
    Required,
    /// It is compared when it is there.
    WhenPresent,
}

/// Bounds of the intake. The defaults are the documented ones.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a Keycloak body as it comes.
    pub keycloak_bytes: usize,
    /// Bytes of a Keycloak body inflated.
    pub keycloak_inflated_bytes: usize,
    /// Events in one Keycloak request.
    pub keycloak_events: usize,
    /// Bytes of a Backstage body as it comes.
    pub backstage_bytes: usize,
    /// Bytes of a Backstage body inflated.
    pub backstage_inflated_bytes: usize,
    /// Lines in one Backstage request.
    pub backstage_lines: usize,
    /// Bytes of one line; a longer one is a dead letter.
    pub line_bytes: usize,
    /// Backstage requests that are worked on at once; each may hold its inflated bytes.
    pub backstage_requests: usize,
    /// Keycloak requests that are worked on at once.
    pub keycloak_requests: usize,
    /// Connections in all.
    pub connections: usize,
    /// Connections from one address.
    pub connections_per_ip: usize,
    /// Seconds until a request's head must be complete.
    pub header_seconds: u64,
    /// Seconds until a request's body must be complete.
    pub body_seconds: u64,
    /// Seconds that an idle connection is kept.
    pub keep_alive_seconds: u64,
    /// Seconds until a TLS handshake must be done.
    pub handshake_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            keycloak_bytes: 1 << 20,
            keycloak_inflated_bytes: 4 << 20,
            keycloak_events: 500,
            backstage_bytes: 16 << 20,
            backstage_inflated_bytes: 64 << 20,
            backstage_lines: 100_000,
            line_bytes: 1 << 20,
            backstage_requests: 4,
            keycloak_requests: 256,
            connections: 1024,
            connections_per_ip: 256,
            header_seconds: 10,
            body_seconds: 15,
            keep_alive_seconds: 60,
            handshake_seconds: 5,
        }
    }
}

impl Limits {
    pub(crate) fn body_time(&self) -> Duration {
        Duration::from_secs(self.body_seconds)
    }
}

/// Most bytes of a source id.
const SOURCE_ID_BYTES: usize = 64;

/// What is wrong with a source's config.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadSource {
    /// Not 1 to 64 of `a-z 0-9 - _ .`.
    #[error("a source id is 1 to 64 of a-z, 0-9, '-', '_' and '.'")]
    Id,
    /// Two sources with one id.
    #[error("two sources have the id {0}")]
    Twice(String),
    /// No proof at all.
    #[error("source {0} accepts no proof: give hmac, bearer, basic, jwt or certificates")]
    NoProof(String),
    /// More than two HMAC secrets.
    #[error("source {0} has more than two hmac secrets")]
    TooManyHmac(String),
    /// An empty or very short secret.
    #[error("source {0} has a secret of fewer than 12 bytes")]
    WeakSecret(String),
    /// Not a known time zone.
    #[error("source {0} names an unknown time zone")]
    Zone(String),
    /// Not the name of a certificate.
    #[error("source {0} names a client certificate by something else than dns:NAME or uri:URI")]
    Certificate(String),
    /// Not a JWK set.
    #[error("source {0} has inline keys that are no JWK set")]
    Keys(String),
}

pub(crate) fn check_id(id: &str) -> Result<(), BadSource> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    if id.is_empty() || id.len() > SOURCE_ID_BYTES || !id.bytes().all(good) {
        return Err(BadSource::Id);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_print_and_unknown_keys_are_refused() {
        let text = r#"{"id":"kc","kind":{"keycloak":{"hmac":["whsec-very-secret"]}}}"#;
        let source: Source = serde_json::from_str(text).unwrap();
        assert!(!format!("{source:?}").contains("very-secret"));
        assert_eq!(source.zone, "UTC");
        let typo = r#"{"id":"kc","kind":{"keycloak":{"hmacs":["x"]}}}"#;
        assert!(serde_json::from_str::<Source>(typo).is_err());
    }

    #[test]
    fn ids_are_plain() {
        assert!(check_id("kc-prod.1").is_ok());
        for bad in ["", "KC", "a/b", "ü", &"a".repeat(65)] {
            assert_eq!(check_id(bad), Err(BadSource::Id), "{bad}");
        }
    }
}
