//! The register: what stands, what was found now, and so what is to be written. Opened once per dedup key; what is not found again is
//! withdrawn with its reason; what is over has ended. What people did with a finding is not touched here: [`crate::handling`].

use crate::{
    finding::{Candidate, change_id, content},
    rules::{Reach, Rule},
};
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

/// How a finding stands by the rules' word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It stands.
    Open,
    /// It is over.
    Ended,
    /// It turned out to be none.
    Withdrawn,
}

/// A finding of the register.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Its id.
    pub id: Uuid,
    /// Rule id.
    pub rule: String,
    /// Person key; empty: none.
    pub person: String,
    /// When it began.
    pub first: i64,
    /// By the rules' word; none: its row was written and its first change was not.
    pub standing: Option<Standing>,
    /// How many changes of the rules' making it has.
    pub changes: u64,
    /// Hash of what it says.
    pub content: u64,
}

/// A step to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The finding.
    pub finding: Uuid,
    /// Id of the change: the same if it is written twice.
    pub change: Uuid,
    /// `opened`, `ended`, `withdrawn`, `reopened` or `revived`.
    pub what: &'static str,
    /// Why.
    pub reason: &'static str,
    /// What people said before it counts no more.
    pub answers: bool,
}

/// What an evaluation changes.
#[derive(Debug, Default, PartialEq)]
pub struct Changes<'a> {
    /// Rows that are new or say something else now; write them before the steps.
    pub rows: Vec<(Uuid, &'a Candidate)>,
    /// Steps.
    pub steps: Vec<Step>,
}

/// Which facts were looked at.
#[derive(Clone, Copy, Debug)]
pub struct Looked<'a> {
    /// Persons of whom everything was read; none: all.
    pub persons: Option<&'a BTreeSet<String>>,
    /// Decisions of these persons were read from here on: of one who has more than can be looked at, the latest.
    pub latest: i64,
    /// Events were read from here on.
    pub since: i64,
    /// And before this.
    pub until: i64,
    /// Findings whose own event was looked at, whenever that was; none: none.
    pub again: Option<&'a BTreeSet<Uuid>>,
    /// Whether all was asked that concerns nobody in rules about persons.
    pub nobody: bool,
}

impl Looked<'_> {
    /// Everything of everybody.
    pub const ALL: Self =
        Self { persons: None, latest: i64::MIN, since: i64::MIN, until: i64::MAX, again: None, nobody: true };

    fn again(&self, finding: Uuid) -> bool {
        self.again.is_some_and(|again| again.contains(&finding))
    }
}

/// Why a finding is withdrawn.
const UNDONE: &str = "events that came later, or a replay, show that it is none";

/// Why a finding about what is so now is over.
const AGREES: &str = "it is so no more";

/// Why a finding that nobody looks after any more is withdrawn.
const SWITCHED_OFF: &str = "its rule is switched off in config (alerts.rules.disabled)";

/// What to write for one rule; `looked` says what was read.
pub fn compare<'a>(
    (rule, tenant): (&Rule, &str),
    held: &[Held],
    found: &'a [Candidate],
    looked: Looked<'_>,
) -> Changes<'a> {
    let known: HashMap<Uuid, &Held> = held.iter().filter(|one| one.rule == rule.id).map(|one| (one.id, one)).collect();
    let (mut changes, mut seen) = (Changes::default(), BTreeSet::new());
    for candidate in found {
        let id = candidate.id(tenant);
        let held = known.get(&id).copied();
        // What lies at the edge of what was read may be known in part only.
        let reach = rule.reach_of(&candidate.person);
        let partly = match reach {
            Reach::Since { before } => {
                let read = looked.since.saturating_sub(before)..looked.until;
                !read.contains(&candidate.first) && !looked.again(id)
            }
            Reach::Persons => {
                looked.persons.is_some_and(|persons| !persons.contains(&candidate.person))
                    || held.is_some_and(|held| held.first.min(candidate.first) < looked.latest)
            }
            Reach::All | Reach::Now => false,
        };
        if !seen.insert(id) || partly {
            continue;
        }
        if held.is_none_or(|held| held.content != content(candidate)) {
            changes.rows.push((id, candidate));
        }
        let count = held.map_or(0, |held| held.changes);
        let before = held.and_then(|held| held.standing);
        // What is so once more was over, and that is what they were done with: when it began may be long ago.
        let answers = reach == Reach::Now && before == Some(Standing::Ended) && candidate.stands;
        let mut put = |what, n, reason| {
            changes.steps.push(Step { finding: id, change: change_id(id, what, n), what, reason, answers });
        };
        match (before, candidate.stands) {
            (None, true) => put("opened", 0, ""),
            (None, false) => {
                put("opened", 0, "");
                put("ended", 1, "it is over");
            }
            (Some(Standing::Open), false) => put("ended", count, "it is over"),
            (Some(Standing::Ended | Standing::Withdrawn), true) => put("reopened", count, "it is found again"),
            (Some(_), _) => {}
        }
    }
    let gone = known.into_values().filter(|held| !seen.contains(&held.id));
    changes.steps.extend(gone.filter_map(|held| taken_back(rule, held, looked)));
    changes
}

/// What becomes of a finding of this rule that was not found again; none: it was not looked for, or nothing.
pub fn taken_back(rule: &Rule, held: &Held, looked: Looked<'_>) -> Option<Step> {
    let reach = rule.reach_of(&held.person);
    let reached = match reach {
        Reach::Now if rule.reach == Reach::Persons => looked.nobody,
        Reach::All | Reach::Now => true,
        Reach::Since { .. } => (looked.since..looked.until).contains(&held.first) || looked.again(held.id),
        Reach::Persons => {
            held.first >= looked.latest && looked.persons.is_none_or(|persons| persons.contains(&held.person))
        }
    };
    let (what, reason) = match (reach, held.standing) {
        (Reach::Now, None | Some(Standing::Open)) => ("ended", AGREES),
        (Reach::Now, _) | (_, Some(Standing::Withdrawn)) => return None,
        _ => ("withdrawn", UNDONE),
    };
    let change = change_id(held.id, what, held.changes);
    reached.then_some(Step { finding: held.id, change, what, reason, answers: false })
}

/// What becomes of a finding that stands and whose rule is switched off: nobody looks any more whether it does. It is found again once the
/// rule is on, if it still is one.
pub fn switched_off(held: &Held) -> Option<Step> {
    let what = "withdrawn";
    let stands = held.standing == Some(Standing::Open);
    stands.then(|| Step {
        finding: held.id,
        change: change_id(held.id, what, held.changes),
        what,
        reason: SWITCHED_OFF,
        answers: false,
    })
}
