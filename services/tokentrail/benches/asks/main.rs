//! `make bench-asks`: what a question costs from the command line, over many events.
//!
//! Starts the release binary on a temporary folder, has its engine lay `ASKED_EVENTS` events (default 2,000,000) of 20,000 people
//! evenly over the last 90 days, with the sessions, tokens, credentials, grants, names and decisions that come of them, and
//! asks each question several times, each time of somebody else. Rows are made by the engine itself, past the journal and the
//! correlation: what they say of each other is what the questions need and no more.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement")]

#[path = "../whole/measure.rs"]
#[allow(dead_code, reason = "each bench uses its own part")]
mod measure;
mod rows;
#[path = "../../tests/support/mod.rs"]
mod support;

use measure::{child_of, cpu_seconds};
use rows::{DAY_MS, Laid};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use support::Program;

const EVENTS: u64 = 2_000_000;
/// Each question so often, of others each time.
const TRIES: u64 = 9;
/// Longest that rows of one table take.
const LAYING: Duration = Duration::from_secs(1_800);

/// What is asked: its name, and the arguments for the one with a number.
type Question = (&'static str, fn(&Laid, u64) -> Vec<String>);

const QUESTIONS: [Question; 9] = [
    ("trace person NAME", |laid, n| words("trace", &[laid.name(n)])),
    ("trace session ID", |laid, n| words("trace", &[laid.session(n)])),
    ("trace token ID", |laid, n| words("trace", &[laid.token(n)])),
    ("trace event ID", |laid, n| words("trace", &[laid.event(n)])),
    ("trace decision ID", |laid, n| words("trace", &[laid.decision(n)])),
    ("access NAME", |laid, n| words("access", &[laid.name(n)])),
    ("access NAME --from 7d ago --to now", |laid, n| {
        words("access", &[laid.name(n), "--from=7d ago".into(), "--to=now".into()])
    }),
    ("explain DECISION", |laid, n| words("explain", &[laid.decision(n)])),
    ("who-can GROUP", |laid, n| words("who-can", &[laid.group(n)])),
];

fn words(command: &str, rest: &[String]) -> Vec<String> {
    command.split(' ').map(str::to_owned).chain(rest.iter().cloned()).collect()
}

/// Has the engine make rows: that takes longer than any answer may.
fn lay(program: &Program, statement: &str) {
    let run = program.store();
    let told = |name: &str| run[name].as_str().unwrap().to_owned();
    let (url, user, password) = (told("store_url"), told("store_user"), told("store_password"));
    let client = reqwest::Client::builder().no_proxy().timeout(LAYING).build().unwrap();
    let request = client.post(url).query(&[("database", "tokentrail")]);
    let request = request.header("x-clickhouse-user", user).header("x-clickhouse-key", password);
    let request = request.body(statement.to_owned());
    support::block_on(async move {
        let answer = request.send().await.expect("ClickHouse answers");
        let good = answer.status().is_success();
        assert!(good, "{}", answer.text().await.unwrap());
    });
}

fn main() {
    let events = std::env::var("ASKED_EVENTS").map_or(EVENTS, |text| text.parse().expect("a number of events"));
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(dir.path(), &[("TOKENTRAIL__CORRELATION__ENABLED", "false")]);
    program.drained();
    let engine = child_of(program.child.id()).expect("the engine runs");
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let laid = Laid { events, from: now - 90 * DAY_MS };
    let began = Instant::now();
    for statement in laid.statements() {
        lay(&program, &statement);
    }
    println!("{events} events, laid in {:.0} s, load {}", began.elapsed().as_secs_f64(), measure::load());
    println!("{:<40}{:>8}{:>8}{:>8}{:>12}", "milliseconds", "best", "median", "worst", "engine");
    for (name, of) in QUESTIONS {
        let (mut took, before) = (Vec::new(), cpu_seconds(engine));
        for n in 1..=TRIES {
            let mut command = support::command(dir.path());
            command.args(of(&laid, n * 997)).args(["--format", "json"]);
            let began = Instant::now();
            let answer = command.output().unwrap();
            took.push(began.elapsed().as_secs_f64() * 1e3);
            let told = String::from_utf8_lossy(&answer.stdout);
            assert!(
                answer.status.success() && told.len() > 2,
                "{name}: {told} {}",
                String::from_utf8_lossy(&answer.stderr)
            );
        }
        took.sort_by(f64::total_cmp);
        let own = (cpu_seconds(engine) - before) / TRIES as f64 * 1e3;
        let (best, median, worst) = (took[0], took[took.len() / 2], took[took.len() - 1]);
        println!("{name:<40}{best:>8.0}{median:>8.0}{worst:>8.0}{own:>12.0}");
    }
    assert_eq!(program.terminate(), Some(0));
}
