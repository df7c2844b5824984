//! kill -9 of collector, processor, broker and engine in turn, under load, against a ledger kept by the client: nothing
//! acknowledged is lost, nothing is stored twice, no position is ahead of ClickHouse. `TOKENTRAIL_KAFKA_CYCLES` for more than
//! the suite's 20.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use rand::Rng;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::{Headers, Message},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use support::{
    Program, client,
    kafka::{ClickHouse, Deployment, drained},
    login, sign,
};
use testbed::{Kafka, KafkaOptions, until};

const RECEIPTS: &str = "tokentrail.receipts.v1";
/// Clients that post at once.
const CLIENTS: usize = 4;

/// Not a test: where the engine's child process begins.
#[test]
fn engine_child() {
    store::engine::run_if_asked();
}

#[derive(Default)]
struct Ledger {
    next: AtomicU64,
    stop: AtomicBool,
    /// Address and secret of the collector that runs; none between two lives.
    at: Mutex<Option<(String, String)>>,
    acknowledged: Mutex<BTreeSet<String>>,
}

/// Posts fresh deliveries; what is not acknowledged is left alone, as Keycloak's plugin would.
async fn load(ledger: Arc<Ledger>) {
    let http = client();
    while !ledger.stop.load(Ordering::Relaxed) {
        let at = ledger.at.lock().unwrap().clone();
        let Some((url, secret)) = at else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let id = format!("44444444-0000-4000-8000-{:012}", ledger.next.fetch_add(1, Ordering::Relaxed));
        let body = login(&id, 1_795_469_103_342);
        let request = http.post(&url).header("x-keycloak-signature", sign(&secret, body.as_bytes())).body(body);
        match request.header("content-type", "application/json").send().await {
            Ok(answer) if answer.status().is_success() => {
                ledger.acknowledged.lock().unwrap().insert(id);
            }
            Ok(answer) => assert_eq!(answer.status().as_u16(), 503, "only a full or stopping journal may refuse"),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
        // Steady, so that the machine is not only busy posting.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn point(ledger: &Ledger, collector: &Program) {
    let url = format!("{}/v1/keycloak/keycloak", collector.intake());
    *ledger.at.lock().unwrap() = Some((url, collector.secret("keycloak.webhook")));
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_stored_twice_over_kafka() {
    let cycles: u32 = std::env::var("TOKENTRAIL_KAFKA_CYCLES").map_or(20, |n| n.parse().expect("a number of cycles"));
    let dir = tempfile::tempdir().unwrap();
    let mut kafka = Kafka::start(&KafkaOptions::default()).unwrap();
    let mut deployment = Deployment::new(dir.path(), &kafka);
    // The least that a broker lets a group wait for one that was killed.
    deployment.set("TOKENTRAIL__KAFKA__CONSUMER__SESSION.TIMEOUT.MS", "\"6000\"");
    assert!(deployment.apply_topics().status.success());
    let clickhouse = ClickHouse::start(dir.path());
    let store = clickhouse.settings(&deployment.data("processor"));
    let mut collector = deployment.start("collect", "collector", &[]);
    let mut processor = deployment.start("process", "processor", &store);

    let ledger = Arc::new(Ledger::default());
    point(&ledger, &collector);
    let shared = ledger.clone();
    let posting = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut clients = tokio::task::JoinSet::new();
            (0..CLIENTS).for_each(|_| drop(clients.spawn(load(shared.clone()))));
            while let Some(done) = clients.join_next().await {
                done.unwrap();
            }
        });
    });
    let began = Instant::now();
    let (mut under_load, mut looked, mut stood) = ([0; 4], 0, 0);
    for cycle in 0..cycles {
        let victim = (cycle % 4) as usize;
        if victim == 1 {
            // One that has no partitions yet (the group waits for the one before it) does not work: its death shows nothing.
            until("a processor that settles", || (settled(&deployment.brokers) > stood).then_some(()));
        }
        let before = ledger.acknowledged.lock().unwrap().len();
        // The moment of the kill is the one thing here that must be random time and not a condition.
        std::thread::sleep(Duration::from_millis(rand::rng().random_range(100..1500)));
        under_load[victim] += usize::from(ledger.acknowledged.lock().unwrap().len() > before);
        match victim {
            0 => {
                *ledger.at.lock().unwrap() = None;
                collector.kill();
                collector = deployment.start("collect", "collector", &[]);
                point(&ledger, &collector);
            }
            1 => {
                let run = processor.store();
                processor.kill();
                stood = settled(&deployment.brokers);
                looked += settled_is_stored(&deployment.brokers, &run);
                processor = deployment.start("process", "processor", &store);
            }
            2 => {
                kafka.kill(0);
                kafka.restart(0).unwrap();
            }
            _ => {
                let pid = until("the engine's process", || clickhouse.pid());
                assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
                until("another engine", || clickhouse.pid().filter(|new| *new != pid));
            }
        }
    }
    ledger.stop.store(true, Ordering::Relaxed);
    posting.join().unwrap();
    assert!(under_load.iter().all(|count| *count > 0), "a victim never died under load: {under_load:?}");
    assert!(looked > 0, "no position was looked at");

    let caught_up = Instant::now();
    let status = drained(&[&collector], &processor);
    let caught_up = caught_up.elapsed();
    check(&ledger, &processor, &collector);
    println!(
        "{cycles} kills under load by victim {under_load:?}, {} acknowledged, 0 lost, 0 twice, {} s, caught up in {} s: {}",
        ledger.acknowledged.lock().unwrap().len(),
        began.elapsed().as_secs(),
        caught_up.as_secs(),
        status["inputs"]
    );
    assert_eq!(collector.terminate(), Some(0));
    assert_eq!(processor.terminate(), Some(0));
}

/// A client that reads the group's positions, and those.
fn positions(brokers: &str) -> (BaseConsumer, TopicPartitionList) {
    let mut config = ClientConfig::new();
    // It reads on behalf of nobody: by default it would commit what it reads itself, as soon as the dead one has left the group.
    config.set("bootstrap.servers", brokers).set("group.id", "tokentrail").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().unwrap();
    let wait = Duration::from_secs(30);
    let mut list = TopicPartitionList::new();
    let metadata = consumer.fetch_metadata(Some(RECEIPTS), wait).unwrap();
    for partition in metadata.topics()[0].partitions() {
        list.add_partition(RECEIPTS, partition.id());
    }
    let committed = consumer.committed_offsets(list, wait).unwrap();
    (consumer, committed)
}

/// How many records the group has settled.
fn settled(brokers: &str) -> i64 {
    let offset = |offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
    positions(brokers).1.elements().iter().map(|element| offset(element.offset())).sum()
}

/// No position of a processor that was killed is ahead of ClickHouse: every receipt below it is there. How many there are.
fn settled_is_stored(brokers: &str, run: &Value) -> usize {
    let (consumer, committed) = positions(brokers);
    let (mut starts, mut left) = (TopicPartitionList::new(), BTreeMap::new());
    for element in committed.elements() {
        if let Offset::Offset(end) = element.offset()
            && end > 0
        {
            left.insert(element.partition(), end);
            starts.add_partition_offset(RECEIPTS, element.partition(), Offset::Beginning).unwrap();
        }
    }
    consumer.assign(&starts).unwrap();
    let rows = support::ask(run, "SELECT lower(hex(stream)) AS stream, toString(seq) AS seq FROM receipts");
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let stored: BTreeSet<(String, String)> = rows.iter().map(|row| (text(row, "stream"), text(row, "seq"))).collect();
    let mut looked = 0;
    while !left.is_empty() {
        let message = until("the records below a position", || consumer.poll(Duration::from_millis(100))).unwrap();
        let Some(end) = left.get(&message.partition()).copied() else { continue };
        if message.offset() + 1 >= end {
            left.remove(&message.partition());
        }
        if message.offset() < end {
            let headers = message.headers().unwrap();
            let [stream, seq] = ["tokentrail.stream", "tokentrail.seq"].map(|name| {
                let header = headers.iter().find(|header| header.key == name).unwrap();
                String::from_utf8(header.value.unwrap().to_vec()).unwrap()
            });
            let place = format!("{RECEIPTS}/{}@{}", message.partition(), message.offset());
            assert!(
                stored.contains(&(stream.clone(), seq.clone())),
                "{stream}/{seq} at {place} is settled and not stored"
            );
            looked += 1;
        }
    }
    looked
}

/// Ledger, journal and ClickHouse agree.
fn check(ledger: &Ledger, processor: &Program, collector: &Program) {
    let rows =
        processor.sql("SELECT native_id, count() AS n FROM events WHERE source_id = 'keycloak' GROUP BY native_id");
    assert!(rows.iter().all(|row| row["n"] == 1), "an event is stored twice");
    let stored: BTreeSet<String> = rows.iter().map(|row| row["native_id"].as_str().unwrap().to_owned()).collect();
    let acknowledged = ledger.acknowledged.lock().unwrap();
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged events are lost", lost.len(), acknowledged.len());
    let journal = collector.status()["journal"]["end"].clone();
    let receipts = &processor.sql("SELECT count() AS n FROM receipts")[0]["n"];
    assert_eq!(*receipts, journal, "journal and ClickHouse count the same");
    for stream in processor.sql("SELECT stream, last_seq, seqs, contested FROM streams") {
        assert_eq!(stream["seqs"].as_u64().unwrap(), stream["last_seq"].as_u64().unwrap() + 1, "a hole in {stream}");
        assert_eq!(stream["contested"], 0);
    }
    for (kept, recounted) in [("fates", "fates_recounted"), ("streams", "streams_recounted")] {
        let rows = |view: &str| processor.sql(&format!("SELECT toString(tuple(*)) AS row FROM {view} ORDER BY row"));
        assert_eq!(rows(kept), rows(recounted), "what was kept over the kills is what all receipts say");
    }
}
