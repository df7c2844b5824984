//! One pass over a feed: from the cursor less the overlap to the end of what is stored, page by page.
//!
//! Keycloak sorts by time only and pages by offset, so offsets shift when rows are added or expire. A pass therefore asks
//! for what follows a time (inclusive), and drops what it knows by id. Only inside one millisecond that fills the largest
//! page does it use offsets.

use super::{
    Feed, NotAppended, Received, Source, Surroundings,
    client::{PageRequest, RealmClient},
    cursor::{Cursor, KeepCursor, Key},
    page::{self, Item},
    state::State,
};
use events::receipt::{HEADER_VERSION, Input, Payload, ReceiptHeader, SourceKind};
use std::sync::Arc;
use uuid::Uuid;

/// A page of events of one and the same millisecond is asked for again, twice as long, up to this.
pub const MAX_PAGE: usize = 8_192;

/// Largest event that is kept, after redaction. A larger one leaves its length and keyed mark only.
pub const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;

/// Bytes given to the journal at once; one event may exceed it.
const APPEND_BYTES: usize = 8 * 1024 * 1024;

/// What a complete pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassReport {
    /// Requests for pages.
    pub pages: u64,
    /// Events appended.
    pub appended: u64,
    /// Events skipped because this feed had appended them before.
    pub known: u64,
    /// Events too large to keep.
    pub too_large: u64,
    /// Up to here nothing is missing, UTC milliseconds of Keycloak's clock: the pass's start less the overlap.
    pub watermark: i64,
    /// Keycloak's clock less ours, if it told its time.
    pub clock_offset_ms: Option<i64>,
}

/// Why a pass did not reach the end. The cursor stands after the last page that did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    /// Keycloak, the network or a limit.
    #[error("the source is {}", .0.as_str())]
    Source(State),
    /// The journal.
    #[error("receipts were not appended")]
    Append(#[source] NotAppended),
    /// The cursor cannot be written.
    #[error("the cursor was not written")]
    Cursor,
}

/// A feed of one realm with its cursor.
pub(super) struct FeedReader {
    pub feed: Feed,
    pub cursor: Cursor,
    pub keep: Arc<dyn KeepCursor>,
}

/// What passes of all feeds of a source share.
pub(super) struct Shared {
    pub source: Arc<Source>,
    pub around: Surroundings,
}

/// Where in the feed the next page begins, and how long it is.
struct Place {
    from: Option<i64>,
    first: usize,
    max: usize,
    /// Longest page that is asked for here.
    most: usize,
}

impl FeedReader {
    /// Reads to the end.
    pub(super) async fn pass(&mut self, client: &RealmClient, shared: &Shared) -> Result<PassReport, PassError> {
        let limits = &shared.source.limits;
        let overlap = i64::try_from(limits.overlap.as_millis()).unwrap_or(i64::MAX / 2);
        let usual = (limits.page.max(1) as usize).min(MAX_PAGE);
        let mut report = PassReport::default();
        let mut now = (shared.around.now)();
        let mut place = Place { from: None, first: 0, max: usual, most: MAX_PAGE };
        place.from = self.cursor.floor(now, overlap).or(limits.since);
        loop {
            let asked = (shared.around.now)();
            let request = PageRequest { feed: self.feed, from: place.from, first: place.first, max: place.max };
            let answer = match client.page(request).await {
                // Fewer events may fit; one that does not fit alone is told.
                Err(State::AnswerTooLarge) if place.max > 1 => {
                    place.most = place.max / 2;
                    place.max = place.most;
                    continue;
                }
                other => other.map_err(PassError::Source)?,
            };
            if report.pages == 0 {
                // Pessimistic: the time before the first request, on Keycloak's clock.
                report.clock_offset_ms = answer.date.map(|date| date + 500 - (asked + (shared.around.now)()) / 2);
                now = answer.date.unwrap_or(asked).min(asked + report.clock_offset_ms.unwrap_or(0));
                report.watermark = now - overlap;
            }
            report.pages += 1;
            let items = page::split(&answer.body).map_err(|_| PassError::Source(State::NotSupported))?;
            self.take(&items, shared, &mut report).await?;
            self.save(&items, now, overlap).await?;
            let Some(last) = items.last() else { break };
            if items.len() < place.max {
                break;
            }
            if place.from.is_none_or(|from| last.time > from) && items.first().is_some_and(|item| item.time < last.time)
            {
                place = Place { from: Some(last.time), first: 0, max: usual, most: MAX_PAGE };
            } else if place.max * 2 <= place.most {
                place.max *= 2;
            } else {
                place.first += items.len();
            }
        }
        Ok(report)
    }

    /// Appends what is new of a page. Returns only after the journal acknowledged all of it.
    async fn take(&self, items: &[Item<'_>], shared: &Shared, report: &mut PassReport) -> Result<(), PassError> {
        let delivery = Uuid::new_v4().to_string();
        let received_at = (shared.around.now)();
        let (mut batch, mut bytes, mut index) = (Vec::new(), 0, 0);
        let mut seen = std::collections::BTreeSet::new();
        for item in items {
            let key = item.key();
            if self.cursor.knows(&key) || !seen.insert(key) {
                report.known += 1;
                continue;
            }
            let (mut payload, mut body) = (shared.around.redact)(self.feed.payload(), item.body);
            if body.len() > MAX_EVENT_BYTES {
                payload = Payload::Unparsable;
                body = (shared.around.too_large)(item.body);
                report.too_large += 1;
            }
            let header = ReceiptHeader {
                v: HEADER_VERSION,
                tenant: shared.source.tenant.clone(),
                source_id: shared.source.source_id.clone(),
                source_kind: SourceKind::Keycloak,
                input: Input::Pull,
                payload,
                received_at,
                native_id: item.id.clone().into_owned(),
                delivery_id: delivery.clone(),
                delivery_keyed: false,
                delivery_index: index,
                line: None,
            };
            index += 1;
            bytes += body.len();
            batch.push(Received { header, body });
            if bytes >= APPEND_BYTES {
                report.appended += batch.len() as u64;
                shared.around.append.append(std::mem::take(&mut batch)).await.map_err(PassError::Append)?;
                bytes = 0;
            }
        }
        if !batch.is_empty() {
            report.appended += batch.len() as u64;
            shared.around.append.append(batch).await.map_err(PassError::Append)?;
        }
        Ok(())
    }

    /// The commit point: all of the page is in the journal. A crash before the save repeats this page, no more.
    async fn save(&mut self, items: &[Item<'_>], now: i64, overlap: i64) -> Result<(), PassError> {
        let keys: Vec<Key> = items.iter().map(Item::key).filter(|key| !self.cursor.knows(key)).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let mut next = self.cursor.clone();
        next.advance(&keys, now, overlap);
        let (keep, saved) = (Arc::clone(&self.keep), next.clone());
        let written = tokio::task::spawn_blocking(move || keep.save(&saved)).await;
        // Also when the save is reported lost: in this process the page is known, and later saves hold it too.
        self.cursor = next;
        match written {
            Ok(Ok(())) => Ok(()),
            _ => Err(PassError::Cursor),
        }
    }
}
