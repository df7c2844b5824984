//! What a rule found: whom, when, how bad, how sure, on which evidence. One dedup key is one finding, however often it is found.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use uuid::Uuid;

/// Namespace of finding ids and of ids of changes, fixed for ever.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d0c_8e1f_52a7_4b6e_9d33_8a41_c07e_5f92);
/// Most evidence that is kept with a finding; the values say how much there was.
pub const EVIDENCE_MAX: usize = 50;

/// How bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// To be looked at some day.
    Low,
    /// This week.
    #[default]
    Medium,
    /// Today.
    High,
    /// Now.
    Critical,
}

/// How sure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// A pattern, not a proof.
    #[default]
    Heuristic,
    /// More than one story fits.
    Inferred,
    /// Both facts were logged.
    Proven,
}

macro_rules! word {
    ($name:ident { $($variant:ident = $text:literal),* $(,)? }) => {
        impl $name {
            /// In a word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// Of the word; none if it is no such word.
            pub fn of(word: &str) -> Option<Self> {
                match word { $($text => Some(Self::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
word!(Severity { Low = "low", Medium = "medium", High = "high", Critical = "critical" });
word!(Confidence { Heuristic = "heuristic", Inferred = "inferred", Proven = "proven" });

/// What a rule found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// Rule id.
    pub rule: &'static str,
    /// What makes it this finding and no other, without the rule; holds no name.
    pub dedup: String,
    /// Whom it concerns; empty: no person.
    pub person: String,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// When it began, UTC milliseconds.
    pub first: i64,
    /// When it was last seen, UTC milliseconds.
    pub last: i64,
    /// False: it is over (a gap was repaired, logging is on again).
    pub stands: bool,
    /// Numbers and words that explain it; no personal value.
    pub values: Map<String, Value>,
    /// Event ids, in order of time, at most [`EVIDENCE_MAX`].
    pub evidence: Vec<Uuid>,
}

impl Candidate {
    /// The id of the finding: the same for the same rule and dedup key, on any machine.
    pub fn id(&self, tenant: &str) -> Uuid {
        id((tenant, self.rule), &self.dedup)
    }
}

/// The id of the finding of a tenant's rule with this dedup key.
pub fn id((tenant, rule): (&str, &str), dedup: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, [tenant, rule, dedup].join("\u{0}").as_bytes())
}

/// Hash of what a candidate says: the same on any machine.
pub fn content(candidate: &Candidate) -> u64 {
    let text = serde_json::to_string(candidate).unwrap_or_default();
    Uuid::new_v5(&NAMESPACE, text.as_bytes()).as_u64_pair().0
}

/// The id of the `n`th change of a finding of one sort: who writes it twice writes it once.
pub fn change_id(finding: Uuid, what: &str, n: u64) -> Uuid {
    Uuid::new_v5(&finding, format!("{what}\u{0}{n}").as_bytes())
}

/// First and last of some evidence, so that a long story stays short.
pub fn bounded(mut evidence: Vec<Uuid>) -> Vec<Uuid> {
    if evidence.len() > EVIDENCE_MAX {
        let tail = evidence.split_off(evidence.len() - EVIDENCE_MAX / 2);
        evidence.truncate(EVIDENCE_MAX - EVIDENCE_MAX / 2);
        evidence.extend(tail);
    }
    evidence
}

/// Values by name.
pub fn values<const N: usize>(named: [(&str, Value); N]) -> Map<String, Value> {
    named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Milliseconds as seconds with three decimals.
pub fn seconds(ms: i64) -> Value {
    Value::from(ms as f64 / 1_000.0)
}
