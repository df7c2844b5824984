//! `POST /v1/snapshots/{source}` of the admin listener: takes a snapshot and answers when it has ended.

use crate::snapshotting::Orders;
use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use collector::snapshot::Extent;
use serde::Deserialize;

/// A header that no web page can send to another origin without asking first: so none can give orders.
pub const HEADER: &str = "x-tokentrail-order";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    full: bool,
}

/// The route.
pub fn route(orders: Orders) -> Router {
    Router::new().route("/v1/snapshots/{source}", post(take)).with_state(orders)
}

async fn take(
    State(orders): State<Orders>,
    Path(source): Path<String>,
    Query(wish): Query<Wish>,
    headers: HeaderMap,
) -> Response {
    if !headers.contains_key(HEADER) {
        return (StatusCode::FORBIDDEN, "an order needs its header\n").into_response();
    }
    let extent = if wish.full { Extent::Full } else { Extent::Changes };
    // On a task of its own: whoever asks may hang up, the snapshot goes on.
    let taking = tokio::spawn(async move { orders.take(&source, extent).await });
    match taking.await {
        Ok(Some(Ok(told))) => Json(told).into_response(),
        Ok(Some(Err(why))) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
        Ok(None) => (StatusCode::NOT_FOUND, "this source has no snapshots in the config\n").into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the snapshot died\n").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, http::Request};
    use tower::ServiceExt;

    #[tokio::test]
    async fn an_order_needs_its_header_and_a_known_source() {
        let ask = |headers: &[&str], path: &str| {
            let mut request = Request::post(path);
            for name in headers {
                request = request.header(*name, "1");
            }
            route(Orders::default()).oneshot(request.body(Body::empty()).unwrap())
        };
        assert_eq!(ask(&[], "/v1/snapshots/kc").await.unwrap().status(), StatusCode::FORBIDDEN);
        assert_eq!(ask(&[HEADER], "/v1/snapshots/kc").await.unwrap().status(), StatusCode::NOT_FOUND);
        assert_eq!(ask(&[HEADER], "/v1/snapshots/kc?ful=true").await.unwrap().status(), StatusCode::BAD_REQUEST);
    }
}
