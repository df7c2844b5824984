//! A rule that is switched off looks after nothing: what stood of it stands no more, and stands again once the rule is on and finds it.

use super::{Bench, PATIENCE, TENANT, support::NOON};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_found_stands_only_while_the_rule_is_on() {
    let bench = Bench::new().await;
    for source in ["kc", "bs"] {
        bench.complete(source, 61).await;
    }
    bench.let_in('a', 20).await;
    bench.let_in('b', 21).await;
    let run = |off: &[&str]| {
        let mut detector = bench.detector();
        detector.reader.settings.disabled = off.iter().map(|rule| (*rule).to_owned()).collect();
        tokio::spawn(async move { detector.run().await })
    };
    let running = run(&[]);
    let found = bench.until(("D19", "a"), |one| one.state == "OPEN").await;
    let closed = bench.until(("D19", "b"), |one| one.state == "OPEN").await;
    running.abort();
    bench.close(closed.finding_id, 30).await;

    let running = run(&["D19"]);
    let over = bench.until(("D19", "a"), |one| one.state == "WITHDRAWN").await;
    let history = bench.database.store.finding_changes(TENANT, over.finding_id).await.unwrap();
    assert!(history.last().unwrap().reason.contains("switched off"), "{history:?}");
    assert_eq!(bench.of("D19", "b").await.unwrap().state, "CLOSED", "what somebody is done with stays so");
    // Said by the same round, after what it changed.
    let began = Instant::now();
    let stands = async || {
        let states = bench.database.store.rule_states(TENANT).await.unwrap();
        states.into_iter().find(|one| one.rule == "D19").map(|one| (one.state, one.open))
    };
    while stands().await != Some(("DISABLED".to_owned(), 0)) {
        assert!(began.elapsed() < PATIENCE, "{:?}", stands().await);
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    running.abort();

    let running = run(&[]);
    let again = bench.until(("D19", "a"), |one| one.state == "OPEN").await;
    assert_eq!((again.finding_id, again.first_at, again.changes), (found.finding_id, NOON + 20 * super::MINUTE, 3));
    assert_eq!(bench.of("D19", "b").await.unwrap().state, "CLOSED");
    running.abort();
}
