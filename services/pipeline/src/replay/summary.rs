//! What a replay did, or would do, in numbers.

use super::page::Page;
use events::ids::Position;
use serde::Serialize;
use std::collections::BTreeMap;

/// Most receipts whose bodies could not be used that a summary names; all are counted.
pub const NAMED_MAX: usize = 100;

/// What a replay did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Version of the normaliser that judged.
    pub normaliser: u32,
    /// True if nothing was written.
    pub dry_run: bool,
    /// Receipts.
    pub receipts: ReceiptCounts,
    /// Fates before and after, of the receipts that were judged.
    pub fates: Vec<FateChange>,
    /// Events that the judged receipts say, by receipt: what several receipts say counts for each.
    pub events: EventCounts,
    /// Receipts that were left alone because of their body, the first [`NAMED_MAX`].
    pub unreadable: Vec<UnreadableReceipt>,
}

/// Receipts of a replay: selected = current + newer + judged + no_body + tampered + encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReceiptCounts {
    /// In the selection.
    pub selected: u64,
    /// Judged by this normaliser before; left as they are.
    pub current: u64,
    /// Judged by a newer normaliser; left as they are.
    pub newer: u64,
    /// Judged again.
    pub judged: u64,
    /// Left alone: the body was erased or its time is over.
    pub no_body: u64,
    /// Left alone: the body does not agree with the commitment.
    pub tampered: u64,
    /// Left alone: the body is encrypted.
    pub encrypted: u64,
}

/// How many receipts went from one fate to another, or kept theirs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FateChange {
    /// `event`, `ignored` or `dead`.
    pub from: String,
    /// Likewise.
    pub to: String,
    /// Receipts.
    pub receipts: u64,
}

/// Events of a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EventCounts {
    /// Said as before; their rows carry the newer normaliser now.
    pub unchanged: u64,
    /// Said otherwise, or at another time.
    pub changed: u64,
    /// Not said by this receipt before.
    pub new: u64,
    /// Said by a repeat of an event that stands by another receipt.
    pub repeated: u64,
    /// No longer said.
    pub deleted: u64,
}

/// Why a body could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unreadable {
    /// It was erased, or its time is over.
    NoBody,
    /// It does not agree with its commitment: somebody changed it.
    Tampered,
    /// It is encrypted, and this program has no key.
    Encrypted,
}

/// A receipt that was left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadableReceipt {
    /// Its position.
    pub receipt: Position,
    /// Why.
    pub why: Unreadable,
}

impl Summary {
    pub(super) fn new(normaliser: u32, dry_run: bool) -> Self {
        Self { normaliser, dry_run, ..Self::default() }
    }

    /// True if nothing was, or would be, written.
    pub fn changes_nothing(&self) -> bool {
        self.receipts.judged == 0 && self.events.deleted == 0
    }

    pub(super) fn add(&mut self, page: Page) {
        let (all, counts) = (&mut self.receipts, &page.counts);
        all.selected += counts.selected;
        all.current += counts.current;
        all.newer += counts.newer;
        all.judged += counts.judged;
        for unreadable in page.unreadable {
            match unreadable.why {
                Unreadable::NoBody => all.no_body += 1,
                Unreadable::Tampered => all.tampered += 1,
                Unreadable::Encrypted => all.encrypted += 1,
            }
            if self.unreadable.len() < NAMED_MAX {
                self.unreadable.push(unreadable);
            }
        }
        let events = &mut self.events;
        events.unchanged += page.events.unchanged;
        events.changed += page.events.changed;
        events.new += page.events.new;
        events.repeated += page.events.repeated;
        events.deleted += page.events.deleted;
        let mut fates: BTreeMap<(String, String), u64> =
            self.fates.drain(..).map(|one| ((one.from, one.to), one.receipts)).collect();
        for verdict in &page.rejudged.receipts {
            *fates.entry((verdict.header.fate.clone(), verdict.fate.as_str().to_owned())).or_default() += 1;
        }
        self.fates = fates.into_iter().map(|((from, to), receipts)| FateChange { from, to, receipts }).collect();
    }
}
