//! What a status tells of the correlation: how far it is, and who does it.

use super::moment;
use pipeline::correlation::{Acknowledged, Phase};
use serde::{Deserialize, Serialize};

/// How far the answers are behind what is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorrelationReport {
    /// `standing_by`: another processor correlates; `loading`: this one reads what is stored; `following`: block by block.
    pub phase: String,
    /// Receipts that this process knows to be stored and not correlated yet.
    pub lag: u64,
    /// Announced blocks that the processor that correlates has not answered; none where one process does all.
    #[serde(default)]
    pub announced: Option<u64>,
    /// Why this process cannot announce what it stores: the correlation hears of it later, from ClickHouse.
    #[serde(default)]
    pub unannounced: Option<String>,
    /// Notes in ClickHouse of blocks that could not be announced, and that are not answered.
    #[serde(default)]
    pub noted: u64,
    /// Who took the correlation over last.
    #[serde(default)]
    pub owner: Option<OwnerReport>,
}

/// Who correlates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerReport {
    /// `kafka.client_id` of its config.
    pub name: String,
    /// Later owners have greater ones.
    pub epoch: u64,
    /// Since when, UTC milliseconds.
    pub since: i64,
}

impl CorrelationReport {
    /// True if everything that is stored is correlated.
    pub fn has_caught_up(&self) -> bool {
        let told = self.announced.unwrap_or_default() + self.noted;
        self.phase != Phase::Loading.as_str() && self.lag == 0 && told == 0
    }

    pub(super) fn of(correlation: &Acknowledged) -> Self {
        let standing = correlation.standing();
        let phase = standing.phase.as_str().to_owned();
        Self { phase, lag: standing.lag, unannounced: correlation.unannounced(), ..Self::default() }
    }

    pub(super) fn render(&self) -> String {
        let unannounced = self.unannounced.as_ref().map_or_else(String::new, |why| {
            format!("  Correlation: WHAT IS STORED HERE CANNOT BE ANNOUNCED, and is heard of later: {why}\n")
        });
        let noted = match self.noted {
            0 => String::new(),
            noted => format!("  Correlation: {noted} notes of blocks that could not be announced are not answered\n"),
        };
        unannounced + &noted + &self.standing()
    }

    fn standing(&self) -> String {
        let owner = self.owner.as_ref().map_or_else(String::new, |owner| {
            format!("; {} correlates since {} (epoch {})", owner.name, moment(owner.since), owner.epoch)
        });
        let announced =
            self.announced.map_or_else(String::new, |count| format!("{count} announced blocks not answered"));
        if self.phase == Phase::StandingBy.as_str() {
            let announced = if announced.is_empty() { "how far behind is not known" } else { &announced };
            return format!("  Correlation: another processor does it: {announced}{owner}\n");
        }
        let reads = if self.phase == Phase::Loading.as_str() {
            "; it reads what is stored, and answers are older until then"
        } else {
            ""
        };
        let (owner, announced) = match self.announced {
            None => (String::new(), String::new()),
            Some(_) => (owner, format!("; {announced}")),
        };
        format!("  Correlation: {} receipts behind what is stored{reads}{announced}{owner}\n", self.lag)
    }
}
