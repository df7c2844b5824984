//! What a read shows otherwise than was told: of which source it is, when the read began, and of which realm.

use crate::{
    Bench, MINUTE, NOON,
    escalation::{at, id, key},
    support::TENANT,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_event_is_explained_by_a_gap_of_its_own_source_alone() {
    let bench = Bench::new().await;
    for (n, person, source) in [(1, 'a', "kc"), (3, 'b', "bs")] {
        bench.event((n, 20, "state_member"), ("source_id", &format!("'{source}'"))).await;
        let columns = "person, at, row_id, version, right_kind, right_id, missing, before, evidence_after";
        let (person, from, to) = (key(person), at(20), at(40));
        let values =
            format!("'{person}', {from}, left('{n}---------------', 16), 1, 'group', 'g', 'grant', {to}, '{}'", id(n));
        bench.put("missing_event_rows", columns, &values).await;
    }
    bench.gap("kc", (25, Some(30)), (None, 1)).await;
    let running = bench.judging_lately();
    for (person, confidence) in [("a", "inferred"), ("b", "proven")] {
        let found = bench.until(("D03", person), |one| one.state == "OPEN").await;
        assert_eq!(found.confidence, confidence, "{person}: {found:?}");
    }
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_dated_by_its_beginning_and_is_of_its_realm_only() {
    let bench = Bench::new().await;
    let columns = "source_id, realm, realm_id, earlier_ms, details";
    // Three realms, each first set to record events and then read as not doing so: after the event, begun before it, and of a new realm.
    for (n, realm, minutes, new) in [(10, "late", 0, "old"), (20, "early", 5, "old"), (30, "again", 0, "new")] {
        let values = format!("'kc', '{realm}', 'old', 0, map('events_enabled', 'true')");
        bench.event((n, 20, "audit_config_changed"), (columns, &values)).await;
        let values = format!("'kc', '{realm}', '{new}', 0, map('enabled', 'true')");
        bench.event((n + 1, 21, "state_realm"), (columns, &values)).await;
        let values = format!("'kc', '{realm}', '', {}, map('eventsEnabled', 'false')", minutes * MINUTE);
        bench.event((n + 2, 22, "state_events_config"), (columns, &values)).await;
    }
    let running = bench.judging_lately();
    let found = bench.until(("D03", ""), |one| one.state == "OPEN").await;
    assert!(found.detail.contains("\"realm\":\"late\""), "{found:?}");
    let all = bench.database.store.findings(TENANT).await.unwrap();
    assert_eq!(all.iter().filter(|one| one.rule == "D03").count(), 1, "{all:?}");
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_back_without_an_event_to_what_was_read_before_is_found() {
    let bench = Bench::new().await;
    let columns = "source_id, realm, earlier_ms, details";
    // As a snapshot tells it each time, whether it changed or not.
    for (n, hour) in [(1, -54), (2, -30), (3, -6), (5, 0)] {
        let values = "'kc', 'acme', 0, map('eventsEnabled', 'true', 'hash', 'a')";
        bench.event((n, hour * 60, "state_events_config"), (columns, values)).await;
    }
    let values = "'kc', 'acme', 0, map('events_enabled', 'false')";
    bench.event((4, -4 * 60, "audit_config_changed"), (columns, values)).await;
    let running = bench.judging_lately();
    let found = bench.until(("D03", ""), |one| one.state == "OPEN").await;
    assert_eq!((found.first_at, found.last_at), (NOON - 4 * 60 * MINUTE, NOON), "{found:?}");
    // It was off, and is no more.
    let impaired = bench.until(("D11", ""), |one| one.state != "OPEN").await;
    assert_eq!(impaired.last_at, NOON, "{impaired:?}");
    running.abort();
}
