//! Which rights are privileged: who holds one stands on the overview.

use super::Config;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::PrivilegedNames;

/// What lets its holder change who may do what, in a Keycloak as it is installed: the administrators of its master realm, and the roles of
/// each realm's `realm-management` that change something. Those that only look are not among them.
const ROLES: [&str; 11] = [
    "admin",
    "create-realm",
    "realm-admin",
    "manage-realm",
    "manage-users",
    "manage-clients",
    "manage-authorization",
    "manage-identity-providers",
    "manage-events",
    "impersonation",
    "create-client",
];

/// Rights that are privileged, beside those of `alerts.rules.privileged`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Privileged {
    /// Names of realm roles and client roles, of any realm and client.
    pub roles: Vec<String>,
    /// Paths of groups, such as `/platform/ops`.
    pub groups: Vec<String>,
}

impl Default for Privileged {
    fn default() -> Self {
        Self { roles: ROLES.map(str::to_owned).to_vec(), groups: Vec::new() }
    }
}

impl Config {
    /// All of them.
    pub fn privileged_names(&self) -> PrivilegedNames {
        let Privileged { roles, groups } = self.privileged.clone();
        PrivilegedNames { roles, groups, ids: self.alerts.rules.privileged.clone() }
    }
}
