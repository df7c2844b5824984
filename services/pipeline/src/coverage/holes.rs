//! Loss behind intake: seqs are dense, so a hole in a stream, an end before the one that the next stream's opening names, or a
//! stream of which nothing is there, is loss.

use super::{Keeper, reconcile::reconcile};
use events::ids::StreamId;
use std::collections::{BTreeMap, BTreeSet};
use store::{Gap, Seal, StoreError, StreamStatus};

impl Keeper {
    /// The rows of gaps that change.
    pub(super) async fn missing_records(&self, now: i64, written: &[Gap]) -> Result<Vec<Gap>, StoreError> {
        let streams = self.store.streams(&self.tenant).await?;
        let mut found = Vec::new();
        for stream in &streams {
            for range in &stream.missing {
                let (since, until) = self.store.around(&self.tenant, stream.stream, *range).await?;
                // Where several processes write, a block may still be on its way.
                if until.is_some_and(|until| until < now - self.lateness) {
                    found.push(self.hole(stream.stream, *range, (since.unwrap_or(0), until)));
                }
            }
        }
        let by_id: BTreeMap<StreamId, &StreamStatus> = streams.iter().map(|stream| (stream.stream, stream)).collect();
        let mut sealed_before = BTreeSet::new();
        for seal in self.store.seals(&self.tenant).await? {
            if !sealed_before.insert(seal.previous) {
                // Two streams go on from one: a backup was put back after the journal had gone on, or a volume was cloned.
                found.push(self.rolled_back(&seal));
                continue;
            }
            let Some(sealed) = by_id.get(&seal.previous) else {
                // The store began anew behind a journal that had freed it: nothing says since when.
                if seal.received_at < now - self.lateness {
                    found.push(self.hole(seal.previous, (0, seal.previous_seq), (0, Some(seal.received_at))));
                }
                continue;
            };
            if sealed.last_seq < seal.previous_seq {
                let range = (sealed.last_seq + 1, seal.previous_seq);
                found.push(self.hole(seal.previous, range, (sealed.last_received_at, Some(seal.received_at))));
            } else if sealed.last_seq > seal.previous_seq {
                // The journal went on from an older state than what was stored from it: a restored backup.
                found.push(self.rolled_back(&seal));
            }
        }
        let own: Vec<Gap> = written
            .iter()
            .filter(|gap| matches!(gap.cause.as_str(), "records_missing" | "log_rolled_back"))
            .cloned()
            .collect();
        Ok(reconcile(&own, found, now, None))
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
