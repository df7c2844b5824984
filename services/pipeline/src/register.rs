//! What operators' acts on findings change in the register: rows under ids made of the acts' own, so that reading one again changes
//! nothing, and one that was said twice is one.

use events::{
    finding_act::{FindingAct, Group, Handled, change_id},
    receipt::Receipt,
};
use store::{Records, findings::FindingChange, suppressions::SuppressionChange};

/// Adds what one receipt changes in the register.
pub(crate) fn note(records: &mut Records, receipt: &Receipt) {
    let Some((id, act)) = FindingAct::of(receipt) else { return };
    let id = change_id(id);
    let (tenant, changed_at) = (receipt.header.tenant.clone(), receipt.header.received_at);
    let what = act.said.what().to_owned();
    let (actor, reason) = (act.by.trim().to_owned(), act.reason.trim().to_owned());
    let (finding_id, until, severity) = match act.said {
        Handled::Acknowledge { finding } | Handled::Unsuppress { finding } => (finding, None, None),
        Handled::Close { finding, severity } => (finding, None, severity),
        Handled::Suppress { finding, until } => (finding, Some(until), None),
        Handled::SuppressGroup { group, until } => {
            let change = group_change((tenant, id), group, until);
            records.suppressions.push(SuppressionChange { changed_at, what, actor, reason, ..change });
            return;
        }
        Handled::UnsuppressGroup { group } => {
            // It ends when it is ended.
            let change = group_change((tenant, id), group, changed_at);
            records.suppressions.push(SuppressionChange { changed_at, what, actor, reason, ..change });
            return;
        }
    };
    records.handled.push(FindingChange {
        tenant,
        finding_id,
        change_id: id,
        changed_at,
        what,
        actor,
        reason,
        until,
        severity: severity.unwrap_or_default(),
        answers: None,
    });
}

/// Without who, when and why.
fn group_change((tenant, change_id): (String, uuid::Uuid), group: Group, until: i64) -> SuppressionChange {
    SuppressionChange {
        tenant,
        suppression_id: group.suppression,
        change_id,
        changed_at: 0,
        what: String::new(),
        rule: group.rule,
        subject_kind: group.subject_kind,
        subject: group.subject,
        owner: group.owner,
        actor: String::new(),
        reason: String::new(),
        until,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::{
        ids::{Position, StreamId},
        receipt::{Input, Payload, ReceiptHeader},
    };
    use uuid::Uuid;

    fn receipt(id: Uuid, said: Handled) -> Receipt {
        let header = ReceiptHeader {
            native_id: id.to_string(),
            ..ReceiptHeader::own("t", (Input::Operator, Payload::FindingAct), 70)
        };
        let act = FindingAct { said, by: " ana ".into(), reason: "known ".into() };
        let body = serde_json::to_vec(&act).unwrap();
        Receipt { position: Position { stream: StreamId([0; 16]), seq: 3 }, header, body }
    }

    #[test]
    fn an_act_can_say_every_severity_of_the_rules_and_no_other() {
        use drift::Severity::{self, Critical, High, Low, Medium};
        // One more does not compile until it is here.
        let all = |one| match one {
            Low | Medium | High | Critical => [Low, Medium, High, Critical],
        };
        assert_eq!(events::finding_act::SEVERITIES, all(Low).map(Severity::as_str));
    }

    #[test]
    fn each_act_is_one_row_of_the_register_under_its_own_id() {
        let (id, finding) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (subject_kind, subject, owner) = ("source".into(), "kc".into(), "bo".into());
        let group = Group { suppression: Uuid::from_u128(3), rule: "D12".into(), subject_kind, subject, owner };
        let close = |severity| Handled::Close { finding, severity };
        for (said, what, (until, severity)) in [
            (Handled::Acknowledge { finding }, "acknowledged", (None, "")),
            (close(None), "closed", (None, "")),
            (close(Some("high".into())), "closed", (None, "high")),
            (Handled::Suppress { finding, until: 99 }, "suppressed", (Some(99), "")),
            (Handled::Unsuppress { finding }, "unsuppressed", (None, "")),
        ] {
            let mut records = Records::default();
            note(&mut records, &receipt(id, said));
            let (tenant, actor, reason) = ("t".into(), "ana".into(), "known".into());
            let what = what.to_owned();
            let row = FindingChange {
                tenant,
                finding_id: finding,
                change_id: change_id(id),
                changed_at: 70,
                what,
                actor,
                reason,
                until,
                severity: severity.into(),
                answers: None,
            };
            assert_eq!(records, Records { handled: vec![row], ..Records::default() });
        }
        for (said, what, until) in [
            (Handled::SuppressGroup { group: group.clone(), until: 99 }, "made", 99),
            (Handled::UnsuppressGroup { group: group.clone() }, "ended", 70),
        ] {
            let mut records = Records::default();
            note(&mut records, &receipt(id, said));
            let row = SuppressionChange {
                changed_at: 70,
                what: what.into(),
                actor: "ana".into(),
                reason: "known".into(),
                ..group_change(("t".into(), change_id(id)), group.clone(), until)
            };
            assert_eq!((row.suppression_id, row.rule.as_str(), row.owner.as_str()), (group.suppression, "D12", "bo"));
            assert_eq!(records, Records { suppressions: vec![row], ..Records::default() });
        }
        let mut records = Records::default();
        let mut other = receipt(id, close(None));
        other.header.payload = Payload::PersonAct;
        note(&mut records, &other);
        assert_eq!(records, Records::default(), "of another class");
    }
}
