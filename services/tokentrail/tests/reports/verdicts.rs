//! Verdicts follow what is known to be missing.

use crate::{
    facts, left,
    story::{PERIOD, Story, json},
};
use serde_json::{Value, json};

/// Heartbeats of both sources that came back, over the whole period, as the collector would have noted them.
fn prove(story: &Story) {
    for (source, scope, input) in [("kc", "pair", "webhook"), ("bs", "", "lines")] {
        story.program.sql(&format!(
            "INSERT INTO heartbeat_rows SELECT 'default', '{source}', toDateTime64('2026-11-23 20:55:00', 3, 'UTC') + toIntervalMinute(number), \
             '{scope}', concat('{source}-', toString(number)), 'sent' FROM numbers(71)"
        ));
        story.program.sql(&format!(
            "INSERT INTO heartbeat_seen_rows SELECT tenant, source_id, sent_at, id, '{input}', sent_at + toIntervalMillisecond(40) \
             FROM heartbeat_rows WHERE source_id = '{source}'"
        ));
        story.program.sql(&format!(
            "INSERT INTO watermark_rows VALUES ('default', '{source}', '{input}', toDateTime64('2026-11-23 22:05:00', 3, 'UTC'), now64(3))"
        ));
    }
}

/// Of a time of which nothing is stored each report says that in words, on its page too, and ends as what proves nothing.
pub fn of_a_time_without_data(story: &Story) {
    let period = ["--from", "2026-11-20", "--to", "2026-11-21"];
    for (name, asked) in [
        ("R01", &["--as-of", "2026-11-20"][..]),
        ("R05", &period[..]),
        ("R07", &period[..]),
        ("R08", &period[..]),
        ("R11", &period[..]),
    ] {
        let made = story.report(name, &[asked, &["--format", "html"]].concat());
        let verdict = format!("{name}: NOT_PROVEN; ");
        assert!(made.code == 1 && made.said.contains(&verdict), "{}", made.said);
        let reason = "kc: nothing proves that anything of the period arrived";
        assert!(made.said.contains(reason), "{name}: {}", made.said);
        assert!(made.out.contains("NOT PROVEN") && !made.out.contains("nothing of this kind happened"), "{name}");
        let nothing = "no rows, which proves nothing: it is not shown that everything of the period arrived";
        // Continuity has its hours, each unproven; of all others there is nothing to list.
        let listed = name == "R11";
        let says = |text: &str| text.to_lowercase().contains(nothing);
        assert_eq!((says(&made.said), says(&made.out)), (!listed, !listed), "{}", made.said);
    }
    let mut hours = story.rows("R11", &period);
    hours.retain(|row| ["kc", "bs"].iter().any(|source| row["source_id"] == *source));
    assert_eq!(hours.len(), 48, "a day of two sources");
    assert!(hours.iter().all(|row| row["stored"] == 0 && row["state"] == "unproven"), "{hours:?}");
}

pub fn follow_what_is_missing(story: &Story) {
    // Imported, and nobody says what the import holds.
    assert_eq!(story.state("R08"), "NOT_PROVEN");
    prove(story);
    let (_, sheet) = story.sheet("R08", &PERIOD);
    assert_eq!(
        (&sheet["completeness"]["state"], &sheet["accuracy"]["agree"]),
        (&json!("COMPLETE"), &json!(25)),
        "{sheet}"
    );
    assert_eq!(sheet["completeness"]["watermark"], "2026-11-23T22:05:00.000Z");
    assert_eq!(sheet["signoff"]["reviewed_by"], json!(null));
    assert!(sheet["how"]["sql"].as_str().unwrap().contains("FROM decisions"));
    for name in ["R05", "R07", "R11"] {
        assert_eq!(story.state(name), "COMPLETE", "{name}");
    }
    // Nothing is said to have happened only where that is proven.
    let quiet = story.report("R08", &["--from", "2026-11-23T20:56:00Z", "--to", "2026-11-23T20:58:00Z"]);
    assert!(quiet.code == 0 && quiet.said.contains("nothing of this kind happened"), "{}", quiet.said);
    let before = story.report("R08", &["--from", "2026-11-20", "--to", "2026-11-21"]);
    assert!(
        before.code == 1 && before.said.contains("proves nothing") && !before.said.contains("happened"),
        "{}",
        before.said
    );
    let future = story.report("R08", &["--from", "2026-11-23", "--to", "2999-01-01"]);
    assert!(future.code == 1 && future.said.contains("has not come yet"), "{}", future.said);
    facts::behind(story);
    facts::added_later(story);
    facts::bounds(story);
    facts::own_records(story);
    gaps(story);
    incomplete(story);
    missing(story);
}

/// Decisions of a minute that a gap meets name its source, and those of no other minute; repaired, none does.
fn incomplete(story: &Story) {
    let gap = |repaired: &str, recorded: u32| {
        story.program.sql(&format!(
            "INSERT INTO gap_rows VALUES ('default', 'kc', 'pair', 'webhook', toDateTime64('2026-11-23 21:26:10', 3, 'UTC'), 'silent', \
             toDateTime64('2026-11-23 21:26:11', 3, 'UTC'), NULL, {repaired}, toDateTime64('2100-01-01 00:00:00', 3, 'UTC') + {recorded})"
        ));
    };
    // Whether each is of that minute, and whether it says so.
    let marked = || -> Vec<(bool, bool)> {
        let rows = story.rows("R08", &PERIOD);
        let of = |row: &Value| {
            let named = &row["incomplete"];
            assert!(*named == json!(["kc"]) || *named == json!([]), "{row}");
            (row["decision_time"].as_str().unwrap().starts_with("2026-11-23T21:26"), *named != json!([]))
        };
        rows.iter().map(of).collect()
    };
    gap("NULL, ''", 3);
    let rows = marked();
    assert!(rows.iter().any(|(within, _)| *within) && rows.iter().any(|(within, _)| !within), "{rows:?}");
    assert!(rows.iter().all(|(within, says)| within == says), "{rows:?}");
    gap("toDateTime64('2026-11-23 21:40:00', 3, 'UTC'), 'pull'", 4);
    assert!(marked().iter().all(|(_, says)| !says));
}

/// A webhook that was silent for three minutes; then pull brings what it lost.
fn gaps(story: &Story) {
    // Recorded later than whatever the program records, which finds none of this and would say so.
    let gap = |repaired: &str, recorded: u32| {
        story.program.sql(&format!(
            "INSERT INTO gap_rows VALUES ('default', 'kc', 'pair', 'webhook', toDateTime64('2026-11-23 21:30:00', 3, 'UTC'), 'silent', \
             toDateTime64('2026-11-23 21:33:00', 3, 'UTC'), 4, {repaired}, toDateTime64('2100-01-01 00:00:00', 3, 'UTC') + {recorded})"
        ));
    };
    gap("NULL, ''", 1);
    for name in ["R08", "R05", "R11"] {
        assert_eq!(story.state(name), "COMPLETE_WITH_LISTED_GAPS", "{name}");
    }
    left::keeps_its_gaps(story);
    let (_, sheet) = story.sheet("R08", &PERIOD);
    let listed = &sheet["completeness"]["facts"]["gaps"][0];
    assert_eq!(
        (&listed["cause"], &listed["missing"], &listed["repaired_by"]),
        (&json!("silent"), &json!(4), &json!(null))
    );
    let over = story.report("R08", &["--from", "2026-11-23T21:31:00Z", "--to", "2026-11-23T21:32:00Z"]);
    assert!(over.code == 1 && over.said.contains("whole period lies in a gap"), "{}", over.said);
    let hour = |column: &str| {
        let rows = story.rows("R11", &PERIOD);
        rows.iter().find(|row| row["source_id"] == "kc").unwrap()[column].clone()
    };
    assert_eq!((hour("unrepaired_gap_seconds"), hour("state")), (json!(180), json!("listed gap")));
    assert_eq!(
        (hour("heartbeats_sent"), hour("heartbeats_received"), hour("longest_way_ms")),
        (json!(60), json!(60), json!(40))
    );
    gap("toDateTime64('2026-11-23 21:40:00', 3, 'UTC'), 'pull'", 2);
    // A minute of which both ways brought four events, and pull one that the webhook had lost, and another that became no event.
    for (input, events, stored, alone, both, ignored) in [("webhook", 4, 4, 0, 4, 0), ("pull", 5, 1, 1, 0, 1)] {
        story.program.sql(&format!(
            "INSERT INTO rollup_rows (tenant, source_id, cell, input, version, events, stored, alone, both, ignored) \
             VALUES ('default', 'kc', intDiv(toUnixTimestamp('2026-11-23 21:58:00', 'UTC'), 60), '{input}', 1, {events}, {stored}, {alone}, {both}, {ignored})"
        ));
    }
    assert_eq!((hour("lost_by_webhook"), hour("healed_by_pull")), (json!(1), json!(1)));
    assert_eq!((hour("at_source"), hour("difference")), (json!(6), json!(1)));
    assert_eq!(hour("duplicate"), json!(4));
    assert_eq!((hour("unrepaired_gap_seconds"), hour("state")), (json!(0), json!("complete")));
    assert!(hour("gaps").to_string().contains("repaired by pull"));
    assert_eq!(story.state("R11"), "COMPLETE");
    left::is_to_be_proven(story);
    journal(story);
}

/// R11 says whether the journal is as it was written, and other reports leave it alone.
fn journal(story: &Story) {
    let told = |name: &str, more: &[&str]| {
        let (_, sheet) = story.sheet(name, &[&PERIOD[..], more].concat());
        sheet["integrity"]["journal"].clone()
    };
    let found = told("R11", &[]);
    assert_eq!((&found["intact"], &found["losses"]), (&json!(true), &json!(0)), "{found}");
    let stream = &found["streams"][0];
    let kept = stream["last_seq"].as_u64().unwrap() - stream["first_seq"].as_u64().unwrap() + 1;
    assert!(kept > 300 && found["records"] == kept, "{found}");
    assert_eq!((told("R11", &["--skip-journal"]), told("R08", &[])), (json!(null), json!(null)));

    let folder = std::fs::read_dir(story.program.data.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    let segment = folder.filter(|path| path.extension().is_some_and(|is| is == "seg")).min().unwrap();
    let flip = || {
        let file = std::fs::File::options().read(true).write(true).open(&segment).unwrap();
        let mut byte = [0];
        // Within the first records.
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut byte, 6_000).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[byte[0] ^ 1], 6_000).unwrap();
    };
    flip();
    let made = story.report("R11", &[&PERIOD[..], &["--format", "html"]].concat());
    flip();
    assert!(made.said.contains("journal DAMAGED: 1 losses") && made.out.contains("DAMAGED: 1 losses"), "{}", made.said);
    // Whoever looks at the exit code alone sees it too.
    assert!(made.code == 1 && made.said.contains("R11: NOT_PROVEN"), "{}", made.said);
    assert!(made.said.contains("- the journal is damaged: 1 losses"), "{}", made.said);
    assert_eq!((told("R11", &[])["intact"].clone(), story.state("R11").as_str()), (json!(true), "COMPLETE"));
}

/// A removal that no input brought and a read shows.
fn missing(story: &Story) {
    let row = |deleted: u8| {
        story.program.sql(&format!(
            "INSERT INTO missing_event_rows (tenant, person, at, row_id, version, is_deleted, right_kind, right_id, missing, before, causes) \
             VALUES ('default', repeat('a', 32), toDateTime64('2026-11-23 21:26:00', 3, 'UTC'), repeat('x', 16), {deleted} + 1, {deleted}, \
             'group', 'g-1', 'removal', toDateTime64('2026-11-23 21:27:00', 3, 'UTC'), ['lost_delivery'])"
        ));
    };
    row(0);
    let (_, sheet) = story.sheet("R08", &PERIOD);
    assert_eq!(sheet["completeness"]["state"], "COMPLETE_WITH_LISTED_GAPS");
    let reasons = sheet["completeness"]["reasons"].to_string();
    assert!(reasons.contains("A lost login or decision leaves no such trace and cannot be seen"), "{reasons}");
    assert!(sheet["completeness"]["facts"]["missing_events"][0].as_str().unwrap().starts_with("removal of group g-1"));
    // Who lost that may have lost more: no report over this time is whole.
    for name in ["R05", "R07", "R11"] {
        assert_eq!(story.state(name), "COMPLETE_WITH_LISTED_GAPS", "{name}");
    }
    row(1);
    many(story);
    for name in ["R08", "R11"] {
        assert_eq!(story.state(name), "COMPLETE", "{name}");
    }
}

/// More of them than are told one by one are counted, all of them.
fn many(story: &Story) {
    let rows = |version: u8, deleted: u8| {
        story.program.sql(&format!(
            "INSERT INTO missing_event_rows (tenant, person, at, row_id, version, is_deleted, right_kind, right_id, missing, before, causes) \
             SELECT 'default', leftPad(toString(number), 32, '0'), toDateTime64('2026-11-23 21:26:00', 3, 'UTC'), leftPad(toString(number), 16, '0'), \
             {version}, {deleted}, 'group', 'g-1', 'removal', toDateTime64('2026-11-23 21:27:00', 3, 'UTC'), ['lost_delivery'] FROM numbers(1200)"
        ));
    };
    rows(1, 0);
    let made = story.report("R11", &[&PERIOD[..], &["--format", "html"]].concat());
    assert!(made.said.contains("- 1200 events must have happened and never arrived"), "{}", made.said);
    assert!(made.out.contains("never arrived (1200, of which 1000 are told)") && made.out.contains("<li>and 960 more"));
    rows(2, 1);
}

/// Bodies that are gone, as after their retention, show nothing of what was said; then one that is not the one that was committed to.
pub fn tampering(story: &Story) {
    assert_eq!(story.state("R05"), "COMPLETE");
    // One that is encrypted with a key that is gone is as good as erased.
    let encrypted = |key: u8| {
        story.program.sql(&format!(
            "INSERT INTO raw_bodies SELECT * REPLACE ({key} AS enc) FROM (SELECT * FROM raw_bodies FINAL)"
        ));
    };
    encrypted(1);
    let made = story.report("R05", &PERIOD);
    encrypted(0);
    assert!(made.code == 0 && made.said.contains("R05: COMPLETE_WITH_LISTED_GAPS"), "{}", made.said);
    assert!(made.said.contains("- accuracy not shown: bodies no longer kept"), "{}", made.said);
    assert_eq!(story.state("R05"), "COMPLETE");
    story.program.sql(
        "INSERT INTO raw_bodies SELECT * REPLACE (replaceAll(body, 'egon', 'ergo') AS body) FROM (SELECT * FROM raw_bodies FINAL \
         WHERE position(body, 'LOGIN_ERROR') > 0 AND position(body, 'egon') > 0)",
    );
    let folder = story.path("tampered/");
    let made = story.report("R05", &[&PERIOD[..], &["--format", "csv", "--output", &folder]].concat());
    let sheet = json(&story.path("tampered/r05-authentication.csv.ipe.json"));
    assert_eq!((made.code, &sheet["accuracy"]["tampered"]), (1, &json!(1)), "{}", made.said);
}
