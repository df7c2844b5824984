//! The sheet of a report (information produced by the entity): what, how, who and when, completeness, accuracy, integrity, and an
//! empty sign-off.

use crate::{
    coverage::Facts,
    report::Report,
    run::{Order, Who},
    verdict::{Verdict, moment, nothing_found},
};
use serde::Serialize;
use serde_json::{Value, json};

/// Version of the sheet's own form.
const SHEET_VERSION: u32 = 1;

/// A data file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileFact {
    /// Name, without its folder.
    pub path: String,
    /// SHA-256, in hex.
    pub sha256: String,
    /// Rows in it.
    pub rows: u64,
}

/// Everything that is said of one run.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// The report.
    pub report: &'static Report,
    /// Its parameters, as people read them: (name, value).
    pub parameters: Vec<(String, String)>,
    /// Facts of completeness.
    pub facts: Facts,
    /// What they prove.
    pub verdict: Verdict,
    /// Rows of the population.
    pub population: u64,
    /// Rows in the data file.
    pub rows: u64,
    /// Control totals by another way.
    pub totals: Vec<(String, u64)>,
    /// SHA-256 of the rows as NDJSON, whatever the format.
    pub rows_sha256: String,
    /// Data files.
    pub files: Vec<FileFact>,
    /// What a look at the journal's bytes found; none: it was not looked at.
    pub journal: Option<JournalFact>,
    /// Who ran it.
    pub who: Who,
    /// When it ended, UTC milliseconds.
    pub ended: i64,
    /// Version of ClickHouse.
    pub clickhouse: String,
}

/// Whether the bytes of the journal are as they were written, on the machine where the report was run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JournalFact {
    /// Every checksum, commitment and link of the chain is as it must be.
    pub intact: bool,
    /// Records that are.
    pub records: u64,
    /// Damages that lose records, or trust in them.
    pub losses: u64,
    /// What is kept of each stream.
    pub streams: Vec<JournalStream>,
}

/// Part of a stream that the journal keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JournalStream {
    /// Stream id.
    pub stream: String,
    /// First number that is kept.
    pub first_seq: u64,
    /// Last number.
    pub last_seq: u64,
}

impl Sheet {
    /// What was found in the journal, for people.
    pub(crate) fn journal_told(&self) -> String {
        match &self.journal {
            None => "not looked at here: `tokentrail journal verify` on the machine that has it".to_owned(),
            Some(found) if found.intact => {
                let records = found.records;
                format!(
                    "intact: {records} records are kept; every checksum, commitment and link of the chain is as it must be"
                )
            }
            Some(found) => format!("DAMAGED: {} losses, see `tokentrail journal verify`", found.losses),
        }
    }

    /// Parameters of an order.
    pub(crate) fn parameters(order: &Order) -> Vec<(String, String)> {
        let mut said: Vec<(String, String)> = vec![("tenant".into(), order.params.tenant.clone())];
        match order.report.span {
            crate::report::Span::Period => {
                said.push(("from".into(), moment(order.params.from)));
                said.push(("to (not included)".into(), moment(order.params.to)));
            }
            crate::report::Span::AsOf => said.push(("as of".into(), moment(order.params.to))),
        }
        said.push(("time zone of the question".into(), order.zone.clone()));
        said.push(("times in the answer".into(), "UTC".into()));
        if let Some(sample) = order.sample {
            said.push(("sample".into(), format!("{sample} rows, seed {}", order.seed)));
        }
        said.push(("persons".into(), "named".into()));
        said
    }

    /// One sentence for people.
    pub fn summary(&self) -> String {
        let mut text = format!("{}: {}", self.report.id, self.verdict.state.as_str());
        if self.population == 0 {
            text.push_str(&format!("; {}", nothing_found(self.verdict.state)));
        } else if self.rows == self.population {
            text.push_str(&format!("; {} rows", self.rows));
        } else {
            text.push_str(&format!("; {} of {} rows", self.rows, self.population));
        }
        if let Some(mark) = self.facts.watermark() {
            text.push_str(&format!("; all inputs read up to {}", moment(mark)));
        }
        if self.journal.is_some() {
            text.push_str(&format!("; journal {}", self.journal_told()));
        }
        for reason in &self.verdict.reasons {
            text.push_str(&format!("\n  - {reason}"));
        }
        text
    }

    /// The sheet for programs.
    pub fn json(&self) -> Value {
        let report = self.report;
        let columns: Vec<Value> = report
            .columns
            .iter()
            .map(|one| json!({"name": one.name, "means": one.means, "source": one.source}))
            .collect();
        let parameters: serde_json::Map<String, Value> =
            self.parameters.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
        let totals: serde_json::Map<String, Value> =
            self.totals.iter().map(|(name, count)| (name.clone(), Value::from(*count))).collect();
        json!({
            "ipe_version": SHEET_VERSION,
            "report": report.id, "name": report.name, "report_version": report.version, "question": report.question,
            "criteria": report.criteria,
            "entity": {"tenant": self.who.tenant, "sources": self.facts.sources.iter().map(|one| json!({"source_id": one.source_id, "kind": one.kind, "standing": one.standing})).collect::<Vec<_>>()},
            "exclusions": report.exclusions, "limits": report.limits,
            "how": {
                "sql": report.sql, "totals_sql": report.all_totals(), "definition_sha256": report.definition_sha256(), "git_commit": self.who.commit,
                "parameters": parameters, "row_order_key": report.key, "columns": columns, "path": "command line",
            },
            "run": {
                "id": self.who.run_id, "by": self.who.by, "auth": "account of the operating system", "purpose": self.who.purpose, "case": self.who.case,
                "start": moment(self.who.started), "end": moment(self.ended), "clock_offset_ms": Value::Null,
            },
            "tool": {"version": self.who.version, "commit": self.who.commit, "binary_sha256": self.who.binary_sha256, "clickhouse": self.clickhouse},
            "completeness": {
                "state": self.verdict.state.as_str(), "reasons": self.verdict.reasons,
                "rows": self.rows, "population": self.population, "control_totals": totals,
                "watermark": self.facts.watermark().map(moment),
                "facts": self.facts,
            },
            "accuracy": self.facts.accuracy,
            "integrity": {
                "trust_level": "L0: hashes only; a signature and a log of checkpoints are not made yet",
                "journal": self.journal, "rows_sha256": self.rows_sha256, "rows_sha256_of": "the rows as NDJSON, one object a line",
                "files": self.files, "verify": "sha256sum of each file; run the report again with the same parameters: rows_sha256 is the same while nothing of the period changed",
            },
            "signoff": {"prepared_by": Value::Null, "reviewed_by": Value::Null, "date": Value::Null, "conclusion": Value::Null},
        })
    }
}
