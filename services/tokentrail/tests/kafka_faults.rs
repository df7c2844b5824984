//! What goes wrong between collectors and processors, on real brokers: brokers that die or stand still, processors that come,
//! go and freeze, two collectors for one source, a journal that is put back. `TOKENTRAIL_KAFKA_OUTAGE_SECONDS` and
//! `TOKENTRAIL_KAFKA_OUTAGE_RATE` for an outage longer than the suite's 20 s and a load of more than 1,000 events a second.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use std::{
    collections::BTreeSet,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};
use support::{
    Program,
    kafka::{ClickHouse, Deployment, drained},
    load::{ARRAY, check, deliver, settled, under_load, under_rate},
};
use testbed::{Kafka, KafkaOptions, until};

/// Not a test: where the engine's child process begins.
#[test]
fn engine_child() {
    store::engine::run_if_asked();
}

fn signal(program: &Program, signal: &str) {
    let pid = program.child.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

#[test]
fn one_broker_of_three_dies_then_two_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut kafka = Kafka::start(&KafkaOptions { brokers: 3, ..KafkaOptions::default() }).unwrap();
    let deployment = Deployment::new(dir.path(), &kafka);
    let made = deployment.apply_topics();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
    let text = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(text.contains("is as it should be"), "{text}");
    let collector = deployment.start("collect", "collector", &[]);
    let processor = deployment.start("process", "processor", &[]);
    let next = AtomicU64::new(0);
    under_load(&collector, &next, || {
        until("the first confirmations", || (settled(&collector) > 500).then_some(()));
        kafka.kill(1);
        let before = settled(&collector);
        until("confirmations by the other two", || (settled(&collector) > before + 1000).then_some(()));
        kafka.kill(2);
        // Two replicas cannot be had: nothing is confirmed, and intake goes on.
        let waiting = || collector.status()["kafka"]["forwarder"]["waiting"].as_u64().unwrap();
        until("receipts wait", || (waiting() > 2000).then_some(()));
        kafka.restart(1).unwrap();
        let before = settled(&collector);
        until("confirmations by two again", || (settled(&collector) > before + 1000).then_some(()));
        kafka.restart(2).unwrap();
    });
    drained(&[&collector], &processor);
    check(&processor, &[&collector], next.load(Ordering::Relaxed));
    println!("{} events", next.load(Ordering::Relaxed));
    assert_eq!(collector.terminate(), Some(0));
    assert_eq!(processor.terminate(), Some(0));
}

/// A number that a long form sets.
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |n| n.parse().expect(name))
}

/// Bytes of a receipt in the journal beside its body: what docs/operations.md reckons with.
const FRAME_AND_HEADER: f64 = 160.0 + 350.0;
/// Of one segment, the last of which is there before it is full.
const SEGMENT: f64 = (8 << 20) as f64;

#[test]
fn a_broker_that_is_away_costs_lag_and_nothing_else() {
    let outage = number("TOKENTRAIL_KAFKA_OUTAGE_SECONDS", 20);
    let rate = number("TOKENTRAIL_KAFKA_OUTAGE_RATE", 1_000);
    let dir = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(&KafkaOptions::default()).unwrap();
    let mut deployment = Deployment::new(dir.path(), &kafka);
    deployment.set("TOKENTRAIL__JOURNAL__SEGMENT_MIB", "8");
    assert!(deployment.apply_topics().status.success());
    let collector = deployment.start("collect", "collector", &[]);
    let processor = deployment.start("process", "processor", &[]);
    let next = AtomicU64::new(0);
    let journal = || {
        let status = collector.status();
        ["end", "bytes"].map(|what| status["journal"][what].as_u64().unwrap() as f64)
    };
    let (mut began, mut piled, mut grew) = (0, 0, [0.0; 2]);
    under_rate(&collector, &next, rate, || {
        until("the first confirmations", || (settled(&collector) > 500).then_some(()));
        // It answers nobody and closes nothing: the worst kind of away.
        kafka.freeze(0);
        began = next.load(Ordering::Relaxed);
        let before = journal();
        std::thread::sleep(Duration::from_secs(outage));
        let after = journal();
        grew = [after[0] - before[0], after[1] - before[1]];
        piled = collector.status()["kafka"]["forwarder"]["waiting"].as_u64().unwrap();
        let metrics = collector.get_admin("/metrics").unwrap();
        let age = metrics.lines().find_map(|line| line.strip_prefix("tokentrail_journal_lag_seconds "));
        assert!(age.unwrap().parse::<f64>().unwrap() > outage as f64 * 0.8, "the oldest one has waited all the time");
        kafka.thaw(0);
    });
    let caught_up = Instant::now();
    drained(&[&collector], &processor);
    let during = next.load(Ordering::Relaxed) - began;
    assert!(
        piled + 4 * ARRAY >= during / 2,
        "what came in during the outage waits in the journal: {piled} of {during}"
    );
    check(&processor, &[&collector], next.load(Ordering::Relaxed));
    let body = processor.sql("SELECT avg(length(body)) AS bytes FROM raw_bodies WHERE source_id = 'keycloak'");
    let predicted = grew[0] * (body[0]["bytes"].as_f64().unwrap() + FRAME_AND_HEADER);
    assert!((grew[1] - predicted).abs() <= predicted * 0.15 + SEGMENT, "{} bytes, {predicted} predicted", grew[1]);
    println!(
        "{outage} s away, {during} events taken in meanwhile ({} a second), {} bytes of journal ({predicted} predicted), caught up in {} ms",
        during / outage,
        grew[1],
        caught_up.elapsed().as_millis()
    );
    assert_eq!(collector.terminate(), Some(0));
    assert_eq!(processor.terminate(), Some(0));
}

#[test]
fn processors_come_go_and_freeze_and_the_tables_are_those_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(&KafkaOptions::default()).unwrap();
    let deployment = Deployment::new(dir.path(), &kafka);
    assert!(deployment.apply_topics().status.success());
    let clickhouse = ClickHouse::start(dir.path());
    let start = |name: &str| {
        let store = clickhouse.settings(&deployment.data(name));
        deployment.start("process", name, &store)
    };
    let collector = deployment.start("collect", "collector", &[]);
    let first = start("first");
    let stored = |program: &Program| -> u64 {
        let metrics = program.get_admin("/metrics").unwrap_or_default();
        let value = metrics.lines().find_map(|line| line.strip_prefix("tokentrail_stored_events_total "));
        value.map_or(0, |value| value.parse().unwrap())
    };
    let next = AtomicU64::new(0);
    under_load(&collector, &next, || {
        until("the first one works", || (stored(&first) > 0).then_some(()));
        let others = [start("second"), start("third")];
        for other in &others {
            until("another one works", || (stored(other) > 200).then_some(()));
        }
        // One freezes past its session timeout; the others take over; it wakes with a block in its hands.
        let before = stored(&others[0]);
        signal(&first, "-STOP");
        let partitions =
            |program: &Program| program.status()["kafka"]["member"]["partitions"].as_array().unwrap().len();
        until("its partitions are taken over", || (partitions(&others[0]) + partitions(&others[1]) == 6).then_some(()));
        until("they go on without it", || (stored(&others[0]) > before + 200).then_some(()));
        signal(&first, "-CONT");
        until("it has partitions again", || (partitions(&first) > 0).then_some(()));
        let [second, third] = others;
        second.kill();
        assert_eq!(third.terminate(), Some(0));
        until("one has them all", || (partitions(&first) == 6).then_some(()));
    });
    drained(&[&collector], &first);
    check(&first, &[&collector], next.load(Ordering::Relaxed));
    for (kept, recounted) in [("fates", "fates_recounted"), ("streams", "streams_recounted")] {
        let rows = |view: &str| first.sql(&format!("SELECT toString(tuple(*)) AS row FROM {view} ORDER BY row"));
        assert_eq!(rows(kept), rows(recounted), "what several kept is what all receipts say");
    }
    // The same topic, read by one program that nothing happens to.
    let group = ("TOKENTRAIL__KAFKA__GROUP".into(), "alone".into());
    let alone = deployment.start("process", "alone", &[group]);
    drained(&[&collector], &alone);
    for view in ["events", "receipts", "fates", "streams"] {
        let rows = format!("SELECT toString(tuple(*)) AS row FROM {view}");
        let sum = |program: &Program| {
            program.sql(&format!("SELECT count() AS n, toString(sum(cityHash64(row))) AS sum FROM ({rows})"))
        };
        assert_eq!(sum(&first), sum(&alone), "{view}");
    }
    println!("{} events", next.load(Ordering::Relaxed));
    for program in [collector, first, alone] {
        assert_eq!(program.terminate(), Some(0));
    }
}

const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
/// As the attributes of a batch name it.
const ZSTD: u8 = 4;

/// How the first batch of each partition of the receipts is compressed, as it lies on the broker's disk.
fn compression(kafka: &Kafka) -> BTreeSet<u8> {
    let partitions = std::fs::read_dir(kafka.data(0)).unwrap().map(|entry| entry.unwrap().path());
    let of_receipts =
        partitions.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("tokentrail.receipts.v1-"));
    let batches = of_receipts.map(|path| std::fs::read(path.join("00000000000000000000.log")).unwrap());
    // Before the attributes: base offset, length, epoch of the leader, version, checksum.
    batches.filter(|bytes| !bytes.is_empty()).map(|bytes| bytes[8 + 4 + 4 + 1 + 4 + 1] & 7).collect()
}

#[test]
fn two_collectors_of_one_source_and_a_journal_that_was_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(&KafkaOptions::default()).unwrap();
    let mut deployment = Deployment::new(dir.path(), &kafka);
    deployment.set("TOKENTRAIL__LATENESS_SECONDS", "1");
    deployment.set("TOKENTRAIL__KAFKA__PRODUCER__COMPRESSION.TYPE", "\"zstd\"");
    deployment.set("TOKENTRAIL__KAFKA__CLIENT_ID", "tokentrail-fra");
    assert!(deployment.apply_topics().status.success());
    let one = deployment.start("collect", "one", &[]);
    let two = deployment.start("collect", "two", &[]);
    let processor = deployment.start("process", "processor", &[]);
    // Keycloak's plugin delivers to both: one event each, and both receipts have a fate.
    for program in [&one, &two] {
        assert_eq!(deliver(program, 0..20) / 100, 2);
    }
    let status = drained(&[&one, &two], &processor);
    let inputs = status["inputs"].as_array().unwrap();
    let webhook = inputs.iter().find(|input| input["input"] == "webhook").unwrap();
    assert_eq!((&webhook["received"], &webhook["stored"], &webhook["duplicate"]), (&40.into(), &20.into(), &20.into()));
    check(&processor, &[&one, &two], 20);
    // A collector tells what it took in, and nothing of what it cannot know.
    let told = |command: &str| String::from_utf8(deployment.cli("two", &[command]).stdout).unwrap();
    assert!(
        told("status").contains("keycloak, webhook: 20 receipts delivered since the start\n"),
        "{}",
        told("status")
    );
    let doctor = told("doctor");
    assert!(doctor.contains("ok    source keycloak speaks") && !doctor.contains("ClickHouse"), "{doctor}");
    assert!(
        doctor.contains("source backstage speaks: it has delivered nothing since this collector began"),
        "{doctor}"
    );
    // What the config says of a client is what the broker sees.
    assert_eq!(compression(&kafka), BTreeSet::from([ZSTD]));
    let members =
        kafka.tool(GROUPS, &["--describe", "--members", "--group", "tokentrail", "--timeout", "60000"]).unwrap();
    assert!(members.contains("tokentrail-fra"), "{members}");

    // A backup of a collector, which then takes more in beside one on a clone of its volume; the backup is put back.
    assert_eq!(one.terminate(), Some(0));
    let (data, backup) = (deployment.data("one"), dir.path().join("backup"));
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    };
    copy(&data, &backup);
    copy(&data, &dir.path().join("clone"));
    let one = deployment.start("collect", "one", &[]);
    let clone = deployment.start("collect", "clone", &[]);
    assert_eq!(deliver(&one, 20..40) / 100, 2);
    assert_eq!(deliver(&clone, 60..80) / 100, 2);
    drained(&[&one, &two, &clone], &processor);
    one.kill();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    let one = deployment.start("collect", "one", &[]);
    assert_eq!(deliver(&one, 40..60) / 100, 2);
    drained(&[&one, &two, &clone], &processor);
    let events = processor.sql("SELECT native_id FROM events WHERE source_id = 'keycloak'");
    let ids: BTreeSet<&str> = events.iter().map(|event| event["native_id"].as_str().unwrap()).collect();
    assert_eq!((events.len(), ids.len()), (80, 80), "nothing is swallowed");
    assert!(processor.sql("SELECT 1 FROM contested_receipts").is_empty(), "no number was used twice");
    // Completeness is judged as a whole when a processor begins.
    assert_eq!(processor.terminate(), Some(0));
    let processor = deployment.start("process", "processor", &[]);
    // Three streams go on from one: that of the clone, and that of the backup.
    let alarms = until("the alarms", || {
        let gaps = processor.sql("SELECT scope, since FROM gaps WHERE cause = 'log_rolled_back'");
        (gaps.len() == 2).then_some(gaps)
    });
    assert_eq!(alarms[0]["scope"], alarms[1]["scope"], "both from where the backup was made");
}
