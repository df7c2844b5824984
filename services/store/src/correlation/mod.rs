//! What the correlation says, kept: its rows, its owner's cursor, and the way back to the events that they come from.
//!
//! Rows are told apart by a deterministic id and ordered by person and time; the greatest version wins, so that writing a change
//! again, late or by a frozen owner changes nothing that a reader sees. Decides nothing: what a row says is the correlation's.

mod ask;
mod checkpoint;
mod covered;
mod escalation;
mod heard;
mod merge;
mod owner;
mod past;
mod persons;
mod places;
mod records;
mod rights;
mod set_aside;
mod stored;
mod towards;
mod unannounced;
mod walk;

pub use ask::{Bearer, DecisionQuery, JudgedRecord, Matching};
pub use checkpoint::{Later, Seal, Sealing, Unsealing};
pub use covered::{Covered, Ranges};
pub use escalation::RoleWays;
pub use heard::{Heard, OfAccounts};
pub use merge::Told;
pub use owner::Ownership;
pub use past::{Slice, Window};
pub use persons::{PersonActRecord, SharedName};
pub use places::Stretch;
pub use records::{
    AliasRecord, CredentialRecord, DecisionRecord, Derived, GrantRecord, Head, Id, ImpersonatorRecord,
    MissingEventRecord, SessionRecord, SignInRecord, SupportRecord, TokenRecord, WorldRecord,
};
pub use rights::{EffectiveRecord, RightQuery};
pub use set_aside::{EVENT_SET_ASIDE, SetAside};
pub use unannounced::Note;

use crate::{Store, StoreError, cell::Cell, lock::now_ms, query::rows};
use clickhouse::Row;
use events::ids::StreamId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Bits of a version that count within one epoch.
const COUNT_BITS: u32 = 40;
/// Most ranges behind a missing number that a cursor tells of a stream: of a larger number the smallest wait untold.
const RANGES_TOLD: usize = 1_000;

/// The tables of the correlation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Keycloak user sessions.
    Sessions,
    /// Tokens of Keycloak.
    Tokens,
    /// Tokens of Backstage.
    Credentials,
    /// Person holds right.
    Grants,
    /// Decisions.
    Decisions,
    /// Events that are missing.
    MissingEvents,
    /// Names.
    Aliases,
    /// What rights follow from.
    World,
}

/// Where a row stands and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its table.
    pub table: Table,
    /// Person key; empty: none.
    pub person: String,
    /// Its time in the sort key, UTC milliseconds.
    pub at: i64,
    /// Hash of what it says.
    pub content: u64,
}

/// Rows to write: new, changed or deleted.
#[derive(Clone, Debug, Default)]
pub struct Correlated {
    /// Keycloak user sessions.
    pub sessions: Vec<SessionRecord>,
    /// Tokens of Keycloak.
    pub tokens: Vec<TokenRecord>,
    /// Tokens of Backstage.
    pub credentials: Vec<CredentialRecord>,
    /// Grants.
    pub grants: Vec<GrantRecord>,
    /// Decisions.
    pub decisions: Vec<DecisionRecord>,
    /// Events that are missing.
    pub missing_events: Vec<MissingEventRecord>,
    /// Names.
    pub aliases: Vec<AliasRecord>,
    /// What rights follow from.
    pub world: Vec<WorldRecord>,
}

impl Correlated {
    /// Adds the row that takes another away; `head` says which and with what version.
    pub fn delete(&mut self, table: Table, head: Head) {
        match table {
            Table::Sessions => self.sessions.push(Derived::deleting(head)),
            Table::Tokens => self.tokens.push(Derived::deleting(head)),
            Table::Credentials => self.credentials.push(Derived::deleting(head)),
            Table::Grants => self.grants.push(Derived::deleting(head)),
            Table::Decisions => self.decisions.push(Derived::deleting(head)),
            Table::MissingEvents => self.missing_events.push(Derived::deleting(head)),
            Table::Aliases => self.aliases.push(Derived::deleting(head)),
            Table::World => self.world.push(Derived::deleting(head)),
        }
    }

    /// The heads of all rows, and whether each takes a row away.
    pub fn each(&self, each: &mut dyn FnMut(Head, bool)) {
        fn heads<T: Derived>(rows: &[T], each: &mut dyn FnMut(Head, bool)) {
            rows.iter().for_each(|row| each(row.head(), row.is_deleting()));
        }
        heads(&self.sessions, each);
        heads(&self.tokens, each);
        heads(&self.credentials, each);
        heads(&self.grants, each);
        heads(&self.decisions, each);
        heads(&self.missing_events, each);
        heads(&self.aliases, each);
        heads(&self.world, each);
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.sessions.len()
            + self.tokens.len()
            + self.credentials.len()
            + self.grants.len()
            + self.decisions.len()
            + self.missing_events.len()
            + self.aliases.len()
            + self.world.len()
    }

    /// True if there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The version of a row: a later epoch wins over every count of an earlier one.
pub fn version(epoch: u64, count: u64) -> u64 {
    epoch << COUNT_BITS | count & ((1 << COUNT_BITS) - 1)
}

/// A time as the tables can hold it: 1900 to 2299. What has no beginning is sorted at the first.
pub fn storable(time: i64) -> i64 {
    crate::rows::stored_time(time)
}

#[derive(Row, Serialize, Deserialize)]
struct CursorRow {
    tenant: String,
    stream: [u8; 16],
    next: u64,
    beyond: Vec<(u64, u64)>,
    taken: u64,
    epoch: u64,
    recorded_at: i64,
}

#[derive(Row, Serialize, Deserialize)]
struct PastChangeRow {
    tenant: String,
    recorded_at: i64,
    #[serde(with = "clickhouse::serde::uuid")]
    id: Uuid,
}

impl Store {
    /// Writes rows. After an error any part may be there: write the same again.
    pub async fn write_correlated(&self, rows: &Correlated) -> Result<(), StoreError> {
        self.write_records(&rows.sessions).await?;
        self.write_records(&rows.tokens).await?;
        self.write_records(&rows.credentials).await?;
        self.write_records(&rows.grants).await?;
        self.write_decisions(&rows.decisions).await?;
        self.write_records(&rows.missing_events).await?;
        self.write_records(&rows.aliases).await?;
        self.write_records(&rows.world).await
    }

    /// The only way to write a decision: marks its hour, so that no kept count is ever old.
    async fn write_decisions(&self, decisions: &[DecisionRecord]) -> Result<(), StoreError> {
        let hours = decisions.iter().filter_map(|one| Cell::of_decision(&one.tenant, one.at)).collect();
        let touch = self.mark_cells(hours).await?;
        self.write_records(decisions).await?;
        touch.acknowledged();
        Ok(())
    }

    async fn write_records<T: Derived>(&self, records: &[T]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        self.write_typed::<T>(T::TABLE, records).await
    }

    /// Moves the owner's cursor: all that the receipts at these positions say is in the rows. Call after they are written.
    pub async fn put_correlated(&self, tenant: &str, (epoch, covered): (u64, &Covered)) -> Result<(), StoreError> {
        let rows: Vec<CursorRow> = covered.streams().map(|one| cursor(tenant, one, epoch)).collect();
        self.write_typed::<CursorRow>("correlated_rows", &rows).await
    }

    /// Behind the last position of each stream that the store has receipts of.
    pub async fn stream_ends(&self, tenant: &str) -> Result<BTreeMap<StreamId, u64>, StoreError> {
        let sql =
            "SELECT lower(hex(stream)), max(seq) + 1 FROM receipt_rows WHERE tenant = {tenant:String} GROUP BY stream";
        let ends = rows::<(String, u64)>(self.ask(sql).param("tenant", tenant)).await?;
        ends.into_iter()
            .map(|(stream, next)| Ok((stream.parse().map_err(|_| crate::query::unknown("stream"))?, next)))
            .collect()
    }

    /// Notes that events of the past are being changed: the correlation reads them again once that is over.
    pub async fn note_past_change(&self, tenant: &str) -> Result<(), StoreError> {
        let note = PastChangeRow { tenant: tenant.to_owned(), recorded_at: now_ms(), id: Uuid::new_v4() };
        self.write_typed::<PastChangeRow>("past_change_rows", &[note]).await
    }

    /// The newest such note, and how long ago it was made (milliseconds of the server's clock).
    pub async fn past_change(&self, tenant: &str) -> Result<Option<(i64, i64)>, StoreError> {
        let sql = "SELECT toUnixTimestamp64Milli(max(recorded_at)), \
            toInt64(toUnixTimestamp64Milli(now64(3)) - toUnixTimestamp64Milli(max(recorded_at))) \
            FROM past_change_rows WHERE tenant = {tenant:String} HAVING count() > 0";
        Ok(rows::<(i64, i64)>(self.ask(sql).param("tenant", tenant)).await?.pop())
    }
}

fn cursor(tenant: &str, (stream, ranges): (StreamId, &Ranges), epoch: u64) -> CursorRow {
    let next = ranges.reach(0);
    CursorRow {
        tenant: tenant.to_owned(),
        stream: stream.0,
        next,
        beyond: ranges.largest_from(next, RANGES_TOLD),
        taken: ranges.count(),
        epoch,
        recorded_at: now_ms(),
    }
}

/// Reads as much as it takes, row by row, without the server holding the answer back to its end.
pub(crate) fn streaming(query: clickhouse::query::Query) -> clickhouse::query::Query {
    query.with_setting("wait_end_of_query", "0").with_setting("max_execution_time", "3600")
}
