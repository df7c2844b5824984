//! Settings of the drift rules and of who is told what they find. Receivers come from here alone.

use super::{Config, Kind as Product};
use crate::{secrets, trusting};
use ::alerts::{Kind, Naming, Proof, Receiver, Secret, Timing};
use anyhow::{Context, bail};
use drift::{Rule, Settings, Severity, facts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// Drift rules, and who is told what they find.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// Address of a page about a finding, with `{finding}` where its id goes; empty: the command that shows it.
    pub link: String,
    /// What is found within this time after the first is one message, seconds.
    pub group_seconds: u64,
    /// An Alertmanager is told this often of what still stands, seconds; keep it well below its resolve_timeout (300).
    pub repeat_seconds: u64,
    /// Thresholds.
    pub rules: Rules,
    /// Baseline files: who is meant to be in which group. Relative paths begin at the data folder.
    pub baselines: Vec<PathBuf>,
    /// Who is told, by a name of your choice.
    pub receivers: BTreeMap<String, ReceiverConfig>,
}

/// Thresholds of the rules.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Ids of rules that are switched off, such as `D19`.
    pub disabled: Vec<String>,
    /// Keycloak ids of groups and roles that make a finding critical.
    pub privileged: Vec<String>,
    /// D02: what a disabled or deleted person still does within this time is the delay of sync and clocks, seconds.
    pub leaver_grace_seconds: u32,
    /// D13: failed logins before a good one.
    pub failures: u32,
    /// D13: within this time, minutes.
    pub failures_within_minutes: u32,
    /// D13: and the good one this soon after, minutes.
    pub success_within_minutes: u32,
    /// D12: gaps shorter than this are left out, seconds.
    pub gap_least_seconds: u32,
}

/// What a receiver speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReceiverKind {
    /// Standard Webhooks: signed JSON.
    Webhook,
    /// Alertmanager's API v2; `url` is its base address.
    Alertmanager,
    /// `{"text": ...}`, as Slack and Mattermost take it.
    Slack,
}

/// How bad a finding must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Least {
    /// All of them.
    Low,
    /// Medium and above.
    #[default]
    Medium,
    /// High and above.
    High,
    /// Critical only.
    Critical,
}

/// One receiver.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiverConfig {
    /// What it speaks.
    pub kind: ReceiverKind,
    /// Its address: exactly this host and port; redirects are not followed.
    #[serde(default)]
    pub url: Option<String>,
    /// File with its address, where that is a secret (Slack's is).
    #[serde(default)]
    pub url_file: Option<PathBuf>,
    /// File with the `whsec_...` secret of a webhook.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// File with a bearer token.
    #[serde(default)]
    pub bearer_file: Option<PathBuf>,
    /// PEM file of CAs that are trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Tells usernames beside the person keys. Decide this with your data protection officer.
    #[serde(default)]
    pub names: bool,
    /// Tells findings of at least this severity.
    #[serde(default)]
    pub least: Least,
}

impl ReceiverConfig {
    /// Standard Webhooks, everything from the least on.
    pub fn webhook(url: String, secret_file: &str) -> Self {
        Self {
            kind: ReceiverKind::Webhook,
            url: Some(url),
            url_file: None,
            secret_file: Some(secret_file.into()),
            bearer_file: None,
            ca_file: None,
            names: false,
            least: Least::Low,
        }
    }
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            link: String::new(),
            group_seconds: 2,
            repeat_seconds: 60,
            rules: Rules::default(),
            baselines: Vec::new(),
            receivers: BTreeMap::new(),
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            disabled: Vec::new(),
            privileged: Vec::new(),
            leaver_grace_seconds: 60,
            failures: 10,
            failures_within_minutes: 30,
            success_within_minutes: 180,
            gap_least_seconds: 0,
        }
    }
}

impl Alerts {
    /// Refuses what leads nowhere.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if let Some(unknown) = self.rules.disabled.iter().find(|id| Rule::of(id).is_none()) {
            bail!("alerts.rules.disabled: {unknown} is no rule; `tokentrail rules list` shows them");
        }
        if self.rules.failures == 0 {
            bail!("alerts.rules.failures must be at least 1");
        }
        if self.repeat_seconds == 0 {
            bail!("alerts.repeat_seconds must be at least 1");
        }
        for (name, receiver) in &self.receivers {
            if receiver.url.is_some() == receiver.url_file.is_some() {
                bail!("alerts.receivers.{name}: give url or url_file, one of them");
            }
            if receiver.kind == ReceiverKind::Webhook && receiver.secret_file.is_none() {
                bail!("alerts.receivers.{name}: a webhook is signed: give secret_file");
            }
            if receiver.kind != ReceiverKind::Webhook && receiver.secret_file.is_some() {
                bail!("alerts.receivers.{name}: only a webhook is signed; secret_file belongs to kind = \"webhook\"");
            }
        }
        Ok(())
    }

    /// Waits of receivers.
    pub fn timing(&self) -> Timing {
        Timing { group: Duration::from_secs(self.group_seconds), repeat: Duration::from_secs(self.repeat_seconds) }
    }
}

fn millis(seconds: u32) -> i64 {
    i64::from(seconds) * 1_000
}

impl Config {
    /// The receivers, with their secrets read.
    pub fn receivers(&self) -> anyhow::Result<Vec<Receiver>> {
        let each = self.alerts.receivers.iter();
        each.map(|(name, one)| self.receiver(name, one).with_context(|| format!("alerts.receivers.{name}"))).collect()
    }

    fn receiver(&self, name: &str, one: &ReceiverConfig) -> anyhow::Result<Receiver> {
        let read = |file: &PathBuf| secrets::read(&self.data_dir, file);
        let url = match (&one.url, &one.url_file) {
            (Some(url), _) => url.clone(),
            (None, Some(file)) => read(file)?,
            (None, None) => bail!("it has no address"),
        };
        let secret = one.secret_file.as_ref().map(|file| anyhow::Ok(Secret::read(&read(file)?)?)).transpose()?;
        let bearer = one.bearer_file.as_ref().map(read).transpose()?;
        let trust = trusting::at(&self.data_dir, &format!("alerts.receivers.{name}.ca_file"), one.ca_file.as_ref())?;
        let kind = match one.kind {
            ReceiverKind::Webhook => Kind::Webhook,
            ReceiverKind::Alertmanager => Kind::Alertmanager,
            ReceiverKind::Slack => Kind::Slack,
        };
        let least = match one.least {
            Least::Low => Severity::Low,
            Least::Medium => Severity::Medium,
            Least::High => Severity::High,
            Least::Critical => Severity::Critical,
        };
        let naming = if one.names { Naming::Names } else { Naming::Pseudonyms };
        Ok(Receiver::new((name, kind), &url, (&trust, Proof { secret, bearer }), (least, naming))?)
    }

    /// Thresholds as the rules take them.
    pub fn rules(&self) -> Settings {
        let rules = &self.alerts.rules;
        let disabled = rules.disabled.iter().filter_map(|id| Some(Rule::of(id)?.id.to_owned()));
        Settings {
            disabled: disabled.collect(),
            privileged: rules.privileged.iter().cloned().collect(),
            leaver_grace: millis(rules.leaver_grace_seconds),
            token_budget: self.joins().iter().map(|join| join.budgets.token).max().unwrap_or(3_600_000),
            failures: usize::try_from(rules.failures).unwrap_or(usize::MAX),
            failures_within: millis(rules.failures_within_minutes) * 60,
            success_within: millis(rules.success_within_minutes) * 60,
            gap_least: millis(rules.gap_least_seconds),
            skew: i64::from(self.correlation.skew_ms),
        }
    }

    /// The sources as the rules know them.
    pub fn rule_sources(&self) -> Vec<facts::Source> {
        let joins = self.joins();
        let source = |(id, source): (&String, &super::SourceConfig)| facts::Source {
            id: id.clone(),
            product: match source.kind {
                Product::Keycloak => facts::Product::Keycloak,
                Product::Backstage => facts::Product::Backstage,
            },
            proven: source.heartbeat.is_some() || source.pull.is_some(),
            first: None,
            token_life: joins.iter().find(|join| join.backstage == *id).map_or(0, |join| join.token_life),
        };
        self.sources.iter().map(source).collect()
    }

    /// Baseline files.
    pub fn baselines(&self) -> Vec<PathBuf> {
        self.alerts.baselines.iter().map(|file| self.data_dir.join(file)).collect()
    }

    /// What asks the store for the rules' facts.
    pub fn reader(&self, store: store::Store) -> pipeline::detect::Reader {
        pipeline::detect::Reader {
            store,
            tenant: self.tenant.clone(),
            sources: self.rule_sources(),
            settings: self.rules(),
            lateness: i64::from(self.lateness_seconds) * 1_000,
            correlated: self.correlates(),
            baselines: self.baselines(),
            sign_ins: self.joins().into_iter().map(sign_in).collect(),
        }
    }
}

/// What the rules need of it.
fn sign_in(join: correlate::Join) -> pipeline::detect::SignIn {
    let correlate::Join { backstage, keycloak, clients, budgets, .. } = join;
    pipeline::detect::SignIn { backstage, keycloak, clients, budget: budgets.catalog }
}
