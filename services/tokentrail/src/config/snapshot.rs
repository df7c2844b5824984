//! Settings of snapshots, and what they need.

use super::{
    Kind, SourceConfig,
    check::{YEAR_HOURS, within},
};
use anyhow::bail;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Most entities of one request: an answer is held in memory.
const MOST_PAGE: usize = 10_000;
/// Most requests per second.
const MOST_RATE: u32 = 1_000;
/// Longest that state may rest on old receipts, days.
const MOST_FULL_DAYS: u64 = 3_650;

/// Snapshots of one source. A Keycloak that is pulled needs no address and no client: those of its pull are used.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Base address: of the Backstage backend, or of the Keycloak if there is no pull.
    #[serde(default)]
    pub url: Option<String>,
    /// Keycloak without pull: realms.
    #[serde(default)]
    pub realms: Vec<String>,
    /// Keycloak without pull: a client with a service account that has the roles of docs/snapshots.md in each realm.
    #[serde(default)]
    pub client_id: Option<String>,
    /// Keycloak without pull: file with the client's secret.
    #[serde(default)]
    pub client_secret_file: Option<PathBuf>,
    /// Keycloak without pull: realm of the client; absent: each realm has its own client of that name.
    #[serde(default)]
    pub login_realm: Option<String>,
    /// Backstage: file with a static token of an external access.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// PEM file of certificates that are trusted beside the system's; with pull, that of the pull.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Hours from the beginning of one snapshot to the next; 0 = only on demand.
    #[serde(default = "interval")]
    pub interval_hours: u64,
    /// Requests per second.
    #[serde(default = "rate")]
    pub requests_per_second: u32,
    /// Entities per request.
    #[serde(default = "page")]
    pub page: usize,
    /// Days after which a snapshot writes every entity anew, so that state does not rest on old receipts.
    #[serde(default = "full")]
    pub full_days: u64,
}

fn interval() -> u64 {
    24
}

fn rate() -> u32 {
    10
}

fn page() -> usize {
    500
}

fn full() -> u64 {
    30
}

impl Snapshot {
    /// Refuses settings by which nothing could be read.
    pub(super) fn check(&self, source: &SourceConfig) -> anyhow::Result<()> {
        let client = self.client_id.is_some() || self.client_secret_file.is_some() || self.login_realm.is_some();
        let account = client || !self.realms.is_empty();
        within("interval_hours", self.interval_hours, (0, YEAR_HOURS))?;
        within("page", self.page, (2, MOST_PAGE))?;
        within("requests_per_second", self.requests_per_second, (1, MOST_RATE))?;
        within("full_days", self.full_days, (0, MOST_FULL_DAYS))?;
        match source.kind {
            Kind::Backstage if account => {
                bail!("a Backstage needs url and token_file; realms and clients are Keycloak's")
            }
            Kind::Backstage if self.url.is_none() || self.token_file.is_none() => {
                bail!(
                    "a Backstage needs url (of the backend) and token_file (a static token of backend.auth.externalAccess)"
                )
            }
            Kind::Keycloak if self.token_file.is_some() => {
                bail!("token_file is a Backstage's; a Keycloak needs a client")
            }
            Kind::Keycloak if source.pull.is_some() && (account || self.url.is_some() || self.ca_file.is_some()) => {
                bail!("with pull, snapshots use its address, realms, client and ca_file: leave them out here")
            }
            Kind::Keycloak if source.pull.is_none() => {
                let complete = self.url.is_some()
                    && !self.realms.is_empty()
                    && self.client_id.is_some()
                    && self.client_secret_file.is_some();
                if !complete {
                    bail!("without pull it needs url, realms, client_id and client_secret_file");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
