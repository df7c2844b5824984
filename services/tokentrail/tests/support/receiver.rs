//! A receiver of alerts: keeps what comes, and answers as it is told to.

#![allow(dead_code)] // each test binary uses its own part

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::StatusCode, routing::any};
use serde_json::Value;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::AtomicU16, atomic::Ordering},
};

#[derive(Clone)]
pub struct Message {
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub answered: u16,
    /// When it came.
    pub at: jiff::Timestamp,
}

impl Message {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The alerts of a message to an Alertmanager, and whether each was over when it came.
    pub fn alerts(&self) -> Vec<(Value, bool)> {
        let over = |alert: &Value| {
            alert["endsAt"].as_str().is_some_and(|end| end.parse::<jiff::Timestamp>().unwrap() <= self.at)
        };
        self.json().as_array().unwrap().iter().map(|alert| (alert.clone(), over(alert))).collect()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

#[derive(Clone)]
struct Kept {
    messages: Arc<Mutex<Vec<Message>>>,
    answer: Arc<AtomicU16>,
    /// Instead of that, this to what holds a word.
    refuse: Arc<Mutex<Option<(u16, String)>>>,
}

pub struct Receiver {
    kept: Kept,
    pub address: SocketAddr,
}

impl Receiver {
    pub fn start() -> Self {
        let kept = Kept { messages: Arc::default(), answer: Arc::new(AtomicU16::new(200)), refuse: Arc::default() };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().fallback(any(take)).with_state(kept.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, routes).await.unwrap();
            });
        });
        Self { kept, address }
    }

    pub fn answer(&self, status: u16) {
        self.kept.answer.store(status, Ordering::Relaxed);
    }

    pub fn refuse(&self, status: u16, word: &str) {
        *self.kept.refuse.lock().unwrap() = Some((status, word.to_owned()));
    }

    pub fn messages(&self) -> Vec<Message> {
        self.kept.messages.lock().unwrap().clone()
    }
}

async fn take(
    State(kept): State<Kept>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, &'static str); 1]) {
    let said = String::from_utf8_lossy(&body).into_owned();
    let refused = kept.refuse.lock().unwrap().clone().filter(|(_, word)| said.contains(word.as_str()));
    let answered = refused.map_or_else(|| kept.answer.load(Ordering::Relaxed), |(status, _)| status);
    kept.messages.lock().unwrap().push(Message { headers, body: body.to_vec(), answered, at: jiff::Timestamp::now() });
    (StatusCode::from_u16(answered).unwrap(), [("location", "http://127.0.0.1:1/")])
}
