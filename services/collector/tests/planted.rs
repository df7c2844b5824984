//! Planted secrets: in every place where one can hide, none reaches an entry. `TOKENTRAIL_PLANTED` sets how many.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod planting;
mod support;

use planting::{To, planted};
use support::{app, lines, send, sign, webhook};

#[tokio::test(flavor = "multi_thread")]
async fn no_planted_secret_reaches_an_entry() {
    let most = std::env::var("TOKENTRAIL_PLANTED").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000);
    let (app, journal) = app();
    for (n, one) in planted(11).take(most).enumerate() {
        let body = one.body.clone();
        let request = match one.to {
            To::Keycloak => webhook(&sign(body.as_bytes()), body),
            To::Backstage => lines(body),
        };
        let (status, answer) = send(&app, request).await;
        assert_eq!(status, 200);
        let kept = journal.take();
        assert!(!kept.is_empty());
        for (header, bytes) in kept {
            let all =
                format!("{}{}{answer}", String::from_utf8(header.to_bytes()).unwrap(), String::from_utf8_lossy(&bytes));
            assert!(!all.contains(&one.piece), "{n}: {}\nkept as {all}", one.body);
        }
    }
}
