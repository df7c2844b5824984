//! What the intake costs beside a bare axum handler, without sockets and disk. Run by `make bench`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement")]

#[path = "../tests/support/mod.rs"]
mod support;

use axum::{Router, body::Bytes, routing::post};
use std::time::{Duration, Instant};
use support::{Memory, app, recorded, send, sign, webhook};

const ROUNDS: u32 = 20_000;

async fn time(app: &Router, journal: &Memory, (signature, body): (&str, &str)) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        for round in 0..ROUNDS {
            if round % 512 == 0 {
                // What grows without end would measure the page faults of this bench.
                journal.0.lock().unwrap().clear();
            }
            let (status, _) = send(app, webhook(signature, body.to_owned())).await;
            assert_eq!(status, 200);
        }
        best = best.min(start.elapsed() / ROUNDS);
    }
    best
}

async fn one_webhook_beside_bare_axum() {
    let bare = Router::new().route("/v1/keycloak/{source}", post(async |body: Bytes| body.len().to_string()));
    let (full, journal) = app();
    let deliveries = recorded("keycloak/webhook.ndjson");
    let (_, body) = deliveries.iter().max_by_key(|(_, body)| body.len()).unwrap();
    let (_, usual) = deliveries.iter().find(|(_, body)| body.contains("CODE_TO_TOKEN")).unwrap();
    for (name, body) in [("largest", body), ("usual", usual)] {
        let signature = sign(body.as_bytes());
        let (bare, full) =
            (time(&bare, &journal, (&signature, body)).await, time(&full, &journal, (&signature, body)).await);
        println!(
            "{name}, {} bytes: bare {bare:?}, intake {full:?}, more by {:?}",
            body.len(),
            full.saturating_sub(bare)
        );
    }
}

async fn lines_per_second() {
    let (app, journal) = app();
    let text = support::sample("pair/backstage-stdout.cri.log.gz");
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(send(&app, support::lines(text.clone())).await.0, 200);
        journal.take();
    }
    let lines = text.lines().count() as f64 * 20.0;
    println!("{:.0} lines/s, {:?} each", lines / start.elapsed().as_secs_f64(), start.elapsed().div_f64(lines));
}

#[tokio::main]
async fn main() {
    one_webhook_beside_bare_axum().await;
    lines_per_second().await;
}
