//! An answer is whole, or an error: a part of it would be taken for all there is.

use crate::support::{Database, TENANT};
use store::{StoreError, drift_facts::DriftQuery};

#[tokio::test(flavor = "multi_thread")]
async fn more_than_one_answer_holds_is_refused_and_less_is_given() {
    let database = Database::new().await;
    let made = format!(
        "INSERT INTO event_rows (tenant, event_id, time, kind) SELECT '{TENANT}', generateUUIDv7(number), \
         fromUnixTimestamp64Milli(toInt64(number)), 'impersonated' FROM numbers(200001)"
    );
    database.sql().query(&made).execute().await.unwrap();
    let query = DriftQuery { tenant: TENANT, persons: None, from: 0, to: 1_000_000 };
    let refused = database.store.drift_acts(&query, &["impersonated"]).await.unwrap_err();
    assert!(matches!(refused, StoreError::TooMany { what: "events", most: 200_000 }), "{refused}");
    assert!(!refused.is_unavailable(), "asking again would not help");
    assert!(refused.to_string().contains("a shorter time"), "{refused}");
    let shorter = DriftQuery { to: 200_000, ..query };
    assert_eq!(database.store.drift_acts(&shorter, &["impersonated"]).await.unwrap().len(), 200_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_more_persons_than_one_request_can_name_all_are_asked_for() {
    let database = Database::new().await;
    let made = format!(
        "INSERT INTO event_rows (tenant, event_id, time, kind, person) SELECT '{TENANT}', generateUUIDv7(number), \
         fromUnixTimestamp64Milli(toInt64(number)), 'login', reverse(reinterpretAsFixedString(toUInt128(number + 1))) FROM numbers(60000)"
    );
    database.sql().query(&made).execute().await.unwrap();
    let persons: Vec<String> = (1..=60_000).map(|number| format!("{number:032x}")).collect();
    let query = DriftQuery { tenant: TENANT, persons: Some(&persons), from: 0, to: 1_000_000 };
    let acts = database.store.drift_acts(&query, &["login"]).await.unwrap();
    assert_eq!(acts.len(), 60_000);
    assert!(acts.is_sorted_by_key(|act| (act.time, act.event_id)));
    assert!(database.store.drift_decisions(&query).await.unwrap().is_empty());
}

/// Most accounts change all the time: those of whom a rule may ask are named by ClickHouse, and nobody else's changes are read.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_put_out_is_named_and_nobody_else() {
    let database = Database::new().await;
    let done = [
        (1, "user_updated", "true"),
        (2, "user_updated", "false"),
        (3, "user_deleted", ""),
        (4, "user_locked_permanently", ""),
        (5, "user_created", "false"),
        // Says nothing of an account.
        (6, "login", "false"),
        (0, "user_deleted", ""),
    ];
    for (account, kind, enabled) in done {
        let made = format!(
            "INSERT INTO event_rows (tenant, event_id, time, kind, person, details) SELECT '{TENANT}', generateUUIDv7(), \
             fromUnixTimestamp64Milli(toInt64({account} * 10)), '{kind}', unhex('{account:032x}'), map('enabled', '{enabled}')"
        );
        database.sql().query(&made).execute().await.unwrap();
    }
    let query = DriftQuery { tenant: TENANT, persons: None, from: 0, to: 1_000_000 };
    let accounts = |numbers: &[u32]| numbers.iter().map(|number| format!("{number:032x}")).collect::<Vec<_>>();
    assert_eq!(database.store.drift_put_out(&query).await.unwrap(), accounts(&[2, 3, 4, 5]));
    let later = DriftQuery { from: 30, to: 50, ..query };
    assert_eq!(database.store.drift_put_out(&later).await.unwrap(), accounts(&[3, 4]));
}
