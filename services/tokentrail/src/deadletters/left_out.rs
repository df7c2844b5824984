//! Events that the correlation leaves out because it dies of them. Their receipts were understood and are stored, so none of them is a
//! dead letter itself; but they are what people look for among dead letters, and tried again with them.

use super::Which;
use crate::{status::moment, table::visible};
use anyhow::Context;
use serde::Serialize;
use std::collections::HashMap;
use store::{Store, correlation::SetAside};
use uuid::Uuid;

/// In place of a reason that a normaliser gives.
pub const REASON: &str = "correlation_failed";

/// One of them, without what it says.
#[derive(Debug, Serialize)]
pub struct LeftOut {
    event: String,
    time: String,
    source: String,
    kind: String,
    receipt: String,
    set_aside_at: String,
}

/// Those that are meant, each with the receipt that it stands by: STREAM/SEQ, empty if that is gone.
pub async fn find(store: &Store, tenant: &str, which: &Which) -> anyhow::Result<Vec<(SetAside, String)>> {
    let asked_for = which.input.is_none() && which.reason.as_ref().is_none_or(|reason| reason == REASON);
    let (since, until) = (which.since.unwrap_or(i64::MIN), which.until.unwrap_or(i64::MAX));
    let meant = |one: &SetAside| {
        asked_for
            && (since..until).contains(&one.recorded_at)
            && which.source.as_ref().is_none_or(|source| *source == one.source_id)
    };
    let mut found = store.set_aside(tenant).await?;
    found.retain(meant);
    let (Some(first), Some(last)) = (found.first(), found.last()) else { return Ok(Vec::new()) };
    let events: Vec<Uuid> = found.iter().map(|one| one.event_id).collect();
    let receipts = store.receipts_of(tenant, &events, (first.time, last.time)).await;
    let receipts: HashMap<Uuid, String> =
        receipts.context("the store does not say what an event stands by")?.into_iter().collect();
    let receipt = |one: &SetAside| receipts.get(&one.event_id).cloned().unwrap_or_default();
    Ok(found.into_iter().map(|one| (receipt(&one), one)).map(|(receipt, one)| (one, receipt)).collect())
}

impl From<(SetAside, String)> for LeftOut {
    fn from((one, receipt): (SetAside, String)) -> Self {
        Self {
            event: one.event_id.to_string(),
            time: moment(one.time),
            source: one.source_id,
            kind: one.kind,
            receipt,
            set_aside_at: moment(one.recorded_at),
        }
    }
}

/// For people.
pub fn render(left_out: &[LeftOut]) -> String {
    if left_out.is_empty() {
        return String::new();
    }
    let mut out = "\n  events that the correlation dies of and leaves out (stored, but in no answer):\n".to_owned();
    for one in left_out {
        let (kind, source, receipt) = (visible(&one.kind), visible(&one.source), &one.receipt);
        out.push_str(&format!("    {kind} {} of {source} at {} (receipt {receipt})\n", one.event, one.time));
    }
    out.push_str("  a newer version tries them again by itself; `tokentrail deadletters retry` does now\n");
    out
}
