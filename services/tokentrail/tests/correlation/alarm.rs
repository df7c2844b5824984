//! A self-check that finds another answer than the one that stands raises an alarm, which ends when they agree.

use super::{PATIENCE, Program, Story};
use serde_json::Value;
use std::time::{Duration, Instant};

fn gaps(program: &Program) -> Vec<Value> {
    program.sql(
        "SELECT scope, toString(missing) AS missing, repaired_by, isNull(until) AS open FROM gaps WHERE cause = 'answers_differ' ORDER BY scope",
    )
}

/// Somebody writes in a table: a decision is made to agree.
pub fn of_self_check(story: &Story, program: &Program) {
    let agrees = |words: &[&str]| {
        let output = story.run(program, &[&["self-check"], words].concat());
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 1)), "{}", String::from_utf8_lossy(&output.stderr));
        code == Some(0)
    };
    assert!(agrees(&["--persons", "0"]) && gaps(program).is_empty());
    program.sql(
        "INSERT INTO decision_rows SELECT * REPLACE (version + 1 AS version, content + 1 AS content, 'agrees' AS verdict) FROM (\
         SELECT * FROM decision_rows FINAL WHERE verdict = 'exposure' AND reference LIKE '%finn' ORDER BY at LIMIT 1)",
    );
    assert!(!agrees(&["--persons", "0"]));
    let told = gaps(program);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0]["scope"].as_str().unwrap().starts_with("person ") && told[0]["open"] == 1, "{told:?}");
    assert_eq!((&told[0]["missing"], &told[0]["repaired_by"]), (&"1".into(), &"".into()));
    // Whoever looks is told, and what to do.
    let doctor = String::from_utf8(story.run(program, &["doctor"]).stdout).unwrap();
    assert!(doctor.contains("answers differ") && doctor.contains("--mend"), "{doctor}");
    // A sample of a single person compares whoever differed, too.
    assert!(!agrees(&["--persons", "1", "--mend"]));
    let began = Instant::now();
    while !agrees(&["--persons", "1"]) {
        assert!(began.elapsed() < PATIENCE, "what differs is not answered anew; log: {}", program.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    let told = gaps(program);
    assert_eq!((told.len(), &told[0]["repaired_by"]), (1, &"self-check".into()), "{told:?}");
}
