//! Which sources were not known to be complete where a decision was made, or where that lies on which it rests.
//!
//! Asked when somebody asks: gaps are found, closed and repaired long after a decision was answered. Says nothing of what is missing.

use crate::gaps::GapReport;
use correlate::Join;
use serde::Serialize;
use store::{Gap, Store, TakenSnapshot};

/// Snapshots that are looked through for the last whole one.
const SNAPSHOTS: u32 = 1_000;
/// Most gaps that are told: the latest.
const MOST: usize = 20;

/// A gap, and what may be missing because of it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Incomplete {
    /// What it touches.
    pub touches: Touches,
    /// The gap.
    pub gap: GapReport,
}

/// What of a decision a gap touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Touches {
    /// The source was not complete when it was made, or while what stands behind it can have been issued.
    Then,
    /// A change of rights since Keycloak was read whole the last time may be missing.
    Rights,
}

impl Incomplete {
    /// In words.
    pub fn line(&self) -> String {
        let what = match self.touches {
            Touches::Then => "what stands behind it may be something else",
            Touches::Rights => "a change of rights before it may be missing",
        };
        format!("{}: {what}", self.gap.line())
    }
}

/// What was not complete for a decision at `at`.
pub async fn find(store: &Store, tenant: &str, (join, at): (&Join, i64)) -> anyhow::Result<Vec<Incomplete>> {
    let gaps = store.gaps(tenant, i64::MAX).await?;
    if gaps.is_empty() {
        return Ok(Vec::new());
    }
    let read = last_whole(&store.snapshots(tenant, SNAPSHOTS).await?, &join.keycloak, at);
    Ok(of(gaps, join, (at, read)))
}

/// When the last whole snapshot of a source before `at` began.
fn last_whole(snapshots: &[TakenSnapshot], source: &str, at: i64) -> Option<i64> {
    let whole =
        |one: &&TakenSnapshot| one.source_id == source && one.complete && one.ended.is_some_and(|ended| ended <= at);
    snapshots.iter().filter(whole).map(|one| one.began).max()
}

/// Pure. A decision rests on tokens that live, and on what paid for them just before; and on changes since rights were `read`.
fn of(gaps: Vec<Gap>, join: &Join, (at, read): (i64, Option<i64>)) -> Vec<Incomplete> {
    let from = at.saturating_sub(join.token_life).saturating_sub(join.tie);
    let touches = |gap: &Gap| {
        let meets = |from: i64| gap.since <= at && gap.until.is_none_or(|until| until >= from);
        let keycloak = gap.source_id.is_empty() || gap.source_id == join.keycloak;
        match gap.source_id.is_empty() || gap.source_id == join.backstage || keycloak {
            true if meets(from) => Some(Touches::Then),
            true if keycloak && meets(read.unwrap_or(i64::MIN)) => Some(Touches::Rights),
            _ => None,
        }
    };
    let open = gaps.into_iter().filter(|gap| gap.repaired_at.is_none());
    let mut found: Vec<Incomplete> =
        open.filter_map(|gap| Some(Incomplete { touches: touches(&gap)?, gap: gap.into() })).collect();
    found.split_off(found.len().saturating_sub(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(source: &str, since: i64, until: Option<i64>) -> Gap {
        Gap {
            tenant: "t".into(),
            source_id: source.into(),
            input: "webhook".into(),
            since,
            cause: "silent".into(),
            until,
            ..Gap::default()
        }
    }

    fn told(gap: Gap, read: Option<i64>) -> Option<Touches> {
        let mut join = Join::new("bs", "kc");
        (join.token_life, join.tie) = (1_000, 10);
        of(vec![gap], &join, (100_000, read)).pop().map(|one| one.touches)
    }

    #[test]
    fn a_decision_says_which_gap_touches_it_and_how() {
        use Touches::{Rights, Then};
        for source in ["kc", "bs", ""] {
            assert_eq!(told(gap(source, 99_999, Some(100_001)), None), Some(Then), "{source}: in its minute");
            assert_eq!(told(gap(source, 90_000, None), Some(99_999)), Some(Then), "{source}: open still");
            assert_eq!(told(gap(source, 98_000, Some(98_990)), Some(99_999)), Some(Then), "{source}: its token");
            assert_eq!(told(gap(source, 100_001, None), None), None, "{source}: later");
        }
        // A change of Keycloak's can be missing since it was read whole the last time; a Backstage's token of then is dead.
        assert_eq!(told(gap("kc", 98_000, Some(98_989)), Some(90_000)), Some(Rights));
        assert_eq!(told(gap("kc", 98_000, Some(98_989)), None), Some(Rights), "never read");
        assert_eq!(told(gap("kc", 80_000, Some(89_999)), Some(90_000)), None, "the snapshot showed what was lost");
        assert_eq!(told(gap("bs", 98_000, Some(98_989)), None), None);
        assert_eq!(told(gap("elsewhere", 99_999, None), None), None);
        assert_eq!(told(Gap { repaired_at: Some(1), ..gap("kc", 99_999, None) }, None), None);
    }

    #[test]
    fn only_a_whole_snapshot_of_the_keycloak_that_was_over_counts() {
        let snapshot = |source: &str, began: i64, complete: bool| TakenSnapshot {
            source_id: source.into(),
            snapshot: began.to_string(),
            began,
            ended: Some(began + 10),
            trigger: "schedule".into(),
            is_full: false,
            complete,
            entities: 1,
            changed: 0,
            lacking: Vec::new(),
        };
        let taken = [("kc", 100, true), ("kc", 200, false), ("bs", 300, true), ("kc", 395, true)];
        let taken = taken.map(|(source, began, complete)| snapshot(source, began, complete));
        assert_eq!(last_whole(&taken, "kc", 400), Some(100));
        assert_eq!(last_whole(&taken, "kc", 405), Some(395));
        assert_eq!(last_whole(&taken, "kc", 50), None);
    }
}
