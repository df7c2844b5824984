//! Settings of heartbeats, and what they need.

use super::{
    Kind, Pull, SourceConfig,
    check::{DAY, within},
    pull_interval,
};
use anyhow::bail;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// Longest name of an instance.
const INSTANCE_BYTES: usize = 256;

/// Heartbeats of one source. A Keycloak that is pulled needs no settings: each realm's own pull client logs in.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// Base address: of the Backstage backend, or of the Keycloak if there is no pull.
    #[serde(default)]
    pub url: Option<String>,
    /// Backstage with several instances, instead of `url`: the base address of each, past the balancer, by the name that its
    /// shipper gives it. One heartbeat proves the way of one instance.
    #[serde(default)]
    pub instances: BTreeMap<String, String>,
    /// Keycloak without pull: realms.
    #[serde(default)]
    pub realms: Vec<String>,
    /// Keycloak without pull: a client with a service account in each realm; it needs no role.
    #[serde(default)]
    pub client_id: Option<String>,
    /// Keycloak without pull: file with the client's secret.
    #[serde(default)]
    pub client_secret_file: Option<PathBuf>,
    /// PEM file of CAs that are trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Seconds between two of them.
    #[serde(default = "heartbeat_interval")]
    pub interval_seconds: u64,
}

fn heartbeat_interval() -> u64 {
    60
}

impl Heartbeat {
    /// Where a Backstage's heartbeats go: the name of the instance, empty if the installation counts as one, and its address.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, &str)> {
        let one = self.url.iter().map(|url| ("", url.as_str()));
        one.chain(self.instances.iter().map(|(name, url)| (name.as_str(), url.as_str())))
    }

    /// Refuses settings by which nothing could be sent.
    pub(super) fn check(&self, source: &SourceConfig) -> anyhow::Result<()> {
        let client = self.client_id.is_some() || self.client_secret_file.is_some();
        let account = !self.realms.is_empty() || client;
        let ca = self.ca_file.is_some();
        within("interval_seconds", self.interval_seconds, (1, u64::from(DAY)))?;
        match source.kind {
            Kind::Backstage if account => bail!("a Backstage needs only url; realms and clients are Keycloak's"),
            Kind::Backstage if self.url.is_none() && self.instances.is_empty() => {
                bail!("url is missing: the address of the Backstage backend (or instances, where it has several)")
            }
            Kind::Backstage if self.url.is_some() && !self.instances.is_empty() => {
                bail!("give url, or instances where it has several, not both: a balancer's address proves no instance")
            }
            Kind::Backstage if self.instances.keys().any(|name| name.is_empty() || name.len() > INSTANCE_BYTES) => {
                bail!("the name of an instance has 1 to {INSTANCE_BYTES} bytes: the one that its shipper gives it")
            }
            Kind::Keycloak if !self.instances.is_empty() => bail!("instances are a Backstage's; a Keycloak has realms"),
            Kind::Keycloak if source.pull.is_some() && (account || ca || self.url.is_some()) => {
                bail!("with pull, heartbeats use its address, realms and client: leave only interval_seconds here")
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

impl SourceConfig {
    /// How the heartbeats of a Keycloak log in: as its pull does, or as `heartbeat` says.
    pub fn login(&self) -> Option<Pull> {
        if self.kind != Kind::Keycloak {
            return None;
        }
        let own = |heartbeat: &Heartbeat| {
            Some(Pull {
                url: heartbeat.url.clone()?,
                realms: heartbeat.realms.clone(),
                client_id: heartbeat.client_id.clone()?,
                client_secret_file: heartbeat.client_secret_file.clone()?,
                login_realm: None,
                ca_file: heartbeat.ca_file.clone(),
                interval_seconds: pull_interval(),
            })
        };
        self.pull.clone().or_else(|| self.heartbeat.as_ref().and_then(own))
    }

    /// Seconds between two heartbeats.
    pub fn heartbeat_seconds(&self) -> u64 {
        self.heartbeat.as_ref().map_or_else(heartbeat_interval, |heartbeat| heartbeat.interval_seconds)
    }
}
