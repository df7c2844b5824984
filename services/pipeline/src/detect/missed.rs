//! Of which source an event is missing: that of the evidence on both sides of it. Asked for where it matters, over a gap, and once.

use super::facts::Reader;
use drift::{
    Facts,
    facts::{Gap, Missing},
};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The evidence that was asked for, with its source; empty: it is not there.
pub(super) type Evidence = BTreeMap<Uuid, String>;

/// Evidence is dated at most so far from what it says, milliseconds.
const DATED_APART: i64 = 86_400_000;

impl Reader {
    /// Names the sources of missing events that meet a gap. One that cannot be told stays empty: a gap of any Keycloak counts.
    pub(super) async fn tell_sources(&self, facts: &mut Facts, known: &mut Evidence) {
        let open: Vec<&Gap> = facts.gaps.iter().filter(|gap| gap.repaired.is_none()).collect();
        let over_gap = |one: &&mut Missing| open.iter().any(|gap| meets(one, gap));
        let mut over_gaps: Vec<&mut Missing> = facts.missing.iter_mut().filter(over_gap).collect();
        let is_news = |one: &&Missing| one.evidence.iter().any(|event| !known.contains_key(event));
        let news: Vec<&Missing> = over_gaps.iter().map(|one| &**one).filter(is_news).collect();
        let asked: Vec<Uuid> = news.iter().flat_map(|one| one.evidence.iter()).copied().collect();
        if let (Some(from), Some(to)) =
            (news.iter().map(|one| one.after).min(), news.iter().map(|one| one.before).max())
        {
            let span = (from.saturating_sub(DATED_APART), to.saturating_add(DATED_APART));
            match self.store.sources_of(&self.tenant, &asked, span).await {
                Ok(told) => {
                    known.extend(asked.into_iter().map(|event| (event, String::new())));
                    known.extend(told);
                }
                Err(error) => {
                    tracing::warn!(%error, "Of which source events are missing cannot be asked; it is tried again.")
                }
            }
        }
        for missing in &mut over_gaps {
            let mut sources =
                missing.evidence.iter().filter_map(|event| known.get(event)).filter(|one| !one.is_empty());
            missing.source = sources.next().cloned().unwrap_or_default();
        }
    }
}

fn meets(missing: &Missing, gap: &Gap) -> bool {
    gap.since <= missing.before && gap.until.is_none_or(|until| until >= missing.after)
}
