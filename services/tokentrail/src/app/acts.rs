//! `POST /v1/persons/acts?id=UUID` and `POST /v1/findings/acts?id=UUID` of the admin listener: an operator's act about persons, or on
//! what the rules found, becomes a receipt.
//!
//! Whoever may order on this listener (`order.rs`) may act; who it was is what they say (`by`), and the journal's evidence covers it.

use super::now_ms;
use crate::findings::suppressing::LONGEST_DAYS;
use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use durable_log::{AppendError, Entry, Journal};
use events::{
    act::PersonAct,
    finding_act::{FindingAct, Handled},
    ids::{Position, StreamId},
    receipt::{Input, Payload, ReceiptHeader},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

const DAY_MS: i64 = 86_400_000;
/// Where acts about persons are taken.
pub const PERSONS: &str = "/v1/persons/acts";
/// Where acts on findings are taken.
pub const FINDINGS: &str = "/v1/findings/acts";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    /// The act's own id, equal on a retry.
    id: Uuid,
}

struct Desk {
    tenant: String,
    journal: Journal,
}

/// The routes.
pub fn route(tenant: &str, journal: Journal) -> Router {
    let desk = Desk { tenant: tenant.to_owned(), journal };
    Router::new().route(PERSONS, post(of_persons)).route(FINDINGS, post(on_findings)).with_state(Arc::new(desk))
}

async fn of_persons(
    State(desk): State<Arc<Desk>>,
    Query(named): Query<Named>,
    Json(said): Json<PersonAct>,
) -> Response {
    let whole = said.is_whole().then_some(&said);
    desk.take((Payload::PersonAct, named.id), whole).await
}

async fn on_findings(
    State(desk): State<Arc<Desk>>,
    Query(named): Query<Named>,
    Json(said): Json<FindingAct>,
) -> Response {
    if let Some(why) = refusal(&said.said) {
        return (StatusCode::UNPROCESSABLE_ENTITY, format!("{why}\n")).into_response();
    }
    let whole = said.is_whole().then_some(&said);
    desk.take((Payload::FindingAct, named.id), whole).await
}

/// Why an act is refused that this program's own commands do not make.
fn refusal(said: &Handled) -> Option<String> {
    let latest = now_ms() + LONGEST_DAYS * DAY_MS;
    if said.until().is_some_and(|until| until > latest) {
        return Some(format!("no suppression is longer than {LONGEST_DAYS} days"));
    }
    let unknown = said.rule().is_some_and(|rule| drift::Rule::of(rule).is_none());
    unknown.then(|| "there is no such rule".to_owned())
}

impl Desk {
    /// `whole`: the act, if it says all that it must.
    async fn take(&self, of: (Payload, Uuid), whole: Option<&impl Serialize>) -> Response {
        let Some(said) = whole else {
            return (StatusCode::UNPROCESSABLE_ENTITY, "an act says of whom or what, who and why\n").into_response();
        };
        // Names and plain text always serialise.
        match self.append(of, serde_json::to_vec(said).unwrap_or_default()).await {
            // From here on it is on disk: a crash before the answer leaves an act that whoever asked may repeat under its id.
            Ok(position) => (StatusCode::CREATED, format!("{position}")).into_response(),
            Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the journal cannot take receipts now\n").into_response(),
        }
    }

    /// Appends the receipt of an act; where it stands.
    async fn append(&self, (payload, id): (Payload, Uuid), body: Vec<u8>) -> Result<Position, AppendError> {
        let header = ReceiptHeader {
            native_id: id.to_string(),
            ..ReceiptHeader::own(&self.tenant, (Input::Operator, payload), now_ms())
        };
        let appended = self.journal.append(vec![Entry { header: header.to_bytes(), body }]).await?;
        Ok(Position { stream: StreamId(self.journal.stream()), seq: appended.first_seq })
    }
}
