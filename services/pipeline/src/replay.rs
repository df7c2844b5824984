//! Judges receipts again that an older normaliser judged: reads them from the store with their bodies, verifies each body
//! against its commitment, normalises, and writes what is new, changed or no longer said, and what operators' acts among them say of
//! findings. Changes nothing else: no watermark, no position of the journal, no coverage, no body.
//!
//! Idempotent and in any order: what a receipt yields depends on the receipt and the normaliser alone, and rows are told
//! apart by key and version. So a replay that was killed is run again, and new receipts may come in meanwhile.

mod page;
mod summary;
mod words;

pub use summary::{EventCounts, FateChange, NAMED_MAX, ReceiptCounts, Summary, Unreadable, UnreadableReceipt};

use crate::block::judged;
use events::{
    ids::StreamId,
    normalise::{Context, NORMALISER_VERSION, Normalised, normalise},
    receipt::Receipt,
};
use page::Page;
use std::time::Duration;
use store::{Selection, Store, StoreError, StreamSpan, Window};

/// Most receipts of one page.
const PAGE_RECEIPTS: u32 = 20_000;
/// Most seqs that are looked through for one page where few are selected.
const WIDEST_WINDOW: u64 = 4_000_000;
/// First and longest wait between two tries while ClickHouse does not answer.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// Tries of one step before the replay gives up: about a minute.
const TRIES: u32 = 12;

type Function = dyn Fn(&Receipt) -> Normalised + Send + Sync;

/// A normaliser with the version that its rows carry.
pub struct Normaliser {
    version: u32,
    function: Box<Function>,
}

impl Normaliser {
    /// The one of this program.
    pub fn current(context: Context) -> Self {
        Self::new(NORMALISER_VERSION, move |receipt| normalise(receipt, &context))
    }

    /// Any pure function. `version` must be raised whenever it yields anything else for the same receipt.
    pub fn new(version: u32, function: impl Fn(&Receipt) -> Normalised + Send + Sync + 'static) -> Self {
        Self { version, function: Box::new(function) }
    }

    /// Its version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// What it yields, under its version.
    fn run(&self, receipt: &Receipt) -> Normalised {
        let mut normalised = judged(receipt, |receipt| (self.function)(receipt));
        if let Normalised::Events(events) = &mut normalised {
            events.iter_mut().for_each(|event| event.normaliser = self.version);
        }
        normalised
    }
}

/// Whether a replay writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Writes.
    Write,
    /// Counts what it would write.
    DryRun,
}

/// How far a replay is, in receipts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Looked at.
    pub done: u64,
    /// Selected.
    pub total: u64,
}

/// Why a replay ended early. What it wrote stays; the same replay again does the rest.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// ClickHouse did not answer for too long, or refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The given stream holds none of the selected receipts.
    #[error("the store holds no receipt of stream {0} in this range")]
    NoSuchStream(StreamId),
}

/// A replay, ready to run.
pub struct Replay {
    /// Receipts in, rows out.
    pub store: Store,
    /// Tenant.
    pub tenant: String,
    /// Judges.
    pub normaliser: Normaliser,
}

impl Replay {
    /// Judges the selected receipts that an older normaliser judged, stream by stream, page by page; receipts that were
    /// judged by this normaliser or a newer one are left as they are.
    pub async fn run(
        &self,
        selection: &Selection,
        mode: Mode,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Summary, ReplayError> {
        let done = self.judge(selection, mode, progress).await;
        // Nothing is under way any more: the counts that this has changed need not wait for the marks to expire.
        if mode == Mode::Write
            && let Err(error) = self.store.close_marks().await
        {
            tracing::debug!(%error, "The marks of the replay stay open until they expire.");
        }
        done
    }

    async fn judge(
        &self,
        selection: &Selection,
        mode: Mode,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Summary, ReplayError> {
        let spans = retry(|| self.store.selected_streams(&self.tenant, selection)).await?;
        if let (Some(stream), []) = (selection.stream, spans.as_slice()) {
            return Err(ReplayError::NoSuchStream(stream));
        }
        let mut summary = Summary::new(self.normaliser.version, mode == Mode::DryRun);
        let total = spans.iter().map(|span| span.receipts).sum();
        for span in spans {
            let mut windows = Windows::of(span);
            while let Some(window) = windows.next() {
                let page = retry(|| Page::read(self, selection, window)).await?;
                if mode == Mode::Write && !page.changes_nothing() {
                    // Before and after: whoever follows events reads them again once this is over, killed or not.
                    retry(|| self.store.note_past_change(&self.tenant)).await?;
                    // An act that the older program did not understand: a crash behind this line writes it again, under its own id.
                    retry(|| self.store.put_records(&page.acts)).await?;
                    // Commit point of a page: after this it is done for good; before it, all of it is done again.
                    retry(|| self.store.rejudge(&self.tenant, &page.rejudged)).await?;
                    retry(|| self.store.note_past_change(&self.tenant)).await?;
                }
                windows.covered(page.covered, page.receipts());
                summary.add(page);
                progress(Progress { done: summary.receipts.selected.min(total), total });
            }
        }
        Ok(summary)
    }
}

/// Cuts a stream into windows: of one page where all is selected, wider where nothing was found, so that a few receipts
/// among many cost few questions and no question reads more than it must.
struct Windows {
    next: u64,
    width: u64,
    span: StreamSpan,
}

impl Windows {
    fn of(span: StreamSpan) -> Self {
        Self { next: span.first, width: u64::from(PAGE_RECEIPTS), span }
    }

    fn next(&self) -> Option<Window> {
        let end = self.span.last.saturating_add(1).min(self.next.saturating_add(self.width));
        (self.next < end).then_some(Window { stream: self.span.stream, first: self.next, end })
    }

    fn covered(&mut self, window: Window, receipts: usize) {
        self.next = window.end;
        self.width = if receipts == 0 { (self.width * 4).min(WIDEST_WINDOW) } else { u64::from(PAGE_RECEIPTS) };
    }
}

/// Tries a step again while ClickHouse does not answer; every step may be repeated.
async fn retry<T, F: Future<Output = Result<T, StoreError>>>(step: impl Fn() -> F) -> Result<T, StoreError> {
    let mut wait = RETRY.0;
    for _ in 1..TRIES {
        match step().await {
            Err(error) if error.is_unavailable() => {
                tracing::warn!(%error, "ClickHouse does not answer; the replay tries again.");
            }
            done => return done,
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY.1);
    }
    step().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(first: u64, last: u64, found: impl Fn(u64) -> usize) -> Vec<(u64, u64)> {
        let mut windows = Windows::of(StreamSpan { stream: StreamId([1; 16]), first, last, receipts: 0 });
        let mut seen = Vec::new();
        while let Some(window) = windows.next() {
            seen.push((window.first, window.end));
            windows.covered(window, found(window.first));
        }
        seen
    }

    #[test]
    fn windows_cover_a_stream_once_and_widen_where_nothing_is() {
        assert_eq!(windows(5, 5, |_| 1), [(5, 6)]);
        assert_eq!(windows(0, 40_000, |_| 9), [(0, 20_000), (20_000, 40_000), (40_000, 40_001)]);
        let sparse = windows(0, 100_000_000, |first| usize::from(first == 0));
        assert!(sparse.len() < 40, "{}", sparse.len());
        assert!(sparse.windows(2).all(|pair| pair[0].1 == pair[1].0), "no hole and no overlap");
        assert_eq!(sparse.last().map(|last| last.1), Some(100_000_001));
        assert_eq!(windows(u64::MAX - 3, u64::MAX - 1, |_| 0), [(u64::MAX - 3, u64::MAX)]);
    }
}
