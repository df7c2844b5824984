//! Is the hash chain of each stream still the one that was journaled? Headers and commitments as ClickHouse has them are linked again, from one
//! kept link of the chain to the next, and from the last one to the chain that the next stream's opening names: a cell of a stream in each
//! thorough round. A stretch that does not end in the link that was kept is a gap, `chain_broken`: a header or a commitment was altered there.

use super::{Keeper, keeper::Look, reconcile::reconcile};
use durable_log::chain::{self, Link};
use events::{
    ids::{Position, StreamId},
    normalise::Dead,
};
use store::{Gap, STREAM_CELL, Seal, StoreError, StoredHeader};

const BROKEN: &str = "chain_broken";
/// Receipts of one question.
const PAGE: u32 = 8_192;
/// Kept links are no farther apart: so far back a cell's first stretch can begin.
const APART: u64 = 4_096;

impl Keeper {
    /// The rows of gaps that change, of one cell.
    pub(super) async fn chained(
        &self,
        look: &Look<'_>,
        (stream, cell): (StreamId, u64),
    ) -> Result<Vec<Gap>, StoreError> {
        let (first, end) = (cell * STREAM_CELL, (cell + 1) * STREAM_CELL);
        let seals = self.store.seals(&self.tenant).await?;
        let mut walk = Walk::new(seals.into_iter().find(|seal| seal.previous == stream));
        let mut from = first.saturating_sub(APART);
        while from < end {
            let page = self.store.receipts_from(&self.tenant, Position { stream, seq: from }, PAGE).await?;
            let whole = page.len() == PAGE as usize;
            // Receipts of one number stay together.
            let last = page.last().map_or(end, |last| last.position.seq);
            let until = if whole { last.min(end) } else { end };
            page.iter().filter(|one| one.position.seq < until).for_each(|one| walk.step(one));
            if !whole || until == from {
                break;
            }
            from = until;
        }
        walk.sealed();
        let here = |scope: &str| last_of(scope).is_some_and(|last| last.0 == stream && (first..end).contains(&last.1));
        let found = walk.broken.iter().map(|stretch| Gap {
            scope: format!("{stream}:{}-{}", stretch.first, stretch.last),
            until: Some(stretch.until + 1),
            ..self.gap("", stretch.since, BROKEN)
        });
        let found: Vec<Gap> = found.filter(|gap| here(&gap.scope)).collect();
        let own = look.written.iter().filter(|gap| gap.cause == BROKEN && here(&gap.scope));
        Ok(reconcile(&own.cloned().collect::<Vec<_>>(), found, look.now, None))
    }
}

/// Numbers that do not lead from one link to the next, with the times at which their receipts were taken in.
struct Stretch {
    first: u64,
    last: u64,
    since: i64,
    until: i64,
}

/// Along a stream, in order of number.
struct Walk {
    /// The chain after the last receipt; none where it cannot be known: behind a hole, at a number that is there twice, or where a
    /// header could not be read.
    value: Option<[u8; 32]>,
    /// The last receipt.
    at: Option<(u64, i64)>,
    /// Number and time at which the stretch began.
    began: (u64, i64),
    seal: Option<Seal>,
    broken: Vec<Stretch>,
}

impl Walk {
    fn new(seal: Option<Seal>) -> Self {
        Self { value: None, at: None, began: (0, 0), seal, broken: Vec::new() }
    }

    fn step(&mut self, one: &StoredHeader) {
        let (seq, time) = (one.position.seq, one.header.received_at);
        let before = match self.at {
            None if seq == 0 => Some(chain::START),
            Some((last, _)) if last + 1 == seq => self.value,
            _ => None,
        };
        if self.at.is_none() || before.is_none() {
            self.began = (seq, time);
        }
        self.at = Some((seq, time));
        let header = one.header.to_bytes();
        let link = |value| {
            chain::link(
                &value,
                Link { stream: &one.position.stream.0, seq, header: &header, commitment: &one.commitment },
            )
        };
        self.value = before.filter(|_| one.reason != Dead::BadHeader.as_str()).map(link);
        if let Some(kept) = one.chain {
            self.compare(kept);
            self.value = Some(kept);
            self.began = (seq + 1, time);
        }
    }

    /// At the end of a stream: against what the next stream's opening says of it.
    fn sealed(&mut self) {
        let Some(seal) = self.seal else { return };
        let ended = self.at.is_some_and(|(seq, _)| seq == seal.previous_seq);
        if let (true, Some(said)) = (ended, seal.previous_chain) {
            self.compare(said);
        }
    }

    fn compare(&mut self, kept: [u8; 32]) {
        let Some((last, until)) = self.at else { return };
        if self.value.is_some_and(|value| value != kept) {
            let (first, since) = self.began;
            self.broken.push(Stretch { first: first.min(last), last, since, until });
        }
    }
}

/// Stream and last number of which such a gap tells.
fn last_of(scope: &str) -> Option<(StreamId, u64)> {
    let (stream, numbers) = scope.split_once(':')?;
    Some((stream.parse().ok()?, numbers.split_once('-')?.1.parse().ok()?))
}
