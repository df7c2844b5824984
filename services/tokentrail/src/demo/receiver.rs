//! A receiver of alerts that the demo starts itself: takes signed webhooks and keeps what they told.

use super::{DRAIN, LOOK};
use crate::{
    config::{Config, ReceiverConfig},
    findings,
    secrets::write_private,
};
use ::alerts::{Secret, signature};
use anyhow::{Context, bail};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};
use tokio::{net::TcpListener, task::JoinHandle};

/// The rule that the story ends with.
const RULE: &str = "D02";
const SECRET_FILE: &str = "secrets/demo.whsec";

/// Ends when dropped.
pub struct Receiver {
    told: Arc<Mutex<Vec<Notice>>>,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

/// What is read of a finding in a message.
#[derive(Clone, Deserialize)]
struct Notice {
    rule: String,
    name: String,
    severity: String,
    subject: String,
    show: String,
    values: Map<String, Value>,
    #[serde(default)]
    evidence: Vec<String>,
}

#[derive(Deserialize)]
struct Message {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    findings: Vec<Notice>,
}

#[derive(Clone)]
struct Taking {
    secret: Secret,
    told: Arc<Mutex<Vec<Notice>>>,
}

impl Receiver {
    /// Starts it on a free port and puts it into the config.
    pub async fn start(config: &mut Config) -> anyhow::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).context("the system gives no random bytes")?;
        // Hex digits are base64, too.
        let secret = format!("whsec_{}", hex::encode(key));
        write_private(&config.data_dir.join(SECRET_FILE), secret.as_bytes())?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot bind a port of 127.0.0.1")?;
        let address = listener.local_addr()?;
        let told = Arc::default();
        let taking = Taking { secret: Secret::read(&secret)?, told: Arc::clone(&told) };
        let routes = Router::new().route("/", post(take)).with_state(taking);
        let serving = tokio::spawn(async move {
            // Ends with the task.
            let _ = axum::serve(listener, routes).await;
        });
        let receiver = ReceiverConfig::webhook(format!("http://{address}/"), SECRET_FILE);
        config.alerts.receivers.insert("demo".to_owned(), receiver);
        Ok(Self { told, address, serving })
    }

    /// Waits until the story's end was told, and shows the message.
    pub async fn show(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        let notice = loop {
            let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(notice) = told.into_iter().find(|notice| notice.rule == RULE) {
                break notice;
            }
            if started.elapsed() > DRAIN {
                bail!("nothing of {RULE} was told within {} s: this is a fault of Tokentrail", DRAIN.as_secs());
            }
            tokio::time::sleep(LOOK).await;
        };
        println!("\nA signed webhook to http://{} told it, under the person's pseudonym:\n", self.address);
        println!("  {} {} ({}), person {}", notice.rule, notice.name, notice.severity, notice.subject);
        println!("  {}", findings::values(&notice.values));
        println!(
            "  evidence: {} events by id, in the message; `{}` shows them, and the name",
            notice.evidence.len(),
            notice.show
        );
        Ok(())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Takes what is signed with the secret; anything else is told so.
async fn take(State(taking): State<Taking>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let seconds = header("webhook-timestamp").parse().unwrap_or_default();
    if header("webhook-signature") != signature(&taking.secret, (header("webhook-id"), seconds), &body) {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(message) = serde_json::from_slice::<Message>(&body) else { return StatusCode::BAD_REQUEST };
    taking.told.lock().unwrap_or_else(PoisonError::into_inner).extend(message.data.findings);
    StatusCode::NO_CONTENT
}
