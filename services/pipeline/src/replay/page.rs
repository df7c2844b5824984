//! One page of a replay: some receipts of one stream, what the normaliser makes of them, and what follows for the rows
//! that stand. Only reads.

use super::{
    PAGE_RECEIPTS, Replay,
    summary::{EventCounts, ReceiptCounts, Unreadable, UnreadableReceipt},
    words::Words,
};
use crate::{
    block::{noted, settle},
    register,
};
use durable_log::chain::commitment;
use events::{
    event::Event,
    normalise::{Dead, Normalised},
    receipt::Receipt,
};
use std::{collections::HashSet, ops::ControlFlow};
use store::{BodyBytes, Records, Rejudged, Selection, StoreError, StoredHeader, Verdict, Window};

/// Receipts whose bodies are asked for at once.
const BODIES_AT_ONCE: usize = 4_000;
/// A page with more events than this is cut at the end of a position, so that its memory has a bound.
const PAGE_EVENTS: usize = 40_000;

/// One page.
pub(super) struct Page {
    /// The part of the stream that it covers.
    pub covered: Window,
    /// What to write.
    pub rejudged: Rejudged,
    /// What operators' acts among them change in the register. To be written before.
    pub acts: Records,
    /// Receipts, apart from those left alone because of their body.
    pub counts: ReceiptCounts,
    /// Events.
    pub events: EventCounts,
    /// Receipts left alone because of their body.
    pub unreadable: Vec<UnreadableReceipt>,
}

impl Page {
    /// Reads and judges the first page of the window.
    pub async fn read(replay: &Replay, selection: &Selection, window: Window) -> Result<Self, StoreError> {
        let (store, version) = (&replay.store, replay.normaliser.version());
        let asked = store.selected_receipts(&replay.tenant, selection, (window, PAGE_RECEIPTS));
        let (mut headers, mut covered) = asked.await?;
        if headers.is_empty() {
            return Ok(Self::empty(covered));
        }
        let older: Vec<StoredHeader> = headers.iter().filter(|one| one.normaliser < version).cloned().collect();
        let mut judging = Judging::default();
        judging.run(replay, &older).await?;
        if let Some(cut) = judging.cut {
            covered.end = cut.saturating_add(1);
            headers.retain(|one| one.position.seq <= cut);
        }
        let mut page = Self::empty(covered);
        page.rejudged.normaliser = version;
        page.count(&headers, (version, judging.verdicts.len()));
        page.unreadable = std::mem::take(&mut judging.unreadable);
        let mut words = Words::new(&judging, (covered.stream, page.judged_seqs(&headers)), version);
        store.each_standing(&replay.tenant, (covered, version), &mut |row| words.compare(&row)).await?;
        (page.events, page.rejudged.deleted) = words.count();
        page.rejudged.receipts = judging.verdicts;
        page.rejudged.events = judging.events;
        page.acts = judging.acts;
        Ok(page)
    }

    fn empty(covered: Window) -> Self {
        Self {
            covered,
            rejudged: Rejudged::default(),
            acts: Records::default(),
            counts: ReceiptCounts::default(),
            events: EventCounts::default(),
            unreadable: Vec::new(),
        }
    }

    fn count(&mut self, headers: &[StoredHeader], (version, judged): (u32, usize)) {
        let of = |wanted: fn(&u32, &u32) -> bool| {
            headers.iter().filter(|one| wanted(&one.normaliser, &version)).count() as u64
        };
        self.counts.selected = headers.len() as u64;
        self.counts.current = of(u32::eq);
        self.counts.newer = of(u32::gt);
        self.counts.judged = judged as u64;
    }

    /// Positions of which this normaliser has judged every receipt, now or before: what stands because of them may go.
    fn judged_seqs(&self, headers: &[StoredHeader]) -> HashSet<u64> {
        let version = self.rejudged.normaliser;
        let mut judged: HashSet<u64> = headers.iter().map(|one| one.position.seq).collect();
        for newer in headers.iter().filter(|one| one.normaliser > version) {
            judged.remove(&newer.position.seq);
        }
        for unreadable in &self.unreadable {
            judged.remove(&unreadable.receipt.seq);
        }
        judged
    }

    /// Receipts in it.
    pub fn receipts(&self) -> usize {
        usize::try_from(self.counts.selected).unwrap_or(usize::MAX)
    }

    /// True if there is nothing to write.
    pub fn changes_nothing(&self) -> bool {
        self.rejudged.receipts.is_empty() && self.rejudged.deleted.is_empty()
    }
}

/// Receipts on their way from body to fate.
#[derive(Default)]
pub(super) struct Judging {
    /// What was judged.
    pub verdicts: Vec<Verdict>,
    /// The events of those receipts.
    pub events: Vec<Event>,
    acts: Records,
    unreadable: Vec<UnreadableReceipt>,
    cut: Option<u64>,
}

impl Judging {
    /// Judges receipts, which are in order of position, until all are judged or the page has enough events.
    async fn run(&mut self, replay: &Replay, older: &[StoredHeader]) -> Result<(), StoreError> {
        let mut rest = older;
        while !rest.is_empty() && self.cut.is_none() {
            let (chunk, after) = rest.split_at(whole_positions(rest, BODIES_AT_ONCE));
            let mut next = 0;
            let mut take = |index: usize, bytes: BodyBytes<'_>| {
                // Bodies come in order: what was passed over has none.
                chunk[next..index].iter().for_each(|one| self.leave(one, Unreadable::NoBody));
                next = index + 1;
                let seq = chunk[index].position.seq;
                self.judge(replay, &chunk[index], bytes);
                if self.events.len() >= PAGE_EVENTS && chunk.get(next).is_none_or(|one| one.position.seq != seq) {
                    self.cut = Some(seq);
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            };
            replay.store.each_body(&replay.tenant, chunk, &mut take).await?;
            if self.cut.is_none() {
                chunk[next..].iter().for_each(|one| self.leave(one, Unreadable::NoBody));
            }
            rest = after;
        }
        Ok(())
    }

    fn leave(&mut self, header: &StoredHeader, why: Unreadable) {
        self.unreadable.push(UnreadableReceipt { receipt: header.position, why });
    }

    /// A body is believed only if it is what the commitment was made of.
    fn judge(&mut self, replay: &Replay, header: &StoredHeader, bytes: BodyBytes<'_>) {
        if header.enc != 0 || bytes.enc != 0 {
            return self.leave(header, Unreadable::Encrypted);
        }
        if commitment(&bytes.salt, bytes.body) != header.commitment {
            return self.leave(header, Unreadable::Tampered);
        }
        let body = bytes.body.to_vec();
        let receipt = Receipt { position: header.position, header: header.header.clone(), body };
        let yielded = match noted(&receipt, register::note) {
            Some(acts) => {
                self.acts.append(acts);
                replay.normaliser.run(&receipt)
            }
            None => Normalised::Dead(Dead::NormaliserFailed),
        };
        let fate = settle(&receipt.header, yielded, &mut self.events);
        self.verdicts.push(Verdict { header: header.clone(), fate });
    }
}

/// The length of a beginning of `most` receipts that does not end within a position.
fn whole_positions(receipts: &[StoredHeader], most: usize) -> usize {
    let Some(last) = receipts.get(most.saturating_sub(1)) else { return receipts.len() };
    let same = receipts[most..].iter().take_while(|one| one.position == last.position).count();
    most + same
}
