//! How long a realm lets sessions live: all of it where a snapshot shows the realm, what was sent where an admin changes it.

use super::detail;
use crate::moment::Millis;
use events::event::Event;

/// Lifespans as far as they are said, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifespans {
    /// Without a sign of life.
    pub idle: Option<Millis>,
    /// In all.
    pub max: Option<Millis>,
    /// The same of whoever wants to be remembered; 0: as of others.
    pub idle_remembered: Option<Millis>,
    /// In all.
    pub max_remembered: Option<Millis>,
    /// Of an offline session without a sign of life.
    pub offline_idle: Option<Millis>,
    /// Of an offline session in all, where that has an end:
    pub offline_max: Option<Millis>,
    /// whether it has.
    pub offline_ends: Option<bool>,
}

impl Lifespans {
    /// What an event says; nothing if it says none.
    pub(super) fn of(event: &Event) -> Option<Self> {
        let said = |key: &str| detail(event, key).parse::<Millis>().ok().map(|seconds| seconds.saturating_mul(1_000));
        let lifespans = Self {
            idle: said("ssoSessionIdleTimeout"),
            max: said("ssoSessionMaxLifespan"),
            idle_remembered: said("ssoSessionIdleTimeoutRememberMe"),
            max_remembered: said("ssoSessionMaxLifespanRememberMe"),
            offline_idle: said("offlineSessionIdleTimeout"),
            offline_max: said("offlineSessionMaxLifespan"),
            offline_ends: detail(event, "offlineSessionMaxLifespanEnabled").parse().ok(),
        };
        (lifespans != Self::default()).then_some(lifespans)
    }

    /// These, and what they do not say from others.
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            idle: self.idle.or(others.idle),
            max: self.max.or(others.max),
            idle_remembered: self.idle_remembered.or(others.idle_remembered),
            max_remembered: self.max_remembered.or(others.max_remembered),
            offline_idle: self.offline_idle.or(others.offline_idle),
            offline_max: self.offline_max.or(others.offline_max),
            offline_ends: self.offline_ends.or(others.offline_ends),
        }
    }
}
