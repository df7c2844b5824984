//! A small Keycloak for tests: answers as section 4 of the Admin REST API does, and fails when told to.

use super::{Append, Appending, Limits, NotAppended, Realm, Received, Secret, Source, Surroundings};
use crate::server::{Server, tls::Certificate};
use axum::{
    Router,
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, Response, header},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    path::Path as FilePath,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use trust::Trust;

/// What the next request for events meets instead of an answer.
pub(super) enum Fault {
    Status(u16),
    /// The token is no longer good; a new login helps.
    TokenGone,
    Hangs,
    Body(&'static str),
    /// Done after the page is served.
    Then(Box<dyn FnOnce(&mut World) + Send>),
}

/// What the fake knows.
pub(super) struct World {
    pub user: Vec<(i64, String)>,
    pub admin: Vec<(i64, String)>,
    pub config: Value,
    pub config_status: u16,
    pub login_status: u16,
    pub events_status: u16,
    pub faults: VecDeque<Fault>,
    pub date: &'static str,
    pub pages: Vec<BTreeMap<String, String>>,
    pub logins: u32,
    /// Requests of any kind.
    pub requests: u32,
    /// Said with every answer that is no success.
    pub retry_after: Option<&'static str>,
    good_token: u32,
}

pub(super) struct Fake {
    pub url: String,
    world: Arc<Mutex<World>>,
}

type Shared = State<Arc<Mutex<World>>>;

/// The body of event `n` at `time`, with spacing and a number that a typed model would change.
pub(super) fn event(n: usize, time: i64) -> (i64, String) {
    (time, format!("{{ \"id\":\"id-{n}\",\"time\":{time}, \"type\":\"LOGIN\",\"details\":{{\"n\":1.50}} }}"))
}

impl Fake {
    pub(super) async fn start() -> Self {
        Self::serve(None).await
    }

    /// The same behind TLS; with the certificate of the CA that signed its own, PEM.
    pub(super) async fn start_tls() -> (Self, Vec<u8>) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca_pem = ca.self_signed(&key).unwrap().pem().into_bytes();
        let issuer = rcgen::Issuer::new(ca, key);
        let key = rcgen::KeyPair::generate().unwrap();
        let own =
            rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let certificate = Certificate::new(own.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        (Self::serve(Some(certificate.server_config().unwrap())).await, ca_pem)
    }

    async fn serve(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let all = super::state::NEEDED_TYPES;
        let world = Arc::new(Mutex::new(World {
            user: Vec::new(),
            admin: Vec::new(),
            config: json!({"eventsEnabled": true, "adminEventsEnabled": true, "adminEventsDetailsEnabled": true, "enabledEventTypes": all}),
            config_status: 200,
            login_status: 200,
            events_status: 200,
            faults: VecDeque::new(),
            // hyper adds the true time where none is given.
            date: "Thu, 01 Jan 1970 02:46:40 GMT",
            pages: Vec::new(),
            logins: 0,
            requests: 0,
            retry_after: None,
            good_token: 0,
        }));
        let routes = Router::new()
            .route("/kc/realms/{realm}/protocol/openid-connect/token", post(login))
            .route("/kc/admin/realms/{realm}/events/config", get(config))
            .route("/kc/admin/realms/{realm}/{feed}", get(page))
            .with_state(Arc::clone(&world));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}/kc", listener.local_addr().unwrap());
        let server =
            Server { listener, routes, tls, clients: None, limits: crate::config::Limits::default(), metrics: None };
        tokio::spawn(server.serve(std::future::pending(), Duration::ZERO));
        Self { url, world }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// A source with one realm `acme`, quick and small.
    pub(super) fn source(&self, cursors: &FilePath) -> Source {
        let realm = Realm {
            name: "acme".into(),
            login_realm: None,
            client_id: "tokentrail".into(),
            client_secret: Secret::new("s3cret"),
        };
        let limits = Limits {
            poll: Duration::from_millis(5),
            overlap: Duration::from_millis(1_000),
            page: 10,
            requests_per_second: 100_000,
            timeout: Duration::from_millis(2_000),
            ..Limits::default()
        };
        Source {
            tenant: "t".into(),
            source_id: "kc".into(),
            base_url: self.url.clone(),
            trust: Trust::system(),
            realms: vec![realm],
            limits,
            cursors: cursors.to_owned(),
            listener: None,
        }
    }
}

fn answer(world: &World, status: u16, body: String) -> Response<Body> {
    let mut answer = Response::builder().status(status).header(header::DATE, world.date);
    if let Some(when) = world.retry_after.filter(|_| status >= 400) {
        answer = answer.header(header::RETRY_AFTER, when);
    }
    answer.body(Body::from(body)).unwrap()
}

async fn login(State(world): Shared, body: String) -> Response<Body> {
    let mut world = world.lock().unwrap();
    assert!(body.contains("grant_type=client_credentials") && body.contains("client_secret=s3cret"), "{body}");
    world.logins += 1;
    world.requests += 1;
    let claims = URL_SAFE_NO_PAD.encode(format!("{{\"jti\":\"trrtcc:{}\",\"iat\":1700000000}}", world.logins));
    let token = json!({"access_token": format!("h.{claims}.{}", world.good_token), "expires_in": 300});
    answer(&world, world.login_status, token.to_string())
}

async fn config(State(world): Shared) -> Response<Body> {
    let mut world = world.lock().unwrap();
    world.requests += 1;
    answer(&world, world.config_status, world.config.to_string())
}

async fn page(
    State(world): Shared,
    Path((realm, feed)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    assert_eq!(realm, "acme");
    let query: BTreeMap<String, String> = query.unwrap_or_default().split('&').filter_map(pair).collect();
    let fault = world.lock().unwrap().faults.pop_front();
    if matches!(fault, Some(Fault::Hangs)) {
        std::future::pending::<()>().await;
    }
    let mut world = world.lock().unwrap();
    world.requests += 1;
    if matches!(fault, Some(Fault::TokenGone)) {
        world.good_token += 1;
    }
    let token = headers[header::AUTHORIZATION].to_str().unwrap();
    if token.rsplit('.').next() != Some(&world.good_token.to_string()) {
        return answer(&world, 401, String::new());
    }
    match fault {
        Some(Fault::Status(status)) => return answer(&world, status, String::new()),
        Some(Fault::Body(body)) => return answer(&world, 200, body.into()),
        _ => {}
    }
    if world.events_status != 200 {
        return answer(&world, world.events_status, String::new());
    }
    assert_eq!(query["direction"], "asc");
    let number = |name: &str| query[name].parse::<usize>().unwrap();
    let from: i64 = query.get("dateFrom").map_or(i64::MIN, |from| from.parse().unwrap());
    let stored = if feed == "events" { &world.user } else { &world.admin };
    let mut fit: Vec<_> = stored.iter().filter(|(time, _)| *time >= from).collect();
    fit.sort_by_key(|(time, _)| *time);
    let bodies: Vec<_> = fit.iter().skip(number("first")).take(number("max")).map(|(_, body)| body.as_str()).collect();
    let text = format!("[{}]", bodies.join(" , "));
    let served = answer(&world, 200, text);
    world.pages.push(query);
    if let Some(Fault::Then(change)) = fault {
        change(&mut world);
    }
    served
}

fn pair(text: &str) -> Option<(String, String)> {
    text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// What an append of the test's journal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lands,
    NotLanded,
    LandsButReportedLost,
    Stops,
}

/// A journal in memory.
#[derive(Default)]
pub(super) struct Memory {
    pub kept: Mutex<Vec<Received>>,
    pub fates: Mutex<VecDeque<Fate>>,
}

impl Memory {
    pub(super) fn bodies(&self) -> Vec<String> {
        self.kept.lock().unwrap().iter().map(|one| String::from_utf8(one.body.clone()).unwrap()).collect()
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.kept.lock().unwrap().iter().map(|one| one.header.native_id.clone()).collect()
    }
}

impl Append for Memory {
    fn append(&self, receipts: Vec<Received>) -> Appending<'_> {
        let fate = self.fates.lock().unwrap().pop_front().unwrap_or(Fate::Lands);
        if matches!(fate, Fate::Lands | Fate::LandsButReportedLost) {
            self.kept.lock().unwrap().extend(receipts);
        }
        Box::pin(async move {
            match fate {
                Fate::Lands => Ok(()),
                Fate::NotLanded | Fate::LandsButReportedLost => Err(NotAppended::Later),
                Fate::Stops => Err(NotAppended::Stopped),
            }
        })
    }
}

/// Surroundings with a journal in memory, no redaction and a clock that stands.
pub(super) fn around(journal: &Arc<Memory>, now: i64) -> Surroundings {
    let append: Arc<dyn Append> = Arc::<Memory>::clone(journal);
    let key = events::person::DeploymentKey::new([7; 32]);
    Surroundings {
        append,
        redact: Arc::new(|payload, body| (payload, body.to_vec())),
        too_large: Arc::new(move |body| crate::redact::unparsable(&key, body, crate::redact::Broken::RecordTooLarge)),
        now: Arc::new(move || now),
    }
}
