//! Pull against a real Keycloak: every stored event once, a restart repeats nothing, and each state is told by what shows it.
#![allow(clippy::unwrap_used)] // a test may panic

use collector::{
    heartbeat::Heart,
    pull::{
        Append, Appending, Feed, Limits, PassReport, Realm, RealmPull, Received, Secret, Source, State, Surroundings,
    },
};
use events::{
    ids::{Position, StreamId},
    normalise::{Context, Normalised, normalise},
    person::DeploymentKey,
    receipt::{HEADER_VERSION, Input, Payload, Receipt, ReceiptHeader, SourceKind},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::{Instant, SystemTime, UNIX_EPOCH},
};
use testbed::{
    EventStore, Keycloak, KeycloakOptions,
    keycloak::{realm, story},
};

#[derive(Default)]
struct Memory(Mutex<Vec<Received>>);

impl Append for Memory {
    fn append(&self, receipts: Vec<Received>) -> Appending<'_> {
        self.0.lock().unwrap().extend(receipts);
        Box::pin(async { Ok(()) })
    }
}

struct Bench {
    journal: Arc<Memory>,
    cursors: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { journal: Arc::default(), cursors: tempfile::tempdir().unwrap() }
    }

    /// As after a start of the process, with small pages so that there are several.
    fn open(&self, url: &str, change: impl FnOnce(&mut Source)) -> Vec<RealmPull> {
        let mut source = source(url, self.cursors.path());
        change(&mut source);
        let append: Arc<dyn Append> = Arc::<Memory>::clone(&self.journal);
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        let around = Surroundings {
            append,
            redact: Arc::new(|payload, body| (payload, body.to_vec())),
            too_large: Arc::new(|_| panic!("no event of this test is too large")),
            now: Arc::new(now),
        };
        RealmPull::open(&source, &around).unwrap()
    }

    /// The heartbeat of realm acme.
    fn heart(&self, url: &str) -> Heart {
        Heart::keycloak(&source(url, self.cursors.path())).unwrap().remove(0)
    }

    /// What was pulled of one realm and feed: id to event. Fails if anything came twice.
    fn pulled(&self, realm_id: &str, payload: Payload) -> BTreeMap<String, Value> {
        let mut found = BTreeMap::new();
        for one in self.journal.0.lock().unwrap().iter().filter(|one| one.header.payload == payload) {
            let event: Value = serde_json::from_slice(&one.body).unwrap();
            assert_eq!(event["id"], one.header.native_id.as_str());
            if event["realmId"] == realm_id {
                assert!(found.insert(one.header.native_id.clone(), event).is_none(), "an event was appended twice");
            }
        }
        found
    }
}

fn source(url: &str, cursors: &Path) -> Source {
    let account = |name: &str| Realm {
        name: name.into(),
        login_realm: None,
        client_id: "tokentrail".into(),
        client_secret: Secret::new("tokentrail-secret"),
    };
    Source {
        tenant: "default".into(),
        source_id: "keycloak".into(),
        base_url: url.into(),
        trust: trust::Trust::system(),
        realms: vec![account("acme"), account("beta")],
        limits: Limits { page: 7, requests_per_second: 1_000, ..Limits::default() },
        cursors: cursors.to_owned(),
        listener: None,
    }
}

/// `since`: when Keycloak gave the first token at the earliest.
async fn read_all(realms: &mut [RealmPull], since: Instant) -> PassReport {
    let mut sum = PassReport::default();
    for realm in realms {
        for feed in Feed::ALL {
            let report = realm.pass(feed).await.unwrap();
            // Keycloak sends no `Date`; both clocks are this machine's. A token is as old as its answer was slow, on a busy
            // machine seconds; its time of issue is rounded down to one.
            let slow = i64::try_from(since.elapsed().as_millis()).unwrap();
            assert!(report.clock_offset_ms.is_some_and(|ms| (-2_000 - slow..=2_000).contains(&ms)), "{report:?}");
            sum.appended += report.appended;
            sum.known += report.known;
            sum.pages += report.pages;
        }
    }
    sum
}

fn by_id(events: Vec<Value>) -> BTreeMap<String, Value> {
    events.into_iter().map(|event| (event["id"].as_str().unwrap().to_owned(), event)).collect()
}

/// Everything that the Admin API holds was pulled, as it is there, and nothing else was.
async fn assert_agrees(keycloak: &Keycloak, bench: &Bench) {
    let admin = keycloak.admin();
    for name in ["acme", "beta"] {
        let id = admin.get(name).await.unwrap()["id"].as_str().unwrap().to_owned();
        assert_eq!(bench.pulled(&id, Payload::KeycloakEvent), by_id(admin.events(name).await.unwrap()));
        assert_eq!(bench.pulled(&id, Payload::KeycloakAdminEvent), by_id(admin.admin_events(name).await.unwrap()));
    }
}

/// Every type that this Keycloak can send is one that is recognised: a new release that brings another shows here.
async fn assert_recognised(keycloak: &Keycloak) {
    let admin = keycloak.admin();
    let names = async |kind: &str| admin.names_of(kind).await.unwrap();
    let (types, resources) = (names("eventType").await, names("resourceType").await);
    let operations = names("operationType").await;
    assert!(
        types.len() > 100 && resources.len() > 30 && operations.len() >= 4,
        "{types:?} {resources:?} {operations:?}"
    );
    let kind = |payload: Payload, body: Value| {
        let header = ReceiptHeader {
            v: HEADER_VERSION,
            tenant: "default".into(),
            source_id: "keycloak".into(),
            source_kind: SourceKind::Keycloak,
            input: Input::Pull,
            payload,
            received_at: 0,
            native_id: String::new(),
            delivery_id: String::new(),
            delivery_keyed: false,
            delivery_index: 0,
            line: None,
        };
        let position = Position { stream: StreamId([1; 16]), seq: 0 };
        let receipt = Receipt { position, header, body: body.to_string().into_bytes() };
        match normalise(&receipt, &Context { key: DeploymentKey::new([7; 32]) }) {
            Normalised::Events(events) => events[0].kind.clone(),
            other => panic!("{other:?} of {body}"),
        }
    };
    for native in types {
        let found = kind(Payload::KeycloakEvent, json!({"id": "e", "time": 1, "realmId": "r", "type": native}));
        assert_ne!(found, "other", "{native}");
    }
    for (resource, operation) in resources.iter().flat_map(|one| operations.iter().map(move |other| (one, other))) {
        let body = json!({"id": "e", "time": 1, "realmId": "r", "authDetails": {}, "resourceType": resource,
            "operationType": operation, "resourcePath": "some/where"});
        assert_ne!(kind(Payload::KeycloakAdminEvent, body), "other", "{resource}-{operation}");
    }
}

#[tokio::test]
async fn pull_holds_what_keycloak_holds_and_tells_what_is_wrong() {
    // A token that is renewed is a login of ours more: none runs out while this test reads.
    let lasting = |name| {
        let mut realm = realm(name);
        realm["accessTokenLifespan"] = 3_600.into();
        realm
    };
    let realms = vec![lasting("acme"), lasting("beta")];
    let keycloak = Keycloak::start(KeycloakOptions { realms, ..KeycloakOptions::default() }).await.unwrap();
    assert_recognised(&keycloak).await;
    let (bench, began) = (Bench::new(), Instant::now());
    let ledger = story::play(&keycloak, "acme").await.unwrap();
    story::play(&keycloak, "beta").await.unwrap();

    let mut pulls = bench.open(&keycloak.url(), |_| {});
    let report = read_all(&mut pulls, began).await;
    assert!(
        report.appended as usize > 2 * ledger.expected().values().sum::<usize>() && report.pages > 10,
        "{report:?}"
    );
    assert_agrees(&keycloak, &bench).await;

    // A second pass and a restart read the overlap again and append only what is new: their own logins.
    assert_eq!(read_all(&mut pulls, began).await.appended, 0);
    let mut restarted = bench.open(&keycloak.url(), |_| {});
    let report = read_all(&mut restarted, began).await;
    assert_eq!((report.appended, report.known > 40), (2, true), "{report:?}");
    assert_agrees(&keycloak, &bench).await;

    story::play(&keycloak, "acme").await.unwrap();
    let heartbeat = bench.heart(&keycloak.url()).beat().await;
    assert_eq!(heartbeat.state, "sent");
    read_all(&mut restarted, began).await;
    assert_agrees(&keycloak, &bench).await;
    let beats = bench.journal.0.lock().unwrap().iter().filter(|one| contains(&one.body, &heartbeat.id)).count();
    assert_eq!(beats, 1, "the heartbeat's login was not seen again by its token id");

    states(&keycloak, &bench).await;

    let mut pulls = bench.open(&keycloak.url(), |_| {});
    assert_eq!(pulls[0].check().await, [State::Reachable]);
    let keycloak = keycloak
        .restart(async || {
            assert_eq!(pulls[0].check().await, [State::Unreachable { why: "no connection" }]);
        })
        .await
        .unwrap();
    read_all(&mut pulls, began).await;
    assert_agrees(&keycloak, &bench).await;
    drop(keycloak);
    event_store_missing().await;
}

fn contains(body: &[u8], text: &str) -> bool {
    !text.is_empty() && body.windows(text.len()).any(|window| window == text.as_bytes())
}

async fn states(keycloak: &Keycloak, bench: &Bench) {
    let (admin, url) = (keycloak.admin(), keycloak.url());
    let check = async |change: &dyn Fn(&mut Source)| bench.open(&url, |source| change(source))[0].check().await;
    let as_is = |_: &mut Source| {};
    assert_eq!(check(&as_is).await, [State::Reachable]);
    assert_eq!(check(&|source| source.realms[0].client_secret = Secret::new("wrong")).await, [State::Unauthorized]);
    assert_eq!(check(&|source| source.realms[0].name = "nowhere".into()).await, [State::RealmMissing]);

    let types = admin.get("acme/events/config").await.unwrap()["enabledEventTypes"].clone();
    let turned = [
        (json!({"eventsEnabled": false}), State::EventsOff),
        (json!({"eventsEnabled": true, "adminEventsEnabled": false}), State::AdminEventsOff),
        (json!({"adminEventsEnabled": true, "adminEventsDetailsEnabled": false}), State::DetailsOff),
    ];
    for (change, state) in turned {
        admin.change_events_config("acme", change).await.unwrap();
        assert_eq!(check(&as_is).await, [state, State::Reachable]);
    }
    // An empty list is Keycloak's default list, which leaves out what token chains need.
    let defaults = json!({"adminEventsDetailsEnabled": true, "enabledEventTypes": []});
    admin.change_events_config("acme", defaults).await.unwrap();
    let told = check(&as_is).await;
    let [State::TypesNotSaved(missing), State::Reachable] = told.as_slice() else { panic!("told {told:?}") };
    assert!(missing.iter().any(|name| name == "REFRESH_TOKEN") && !missing.iter().any(|name| name == "LOGIN"));
    admin.change_events_config("acme", json!({"enabledEventTypes": types})).await.unwrap();

    let role = ("realm-management", "view-events");
    admin.revoke_service_account("acme", "tokentrail", role).await.unwrap();
    assert_eq!(check(&as_is).await, [State::Forbidden { role: "view-events" }]);
    admin.grant_service_account("acme", "tokentrail", role).await.unwrap();
}

async fn event_store_missing() {
    let options = KeycloakOptions { event_store: EventStore::Ambiguous, ..KeycloakOptions::default() };
    let keycloak = Keycloak::start(options).await.unwrap();
    let told = Bench::new().open(&keycloak.url(), |_| {})[0].check().await;
    assert_eq!(told, [State::EventStoreMissing]);
    assert!(keycloak.log().contains("KC-SERVICES0082"), "Keycloak's own log does not name the trap");
}
