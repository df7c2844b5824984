//! Orders of the admin listener: what changes something there, and not only tells. `POST /v1/snapshots/{source}` takes a snapshot and
//! answers when it has ended; the others are in `acts.rs` and `forward_route.rs`.
//!
//! Whoever orders must know the key of this run, which stands in the run file (mode 0600) and nowhere else: who may read the data
//! folder may order, and who merely reaches the port may not.

use crate::{secrets, snapshotting::Orders};
use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    http::StatusCode,
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::post,
};
use collector::snapshot::Extent;
use serde::Deserialize;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The header with the key. No web page can send it to another origin without asking first.
pub const HEADER: &str = "x-tokentrail-order";

/// What whoever orders must know.
#[derive(Clone)]
pub struct OrderKey(Arc<str>);

impl OrderKey {
    /// One that nobody knows yet.
    pub fn random() -> anyhow::Result<Self> {
        Ok(Self(secrets::random()?.into()))
    }

    /// For the run file.
    pub fn reveal(&self) -> String {
        (*self.0).to_owned()
    }

    /// The routes, for those who know it.
    pub fn guard(&self, orders: Router) -> Router {
        orders.route_layer(from_fn_with_state(self.clone(), check))
    }
}

async fn check(State(key): State<OrderKey>, request: Request, next: Next) -> Response {
    let given = request.headers().get(HEADER).map_or(&b""[..], |given| given.as_bytes());
    if !bool::from(given.ct_eq(key.0.as_bytes())) {
        return (StatusCode::FORBIDDEN, "an order needs the key of the run file\n").into_response();
    }
    next.run(request).await
}

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

async fn take(State(orders): State<Orders>, Path(source): Path<String>, Query(wish): Query<Wish>) -> Response {
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
    use axum::body::Body;
    use tower::ServiceExt;

    #[tokio::test]
    async fn an_order_needs_the_key_of_this_run_and_a_known_source() {
        let key = OrderKey::random().unwrap();
        let ask = |given: Option<&str>, path: &str| {
            let mut request = Request::post(path);
            if let Some(given) = given {
                request = request.header(HEADER, given);
            }
            key.guard(route(Orders::default())).oneshot(request.body(Body::empty()).unwrap())
        };
        let other = OrderKey::random().unwrap().reveal();
        for given in [None, Some(""), Some("1"), Some(&other[..]), Some(&key.reveal()[1..])] {
            let refused = ask(given, "/v1/snapshots/kc").await.unwrap();
            assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        }
        let known = key.reveal();
        assert_eq!(ask(Some(&known), "/v1/snapshots/kc").await.unwrap().status(), StatusCode::NOT_FOUND);
        assert_eq!(ask(Some(&known), "/v1/snapshots/kc?ful=true").await.unwrap().status(), StatusCode::BAD_REQUEST);
    }
}
