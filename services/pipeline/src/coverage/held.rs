//! Does the store still hold what it acknowledged? A paced look behind its own counts: in each thorough round the cells (65,536 numbers of a
//! stream) that were written last, and some of all others in turn. What went by a hand, a dropped partition or a disk is a gap:
//! `events_missing`, `bodies_missing`, `store_went_back` (receipts).

use super::{Keeper, keeper::Look, reconcile::reconcile};
use events::ids::StreamId;
use std::collections::BTreeSet;
use store::{Gap, Gone, STREAM_CELL, StoreError};

const EVENTS: &str = "events_missing";
const BODIES: &str = "bodies_missing";
const RECEIPTS: &str = "store_went_back";
/// Cells of one round: the last ones of the streams that were written last, and others in turn.
const LATEST: usize = 2;
const IN_TURN: usize = 8;

/// A cell of a stream.
type Cell = (StreamId, u64);

/// The last cells that had their turn: their rows were looked for, their chain was linked again.
#[derive(Debug, Default)]
pub(super) struct Turn {
    held: Option<Cell>,
    linked: Option<Cell>,
}

impl Turn {
    /// Whose turn it is now: cells whose rows are looked for, and one of which the chain is linked again.
    fn pass(&mut self, kept: &[Cell]) -> (Vec<Cell>, Option<Cell>) {
        let held = next(kept, self.held, IN_TURN);
        self.held = held.last().copied();
        self.linked = next(kept, self.linked, 1).pop();
        (held, self.linked)
    }
}

impl Keeper {
    /// The rows of gaps that change.
    pub(super) async fn held(&self, look: &Look<'_>) -> Result<Vec<Gap>, StoreError> {
        let kept = self.store.kept_stream_cells(&self.tenant).await?;
        let mut streams = self.store.streams(&self.tenant).await?;
        streams.sort_by_key(|stream| std::cmp::Reverse(stream.last_received_at));
        let latest = streams.iter().take(LATEST).map(|stream| (stream.stream, stream.last_seq / STREAM_CELL));
        let mut cells: BTreeSet<Cell> = latest.collect();
        let (in_turn, linked) = self.turn.lock().await.pass(&kept);
        cells.extend(in_turn);
        let mut found = Vec::new();
        for cell in &cells {
            found.extend(self.gone(*cell).await?);
        }
        let looked = |gap: &&Gap| {
            let cause = matches!(gap.cause.as_str(), EVENTS | BODIES | RECEIPTS);
            cause && cell_of(&gap.scope).is_some_and(|cell| cells.contains(&cell))
        };
        let own: Vec<Gap> = look.written.iter().filter(looked).cloned().collect();
        let mut rows = reconcile(&own, found, look.now, None);
        if let Some(cell) = linked {
            rows.extend(self.chained(look, cell).await?);
        }
        Ok(rows)
    }

    async fn gone(&self, cell: Cell) -> Result<Vec<Gap>, StoreError> {
        let (store, tenant) = (&self.store, self.tenant.as_str());
        let mut events = store.gone_events(tenant, cell).await?;
        // A block is written events first, receipts last: one that came between the reading of the two is there at a second look.
        if !events.is_empty() {
            events = store.gone_events(tenant, cell).await?;
        }
        let mut bodies = store.gone_bodies(tenant, cell).await?;
        if !bodies.is_empty() {
            bodies = store.gone_bodies(tenant, cell).await?;
        }
        let receipts = store.gone_receipts(tenant, cell).await?;
        let gap = |(cause, gone): (&str, &Gone)| Gap {
            scope: format!("{}:{}-{}", cell.0, gone.first, gone.last),
            until: Some(gone.until),
            missing: Some(gone.count),
            ..self.gap(&gone.source_id, gone.since, cause)
        };
        let causes = [(EVENTS, &events), (BODIES, &bodies), (RECEIPTS, &receipts)];
        let all = causes.iter().flat_map(|(cause, gone)| gone.iter().map(|one| (*cause, one)));
        Ok(all.map(gap).collect())
    }
}

/// So many cells after `last`, beginning anew at the end.
fn next(kept: &[Cell], last: Option<Cell>, most: usize) -> Vec<Cell> {
    let from = last.map_or(0, |last| kept.partition_point(|cell| *cell <= last));
    kept[from..].iter().chain(&kept[..from]).take(most).copied().collect()
}

/// The cell of which such a gap tells.
fn cell_of(scope: &str) -> Option<Cell> {
    let (stream, numbers) = scope.split_once(':')?;
    let first: u64 = numbers.split_once('-')?.0.parse().ok()?;
    Some((stream.parse().ok()?, first / STREAM_CELL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_its_turn() {
        let cell = |n: u64| (StreamId([u8::from(n > 10); 16]), n);
        let kept: Vec<Cell> = (0..19).map(cell).collect();
        let (mut seen, mut linked, mut turn) = (BTreeSet::new(), BTreeSet::new(), Turn::default());
        for round in 0..kept.len() {
            let (held, chained) = turn.pass(&kept);
            assert_eq!(held.len(), IN_TURN);
            seen.extend(held);
            linked.extend(chained);
            assert!(round != 2 || seen.len() == kept.len(), "three times eight are more than nineteen");
        }
        assert_eq!(linked.len(), kept.len());
        assert_eq!(next(&kept[..3], Some(cell(1)), 8), [cell(2), cell(0), cell(1)]);
        assert_eq!(turn.pass(&[]), (Vec::new(), None));
        assert_eq!(cell_of(&format!("{}:65536-65540", kept[12].0)), Some((kept[12].0, 1)));
    }
}
