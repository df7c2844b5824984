//! What goes wrong beside the flow holds nothing up, is told, and is made up for: a correlation that dies, a bulletin that takes nothing.

use super::{
    Processor,
    board::{Board, End},
    feed::Feed,
    flow, stage, standing, stands,
    support::{Database, NOON, TENANT},
    until,
};
use pipeline::{
    correlation::{Acknowledged, Correlating, CorrelationMetrics, Doing, Suspects},
    faults::{Faults, Part},
};
use prometheus::{Registry, TextEncoder};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::watch;

/// More blocks than may wait to be told.
const MANY: u64 = 70;

#[tokio::test(flavor = "multi_thread")]
async fn a_correlation_that_dies_holds_nothing_up_is_told_and_begins_again() {
    let database = Database::new().await;
    let (log, acknowledged, registry) = (Feed::new(), Acknowledged::default(), Registry::new());
    let faults = Faults::register(&registry, || NOON).unwrap();
    let dies = Arc::new(AtomicBool::new(false));
    // Whatever it is about to answer, nothing too: no event is to blame.
    let suspects = {
        let dies = dies.clone();
        Suspects::probed(Arc::new(move |doing| {
            assert!(!matches!(doing, Doing::Answering(_)) || !dies.load(Ordering::SeqCst), "of the test's");
        }))
    };
    let stage = stage("one", (database.another(), acknowledged.clone()), faults.clone(), suspects);
    let (end, ended) = watch::channel(false);
    let correlating = tokio::spawn(async move { stage.run(ended).await });
    let (stop, running) = flow(log.clone(), database.another(), Correlating::<End>::Here(acknowledged.clone()));
    log.put(0);
    stands(&database, 1).await;
    assert_eq!(faults.told(), []);
    let metrics = || TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let works = async || metrics().contains("tokentrail_part_up{part=\"correlation\"} 1").then_some(());
    until("it works", works).await;

    dies.store(true, Ordering::SeqCst);
    (1..=20).for_each(|number| log.put(number));
    until("the flow goes on", async || (log.settled() == 21).then_some(())).await;
    let receipts = "SELECT count() FROM receipts";
    assert_eq!(database.sql().query(receipts).fetch_one::<u64>().await.unwrap(), 21);
    let fault =
        until("it dies again and again", async || faults.told().first().copied().filter(|(_, fault)| fault.count >= 2))
            .await;
    assert!(fault.0 == Part::Correlation && !fault.1.well && fault.1.at == NOON, "{fault:?}");
    assert!(metrics().contains("tokentrail_part_up{part=\"correlation\"} 0"), "{}", metrics());
    assert_eq!(standing(&database).await.map(|one| one.0), Some(1), "the answers are those of before");

    dies.store(false, Ordering::SeqCst);
    stands(&database, 21).await;
    until("it is well", async || faults.told()[0].1.well.then_some(())).await;
    until("nothing is behind", async || (acknowledged.standing().lag == 0).then_some(())).await;
    assert!(metrics().contains("tokentrail_part_up{part=\"correlation\"} 1"), "{}", metrics());
    end.send_replace(true);
    correlating.await.unwrap();
    stop.send_replace(true);
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_announced_is_told_by_clickhouse_and_holds_nothing_up() {
    let database = Database::new().await;
    let (board, log) = (Arc::new(Board::default()), Feed::new());
    let owner = Processor::start("owner", database.another(), &board);
    owner.end.choose();
    let (here, metrics) = (Acknowledged::default(), CorrelationMetrics::register(&Registry::new()).unwrap());
    let to = Correlating::By(End::of(&board), here.clone(), metrics.clone());
    let (stop, running) = flow(log.clone(), database.another(), to);
    log.put(0);
    stands(&database, 1).await;
    until("it is announced", async || (log.settled() == 1).then_some(())).await;
    assert_eq!((metrics.aside.get(), here.unannounced()), (0, None));

    *board.refuses.lock().unwrap() = true;
    (1..=MANY).for_each(|number| log.put(number));
    until("positions move", async || (log.settled() == MANY + 1).then_some(())).await;
    assert!(here.unannounced().unwrap().contains("the test says so"));
    assert_eq!(metrics.aside.get(), MANY);
    stands(&database, u32::try_from(MANY + 1).unwrap()).await;
    until("every note is answered", async || {
        database.store.unannounced(TENANT).await.unwrap().is_empty().then_some(())
    })
    .await;

    // When it takes announcements again, it is used again.
    *board.refuses.lock().unwrap() = false;
    let mut last = MANY;
    until("it is used again", async || {
        if log.settled() == last + 1 {
            last += 1;
            log.put(last);
        }
        here.unannounced().is_none().then_some(())
    })
    .await;
    stands(&database, u32::try_from(last + 1).unwrap()).await;
    stop.send_replace(true);
    running.await.unwrap();
    owner.stop().await;
}
