//! What an operator declares: which Keycloak stands behind which Backstage, and how long each clock may take.

use crate::moment::Millis;
use events::person::DeploymentKey;

/// Everything that the correlation needs beside the facts.
#[derive(Clone, Debug)]
pub struct Config {
    /// Tenant of all facts.
    pub tenant: String,
    /// Makes the same person keys as the normaliser.
    pub key: DeploymentKey,
    /// Which Keycloak a Backstage signs in through.
    pub joins: Vec<Join>,
    /// How far two servers' clocks may differ, and an event from a read of state, before we call them contradictory.
    pub skew: Millis,
}

/// One Backstage and the Keycloak that its people come from.
#[derive(Clone, Debug)]
pub struct Join {
    /// Source id of the Backstage.
    pub backstage: String,
    /// Source id of the Keycloak.
    pub keycloak: String,
    /// OAuth clients by which this Backstage signs people in; empty: any.
    pub clients: Vec<String>,
    /// Life of a Backstage token (`auth.backstageTokenExpiration`, 1 h by default): how long an issue can stand behind decisions.
    pub token_life: Millis,
    /// From a Keycloak token to the "Issuing token" line that it pays for, and from that to the callback's line.
    pub tie: Millis,
    /// Allowed delay of each clock.
    pub budgets: Budgets,
    /// Join an entity reference to the Keycloak user of the same name where no annotation tells; graded `inferred`.
    pub by_name: bool,
}

/// How long a removal may stay without effect (W), per clock.
#[derive(Clone, Copy, Debug)]
pub struct Budgets {
    /// Until the catalog is synced.
    pub catalog: Millis,
    /// Until the ownership claims are issued anew (and their cache is over).
    pub claims: Millis,
    /// Until a disabled person's token ends.
    pub token: Millis,
}

impl Join {
    /// A Backstage and its Keycloak with Backstage's own defaults: sync every 30 min, tokens of one hour, claims kept 5 s longer.
    pub fn new(backstage: &str, keycloak: &str) -> Self {
        Self {
            backstage: backstage.to_owned(),
            keycloak: keycloak.to_owned(),
            clients: Vec::new(),
            token_life: 3_600_000,
            tie: 5_000,
            budgets: Budgets { catalog: 1_860_000, claims: 3_605_000, token: 3_600_000 },
            by_name: false,
        }
    }
}
