//! Of which time and of whom the facts are that a verdict is made from.

use crate::story::{PERIOD, Story};
use serde_json::json;

/// What is of the period and stored, and not correlated yet, is in no answer of it.
pub fn behind(story: &Story) {
    let state = || story.sheet("R08", &PERIOD).1["completeness"].clone();
    assert_eq!(state()["state"], "COMPLETE");
    let number = |seq: u64| {
        story.program.sql(&format!(
            "INSERT INTO receipt_rows SELECT * REPLACE (toFixedString(repeat('e', 16), 16) AS stream, toUInt64({seq}) AS seq) FROM receipt_rows FINAL \
             WHERE fate = 'event' AND source_id = 'kc' AND minute >= intDiv(toUnixTimestamp('2026-11-23 21:00:00', 'UTC'), 60) \
             AND minute < intDiv(toUnixTimestamp('2026-11-23 22:00:00', 'UTC'), 60) LIMIT 1",
        ));
    };
    number(0);
    let found = state();
    assert_eq!((&found["state"], &found["facts"]["uncorrelated"]), (&json!("NOT_PROVEN"), &json!(1)), "{found}");
    assert!(found["reasons"].to_string().contains("1 events of the period are stored and not correlated yet"));
    // The cursor stands in front of 1, and 2 is correlated: what comes at 1 after all is not, and neither is 3.
    story.program.sql(
        "INSERT INTO correlated_rows (tenant, stream, next, beyond, taken, epoch, recorded_at) \
         VALUES ('default', repeat('e', 16), 1, [(2, 3)], 2, 1, now64(3))",
    );
    number(2);
    assert_eq!(state()["state"], "COMPLETE");
    for (seq, behind) in [(1, 1), (3, 2)] {
        number(seq);
        assert_eq!(state()["facts"]["uncorrelated"], behind, "{seq}");
    }
    for table in ["receipt_rows", "correlated_rows"] {
        let gone = format!("ALTER TABLE {table} DELETE WHERE stream = repeat('e', 16) SETTINGS mutations_sync = 1");
        story.program.sql(&gone);
    }
    assert_eq!(state()["state"], "COMPLETE");
}

/// Records of our own that were lost are a gap on the sheet and no source with hours.
pub fn own_records(story: &Story) {
    // Recorded later than whatever the program records, which finds none of this and would say so.
    let gap = |repaired: &str, recorded: u8| {
        story.program.sql(&format!(
            "INSERT INTO gap_rows VALUES ('default', '(tokentrail)', 'a stream', '', toDateTime64('2026-11-23 21:50:00', 3, 'UTC'), 'records_missing', \
             toDateTime64('2026-11-23 21:51:00', 3, 'UTC'), 2, {repaired}, toDateTime64('2100-01-01 00:00:00', 3, 'UTC') + {recorded})"
        ));
    };
    gap("NULL, ''", 1);
    let (_, sheet) = story.sheet("R11", &PERIOD);
    assert_eq!(sheet["completeness"]["state"], "COMPLETE_WITH_LISTED_GAPS");
    assert_eq!(sheet["completeness"]["facts"]["gaps"][0]["source_id"], "(tokentrail)");
    let page = story.report("R11", &[&PERIOD[..], &["--format", "html"]].concat()).out;
    assert!(
        page.contains("<li>records of Tokentrail itself (acts by hand, snapshots) a stream: records missing from ")
    );
    let hours = story.rows("R11", &PERIOD);
    assert!(hours.len() == 2 && hours.iter().all(|row| row["source_id"] != "(tokentrail)"), "{hours:?}");
    gap("toDateTime64('2026-11-23 21:40:00', 3, 'UTC'), 'import'", 2);
}

/// A realm whose heartbeats began later leaves what was proven before as it was, and is itself proven from then on.
pub fn added_later(story: &Story) {
    let rows = "toDateTime64('2026-11-23 22:04:00', 3, 'UTC')";
    story
        .program
        .sql(&format!("INSERT INTO heartbeat_rows VALUES ('default', 'kc', {rows}, 'added', 'kc-added', 'sent')"));
    let after = ["--from", "2026-11-23T22:03:00Z", "--to", "2026-11-23T22:05:00Z"];
    let state = |span: &[&str]| story.sheet("R05", span).1["completeness"].clone();
    assert_eq!(state(&PERIOD)["state"], "COMPLETE");
    // None of it has come back yet.
    let waiting = state(&after);
    assert_eq!(waiting["state"], "NOT_PROVEN");
    assert!(waiting["reasons"].to_string().contains("those of added never did"), "{waiting}");
    story.program.sql(&format!(
        "INSERT INTO heartbeat_seen_rows SELECT tenant, source_id, sent_at, id, 'webhook', sent_at FROM heartbeat_rows WHERE sent_at = {rows} AND scope = 'added'"
    ));
    assert_eq!((&state(&PERIOD)["state"], &state(&after)["state"]), (&json!("COMPLETE"), &json!("COMPLETE")));
}

/// What is compared before and after the rows are read is of the period: heartbeats and gaps go on outside of it, and a busy program
/// would never be read in one state.
pub fn bounds(story: &Story) {
    let totals = |name: &str| story.sheet(name, &PERIOD).1["completeness"]["control_totals"].clone();
    let before = [totals("R05"), totals("R11")];
    // Those of one realm and one Backstage, each minute of the hour.
    assert_eq!(before[0]["left out: heartbeats"], 120);
    story.program.sql(
        "INSERT INTO heartbeat_rows VALUES ('default', 'kc', toDateTime64('2026-11-23 22:30:00', 3, 'UTC'), 'pair', 'kc-later', 'sent')",
    );
    story.program.sql(
        "INSERT INTO gap_rows VALUES ('default', 'kc', 'pair', 'webhook', toDateTime64('2026-11-23 22:30:00', 3, 'UTC'), 'silent', \
         toDateTime64('2026-11-23 22:31:00', 3, 'UTC'), NULL, NULL, '', toDateTime64('2026-11-23 22:32:00', 3, 'UTC'))",
    );
    assert_eq!([totals("R05"), totals("R11")], before);
}
