//! What a receiver is to be told now: the difference between what stands and what it was told. Pure.

use drift::Severity;
use std::{collections::HashMap, time::Duration};
use store::findings::{AlertMessage, Finding};
use uuid::Uuid;

/// What is told of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It stands, this bad.
    Firing(Severity),
    /// It stands no more: over, withdrawn, closed or suppressed.
    Resolved,
    /// It stood, and was over before it could be told: told once.
    Passed,
}

impl What {
    /// As it is stored.
    pub fn to_text(self) -> String {
        match self {
            Self::Firing(severity) => format!("firing:{severity}"),
            Self::Resolved => "resolved".into(),
            Self::Passed => "passed".into(),
        }
    }

    fn of(text: &str) -> Option<Self> {
        match text {
            "resolved" => Some(Self::Resolved),
            "passed" => Some(Self::Passed),
            _ => Severity::of(text.strip_prefix("firing:")?).map(Self::Firing),
        }
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

/// True if a finding was over before anybody did anything about it, also to be spared of it.
fn passed(finding: &Finding) -> bool {
    finding.state == "ENDED" && finding.standing == "ended" && finding.handling.is_empty() && finding.over_unheard == 0
}

/// What is to be told: what fires anew or worse, what was told to fire and does no more, and what was opened at or after `since` (UTC
/// milliseconds) and was over before it was told.
pub fn due<'a>(findings: &'a [Finding], told: &Told, least: Severity, since: i64) -> Vec<(&'a Finding, What)> {
    let mut due = Vec::new();
    for finding in findings {
        let severity = Severity::of(&finding.severity).unwrap_or_default();
        let before = told.get(&finding.finding_id);
        match (fires(finding) && severity >= least, before) {
            (true, Some(What::Firing(known))) if *known >= severity => {}
            (true, _) => due.push((finding, What::Firing(severity))),
            (false, Some(What::Firing(_))) => due.push((finding, What::Resolved)),
            (false, None) if passed(finding) && severity >= least && finding.opened_at >= since => {
                due.push((finding, What::Passed));
            }
            (false, _) => {}
        }
    }
    due
}

/// How long the first of what is due has been in the register at `now` (UTC milliseconds). When something changed that was told before is
/// not known: as if it were now.
pub fn waited(due: &[(&Finding, What)], told: &Told, now: i64) -> Duration {
    let new = due.iter().filter(|(finding, _)| !told.contains_key(&finding.finding_id));
    let longest = new.map(|(finding, _)| now - finding.opened_at).max();
    Duration::from_millis(longest.and_then(|ms| u64::try_from(ms).ok()).unwrap_or_default())
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
            standing: match state {
                "WITHDRAWN" | "ENDED" => state.to_lowercase(),
                _ => "open".into(),
            },
            handling: String::new(),
            changes: 1,
            owner: String::new(),
            suppressed_until: None,
            state: state.into(),
            suppression: String::new(),
            over_unheard: 0,
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
        let due = due(&all, &told, Severity::Medium, 0);
        let said: Vec<_> = due.iter().map(|(finding, what)| (finding.finding_id.as_u128(), *what)).collect();
        assert_eq!(
            said,
            [(1, What::Firing(Severity::High)), (3, What::Resolved), (5, What::Firing(Severity::Critical))]
        );
    }

    #[test]
    fn what_was_resolved_can_fire_again() {
        let again = [finding(1, "OPEN", "high")];
        assert_eq!(due(&again, &told_of(&[(1, What::Resolved)]), Severity::Low, 0).len(), 1);
        assert!(due(&again, &told_of(&[(1, What::Firing(Severity::High))]), Severity::Low, 0).is_empty());
    }

    #[test]
    fn what_is_due_has_waited_since_the_first_of_it_was_found() {
        let opened = |id, opened_at| Finding { opened_at, ..finding(id, "OPEN", "high") };
        let (first, second) = (opened(1, 1_000), opened(2, 1_400));
        let due = [(&second, What::Firing(Severity::High)), (&first, What::Firing(Severity::High))];
        assert_eq!(waited(&due, &Told::new(), 1_500).as_millis(), 500);
        assert_eq!(waited(&due, &told_of(&[(1, What::Resolved)]), 1_500).as_millis(), 100, "it stands again");
        let over = [(&first, What::Resolved)];
        assert_eq!(waited(&over, &told_of(&[(1, What::Firing(Severity::High))]), 1_500).as_millis(), 0);
        assert_eq!(waited(&due, &Told::new(), 900).as_millis(), 0, "a clock that went back");
    }

    #[test]
    fn what_was_over_before_it_was_told_is_told_once() {
        let over =
            |handling: &str, opened_at| Finding { handling: handling.into(), opened_at, ..finding(1, "ENDED", "low") };
        let said = |finding: Finding, told: &[(u128, What)], least| {
            let all = [finding];
            due(&all, &told_of(told), least, 100).into_iter().map(|(_, what)| what).collect::<Vec<_>>()
        };
        assert_eq!(said(over("", 100), &[], Severity::Low), [What::Passed]);
        assert_eq!(said(over("", 100), &[(1, What::Passed)], Severity::Low), []);
        assert_eq!(said(over("", 100), &[(1, What::Resolved)], Severity::Low), []);
        assert_eq!(said(over("", 100), &[], Severity::Medium), []);
        assert_eq!(said(over("closed", 100), &[], Severity::Low), [], "somebody has seen it");
        assert_eq!(said(over("", 99), &[], Severity::Low), [], "long before this receiver looks");
        let unheard = Finding { over_unheard: 1, ..over("", 100) };
        assert_eq!(said(unheard, &[], Severity::Low), [], "it came and went while it was suppressed");
        assert_eq!(said(finding(1, "WITHDRAWN", "low"), &[], Severity::Low), [], "it was none");
        assert_eq!(What::of(&What::Passed.to_text()), Some(What::Passed));
    }
}
