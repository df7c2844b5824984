//! What a report is: a question, the statement that answers it, what each column means and where it comes from.

use events::{event::Event, receipt::SourceKind};

/// What stands in a column that no source fills here.
pub const NONE_ON_RECORD: &str = "none on record";

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Name in every format.
    pub name: &'static str,
    /// What it says.
    pub means: &'static str,
    /// Where it comes from: view and column, or [`NONE_ON_RECORD`].
    pub source: &'static str,
}

/// A column.
pub(crate) const fn column(name: &'static str, means: &'static str, source: &'static str) -> Column {
    Column { name, means, source }
}

/// A column of the field that no source fills here yet.
pub(crate) const fn no_source(name: &'static str, means: &'static str) -> Column {
    Column { name, means, source: NONE_ON_RECORD }
}

/// The time that a report speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// from <= time < to.
    Period,
    /// As it was at one instant.
    AsOf,
}

/// What is drawn above the rows.
#[derive(Clone, Copy, Debug)]
pub enum Chart {
    /// Rows over time, stacked by the words of a column.
    OverTime {
        /// What it shows.
        title: &'static str,
        /// Column with the time.
        time: &'static str,
        /// Column with the words.
        by: &'static str,
        /// Column with the number that a row adds; empty: one.
        weight: &'static str,
    },
    /// The greatest number of a column per word of another.
    Longest {
        /// What it shows.
        title: &'static str,
        /// Column with the words.
        by: &'static str,
        /// Column with the number.
        of: &'static str,
    },
    /// One bar per word of a column.
    Bars {
        /// What it shows.
        title: &'static str,
        /// Column with the words.
        by: &'static str,
        /// Column with the word of a row that has none in the first; empty: it has none.
        or: &'static str,
        /// Column with the number that a row adds; empty: one.
        weight: &'static str,
    },
}

/// What a column must say if it is recomputed from the raw receipt of the row's event.
pub type Derived = fn(&Event) -> String;

/// A report.
#[derive(Debug)]
pub struct Report {
    /// `R08`.
    pub id: &'static str,
    /// `access-trace`.
    pub name: &'static str,
    /// Raised whenever the statement or a column changes.
    pub version: &'static str,
    /// The question that it answers.
    pub question: &'static str,
    /// Criteria of SOC 2 that its evidence supports.
    pub criteria: &'static [&'static str],
    /// A period or an instant.
    pub span: Span,
    /// Sources without which it proves nothing; empty: all that there are.
    pub needs: &'static [SourceKind],
    /// Columns, in the statement's order.
    pub columns: &'static [Column],
    /// Columns that fit a terminal.
    pub brief: &'static [&'static str],
    /// Columns that tell rows apart; rows are in order of the statement, which is one total order.
    pub key: &'static [&'static str],
    /// The statement, over `tenant`, `from`, `to`, `sources`, `intervals`.
    pub sql: &'static str,
    /// Control totals by another way: (name, number). The number named `rows` must be that of the rows.
    pub totals: &'static str,
    /// Their number `rows` by itself, where counting costs about what reading does: `name` and `n` as in `totals`, and asked only once. Empty:
    /// `totals` has it.
    pub count: &'static str,
    /// Charts.
    pub charts: &'static [Chart],
    /// Column with the id of the event that a row rests on; empty: rows are counts.
    pub evidence: &'static str,
    /// Columns that are read from that event alone.
    pub derived: &'static [(&'static str, Derived)],
    /// What it leaves out on purpose, and why.
    pub exclusions: &'static [&'static str],
    /// What it cannot see.
    pub limits: &'static [&'static str],
    /// True if its rows are answers of the correlation.
    pub correlated: bool,
}

/// Every report, in order of its id.
pub const ALL: &[&Report] = &[
    &crate::access_listing::REPORT,
    &crate::authentication::REPORT,
    &crate::configuration::REPORT,
    &crate::access_trace::REPORT,
    &crate::continuity::REPORT,
];

/// No report has that name.
#[derive(Debug, thiserror::Error)]
#[error("there is no report {name}{}; there are {}", nearest.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default(), known())]
pub struct UnknownReport {
    name: String,
    nearest: Option<&'static str>,
}

fn known() -> String {
    ALL.iter().map(|report| format!("{} {}", report.id, report.name)).collect::<Vec<_>>().join(", ")
}

impl Report {
    /// The report of an id (`R08`, `r08`), a name (`access-trace`) or both (`r08-access-trace`).
    pub fn named(name: &str) -> Result<&'static Self, UnknownReport> {
        let wanted = name.trim().to_lowercase().replace(['_', ' '], "-");
        let names = |report: &Report| [report.id.to_lowercase(), report.name.to_owned(), report.file_stem()];
        if let Some(found) = ALL.iter().find(|report| names(report).contains(&wanted)) {
            return Ok(found);
        }
        let distance = |report: &&&'static Report| {
            names(report).iter().map(|name| strsim::damerau_levenshtein(name, &wanted)).min().unwrap_or(usize::MAX)
        };
        let nearest = ALL.iter().min_by_key(distance).filter(|report| distance(report) <= wanted.len() / 2);
        Err(UnknownReport { name: name.to_owned(), nearest: nearest.map(|report| report.name) })
    }

    /// Name of its files without the ending: `r08-access-trace`.
    pub fn file_stem(&self) -> String {
        format!("{}-{}", self.id.to_lowercase(), self.name)
    }

    /// Place of a column.
    pub fn place(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|one| one.name == column)
    }

    /// The statements of the control totals.
    pub fn all_totals(&self) -> String {
        [self.totals, self.count].into_iter().filter(|sql| !sql.is_empty()).collect::<Vec<_>>().join("\n;\n")
    }

    /// SHA-256 of what defines it, in hex: version, statement and totals.
    pub fn definition_sha256(&self) -> String {
        use sha2::{Digest, Sha256};
        hex::encode(Sha256::digest(format!("{}\n{}\n{}\n", self.version, self.sql, self.all_totals())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_found_by_any_of_their_names_and_near_ones_are_named() {
        for name in ["R08", "r08", "access-trace", "Access_Trace", "r08-access-trace"] {
            assert_eq!(Report::named(name).unwrap().id, "R08");
        }
        let error = Report::named("acess-trace").unwrap_err().to_string();
        assert!(error.contains("did you mean access-trace?") && error.contains("R11 continuity"), "{error}");
        let error = Report::named("weather").unwrap_err().to_string();
        assert!(!error.contains("did you mean") && error.contains("R05"), "{error}");
    }

    #[test]
    fn what_a_report_names_is_among_its_columns() {
        for report in ALL {
            let named = report.brief.iter().chain(report.key).chain(report.derived.iter().map(|one| &one.0));
            for column in named {
                assert!(report.place(column).is_some(), "{} has no column {column}", report.id);
            }
            for chart in report.charts {
                let columns = match chart {
                    Chart::OverTime { time, by, weight, .. } => vec![time, by, weight],
                    Chart::Bars { by, or, weight, .. } => vec![by, or, weight],
                    Chart::Longest { by, of, .. } => vec![by, of],
                };
                for column in columns.into_iter().filter(|column| !column.is_empty()) {
                    assert!(report.place(column).is_some(), "{} draws no column {column}", report.id);
                }
            }
            assert!(report.evidence.is_empty() || report.place(report.evidence).is_some(), "{}", report.id);
            assert!(report.columns.iter().all(|one| !one.means.is_empty() && !one.source.is_empty()));
            assert!(report.sql.contains("ORDER BY"), "{} has no order", report.id);
            assert!(report.all_totals().contains("'rows'"), "nothing counts the rows of {}", report.id);
        }
    }
}
