//! A start goes on from a checkpoint: after a stop, a kill, with rows and receipts that came behind it, with a torn one, and with
//! one that no longer fits. Whatever it goes on from, the rows are the same.

use super::{
    Program, Story, assert_same, correlated,
    recorded::sample,
    rows,
    support::{block_on, client, sign},
};
use serde_json::Value;

/// What a program counted since its start.
fn counted(program: &Program, name: &str) -> u64 {
    let metrics = program.get_admin("/metrics").unwrap();
    let line = metrics.lines().find(|line| line.split(' ').next() == Some(name));
    line.and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or_else(|| panic!("no {name} in {metrics}"))
}

/// Starts the program again and waits until it has caught up: (beginnings from events alone, from a checkpoint, events read).
fn start_again(story: &Story) -> (Program, (u64, u64, u64)) {
    let program = story.start("first");
    correlated(&program);
    let count = |what: &str| counted(&program, &format!("tokentrail_{what}_total"));
    let began = (count("correlation_loads"), count("correlation_resumes"), count("correlated_events"));
    (program, began)
}

/// How often the program found a checkpoint that was not whole, in all of its runs.
fn torn(program: &Program) -> usize {
    std::fs::read_to_string(program.data.join("log.ndjson")).unwrap().matches("is not whole").count()
}

fn events(program: &Program) -> u64 {
    program.sql("SELECT count() AS n FROM events")[0]["n"].as_u64().unwrap()
}

#[test]
fn a_start_goes_on_from_a_checkpoint_that_fits_and_else_reads_everything() {
    let story = Story::new();
    // Written at a stop, and at no other time.
    story.configure("checkpoint_seconds = 86400");
    let program = story.start("first");
    story.keycloak(&program);
    story.lines(&program);
    correlated(&program);
    let before = events(&program);
    assert_eq!(program.terminate(), Some(0));

    // A stop kept everything: nothing is read. Then comes what changes much of what was said, and a kill.
    let (program, began) = start_again(&story);
    assert_eq!(began, (0, 1, 0));
    story.catalog(&program);
    correlated(&program);
    let (all, expected) = (events(&program), rows(&program));
    assert!(before > 500 && all > before, "{before} and then {all} events");
    program.kill();
    let (program, began) = start_again(&story);
    assert_eq!(began, (0, 1, all - before), "what came behind the checkpoint, and nothing else");
    assert_same(&program, &expected, "killed and gone on");
    assert_eq!(program.terminate(), Some(0));

    // Rows of somebody who went on from the checkpoint and saw other events: changed, taken away, added, elsewhere.
    let (program, _) = start_again(&story);
    let number = &program.sql("SELECT toString(max(number)) AS n FROM checkpoint_seal_rows")[0]["n"];
    let behind = format!("toUInt64({}) + 1 AS version", number.as_str().unwrap());
    for (table, change, order) in [
        ("decision_rows", "'violation' AS verdict, content + 1 AS content", "ASC"),
        ("decision_rows", "1 AS is_deleted", "DESC"),
        ("grant_rows", "1 AS is_deleted", "ASC"),
        ("alias_rows", "toFixedString(reverse(row_id), 16) AS row_id, 'nobody' AS name", "ASC"),
        ("session_rows", "at - INTERVAL 1 DAY AS at", "ASC"),
    ] {
        program.sql(&format!(
            "INSERT INTO {table} SELECT * REPLACE ({behind}, {change}) FROM {table} FINAL ORDER BY row_id {order} LIMIT 3"
        ));
        assert_ne!(rows(&program), expected, "{table}, {change}");
    }
    program.kill();
    let (program, began) = start_again(&story);
    assert_eq!(began, (0, 1, 0));
    assert_same(&program, &expected, "rows that were written behind the checkpoint");

    // The newest lacks a chunk: the one before it, and what came since.
    let numbers = "SELECT uniqExact(number) AS n FROM checkpoint_seal_rows";
    assert_eq!(program.sql(numbers)[0]["n"], 2, "two are kept");
    let newest = "number = (SELECT max(number) FROM checkpoint_seal_rows)";
    program.sql(&format!("DELETE FROM checkpoint_chunk_rows WHERE {newest}"));
    program.kill();
    let (program, began) = start_again(&story);
    assert_eq!(began, (0, 1, all - before), "{}", program.log());
    assert_eq!(torn(&program), 1);
    assert_same(&program, &expected, "from the checkpoint before");

    // A change of the past that no checkpoint knows: everything.
    program.sql("INSERT INTO past_change_rows VALUES ('default', now64(3), generateUUIDv4())");
    program.kill();
    let (program, began) = start_again(&story);
    assert_eq!(began, (1, 0, all));
    assert_eq!(program.terminate(), Some(0));

    // Another configuration: everything.
    story.configure("checkpoint_seconds = 86400\nskew_ms = 1001");
    let (program, began) = start_again(&story);
    assert_eq!(began, (1, 0, all));
    // A chunk that can be read and is not what was written: everything.
    let other = "replaceAll(bytes, '/platform', '/platfurm') AS bytes";
    program.sql(&format!("INSERT INTO checkpoint_chunk_rows SELECT * REPLACE ({other}) FROM checkpoint_chunk_rows"));
    program.sql("OPTIMIZE TABLE checkpoint_chunk_rows FINAL");
    program.kill();
    story.configure("checkpoint_seconds = 86400");
    let (program, began) = start_again(&story);
    assert_eq!(began, (1, 0, all));
    assert_eq!(torn(&program), 2);
    assert_same(&program, &expected, "read anew");
    story.cli(&program, &["self-check", "--persons", "0"]);
    assert_eq!(program.terminate(), Some(0));

    // A second copy of an event that is in the checkpoint and says something else: everything, or the first one would stand.
    let (program, began) = start_again(&story);
    assert_eq!(began, (0, 1, 0));
    deliver(&program, &login_of_ann().replace(r#""username":"ann""#, r#""username":"anna""#));
    correlated(&program);
    program.kill();
    let (program, began) = start_again(&story);
    assert_eq!(began, (1, 0, all));
    story.cli(&program, &["self-check", "--persons", "0"]);
    assert_eq!(program.terminate(), Some(0));
}

/// A delivery of the recording, as Keycloak sent it.
fn login_of_ann() -> String {
    let recorded = std::fs::read_to_string(sample("keycloak-webhook.ndjson")).unwrap();
    let bodies =
        recorded.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["body"].as_str().unwrap().to_owned());
    let mut logins = bodies.filter(|body| body.contains("access.LOGIN\"") && body.contains(r#""username":"ann""#));
    logins.next().unwrap()
}

fn deliver(program: &Program, body: &str) {
    let request = client()
        .post(format!("{}/v1/keycloak/kc", program.intake()))
        .header("content-type", "application/json")
        .header("x-keycloak-signature", sign(&program.secret("kc.webhook"), body.as_bytes()))
        .body(body.to_owned());
    let status = block_on(async move { request.send().await.unwrap().status() });
    assert!(status.is_success(), "{status}");
}
