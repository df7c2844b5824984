//! What a status tells of the journal: size, lag, damage by stream and number, copies, the last scrub.

use super::moment;
use crate::app::scrub::Outcome;
use durable_log::{Damage, Journal};
use events::ids::StreamId;
use serde::{Deserialize, Serialize};

/// Most damages that a status names.
const LISTED_DAMAGES: usize = 100;

/// The journal in numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JournalReport {
    /// Records ever taken in.
    pub end: u64,
    /// Records that ClickHouse, or Kafka if receipts go over it, has not acknowledged.
    pub lag: u64,
    /// Size of its files.
    pub bytes: u64,
    /// Number of its files.
    pub segments: usize,
    /// Damaged places met since the start.
    pub damage: u64,
    /// False: intake answers 503.
    pub can_append: bool,
    /// Damaged places by name; the first ones.
    #[serde(default)]
    pub damages: Vec<DamageReport>,
    /// Copies of damaged bytes.
    #[serde(default)]
    pub quarantine: QuarantineReport,
    /// What the last scheduled check of everything kept found.
    #[serde(default)]
    pub scrub: Option<Outcome>,
}

/// Damaged bytes or missing records of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamageReport {
    /// In a word, e.g. `damaged`, `missing`, `torn_tail`.
    pub kind: String,
    /// True if acknowledged records are lost or cannot be trusted.
    pub loses_records: bool,
    /// First and last number and their stream, if records are concerned and their stream is known.
    pub stream: Option<String>,
    /// See `stream`.
    pub first_seq: Option<u64>,
    /// See `stream`.
    pub last_seq: Option<u64>,
    /// When it was found, UTC milliseconds.
    pub found_at: i64,
    /// File, bytes, offsets and copy, for people.
    pub place: String,
}

/// Copies of damaged bytes beside the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineReport {
    /// How many.
    pub files: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// Most bytes that they may take.
    pub limit: u64,
    /// Copies that were not made since the start, for lack of space there or on the disk.
    pub refused: u64,
}

impl JournalReport {
    /// The journal now, and what the last scrub of it found.
    pub fn new((journal, consumer): (&Journal, &str), scrub: Option<Outcome>) -> Self {
        let status = journal.status();
        let quarantine = status.quarantine;
        Self {
            end: status.end,
            lag: status.end.saturating_sub(journal.committed(consumer)),
            bytes: status.bytes,
            segments: status.segments,
            damage: status.damage_total,
            can_append: status.can_append,
            damages: status.damage.iter().take(LISTED_DAMAGES).map(DamageReport::new).collect(),
            quarantine: QuarantineReport {
                files: quarantine.files,
                bytes: quarantine.bytes,
                limit: quarantine.limit,
                refused: quarantine.refused,
            },
            scrub,
        }
    }

    /// Lines for people.
    pub fn render(&self) -> String {
        let mut out = format!(
            "  journal: {} records, {} not yet passed on, {} MiB in {} files, {}\n",
            self.end,
            self.lag,
            self.bytes >> 20,
            self.segments,
            if self.can_append { "takes receipts" } else { "CANNOT take receipts: intake answers 503" },
        );
        if self.damage > 0 {
            out.push_str(&format!("  journal: {} DAMAGED places; run `tokentrail journal verify`\n", self.damage));
        }
        let quarantine = self.quarantine;
        if quarantine.files > 0 || quarantine.refused > 0 {
            out.push_str(&format!(
                "  quarantine: {} copies of damaged bytes, {} of {} MiB, {} not copied for lack of space\n",
                quarantine.files,
                quarantine.bytes >> 20,
                quarantine.limit >> 20,
                quarantine.refused
            ));
        }
        if let Some(scrub) = &self.scrub {
            let found = if scrub.losses == 0 { "intact".to_owned() } else { format!("{} LOSSES", scrub.losses) };
            let (records, at) = (scrub.records, moment(scrub.ended_at));
            out.push_str(&format!("  journal: {records} records checked up to {at}: {found}\n"));
        }
        out
    }
}

impl DamageReport {
    fn new(damage: &Damage) -> Self {
        Self {
            kind: damage.kind.as_str().into(),
            loses_records: damage.kind.loses_records(),
            stream: damage.seqs.map(|seqs| StreamId(seqs.stream).to_string()),
            first_seq: damage.seqs.map(|seqs| seqs.first_seq),
            last_seq: damage.seqs.map(|seqs| seqs.last_seq),
            found_at: i64::try_from(damage.found_ms).unwrap_or(i64::MAX),
            place: damage.to_string(),
        }
    }
}
