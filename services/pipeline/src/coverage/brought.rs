//! Records that were lost behind intake, and imports: nobody knows whose records they were, but what a source said in that time can be
//! shown by an import of the whole of it. So such a gap falls into parts: one for each source, which an import repairs, and one for
//! records of our own (acts by hand, snapshots), of which no export knows anything.

use super::{
    Keeper,
    keeper::{CLOCK, Expected, Look},
    pushed::seen_by,
    repair::{claimed, time_of},
    spans::Spans,
};
use events::receipt::{Input, SourceKind};
use std::collections::BTreeMap;
use store::{Gap, OWN_RECORDS, StoreError};

impl Keeper {
    /// Holes as they are found, in parts where an import has shown what one of the sources said.
    pub(super) async fn in_parts(&self, found: Vec<Gap>, look: &Look<'_>) -> Result<Vec<Gap>, StoreError> {
        let mut all = Vec::new();
        for gap in found {
            let mut sources = BTreeMap::<&str, bool>::new();
            for expected in &self.expected {
                let shown = self.shown(&gap, expected, look).await?;
                // A source that has several inputs is whole when it is by the heartbeats of each.
                sources.entry(&expected.source_id).and_modify(|all| *all &= shown).or_insert(shown);
            }
            if !sources.values().any(|shown| *shown) {
                all.push(gap);
                continue;
            }
            // One that the config names no more has lost its records too; what is in it can be shown when it is named again.
            let stored = self.store.sources_until(&self.tenant, gap.until.unwrap_or(look.now)).await?;
            for source in &stored {
                sources.entry(source).or_insert(false);
            }
            let of = |source: &str| Gap { source_id: source.to_owned(), ..gap.clone() };
            for (source, shown) in sources {
                let repaired = (Some(look.now), Input::Import.as_str().to_owned());
                let (repaired_at, repaired_by) = if shown { repaired } else { (None, String::new()) };
                all.push(Gap { repaired_at, repaired_by, ..of(source) });
            }
            all.push(of(OWN_RECORDS));
        }
        Ok(all)
    }

    /// True if somebody has said of an import that it holds all that the source said in the time of the gap, and no heartbeat speaks
    /// against it.
    async fn shown(&self, gap: &Gap, expected: &Expected, look: &Look<'_>) -> Result<bool, StoreError> {
        let source = expected.source_id.as_str();
        let Some(whole) = whole(gap, (expected, self.lateness), look.written) else { return Ok(false) };
        let nowhere = [String::new()];
        let scopes = expected.push.as_ref().map_or(&nowhere[..], |(_, scopes, _)| scopes);
        let said = |scope: &String| {
            let claims = claimed(look.claims, (expected.kind, source, scope));
            Spans::of([whole]).without(&claims) == Spans::default()
        };
        if !scopes.iter().all(said) {
            return Ok(false);
        }
        if expected.kind == SourceKind::Keycloak {
            self.store.find_heartbeats((&self.tenant, source), Input::Import, (whole.0, CLOCK)).await?;
        }
        let beats = self.store.heartbeats(&self.tenant, source, whole.0).await?;
        let unseen = |scope: &String| {
            let beats = seen_by(&beats, scope, None);
            beats.into_iter().any(|beat| beat.taken && beat.seen.is_none() && beat.sent_at < whole.1)
        };
        Ok(!scopes.iter().any(unseen))
    }
}

/// The time of which a source may have told something in the time of a gap; none if it has no beginning or end. What is told late is
/// late by no more than the allowance, or its absence was a gap of its own.
fn whole(gap: &Gap, (expected, lateness): (&Expected, i64), written: &[Gap]) -> Option<(i64, i64)> {
    let until = gap.until.filter(|_| gap.since > 0)?;
    let mut from = gap.since - lateness - expected.pull.unwrap_or_default();
    let own = written.iter().filter(|other| other.source_id == expected.source_id && other.scope != gap.scope);
    let own: Vec<(i64, i64)> = own.map(time_of).collect();
    while let Some((since, _)) = own.iter().find(|(since, until)| *since < from && from <= *until) {
        from = *since;
    }
    Some((from, until))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(source: &str, since: i64, until: Option<i64>) -> Gap {
        Gap {
            tenant: "default".into(),
            source_id: source.into(),
            scope: format!("{source}:{since}"),
            since,
            cause: "silent".into(),
            until,
            ..Gap::default()
        }
    }

    #[test]
    fn what_came_late_reaches_as_far_back_as_the_source_was_behind() {
        let expected = |pull| Expected { source_id: "kc".into(), kind: SourceKind::Keycloak, push: None, pull };
        let hole = gap("", 1_000, Some(1_100));
        assert_eq!(whole(&hole, (&expected(None), 10), &[]), Some((990, 1_100)));
        assert_eq!(whole(&hole, (&expected(Some(90)), 10), &[]), Some((900, 1_100)));
        // It was behind since 500, and before that since 400; what ended long before, and others, were not.
        let written =
            [gap("kc", 500, Some(995)), gap("kc", 400, Some(500)), gap("kc", 100, Some(300)), gap("bs", 0, None)];
        assert_eq!(whole(&hole, (&expected(None), 10), &written), Some((400, 1_100)));
        assert_eq!(whole(&gap("", 0, Some(5)), (&expected(None), 10), &[]), None);
        assert_eq!(whole(&gap("", 5, None), (&expected(None), 10), &[]), None);
    }
}
