//! Acts of operators about persons: two accounts are one human or machine, or no longer.
//!
//! An act is a receipt like any other, so that the journal's evidence covers it and a rebuild from the log comes to the same persons.
//! Accounts are named as their source names them, never by person key: a key says nothing to who reads the evidence.

use crate::{
    person::{DeploymentKey, PersonKey},
    receipt::names,
};
use serde::{Deserialize, Serialize};

/// Longest reason, and longest name of who says so, in bytes.
pub const TEXT_BYTES: usize = 1_000;
/// Longest name of an account, in bytes.
const NAME_BYTES: usize = 1_000;

/// What an account is to its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// A Keycloak user, named by id.
    KeycloakUser,
    /// An entity reference that no annotation ties to a Keycloak user.
    User,
    /// A static token of a Backstage.
    Static,
    /// A plugin of a Backstage.
    Plugin,
}
names!(AccountKind: KeycloakUser = "keycloak_user", User = "user", Static = "static", Plugin = "plugin");

/// One account, as its source names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Source id.
    pub source: String,
    /// What it is there.
    pub kind: AccountKind,
    /// Its id or name. Personal.
    pub name: String,
}

impl Account {
    /// The key of this account alone, whoever it belongs to.
    pub fn key(&self, tenant: &str, key: &DeploymentKey) -> PersonKey {
        match self.kind {
            AccountKind::KeycloakUser => key.keycloak_user(tenant, &self.source, &self.name),
            kind => key.named(tenant, &self.source, kind.as_str(), &self.name),
        }
    }

    fn is_named(&self) -> bool {
        !self.source.is_empty() && !self.name.is_empty() && self.source.len() + self.name.len() <= NAME_BYTES
    }
}

/// What an operator says of persons. Timeless: it holds for all that was and will be, until another act takes it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum Said {
    /// `account`, with all that was merged into it, is the same human or machine as `into`, whose person key stays.
    Merge {
        /// What is merged.
        account: Account,
        /// Into what.
        into: Account,
    },
    /// `account`, with all that was merged into it, is a person of its own again.
    Split {
        /// What is split off.
        account: Account,
    },
}

impl Said {
    /// The account that is moved.
    pub fn account(&self) -> &Account {
        match self {
            Self::Merge { account, .. } | Self::Split { account } => account,
        }
    }
}

/// Body of a receipt of class `person_act`, as JSON. The receipt's `native_id` is the act's own id, equal on a retry, and its
/// `received_at` is when it was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonAct {
    /// What is said.
    #[serde(flatten)]
    pub said: Said,
    /// Who says so. Personal.
    pub by: String,
    /// Why. It may name persons.
    pub reason: String,
}

impl PersonAct {
    /// True if it says who, why and of whom, in bounds.
    pub fn is_whole(&self) -> bool {
        let text = |text: &str| !text.trim().is_empty() && text.len() <= TEXT_BYTES;
        let named = match &self.said {
            Said::Merge { account, into } => account.is_named() && into.is_named(),
            Said::Split { account } => account.is_named(),
        };
        named && text(&self.by) && text(&self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str) -> Account {
        Account { source: "kc".into(), kind: AccountKind::KeycloakUser, name: name.into() }
    }

    #[test]
    fn a_body_says_who_why_and_of_whom() {
        let said = Said::Merge { account: account("u1"), into: account("u2") };
        let act = PersonAct { said, by: "ann".into(), reason: "same badge".into() };
        let text = serde_json::to_string(&act).unwrap();
        assert_eq!(
            text,
            r#"{"act":"merge","account":{"source":"kc","kind":"keycloak_user","name":"u1"},"into":{"source":"kc","kind":"keycloak_user","name":"u2"},"by":"ann","reason":"same badge"}"#
        );
        assert_eq!(serde_json::from_str::<PersonAct>(&text).unwrap(), act);
        assert!(act.is_whole());
        assert!(!PersonAct { reason: " ".into(), ..act.clone() }.is_whole());
        assert!(!PersonAct { by: String::new(), ..act.clone() }.is_whole());
        assert!(!PersonAct { reason: "x".repeat(TEXT_BYTES + 1), ..act.clone() }.is_whole());
        assert!(!PersonAct { said: Said::Split { account: account("") }, ..act }.is_whole());
    }

    #[test]
    fn the_key_of_an_account_is_the_one_that_events_carry() {
        let key = DeploymentKey::new([7; 32]);
        assert_eq!(account("u1").key("t", &key), key.keycloak_user("t", "kc", "u1"));
        let plugin = Account { kind: AccountKind::Plugin, ..account("plugin:scaffolder") };
        assert_eq!(plugin.key("t", &key), key.named("t", "kc", "plugin", "plugin:scaffolder"));
    }
}
