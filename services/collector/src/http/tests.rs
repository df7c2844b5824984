//! The routes, in process: answers, bounds, and that nothing is answered 2xx without an append.

#[path = "described.rs"]
mod described;

use super::*;
use crate::{
    config::{BackstageAuth, KeycloakAuth, Limits, Secret, Source, SourceAuth},
    journal::Later,
    verify::jwks::NoKeys,
};
use axum::http::StatusCode;
use events::{
    ids::StreamId,
    person::DeploymentKey,
    receipt::{Payload, ReceiptHeader},
};
use hmac::{Hmac, KeyInit, Mac};
use std::sync::Mutex;
use tower::ServiceExt;

const SECRET: &str = "whsec-of-these-tests";
const TOKEN: &str = "token-of-these-tests";

#[derive(Default)]
struct Memory {
    entries: Mutex<Vec<Entry>>,
    refuse: Mutex<Option<AppendError>>,
}

impl Append for Memory {
    fn append(&self, new: Vec<Entry>) -> Later<'_, Result<Appended, AppendError>> {
        Box::pin(async move {
            if let Some(error) = *self.refuse.lock().unwrap() {
                return Err(error);
            }
            let mut entries = self.entries.lock().unwrap();
            let appended = Appended {
                stream: StreamId([1; 16]),
                first_seq: entries.len() as u64,
                count: u32::try_from(new.len()).unwrap(),
            };
            entries.extend(new);
            Ok(appended)
        })
    }

    fn can_append(&self) -> bool {
        true
    }
}

impl Memory {
    fn headers(&self) -> Vec<ReceiptHeader> {
        self.entries.lock().unwrap().iter().map(|entry| ReceiptHeader::from_bytes(&entry.header).unwrap()).collect()
    }
}

fn app_with(limits: Limits) -> (Router, Arc<Memory>) {
    let token = || vec![Secret::new(TOKEN)];
    let keycloak = KeycloakAuth { hmac: vec![Secret::new(SECRET)], bearer: token(), ..Default::default() };
    let backstage = BackstageAuth { bearer: token(), ..Default::default() };
    let sources = [
        Source { id: "kc".into(), kind: SourceAuth::Keycloak(keycloak), zone: "UTC".into() },
        Source { id: "portal".into(), kind: SourceAuth::Backstage(backstage), zone: "UTC".into() },
    ];
    let verifier = Verifier::new(&sources, Arc::new(NoKeys)).unwrap();
    let metrics = Arc::new(Metrics::new(&prometheus::Registry::new(), verifier.sources()).unwrap());
    let receiver = Receiver::new("default", DeploymentKey::new([9; 32]), [2; 8], limits);
    let journal = Arc::new(Memory::default());
    let intake = Intake { verifier, receiver, journal: journal.clone(), metrics, clock: || 1_795_467_054_000 };
    (router(intake), journal)
}

fn app() -> (Router, Arc<Memory>) {
    app_with(Limits::default())
}

fn sign(body: &[u8]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

fn webhook(body: &str) -> Request {
    let request = Request::post("/v1/keycloak/kc").header("x-keycloak-signature", sign(body.as_bytes()));
    request.body(Body::from(body.to_owned())).unwrap()
}

fn lines() -> axum::http::request::Builder {
    Request::post("/v1/backstage/portal").header("authorization", format!("Bearer {TOKEN}"))
}

async fn send(app: &Router, request: Request) -> (StatusCode, HeaderMap, String) {
    let answer = app.clone().oneshot(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_signed_event_is_appended_as_it_came() {
    let (app, journal) = app();
    let body = r#"{"id":"b2c0fa55","uid":"a705f966","type":"access.LOGIN","time":1}"#;
    let (status, _, answer) = send(&app, webhook(body)).await;
    assert_eq!(status, 200);
    assert_eq!(answer, r#"{"stream":"01010101010101010101010101010101","first_seq":0,"count":1,"dead":0}"#);
    assert_eq!(journal.entries.lock().unwrap()[0].body, body.as_bytes());
    let header = &journal.headers()[0];
    assert_eq!((header.payload, header.input), (Payload::KeycloakWebhook, Input::Webhook));
    // Told by its own id: the key of its delivery is in the body alone.
    assert_eq!((header.native_id.as_str(), header.delivery_keyed), ("b2c0fa55", false));
    assert!(!header.delivery_id.is_empty() && header.delivery_id != "a705f966");
}

#[tokio::test]
async fn an_event_without_an_id_is_told_by_the_key_of_its_delivery() {
    let (app, journal) = app();
    let (status, ..) = send(&app, webhook(r#"{"uid":"a705f966","type":"access.LOGIN","time":1}"#)).await;
    assert_eq!(status, 200);
    let header = &journal.headers()[0];
    assert_eq!((header.native_id.as_str(), header.delivery_id.as_str(), header.delivery_keyed), ("", "a705f966", true));
}

#[tokio::test]
async fn refusals_are_problems_and_echo_nothing() {
    let (app, journal) = app();
    let canary = "canary-in-the-body";
    let request = |path: &str| Request::post(path).header("x-keycloak-signature", sign(b"x"));
    let bad = |path: &str| request(path).body(Body::from(canary)).unwrap();
    let (status, _, unsigned) = send(&app, bad("/v1/keycloak/kc")).await;
    let (unknown_status, headers, unknown) = send(&app, bad("/v1/keycloak/nobody")).await;
    assert_eq!((status, &unsigned), (unknown_status, &unknown), "unknown source and bad signature look alike");
    assert_eq!(
        (status.as_u16(), &headers["content-type"]),
        (401, &HeaderValue::from_static("application/problem+json"))
    );
    let bearer = || Request::post("/v1/backstage/portal").header("authorization", format!("Bearer {TOKEN}"));
    for (request, status) in [
        (bad("/v1/keycloak/portal"), 401),
        (bad("/v1/backstage/portal"), 401),
        (bad("/v2/keycloak/kc"), 404),
        (Request::get("/v1/keycloak/kc").body(Body::empty()).unwrap(), 405),
        (bearer().header("content-type", "application/x-protobuf").body(Body::from(canary)).unwrap(), 415),
        (bearer().header("content-encoding", "br").body(Body::from(canary)).unwrap(), 415),
        (bearer().header("content-encoding", "gzip").body(Body::from(canary)).unwrap(), 400),
        (bearer().header("content-length", "99999999").body(Body::from(canary)).unwrap(), 413),
        (bearer().header("x-tokentrail-input", "operator").body(Body::from(canary)).unwrap(), 401),
    ] {
        let (got, _, answer) = send(&app, request).await;
        assert_eq!(got, status, "{answer}");
        let problem: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().unwrap().len() > 10 && !answer.contains(canary));
    }
    assert!(journal.headers().is_empty());
}

#[tokio::test]
async fn a_journal_that_cannot_take_is_503_with_retry() {
    let (app, journal) = app();
    for (error, status) in [(AppendError::Full, 503), (AppendError::Stopped, 503), (AppendError::TooLarge, 413)] {
        *journal.refuse.lock().unwrap() = Some(error);
        let (got, headers, _) = send(&app, webhook(r#"{"type":"access.LOGIN"}"#)).await;
        assert_eq!(got, status);
        assert_eq!(headers.contains_key("retry-after"), status == 503);
    }
}

#[tokio::test]
async fn what_is_proven_but_not_understood_is_a_dead_letter_and_2xx() {
    let (app, journal) = app();
    for (body, payload) in
        [("hunter2 not json", Payload::Unparsable), (r#"{"a":1}"#, Payload::Unknown), ("", Payload::Unparsable)]
    {
        let (status, _, answer) = send(&app, webhook(body)).await;
        assert_eq!(status, 200);
        assert!(answer.contains(r#""dead":1"#));
        assert_eq!(journal.headers().last().unwrap().payload, payload);
    }
    assert!(
        journal.entries.lock().unwrap().iter().all(|entry| !String::from_utf8_lossy(&entry.body).contains("hunter2"))
    );
}

#[tokio::test]
async fn bodies_over_a_limit_are_413_before_and_after_inflating() {
    let small = Limits { keycloak_bytes: 100, backstage_inflated_bytes: 1000, backstage_lines: 3, ..Limits::default() };
    let (app, journal) = app_with(small);
    let (status, _, _) = send(&app, webhook(&"x".repeat(101))).await;
    assert_eq!(status, 413);
    let bomb = zstd::encode_all(vec![b' '; 100_000].as_slice(), 3).unwrap();
    let (status, _, _) = send(&app, lines().header("content-encoding", "zstd").body(Body::from(bomb)).unwrap()).await;
    assert_eq!(status, 413);
    let (status, _, _) = send(&app, lines().body(Body::from("a\nb\nc\nd\n")).unwrap()).await;
    assert_eq!(status, 413);
    assert!(journal.headers().is_empty());
    let (status, _, _) = send(&app, lines().body(Body::from("a\nb\nc\n")).unwrap()).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn import_snapshot_and_close_need_a_token_of_the_source() {
    let (app, journal) = app();
    let event = r#"{"id":"1","time":1,"type":"LOGIN","realmId":"r"}"#;
    let import = |request: axum::http::request::Builder| {
        request
            .header("x-tokentrail-input", "import")
            .header("idempotency-key", "file-7")
            .body(Body::from(event))
            .unwrap()
    };
    let bearer = |path: &str| Request::post(path).header("authorization", format!("Bearer {TOKEN}"));
    let (status, _, _) = send(&app, import(bearer("/v1/keycloak/kc"))).await;
    assert_eq!(status, 200);
    let signed = Request::post("/v1/keycloak/kc").header("x-keycloak-signature", sign(event.as_bytes()));
    assert_eq!(send(&app, import(signed)).await.0, 401);

    let state =
        r#"{"read_at": 1.5, "entities": [{"kind":"User","ref":"default/ann","keycloak_id":"1","relations":[]}]}"#;
    let (status, _, _) =
        send(&app, bearer("/v1/snapshot/backstage-catalog/portal").body(Body::from(state)).unwrap()).await;
    assert_eq!(status, 200);

    let claim =
        r#"{"input":"import","watermark":5,"claim":{"from":1,"to":5,"scopes":["acme"],"holds":["user_events"]}}"#;
    let close = r#"{"input":"import","watermark":1795467053537}"#;
    assert_eq!(send(&app, bearer("/v1/close/kc").body(Body::from(close)).unwrap()).await.0, 200);
    assert_eq!(send(&app, Request::post("/v1/close/kc").body(Body::from(close)).unwrap()).await.0, 401);
    assert_eq!(send(&app, bearer("/v1/close/kc").body(Body::from(claim)).unwrap()).await.0, 200);
    for bad in [
        "{}".to_owned(),
        r#"{"input":"operator","watermark":1}"#.to_owned(),
        r#"{"input":"pull","watermark":1}"#.to_owned(),
        r#"{"input":"kafka","watermark":1}"#.to_owned(),
        r#"{"input":"lines","watermark":4102444800000}"#.to_owned(),
        r#"{"input":"import","watermark":1795467054001}"#.to_owned(),
        r#"{"input":"import","watermark":"1"}"#.to_owned(),
        claim.replace("import", "webhook"),
        claim.replace("user_events", "lines"),
        claim.replace("\"from\":1", "\"from\":5"),
        claim.replace("acme", ""),
        claim.replace("holds", "held"),
    ] {
        assert_eq!(send(&app, bearer("/v1/close/kc").body(Body::from(bad.clone())).unwrap()).await.0, 422, "{bad}");
    }

    let seen: Vec<_> = journal.headers().into_iter().map(|header| (header.input, header.payload)).collect();
    assert_eq!(
        seen,
        [
            (Input::Import, Payload::KeycloakEvent),
            (Input::Snapshot, Payload::BackstageCatalogSnapshot),
            (Input::Collector, Payload::InputClosed),
            (Input::Collector, Payload::InputClosed),
        ]
    );
    let first = &journal.headers()[0];
    assert_eq!((first.delivery_id.as_str(), first.delivery_keyed), ("file-7", true));
    let entries = journal.entries.lock().unwrap();
    assert_eq!((&*entries[2].body, &*entries[3].body), (close.as_bytes(), claim.as_bytes()));
}

#[tokio::test]
async fn a_source_that_is_no_text_is_an_unknown_one_and_counted() {
    let (app, journal) = app();
    for path in ["/v1/keycloak/%FF", "/v1/backstage/%C3%28", "/v1/snapshot/backstage-catalog/%FF", "/v1/close/%FF"] {
        let request = |path: &str| {
            let head = Request::post(path).header("authorization", format!("Bearer {TOKEN}"));
            head.body(Body::from("{}")).unwrap()
        };
        let unknown = path.rsplit_once('/').unwrap().0.to_owned() + "/nobody";
        let (status, headers, answer) = send(&app, request(path)).await;
        assert_eq!(
            (status, headers["content-type"].to_str().unwrap()),
            (StatusCode::UNAUTHORIZED, "application/problem+json")
        );
        assert_eq!(answer, send(&app, request(&unknown)).await.2, "{path}");
    }
    assert!(journal.headers().is_empty());
}
