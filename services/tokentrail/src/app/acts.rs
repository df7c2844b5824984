//! `POST /v1/persons/acts?id=UUID` of the admin listener: an operator's act about persons becomes a receipt.
//!
//! Whoever may order on this listener may act; who it was is what they say (`by`), and the journal's evidence covers it.

use super::{now_ms, order::HEADER};
use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use durable_log::{AppendError, Entry, Journal};
use events::{
    act::PersonAct,
    ids::{Position, StreamId},
    receipt::{HEADER_VERSION, Input, Payload, ReceiptHeader, SourceKind},
};
use serde::Deserialize;
use std::sync::Arc;
use uuid::Uuid;

/// An act with its own id, equal on a retry.
pub struct Act {
    /// Id.
    pub id: Uuid,
    /// What is said.
    pub said: PersonAct,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    id: Uuid,
}

struct Desk {
    tenant: String,
    journal: Journal,
}

/// The route.
pub fn route(tenant: &str, journal: Journal) -> Router {
    let desk = Desk { tenant: tenant.to_owned(), journal };
    Router::new().route("/v1/persons/acts", post(take)).with_state(Arc::new(desk))
}

async fn take(
    State(desk): State<Arc<Desk>>,
    Query(named): Query<Named>,
    headers: HeaderMap,
    Json(said): Json<PersonAct>,
) -> Response {
    if !headers.contains_key(HEADER) {
        return (StatusCode::FORBIDDEN, "an order needs its header\n").into_response();
    }
    if !said.is_whole() {
        return (StatusCode::UNPROCESSABLE_ENTITY, "an act says of whom, who and why\n").into_response();
    }
    match append(&desk.journal, &desk.tenant, &Act { id: named.id, said }).await {
        // From here on it is on disk: a crash before the answer leaves an act that whoever asked may repeat under its id.
        Ok(position) => (StatusCode::CREATED, format!("{position}")).into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the journal cannot take receipts now\n").into_response(),
    }
}

/// Appends the receipt of an act; where it stands.
pub async fn append(journal: &Journal, tenant: &str, act: &Act) -> Result<Position, AppendError> {
    let header = ReceiptHeader {
        v: HEADER_VERSION,
        tenant: tenant.to_owned(),
        source_id: String::new(),
        source_kind: SourceKind::Tokentrail,
        input: Input::Operator,
        payload: Payload::PersonAct,
        received_at: now_ms(),
        native_id: act.id.to_string(),
        delivery_id: String::new(),
        delivery_keyed: false,
        delivery_index: 0,
        line: None,
    };
    // Names and plain text always serialise.
    let body = serde_json::to_vec(&act.said).unwrap_or_default();
    let appended = journal.append(vec![Entry { header: header.to_bytes(), body }]).await?;
    Ok(Position { stream: StreamId(journal.stream()), seq: appended.first_seq })
}
