//! What is known, as histories: every question is asked "as of" an instant and answered from the evidence on both sides of it.
//!
//! Nothing here depends on the order in which evidence arrives.

pub(crate) mod book;
pub(crate) mod catalog;
pub(crate) mod federated;
pub(crate) mod gone;
mod group_names;
mod history;
pub(crate) mod keycloak;
pub(crate) mod ledger;
pub(crate) mod lifespans;
pub(crate) mod persons;
pub(crate) mod rbac;
pub(crate) mod reads;
pub(crate) mod rotated;
pub(crate) mod service_accounts;
pub(crate) mod sessions;
pub(crate) mod spent;
