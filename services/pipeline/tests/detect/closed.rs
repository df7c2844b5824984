//! What was closed stands again where it goes on, and only there; and a register that is filled anew from the log, in any order, comes to
//! the same.

use super::{Bench, MINUTE, TENANT, retold::say, support::NOON};
use tokio::task::JoinHandle;

impl Bench {
    fn judging(&self) -> JoinHandle<()> {
        let detector = self.detector();
        tokio::spawn(async move { detector.run().await })
    }

    async fn query(&self, sql: &str) {
        self.database.sql().query(sql).execute().await.unwrap();
    }

    /// How often the rules answered an act on a person's finding.
    async fn revived(&self, person: &str) -> usize {
        let finding = self.of("D19", person).await.unwrap().finding_id;
        let changes = self.database.store.finding_changes(TENANT, finding).await.unwrap();
        changes.iter().filter(|change| change.what == "revived").count()
    }

    async fn handled(&self) -> [String; 3] {
        let mut states = Vec::new();
        for person in ["a", "b", "c"] {
            states.push(self.of("D19", person).await.unwrap().state);
        }
        states.try_into().unwrap()
    }
}

/// Three findings, closed after 30 minutes: `a` does no more, `b` goes on and is closed once more, `c` goes on.
async fn closed() -> Bench {
    let bench = Bench::new().await;
    for source in ["kc", "bs"] {
        bench.complete(source, 61).await;
    }
    for (person, minute) in [('a', 20), ('b', 21), ('c', 22)] {
        bench.let_in(person, minute).await;
    }
    let running = bench.judging();
    for person in ["a", "b", "c"] {
        let found = bench.until(("D19", person), |one| one.state == "OPEN").await;
        bench.close(found.finding_id, 30).await;
    }
    running.abort();
    bench.let_in('b', 40).await;
    bench.let_in('c', 41).await;
    let running = bench.judging();
    let again = bench.until(("D19", "b"), |one| one.state == "OPEN").await;
    bench.until(("D19", "c"), |one| one.state == "OPEN").await;
    running.abort();
    // More of the same is no news until somebody is done with it again.
    bench.let_in('b', 45).await;
    let running = bench.judging();
    bench.until(("D19", "b"), |one| one.last_at == NOON + 45 * MINUTE).await;
    assert_eq!((bench.revived("a").await, bench.revived("b").await), (0, 1));
    bench.close(again.finding_id, 50).await;
    running.abort();
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_after_it_was_closed_stands_again_once_also_where_the_register_is_filled_anew() {
    let bench = closed().await;
    let states = bench.handled().await;
    assert_eq!(states, ["CLOSED", "CLOSED", "OPEN"]);

    bench.query("CREATE TABLE acts ENGINE = MergeTree ORDER BY tuple() AS SELECT * FROM finding_change_rows WHERE actor != 'rules'").await;
    let early = format!("changed_at <= fromUnixTimestamp64Milli({}, 'UTC')", NOON + 30 * MINUTE);
    let put_back = async |which: &str| {
        bench.query(&format!("INSERT INTO finding_change_rows SELECT * FROM acts WHERE {which}")).await
    };
    // What people did is read before anything is found, or after it, or in part.
    for (before, after) in [("1", "0"), ("0", "1"), (early.as_str(), "1")] {
        bench.query("TRUNCATE TABLE finding_rows").await;
        bench.query("TRUNCATE TABLE finding_change_rows").await;
        put_back(before).await;
        let running = bench.judging();
        for (person, minute) in [("a", 20), ("b", 45), ("c", 41)] {
            bench.until(("D19", person), |one| one.last_at == NOON + minute * MINUTE && one.standing == "open").await;
        }
        if before == early {
            bench.until(("D19", "b"), |one| one.state == "OPEN").await;
        }
        put_back(after).await;
        bench.until(("D19", "c"), |one| one.state == "OPEN" && one.changes == 2).await;
        assert_eq!(bench.handled().await, states, "{before}, {after}");
        running.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_closed_and_withdrawn_and_is_found_again_as_it_was_stays_closed() {
    let bench = closed().await;
    let running = bench.judging();
    bench.until(("D19", "b"), |one| one.state == "CLOSED").await;
    say(&bench, "b", "1 AS candidates").await;
    bench.until(("D19", "b"), |one| one.state == "WITHDRAWN").await;
    say(&bench, "b", "0 AS candidates").await;
    bench.until(("D19", "b"), |one| one.standing == "open").await;
    assert_eq!(bench.handled().await, ["CLOSED", "CLOSED", "OPEN"]);
    // The same with news.
    say(&bench, "a", "1 AS candidates").await;
    bench.until(("D19", "a"), |one| one.state == "WITHDRAWN").await;
    bench.let_in('a', 55).await;
    say(&bench, "a", "0 AS candidates").await;
    bench.until(("D19", "a"), |one| one.state == "OPEN").await;
    running.abort();
}
