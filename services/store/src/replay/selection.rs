//! Which receipts are meant, as a condition.

use clickhouse::query::Query;
use events::{ids::StreamId, receipt::Input};

/// Which receipts; everything that is not said is meant. What it selects are positions: where history was written twice,
/// all receipts of a selected position are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// One stream.
    pub stream: Option<StreamId>,
    /// From this seq on, in every selected stream.
    pub first: Option<u64>,
    /// Up to and including this seq.
    pub last: Option<u64>,
    /// Received at or after this time, UTC milliseconds.
    pub since: Option<i64>,
    /// Received before this time.
    pub until: Option<i64>,
    /// One source.
    pub source_id: Option<String>,
    /// One way in.
    pub input: Option<Input>,
    /// Only dead letters.
    pub dead: DeadLetters,
}

/// Whether only dead letters are selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeadLetters {
    /// Receipts of every fate.
    #[default]
    AndOthers,
    /// Dead letters only.
    Only,
    /// Dead letters with this reason only.
    Because(String),
}

impl Selection {
    /// Conditions on `receipts`, each with its parameter.
    pub(super) fn conditions(&self) -> String {
        let mut sql = String::from("tenant = {tenant:String}");
        let mut add = |said: bool, condition: &str| {
            if said {
                sql.push_str(" AND ");
                sql.push_str(condition);
            }
        };
        add(self.stream.is_some(), "stream = unhex({one_stream:String})");
        add(self.first.is_some(), "seq >= {first_seq:UInt64}");
        add(self.last.is_some(), "seq <= {last_seq:UInt64}");
        add(self.since.is_some(), "received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')");
        add(self.until.is_some(), "received_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')");
        add(self.source_id.is_some(), "source_id = {source_id:String}");
        add(self.input.is_some(), "input = {input:String}");
        add(self.dead != DeadLetters::AndOthers, "fate = 'dead'");
        add(matches!(self.dead, DeadLetters::Because(_)), "reason = {reason:String}");
        sql
    }

    /// True if a receipt is selected by its position alone.
    pub(super) fn is_of_positions(&self) -> bool {
        let Self { stream: _, first: _, last: _, since, until, source_id, input, dead } = self;
        (since, until, source_id, input, dead) == (&None, &None, &None, &None, &DeadLetters::AndOthers)
    }

    pub(super) fn bind(&self, mut query: Query, tenant: &str) -> Query {
        query = query.param("tenant", tenant);
        if let Some(stream) = self.stream {
            query = query.param("one_stream", stream.to_string());
        }
        for (name, value) in [("first_seq", self.first), ("last_seq", self.last)] {
            query = value.into_iter().fold(query, |query, value| query.param(name, value));
        }
        for (name, value) in [("since", self.since), ("until", self.until)] {
            query = value.into_iter().fold(query, |query, value| query.param(name, value));
        }
        if let Some(source_id) = &self.source_id {
            query = query.param("source_id", source_id);
        }
        if let Some(input) = self.input {
            query = query.param("input", input.as_str());
        }
        if let DeadLetters::Because(reason) = &self.dead {
            query = query.param("reason", reason);
        }
        query
    }
}
