//! An event of which the correlation dies is found and left out, on record, and everything else goes on; it is tried again when somebody
//! asks for it, and by a program with other rules.

use super::{
    SECOND, key, login, stage, stands,
    support::{Database, NOON, TENANT},
    until,
};
use pipeline::{
    correlation::{Acknowledged, Announcement, Doing, Memory, Suspects, compare},
    faults::{Fault, Faults, Part},
};
use prometheus::Registry;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};
use store::{
    Block, Gap,
    correlation::{EVENT_SET_ASIDE, SetAside},
};
use tokio::{sync::watch, task::JoinHandle};

/// More than there are groups of suspects.
const MANY: u64 = 150;
/// Most events that are left out.
const MOST: usize = 100;

/// Numbers of the logins that kill, as long as they are in here.
type Poison = Arc<Mutex<BTreeSet<u64>>>;

fn poison(numbers: &[u64]) -> Poison {
    Arc::new(Mutex::new(numbers.iter().copied().collect()))
}

fn number(time: i64) -> u64 {
    u64::try_from((time - NOON) / SECOND).unwrap()
}

/// Dies when one is taken in.
fn taking(poison: &Poison) -> Suspects {
    let poison = poison.clone();
    Suspects::probed(Arc::new(move |doing| {
        if let Doing::Taking(told) = doing {
            let dies = poison.lock().unwrap().contains(&number(told.event.time));
            assert!(!dies, "of the test's");
        }
    }))
}

/// Dies when what one touched is answered, with whatever others.
fn answering(poison: &Poison) -> Suspects {
    let (poison, known) = (poison.clone(), Mutex::new(std::collections::HashMap::new()));
    Suspects::probed(Arc::new(move |doing| match doing {
        Doing::Taking(told) => drop(known.lock().unwrap().insert(told.event.event_id, number(told.event.time))),
        Doing::Answering(open) => {
            let known = known.lock().unwrap().clone();
            let dies = open.iter().any(|event| poison.lock().unwrap().contains(&known[event]));
            assert!(!dies, "of the test's");
        }
    }))
}

/// The stage of the only program, running.
struct Running {
    acknowledged: Acknowledged,
    faults: Faults,
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
}

impl Running {
    fn start(database: &Database, suspects: Suspects) -> Self {
        let faults = Faults::register(&Registry::new(), || NOON).unwrap();
        let acknowledged = Acknowledged::default();
        let stage = stage("one", (database.another(), acknowledged.clone()), faults.clone(), suspects);
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(async move { stage.run(stopped).await });
        Self { acknowledged, faults, stop, running }
    }

    async fn take(&self, database: &Database, numbers: std::ops::Range<u64>) {
        let block = logins(numbers);
        database.store.insert(&block).await.unwrap();
        self.acknowledged.note(&Announcement::of(&block));
    }

    fn fault(&self) -> Option<Fault> {
        self.faults.told().into_iter().find(|(part, _)| *part == Part::Correlation).map(|(_, fault)| fault)
    }

    async fn is_well(&self) {
        until("it is well", async || self.fault().is_some_and(|fault| fault.well).then_some(())).await;
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        self.running.await.unwrap();
    }
}

fn logins(numbers: std::ops::Range<u64>) -> Block {
    let mut all = Block::default();
    for one in numbers.map(login) {
        all.receipts.extend(one.receipts);
        all.events.extend(one.events);
    }
    all
}

async fn left_out(database: &Database) -> Vec<SetAside> {
    database.store.set_aside(TENANT).await.unwrap()
}

async fn numbers(database: &Database) -> Vec<u64> {
    left_out(database).await.iter().map(|one| number(one.time)).collect()
}

async fn gaps(database: &Database) -> Vec<Gap> {
    let mut gaps = database.store.gaps(TENANT, 0).await.unwrap();
    gaps.retain(|gap| gap.cause == EVENT_SET_ASIDE);
    gaps
}

/// What is said is what a fresh run over all other events says.
async fn agrees(database: &Database) {
    let config = correlate::Config { tenant: TENANT.into(), key: key(), joins: Vec::new(), skew: SECOND };
    let compared = compare(&database.store, config, Memory { budget: 1 << 30, clock: || NOON }).await.unwrap();
    assert!(!compared.rows.is_empty() && compared.differ.is_empty(), "{compared:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_be_taken_in_is_left_out_on_record_until_it_can() {
    let (database, ill) = (Database::new().await, poison(&[5]));
    let first = Running::start(&database, taking(&ill));
    first.take(&database, 0..20).await;
    stands(&database, 19).await;
    first.is_well().await;
    let out = left_out(&database).await;
    assert_eq!((out.len(), out[0].time, out[0].source_id.as_str()), (1, NOON + 5 * SECOND, "kc"));
    assert_eq!((out[0].person.len(), out[0].kind.is_empty()), (32, false));
    let [gap] = &gaps(&database).await[..] else { panic!("one gap") };
    assert_eq!((gap.source_id.as_str(), gap.missing, gap.repaired_at), ("kc", Some(1), None));
    assert!(gap.since <= out[0].time && gap.until.is_some_and(|until| until > out[0].time), "its hour: {gap:?}");
    agrees(&database).await;

    // The next start leaves it out and dies of nothing; what comes is answered.
    first.stop().await;
    let second = Running::start(&database, taking(&ill));
    second.take(&database, 20..21).await;
    stands(&database, 20).await;
    assert_eq!((second.fault(), numbers(&database).await), (None, vec![5]));

    // Tried again, it kills again, and is left out again.
    database.store.try_set_aside_again(TENANT, &left_out(&database).await).await.unwrap();
    until("it died again", async || second.fault().filter(|fault| fault.well)).await;
    let state = "SELECT toString(state) FROM events_set_aside";
    assert_eq!(database.sql().query(state).fetch_all::<String>().await.unwrap(), ["aside"]);
    assert_eq!(gaps(&database).await[0].repaired_at, None);
    stands(&database, 20).await;

    // Mended, it is taken in.
    ill.lock().unwrap().clear();
    database.store.try_set_aside_again(TENANT, &left_out(&database).await).await.unwrap();
    stands(&database, 21).await;
    until("nothing is left out", async || numbers(&database).await.is_empty().then_some(())).await;
    assert_eq!(gaps(&database).await[0].repaired_by, "correlation");
    agrees(&database).await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_of_whose_answers_it_dies_are_found_among_many() {
    let (database, ill) = (Database::new().await, poison(&[7, 8, 140]));
    database.store.insert(&logins(0..MANY)).await.unwrap();
    let program = Running::start(&database, answering(&ill));
    stands(&database, u32::try_from(MANY).unwrap() - 3).await;
    program.is_well().await;
    assert_eq!(numbers(&database).await, [7, 8, 140], "these, and no other");
    agrees(&database).await;

    // In a block that comes, too.
    ill.lock().unwrap().insert(MANY + 1);
    program.take(&database, MANY..MANY + 3).await;
    stands(&database, u32::try_from(MANY).unwrap() - 1).await;
    until("it is found", async || (numbers(&database).await == [7, 8, 140, MANY + 1]).then_some(())).await;
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_rules_died_of_is_tried_again() {
    let database = Database::new().await;
    let block = logins(0..3);
    database.store.insert(&block).await.unwrap();
    let older = SetAside::of(&block.events[1], String::new(), "older".into());
    database.store.set_events_aside(&[older]).await.unwrap();
    let program = Running::start(&database, Suspects::default());
    stands(&database, 3).await;
    until("nothing is left out", async || numbers(&database).await.is_empty().then_some(())).await;
    assert_eq!(gaps(&database).await[0].repaired_by, "correlation");
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_very_many_would_be_left_out_none_is_added() {
    let (database, ill) = (Database::new().await, poison(&[1]));
    let program = Running::start(&database, taking(&ill));
    program.take(&database, 0..3).await;
    stands(&database, 2).await;
    program.is_well().await;
    // As many more as may be, of which nothing else is known.
    let one = left_out(&database).await.remove(0);
    let others = logins(1_000..1_000 + MOST as u64 - 1).events;
    let others: Vec<SetAside> =
        others.iter().map(|event| SetAside::of(event, String::new(), one.rules.clone())).collect();
    database.store.set_events_aside(&others).await.unwrap();
    let before = program.fault().unwrap().count;
    program.stop().await;
    let program = Running::start(&database, taking(&ill));
    ill.lock().unwrap().insert(3);
    program.take(&database, 3..5).await;
    let dies = until("it dies again and again", async || program.fault().filter(|fault| fault.count >= 2)).await;
    assert!(before >= 1 && !dies.well, "{dies:?}");
    assert_eq!(left_out(&database).await.len(), MOST);
    stands(&database, 2).await;
    // It is no event's any more.
    ill.lock().unwrap().clear();
    stands(&database, 4).await;
    program.is_well().await;
    program.stop().await;
}
