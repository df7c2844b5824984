//! Snapshots: reads the state of a Keycloak or a Backstage through its API and writes it into the log as receipts.
//!
//! One [`Taker`] per source. A snapshot is a plan of lists (`keycloak`, `backstage`); each list is read page by page and
//! believed only by the rules of `pass`; `run` turns what is read into receipts; `progress` keeps on disk how far it is,
//! so that a kill costs a page, and `previous` what the last one found, so that only what is new or changed is written.
//! Never changes anything at the source, and never calls an area complete that was not read whole.

mod ask;
mod backstage;
mod keycloak;
mod pass;
mod previous;
mod progress;
mod receipts;
mod run;
mod taker;
mod unit;

#[cfg(test)]
mod tests;

pub use taker::{Failed, NotTaken, Report, Taker};

use crate::pull::{Append, Limits, Secret, Source};
use events::{person::DeploymentKey, snapshot::Trigger};
use std::{path::PathBuf, sync::Arc, time::Duration};
use trust::Trust;

/// A Backstage to read from.
#[derive(Clone, Debug)]
pub struct Backstage {
    /// Tenant, for receipts.
    pub tenant: String,
    /// Immutable source id, for receipts.
    pub source_id: String,
    /// Where the backend answers: `https://portal.example`.
    pub base_url: String,
    /// Static token of an external access whose subject may read the catalog and, with RBAC, `policy-entity`.
    pub token: Secret,
    /// Whom to trust.
    pub trust: Trust,
    /// Rates, sizes and times.
    pub limits: Limits,
}

/// What is read.
#[derive(Clone, Debug)]
pub enum From {
    /// The realms of a Keycloak. Their accounts need the roles that docs/snapshots.md names.
    Keycloak(Source),
    /// A Backstage.
    Backstage(Backstage),
}

/// How it is read.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Entities per request, at least 2.
    pub page: usize,
    /// Folder of progress and of what the last snapshot found.
    pub dir: PathBuf,
    /// After so long every entity is written anew, so that state does not rest on receipts that may be gone.
    pub full_every: Duration,
    /// A snapshot that was interrupted longer ago is given up, and told as interrupted.
    pub resume_within: Duration,
    /// Waits between tries of a request that met no answer or an error of the source's own; after the last, it is given up.
    pub patience: Vec<Duration>,
}

impl Settings {
    /// The usual ones.
    pub fn new(dir: PathBuf) -> Self {
        Self {
            page: 500,
            dir,
            full_every: Duration::from_secs(30 * 86_400),
            resume_within: Duration::from_secs(3_600),
            patience: [1, 2, 5, 10, 20].map(Duration::from_secs).to_vec(),
        }
    }
}

/// The world around.
#[derive(Clone)]
pub struct Surroundings {
    /// The journal.
    pub append: Arc<dyn Append>,
    /// Makes keyed ids and hashes.
    pub key: DeploymentKey,
    /// The time now, UTC milliseconds.
    pub now: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Surroundings(..)")
    }
}

/// Which entities are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What is new or changed since the last snapshot; all of it when [`Settings::full_every`] has passed.
    Changes,
    /// All.
    Full,
}

/// An order to take a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// What started it.
    pub trigger: Trigger,
    /// Which entities are written.
    pub extent: Extent,
}
