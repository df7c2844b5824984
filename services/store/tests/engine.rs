//! The engine as a process: it comes back after a kill, nobody shares its directory, nobody reads past their rights,
//! and it never outlives its owner.
#![allow(clippy::unwrap_used)]

mod support;

use events::receipt::Input;
use std::{
    cell::Cell,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};
use store::{
    Block, DEFAULT_DATABASE, Store, StoreError,
    engine::{Closed, Engine, EngineError, Limits, State},
};
use support::{TENANT, client, event, options, position, receipt};
use tokio::time::{Instant, timeout};

const LONG: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
const ORPHAN_DIR: &str = "TOKENTRAIL_TEST_ORPHAN_DIR";

/// Not a test: where the engine's child process begins.
#[test]
fn engine_child() {
    store::engine::run_if_asked();
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn pid(engine: &Engine) -> u32 {
    match *engine.state().borrow() {
        State::Running { pid, .. } => pid,
        state => panic!("{state:?}"),
    }
}

#[tokio::test]
async fn killing_the_engine_during_inserts_loses_and_doubles_nothing() {
    const BLOCKS: u64 = 30;
    const ROWS: u64 = 200;
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(options(dir.path())).await.unwrap();
    let store = Store::connect(engine.connect_options(DEFAULT_DATABASE)).unwrap();
    store.migrate().await.unwrap();
    let mut state = engine.state();
    let killed = Cell::new(false);
    let writer = async {
        let (mut failures, mut number) = (0, 0);
        while number < BLOCKS || !killed.get() {
            let mut block = Block::default();
            for row in 0..ROWS {
                let stored = receipt(position(1, number * ROWS + row), Input::Webhook, &format!("{number}-{row}"));
                block.events.push(event(&stored));
                block.receipts.push(stored);
            }
            while let Err(error) = store.insert(&block).await {
                assert!(error.is_unavailable(), "{error}");
                failures += 1;
                tokio::time::sleep(POLL).await;
            }
            number += 1;
        }
        (failures, number)
    };
    let killer = async {
        for round in 1..=2 {
            // Somewhere in the middle of the writing: when some rows of this round are there.
            let enough = round * ROWS * 4;
            while store.count_range(TENANT, position(1, 0).stream, (0, u64::MAX)).await.map_or(0, |count| count.seqs)
                < enough
            {
                tokio::time::sleep(POLL).await;
            }
            kill(pid(&engine));
            let back = state
                .wait_for(|state| matches!(state, State::Running { restarts, .. } if u64::from(*restarts) == round));
            timeout(LONG, back).await.unwrap().unwrap();
        }
        killed.set(true);
    };
    let ((failures, blocks), ()) = tokio::join!(writer, killer);
    assert!(failures > 0, "the kills hit no insert");
    let rows = blocks * ROWS;
    let count = store.count_range(TENANT, position(1, 0).stream, (0, u64::MAX)).await.unwrap();
    assert_eq!((count.seqs, count.contested), (rows, 0));
    let fates = store.fates(TENANT).await.unwrap();
    assert_eq!((fates[0].received, fates[0].stored, fates[0].duplicate), (rows, rows, 0));
    let events: u64 =
        client(engine.connect_options(DEFAULT_DATABASE)).query("SELECT count() FROM events").fetch_one().await.unwrap();
    assert_eq!(events, rows);
    assert_eq!(engine.close().await, Closed::Clean);
}

#[tokio::test]
async fn a_directory_has_one_engine_and_is_free_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let first = Engine::start(options(dir.path())).await.unwrap();
    let short = Limits { lock_wait: Duration::from_millis(200), ..Limits::default() };
    let error = Engine::start_within(options(dir.path()), short).await.unwrap_err();
    assert!(matches!(&error, EngineError::Locked(path) if path == dir.path()), "{error}");
    let store = Store::connect(first.connect_options(DEFAULT_DATABASE)).unwrap();
    store.ping().await.unwrap();
    // A second one that may wait gets the directory when the first one is done.
    let second = tokio::spawn(Engine::start(options(dir.path())));
    assert_eq!(first.close().await, Closed::Clean);
    let second = second.await.unwrap().unwrap();
    assert_eq!(second.close().await, Closed::Clean);
}

#[tokio::test]
async fn readers_see_views_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(options(dir.path())).await.unwrap();
    Store::connect(engine.connect_options(DEFAULT_DATABASE)).unwrap().migrate().await.unwrap();
    let reader = client(engine.reader_options());
    // Every parameter of a view has some value of its type: what is asked does not matter, that it may be asked does.
    let asked = "SELECT arrayStringConcat(arrayMap(p -> format('{} = {}', p.1, multiIf(p.2 = 'String', char(39, 39), startsWith(p.2, 'Array'), '[]', '0')), \
                 parameterized_view_parameters), ', ') FROM system.tables WHERE database = {database:String} AND name = {view:String}";
    let owner = client(engine.connect_options(DEFAULT_DATABASE));
    for view in store::VIEWS {
        let parameters: String =
            owner.query(asked).param("database", DEFAULT_DATABASE).param("view", view).fetch_one().await.unwrap();
        let from = if parameters.is_empty() { (*view).to_owned() } else { format!("{view}({parameters})") };
        let counted = reader.query(&format!("SELECT count() FROM {from}")).fetch_one::<u64>().await;
        assert!(counted.is_ok(), "{from}: {counted:?}");
    }
    let nobody = clickhouse::Client::default().with_url(&engine.url);
    let wrong = client(engine.reader_options()).with_password("wrong");
    for sql in [
        "SELECT count() FROM event_rows",
        "SELECT count() FROM receipt_rows",
        "SELECT count() FROM raw_bodies",
        "SELECT count() FROM file('/etc/passwd', 'LineAsString')",
        "SELECT count() FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "INSERT INTO watermark_rows VALUES ('t', 's', 'pull', 0, 0)",
        "CREATE TABLE mine (x UInt8) ENGINE = MergeTree ORDER BY x",
        "DROP VIEW events",
        "SYSTEM SHUTDOWN",
    ] {
        for (who, client) in [("reader", &reader), ("wrong password", &wrong)] {
            let error = client.query(sql).execute().await.map_err(StoreError::from).unwrap_err();
            let denied = error.to_string().contains("ACCESS_DENIED")
                || error.to_string().contains("READONLY")
                || error.to_string().contains("AUTHENTICATION_FAILED");
            assert!(denied, "{who}: {sql}: {error}");
        }
        let error = nobody.clone().with_database(DEFAULT_DATABASE).query(sql).execute().await;
        assert!(error.is_err(), "default user: {sql}");
    }
    assert!(nobody.query("SELECT count() FROM tokentrail.events").execute().await.is_err());
    engine.close().await;
}

#[tokio::test]
async fn secrets_reach_the_disk_as_hashes_in_files_of_this_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(options(&dir.path().join("engine"))).await.unwrap();
    Store::connect(engine.connect_options(DEFAULT_DATABASE)).unwrap().migrate().await.unwrap();
    assert!(!format!("{engine:?} {:?}", engine.connect_options("x")).contains(&engine.password));
    let mut left = vec![dir.path().join("engine")];
    let mut files = 0;
    while let Some(path) = left.pop() {
        // Merges remove files while we look.
        let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
        if meta.is_symlink() {
            continue;
        }
        assert_eq!(meta.permissions().mode() & 0o077, 0, "{path:?}");
        if meta.is_dir() {
            left.extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
            continue;
        }
        files += 1;
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert!(!bytes.windows(64).any(|window| window == engine.password.as_bytes()), "{path:?}");
    }
    assert!(files > 10, "{files}");
    engine.close().await;
}

#[tokio::test]
async fn a_missing_library_or_a_broken_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut missing = options(dir.path());
    missing.library = dir.path().join("libchdb.so");
    let error = Engine::start(missing.clone()).await.unwrap_err();
    assert!(error.to_string().contains("services/store/engine/fetch.sh"), "{error}");
    std::fs::write(&missing.library, b"no library").unwrap();
    let error = Engine::start(missing).await.unwrap_err();
    let EngineError::NotStarted { output, .. } = &error else { panic!("{error}") };
    assert!(std::fs::read_to_string(output).unwrap().contains("cannot load the engine library"));
}

/// Not a test: the owner that is killed below.
#[tokio::test]
async fn orphan_owner() {
    let Some(dir) = std::env::var_os(ORPHAN_DIR) else { return };
    let engine = Engine::start(options(dir.as_ref())).await.unwrap();
    println!("\nengine {}", pid(&engine));
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn an_engine_ends_with_its_owner_however_that_dies() {
    let dir = tempfile::tempdir().unwrap();
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["orphan_owner", "--exact", "--nocapture"])
        .env(ORPHAN_DIR, dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let engine_pid = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("engine ")?.parse::<u32>().ok());
    let engine_pid = engine_pid.expect("the owner started an engine");
    owner.kill().unwrap();
    owner.wait().unwrap();
    let alive = || {
        let stat = std::fs::read_to_string(format!("/proc/{engine_pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    };
    let deadline = Instant::now() + LONG;
    while alive() {
        assert!(Instant::now() < deadline, "the engine {engine_pid} outlives its owner");
        tokio::time::sleep(POLL).await;
    }
    // And its directory can be used at once.
    let next = Engine::start(options(dir.path())).await.unwrap();
    assert_eq!(next.close().await, Closed::Clean);
}
