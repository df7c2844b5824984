//! Forged, truncated and mutated requests: none is accepted, nothing crashes. `TOKENTRAIL_FORGED` sets how many.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use axum::{body::Body, http::Request};
use rand::{Rng, SeedableRng, rngs::StdRng};
use support::{TOKEN, app, recorded, send, sign};

fn how_many() -> usize {
    std::env::var("TOKENTRAIL_FORGED").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000)
}

/// Changes, cuts or extends bytes so that they certainly differ.
fn mutate(random: &mut StdRng, bytes: &mut Vec<u8>) {
    match random.random_range(0..4) {
        0 if !bytes.is_empty() => {
            let at = random.random_range(0..bytes.len());
            bytes[at] ^= 1 << random.random_range(0..8);
        }
        1 if !bytes.is_empty() => bytes.truncate(random.random_range(0..bytes.len())),
        2 => bytes.insert(random.random_range(0..=bytes.len()), random.random()),
        _ => bytes.push(random.random()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_forged_request_is_accepted() {
    let (app, journal) = app();
    let deliveries = recorded("keycloak/webhook.ndjson");
    let mut random = StdRng::seed_from_u64(7);
    for n in 0..how_many() {
        let (signature, body) = &deliveries[random.random_range(0..deliveries.len())];
        let (mut signature, mut body) = (signature.clone().into_bytes(), body.clone().into_bytes());
        let mut request = Request::post(["/v1/keycloak/kc", "/v1/keycloak/nobody"][n % 2]);
        match random.random_range(0..4) {
            0 => mutate(&mut random, &mut body),
            1 => mutate(&mut random, &mut signature),
            2 => {
                let mut token = TOKEN.as_bytes().to_vec();
                mutate(&mut random, &mut token);
                // Spaces around credentials are no part of them.
                let text = String::from_utf8_lossy(&token);
                let same = text.trim() == TOKEN;
                signature.clear();
                token = if same { b"other-token".to_vec() } else { token };
                let value = [b"Bearer ".as_slice(), &token].concat();
                if let Ok(value) = axum::http::HeaderValue::from_bytes(&value) {
                    request = request.header("authorization", value);
                }
            }
            _ => request = Request::post("/v1/keycloak/nobody"),
        }
        if !signature.is_empty()
            && let Ok(value) = axum::http::HeaderValue::from_bytes(&signature)
        {
            request = request.header("x-keycloak-signature", value);
        }
        let (status, answer) = send(&app, request.body(Body::from(body)).unwrap()).await;
        assert_eq!(status, 401, "{answer}");
    }
    assert!(journal.take().is_empty());
}

/// The same mutations with a right signature: whatever it is, it is kept as something, and answered 2xx.
#[tokio::test(flavor = "multi_thread")]
async fn authentic_rubbish_never_crashes_and_is_always_kept() {
    let (app, journal) = app();
    let deliveries = recorded("keycloak/webhook.ndjson");
    let lines = support::sample("backstage/audit-events.ndjson");
    let lines: Vec<&str> = lines.lines().collect();
    let mut random = StdRng::seed_from_u64(8);
    for n in 0..how_many() / 4 {
        let mut body = if n % 2 == 0 {
            deliveries[random.random_range(0..deliveries.len())].1.clone().into_bytes()
        } else {
            lines[random.random_range(0..lines.len())].as_bytes().to_vec()
        };
        for _ in 0..random.random_range(1..6) {
            mutate(&mut random, &mut body);
        }
        let (request, least) = if n % 2 == 0 {
            (support::webhook(&sign(&body), body), 1)
        } else {
            let blank = String::from_utf8(body.clone()).is_ok_and(|text| text.trim().is_empty());
            (support::lines(body), usize::from(!blank))
        };
        let (status, answer) = send(&app, request).await;
        assert_eq!(status, 200, "{answer}");
        assert!(journal.take().len() >= least);
    }
}
