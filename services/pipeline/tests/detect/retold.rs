//! Decisions that are said otherwise, or no more, after findings rested on them.

use super::{Bench, TENANT};

#[tokio::test(flavor = "multi_thread")]
async fn what_rests_on_a_decision_that_is_said_otherwise_or_no_more_is_judged_again() {
    let bench = Bench::new().await;
    for source in ["kc", "bs"] {
        bench.complete(source, 61).await;
    }
    for (person, minute) in [('a', 20), ('b', 21), ('c', 22)] {
        bench.let_in(person, minute).await;
    }
    let detector = bench.detector();
    let running = tokio::spawn(async move { detector.run().await });
    for person in ["a", "b", "c"] {
        bench.until(("D19", person), |one| one.state == "OPEN").await;
    }
    // The login comes late: a credential stands behind it.
    say(&bench, "a", "1 AS candidates").await;
    bench.until(("D19", "a"), |one| one.state == "WITHDRAWN").await;
    // And what is no decision any more stands for nothing.
    say(&bench, "b", "1 AS is_deleted").await;
    bench.until(("D19", "b"), |one| one.state == "WITHDRAWN").await;
    assert_eq!(bench.of("D19", "c").await.unwrap().state, "OPEN", "whose decision is as it was");
    running.abort();
}

/// Writes a person's decisions anew.
pub async fn say(bench: &Bench, person: &str, column: &str) {
    let sql = format!(
        "INSERT INTO decision_rows SELECT * REPLACE (version + 1 AS version, {column}) FROM decision_rows FINAL \
         WHERE tenant = '{TENANT}' AND startsWith(person, '{person}')"
    );
    bench.database.sql().query(&sql).execute().await.unwrap();
}
