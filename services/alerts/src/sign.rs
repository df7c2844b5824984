//! Standard Webhooks: the signature over id, time and body (<https://www.standardwebhooks.com>, symmetric keys).

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// Bytes of a key, least and most.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A symmetric key. Never printed.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Why a text is no secret.
#[derive(Debug, thiserror::Error)]
#[error(
    "a webhook secret is `whsec_` and 24 to 64 bytes in base64, such as `echo whsec_$(openssl rand -base64 32)` prints"
)]
pub struct SecretError;

impl Secret {
    /// Reads `whsec_...`.
    pub fn read(text: &str) -> Result<Self, SecretError> {
        let key = text.trim().strip_prefix(PREFIX).ok_or(SecretError)?;
        let key = STANDARD.decode(key).map_err(|_| SecretError)?;
        if KEY_BYTES.contains(&key.len()) { Ok(Self(key)) } else { Err(SecretError) }
    }
}

/// The value of `webhook-signature`; `seconds`: Unix time of this attempt, as in `webhook-timestamp`.
pub fn signature(secret: &Secret, (id, seconds): (&str, i64), body: &[u8]) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&secret.0) else { return String::new() };
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification's reference libraries.
    #[test]
    fn a_known_signature() {
        let secret = Secret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let told = signature(&secret, ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330), br#"{"test": 2432232314}"#);
        assert_eq!(told, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(Secret::read("whsec_c2hvcnQ=").is_err() && Secret::read("plain").is_err());
    }
}
