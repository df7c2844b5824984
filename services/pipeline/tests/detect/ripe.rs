//! Up to where a source is complete: as its live inputs say, whatever an import or a snapshot has reached.

use super::Bench;
use events::receipt::Input;

#[tokio::test(flavor = "multi_thread")]
async fn an_import_or_a_snapshot_makes_nothing_ripe_that_is_still_on_its_way() {
    let bench = Bench::new().await;
    bench.complete("kc", 61).await;
    bench.complete("bs", 46).await;
    for input in [Input::Import, Input::Snapshot] {
        bench.mark(("kc", input), 61).await;
        bench.mark(("bs", input), 61).await;
    }
    bench.let_in('a', 45).await;
    bench.let_in('b', 50).await;
    let detector = bench.detector();
    let running = tokio::spawn(async move { detector.run().await });
    bench.until(("D19", "a"), |one| one.state == "OPEN").await;
    assert_eq!(bench.of("D19", "b").await, None, "the login may still come");
    bench.complete("bs", 61).await;
    bench.until(("D19", "b"), |one| one.state == "OPEN").await;
    running.abort();
}
