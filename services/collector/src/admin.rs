//! The admin listener's routes: liveness, readiness, metrics. Never on the same listener as the intake.

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use prometheus::{Encoder, Registry, TextEncoder};
use std::sync::Arc;

/// Tells whether the program can take deliveries, and if not, why (a plain sentence without personal data).
pub type Ready = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Routes `/healthz`, `/readyz` and `/metrics`.
pub fn router(registry: Registry, ready: Ready) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz).with_state(ready))
        .route("/metrics", get(metrics).with_state(registry))
}

async fn readyz(State(ready): State<Ready>) -> impl IntoResponse {
    match ready() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn metrics(State(registry): State<Registry>) -> impl IntoResponse {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&registry.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, http::Request};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    #[tokio::test]
    async fn answers() {
        let registry = Registry::new();
        let counter = prometheus::IntCounter::new("tokentrail_test_total", "test").unwrap();
        registry.register(Box::new(counter)).unwrap();
        let app = router(registry, Arc::new(|| Err("the journal is full".into())));
        for (path, status, text) in [
            ("/healthz", 200, "ok"),
            ("/readyz", 503, "the journal is full"),
            ("/metrics", 200, "tokentrail_test_total 0"),
        ] {
            let answer = app.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), status, "{path}");
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert!(String::from_utf8_lossy(&body).contains(text), "{path}");
        }
    }
}
