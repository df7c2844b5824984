//! What is known of completeness: what each source proves, gaps, counts at the source against counts stored, snapshots,
//! events that must have happened, and the positions that the answers rest on.

mod proven;
mod read;
mod sources;

use crate::verdict::moment;
pub(crate) use read::read;
use serde::Serialize;

/// A time [from, to), UTC milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Beginning.
    pub from: i64,
    /// End.
    pub to: i64,
}

/// What the config says of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It names it.
    #[default]
    Configured,
    /// It names it no more, and something of the period is known of it.
    Left,
    /// It names it no more, and all that is of the period is a gap.
    LeftBefore,
}

/// A source that the report rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SourceFact {
    /// Source.
    pub source_id: String,
    /// Product; empty: nothing that is stored says it.
    pub kind: String,
    /// What the config says of it.
    pub standing: Standing,
    /// Times for which something proves that everything arrived.
    pub proven: Vec<Span>,
    /// What proves them, in words.
    pub proven_by: Vec<String>,
    /// Realms or instances whose heartbeats count: those that the config names; where it names none, all that are known.
    pub scopes: Vec<ScopeFact>,
    /// By input: complete up to here.
    pub watermarks: Vec<(String, i64)>,
    /// Heartbeats sent in the period.
    pub heartbeats_sent: u64,
    /// Of these, come back.
    pub heartbeats_received: u64,
    /// Events of the period at the source, as far as pull read them; none: it is not pulled.
    pub at_source: Option<u64>,
    /// Events of the period that are stored.
    pub stored: u64,
    /// Further copies of them.
    pub duplicate: u64,
}

impl SourceFact {
    /// Its id for people.
    pub(crate) fn told(&self) -> String {
        match self.standing {
            Standing::Configured => self.source_id.clone(),
            Standing::Left | Standing::LeftBefore => format!("{} (no longer in the config)", self.source_id),
        }
    }

    /// Why no more is proven.
    pub(crate) fn why(&self) -> String {
        let Some(first) = self.scopes.iter().filter_map(|one| one.first_back).min() else {
            return "no heartbeat of it ever came back, and no import was declared complete".into();
        };
        let mut why = format!("heartbeats come back since {}", moment(first));
        for one in self.scopes.iter().filter(|one| one.first_back.is_none()) {
            why.push_str(&format!(
                ", those of {} never did",
                if one.scope.is_empty() { "all of it" } else { &one.scope }
            ));
        }
        if let Some(mark) = self.watermarks.iter().map(|mark| mark.1).max() {
            why.push_str(&format!(", and it is complete up to {}", moment(mark)));
        }
        why
    }
}

/// When heartbeats of a realm or an instance began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ScopeFact {
    /// Realm or instance; empty: all of the source.
    pub scope: String,
    /// The first that was sent: it was not expected before; none: none was sent yet.
    pub first_sent: Option<i64>,
    /// The first that came back: it is proven from here on.
    pub first_back: Option<i64>,
}

/// A gap that touches the period.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GapFact {
    /// Source; empty: any.
    pub source_id: String,
    /// Realm, instance or stream.
    pub scope: String,
    /// Way in; empty: any.
    pub input: String,
    /// Why.
    pub cause: String,
    /// Beginning, UTC milliseconds.
    pub since: i64,
    /// End; none while open.
    pub until: Option<i64>,
    /// How much is known to be missing.
    pub missing: Option<u64>,
    /// The input that brought everything after all.
    pub repaired_by: Option<String>,
}

/// A snapshot that the answers may rest on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SnapshotFact {
    /// Source.
    pub source_id: String,
    /// Id.
    pub snapshot: String,
    /// Beginning, as printed by the store.
    pub began: String,
    /// True if every area was read whole.
    pub complete: bool,
    /// Entities on its lists.
    pub entities: u64,
}

/// Rows recomputed from their receipts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Accuracy {
    /// Seed of the draw.
    pub seed: String,
    /// Rows drawn.
    pub tried: u64,
    /// Of these, the same.
    pub agree: u64,
    /// Another value than the receipt gives.
    pub mismatch: u64,
    /// Bodies that do not agree with their commitment.
    pub tampered: u64,
    /// Bodies erased or past their time.
    pub no_body: u64,
    /// Rows that rest on no event of their own.
    pub without_event: u64,
    /// Version of the normaliser.
    pub mapping_version: u32,
    /// What was derived of each row.
    pub columns: Vec<&'static str>,
    /// Event and column of what differs.
    pub differences: Vec<String>,
    /// Why nothing was derived.
    pub not_done: Option<String>,
}

impl Accuracy {
    /// True if rows rest on events and of none the body is kept.
    pub(crate) fn not_shown(&self) -> bool {
        self.no_body > 0 && self.tried == self.without_event + self.no_body
    }
}

/// Everything that the verdict is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The period; of a report as of an instant: from the last snapshot to it.
    pub period: Span,
    /// When it was read, UTC milliseconds.
    pub read_at: i64,
    /// Sources that the report rests on.
    pub sources: Vec<SourceFact>,
    /// Kinds of source that it rests on and that nobody configured.
    pub lacking_kinds: Vec<String>,
    /// Gaps that touch the period.
    pub gaps: Vec<GapFact>,
    /// Events that must have happened, how many.
    pub missing_count: u64,
    /// The first of them, in words.
    pub missing_events: Vec<String>,
    /// Receipts not understood that may be of the period.
    pub dead: u64,
    /// Positions with several commitments.
    pub contested: u64,
    /// Records of the log that are not there and of which no gap tells yet.
    pub untold: u64,
    /// Events of before the end that the correlation has not seen; none: the report does not rest on it.
    pub uncorrelated: Option<u64>,
    /// Snapshots: the last before the end, and those within.
    pub snapshots: Vec<SnapshotFact>,
    /// True if the report needs a snapshot and has none.
    pub snapshot_lacking: bool,
    /// Stream and first position that is not correlated: what the answers rest on.
    pub positions: Vec<(String, u64)>,
    /// Where numbers of a stream are missing: stream, first and end of what is correlated behind them.
    pub beyond: Vec<(String, u64, u64)>,
    /// Rows recomputed.
    pub accuracy: Option<Accuracy>,
    /// True if rows and control totals differ.
    pub totals_disagree: bool,
    /// Losses in the journal's bytes; none where it was not looked at.
    pub journal_losses: u64,
}

impl Facts {
    /// The unrepaired gaps of a source, as times.
    pub(crate) fn gaps_of(&self, source: &str) -> Vec<Span> {
        let of = |gap: &&GapFact| gap.repaired_by.is_none() && (gap.source_id == source || gap.source_id.is_empty());
        let span = |gap: &GapFact| Span { from: gap.since, to: gap.until.unwrap_or(i64::MAX) };
        self.gaps.iter().filter(of).map(span).collect()
    }

    /// What is proven, by source; spans that overlap or adjoin are one.
    pub(crate) fn proven(&self) -> Vec<(String, i64, i64)> {
        let of = |source: &SourceFact| {
            let spans = proven::joined(&source.proven).into_iter();
            spans.map(|span| (source.source_id.clone(), span.from, span.to)).collect::<Vec<_>>()
        };
        self.sources.iter().flat_map(of).collect()
    }

    /// The watermark that the report was run at: up to where the slowest source is complete.
    pub fn watermark(&self) -> Option<i64> {
        let expected = self.sources.iter().filter(|one| one.standing != Standing::LeftBefore);
        expected.map(|source| source.watermarks.iter().map(|mark| mark.1).max()).min().flatten()
    }
}
