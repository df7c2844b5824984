//! What the rules found, written to the register: rows with the places of their evidence, then steps.

use super::Detector;
use drift::{
    Rule,
    finding::Candidate,
    register::{Changes, Step},
};
use std::collections::BTreeMap;
use store::{
    StoreError,
    correlation::Id,
    findings::{FindingChange, FindingRow},
};
use uuid::Uuid;

/// Evidence of a finding lies at most so long before its beginning, milliseconds.
const EVIDENCE_BEFORE: i64 = 86_400_000;
/// Findings whose evidence is asked for together.
const EVIDENCE_TOGETHER: usize = 500;
/// Who changes a finding when the rules do.
pub const BY_RULES: &str = events::finding_act::BY_RULES;

/// A step of the rules as a row; `answers`: when the last act was made that counts no more.
pub(super) fn change((tenant, at): (&str, i64), step: &Step, answers: Option<i64>) -> FindingChange {
    FindingChange {
        tenant: tenant.to_owned(),
        finding_id: step.finding,
        change_id: step.change,
        changed_at: at,
        what: step.what.to_owned(),
        actor: BY_RULES.to_owned(),
        reason: step.reason.to_owned(),
        until: None,
        severity: String::new(),
        answers,
    }
}

impl Detector {
    /// Writes rows of all rules and then steps, so that whoever looks sees what one round found at once; true if there were any.
    pub(super) async fn write(&self, now: i64, found: &[(&Rule, Changes<'_>)]) -> Result<bool, StoreError> {
        let (store, tenant) = (&self.reader.store, &self.reader.tenant);
        let rows = found.iter().flat_map(|(_, changes)| &changes.rows);
        let places = self.places(rows.map(|(_, candidate)| *candidate)).await?;
        let (mut rows, mut steps) = (Vec::new(), Vec::new());
        for (rule, changes) in found {
            rows.extend(changes.rows.iter().map(|(id, candidate)| FindingRow {
                tenant: tenant.clone(),
                finding_id: *id,
                version: now.unsigned_abs(),
                rule: rule.id.to_owned(),
                rule_version: rule.version,
                person: candidate.person.clone(),
                severity: candidate.severity.to_string(),
                confidence: candidate.confidence.to_string(),
                first_at: store::correlation::storable(candidate.first),
                last_at: store::correlation::storable(candidate.last),
                detail: serde_json::Value::Object(candidate.values.clone()).to_string(),
                evidence: candidate.evidence.iter().map(|event| Id(*event)).collect(),
                receipts: candidate.evidence.iter().filter_map(|event| places.get(event).cloned()).collect(),
                content: drift::finding::content(candidate),
            }));
            steps.extend(changes.steps.iter().enumerate().map(|(place, step)| {
                // Steps of one finding in one round stand in their order.
                let at = now + i64::try_from(place).unwrap_or_default().min(1) * i64::from(step.what != "opened");
                change((tenant, at), step, step.answers.then_some(now))
            }));
        }
        // A crash between the two leaves a finding without its first step: the next round writes it.
        if !rows.is_empty() {
            store.put_findings(&rows).await?;
        }
        if !steps.is_empty() {
            store.put_finding_changes(&steps).await?;
            let said = found.iter().flat_map(|(rule, changes)| changes.steps.iter().map(|step| (rule.id, step)));
            for (rule, step) in said {
                tracing::info!(rule, finding = %step.finding, what = step.what, "A finding changed.");
            }
        }
        Ok(!rows.is_empty() || !steps.is_empty())
    }

    /// Where the evidence of findings lies. Asked for many at once: ClickHouse keeps events by time, so that one question about one event
    /// can cost as much as one about a thousand.
    async fn places<'a>(
        &self,
        rows: impl Iterator<Item = &'a Candidate>,
    ) -> Result<BTreeMap<Uuid, String>, StoreError> {
        let mut places = BTreeMap::new();
        let mut found: Vec<&Candidate> = rows.filter(|candidate| !candidate.evidence.is_empty()).collect();
        found.sort_by_key(|candidate| candidate.first);
        for some in found.chunks(EVIDENCE_TOGETHER) {
            let times = some.iter().map(|one| (one.first, one.last.saturating_add(1)));
            let Some((first, last)) = times.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else { continue };
            // Evidence can be older than the finding: the failures before the login that is one. How old a membership, or the entity of somebody
            // who is gone, is said.
            let older = |one: &&Candidate| {
                ["joined_at_ms", "told_from_ms"].iter().find_map(|name| one.values.get(*name)?.as_i64())
            };
            let joined = || some.iter().filter_map(older);
            let joined = joined().min().zip(joined().max());
            let spans = [Some((first, last)), Some((first.saturating_sub(EVIDENCE_BEFORE), last)), joined];
            for (from, last) in spans.into_iter().flatten() {
                let wanted = some.iter().flat_map(|one| &one.evidence).filter(|event| !places.contains_key(*event));
                let wanted: Vec<Uuid> = wanted.copied().collect();
                places.extend(self.reader.store.receipts_of(&self.reader.tenant, &wanted, (from, last)).await?);
            }
        }
        Ok(places)
    }
}
