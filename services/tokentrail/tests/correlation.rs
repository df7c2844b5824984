//! The recorded story of a Keycloak and a Backstage, asked of the program: every decision that the truth judges has its verdict
//! and seconds in ClickHouse; another order, doubled input and kill -9 in the middle give the same rows; a past that changes is
//! answered anew.
#![allow(clippy::unwrap_used)] // a test may panic

#[path = "correlation/alarm.rs"]
mod alarm;
#[path = "correlation/checkpoints.rs"]
mod checkpoints;
#[path = "correlation/clocks.rs"]
mod clocks;
#[path = "correlation/names.rs"]
mod names;
#[path = "correlation/persons.rs"]
mod persons;
#[path = "support/recorded.rs"]
mod recorded;
#[path = "support/standing.rs"]
mod standing;
mod support;

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use recorded::{CONFIG, backstage_log, sample};
use serde_json::Value;
use standing::{assert_same, rows};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Output,
    time::{Duration, Instant},
};
use support::{Program, command};

/// Longest wait for the correlation on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// The story as files, and a folder with one deployment's key, so that several programs give the same person keys.
struct Story {
    dir: tempfile::TempDir,
}

impl Story {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        backstage_log(dir.path());
        let story = Self { dir };
        // Checkpoints as often as can be: what a kill leaves of one is part of every case.
        story.configure("checkpoint_seconds = 1");
        story
    }

    fn configure(&self, correlation: &str) {
        let text = format!("{CONFIG}[correlation]\n{correlation}\n");
        std::fs::write(self.dir.path().join("config.toml"), text).unwrap();
    }

    fn settings(&self) -> String {
        self.dir.path().join("config.toml").to_str().unwrap().to_owned()
    }

    fn start(&self, name: &str) -> Program {
        self.start_with(name, &[])
    }

    fn start_with(&self, name: &str, settings: &[(&str, &str)]) -> Program {
        let data = self.dir.path().join(name);
        let first = self.dir.path().join("first/keys");
        if !data.exists() && first.exists() {
            std::fs::create_dir_all(data.join("keys")).unwrap();
            std::fs::copy(first.join("deployment.key"), data.join("keys/deployment.key")).unwrap();
        }
        Program::start(&data, &[&[("TOKENTRAIL_CONFIG", &*self.settings())], settings].concat())
    }

    fn cli(&self, program: &Program, args: &[&str]) -> Output {
        let output = self.run(program, args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// The same, however it ends.
    fn run(&self, program: &Program, args: &[&str]) -> Output {
        command(&program.data).env("TOKENTRAIL_CONFIG", self.settings()).args(args).output().unwrap()
    }

    fn import(&self, program: &Program, source: &str, file: &Path) {
        self.cli(program, &["import", "--source", source, file.to_str().unwrap()]);
    }

    fn keycloak(&self, program: &Program) {
        self.import(program, "kc", &sample("keycloak-webhook.ndjson"));
    }

    fn lines(&self, program: &Program) {
        let log = self.dir.path().join("backstage.log");
        self.cli(program, &["send", "--source", "bs", "--instance", "b1", log.to_str().unwrap()]);
    }

    fn catalog(&self, program: &Program) {
        self.import(program, "bs", &sample("backstage-catalog-history.ndjson"));
    }

    /// A recording with its lines in another order, some of them twice.
    fn shuffled(&self, name: &str, seed: u64) -> PathBuf {
        let text = std::fs::read_to_string(sample(name)).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.extend(text.lines().step_by(3));
        lines.shuffle(&mut StdRng::seed_from_u64(seed));
        let path = self.dir.path().join(name);
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        path
    }
}

/// Waits until everything is stored and correlated.
fn correlated(program: &Program) {
    program.drained();
    let began = Instant::now();
    loop {
        let status = program.status();
        if status["correlation"]["phase"] == "following" && status["correlation"]["lag"] == 0 {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "the correlation lags: {}; log: {}", status["correlation"], program.log());
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// Holds every decision of the truth against ClickHouse; how many operations and decisions were judged.
fn check_truth(program: &Program) -> (usize, usize) {
    let lines = program.sql(
        "SELECT toString(r.event_id) AS event_id, r.fate AS fate FROM receipt_rows AS r FINAL \
         INNER JOIN raw_bodies AS b ON r.stream = b.stream AND r.seq = b.seq \
         WHERE r.source_id = 'bs' AND r.payload = 'backstage_line' AND position(b.body, '\"isAuditEvent\":true') > 0 ORDER BY r.seq",
    );
    let decisions: HashMap<String, Value> = program
        .sql("SELECT * FROM decisions")
        .into_iter()
        .map(|row| (row["event_id"].as_str().unwrap().to_owned(), row))
        .collect();
    let truth: Value = serde_json::from_str(&std::fs::read_to_string(sample("truth.json")).unwrap()).unwrap();
    let (mut operations, mut judged) = (0, 0);
    for operation in truth["operations"].as_array().unwrap() {
        if !matches!(operation["op"].as_str(), Some("bs-authorize" | "bs-call")) {
            continue;
        }
        let numbers = operation["audit_lines"].as_array().unwrap().iter();
        let told = numbers.filter_map(|number| lines.get(usize::try_from(number.as_u64().unwrap()).unwrap() - 1));
        let told =
            told.filter(|line| line["fate"] == "event").filter_map(|line| decisions.get(line["event_id"].as_str()?));
        let told: Vec<&Value> = told.filter(|row| row["permission"] != "").collect();
        operations += usize::from(!told.is_empty());
        for row in told {
            judged += 1;
            let verdict = row["verdict"].as_str().unwrap();
            let fits = match operation["verdict"].as_str() {
                Some("stale-allow") => verdict == "exposure",
                Some("pending-grant") => verdict == "pending_grant",
                Some("granted-in-backstage") => verdict == "granted_in_backstage",
                Some("conditional") => verdict == "conditional",
                Some("agrees") if operation["audit_result"] == "CONDITIONAL" => {
                    verdict == "conditional" || verdict == "agrees"
                }
                Some("agrees") => verdict == "agrees",
                _ => verdict == "agrees" || verdict == "granted_in_backstage",
            };
            assert!(fits, "{operation} is said to be {row}");
            let delay = operation["stale_by_s"].as_f64().or(operation["late_by_s"].as_f64());
            match (delay, row["delay_ms"].as_f64()) {
                (Some(truth), Some(said)) => assert!((truth * 1_000.0 - said).abs() <= 1_000.0, "{operation}: {row}"),
                (None, None) => {}
                _ => panic!("{operation} has other seconds than {row}"),
            }
        }
    }
    (operations, judged)
}

#[test]
fn the_story_is_judged_as_it_was_in_any_order_and_through_kills() {
    let story = Story::new();
    let program = story.start("first");
    story.keycloak(&program);
    story.lines(&program);
    story.catalog(&program);
    correlated(&program);
    assert_eq!(check_truth(&program), (144, 152), "operations that left a decision, and their decisions");
    let expected = rows(&program);
    assert_eq!(expected["decisions"].len(), 232);
    let checked = story.cli(&program, &["self-check", "--persons", "0", "--format", "json"]);
    let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert!(checked["rows"].as_u64().unwrap() > 300 && checked["differ"] == serde_json::json!({}), "{checked}");
    answers(&story, &program);
    let program = persons::by_hand(&story, program, &expected);
    past_changes(&story, &program);
    alarm::of_self_check(&story, &program);
    names::logins(&story, &program);
    names::expiry(&story, &program);
    assert_eq!(program.terminate(), Some(0));

    // Another order, and a third of it twice.
    let program = story.start("shuffled");
    story.import(&program, "bs", &story.shuffled("backstage-catalog-history.ndjson", 1));
    story.lines(&program);
    correlated(&program);
    story.import(&program, "kc", &story.shuffled("keycloak-webhook.ndjson", 2));
    correlated(&program);
    assert_same(&program, &expected, "shuffled and doubled");
    let late = program.sql("SELECT count() AS n FROM decisions WHERE toString(because) NOT LIKE '00000000-0000-0000%'");
    assert!(late[0]["n"].as_u64().unwrap() > 100, "decisions that late events changed name the event");
    assert_eq!(program.terminate(), Some(0));

    // Stored while nothing answers; then killed at random moments while it reads, settles and writes.
    let program = story.start_with("killed", &[("TOKENTRAIL__CORRELATION__ENABLED", "false")]);
    story.keycloak(&program);
    story.lines(&program);
    story.catalog(&program);
    assert_eq!(program.drained()["correlation"], Value::Null);
    assert_eq!(program.sql("SELECT count() AS n FROM decisions")[0]["n"], 0);
    program.kill();
    for _ in 0..4 {
        let program = story.start("killed");
        // The moment of the kill is the one thing here that must be random time and not a condition.
        std::thread::sleep(Duration::from_millis(rand::rng().random_range(5..1_500)));
        program.kill();
    }
    let program = story.start("killed");
    correlated(&program);
    assert_same(&program, &expected, "killed and started again");
    // A start writes only what differs: nothing does.
    let newest = |program: &Program| program.sql("SELECT max(version) AS v FROM decisions")[0]["v"].clone();
    let before = newest(&program);
    assert_eq!(program.terminate(), Some(0));
    let program = story.start("killed");
    correlated(&program);
    assert_eq!(newest(&program), before);
    assert_eq!(program.terminate(), Some(0));
}

/// What the commands say of the story.
fn answers(story: &Story, program: &Program) {
    let ask = |args: &[&str]| -> Value { serde_json::from_slice(&story.cli(program, args).stdout).unwrap() };
    let always = ["--from", "2026-11-23T00:00:00Z", "--format", "json", "--limit", "1000"];
    let stale = ask(&[&["decisions", "--verdict", "stale-allow", "--person", "finn"], &always[..]].concat());
    let last = stale.as_array().unwrap().last().unwrap();
    assert_eq!((last["clock"].as_str(), last["delay_ms"].as_i64().map(|ms| ms / 1_000)), (Some("token"), Some(583)));
    let id = last["event_id"].as_str().unwrap();
    let told = ask(&["explain", &id[..8], "--format", "json"]);
    assert_eq!((&told["source"], &told["budget_ms"]), (&"bs".into(), &600_000.into()));
    assert!(told["receipts"][id].as_str().unwrap().contains('/') && told["session"]["ended_at"].is_null(), "{told}");
    let text = String::from_utf8(story.cli(program, &["explain", id]).stdout).unwrap();
    assert!(text.contains("disabled") && text.contains("583."), "{text}");
    // Roles that could have supported it, each with why it does not; and which credential is taken.
    let taken = told["candidates"]["credentials"].as_array().unwrap().iter().filter(|one| one["why"] == "taken");
    assert_eq!(taken.map(|one| &one["event"]).collect::<Vec<_>>(), [&told["decision"]["credential"]]);
    let roles = told["candidates"]["roles"].as_array().unwrap().iter().map(|role| (&role["role"], &role["why"]));
    assert_eq!(roles.collect::<Vec<_>>(), [(&"role:default/releasers".into(), &"taken".into())]);

    rights(story, program);
    clocks::of_rights(story, program);
    let found = ask(&["person", "search", "pair.example", "--format", "json"]);
    assert!(found.as_array().unwrap().len() >= 4, "{found}");
    let trail = ask(&["trace", "finn", "--format", "json"]);
    let judged = trail["events"].as_array().unwrap().iter().filter(|event| event["judged"]["verdict"] == "exposure");
    assert!(judged.count() > 5);
    let wrong = command(&program.data).env("TOKENTRAIL_CONFIG", story.settings()).args(["access", "nobody"]).output();
    assert_eq!(wrong.unwrap().status.code(), Some(2));
}

/// Who could do what, by every path.
fn rights(story: &Story, program: &Program) {
    let ask = |args: &[&str]| -> Value { serde_json::from_slice(&story.cli(program, args).stdout).unwrap() };
    let held = |at: &str| {
        let told = ask(&["access", "cleo", "--at", at, "--format", "json"]);
        let name = |right: &Value| {
            let id = right["right_id"].as_str().unwrap();
            told["right_names"][id].as_str().unwrap_or(id).to_owned()
        };
        told["rights"].as_array().unwrap().iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!((held("2026-11-23T21:25:06Z").len(), held("2026-11-23T21:25:20Z").len()), (0, 0));
    let then = held("2026-11-23T21:25:10Z");
    for right in ["/platform/ops", "role:default/operators", "catalog.location.create|create|allow"] {
        assert!(then.iter().any(|held| held == right), "{right}: {then:?}");
    }
    let whole = ["access", "cleo", "--from", "2026-11-23T21:25:00Z", "--to", "2026-11-23T21:26:00Z"];
    let text = String::from_utf8(story.cli(program, &whole).stdout).unwrap();
    let role =
        text.lines().find(|line| line.contains("role:default/operators") && line.contains("backstage role")).unwrap();
    assert!(
        role.contains("/platform/ops > group:default/ops")
            && role.contains("21:25:07.067")
            && role.contains("21:25:16.818"),
        "{text}"
    );

    let who = |right: &str, at: &str| ask(&["who-can", right, "--at", at, "--format", "json"]);
    let can = |right: &str, at: &str| {
        let told = who(right, at);
        let one =
            |holder: &Value| (holder["names"].to_string().contains("cleo"), holder["can"].as_str().unwrap().to_owned());
        told["holders"].as_array().unwrap().iter().map(one).collect::<Vec<_>>()
    };
    assert_eq!(can("/platform/ops", "2026-11-23T21:25:10Z"), [(true, "yes".to_owned())]);
    assert!(can("catalog.location.create", "2026-11-23T21:25:10Z").contains(&(true, "yes".to_owned())));
    assert!(!can("catalog.location.create", "2026-11-23T21:25:20Z").iter().any(|(cleo, _)| *cleo));
    // Finn is disabled at 21:25:06.810.
    let finn =
        String::from_utf8(story.cli(program, &["access", "finn", "--at", "2026-11-23T21:30:00Z"]).stdout).unwrap();
    assert!(finn.contains("disabled") && finn.contains("21:25:06.810"), "{finn}");
    // Before any policy was told, nothing is claimed.
    let before = who("catalog.location.create", "2026-11-23T20:00:00Z");
    assert_eq!((&before["policies_known"], before["holders"].as_array().unwrap().len()), (&Value::Bool(false), 0));
}

/// An event is deleted as a replay would, and said so: what rested on it is answered anew.
fn past_changes(story: &Story, program: &Program) {
    let removal = "kind = 'group_member_removed' AND right_name = '/platform/ops'";
    let stale = "SELECT count() AS n FROM decisions WHERE verdict = 'exposure' AND clock = 'catalog' AND reference LIKE '%cleo'";
    assert!(program.sql(stale)[0]["n"].as_u64().unwrap() > 0);
    // Statements that answer nothing.
    program.sql(&format!(
        "INSERT INTO event_rows SELECT * REPLACE (version + 1 AS version, 1 AS is_deleted) FROM event_rows FINAL WHERE {removal}"
    ));
    program.sql("INSERT INTO past_change_rows VALUES ('default', now64(3), generateUUIDv4())");
    let began = Instant::now();
    while program.sql(stale)[0]["n"] != 0 {
        assert!(began.elapsed() < PATIENCE, "what rested on a deleted event still stands; log: {}", program.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    correlated(program);
    story.cli(program, &["self-check", "--persons", "0"]);
}

#[test]
fn the_demo_tells_the_removal_that_it_withholds_and_then_that_it_came() {
    let dir = tempfile::tempdir().unwrap();
    let (temporary, report) = (dir.path().join("tmp"), dir.path().join("report"));
    std::fs::create_dir(&temporary).unwrap();
    let samples = sample("");
    let (terminal, end) = testbed::Terminal::open().unwrap();
    let mut demo = command(&dir.path().join("data"));
    demo.args(["--log", "warn", "demo", "--samples", samples.to_str().unwrap(), "--report", report.to_str().unwrap()]);
    demo.env("TERM", "xterm").env("TMPDIR", &temporary);
    let output = demo.stderr(end).output().unwrap();
    drop(demo);
    // It leaves nothing behind: no process (the engine works in the folder of its data), no file but the report.
    let of_demo = |process: &std::fs::DirEntry| {
        std::fs::read_link(process.path().join("cwd")).is_ok_and(|folder| folder.starts_with(&temporary))
    };
    let running: Vec<_> =
        std::fs::read_dir("/proc").unwrap().flatten().filter(of_demo).map(|left| left.path()).collect();
    assert_eq!(running, [] as [PathBuf; 0], "still running");
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "files are left in the temporary folder");
    assert!(!dir.path().join("data").exists());
    let (text, shown) = (String::from_utf8_lossy(&output.stdout).into_owned(), terminal.shown());
    assert!(output.status.success(), "{text}{shown}");
    assert!(shown.contains(" receipts ") && shown.contains('\u{1b}'), "a bar for who waits at a terminal: {shown:?}");
    assert!(!text.contains(['\u{1b}', '\r']), "and none in a pipe: {text:?}");
    // Who, which right, what happened, and between when and when: around the instant that was withheld.
    let withheld = text.lines().find(|line| line.starts_with("One delivery was withheld")).unwrap();
    let at = withheld.split(" at ").nth(1).unwrap().split(". ").next().unwrap();
    let found = text.lines().find(|line| line.contains("no event says so")).unwrap();
    assert!(found.contains("user:default/ben: group /release was taken away"), "{found}");
    let between = found.split("between ").nth(1).unwrap().split(';').next().unwrap();
    let (after, before) = between.split_once(" and ").unwrap();
    assert!(after < at && at < before, "{at} in {between}");
    assert!(text.contains("it came late and is put where it belongs"), "{text}");
    // One person in both systems: what Keycloak said, the tie that joins them, and the decision after it, in a dozen lines.
    let trail = text.split("The same person in both systems").nth(1).unwrap().split("\n\n").nth(1).unwrap();
    assert!(trail.contains("user:default/finn in backstage is Keycloak user"), "{trail}");
    let table = text.split("The same person in both systems").nth(1).unwrap().split("time (UTC)").nth(1).unwrap();
    let rows: Vec<&str> = table.lines().skip(1).take_while(|line| line.contains("Z ")).collect();
    let of = |source: &str, what: &str| rows.iter().filter(|row| row.contains(source) && row.contains(what)).count();
    assert!((3..=13).contains(&rows.len()), "{text}");
    assert!(of(" keycloak ", "enabled=false") > 0 && of(" backstage ", "exposure") > 0, "{rows:#?}");
    // Each input was closed, so each is complete up to some time.
    let inputs = text.split("the fate of every receipt").nth(1).unwrap().split("\n\n").nth(1).unwrap();
    for input in ["webhook", "lines", "import", "snapshot"] {
        let row = inputs.lines().find(|row| row.split_whitespace().nth(1) == Some(input)).unwrap();
        assert!(!row.contains("unproven") && row.contains('Z'), "no watermark: {row}");
    }
    let sheet: Value =
        serde_json::from_slice(&std::fs::read(report.join("r08-access-trace.html.ipe.json")).unwrap()).unwrap();
    assert!(sheet["completeness"]["rows"].as_u64().unwrap() > 0, "{sheet}");
    // It ends with the dashboards, which are there.
    let dashboards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(text.lines().last().unwrap().trim());
    assert!(dashboards.join("dashboards/tokentrail.yaml").exists(), "{}", dashboards.display());
    // The story itself is as it was: whole, when everything has come.
    let ben = text.lines().find(|line| line.trim_start().starts_with("user:default/ben")).unwrap();
    assert!(ben.contains("catalog") && ben.contains("19"), "{ben}");
}
