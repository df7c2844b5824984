//! What the tests share: an intake over memory, recorded samples, signing.
#![allow(dead_code, reason = "each test file uses a part")]

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use collector::{
    config::{BackstageAuth, KeycloakAuth, Limits, Secret, Source, SourceAuth},
    http::{Intake, router},
    journal::{Append, AppendError, Appended, Entry, Later},
    metrics::Metrics,
    receive::Receiver,
    verify::{Verifier, jwks::NoKeys},
};
use events::{ids::StreamId, person::DeploymentKey, receipt::ReceiptHeader};
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::BodyExt;
use std::{
    io::Read,
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tower::ServiceExt;

pub const TOKEN: &str = "token-of-these-tests";
pub const SECRETS: [&str; 2] = ["whsec-acme-recorded-0001", "whsec-pair-0001"];
pub const NOW: i64 = 1_795_467_054_000;

#[derive(Default)]
pub struct Memory(pub Mutex<Vec<Entry>>);

impl Append for Memory {
    fn append(&self, new: Vec<Entry>) -> Later<'_, Result<Appended, AppendError>> {
        Box::pin(async move {
            let mut entries = self.0.lock().unwrap();
            let (first_seq, count) = (entries.len() as u64, u32::try_from(new.len()).unwrap());
            entries.extend(new);
            Ok(Appended { stream: StreamId([1; 16]), first_seq, count })
        })
    }

    fn can_append(&self) -> bool {
        true
    }
}

impl Memory {
    pub fn take(&self) -> Vec<(ReceiptHeader, Vec<u8>)> {
        let entries = std::mem::take(&mut *self.0.lock().unwrap());
        entries.into_iter().map(|entry| (ReceiptHeader::from_bytes(&entry.header).unwrap(), entry.body)).collect()
    }
}

pub fn key() -> DeploymentKey {
    DeploymentKey::new([9; 32])
}

pub fn sources() -> Vec<Source> {
    let bearer = || vec![Secret::new(TOKEN)];
    let hmac = SECRETS.iter().map(|secret| Secret::new(*secret)).collect();
    let keycloak = KeycloakAuth { hmac, bearer: bearer(), ..Default::default() };
    let backstage = BackstageAuth { bearer: bearer(), ..Default::default() };
    vec![
        Source { id: "kc".into(), kind: SourceAuth::Keycloak(keycloak), zone: "UTC".into() },
        Source { id: "portal".into(), kind: SourceAuth::Backstage(backstage), zone: "UTC".into() },
    ]
}

pub fn intake(journal: Arc<dyn Append>, limits: Limits) -> (Router, Arc<Metrics>) {
    intake_of(&sources(), journal, limits)
}

pub fn intake_of(sources: &[Source], journal: Arc<dyn Append>, limits: Limits) -> (Router, Arc<Metrics>) {
    let verifier = Verifier::new(sources, Arc::new(NoKeys)).unwrap();
    let metrics = Arc::new(Metrics::new(&prometheus::Registry::new(), verifier.sources()).unwrap());
    let receiver = Receiver::new("default", key(), [2; 8], limits);
    let intake = Intake { verifier, receiver, journal, metrics: metrics.clone(), clock: || NOW };
    (router(intake), metrics)
}

pub fn app() -> (Router, Arc<Memory>) {
    let journal = Arc::new(Memory::default());
    (intake(journal.clone(), Limits::default()).0, journal)
}

pub fn sample(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../schemas/samples").join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if !name.ends_with(".gz") {
        return String::from_utf8(bytes).unwrap();
    }
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    text
}

/// Recorded deliveries: signature and body.
pub fn recorded(name: &str) -> Vec<(String, String)> {
    let delivery = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let signature = value["headers"]["X-Keycloak-Signature"].as_str().unwrap().to_owned();
        (signature, value["body"].as_str().unwrap().to_owned())
    };
    sample(name).lines().map(delivery).collect()
}

pub fn sign(body: &[u8]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRETS[0].as_bytes()).unwrap();
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

pub fn webhook(signature: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post("/v1/keycloak/kc").header("x-keycloak-signature", signature).body(body.into()).unwrap()
}

pub fn lines(body: impl Into<Body>) -> Request<Body> {
    let request = Request::post("/v1/backstage/portal").header("authorization", format!("Bearer {TOKEN}"));
    request.body(body.into()).unwrap()
}

pub async fn send(app: &Router, request: Request<Body>) -> (StatusCode, String) {
    let answer = app.clone().oneshot(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, String::from_utf8_lossy(&body).into_owned())
}
