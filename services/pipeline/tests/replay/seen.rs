//! What a reader sees of a database.

use crate::support::{Database, NOON, TENANT};
use pipeline::replay::Summary;
use std::time::Duration;
use store::Rolling;

pub const DAY: i64 = 86_400_000;

/// All that a reader can see, and, beyond the views, which row stands at which key.
#[derive(Debug, PartialEq)]
pub struct Seen {
    events: String,
    pub by_day: Vec<String>,
    fates: String,
    dead: String,
    standing: String,
}

pub async fn text(database: &Database, sql: &str) -> String {
    let mut lines = database.sql().query(sql).fetch_bytes("JSONEachRow").unwrap();
    String::from_utf8(lines.collect().await.unwrap().to_vec()).unwrap()
}

pub async fn seen(database: &Database) -> Seen {
    let mut by_day = Vec::new();
    for day in [0, 2, 40] {
        let (from, to) = (NOON + day * DAY - DAY / 2, NOON + day * DAY + DAY / 2);
        let sql = format!("SELECT * FROM events_in(from = {from}, to = {to}) ORDER BY time, event_id");
        by_day.push(text(database, &sql).await);
    }
    everybody_has_their_story(database).await;
    for one in database.store.fates(TENANT).await.unwrap() {
        assert_eq!(one.received, one.stored + one.duplicate + one.ignored + one.dead, "{one:?}");
    }
    let fates = text(database, "SELECT * FROM fates ORDER BY source_id, input").await;
    let recounted = text(database, "SELECT * FROM fates_recounted ORDER BY source_id, input").await;
    assert_eq!(fates, recounted, "counts are those of all receipts");
    // Rolled up now, so that what comes next has kept counts to change.
    database.store.roll(&Rolling { quiet: Duration::ZERO, cells: usize::MAX }).await.unwrap();
    let kept = text(database, "SELECT * FROM fates ORDER BY source_id, input").await;
    assert_eq!(kept, recounted, "kept counts are those of all receipts");
    Seen {
        events: text(database, "SELECT * FROM events ORDER BY time, event_id").await,
        by_day,
        fates,
        dead: text(database, "SELECT * FROM dead_letters ORDER BY stream, seq, commitment").await,
        standing: text(
            database,
            "SELECT source_id, time, event_id, input, version, kind, lower(hex(stream)) AS stream, seq FROM event_rows FINAL \
             WHERE is_deleted = 0 ORDER BY ALL",
        )
        .await,
    }
}

/// What is found by where somebody's events stand is what all events say of them.
async fn everybody_has_their_story(database: &Database) {
    let named = "SELECT arrayJoin(arrayFilter(k -> k != '', arrayDistinct([person, actor]))) AS key FROM events";
    let keys: Vec<String> =
        database.sql().query(&format!("SELECT DISTINCT key FROM ({named}) ORDER BY key")).fetch_all().await.unwrap();
    let (from, to) = (NOON - 400 * DAY, NOON + 400 * DAY);
    let story = format!(
        "SELECT * FROM events_of(tenant = '{TENANT}', persons = {keys:?}, from = {from}, to = {to}) ORDER BY time, event_id"
    )
    .replace('"', "'");
    let all = "SELECT * FROM events WHERE person != '' OR actor != '' ORDER BY time, event_id";
    assert_eq!(text(database, &story).await, text(database, all).await);
}

pub async fn kinds(database: &Database) -> Vec<String> {
    database.sql().query("SELECT concat(native_id, ' ', kind) FROM events ORDER BY 1").fetch_all().await.unwrap()
}

pub fn change(summary: &Summary) -> Vec<(&str, &str, u64)> {
    summary.fates.iter().map(|one| (one.from.as_str(), one.to.as_str(), one.receipts)).collect()
}

/// Parts change when something is written; after a merge of everything nothing else changes them.
pub async fn parts(database: &Database) -> String {
    let sql = "SELECT table, name FROM system.parts WHERE database = currentDatabase() AND active \
        AND table IN ('event_rows', 'receipt_rows', 'raw_bodies') ORDER BY ALL";
    text(database, sql).await
}

pub async fn merge(database: &Database) {
    for table in ["event_rows", "receipt_rows", "raw_bodies"] {
        database.sql().query(&format!("OPTIMIZE TABLE {table} FINAL")).execute().await.unwrap();
    }
}
