//! A real engine for tests: one per test binary while any test uses it, a database per test, always closed.
#![allow(dead_code, clippy::unwrap_used)]

pub mod cutter;
pub mod seeded;

use events::{
    event::{DataClass, Event, Outcome, RightChange},
    ids::{Position, StreamId, event_id},
    normalise::{Dead, NORMALISER_VERSION},
    receipt::{HEADER_VERSION, Input, Payload, Receipt, ReceiptHeader, SourceKind, TimeBasis},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, Weak},
};
use store::{
    Fate, Store, StoredReceipt,
    engine::{self, Closed, Engine, EngineOptions},
};
use uuid::Uuid;

/// Noon of 2026-11-24, UTC milliseconds.
pub const NOON: i64 = 1_795_521_600_000;
pub const TENANT: &str = "default";

/// The library (this file also serves the tests of crates beside the store), fetched if this machine does not have it yet.
pub fn library() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../store/engine/fetch.sh");
    let output = Command::new(&script).output();
    let path = match output {
        Ok(output) if output.status.success() => PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()),
        other => panic!("no engine library: services/store/engine/fetch.sh failed: {other:?}"),
    };
    assert!(path.is_file(), "no engine library: services/store/engine/fetch.sh printed {path:?}");
    path
}

/// Every test binary has a test `engine_child` that calls [`engine::run_if_asked`].
pub fn options(dir: &Path) -> EngineOptions {
    EngineOptions { library: library(), dir: dir.to_owned(), command: engine::test_command("engine_child").unwrap() }
}

pub struct Shared {
    runtime: Option<tokio::runtime::Runtime>,
    engine: Option<Engine>,
    dir: Option<tempfile::TempDir>,
}

static SHARED: Mutex<Weak<Shared>> = Mutex::new(Weak::new());

/// The engine of this test binary; the last user closes it.
pub fn shared() -> Arc<Shared> {
    let mut slot = SHARED.lock().unwrap_or_else(|broken| broken.into_inner());
    if let Some(shared) = slot.upgrade() {
        return shared;
    }
    let start = || {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let engine = runtime.block_on(Engine::start(options(&dir.path().join("engine")))).unwrap();
        Shared { runtime: Some(runtime), engine: Some(engine), dir: Some(dir) }
    };
    // On a thread of its own: the caller may be inside a runtime.
    let shared = Arc::new(std::thread::scope(|scope| scope.spawn(start).join().unwrap()));
    *slot = Arc::downgrade(&shared);
    shared
}

impl Drop for Shared {
    fn drop(&mut self) {
        let (runtime, engine, dir) = (self.runtime.take(), self.engine.take(), self.dir.take());
        let close = move || {
            let closed = runtime.unwrap().block_on(engine.unwrap().close());
            drop(dir);
            closed
        };
        let closed = std::thread::spawn(close).join().unwrap();
        if !std::thread::panicking() {
            assert_eq!(closed, Closed::Clean);
        }
    }
}

/// A migrated database of its own on the shared engine.
pub struct Database {
    pub store: Store,
    pub name: String,
    shared: Arc<Shared>,
}

impl Database {
    pub async fn empty() -> Self {
        let shared = shared();
        let name = format!("tokentrail_{}", Uuid::new_v4().simple());
        let store = Store::connect(shared.engine.as_ref().unwrap().connect_options(&name)).unwrap();
        Self { store, name, shared }
    }

    pub async fn new() -> Self {
        let database = Self::empty().await;
        database.store.migrate().await.unwrap();
        database
    }

    /// A second handle, as another program would have it.
    pub fn another(&self) -> Store {
        Store::connect(self.shared.engine.as_ref().unwrap().connect_options(&self.name)).unwrap()
    }

    /// A handle whose statements go through `url`.
    pub fn through(&self, url: String) -> Store {
        let options = self.shared.engine.as_ref().unwrap().connect_options(&self.name);
        Store::connect(store::ConnectOptions { url, ..options }).unwrap()
    }

    /// Address of the engine.
    pub fn address(&self) -> String {
        let options = self.shared.engine.as_ref().unwrap().connect_options(&self.name);
        options.url.trim_start_matches("http://").trim_end_matches('/').to_owned()
    }

    /// Bare SQL, for what the store does not offer.
    pub fn sql(&self) -> clickhouse::Client {
        let options = self.shared.engine.as_ref().unwrap().connect_options(&self.name);
        client(options)
    }
}

pub fn client(options: store::ConnectOptions) -> clickhouse::Client {
    clickhouse::Client::default()
        .with_url(options.url)
        .with_user(options.user)
        .with_password(options.password)
        .with_database(options.database)
}

pub fn position(stream: u8, seq: u64) -> Position {
    Position { stream: StreamId([stream; 16]), seq }
}

/// A receipt of an event with the native id `native`.
pub fn receipt(position: Position, input: Input, native: &str) -> StoredReceipt {
    let header = ReceiptHeader {
        v: HEADER_VERSION,
        tenant: TENANT.into(),
        source_id: "kc".into(),
        source_kind: SourceKind::Keycloak,
        input,
        payload: Payload::KeycloakWebhook,
        received_at: NOON + i64::try_from(position.seq).unwrap() * 10,
        native_id: native.into(),
        delivery_id: format!("delivery-{native}"),
        delivery_keyed: true,
        delivery_index: 0,
        line: None,
    };
    let mut commitment = [position.stream.0[0]; 32];
    commitment[..8].copy_from_slice(&position.seq.to_be_bytes());
    let mut stored = StoredReceipt {
        receipt: Receipt { position, header, body: format!("{{\"id\":\"{native}\"}}").into_bytes() },
        fate: Fate::Dead(Dead::NotJson),
        salt: [3; 16],
        commitment,
        chain: None,
        enc: 0,
        normaliser: NORMALISER_VERSION,
    };
    stored.fate = Fate::event(&stored.receipt.header, &event(&stored));
    stored
}

/// The event of such a receipt.
pub fn event(stored: &StoredReceipt) -> Event {
    let header = &stored.receipt.header;
    Event {
        event_id: event_id(TENANT, "kc", &header.native_id, 0),
        tenant: TENANT.into(),
        source_id: "kc".into(),
        source_kind: SourceKind::Keycloak,
        input: header.input,
        kind: "login".into(),
        native_type: "LOGIN".into(),
        native_id: header.native_id.clone(),
        data_class: DataClass::Authentication,
        time: NOON,
        time_min: NOON,
        time_max: NOON,
        time_basis: TimeBasis::Event,
        outcome: Outcome::Success,
        realm: "acme".into(),
        realm_id: String::new(),
        person: None,
        person_id: String::new(),
        person_name: String::new(),
        person_email: String::new(),
        actor: None,
        actor_kind: String::new(),
        actor_id: String::new(),
        actor_name: String::new(),
        client: "backstage".into(),
        session_id: String::new(),
        code_id: String::new(),
        token_id: String::new(),
        refresh_token_id: String::new(),
        new_refresh_token_id: String::new(),
        ip: String::new(),
        user_agent: String::new(),
        right_kind: String::new(),
        right_id: String::new(),
        right_name: String::new(),
        right_change: RightChange::None,
        holder_kind: String::new(),
        holder_id: String::new(),
        resource_kind: String::new(),
        resource: String::new(),
        permission: String::new(),
        action: String::new(),
        owner_refs: Vec::new(),
        error: String::new(),
        details: BTreeMap::new(),
        personal: BTreeMap::new(),
        receipt: stored.receipt.position,
        ordinal: 0,
        received_at: header.received_at,
        normaliser: NORMALISER_VERSION,
    }
}
