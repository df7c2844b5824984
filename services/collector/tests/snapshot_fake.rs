//! Snapshots over HTTP against a server of the tests' own: what a real Keycloak cannot be made to do (100,000 users at will,
//! 429, a token that is gone in the middle, 500, no answer), and the memory that it takes, as the operating system counts it.
#![allow(clippy::unwrap_used)] // a test may panic

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use collector::{
    pull::{Append, Appending, Limits, Realm, Received, Secret, Source},
    snapshot::{Extent, From, Order, Report, Settings, Surroundings, Taker},
};
use events::{
    person::DeploymentKey,
    receipt::Payload,
    snapshot::{Area, Trigger},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::Path as FilePath,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use trust::Trust;

/// Groups of the realm; every user is in three.
const GROUPS: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    TooMany,
    TokenGone,
    Error,
    Hangs,
}

struct Server {
    users: usize,
    requests: AtomicUsize,
    tokens: AtomicUsize,
    faults: Mutex<BTreeMap<usize, Fault>>,
    most: AtomicUsize,
}

type Shared = State<Arc<Server>>;

impl Server {
    async fn start(users: usize) -> (String, Arc<Self>) {
        let server = Arc::new(Self {
            users,
            requests: AtomicUsize::new(0),
            tokens: AtomicUsize::new(0),
            faults: Mutex::default(),
            most: AtomicUsize::new(0),
        });
        let routes = Router::new()
            .route("/realms/acme/protocol/openid-connect/token", post(token))
            .route(
                "/admin/realms/acme",
                get(async |state: Shared, headers: HeaderMap| answer(state, headers, "", BTreeMap::new()).await),
            )
            .route(
                "/admin/realms/acme/{*path}",
                get(
                    async |state: Shared,
                           headers: HeaderMap,
                           Path(path): Path<String>,
                           Query(query): Query<BTreeMap<String, String>>| {
                        answer(state, headers, &path, query).await
                    },
                ),
            )
            .with_state(Arc::clone(&server));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (url, server)
    }

    fn user(n: usize) -> Value {
        json!({"id": format!("00000000-0000-4000-8000-{n:012}"), "username": format!("user{n:06}"), "enabled": true,
            "firstName": format!("First{n}"), "lastName": format!("Last{n}"), "email": format!("user{n:06}@acme.example"),
            "emailVerified": true, "createdTimestamp": 1_795_467_015_979_i64 + n as i64})
    }

    fn page(&self, path: &[&str], (first, max): (usize, usize)) -> Option<Value> {
        self.most.fetch_max(max, Ordering::SeqCst);
        let users = |numbers: &mut dyn Iterator<Item = usize>| numbers.skip(first).take(max).map(Self::user).collect();
        Some(match path {
            [""] => json!({"id": "r", "realm": "acme", "accessTokenLifespan": 300}),
            ["events", "config"] => json!({"eventsEnabled": true}),
            ["clients"] => json!([{"id": "c1", "clientId": "account"}]),
            ["groups"] => (0..GROUPS)
                .skip(first)
                .take(max)
                .map(
                    |n| json!({"id": format!("g{n}"), "name": format!("group{n:03}"), "path": format!("/group{n:03}")}),
                )
                .collect(),
            ["users"] => users(&mut (0..self.users)),
            ["groups", group, "members"] => {
                let group: usize = group.strip_prefix('g')?.parse().ok()?;
                let member = |n: &usize| (0..3).any(|k| (n + k * 7) % GROUPS == group);
                users(&mut (0..self.users).filter(member))
            }
            _ => json!([]),
        })
    }
}

async fn token(State(server): Shared) -> Response {
    let n = server.tokens.fetch_add(1, Ordering::SeqCst) + 1;
    Json(json!({"access_token": format!("token-{n}"), "expires_in": 3600})).into_response()
}

async fn answer(State(server): Shared, headers: HeaderMap, path: &str, query: BTreeMap<String, String>) -> Response {
    let number = server.requests.fetch_add(1, Ordering::SeqCst) + 1;
    let fault = server.faults.lock().unwrap().remove(&number);
    match fault {
        Some(Fault::TooMany) => return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")]).into_response(),
        Some(Fault::TokenGone) => drop(server.tokens.fetch_add(1, Ordering::SeqCst)),
        Some(Fault::Error) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Some(Fault::Hangs) => std::future::pending().await,
        None => {}
    }
    let good = format!("Bearer token-{}", server.tokens.load(Ordering::SeqCst));
    if headers[header::AUTHORIZATION] != good.as_str() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let number = |name: &str, unsaid| query.get(name).and_then(|value| value.parse().ok()).unwrap_or(unsaid);
    // The endpoints' own default.
    let page = (number("first", 0), number("max", 100));
    match server.page(&path.split('/').collect::<Vec<_>>(), page) {
        Some(page) => Json(page).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[derive(Default)]
struct Counted {
    entities: AtomicU64,
    bytes: AtomicU64,
}

impl Append for Counted {
    fn append(&self, receipts: Vec<Received>) -> Appending<'_> {
        for one in receipts {
            self.bytes.fetch_add(one.body.len() as u64, Ordering::SeqCst);
            self.entities.fetch_add(u64::from(one.header.payload == Payload::SnapshotEntity), Ordering::SeqCst);
        }
        Box::pin(async { Ok(()) })
    }
}

async fn take(url: &str, dir: &FilePath) -> (Report, Arc<Counted>) {
    let realm = Realm {
        name: "acme".into(),
        login_realm: None,
        client_id: "tokentrail".into(),
        client_secret: Secret::new("s"),
    };
    let limits = Limits { requests_per_second: 100_000, timeout: Duration::from_secs(2), ..Limits::default() };
    let source = Source {
        tenant: "default".into(),
        source_id: "keycloak".into(),
        base_url: url.into(),
        trust: Trust::system(),
        realms: vec![realm],
        limits,
        cursors: dir.to_owned(),
        listener: None,
    };
    let counted = Arc::new(Counted::default());
    let append: Arc<dyn Append> = Arc::<Counted>::clone(&counted);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let around = Surroundings { append, key: DeploymentKey::new([7; 32]), now: Arc::new(now) };
    let settings = Settings { patience: vec![Duration::from_millis(10); 3], ..Settings::new(dir.to_owned()) };
    let taker = Taker::open(&From::Keycloak(source), settings, around).unwrap();
    let report = taker.take(Order { trigger: Trigger::Demand, extent: Extent::Changes }).await.unwrap();
    (report, counted)
}

/// A figure of this process, MiB, as the operating system counts it.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test]
async fn many_users_take_bounded_memory_and_no_request_longer_than_a_page() {
    // The goal is for 100,000; fewer in the suite, more by environment.
    let users = std::env::var("TOKENTRAIL_SNAPSHOT_USERS").ok().and_then(|users| users.parse().ok()).unwrap_or(10_000);
    let dir = tempfile::tempdir().unwrap();
    let (url, server) = Server::start(users).await;
    let began = std::time::Instant::now();
    let (first, counted) = take(&url, dir.path()).await;
    let took = began.elapsed();
    assert!(first.end.complete, "{:?}", first.end);
    let entities = |area| first.end.areas.iter().find(|end| end.area == area).unwrap().entities;
    assert_eq!((entities(Area::Users), entities(Area::Members)), (users as u64, 3 * users as u64));
    assert_eq!(server.most.load(Ordering::SeqCst), 500);
    let requests = server.requests.load(Ordering::SeqCst);
    let bytes = counted.bytes.load(Ordering::SeqCst);
    let began = std::time::Instant::now();
    let (second, counted) = take(&url, dir.path()).await;
    assert!(second.end.complete);
    assert_eq!(
        counted.entities.load(Ordering::SeqCst),
        1,
        "nothing changed, and what is recorded is told all the same"
    );
    let peak = memory("VmHWM:");
    println!(
        "{users} users: {requests} requests, {} MiB of receipts, {took:.1?}, a second one {:.1?} and {} MiB; peak {peak} MiB",
        bytes >> 20,
        began.elapsed(),
        counted.bytes.load(Ordering::SeqCst) >> 20
    );
    assert!(peak <= 500, "{peak} MiB");
}

#[tokio::test]
async fn faults_in_the_middle_are_met_with_patience() {
    let dir = tempfile::tempdir().unwrap();
    let (url, server) = Server::start(1_200).await;
    *server.faults.lock().unwrap() =
        [(4, Fault::Error), (7, Fault::TokenGone), (9, Fault::TooMany), (14, Fault::Hangs), (20, Fault::Error)].into();
    let (report, counted) = take(&url, dir.path()).await;
    assert!(report.end.complete, "{:?}", report.end);
    assert!(server.faults.lock().unwrap().is_empty(), "a fault was not met");
    let expected: u64 = report.end.areas.iter().map(|end| end.entities).sum();
    assert_eq!(counted.entities.load(Ordering::SeqCst), expected, "nothing twice, nothing lost");
}
