//! Person keys: a keyed hash in place of a name, so that no personal value is in a sort key, id or log key.
//!
//! Never joins by name: who is who over time is decided by the correlator from ids and recorded annotations.

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::fmt;

/// HMAC-SHA-256 under the deployment key, the first 16 bytes, as 32 lowercase hex digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct PersonKey(pub String);

impl fmt::Debug for PersonKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PersonKey({})", self.0)
    }
}

/// The secret shared by all processes of one deployment: 32 bytes from the key file, ready to be used.
#[derive(Clone)]
pub struct DeploymentKey(Hmac<Sha256>);

impl fmt::Debug for DeploymentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeploymentKey(..)")
    }
}

impl DeploymentKey {
    /// Takes the 32 bytes of the key file.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Hmac::new_from_slice(&bytes).expect("HMAC takes keys of any length"))
    }

    /// The key of a Keycloak user: ids are unique per server, so the realm is not a part.
    pub fn keycloak_user(&self, tenant: &str, source_id: &str, user_id: &str) -> PersonKey {
        PersonKey(self.mark("person", &[tenant, source_id, user_id]))
    }

    /// The key of a name without a Keycloak id (`kind`: user, plugin, static, guest, client) until it is tied to one.
    pub fn named(&self, tenant: &str, source_id: &str, kind: &str, name: &str) -> PersonKey {
        PersonKey(self.mark("named", &[tenant, source_id, kind, name]))
    }

    /// Tells this key from another one and nothing else of it: kept beside what was written with it.
    pub fn check_value(&self) -> String {
        self.mark("deployment key", &[])
    }

    /// A keyed mark of a value that is not kept: equal values give equal marks, and nothing else can be learned.
    pub fn mark(&self, purpose: &str, parts: &[&str]) -> String {
        let mut mac = self.0.clone();
        mac.update(purpose.as_bytes());
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        let full = mac.finalize().into_bytes();
        hex::encode(&full[..16])
    }
}
