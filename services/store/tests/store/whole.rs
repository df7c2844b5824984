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
    let query = DriftQuery::of(TENANT, (0, 1_000_000));
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
    let query = DriftQuery { persons: Some(&persons), ..DriftQuery::of(TENANT, (0, 1_000_000)) };
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
        // A read of state: one who may sign in, and one who may not.
        (7, "state_user", "true"),
        (8, "state_user", "false"),
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
    let query = DriftQuery::of(TENANT, (0, 1_000_000));
    let accounts = |numbers: &[u32]| numbers.iter().map(|number| format!("{number:032x}")).collect::<Vec<_>>();
    assert_eq!(database.store.drift_put_out(&query).await.unwrap(), accounts(&[2, 3, 4, 5, 8]));
    let later = DriftQuery { from: 30, to: 50, ..query };
    assert_eq!(database.store.drift_put_out(&later).await.unwrap(), accounts(&[3, 4]));
}

/// Many sign in all day and mistype now and then: only those are named into whose account somebody came after a row of failures.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_guessed_at_is_named_and_nobody_else() {
    let database = Database::new().await;
    // F: failed, S: good, L: locked; one a millisecond, and from 1000 on what a round looks at.
    let stories = [
        (1, 990, "FFFS", false),
        (2, 1_000, "FFFFS", true),
        // A good one between them.
        (3, 1_000, "FFFSFFFS", false),
        (4, 1_000, "LFS", true),
        // Nobody came in, or not in the time that is asked for.
        (5, 1_000, "FFFFFFFF", false),
        (6, 900, "FFFFS", false),
        // What came before the time counts.
        (7, 996, "FFFFS", true),
        // But only so far back.
        (8, 890, "FFFF", false),
        (8, 1_100, "S", false),
        (0, 1_000, "FFFFS", false),
    ];
    for (account, first, story, _) in stories {
        for (place, one) in story.chars().enumerate() {
            let (kind, outcome) = match one {
                'L' => ("user_locked_temporarily", ""),
                'F' => ("login", "failure"),
                _ => ("login", "success"),
            };
            let at = first + place;
            // Told on two ways each, which is not twice as many failures.
            let made = format!(
                "INSERT INTO event_rows (tenant, event_id, time, kind, outcome, person, input) SELECT '{TENANT}', \
                 toUUID('00000000-0000-0000-{account:04x}-{at:012x}'), fromUnixTimestamp64Milli(toInt64({at})), '{kind}', '{outcome}', \
                 unhex('{account:032x}'), arrayJoin(['webhook', 'pull'])"
            );
            database.sql().query(&made).execute().await.unwrap();
        }
    }
    let query = DriftQuery::of(TENANT, (1_000, 2_000));
    let named = stories.iter().filter(|(.., named)| *named).map(|(account, ..)| format!("{account:032x}"));
    assert_eq!(database.store.drift_guessed(&query, (4, 100)).await.unwrap(), named.collect::<Vec<_>>());
    // Where no number of failures is asked for, lockouts alone count.
    assert_eq!(database.store.drift_guessed(&query, (0, 100)).await.unwrap(), [format!("{:032x}", 4)]);
    // More than a request can name.
    let many = format!(
        "INSERT INTO event_rows (tenant, event_id, time, kind, outcome, person) SELECT '{TENANT}', generateUUIDv7(number), \
         fromUnixTimestamp64Milli(toInt64(1000 + number % 5)), 'login', if(number % 5 = 4, 'success', 'failure'), \
         reverse(reinterpretAsFixedString(toUInt128(1000 + intDiv(number, 5)))) FROM numbers(5000)"
    );
    database.sql().query(&many).execute().await.unwrap();
    assert_eq!(database.store.drift_guessed(&query, (4, 100)).await.unwrap().len(), 1_003);
}

/// Most rights are given to somebody else by who may: those are not read.
#[tokio::test(flavor = "multi_thread")]
async fn of_what_is_given_only_what_may_be_to_oneself_is_read() {
    let database = Database::new().await;
    // Account 3 is person 4. Told: the event, whom it is about, who did it and as what; and whether a rule may ask about it.
    let stories = [
        ("impersonated", 1, 2, "admin", true),
        ("group_member_added", 1, 2, "admin", false),
        ("group_member_added", 1, 1, "user", true),
        ("group_member_added", 3, 4, "admin", true),
        ("group_member_added", 4, 3, "admin", true),
        ("group_member_added", 0, 0, "", false),
        ("role_granted", 1, 2, "admin", false),
        ("role_granted", 2, 2, "", true),
        ("role_granted", 0, 2, "admin", true),
        // By nobody who could have it thereby.
        ("role_granted", 0, 0, "", false),
        ("composite_added", 0, 2, "admin", true),
        ("composite_added", 0, 0, "", false),
        // One who is named may have given it to themselves, and who gave it is known later.
        ("backstage_role_member_added", 1, 2, "user", true),
        ("backstage_role_member_added", 1, 2, "plugin", false),
        ("login", 1, 1, "user", false),
    ];
    let alias =
        format!("INSERT INTO alias_rows (tenant, account, person) SELECT '{TENANT}', '{:032x}', '{:032x}'", 3, 4);
    database.sql().query(&alias).execute().await.unwrap();
    for (at, (kind, person, actor, role, _)) in stories.iter().enumerate() {
        let made = format!(
            "INSERT INTO event_rows (tenant, event_id, time, kind, person, actor, actor_kind, same) SELECT '{TENANT}', generateUUIDv7(), \
             fromUnixTimestamp64Milli(toInt64({at})), '{kind}', unhex('{person:032x}'), \
             if({person} = {actor}, toFixedString('', 16), unhex('{actor:032x}')), '{role}', if({person} = {actor} AND {person} != 0, 2, 0)"
        );
        database.sql().query(&made).execute().await.unwrap();
    }
    let query = DriftQuery::of(TENANT, (0, 1_000));
    let found: Vec<i64> = database.store.drift_watched(&query).await.unwrap().iter().map(|act| act.time).collect();
    let asked = (0..).zip(stories).filter(|(_, story)| story.4).map(|(at, _)| at);
    assert_eq!(found, asked.collect::<Vec<i64>>());
}

/// Versions of one event, and copies by other inputs: what it says now counts, by the input that counts.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_version_or_another_copy_says_is_what_is_read() {
    let database = Database::new().await;
    // Event, version, deleted, input, by whom it was given to account 1.
    let rows = [
        (1, 1, 0, "webhook", 1),
        (1, 2, 0, "webhook", 2),
        (2, 1, 0, "webhook", 2),
        (2, 2, 0, "webhook", 1),
        (3, 1, 0, "webhook", 1),
        (3, 2, 1, "webhook", 1),
        (4, 1, 0, "webhook", 1),
        (4, 1, 0, "pull", 1),
        (5, 1, 0, "webhook", 2),
        (5, 1, 0, "pull", 1),
        (6, 1, 0, "webhook", 1),
        (6, 1, 0, "pull", 2),
    ];
    for (event, version, deleted, input, actor) in rows {
        let made = format!(
            "INSERT INTO event_rows (tenant, source_id, event_id, time, version, is_deleted, input, kind, person, actor) SELECT '{TENANT}', 'kc', \
             toUUID('00000000-0000-0000-0000-{event:012x}'), fromUnixTimestamp64Milli(toInt64({event})), {version}, {deleted}, '{input}', \
             'group_member_added', unhex('{:032x}'), unhex('{actor:032x}')",
            1
        );
        database.sql().query(&made).execute().await.unwrap();
    }
    let acts = database.store.drift_watched(&DriftQuery::of(TENANT, (0, 1_000))).await.unwrap();
    assert_eq!(acts.iter().map(|act| act.time).collect::<Vec<_>>(), [2, 4, 6]);
}
