//! What goes on, or gets worse, after somebody was done with it stands again: once for each of their acts.
//!
//! Asked of the register in every round, not only of what was found in it: acts and findings reach a register that is filled anew in any
//! order.

use super::{Detector, writing::change};
use drift::{
    Rule, Severity,
    handling::{Dealt, Word, revived},
};
use store::{StoreError, findings::FindingChange, register::DealtWith};

impl Detector {
    /// Answers the acts that what stands has outlived; true if there were any.
    pub(super) async fn revive(&self, now: i64) -> Result<bool, StoreError> {
        let (store, tenant) = (&self.reader.store, &self.reader.tenant);
        let dealt = store.dealt_with(tenant).await?;
        // What was closed of a rule that is switched off stays closed.
        let judged = dealt.iter().filter(|one| !self.reader.settings.disabled.contains(one.rule.as_str()));
        let changes: Vec<FindingChange> = judged.filter_map(|one| answer((tenant, now), one)).collect();
        if changes.is_empty() {
            return Ok(false);
        }
        // Commit point: from here on they stand. A crash before this line leaves them as they are, and the next round asks again.
        store.put_finding_changes(&changes).await?;
        for change in &changes {
            tracing::info!(finding = %change.finding_id, why = change.reason, "A finding that was dealt with stands again.");
        }
        Ok(true)
    }
}

fn answer((tenant, now): (&str, i64), one: &DealtWith) -> Option<FindingChange> {
    let word = match one.handling.as_str() {
        "closed" => Word::Closed { seen: Severity::of(&one.handled_severity) },
        _ => Word::Acknowledged,
    };
    let severity = Severity::of(&one.severity).unwrap_or_default();
    let (finding, at, first, last) = (one.finding_id, one.handled_at, one.first_at, one.last_at);
    let step = revived(Rule::of(&one.rule)?, &Dealt { finding, word, at, first, last, severity })?;
    Some(change((tenant, now), &step, Some(at)))
}
