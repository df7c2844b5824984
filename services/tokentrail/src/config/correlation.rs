//! Settings of the correlation: which Keycloak stands behind a Backstage, and how long a removal may stay without effect.

use super::{
    Config, Kind, SourceConfig,
    check::{YEAR, within},
};
use anyhow::bail;
use correlate::Join;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest from Keycloak's token to Backstage's, seconds: beyond, anybody's would be taken for it.
const MOST_TIE: u32 = 3_600;

/// Settings of the correlation as a whole.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Correlation {
    /// False: events are stored, and not answered: no sessions, grants, decisions or missing events are written, and the
    /// rules that rest on them say NOT EVALUABLE. The next start with `true` answers for everything stored meanwhile.
    pub enabled: bool,
    /// How far the clocks of two servers may differ, and an event from a read of state, before they contradict, milliseconds.
    pub skew_ms: u32,
    /// How often, at most, all that the correlation knows is kept as a checkpoint, from which a start goes on, seconds. 0: never,
    /// and every start reads all events.
    pub checkpoint_seconds: u32,
    /// Memory for what the correlation knows and has said, MiB. When it is full, what was over before the last days is forgotten: what
    /// was said of it stands, and what comes later from before that has everything read anew.
    pub memory_mib: u64,
}

impl Default for Correlation {
    fn default() -> Self {
        Self { enabled: true, skew_ms: 1_000, checkpoint_seconds: 600, memory_mib: 1_024 }
    }
}

impl Correlation {
    /// How often a checkpoint is written; none: never.
    pub fn checkpoints(&self) -> Option<std::time::Duration> {
        let every = std::time::Duration::from_secs(u64::from(self.checkpoint_seconds));
        (!every.is_zero()).then_some(every)
    }

    /// How much may be kept in memory.
    pub fn memory(&self) -> pipeline::correlation::Memory {
        pipeline::correlation::Memory { budget: self.memory_mib << 20, clock: crate::app::now_ms }
    }
}

/// The Keycloak through which the people of a Backstage sign in.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// Source id of the Keycloak.
    pub keycloak: String,
    /// OAuth clients by which this Backstage signs people in; empty: any.
    #[serde(default)]
    pub clients: Vec<String>,
    /// Life of a Backstage token (`backend.auth.backstageTokenExpiration`), seconds.
    #[serde(default = "hour")]
    pub token_life_seconds: u32,
    /// From Keycloak's token to Backstage's, and from that to the line of the answer, seconds.
    #[serde(default = "tie")]
    pub tie_seconds: u32,
    /// Where no annotation ties an entity to a Keycloak user, take the user of that name; what rests on it is `inferred`.
    #[serde(default)]
    pub by_name: bool,
    /// How long a removal may stay without effect, per clock.
    #[serde(default)]
    pub budgets: Budgets,
}

/// How long a removal may stay without effect: within it an allowed decision is exposure, beyond it a violation.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Budgets {
    /// Backstage roles follow the catalog: its sync interval and one minute more, seconds. Absent: 1860.
    pub catalog_seconds: Option<u32>,
    /// Ownership follows the claims of the last token: its life and the cache, seconds. Absent: token life + 5.
    pub claims_seconds: Option<u32>,
    /// A disabled person keeps what they have until the token ends, seconds. Absent: token life.
    pub token_seconds: Option<u32>,
}

fn hour() -> u32 {
    3_600
}

fn tie() -> u32 {
    5
}

fn millis(seconds: u32) -> i64 {
    i64::from(seconds) * 1_000
}

impl SignIn {
    /// Of the recorded story.
    pub fn of_story(keycloak: String, token_life_seconds: u32, catalog_seconds: u32) -> Self {
        let budgets = Budgets { catalog_seconds: Some(catalog_seconds), ..Budgets::default() };
        Self {
            keycloak,
            clients: vec!["backstage".into()],
            token_life_seconds,
            tie_seconds: tie(),
            by_name: false,
            budgets,
        }
    }

    /// Refuses what leads nowhere.
    pub(super) fn check(&self, config: &Config, source: &SourceConfig) -> anyhow::Result<()> {
        if source.kind != Kind::Backstage {
            bail!("people sign in to a Backstage, through a Keycloak: this belongs to the Backstage's source");
        }
        if config.sources.get(&self.keycloak).map(|keycloak| keycloak.kind) != Some(Kind::Keycloak) {
            bail!("keycloak names no Keycloak of this config");
        }
        within("token_life_seconds", self.token_life_seconds, (1, YEAR))?;
        within("tie_seconds", self.tie_seconds, (0, MOST_TIE))?;
        let Budgets { catalog_seconds, claims_seconds, token_seconds } = &self.budgets;
        for (key, seconds) in [("catalog", catalog_seconds), ("claims", claims_seconds), ("token", token_seconds)] {
            within(&format!("budgets.{key}_seconds"), seconds.unwrap_or_default(), (0, YEAR))?;
        }
        Ok(())
    }

    fn join(&self, backstage: &str) -> Join {
        let (life, budgets) = (self.token_life_seconds, &self.budgets);
        let mut join = Join::new(backstage, &self.keycloak);
        join.clients.clone_from(&self.clients);
        join.token_life = millis(life);
        join.tie = millis(self.tie_seconds);
        join.by_name = self.by_name;
        join.budgets.catalog = budgets.catalog_seconds.map_or(join.budgets.catalog, millis);
        join.budgets.claims = millis(budgets.claims_seconds.unwrap_or_else(|| life.saturating_add(5)));
        join.budgets.token = millis(budgets.token_seconds.unwrap_or(life));
        join
    }
}

impl Config {
    /// Whether decisions are correlated.
    pub fn correlates(&self) -> bool {
        self.correlation.enabled && self.kafka.correlates()
    }

    /// Which Backstage signs in through which Keycloak: as configured, or, of exactly one of each, those two.
    pub fn joins(&self) -> Vec<Join> {
        let configured = self.sources.iter().filter_map(|(id, source)| Some(source.sign_in.as_ref()?.join(id)));
        let joins: Vec<Join> = configured.collect();
        if !joins.is_empty() {
            return joins;
        }
        let of = |kind: Kind| {
            let mut ids = self.sources.iter().filter(|(_, source)| source.kind == kind).map(|(id, _)| id);
            ids.next().filter(|_| ids.next().is_none())
        };
        match (of(Kind::Backstage), of(Kind::Keycloak)) {
            (Some(backstage), Some(keycloak)) => vec![Join::new(backstage, keycloak)],
            _ => Vec::new(),
        }
    }

    /// What the correlation needs.
    pub fn correlation(&self, key: events::person::DeploymentKey) -> correlate::Config {
        let skew = i64::from(self.correlation.skew_ms);
        correlate::Config { tenant: self.tenant.clone(), key, joins: self.joins(), skew }
    }
}
