//! What a replay needs of the store: the receipts of a selection with their bodies, the event rows that stand because of
//! them, and a way to write what another normaliser makes of them.
//!
//! Writes no body: one that was erased meanwhile must not come back. Touches neither watermarks nor coverage.

mod selection;

pub use selection::{DeadLetters, Selection};

use crate::{
    Store, StoreError,
    insert::{EventLine, Fate},
    query::{
        StoredHeader,
        receipt::{ReceiptRead, headers},
        rows, unknown,
    },
    rows::{EventRow, ReceiptRow, commitment_head, least_version, stored_time},
    settings,
};
use clickhouse::{Row, query::Query};
use events::{
    event::Event,
    ids::{Position, StreamId},
    receipt::Input,
};
use serde::Deserialize;
use std::{collections::HashMap, ops::ControlFlow, time::Duration};
use uuid::Uuid;

/// Reading many rows while the caller works on each.
const STREAM_WAIT: Duration = Duration::from_secs(300);

/// The selected part of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSpan {
    /// Stream.
    pub stream: StreamId,
    /// First selected seq.
    pub first: u64,
    /// Last selected seq.
    pub last: u64,
    /// Selected receipts.
    pub receipts: u64,
}

/// Consecutive seqs of one stream: first <= seq < end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Stream.
    pub stream: StreamId,
    /// First seq.
    pub first: u64,
    /// One past the last seq.
    pub end: u64,
}

/// Where an event row stands: with the tenant, the sort key of `event_rows`. A row replaces another only at the same key,
/// so an event whose time changed stands at another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventKey {
    /// Source.
    pub source_id: String,
    /// UTC milliseconds, as the store keeps them.
    pub time: i64,
    /// Event.
    pub event_id: Uuid,
    /// Way in.
    pub input: Input,
}

impl EventKey {
    /// Where an event will stand.
    pub fn of(event: &Event) -> Self {
        let source_id = event.source_id.clone();
        Self { source_id, time: stored_time(event.time), event_id: event.event_id, input: event.input }
    }
}

/// The row that wins at its key.
pub struct Standing<'a> {
    /// Where it stands.
    pub key: EventKey,
    /// The receipt that it came from; of several with the same version, one of the window that was asked for.
    pub receipt: Position,
    row: EventRow<'a>,
}

impl Standing<'_> {
    /// True if it is an event that a normaliser older than `normaliser` yielded.
    pub fn is_older_than(&self, normaliser: u32) -> bool {
        self.row.is_deleted == 0 && self.row.normaliser() < u64::from(normaliser)
    }

    /// True if it says what `event` says, whatever receipt and normaliser each is from.
    pub fn says(&self, event: &Event) -> bool {
        EventRow::new(event).is_ok_and(|row| self.row.says_what(&row))
    }
}

/// An event row that is to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedEvent {
    /// Where it stands.
    pub key: EventKey,
    /// The receipt that it came from.
    pub receipt: Position,
}

/// Has an event row deleted.
struct Deletion<'a> {
    tenant: &'a str,
    deleted: &'a DeletedEvent,
    normaliser: u32,
}

impl EventLine for Deletion<'_> {
    fn place(&self) -> (&str, i64) {
        (self.tenant, self.deleted.key.time)
    }

    fn row(&self) -> Result<EventRow<'_>, StoreError> {
        Ok(EventRow::deleting(self.tenant, self.deleted, self.normaliser))
    }

    fn told(&self) -> Option<&Event> {
        None
    }
}

/// What a normaliser makes of a receipt that the store has.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The receipt as it was read.
    pub header: StoredHeader,
    /// Its fate.
    pub fate: Fate,
}

/// Receipts that a newer normaliser has judged, with all that follows.
#[derive(Clone, Debug, Default)]
pub struct Rejudged {
    /// Version of the normaliser.
    pub normaliser: u32,
    /// The receipts' fates.
    pub receipts: Vec<Verdict>,
    /// What they say now.
    pub events: Vec<Event>,
    /// What they no longer say.
    pub deleted: Vec<DeletedEvent>,
}

#[derive(Row, Deserialize)]
struct SpanRead {
    stream: [u8; 16],
    first: u64,
    last: u64,
    receipts: u64,
}

#[derive(Row, Deserialize)]
struct BodyRead<'a> {
    seq: u64,
    commitment_head: u64,
    salt: [u8; 16],
    enc: u32,
    body: &'a [u8],
}

/// A body as it stands in the store, not yet verified.
pub struct BodyBytes<'a> {
    /// Redacted body.
    pub body: &'a [u8],
    /// Salt of the commitment.
    pub salt: [u8; 16],
    /// Key id of the body's encryption; 0 = none.
    pub enc: u32,
}

fn within_window(query: Query, window: Window) -> Query {
    query.param("stream", window.stream.to_string()).param("first", window.first).param("end", window.end)
}

const IN_WINDOW: &str = "stream = unhex({stream:String}) AND seq >= {first:UInt64} AND seq < {end:UInt64}";

impl Store {
    /// The streams that hold selected receipts, in order of their first one's time.
    pub async fn selected_streams(&self, tenant: &str, selection: &Selection) -> Result<Vec<StreamSpan>, StoreError> {
        let sql = format!(
            "SELECT stream, min(seq) AS first, max(seq) AS last, count() AS receipts FROM receipts WHERE {} \
             GROUP BY stream ORDER BY min(received_at), stream",
            selection.conditions()
        );
        let found = rows::<SpanRead>(selection.bind(self.ask(&sql), tenant)).await?;
        let span = |row: SpanRead| StreamSpan {
            stream: StreamId(row.stream),
            first: row.first,
            last: row.last,
            receipts: row.receipts,
        };
        Ok(found.into_iter().map(span).collect())
    }

    /// Selected receipts, those that came last first, at most `limit`.
    pub async fn newest_receipts(
        &self,
        tenant: &str,
        selection: &Selection,
        limit: u32,
    ) -> Result<Vec<StoredHeader>, StoreError> {
        let sql = format!(
            "SELECT ?fields FROM receipts WHERE {} ORDER BY received_at DESC, stream, seq DESC, commitment \
             LIMIT {{limit:UInt32}}",
            selection.conditions()
        );
        headers(rows::<ReceiptRead>(selection.bind(self.ask(&sql), tenant).param("limit", limit)).await?)
    }

    /// The receipts of the selected positions of a window, in order of position and commitment, and the part of the window
    /// that they cover: all of it, or, beyond `limit` receipts, less, but always whole positions.
    pub async fn selected_receipts(
        &self,
        tenant: &str,
        selection: &Selection,
        (window, limit): (Window, u32),
    ) -> Result<(Vec<StoredHeader>, Window), StoreError> {
        let conditions = selection.conditions();
        let selected = if selection.is_of_positions() {
            conditions
        } else {
            format!(
                "tenant = {{tenant:String}} AND seq IN (SELECT seq FROM receipts WHERE {conditions} AND {IN_WINDOW})"
            )
        };
        let sql = format!(
            "SELECT ?fields FROM receipts WHERE {selected} AND {IN_WINDOW} ORDER BY seq LIMIT {{limit:UInt32}} WITH TIES"
        );
        let asked = within_window(selection.bind(self.ask(&sql), tenant), window).param("limit", limit);
        let mut found = headers(rows::<ReceiptRead>(asked).await?)?;
        found.sort_by_key(|one| (one.position.seq, one.commitment));
        let covered = match found.last() {
            Some(last) if found.len() >= limit as usize => {
                Window { end: last.position.seq.saturating_add(1), ..window }
            }
            _ => window,
        };
        Ok((found, covered))
    }

    /// Hands over the bodies of receipts of one stream, which are in order of position and commitment, in that order, one
    /// at a time with the receipt's index, until told to stop. A body that was erased is passed over.
    pub async fn each_body(
        &self,
        tenant: &str,
        receipts: &[StoredHeader],
        each: &mut (dyn FnMut(usize, BodyBytes<'_>) -> ControlFlow<()> + Send),
    ) -> Result<(), StoreError> {
        let Some(first) = receipts.first() else { return Ok(()) };
        let index: HashMap<(u64, u64), usize> = receipts
            .iter()
            .enumerate()
            .map(|(index, one)| ((one.position.seq, commitment_head(&one.commitment)), index))
            .collect();
        let seqs: Vec<u64> = receipts.iter().map(|one| one.position.seq).collect();
        let sql = "SELECT ?fields FROM raw_bodies FINAL WHERE tenant = {tenant:String} \
            AND stream = unhex({stream:String}) AND seq IN {seqs:Array(UInt64)} ORDER BY seq, commitment_head";
        let asked = self.ask(sql).param("tenant", tenant).param("stream", first.position.stream.to_string());
        // As it is read: the server holds no answer back to its end, so no size of bodies fills its memory.
        let asked = asked.param("seqs", seqs).with_setting("wait_end_of_query", "0");
        let work = async {
            let mut bodies = asked.fetch::<BodyRead<'_>>()?;
            while let Some(row) = bodies.next().await? {
                let Some(index) = index.get(&(row.seq, row.commitment_head)) else { continue };
                let bytes = BodyBytes { body: row.body, salt: row.salt, enc: row.enc };
                if each(*index, bytes).is_break() {
                    break;
                }
            }
            Ok(())
        };
        crate::error::within(STREAM_WAIT, work).await
    }

    /// Hands over the winning row of each key at which a receipt of the window has a row of a normaliser older than
    /// `normaliser`: its own word, or that of a better receipt or normaliser.
    pub async fn each_standing(
        &self,
        tenant: &str,
        (window, normaliser): (Window, u32),
        each: &mut (dyn FnMut(Standing<'_>) + Send),
    ) -> Result<(), StoreError> {
        // By key, not by receipt alone: what another receipt or normaliser says at the same key decides, and a merge may
        // or may not have taken the other row away. Equal versions: the receipt of the window, so that it is found
        // whichever of the two a merge leaves.
        let sql = format!(
            "SELECT ?fields FROM event_rows WHERE tenant = {{tenant:String}} AND (source_id, time, event_id, input) IN (\
               SELECT source_id, time, event_id, input FROM event_rows WHERE tenant = {{tenant:String}} AND {IN_WINDOW} \
               AND version < {{older:UInt64}} AND is_deleted = 0\
             ) ORDER BY source_id, time, event_id, input, version DESC, ({IN_WINDOW}) DESC \
             LIMIT 1 BY source_id, time, event_id, input"
        );
        let asked = within_window(self.ask(&sql), window).param("tenant", tenant);
        let asked = asked.param("older", least_version(normaliser));
        let mut unknown_input = false;
        let work = async {
            let mut found = asked.fetch::<EventRow<'_>>()?;
            while let Some(row) = found.next().await? {
                let Ok(input) = row.input.parse() else {
                    unknown_input = true;
                    continue;
                };
                let key =
                    EventKey { source_id: row.source_id.to_owned(), time: row.time, event_id: row.event_id, input };
                each(Standing { key, receipt: Position { stream: StreamId(row.stream), seq: row.seq }, row });
            }
            Ok(())
        };
        crate::error::within(settings::QUERY_WAIT, work).await?;
        if unknown_input { Err(unknown("input")) } else { Ok(()) }
    }

    /// Writes what a newer normaliser makes of receipts. After an error any part may be there: write the same again.
    ///
    /// Receipts go last: one that carries the newer normaliser has its events and its deletions. A deletion wins over
    /// every older normaliser's row at its key and loses against every row of this one, in any order.
    pub async fn rejudge(&self, tenant: &str, rejudged: &Rejudged) -> Result<(), StoreError> {
        let normaliser = rejudged.normaliser;
        self.write_events(&rejudged.events).await?;
        let deletion = |deleted| Deletion { tenant, deleted, normaliser };
        self.write_events(&rejudged.deleted.iter().map(deletion).collect::<Vec<_>>()).await?;
        // Commit point: whoever reads these receipts sees all that follows from them. A crash before this line leaves
        // receipts of the older normaliser, which the next replay judges again, to the same rows.
        self.write_receipts(rejudged.receipts.iter().map(|one| ReceiptRow::again(one, normaliser))).await
    }
}
