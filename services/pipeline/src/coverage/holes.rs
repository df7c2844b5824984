//! Loss behind intake: seqs are dense, so a hole in a stream, an end before the one that the next stream's opening names, or a
//! stream of which nothing is there, is loss; and two receipts at one position are a history that somebody wrote twice. What a log lost is repaired when no number is missing any more.

use super::{Keeper, keeper::Look, reconcile::reconcile};
use events::ids::StreamId;
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

/// Causes of gaps that a log leaves where it lost records of ours.
const OF_THE_LOG: [&str; 4] = ["log_expired", "log_went_back", "log_recreated", "log_passed"];
/// How such a gap is repaired: the log brought the records after all.
const BY_THE_LOG: &str = "log";
use store::{Gap, Seal, StoreError, StreamStatus};

/// Numbers that are not there, by the last of their range: its first, and since which look, UTC milliseconds.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    before: BTreeMap<(StreamId, u64), (u64, i64)>,
    now: BTreeMap<(StreamId, u64), (u64, i64)>,
}

impl Awaited {
    /// A look at `now` finds a range missing; since when one does, maybe as a part of a larger one.
    fn since(&mut self, stream: StreamId, (first, last): (u64, u64), now: i64) -> i64 {
        let around = self.before.range((stream, last)..=(stream, u64::MAX)).next();
        let since = around.filter(|(_, (begins, _))| *begins <= first).map_or(now, |(_, (_, since))| *since);
        self.now.insert((stream, last), (first, since));
        since
    }

    /// The look is over: what it did not find has come.
    fn looked(&mut self) {
        self.before = mem::take(&mut self.now);
    }
}

impl Keeper {
    /// The rows of gaps that change.
    pub(super) async fn missing_records(&self, look: &Look<'_>) -> Result<Vec<Gap>, StoreError> {
        let (now, written) = (look.now, look.written);
        // Before the look: what is settled behind it says nothing of what the look did not find yet.
        let settled = *self.settled_until.borrow();
        let streams = self.store.streams(&self.tenant).await?;
        let (mut found, mut awaited) = (Vec::new(), self.awaited.lock().await);
        // Where several processes write, a block may still be on its way, and where the log has several ways a record may wait on one:
        // one that is sent again lies behind what was there when it was missed first.
        let mut is_lost = |stream: StreamId, range: (u64, u64), behind: Option<i64>| {
            let since = awaited.since(stream, range, now);
            behind.is_some_and(|behind| behind < now - self.lateness) && settled.saturating_sub(self.lateness) >= since
        };
        // What was told once stays told while it is missing, whatever is allowed now.
        let known = |stream: StreamId, range: (u64, u64)| {
            written.iter().any(|gap| gap.repaired_at.is_none() && gap.tells_missing(stream, range))
        };
        for stream in &streams {
            for range in &stream.missing {
                let (since, until) = self.store.around(&self.tenant, stream.stream, *range).await?;
                let hole = self.hole(stream.stream, *range, (since.unwrap_or(0), until));
                if is_lost(stream.stream, *range, until) || known(stream.stream, *range) {
                    found.push(hole);
                }
            }
        }
        let by_id: BTreeMap<StreamId, &StreamStatus> = streams.iter().map(|stream| (stream.stream, stream)).collect();
        let (mut sealed_before, mut short) = (BTreeSet::new(), false);
        let seals = self.store.seals(&self.tenant).await?;
        for seal in &seals {
            if !sealed_before.insert(seal.previous) {
                // Two streams go on from one: a backup was put back after the journal had gone on, or a volume was cloned.
                found.push(self.rolled_back(seal));
                continue;
            }
            // Where nothing is there the store began anew behind a journal that had freed it: nothing says since when.
            let sealed = by_id.get(&seal.previous);
            let (first, since) = sealed.map_or((0, 0), |sealed| (sealed.last_seq + 1, sealed.last_received_at));
            if first <= seal.previous_seq {
                short = true;
                // The opening may have come by another partition than the end that it names.
                let hole = self.hole(seal.previous, (first, seal.previous_seq), (since, Some(seal.received_at)));
                let range = (first, seal.previous_seq);
                if is_lost(seal.previous, range, Some(seal.received_at)) || known(seal.previous, range) {
                    found.push(hole);
                }
            } else if sealed.is_some_and(|sealed| sealed.last_seq > seal.previous_seq) {
                // The journal went on from an older state than what was stored from it: a restored backup.
                found.push(self.rolled_back(seal));
            }
        }
        awaited.looked();
        for stream in streams.iter().filter(|stream| stream.contested > 0) {
            // Between the counting and this look a merge cannot take one away: only an operator can.
            if let Some((since, last)) = self.store.contested(&self.tenant, stream.stream).await? {
                let scope = stream.stream.to_string();
                found.push(Gap { scope, until: Some(last + 1), ..self.gap("", since, "position_contested") });
            }
        }
        let own: Vec<Gap> = written
            .iter()
            .filter(|gap| matches!(gap.cause.as_str(), "records_missing" | "log_rolled_back" | "position_contested"))
            .cloned()
            .collect();
        let whole = !short && streams.iter().all(|stream| stream.missing.is_empty());
        let repaired = if whole { self.brought_again(written, (&streams, &seals), now) } else { Vec::new() };
        let found = self.in_parts(found, look).await?;
        Ok(reconcile(&own, found, now, None).into_iter().chain(repaired).collect())
    }

    /// Losses of a log that took nothing: no number is missing, and every stream goes on behind the loss or is there up to its
    /// seal. A stream that ended without one may lack its end: then nothing is said.
    fn brought_again(&self, written: &[Gap], (streams, seals): (&[StreamStatus], &[Seal]), now: i64) -> Vec<Gap> {
        let ended: BTreeMap<StreamId, u64> = seals.iter().map(|seal| (seal.previous, seal.previous_seq)).collect();
        let there = |stream: &StreamStatus, until: i64| {
            stream.last_received_at > until || ended.get(&stream.stream).is_some_and(|end| *end <= stream.last_seq)
        };
        let lost = written.iter().filter(|gap| OF_THE_LOG.contains(&gap.cause.as_str()) && gap.repaired_at.is_none());
        let again = lost.filter(|gap| {
            gap.until.is_some_and(|until| {
                until < now - self.lateness && !streams.is_empty() && streams.iter().all(|stream| there(stream, until))
            })
        });
        let row =
            |gap: &Gap| Gap { repaired_at: Some(now), repaired_by: BY_THE_LOG.into(), recorded_at: now, ..gap.clone() };
        again.map(row).collect()
    }

    fn rolled_back(&self, seal: &Seal) -> Gap {
        let scope = format!("{}:{}", seal.previous, seal.previous_seq);
        Gap { scope, until: Some(seal.received_at), ..self.gap("", seal.received_at, "log_rolled_back") }
    }

    fn hole(&self, stream: StreamId, (first, last): (u64, u64), (since, until): (i64, Option<i64>)) -> Gap {
        let scope = format!("{stream}:{first}-{last}");
        Gap { scope, until, missing: Some(last - first + 1), ..self.gap("", since, "records_missing") }
    }
}
