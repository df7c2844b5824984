//! What a receiver is to be told now: the difference between what stands and what it was told. Pure.

use drift::Severity;
use std::collections::HashMap;
use store::findings::{AlertMessage, Finding};
use uuid::Uuid;

/// What is told of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It stands, this bad.
    Firing(Severity),
    /// It stands no more: over, withdrawn, closed or suppressed.
    Resolved,
}

impl What {
    /// As it is stored.
    pub fn to_text(self) -> String {
        match self {
            Self::Firing(severity) => format!("firing:{severity}"),
            Self::Resolved => "resolved".into(),
        }
    }

    fn of(text: &str) -> Option<Self> {
        if text == "resolved" {
            return Some(Self::Resolved);
        }
        Severity::of(text.strip_prefix("firing:")?).map(Self::Firing)
    }
}

/// What a receiver was told last of each finding, delivered or on its way.
pub type Told = HashMap<Uuid, What>;

/// What messages tell, in their order.
pub fn told<'a>(messages: impl IntoIterator<Item = &'a AlertMessage>) -> Told {
    let items = messages.into_iter().flat_map(|message| &message.items);
    items.filter_map(|(finding, what)| Some((finding.0, What::of(what)?))).collect()
}

/// True if a finding stands, so that somebody is to do something.
pub fn fires(finding: &Finding) -> bool {
    matches!(finding.state.as_str(), "OPEN" | "ACKNOWLEDGED") && finding.standing == "open"
}

/// What is to be told: what fires anew or worse, and what was told to fire and does no more.
pub fn due<'a>(findings: &'a [Finding], told: &Told, least: Severity) -> Vec<(&'a Finding, What)> {
    let mut due = Vec::new();
    for finding in findings {
        let severity = Severity::of(&finding.severity).unwrap_or_default();
        let before = told.get(&finding.finding_id);
        match (fires(finding) && severity >= least, before) {
            (true, Some(What::Firing(known))) if *known >= severity => {}
            (true, _) => due.push((finding, What::Firing(severity))),
            (false, Some(What::Firing(_))) => due.push((finding, What::Resolved)),
            (false, _) => {}
        }
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(id: u128, state: &str, severity: &str) -> Finding {
        Finding {
            finding_id: Uuid::from_u128(id),
            rule: "D02".into(),
            rule_version: 1,
            person: String::new(),
            severity: severity.into(),
            confidence: "proven".into(),
            first_at: 0,
            last_at: 0,
            detail: "{}".into(),
            evidence: Vec::new(),
            receipts: Vec::new(),
            content: 0,
            opened_at: 0,
            standing: if state == "WITHDRAWN" { "withdrawn".into() } else { "open".into() },
            handling: String::new(),
            changes: 1,
            owner: String::new(),
            suppressed_until: None,
            state: state.into(),
        }
    }

    fn told_of(items: &[(u128, What)]) -> Told {
        items.iter().map(|(id, what)| (Uuid::from_u128(*id), *what)).collect()
    }

    #[test]
    fn each_change_is_told_once() {
        let all = [
            finding(1, "OPEN", "high"),
            finding(2, "OPEN", "low"),
            finding(3, "WITHDRAWN", "high"),
            finding(4, "SUPPRESSED", "high"),
            finding(5, "OPEN", "critical"),
        ];
        let told =
            told_of(&[(3, What::Firing(Severity::High)), (4, What::Resolved), (5, What::Firing(Severity::Medium))]);
        let due = due(&all, &told, Severity::Medium);
        let said: Vec<_> = due.iter().map(|(finding, what)| (finding.finding_id.as_u128(), *what)).collect();
        assert_eq!(
            said,
            [(1, What::Firing(Severity::High)), (3, What::Resolved), (5, What::Firing(Severity::Critical))]
        );
    }

    #[test]
    fn what_was_resolved_can_fire_again() {
        let again = [finding(1, "OPEN", "high")];
        assert_eq!(due(&again, &told_of(&[(1, What::Resolved)]), Severity::Low).len(), 1);
        assert!(due(&again, &told_of(&[(1, What::Firing(Severity::High))]), Severity::Low).is_empty());
    }
}
