//! What a status tells of the correlation: how far it is, and who does it.

use super::moment;
use pipeline::correlation::{Acknowledged, Phase, Remembered};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// What it keeps in memory; none where another processor correlates.
    #[serde(default)]
    pub memory: Option<MemoryReport>,
    /// Who took the correlation over last.
    #[serde(default)]
    pub owner: Option<OwnerReport>,
}

/// What the correlation keeps in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryReport {
    /// About so many bytes.
    pub bytes: u64,
    /// Of so many.
    pub budget: u64,
    /// What was over before this instant is forgotten and stands as it was said, UTC milliseconds; none: nothing is forgotten.
    pub floor: Option<i64>,
    /// The earliest time of what came and is older than that, and is not answered before everything was read anew.
    pub waiting: Option<i64>,
    /// Sources whose events come so long after they happened that everything must be read for them, and how long that is, milliseconds.
    #[serde(default)]
    pub late: BTreeMap<String, i64>,
}

impl MemoryReport {
    fn of(kept: Remembered, late: BTreeMap<String, i64>) -> Self {
        let Remembered { bytes, budget, floor, waiting } = kept;
        Self { bytes, budget, floor, waiting, late }
    }

    /// False: even the least that must be kept is more than the budget.
    pub fn fits(&self) -> bool {
        self.bytes <= self.budget
    }

    fn render(&self) -> String {
        let Self { bytes, budget, floor, waiting, late } = self;
        let full = if self.fits() { "" } else { ": TOO LITTLE, raise correlation.memory_mib" };
        let mut out = format!("  Correlation: keeps {} of {} MiB in memory{full}", bytes >> 20, budget >> 20);
        if let Some(floor) = floor {
            out.push_str(&format!("; what was over before {} is answered and no longer kept", moment(*floor)));
        }
        if let Some(waiting) = waiting {
            out.push_str(&format!("; events came from {} on: everything will be read anew", moment(*waiting)));
        }
        for (source, by) in late {
            let hours = by.div_euclid(3_600_000);
            out.push_str(&format!("\n  Correlation: SOURCE {source} IS {hours} HOURS LATE: its clock is wrong, or what it tells waited for so long"));
        }
        out + "\n"
    }
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
        let memory = correlation.remembered().map(|kept| MemoryReport::of(kept, correlation.late()));
        Self { phase, lag: standing.lag, unannounced: correlation.unannounced(), memory, ..Self::default() }
    }

    pub(super) fn render(&self) -> String {
        let unannounced = self.unannounced.as_ref().map_or_else(String::new, |why| {
            format!("  Correlation: WHAT IS STORED HERE CANNOT BE ANNOUNCED, and is heard of later: {why}\n")
        });
        let noted = match self.noted {
            0 => String::new(),
            noted => format!("  Correlation: {noted} notes of blocks that could not be announced are not answered\n"),
        };
        // Where little is kept nobody asks.
        let told = |kept: &&MemoryReport| kept.floor.is_some() || kept.bytes > kept.budget / 2;
        let memory = self.memory.as_ref().filter(told).map_or_else(String::new, MemoryReport::render);
        unannounced + &noted + &self.standing() + &memory
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_what_is_no_longer_kept_and_what_waits_for_being_read_anew() {
        let told = |memory| CorrelationReport { memory: Some(memory), ..CorrelationReport::default() }.render();
        let kept = MemoryReport { bytes: 10 << 20, budget: 64 << 20, ..MemoryReport::default() };
        assert!(!told(kept.clone()).contains("memory"), "nobody asks");
        let (floor, waiting) = (Some(1_795_132_800_000), Some(1_794_960_000_000));
        let late = BTreeMap::from([("kc".to_owned(), 5 * 86_400_000)]);
        let text = told(MemoryReport { bytes: 70 << 20, floor, waiting, late, ..kept });
        assert!(text.contains("keeps 70 of 64 MiB in memory: TOO LITTLE, raise correlation.memory_mib"), "{text}");
        assert!(text.contains("what was over before 2026-11-20") && text.contains("came from 2026-11-18"), "{text}");
        assert!(text.contains("SOURCE kc IS 120 HOURS LATE"), "{text}");
    }
}
