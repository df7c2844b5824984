//! Is anything missing? Reads from the store what heartbeats came back and which seqs are there, and writes watermarks and
//! gaps. Derives everything anew in each round from what is stored, so that a restart, a second process or late arrivals
//! end in the same rows.

pub mod assess;
mod brought;
mod chain;
mod clocks;
mod copies;
mod depths;
mod held;
mod holes;
mod keeper;
mod lost;
mod pushed;
mod reconcile;
mod repair;
mod spans;

pub use copies::COPIES_DIFFER;
pub use keeper::{Expected, Keeper};

use durable_log::carrier::{Cause, Loss};
use events::{
    lines::{LineCounts, LineKind, SenderGap},
    receipt::{Input, Payload, Receipt, SourceKind},
    record::{self, InputClosed, heartbeat_id},
};
use serde::Deserialize;
use store::{ClaimedSpan, Gap, LineCount, Records, SeenHeartbeat, SentHeartbeat, Watermark};

/// Cause of a gap that a sender admits.
const SENDER_DROPPED: &str = "sender_dropped";

/// Adds what one receipt says of completeness.
pub(crate) fn note(records: &mut Records, receipt: &Receipt) {
    match receipt.header.payload {
        Payload::InputClosed => closed(records, receipt),
        Payload::Heartbeat => records.sent.extend(sent(receipt)),
        Payload::LineCounts => records.line_counts.extend(line_counts(receipt)),
        Payload::SenderGap => records.gaps.extend(dropped(receipt)),
        Payload::BackstageLine => records.seen.extend(seen(receipt)),
        _ => {}
    }
}

/// The gap that a loss of the log leaves at `now` (UTC milliseconds). Damage of the journal leaves none here: the numbers that
/// are missing in their streams tell it exactly, and are closed when the records come after all.
pub(crate) fn lost(loss: &Loss, tenant: &str, now: i64) -> Option<Gap> {
    if loss.cause == Cause::Damaged {
        return None;
    }
    Some(Gap {
        tenant: tenant.to_owned(),
        source_id: String::new(),
        scope: loss.place.clone(),
        input: String::new(),
        since: loss.since_ms.unwrap_or(now),
        cause: loss.cause.as_str().to_owned(),
        until: Some(now),
        missing: loss.missing,
        repaired_at: None,
        repaired_by: String::new(),
        recorded_at: now,
    })
}

/// The watermark that a closing record tells, and what an import is said to hold.
fn closed(records: &mut Records, receipt: &Receipt) {
    let Ok(closed) = serde_json::from_slice::<InputClosed>(&receipt.body) else { return };
    let header = &receipt.header;
    records.watermarks.push(Watermark {
        tenant: header.tenant.clone(),
        source_id: header.source_id.clone(),
        input: closed.input,
        watermark: closed.watermark,
        recorded_at: header.received_at,
    });
    let Some(claim) = closed.claim.filter(|claim| claim.is_of(header.source_kind)) else { return };
    let scopes = if claim.scopes.is_empty() { vec![String::new()] } else { claim.scopes };
    for (scope, held) in scopes.iter().flat_map(|scope| claim.holds.iter().map(move |held| (scope, held))) {
        records.claims.push(ClaimedSpan {
            tenant: header.tenant.clone(),
            source_id: header.source_id.clone(),
            scope: scope.clone(),
            held: held.as_str().to_owned(),
            since: claim.from,
            until: claim.to,
            recorded_at: header.received_at,
        });
    }
}

fn sent(receipt: &Receipt) -> Option<SentHeartbeat> {
    let body: record::Heartbeat = serde_json::from_slice(&receipt.body).ok()?;
    Some(SentHeartbeat {
        tenant: receipt.header.tenant.clone(),
        source_id: receipt.header.source_id.clone(),
        sent_at: receipt.header.received_at,
        scope: body.scope,
        id: receipt.header.native_id.clone(),
        state: body.state,
    })
}

/// Lines that a sender admits to have dropped.
fn dropped(receipt: &Receipt) -> Option<Gap> {
    let body: SenderGap = serde_json::from_slice(&receipt.body).ok()?;
    Some(Gap {
        tenant: receipt.header.tenant.clone(),
        source_id: receipt.header.source_id.clone(),
        scope: body.instance,
        // The record is the collector's; what is missing are lines, or records of a Keycloak's topic.
        input: if receipt.header.source_kind == SourceKind::Keycloak { Input::Kafka } else { Input::Lines }
            .as_str()
            .to_owned(),
        since: body.since,
        cause: SENDER_DROPPED.to_owned(),
        until: Some(body.until),
        missing: body.dropped_lines,
        repaired_at: None,
        repaired_by: String::new(),
        recorded_at: receipt.header.received_at,
    })
}

/// The lines of a delivery that are no receipts; none of a body that a newer program wrote.
fn line_counts(receipt: &Receipt) -> Vec<LineCount> {
    let header = &receipt.header;
    let delivery = LineCounts::delivery(header);
    let counts = LineCounts::from_bytes(&receipt.body).unwrap_or_default();
    let row = |(kind, lines): (LineKind, u64)| LineCount {
        tenant: header.tenant.clone(),
        source_id: header.source_id.clone(),
        kind: kind.as_str().to_owned(),
        delivery: delivery.clone(),
        lines,
        received_at: header.received_at,
    };
    counts.0.into_iter().map(row).collect()
}

/// A heartbeat that came back as an access line of a Backstage; its id was read at the split.
fn seen(receipt: &Receipt) -> Option<SeenHeartbeat> {
    let header = &receipt.header;
    if header.native_id.is_empty() {
        return None;
    }
    #[derive(Deserialize)]
    struct Line<'a> {
        #[serde(borrow)]
        url: std::borrow::Cow<'a, str>,
    }
    let line: Line<'_> = serde_json::from_slice(&receipt.body).ok()?;
    let id = heartbeat_id(&line.url).filter(|id| *id == header.native_id)?;
    let time = header.line.as_ref().and_then(|place| place.time_ns).map(|ns| ns.div_euclid(1_000_000));
    Some(SeenHeartbeat {
        tenant: header.tenant.clone(),
        source_id: header.source_id.clone(),
        time: time.unwrap_or(header.received_at),
        id: id.to_owned(),
        input: header.input.as_str().to_owned(),
        received_at: header.received_at,
    })
}
