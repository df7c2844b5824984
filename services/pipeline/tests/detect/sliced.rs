//! More was done to recording and to accounts than one answer holds: it is read in slices, and nothing of it is missed. What cannot be
//! told in parts is not judged, and said so.

use crate::{Bench, NOW, PATIENCE, escalation::key, support::TENANT};
use std::time::{Duration, Instant};
use store::drift_facts::DriftQuery;

/// More than one answer holds.
const MANY: u32 = 200_500;
const DAY: i64 = 86_400_000;
/// Two years and a half before the tests' now.
const LONG_AGO: i64 = NOW - 900 * DAY;
/// So far apart, they end before the tests' now.
const APART: i64 = 890 * DAY / MANY as i64;

impl Bench {
    /// Events of one kind, an expression of `number` each for its time, realm, account and details.
    async fn many(&self, (many, kind): (u32, &str), time: &str, (realm, person, details): (&str, &str, &str)) {
        self.sql(&format!(
            "INSERT INTO event_rows (tenant, event_id, time, source_id, kind, outcome, realm, person, details) SELECT '{TENANT}', \
             generateUUIDv7(number), fromUnixTimestamp64Milli(toInt64({time})), 'kc', '{kind}', 'success', {realm}, unhex('{person}'), {details} \
             FROM numbers({many})"
        ))
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_ever_done_to_recording_and_to_accounts_is_read_in_slices() {
    let bench = Bench::new().await;
    bench.complete("kc", 61).await;
    bench.complete("bs", 61).await;
    // A hundred realms that are read as recording, on and on; one of them at last as not doing so.
    let (each, realm) = (format!("{LONG_AGO} + number * {APART}"), "concat('r', toString(number % 100))");
    let read = |on: &str| format!("map('eventsEnabled', '{on}', 'hash', '{on}')");
    bench.many((MANY, "state_events_config"), &each, (realm, "", &read("true"))).await;
    bench.many((1, "state_events_config"), &format!("{NOW} - {DAY}"), ("'r7'", "", &read("false"))).await;
    // Somebody who was put out at the beginning, is read so on and on, and goes on at last.
    let leaver = key('b');
    let out = "map('enabled', 'false')";
    bench.many((1, "user_updated"), &format!("{LONG_AGO} - 1"), ("'r0'", &leaver, out)).await;
    bench.many((MANY, "state_user"), &each, ("'r0'", &leaver, out)).await;
    bench.many((1, "token_refreshed"), &format!("{NOW} - {DAY}"), ("'r0'", &leaver, "map()")).await;

    let query = DriftQuery::of(TENANT, (i64::MIN, i64::MAX));
    let of_leaver = DriftQuery { persons: Some(std::slice::from_ref(&leaver)), ..query };
    for (query, kinds) in [(query, &["state_events_config"][..]), (of_leaver, &["state_user", "token_refreshed"])] {
        let days = bench.database.store.drift_spans(&query, kinds, DAY).await.unwrap();
        assert_eq!(days.iter().map(|(_, count)| count).sum::<u64>(), u64::from(MANY) + 1);
        assert!(days.iter().all(|(day, _)| day % DAY == 0 && (LONG_AGO - DAY..NOW).contains(day)), "{days:?}");
    }

    let running = bench.judging_lately();
    for rule in ["D03", "D11"] {
        let found = bench.until((rule, ""), |one| one.state == "OPEN").await;
        assert!(found.detail.contains("\"realm\":\"r7\""), "{found:?}");
        assert_eq!(found.last_at, NOW - DAY, "{found:?}");
    }
    let found = bench.until(("D02", "b"), |one| one.state == "OPEN").await;
    assert_eq!((found.first_at, found.last_at), (LONG_AGO - 1, NOW - DAY), "{found:?}");
    bench.judged().await;
    let all = bench.database.store.findings(TENANT).await.unwrap();
    assert_eq!(all.len(), 3, "{all:?}");
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_in_one_millisecond_than_one_answer_holds_is_not_judged() {
    let bench = Bench::new().await;
    let read = "map('eventsEnabled', 'true', 'hash', 'a')";
    bench.many((MANY, "state_events_config"), &LONG_AGO.to_string(), ("'r0'", "", read)).await;
    let running = bench.judging_lately();
    let began = Instant::now();
    loop {
        let states = bench.states().await;
        if states.iter().any(|one| one.rule == "D11" && one.detail.contains("more decisions or events are stored")) {
            break;
        }
        assert!(!states.iter().any(|one| one.rule == "D11" && one.state == "OK"), "{states:?}");
        assert!(began.elapsed() < PATIENCE, "{states:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    running.abort();
}
