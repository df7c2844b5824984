//! Listeners and loggers of other makes, through the real intake: over a socket, proven by HTTP Basic, into the real journal, and out of
//! it as events. One event, an array, NDJSON; the audit log of Red Hat's and Janus' older Backstage.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use base64::{Engine, engine::general_purpose::STANDARD};
use collector::{
    config::{BackstageAuth, Basic, KeycloakAuth, Limits, Secret, Source, SourceAuth},
    server::Server,
};
use durable_log::{Entry, Journal, Options, ReadLimits, Sealed};
use events::{
    event::{Event, Outcome},
    ids::{Position, StreamId},
    normalise::{Context, Ignored, Normalised, normalise},
    receipt::{Input, Receipt, ReceiptHeader},
};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use support::{intake_of, key, sample};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const USER: &str = "listener";
const PASSWORD: &str = "password-of-these-tests";

fn opening(_: &[u8; 16], _: Option<&Sealed>) -> Entry {
    Entry { header: b"{}".to_vec(), body: b"{}".to_vec() }
}

/// An intake of one Keycloak and one Backstage that prove themselves by HTTP Basic alone, over the real journal.
struct Running {
    address: SocketAddr,
    journal: Journal,
    _folder: tempfile::TempDir,
}

impl Running {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(Options::new(folder.path()), opening).unwrap();
        let basic = || vec![Basic { user: USER.into(), password: Secret::new(PASSWORD) }];
        let keycloak = KeycloakAuth { basic: basic(), ..KeycloakAuth::default() };
        let backstage = BackstageAuth { basic: basic(), ..BackstageAuth::default() };
        let source = |id: &str, kind| Source { id: id.into(), kind, zone: "UTC".into() };
        let sources =
            [source("kc", SourceAuth::Keycloak(keycloak)), source("portal", SourceAuth::Backstage(backstage))];
        let (routes, metrics) = intake_of(&sources, Arc::new(journal.clone()), Limits::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server =
            Server { listener, routes, tls: None, clients: None, limits: Limits::default(), metrics: Some(metrics) };
        tokio::spawn(server.serve(std::future::pending(), Duration::ZERO));
        Self { address, journal, _folder: folder }
    }

    /// Posts a body with a password; the status of the answer.
    async fn post(&self, path: &str, password: &str, body: &str) -> u16 {
        let proof = STANDARD.encode(format!("{USER}:{password}"));
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Basic {proof}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// What the journal holds from a record on, normalised.
    fn from(&self, first: u64) -> Vec<(ReceiptHeader, Normalised)> {
        let batch = self.journal.read(first, ReadLimits { records: 100_000, bytes: 64 << 20 }).unwrap();
        let normalised = |record: &durable_log::Record| {
            let header = ReceiptHeader::from_bytes(&record.header).unwrap();
            let position = Position { stream: StreamId(record.stream), seq: record.seq };
            let receipt = Receipt { position, header: header.clone(), body: record.body.to_vec() };
            (header, normalise(&receipt, &Context { key: key() }))
        };
        batch.records.iter().map(normalised).collect()
    }
}

fn events(all: Vec<(ReceiptHeader, Normalised)>, way: Input) -> Vec<Event> {
    let each = all.into_iter().flat_map(|(header, normalised)| {
        assert_eq!(header.input, way);
        match normalised {
            Normalised::Events(events) => events,
            other => panic!("{}: {other:?}", header.native_id),
        }
    });
    // One event each; what follows it says who got or lost what.
    each.filter(|event| event.ordinal == 0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_events_by_basic_in_every_form_are_the_events_of_the_realm() {
    let running = Running::start().await;
    let user: Vec<Value> = serde_json::from_str(&sample("pair/keycloak-events.json")).unwrap();
    let admin: Vec<Value> = serde_json::from_str(&sample("pair/keycloak-admin-events.json")).unwrap();
    let all: Vec<&Value> = user.iter().chain(&admin).collect();
    assert!(user.len() > 50 && admin.len() >= 10);
    let one_by_one: Vec<String> = all.iter().map(|event| event.to_string()).collect();
    let array = [serde_json::to_string_pretty(&user).unwrap(), serde_json::to_string(&admin).unwrap()];
    let ndjson = one_by_one.chunks(400).map(|some| some.join("\n") + "\n").collect::<Vec<_>>();
    let forms: [&[String]; 3] = [&one_by_one, &array, &ndjson];
    let said = |event: &Event| (event.event_id, event.native_id.clone(), event.native_type.clone(), event.kind.clone());
    let mut first = None;
    for bodies in forms {
        let from = running.journal.durable_end();
        assert_eq!(running.post("/v1/keycloak/kc", "not-the-password", &bodies[0]).await, 401);
        assert_eq!(running.journal.durable_end(), from, "nothing of it is kept");
        for body in bodies {
            assert_eq!(running.post("/v1/keycloak/kc", PASSWORD, body).await, 200);
        }
        let found: Vec<_> = events(running.from(from), Input::Webhook).iter().map(said).collect();
        let ids: Vec<&str> = found.iter().map(|one| one.1.as_str()).collect();
        let sent: Vec<&str> = all.iter().map(|event| event["id"].as_str().unwrap()).collect();
        assert_eq!(ids, sent, "each is one receipt, in order");
        let types: Vec<String> = all.iter().map(|event| native_type(event)).collect();
        assert_eq!(found.iter().map(|one| one.2.clone()).collect::<Vec<_>>(), types);
        assert!(*first.get_or_insert_with(|| found.clone()) == found, "the same events in every form");
    }
    assert_eq!(running.post("/v1/backstage/kc", PASSWORD, "x").await, 401, "a Keycloak's password is no Backstage's");
}

fn native_type(event: &Value) -> String {
    let text = |key: &str| event[key].as_str().unwrap_or_default();
    match event["type"].as_str() {
        Some(user) => user.to_owned(),
        None => format!("{}-{}", text("resourceType"), text("operationType")),
    }
}

/// A line as the legacy logger writes it: whole request and response bodies, PascalCase names, stages.
fn legacy(name: &str, stage: &str, more: &Value) -> Value {
    let mut line = json!({
        "isAuditLog": true, "level": "info", "service": "backstage", "message": format!("{name} {stage}"),
        "timestamp": "2026-11-23 21:24:51", "plugin": "permission", "eventName": name, "stage": stage, "status": "succeeded",
        "actor": {"actorId": "user:default/ann", "ip": "10.0.0.7", "hostname": "localhost", "userAgent": "curl/8"},
        "request": {"method": "POST", "url": "/api/permission/authorize?token=SECRET-IN-A-QUERY", "params": {}, "query": {},
            "body": {"password": "SECRET-IN-A-BODY"}},
        "response": {"status": 200, "body": {"token": "SECRET-IN-AN-ANSWER"}},
        "meta": {},
    });
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn legacy_audit_lines_become_events_and_their_bodies_are_not_kept() {
    let running = Running::start().await;
    let decision = |result: &str| {
        json!({"meta": {"userEntityRef": "user:default/ann", "permissionName": "catalog.entity.delete", "action": "delete",
            "decision": {"result": result, "pluginId": "catalog", "resourceType": "catalog-entity", "extra": {"x": "SECRET-BESIDE-IT"},
                "conditions": {"rule": "IS_ENTITY_OWNER", "resourceType": "catalog-entity", "params": {"claims": ["group:default/ops"]}}}}})
    };
    let failed = json!({"plugin": "scaffolder", "status": "failed",
        "errors": [{"name": "NotAllowedError", "message": "not allowed", "stack": "at index.js"}]});
    let lines = [
        legacy("PermissionEvaluationStarted", "initiation", &decision("ALLOW")),
        legacy("PermissionEvaluationCompleted", "evaluatePermissionAccess", &decision("ALLOW")),
        legacy("PermissionEvaluationCompleted", "evaluatePermissionAccess", &decision("DENY")),
        legacy("PermissionEvaluationCompleted", "evaluatePermissionAccess", &decision("CONDITIONAL")),
        legacy("ScaffolderTaskCreation", "completion", &failed),
    ];
    for body in [
        lines.iter().map(|line| line.to_string() + "\n").collect::<String>(),
        serde_json::to_string(&lines).unwrap(),
        lines.iter().map(|line| format!("2026-11-23T21:24:51.255972Z stdout F {line}\n")).collect(),
    ] {
        let from = running.journal.durable_end();
        assert_eq!(running.post("/v1/backstage/portal", PASSWORD, &body).await, 200);
        let mut found = running.from(from);
        let (_, started) = found.remove(0);
        assert_eq!(started, Normalised::Ignored(Ignored::Initiated));
        let found = events(found, Input::Lines);
        let said: Vec<_> =
            found.iter().map(|e| (e.kind.as_str(), e.outcome, e.permission.as_str(), e.action.as_str())).collect();
        assert_eq!(
            said,
            [
                ("decision", Outcome::Allow, "catalog.entity.delete", "delete"),
                ("decision", Outcome::Deny, "catalog.entity.delete", "delete"),
                ("decision", Outcome::Conditional, "catalog.entity.delete", "delete"),
                ("scaffolder_task", Outcome::Failure, "", "create"),
            ]
        );
        assert_eq!(
            (found[2].owner_refs.as_slice(), found[2].resource_kind.as_str()),
            (&["group:default/ops".to_owned()][..], "catalog-entity")
        );
        assert_eq!((found[3].error.as_str(), found[3].actor_name.as_str()), ("NotAllowedError", "user:default/ann"));
        let kept = running.journal.read(from, ReadLimits { records: 100, bytes: 1 << 20 }).unwrap();
        for record in &kept.records {
            assert!(
                !String::from_utf8_lossy(&record.body).contains("SECRET"),
                "{}",
                String::from_utf8_lossy(&record.body)
            );
        }
    }
}
