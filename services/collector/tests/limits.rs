//! Bounds that a sender meets: too many requests at once, deliveries larger than one append, lines cut into parts.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use axum::{Router, body::Body, http::Request};
use collector::{
    config::Limits,
    journal::{Append, AppendError, Appended, Entry, Later},
};
use events::{
    ids::{Position, StreamId},
    normalise::{Context, Normalised, normalise},
    receipt::{Payload, Receipt, ReceiptHeader},
};
use http_body_util::BodyExt;
use std::sync::{Arc, Mutex};
use support::{TOKEN, app, intake, key, lines, send, sign, webhook};
use tokio::sync::Semaphore;
use tower::ServiceExt;
use uuid::Uuid;

/// A journal that says when an append has begun and waits to be let go; the append numbered `fails` does not land.
struct Held {
    begun: Semaphore,
    go: Semaphore,
    fails: Option<usize>,
    appends: Mutex<Vec<Vec<Entry>>>,
}

impl Held {
    fn new(go: usize, fails: Option<usize>) -> Arc<Self> {
        let (begun, go) = (Semaphore::new(0), Semaphore::new(go));
        Arc::new(Self { begun, go, fails, appends: Mutex::default() })
    }

    fn take(&self) -> Vec<Vec<Entry>> {
        std::mem::take(&mut self.appends.lock().unwrap())
    }
}

impl Append for Held {
    fn append(&self, new: Vec<Entry>) -> Later<'_, Result<Appended, AppendError>> {
        Box::pin(async move {
            self.begun.add_permits(1);
            self.go.acquire().await.unwrap().forget();
            let mut appends = self.appends.lock().unwrap();
            if self.fails == Some(appends.len()) {
                return Err(AppendError::Full);
            }
            let count = u32::try_from(new.len()).unwrap();
            appends.push(new);
            Ok(Appended { stream: StreamId([1; 16]), first_seq: 0, count })
        })
    }

    fn can_append(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn more_requests_at_once_than_allowed_are_429_with_a_time_to_come_again() {
    let event = r#"{"id":"1","uid":"2","type":"access.LOGIN","time":1}"#;
    let keycloak = || webhook(&sign(event.as_bytes()), event);
    let backstage = || lines("one line\n");
    let ways: [&dyn Fn() -> Request<Body>; 2] = [&keycloak, &backstage];
    for (this, other) in [(0, 1), (1, 0)] {
        let journal = Held::new(0, None);
        let limits = Limits { keycloak_requests: 1, backstage_requests: 1, ..Limits::default() };
        let app: Router = intake(journal.clone(), limits).0;
        let first = tokio::spawn(app.clone().oneshot(ways[this]()));
        journal.begun.acquire().await.unwrap().forget();

        let answer = app.clone().oneshot(ways[this]()).await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (429, &"5".parse().unwrap()));
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["status"], 429);

        journal.go.add_permits(2);
        assert_eq!(app.clone().oneshot(ways[other]()).await.unwrap().status(), 200, "the other kind has its own bound");
        assert_eq!(first.await.unwrap().unwrap().status(), 200);
        journal.go.add_permits(1);
        assert_eq!(app.oneshot(ways[this]()).await.unwrap().status(), 200, "the place comes back");
        assert_eq!(journal.take().len(), 3, "what was refused is not kept");
    }
}

/// Lines of 1 MB: one append takes 25 of them.
const LARGE_LINES: u32 = 27;

/// Audit lines so large that one append does not take them all.
fn large_lines() -> String {
    let long = "x".repeat(1_000_000);
    let line = |number: u32| {
        format!(
            "2026-11-23T21:24:51.{number:06}Z stdout F {{\"isAuditEvent\":true,\"plugin\":\"p\",\"eventId\":\"e\",\"status\":\"failed\",\"component\":\"{long}\"}}\n"
        )
    };
    (0..LARGE_LINES).map(line).collect()
}

fn delivery(labels: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let request = Request::post("/v1/backstage/portal").header("authorization", format!("Bearer {TOKEN}"));
    labels.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(body.into()).unwrap()
}

/// The events of entries that are appended in this order.
fn events(entries: &[Entry]) -> Vec<Uuid> {
    let context = Context { key: key() };
    let event = |(seq, entry): (u64, &Entry)| {
        let position = Position { stream: StreamId([1; 16]), seq };
        let header = ReceiptHeader::from_bytes(&entry.header).unwrap();
        match normalise(&Receipt { position, header, body: entry.body.clone() }, &context) {
            Normalised::Events(events) => events[0].event_id,
            other => panic!("{other:?}"),
        }
    };
    (1_000_000..).zip(entries).map(event).collect()
}

/// More bytes than one append takes: when the second append fails, the sender is told to send all of it again, and what
/// landed twice is known as one, by the sender's key or by the times of the lines.
#[tokio::test]
async fn a_delivery_whose_second_append_fails_is_refused_and_its_repeat_is_told() {
    let body = zstd::encode_all(large_lines().as_bytes(), 1).unwrap();
    for label in [("idempotency-key", "file-7"), ("x-tokentrail-instance", "b1")] {
        let labels = [label, ("content-encoding", "zstd")];
        let journal = Held::new(usize::MAX >> 4, Some(1));
        let app = intake(journal.clone(), Limits::default()).0;
        let answer = app.oneshot(delivery(&labels, body.clone())).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers().contains_key("retry-after")), (503, true));
        let landed = journal.take();
        assert_eq!(landed.len(), 1, "the first part is on disk");

        let journal = Held::new(usize::MAX >> 4, None);
        let (app, _) = intake(journal.clone(), Limits::default());
        let (status, answer) = send(&app, delivery(&labels, body.clone())).await;
        assert_eq!(status, 200);
        assert!(answer.contains("\"count\":27"), "{answer}");
        let again = journal.take();
        let bytes = |part: &Vec<Entry>| part.iter().map(|entry| entry.header.len() + entry.body.len()).sum::<usize>();
        assert!(again.len() == 2 && again.iter().all(|part| bytes(part) <= 24 << 20));
        assert!(events(&landed[0]) == events(&again[0]), "{label:?}: what landed twice is one event each");
        let all: std::collections::BTreeSet<_> = again.iter().flat_map(|part| events(part)).collect();
        assert_eq!(all.len(), LARGE_LINES as usize);
    }
}

#[tokio::test]
async fn a_delivery_of_more_lines_than_one_append_takes_is_taken_in_parts() {
    let line = "{\"level\":\"info\",\"message\":\"Issuing token for user:default/ann, with entities x\"}\n";
    let journal = Held::new(usize::MAX >> 4, None);
    let (app, _) = intake(journal.clone(), Limits::default());
    let (status, answer) = send(&app, lines(line.repeat(50_001))).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(journal.take().iter().map(Vec::len).collect::<Vec<_>>(), [50_000, 1]);
    assert!(answer.contains("\"count\":50001"), "{answer}");
}

const WHOLE: &str = r#"{"isAuditEvent":true,"plugin":"catalog","eventId":"entity-fetch","status":"succeeded","actor":{"actorId":"user:default/ann"},"meta":{"queryType":"all"}}"#;

fn parts() -> (&'static str, &'static str) {
    WHOLE.split_at(60)
}

fn cri(tag: &str, part: &str) -> String {
    format!("2026-11-23T21:24:51.255972Z stdout {tag} {part}")
}

/// A line as a shipper posts it, which names the instance that it read.
fn shipped(instance: &str, log: &str) -> String {
    serde_json::json!({ "log": log, "kubernetes": { "pod_name": instance } }).to_string() + "\n"
}

#[tokio::test]
async fn parts_of_a_line_are_joined_per_instance_and_stream_however_they_interleave() {
    let (app, journal) = app();
    let (begin, end) = parts();
    let other = WHOLE.replace("ann", "ben");
    let (other_begin, other_end) = other.split_at(70);
    let interleaved = [
        shipped("a", &cri("P", begin)),
        shipped("b", &cri("P", other_begin)),
        shipped("a", &cri("F", "err").replace("stdout", "stderr")),
        shipped("b", &cri("F", other_end)),
        shipped("a", &cri("F", end)),
    ];
    assert_eq!(send(&app, lines(interleaved.concat())).await.0, 200);
    let kept = journal.take();
    let of: Vec<_> = kept.iter().filter(|(header, _)| header.payload == Payload::BackstageLine).collect();
    let [(first, b), (second, a)] = of.as_slice() else { panic!("{kept:?}") };
    assert_eq!((b.as_slice(), a.as_slice()), (other.as_bytes(), WHOLE.as_bytes()));
    let instance = |header: &ReceiptHeader| header.line.clone().unwrap().instance;
    assert_eq!((instance(first).as_str(), instance(second).as_str()), ("b", "a"));
}

#[tokio::test]
async fn parts_in_different_deliveries_or_instances_are_never_joined_nor_lost_in_silence() {
    let (begin, end) = parts();
    let padding = "y".repeat(16 * 1024);
    let docker_begin = format!("{}{padding}", WHOLE.strip_suffix("}}").unwrap().to_owned() + ",\"x\":\"");
    let docker =
        |log: &str| serde_json::json!({ "log": log, "stream": "stdout", "time": "2026-11-23T21:24:51Z" }).to_string();
    let cases = [
        (cri("P", begin), cri("F", end)),
        (docker(&docker_begin), docker("\"}}\n")),
        (shipped("a", &cri("P", begin)), shipped("b", &cri("F", end))),
    ];
    for (first, second) in cases {
        let (app, journal) = app();
        let together = format!("{}\n{}\n", first.trim_end(), second.trim_end());
        assert_eq!(send(&app, lines(together)).await.0, 200);
        let joined = journal.take().iter().any(|(header, _)| header.payload == Payload::BackstageLine);
        assert_eq!(joined, !first.contains("pod_name"), "parts of one instance in one delivery are one line");

        for (part, dead) in [(&first, true), (&second, false)] {
            assert_eq!(send(&app, lines(part.clone())).await.0, 200, "authentic, so taken");
            let kept = journal.take();
            let [(header, body)] = kept.as_slice() else { panic!("{kept:?}") };
            let expected = if dead { Payload::Unparsable } else { Payload::LineCounts };
            assert_eq!(header.payload, expected, "{part}");
            assert!(
                !String::from_utf8_lossy(body).contains("user:default/ann"),
                "a part cannot be redacted, so it is not kept"
            );
        }
        assert_eq!(send(&app, lines(WHOLE)).await.0, 200);
        assert_eq!(journal.take()[0].1, WHOLE.as_bytes(), "nothing is left over");
    }
}
