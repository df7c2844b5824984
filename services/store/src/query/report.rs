//! Reports: long statements whose rows are handed over one by one, so that neither side holds them all.

use super::rows;
use crate::{Store, StoreError, error::within, settings};
use clickhouse::query::Query;
use std::{ops::ControlFlow, time::Duration};

/// Longest time of one report.
const REPORT_WAIT: Duration = Duration::from_secs(3_600);

/// For statements of reports, beside those of every read: long, sorted and joined on disk where they are large, and the same
/// words whatever the server's defaults are.
const REPORT: &[(&str, &str)] = &[
    ("max_execution_time", "3590"),
    // Rows go out as they are made: the server holds no answer back to its end.
    ("wait_end_of_query", "0"),
    ("max_bytes_before_external_sort", "268435456"),
    ("max_bytes_before_external_group_by", "268435456"),
    ("date_time_output_format", "iso"),
    ("output_format_json_quote_64bit_integers", "0"),
    ("output_format_json_quote_denormals", "0"),
    ("output_format_json_escape_forward_slashes", "0"),
    ("output_format_parquet_parallel_encoding", "0"),
    ("output_format_parquet_string_as_string", "1"),
];

/// What a report's statement is given: `tenant`, `from` and `to` (UTC milliseconds, from <= time < to; of a report as of an
/// instant both are that instant), `sources` (ids) and `interval_ms` (between two heartbeats, one per source).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportParams {
    /// Tenant.
    pub tenant: String,
    /// From this time on, UTC milliseconds.
    pub from: i64,
    /// Before this time, UTC milliseconds.
    pub to: i64,
    /// Source ids that are expected to say something, in order.
    pub sources: Vec<String>,
    /// Milliseconds between two heartbeats of each of them; 0 = none are sent.
    pub intervals: Vec<i64>,
    /// Times for which something proves that everything arrived: source id, from and to, UTC milliseconds.
    pub proven: Vec<(String, i64, i64)>,
}

impl ReportParams {
    fn bind(&self, query: Query) -> Query {
        query
            .param("tenant", &self.tenant)
            .param("from", self.from)
            .param("to", self.to)
            .param("sources", &self.sources)
            .param("intervals", &self.intervals)
            .param("proven_sources", self.proven.iter().map(|span| &span.0).collect::<Vec<_>>())
            .param("proven_from", self.proven.iter().map(|span| span.1).collect::<Vec<_>>())
            .param("proven_to", self.proven.iter().map(|span| span.2).collect::<Vec<_>>())
    }
}

/// What takes pieces of an answer until it has enough.
pub type Taking<'a> = dyn FnMut(&[u8]) -> ControlFlow<()> + Send + 'a;

impl Store {
    fn report(&self, sql: &str, params: &ReportParams) -> Query {
        let client = settings::pin(settings::pin(self.on_database(), settings::READ), REPORT);
        params.bind(client.query(sql))
    }

    /// Hands over each row of a statement as one JSON array, without its line feed. Memory is bounded by one row and one chunk.
    pub async fn report_rows(&self, sql: &str, params: &ReportParams, each: &mut Taking<'_>) -> Result<(), StoreError> {
        let mut rest: Vec<u8> = Vec::new();
        let mut cut = |chunk: &[u8]| {
            let mut chunk = chunk;
            while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
                let (line, after) = chunk.split_at(end);
                chunk = &after[1..];
                let taken = if rest.is_empty() {
                    each(line)
                } else {
                    rest.extend_from_slice(line);
                    let taken = each(&rest);
                    rest.clear();
                    taken
                };
                if taken.is_break() {
                    rest.clear();
                    return ControlFlow::Break(());
                }
            }
            rest.extend_from_slice(chunk);
            ControlFlow::Continue(())
        };
        self.report_bytes((sql, "JSONCompactEachRow"), params, &mut cut).await?;
        // Every row ends with a line feed: what is left is a row that broke off.
        if rest.is_empty() { Ok(()) } else { Err(StoreError::Unavailable("the answer broke off".into())) }
    }

    /// Hands over an answer in a format of ClickHouse, piece by piece.
    pub async fn report_bytes(
        &self,
        (sql, format): (&str, &str),
        params: &ReportParams,
        each: &mut Taking<'_>,
    ) -> Result<(), StoreError> {
        let asked = self.report(sql, params);
        let work = async {
            let mut chunks = asked.fetch_bytes(format)?;
            while let Some(chunk) = chunks.next().await? {
                if each(&chunk).is_break() {
                    break;
                }
            }
            Ok(())
        };
        within(REPORT_WAIT, work).await
    }

    /// Numbers by name that a statement answers in its columns `name` and `n`: control totals.
    pub async fn report_counts(&self, sql: &str, params: &ReportParams) -> Result<Vec<(String, u64)>, StoreError> {
        let sql = format!("SELECT toString(name), toUInt64(assumeNotNull(n)) FROM ({sql}) ORDER BY name");
        let asked = self.report(&sql, params).with_setting("wait_end_of_query", "1");
        within(REPORT_WAIT, asked.fetch_all()).await
    }

    /// Version of the server.
    pub async fn server_version(&self) -> Result<String, StoreError> {
        Ok(rows::<String>(self.ask("SELECT version()")).await?.pop().unwrap_or_default())
    }
}
