//! Acts of operators on what the rules found: somebody looks at it, is done with it, or is silent about it for a time.
//!
//! An act is a receipt like any other, so that the journal's evidence covers it and a rebuild from the log comes to the same register.
//! Ids of findings and persons' keys are made of what they are about and the deployment's key: what is found anew has them again.

use crate::{
    act::TEXT_BYTES,
    receipt::{Payload, Receipt},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Under this name the rules themselves change findings; nobody may act under it.
pub const BY_RULES: &str = "rules";
/// How bad a finding can be, in the words of the rules (`drift`).
pub const SEVERITIES: [&str; 4] = ["low", "medium", "high", "critical"];
/// 2200-01-01, UTC milliseconds: no suppression ends later.
const LATEST: i64 = 7_258_118_400_000;

/// Of which findings a suppression is that is of more than one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its own id.
    pub suppression: Uuid,
    /// Rule id.
    pub rule: String,
    /// `person` or `source`.
    pub subject_kind: String,
    /// Person key, or source id.
    pub subject: String,
    /// Who answers for it. Personal.
    pub owner: String,
}

/// What an operator says of findings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum Handled {
    /// Somebody looks at it.
    Acknowledge {
        /// Its id.
        finding: Uuid,
    },
    /// What has happened of it by now is done with.
    Close {
        /// Its id.
        finding: Uuid,
        /// How bad it was to whoever closed it: it stands again when it gets worse. Acts of before do not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        severity: Option<String>,
    },
    /// Nobody is told of it until then.
    Suppress {
        /// Its id.
        finding: Uuid,
        /// UTC milliseconds.
        until: i64,
    },
    /// That ends now.
    Unsuppress {
        /// Its id.
        finding: Uuid,
    },
    /// Nobody is told of what a rule finds of one person or source until then.
    SuppressGroup {
        /// Of which.
        group: Group,
        /// UTC milliseconds.
        until: i64,
    },
    /// That ends now.
    UnsuppressGroup {
        /// Of which.
        group: Group,
    },
}

impl Handled {
    /// The change that this is, in the register's word.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Acknowledge { .. } => "acknowledged",
            Self::Close { .. } => "closed",
            Self::Suppress { .. } => "suppressed",
            Self::Unsuppress { .. } => "unsuppressed",
            Self::SuppressGroup { .. } => "made",
            Self::UnsuppressGroup { .. } => "ended",
        }
    }

    /// When it ends by itself, UTC milliseconds.
    pub fn until(&self) -> Option<i64> {
        match self {
            Self::Suppress { until, .. } | Self::SuppressGroup { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// The rule that it names.
    pub fn rule(&self) -> Option<&str> {
        match self {
            Self::SuppressGroup { group, .. } | Self::UnsuppressGroup { group } => Some(&group.rule),
            _ => None,
        }
    }

    fn is_bounded(&self) -> bool {
        let until = |until: &i64| (0..=LATEST).contains(until);
        match self {
            Self::Acknowledge { .. } | Self::Unsuppress { .. } => true,
            Self::Close { severity, .. } => severity.as_deref().is_none_or(|word| SEVERITIES.contains(&word)),
            Self::Suppress { until: end, .. } => until(end),
            Self::SuppressGroup { group, until: end } => group.is_named() && until(end),
            Self::UnsuppressGroup { group } => group.is_named(),
        }
    }
}

impl Group {
    fn is_named(&self) -> bool {
        ["person", "source"].contains(&self.subject_kind.as_str())
            && [&self.rule, &self.subject, &self.owner].into_iter().all(|text| is_text(text))
    }
}

/// Body of a receipt of class `finding_act`, as JSON. The receipt's `native_id` is the act's own id, a UUID, equal on a retry, and its
/// `received_at` is when it was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingAct {
    /// What is said.
    #[serde(flatten)]
    pub said: Handled,
    /// Who says so. Personal.
    pub by: String,
    /// Why. It may name persons.
    pub reason: String,
}

/// Id of the row of the register that an act becomes. Made of the act's own, which whoever acts chooses: so none can be a row of the rules.
pub fn change_id(act: Uuid) -> Uuid {
    Uuid::new_v5(&act, b"act")
}

impl FindingAct {
    /// True if it says of what, who and why, in bounds.
    pub fn is_whole(&self) -> bool {
        self.said.is_bounded() && is_text(&self.by) && is_text(&self.reason) && self.by.trim() != BY_RULES
    }

    /// The act of a receipt with its id; none if it is no such receipt, or not whole.
    pub fn of(receipt: &Receipt) -> Option<(Uuid, Self)> {
        if receipt.header.payload != Payload::FindingAct {
            return None;
        }
        let id = Uuid::try_parse(&receipt.header.native_id).ok()?;
        serde_json::from_slice::<Self>(&receipt.body).ok().filter(Self::is_whole).map(|act| (id, act))
    }
}

fn is_text(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= TEXT_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::{Position, StreamId},
        normalise::{Context, Dead, Ignored, Normalised, normalise},
        person::DeploymentKey,
        receipt::{Input, ReceiptHeader},
    };

    const ID: &str = "01234567-89ab-4def-8123-456789abcdef";

    fn group() -> Group {
        Group {
            suppression: Uuid::from_u128(7),
            rule: "D12".into(),
            subject_kind: "source".into(),
            subject: "kc".into(),
            owner: "bo".into(),
        }
    }

    fn act(said: Handled) -> FindingAct {
        FindingAct { said, by: "ana".into(), reason: "known".into() }
    }

    fn close(finding: Uuid) -> Handled {
        Handled::Close { finding, severity: None }
    }

    fn receipt(id: &str, body: &str) -> Receipt {
        let header = ReceiptHeader {
            native_id: id.into(),
            ..ReceiptHeader::own("t", (Input::Operator, Payload::FindingAct), 7)
        };
        Receipt { position: Position { stream: StreamId([0; 16]), seq: 3 }, header, body: body.into() }
    }

    fn fate(receipt: &Receipt) -> Normalised {
        normalise(receipt, &Context { key: DeploymentKey::new([1; 32]) })
    }

    #[test]
    fn every_act_is_read_as_it_was_written_and_is_no_event() {
        let finding = Uuid::from_u128(5);
        let all = [
            Handled::Acknowledge { finding },
            Handled::Close { finding, severity: None },
            Handled::Close { finding, severity: Some("medium".into()) },
            Handled::Suppress { finding, until: 9 },
            Handled::Unsuppress { finding },
            Handled::SuppressGroup { group: group(), until: 9 },
            Handled::UnsuppressGroup { group: group() },
        ];
        for said in all {
            let said = act(said);
            let text = serde_json::to_string(&said).unwrap();
            let receipt = receipt(ID, &text);
            assert_eq!(FindingAct::of(&receipt), Some((ID.parse().unwrap(), said)), "{text}");
            assert_eq!(fate(&receipt), Normalised::Ignored(Ignored::Bookkeeping));
        }
        let text = serde_json::to_string(&act(Handled::Suppress { finding, until: 9 })).unwrap();
        assert_eq!(
            text,
            r#"{"act":"suppress","finding":"00000000-0000-0000-0000-000000000005","until":9,"by":"ana","reason":"known"}"#
        );
    }

    #[test]
    fn an_act_of_a_program_that_did_not_say_how_bad_it_was_is_read() {
        let old = r#"{"act":"close","finding":"00000000-0000-0000-0000-000000000005","by":"ana","reason":"known"}"#;
        let (_, read) = FindingAct::of(&receipt(ID, old)).unwrap();
        assert_eq!(read, act(close(Uuid::from_u128(5))));
        assert_eq!(serde_json::to_string(&read).unwrap(), old);
    }

    #[test]
    fn what_is_not_whole_is_dead_and_changes_nothing() {
        let finding = Uuid::from_u128(5);
        let unnamed = Group { subject: " ".into(), ..group() };
        let of_a_group = Group { subject_kind: "realm".into(), ..group() };
        let bad = [
            FindingAct { by: "rules".into(), ..act(close(finding)) },
            FindingAct { reason: " ".into(), ..act(close(finding)) },
            FindingAct { reason: "x".repeat(TEXT_BYTES + 1), ..act(close(finding)) },
            act(Handled::Close { finding, severity: Some("dreadful".into()) }),
            act(Handled::Suppress { finding, until: i64::MAX }),
            act(Handled::Suppress { finding, until: -1 }),
            act(Handled::SuppressGroup { group: unnamed, until: 9 }),
            act(Handled::UnsuppressGroup { group: of_a_group }),
        ];
        for said in bad {
            let receipt = receipt(ID, &serde_json::to_string(&said).unwrap());
            assert_eq!(FindingAct::of(&receipt), None, "{said:?}");
            assert_eq!(fate(&receipt), Normalised::Dead(Dead::MissingField), "{said:?}");
        }
        let whole = serde_json::to_string(&act(close(finding))).unwrap();
        assert_eq!(fate(&receipt("act-1", &whole)), Normalised::Dead(Dead::MissingField), "an act has an id");
        assert_eq!(fate(&receipt(ID, "{")), Normalised::Dead(Dead::NotJson));
    }
}
