//! The loop of a source: faults, ends, and what a feed that is off means.

use super::*;

#[tokio::test]
async fn the_loop_goes_on_after_every_fault_and_ends_when_told() {
    let bench = Bench::new().await;
    bench.store((0..30).map(|n| event(n, 1_000 + n as i64)));
    bench.fake.world().events_status = 403;
    let puller = Puller::open(&bench.source(), &around(&bench.journal, NOW)).unwrap();
    let mut status = puller.status().remove(0);
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(puller.run(stopped));
    until(&mut status, |status| status.states == [State::Forbidden { role: "view-events" }]).await;
    *bench.journal.fates.lock().unwrap() = [Fate::Lands, Fate::NotLanded].into();
    bench.fake.world().events_status = 200;
    until(&mut status, |status| status.states == [State::JournalFull]).await;
    until(&mut status, |status| status.passes > 0 && status.states == [State::Reachable]).await;
    bench.assert_each_once();
    assert_eq!(status.borrow().watermark(), Some(NOW - 1_000));
    stop.send(true).unwrap();
    assert_eq!(running.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_feed_that_is_off_has_no_watermark() {
    let bench = Bench::new().await;
    bench.fake.world().config["eventsEnabled"] = json!(false);
    let puller = Puller::open(&bench.source(), &around(&bench.journal, NOW)).unwrap();
    let mut status = puller.status().remove(0);
    let (_stop, stopped) = watch::channel(false);
    let running = tokio::spawn(puller.run(stopped));
    until(&mut status, |status| status.passes > 1).await;
    let seen = status.borrow().clone();
    assert_eq!((seen.user_watermark, seen.watermark()), (None, None));
    assert!(seen.admin_watermark.is_some());
    running.abort();
}

#[tokio::test]
async fn a_stopped_journal_ends_the_loop() {
    let bench = Bench::new().await;
    bench.store([event(1, 1_000)]);
    bench.journal.fates.lock().unwrap().push_back(Fate::Stops);
    let puller = Puller::open(&bench.source(), &around(&bench.journal, NOW)).unwrap();
    let (_stop, stopped) = watch::channel(false);
    assert_eq!(puller.run(stopped).await, Err(Stopped));
}
