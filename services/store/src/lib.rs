//! The only crate that speaks ClickHouse: migrations, rows, inserts, queries and the embedded engine.
//!
//! The life of a block: the pipeline adds receipts and what they became to a [`Laying`], [`Store::send`] writes
//! events, bodies and, last, the receipts; after its `Ok` the log position may be committed. Writing a block again, or in
//! another order, changes nothing that a reader sees: rows have deterministic keys and every read goes through views that
//! see one row per key. Nothing here reads a body, decides a fate or knows where ClickHouse runs.

pub mod baseline;
mod cell;
pub mod configured;
mod connect;
mod continuity;
mod copies;
pub mod correlation;
mod coverage;
mod decision_hours;
pub mod drift_facts;
pub mod engine;
mod error;
mod event_hours;
mod event_places;
pub mod findings;
mod heartbeats;
mod held;
pub mod impersonated;
mod insert;
mod key;
mod laying;
mod lock;
mod marks;
mod migrate;
mod native;
pub mod orphans;
mod person_events;
mod privileged;
mod query;
pub mod register;
mod replay;
mod rollup;
mod rows;
mod settings;
pub mod suppressions;
mod version;

pub use cell::Counted;
pub use connect::ConnectOptions;
pub use copies::DifferingHour;
pub use coverage::{ClaimedSpan, Gap, GapKey, LineCount, OWN_RECORDS, Records, Seal, Watermark};
pub use error::StoreError;
pub use heartbeats::{HeartbeatStatus, Seen, SeenHeartbeat, SentHeartbeat};
pub use held::{Gone, STREAM_CELL};
pub use insert::{Block, Fate, StoredReceipt};
pub use laying::{Laid, Laying, Layout};
pub use migrate::{AppliedMigration, latest_version};
pub use privileged::PrivilegedNames;
pub use query::{
    ComparedArea, EventPage, FateCounts, GapTime, LineSurvey, LostInMinute, MISSING_MAX, OtherLines, Page, PathCounts,
    PersonQuery, RangeCount, ReportParams, SnapshotSide, StoredBody, StoredEvent, StoredHeader, StreamStatus,
    SurveyedEvents, SurveyedReceipts, TakenSnapshot, Taking, Term, Totals, TraceQuery, UnsavedType,
};
pub use replay::{
    BodyBytes, DeadLetters, DeletedEvent, EventKey, Rejudged, Selection, Standing, StreamSpan, Verdict, Window,
};
pub use rollup::{Rolled, Rolling};
pub use version::OLDEST as OLDEST_CLICKHOUSE;

use clickhouse::{Client, query::Query};
use marks::Marks;
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
};

/// The database of an installation that names no other.
pub const DEFAULT_DATABASE: &str = "tokentrail";

/// Every view that readers may read, as `schemas/clickhouse` makes them.
pub const VIEWS: &[&str] = &[
    "aliases",
    "cell_events",
    "cell_receipts",
    "cells",
    "cells_recounted",
    "changes_counted_in",
    "changes_in",
    "changes_told_in",
    "claims",
    "contested_receipts",
    "continuity_in",
    "correlated",
    "coverage",
    "credentials",
    "dead_letters",
    "decided_in",
    "decisions",
    "deviations_in",
    "effective_in",
    "effective_towards",
    "event_inputs",
    "event_inputs_in",
    "events",
    "events_in",
    "events_of",
    "events_set_aside",
    "evidence_of",
    "exceptions",
    "exposures_in",
    "fates",
    "fates_recounted",
    "finding_changes",
    "findings",
    "gaps",
    "grants",
    "heartbeats",
    "history_of",
    "judged",
    "judged_in",
    "kept_changes_in",
    "kept_continuity_in",
    "kept_decided_in",
    "kept_exposures_in",
    "kept_failures_in",
    "kept_logins_in",
    "kept_privileged_in",
    "line_counts",
    "logins_counted_in",
    "logins_in",
    "logins_of",
    "logins_told_in",
    "merged_accounts",
    "missing_events",
    "open_cells",
    "open_event_hours",
    "open_hours",
    "person_acts",
    "persons",
    "privileged_in",
    "receipts",
    "register_in",
    "right_names",
    "rights_of",
    "rule_states",
    "sessions",
    "snapshot_absences",
    "snapshot_areas",
    "snapshot_entries",
    "snapshot_events",
    "snapshot_states",
    "snapshots",
    "snapshots_in",
    "stream_cells",
    "stream_cells_recounted",
    "streams",
    "streams_recounted",
    "suppressions",
    "tokens",
    "watermarks",
    "world",
];

/// Longest database name.
const DATABASE_NAME_BYTES: usize = 64;

/// A ClickHouse database. A cheap handle: clones share connections.
#[derive(Clone)]
pub struct Store {
    client: Client,
    /// Where the server is, without user and password, for messages.
    address: String,
    database: String,
    marks: Arc<Marks>,
    /// Tables that were written to, as the server describes them.
    tables: Arc<Mutex<HashMap<&'static str, Arc<native::Columns>>>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Store {
    /// Makes a handle; nothing is sent yet. Refuses a database name that would need quoting.
    pub fn connect(options: ConnectOptions) -> Result<Self, StoreError> {
        let name = &options.database;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if name.is_empty()
            || name.len() > DATABASE_NAME_BYTES
            || name.as_bytes()[0].is_ascii_digit()
            || !name.bytes().all(plain)
        {
            return Err(StoreError::incompatible(
                "a database name is made of lowercase letters, digits and underscores",
            ));
        }
        Ok(Self {
            client: settings::pin(connect::client(&options)?, settings::ALWAYS),
            address: connect::shown(&options.url),
            database: options.database,
            marks: Arc::new(Marks::new()),
            tables: Arc::default(),
        })
    }

    /// Asks for an answer, within a short bound.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let question = self.client.query("SELECT 1").fetch_one::<u8>();
        error::within(settings::PING_WAIT, question).await.map(drop)
    }

    /// A statement that makes, changes or drops a table, which it names with its database.
    fn define(&self, sql: &str) -> Query {
        // As it stands: parameters of views look like parameters of the statement, which they are not.
        settings::pin(self.client.clone(), settings::DEFINE).query_raw(sql)
    }

    /// The client for statements on this database's tables.
    fn on_database(&self) -> Client {
        self.client.clone().with_database(&self.database)
    }
}
