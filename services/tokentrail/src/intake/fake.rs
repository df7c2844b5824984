//! A collector for tests: keeps what comes, and answers as told.

use super::Intake;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What the collector does with a delivery.
#[derive(Clone, Copy)]
pub enum Answer {
    Take,
    Refuse,
    /// It keeps the delivery and never says so.
    Never,
    /// It is none: a page that answers 200 to everything stands in its place.
    Page,
}

/// The collector and what came: key and body of each delivery that was not refused.
pub struct Collector {
    pub intake: Intake,
    pub got: UnboundedReceiver<(String, String)>,
    /// Deliveries, the refused ones too.
    pub tries: Arc<AtomicUsize>,
}

impl Collector {
    /// All bodies that came until now.
    pub fn bodies(&mut self) -> String {
        let mut bodies = String::new();
        while let Ok((_, body)) = self.got.try_recv() {
            bodies += &body;
        }
        bodies
    }
}

#[derive(Clone)]
struct Keeping {
    answer: Arc<dyn Fn(usize) -> Answer + Send + Sync>,
    tries: Arc<AtomicUsize>,
    put: UnboundedSender<(String, String)>,
}

async fn keep(State(keeping): State<Keeping>, headers: HeaderMap, body: String) -> (StatusCode, &'static str) {
    let answer = (keeping.answer)(keeping.tries.fetch_add(1, Ordering::Relaxed));
    match answer {
        Answer::Refuse => return (StatusCode::UNAUTHORIZED, ""),
        Answer::Page => return (StatusCode::OK, "<html>Welcome</html>"),
        Answer::Take | Answer::Never => {}
    }
    let key = headers[collector::http::DELIVERY_HEADER].to_str().unwrap().to_owned();
    let _ = keeping.put.send((key, body));
    if matches!(answer, Answer::Never) {
        pending::<()>().await;
    }
    (StatusCode::OK, r#"{"stream":"01010101010101010101010101010101","first_seq":0,"count":1,"dead":0}"#)
}

/// Starts one that answers the n-th delivery (from 0) as told.
pub async fn collector(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Collector {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (put, got) = unbounded_channel();
    let tries = Arc::new(AtomicUsize::new(0));
    let keeping = Keeping { answer: Arc::new(answer), tries: tries.clone(), put };
    let limit = axum::extract::DefaultBodyLimit::disable();
    let routes = Router::new().route("/v1/backstage/portal", post(keep)).layer(limit).with_state(keeping);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Collector { intake: Intake::new(&base, ("portal", "token"), &trust::Trust::system()).unwrap(), got, tries }
}
