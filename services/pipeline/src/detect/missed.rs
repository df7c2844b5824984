//! Of which source an event is missing: that of the evidence on both sides of it. Asked for where it matters, over a gap, and once.

use super::facts::Reader;
use drift::{
    Facts,
    facts::{Gap, Missing},
};
use std::collections::BTreeMap;
use store::StoreError;
use uuid::Uuid;

/// The evidence that was asked for, with its source.
pub(super) type Evidence = BTreeMap<Uuid, String>;

/// Evidence is dated at most so far from what it says, milliseconds.
const DATED_APART: i64 = 86_400_000;

impl Reader {
    /// Names the sources of missing events that meet a gap.
    pub(super) async fn tell_sources(&self, facts: &mut Facts, known: &mut Evidence) -> Result<(), StoreError> {
        let over_gap = |one: &&mut Missing| facts.gaps.iter().any(|gap| meets(one, gap));
        let mut over_gaps: Vec<&mut Missing> = facts.missing.iter_mut().filter(over_gap).collect();
        let unknown = |event: &&Uuid| !known.contains_key(*event);
        let asked: Vec<Uuid> = over_gaps.iter().flat_map(|one| one.evidence.iter().filter(unknown)).copied().collect();
        if let (Some(from), Some(to)) =
            (over_gaps.iter().map(|one| one.after).min(), over_gaps.iter().map(|one| one.before).max())
            && !asked.is_empty()
        {
            let span = (from.saturating_sub(DATED_APART), to.saturating_add(DATED_APART));
            let told = self.store.sources_of(&self.tenant, &asked, span).await?;
            known.extend(told);
        }
        for missing in &mut over_gaps {
            let mut sources = missing.evidence.iter().filter_map(|event| known.get(event));
            missing.source = sources.next().cloned().unwrap_or_default();
        }
        Ok(())
    }
}

fn meets(missing: &Missing, gap: &Gap) -> bool {
    gap.repaired.is_none() && gap.since <= missing.before && gap.until.is_none_or(|until| until >= missing.after)
}
