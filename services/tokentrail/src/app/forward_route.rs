//! `POST /v1/forward?stream=ID&from=SEQ` on the admin listener: sends again what a broker lost.

use axum::{Router, extract::Query, http::StatusCode, routing::post};
use durable_log::{Journal, ReadLimits};
use events::ids::StreamId;
use serde::Deserialize;
use std::{fmt::Display, sync::Arc};

#[derive(Deserialize)]
struct From {
    /// Absent: the stream of this run.
    stream: Option<String>,
    from: u64,
}

/// What the caller hears.
fn told(journal: &Journal, (stream, from): (StreamId, u64), offset: u64) -> String {
    let count = journal.durable_end().saturating_sub(offset);
    let first = journal
        .read(offset, ReadLimits { records: 1, bytes: 1 })
        .ok()
        .and_then(|batch| batch.records.into_iter().next());
    match first.filter(|first| first.stream == stream.0 && first.seq > from) {
        Some(first) => {
            format!("{count} records are sent again, from {} on: the journal keeps none before\n", first.seq)
        }
        None => format!("{count} records are sent again\n"),
    }
}

/// The route.
pub fn route<E: Display + Send>(
    journal: Journal,
    again: impl Fn(u64) -> Result<(), E> + Send + Sync + 'static,
) -> Router {
    let again = Arc::new(again);
    let answer = move |Query(asked): Query<From>| {
        let (journal, again) = (journal.clone(), again.clone());
        async move {
            let stream = match asked.stream.map(|id| id.parse::<StreamId>()) {
                None => StreamId(journal.stream()),
                Some(Ok(stream)) => stream,
                Some(Err(_)) => return (StatusCode::BAD_REQUEST, "a stream is 32 hex digits\n".to_owned()),
            };
            let Some(offset) = journal.offset_of(stream.0, asked.from) else {
                return (StatusCode::NOT_FOUND, format!("the journal keeps nothing of stream {stream}\n"));
            };
            let kept = tokio::task::spawn_blocking(move || again(offset).map_err(|error| error.to_string()));
            match kept.await.unwrap_or_else(|_| Err("it died".into())) {
                Ok(()) => (StatusCode::ACCEPTED, told(&journal, (stream, asked.from), offset)),
                Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("the order cannot be kept: {error}\n")),
            }
        }
    };
    Router::new().route("/v1/forward", post(answer))
}
