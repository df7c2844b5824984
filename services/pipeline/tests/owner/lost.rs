//! A record that never came holds up nothing that is said of those behind it; one that comes after all is said to be taken in when it is.

use super::{
    board::End,
    feed::Feed,
    flow,
    holder::Holder,
    stage, stands,
    support::{Database, NOON, TENANT},
    until,
};
use pipeline::{
    correlation::{Acknowledged, Correlating, Phase, Suspects},
    faults::Faults,
};
use prometheus::Registry;
use tokio::{sync::watch, task::JoinHandle};

/// What the cursor says of the one stream: the first number that is not taken in, ranges behind it, how many are.
type Told = (u64, String, u64);

async fn told(database: &Database) -> Option<Told> {
    let sql = "SELECT next, toString(beyond), taken FROM correlated WHERE tenant = ? AND stream != repeat('0', 32)";
    database.sql().query(sql).bind(TENANT).fetch_all().await.unwrap().pop()
}

fn row((next, beyond, taken): (u64, &str, u64)) -> Told {
    (next, beyond.to_owned(), taken)
}

async fn tells(database: &Database, wanted: (u64, &str, u64)) {
    until(&format!("{wanted:?} is told"), async || (told(database).await? == row(wanted)).then_some(())).await;
}

/// The correlation, running until it is told to stop.
fn correlating(store: store::Store, acknowledged: &Acknowledged) -> (watch::Sender<bool>, JoinHandle<()>) {
    let faults = Faults::register(&Registry::new(), || NOON).unwrap();
    let stage = stage("one", (store, acknowledged.clone()), faults, Suspects::default());
    let (end, ended) = watch::channel(false);
    (end, tokio::spawn(async move { stage.run(ended).await }))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_behind_a_lost_record_is_told_and_the_record_only_when_it_is_taken_in() {
    let database = Database::new().await;
    let (log, acknowledged) = (Feed::new(), Acknowledged::default());
    let holder = Holder::start(database.address(), "session_rows").await;
    let (end, running) = correlating(database.through(holder.url.clone()), &acknowledged);
    let (stop, flowing) = flow(log.clone(), database.another(), Correlating::<End>::Here(acknowledged.clone()));
    for number in [0, 1, 4, 5, 7] {
        log.put(number);
    }
    stands(&database, 5).await;
    tells(&database, (2, "[(4,6),(7,8)]", 5)).await;

    // One comes after all: it is stored, and its answer hangs on its way.
    holder.arm();
    log.put(3);
    holder.held.subscribe().wait_for(|held| *held).await.unwrap();
    let stored = "SELECT count() FROM receipts WHERE seq = 3";
    assert_eq!(database.sql().query(stored).fetch_one::<u64>().await.unwrap(), 1);
    assert_eq!(told(&database).await, Some(row((2, "[(4,6),(7,8)]", 5))), "it is not said to be taken in before");
    holder.release();
    stands(&database, 6).await;
    tells(&database, (2, "[(3,6),(7,8)]", 6)).await;
    end.send_replace(true);
    running.await.unwrap();

    // The next start knows them, and what is missing when it begins comes later as well.
    let (end, running) = correlating(database.another(), &acknowledged);
    log.put(8);
    tells(&database, (2, "[(3,6),(7,9)]", 7)).await;
    until("it follows", async || (acknowledged.standing().phase == Phase::Following).then_some(())).await;
    log.put(2);
    stands(&database, 8).await;
    tells(&database, (6, "[(7,9)]", 8)).await;
    log.put(6);
    stands(&database, 9).await;
    tells(&database, (9, "[]", 9)).await;
    end.send_replace(true);
    running.await.unwrap();
    stop.send_replace(true);
    flowing.await.unwrap();
}
