//! Collectors and processors apart, on a real Kafka: the same current rows as through the embedded journal; topics that could
//! lose are refused; moving between the two ways leaves no gap and repeats nothing.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use serde_json::Value;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use support::{
    Program, command,
    kafka::{Deployment, drained, post},
    load::Ending,
    login, sign,
};
use testbed::{Kafka, KafkaOptions, Keycloak, KeycloakOptions, Webhook, keycloak::story, until};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/samples/pair").join(name)
}

/// Sends the recorded story to a running collector, as its users do.
fn play(data: &Path) {
    let log = data.join("backstage.log");
    let packed = std::fs::File::open(sample("backstage-stdout.cri.log.gz")).unwrap();
    std::io::copy(&mut flate2::read::GzDecoder::new(packed), &mut std::fs::File::create(&log).unwrap()).unwrap();
    let path = |name: &str| sample(name).to_str().unwrap().to_owned();
    let cli = |args: &[&str]| {
        let output = command(data).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    cli(&["import", "--source", "keycloak", &path("keycloak-webhook.ndjson")]);
    cli(&["send", "--source", "backstage", "--instance", "b1", log.to_str().unwrap()]);
    cli(&["import", "--source", "backstage", &path("backstage-catalog-history.ndjson")]);
    cli(&["import", "--source", "keycloak", &path("keycloak-events.json"), &path("keycloak-admin-events.json")]);
}

/// Current rows without what tells of the way: receipts, their times, the version.
fn current_events(program: &Program) -> Vec<Value> {
    program.sql("SELECT * EXCEPT (receipt, received_at, conflicts) FROM events ORDER BY time, event_id")
}

fn fates(status: &Value) -> Vec<String> {
    let inputs = status["inputs"].as_array().unwrap().iter();
    let sources = inputs.filter(|input| input["source"] != "");
    sources
        .map(|i| {
            format!(
                "{} {} {} {} {} {}",
                i["source"], i["input"], i["received"], i["stored"], i["duplicate"], i["ignored"]
            )
        })
        .collect()
}

#[test]
fn the_recorded_story_ends_in_the_same_rows_by_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(&KafkaOptions::default()).unwrap();
    let mut deployment = Deployment::new(dir.path(), &kafka);
    deployment.set("TOKENTRAIL__KAFKA__CONSUMER__TOPIC.METADATA.REFRESH.INTERVAL.MS", "\"2000\"");
    let made = deployment.apply_topics();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let embedded = Program::start(&deployment.data("embedded"), &[]);
    play(&embedded.data);
    let status = embedded.drained();
    let (expected, expected_fates) = (current_events(&embedded), fates(&status));
    assert!(expected.len() > 500, "{}", expected.len());
    assert_eq!(embedded.terminate(), Some(0));

    let collector = deployment.start("collect", "collector", &[]);
    assert!(!collector.run["intake"].is_null() && collector.run["store_url"].is_null());
    let processor = deployment.start("process", "processor", &[]);
    assert!(processor.run["intake"].is_null());
    play(&collector.data);
    let status = drained(&[&collector], &processor);
    assert_eq!(fates(&status), expected_fates);
    let found = current_events(&processor);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    // Everything that the collector took in is a receipt, once.
    let told = collector.status();
    let receipts = &processor.sql("SELECT count() AS n FROM receipts")[0]["n"];
    assert_eq!(
        (receipts, &told["kafka"]["forwarder"]["confirmed"]),
        (&told["journal"]["end"], &told["journal"]["end"])
    );
    let ahead = told["kafka"]["forwarder"]["clock_ahead"].as_i64().unwrap();
    assert!(ahead.abs() < 5_000, "one machine, one clock: {ahead}");
    assert!(processor.sql("SELECT * FROM gaps").is_empty());
    let metrics = collector.get_admin("/metrics").unwrap();
    assert!(metrics.contains("tokentrail_journal_lag_records 0") && metrics.contains("tokentrail_forward_up 1"));
    let metrics = processor.get_admin("/metrics").unwrap();
    assert!(metrics.contains("tokentrail_kafka_partitions 6"), "{metrics}");

    // Every record is what the published schema says, and a record that is not is found.
    let (records, schema) =
        (support::topic::records(&deployment.brokers, "tokentrail.receipts.v1"), support::topic::schema());
    assert_eq!(&Value::from(records.len()), receipts);
    for record in &records {
        if let Err(error) = schema.validate(record) {
            panic!("{error} at {}: {record}", error.instance_path());
        }
    }
    let mut other = records[0].clone();
    other["headers"]["tokentrail.seq"] = "01".into();
    assert!(!schema.is_valid(&other));
    let mut other = records[0].clone();
    other["headers"]["tokentrail.header"]["received_at"] = "today".into();
    assert!(!schema.is_valid(&other), "the receipt's own schema is looked at");

    // What a broker lost is sent again, and changes nothing that is there.
    let again = deployment.cli("collector", &["forward", "--from", "100"]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    drained(&[&collector], &processor);
    assert_eq!(current_events(&processor), expected);

    // More partitions, at any time: they are read, and nothing rests on which one a record lies on.
    support::topic::add_partitions(&deployment.brokers, "tokentrail.receipts.v1", 9);
    until("the new partitions are read", || {
        processor.get_admin("/metrics")?.contains("tokentrail_kafka_partitions 9").then_some(())
    });
    let again = deployment.cli("collector", &["forward", "--from", "0"]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    drained(&[&collector], &processor);
    assert_eq!(current_events(&processor), expected);
    assert!(processor.sql("SELECT * FROM gaps").is_empty());

    // The store is lost, and put back as old as can be: empty. The group reads again what the topic holds.
    assert_eq!(processor.terminate(), Some(0));
    let groups = |more: &[&str]| {
        let args = [&["--group", "tokentrail", "--timeout", "60000"], more].concat();
        kafka.tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", &args)
    };
    // A member whose stop was cut stays until its session is over.
    until("the group is empty", || groups(&["--describe", "--state"]).ok()?.contains("Empty").then_some(()));
    groups(&["--topic", "tokentrail.receipts.v1", "--reset-offsets", "--to-earliest", "--execute"]).unwrap();
    let restored = deployment.start("process", "restored", &[]);
    drained(&[&collector], &restored);
    assert_eq!(current_events(&restored), expected);
    assert_eq!(restored.sql("SELECT count() AS n FROM receipts")[0]["n"], collector.status()["journal"]["end"]);
    assert_eq!(collector.terminate(), Some(0));
    assert_eq!(restored.terminate(), Some(0));
}

/// Ids that Keycloak gave to events, as a program's rows have them.
fn native_ids(program: &Program) -> BTreeSet<String> {
    let rows = program.sql("SELECT native_id FROM events WHERE source_id = 'keycloak'");
    rows.iter().map(|row| row["native_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_keycloak_ends_in_the_same_rows_by_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(&KafkaOptions::default()).unwrap();
    let deployment = Deployment::new(dir.path(), &kafka);
    assert!(deployment.apply_topics().status.success());
    let embedded = Program::start(&deployment.data("embedded"), &[]);
    let collector = deployment.start("collect", "collector", &[]);
    let processor = deployment.start("process", "processor", &[]);
    let keycloak = Keycloak::start(KeycloakOptions::default()).await.unwrap();
    let admin = keycloak.admin();
    for program in [&embedded, &collector] {
        let url = format!("{}/v1/keycloak/keycloak", program.intake());
        let webhook = Webhook { url, secret: program.secret("keycloak.webhook") };
        admin.add_webhook("acme", &webhook).await.unwrap();
    }
    let ledger = story::play(&keycloak, "acme").await.unwrap();
    let at_source = admin.events("acme").await.unwrap().into_iter().chain(admin.admin_events("acme").await.unwrap());
    let at_source: BTreeSet<String> = at_source.map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    let done: usize = ledger.expected().values().sum();
    assert!(done > 20 && at_source.len() >= done, "{done} events of the story, {} at the source", at_source.len());

    // Keycloak delivers to each in its own time.
    until("both have everything that Keycloak has", || {
        [&embedded, &processor].iter().all(|program| native_ids(program).is_superset(&at_source)).then_some(())
    });
    until("both have the same events, also those that Keycloak does not keep", || {
        (native_ids(&embedded) == native_ids(&processor)).then_some(())
    });
    let (expected, found) = (current_events(&embedded), current_events(&processor));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    println!("{} events of a real Keycloak, {done} of them of the story", expected.len());
    for program in [embedded, collector, processor] {
        assert_eq!(program.terminate(), Some(0));
    }
}

#[test]
fn a_topic_that_could_lose_is_refused_unless_the_config_says_so_aloud() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(&KafkaOptions::default()).unwrap();
    let deployment = Deployment::new(dir.path(), &kafka);
    let plan = deployment.cli("topics", &["topics", "plan"]);
    let text = String::from_utf8_lossy(&plan.stdout).into_owned();
    assert_eq!(plan.status.code(), Some(1));
    assert!(text.contains("tokentrail.receipts.v1 is missing") && text.contains("min.insync.replicas=1"), "{text}");
    assert!(deployment.apply_topics().status.success());

    let strict = |role: &str, name: &str| {
        let data = deployment.data(name);
        let mut command = command(&data);
        command.envs(deployment.settings(1)).env("TOKENTRAIL__KAFKA__ALLOW_LOSS", "false").arg(role);
        command.stdout(std::process::Stdio::piped());
        (command, data)
    };
    let (mut command, _) = strict("topics", "topics");
    let judged = command.arg("plan").output().unwrap();
    let text = String::from_utf8_lossy(&judged.stdout).into_owned();
    assert_eq!(judged.status.code(), Some(1));
    assert!(text.contains("replication.factor is 1") && text.contains("min.insync.replicas is 1"), "{text}");

    // Intake goes on: a receipt that is not taken would be lost at its source.
    let (command, data) = strict("collect", "strict");
    let collector = Program::ready(command, &data);
    let body = login("00000000-0000-4000-8000-000000000001", 1_795_469_103_342);
    let signature = sign(&collector.secret("keycloak.webhook"), body.as_bytes());
    let headers = [("x-keycloak-signature", signature), ("content-type", "application/json".into())];
    let url = format!("{}/v1/keycloak/keycloak", collector.intake());
    assert_eq!(post(&url, &headers, body.into_bytes()) / 100, 2);
    let status = until("the refusal", || {
        let status = collector.status();
        let refused = status["kafka"]["forwarder"]["refused"].as_str().unwrap_or_default().to_owned();
        refused.contains("min.insync.replicas is 1").then_some(status)
    });
    assert_eq!(status["kafka"]["forwarder"]["waiting"], status["journal"]["end"]);
    let (mut command, _) = strict("process", "refused");
    let process = command.output().unwrap();
    assert_eq!(process.status.code(), Some(2), "{}", String::from_utf8_lossy(&process.stderr));
    assert!(String::from_utf8_lossy(&process.stderr).contains("min.insync.replicas is 1"));
}

#[test]
fn without_the_key_that_all_share_neither_half_starts() {
    let dir = tempfile::tempdir().unwrap();
    for role in ["collect", "process"] {
        let mut command = command(&dir.path().join(role));
        let output = command.env("TOKENTRAIL__KAFKA__BROKERS", "[\"127.0.0.1:1\"]").arg(role).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("deployment.key is missing"), "{text}");
        let output = support::command(&dir.path().join(role)).arg(role).output().unwrap();
        assert!(String::from_utf8_lossy(&output.stderr).contains("set kafka.brokers"));
    }
}

/// Posts until it is told to stop; the numbers that were acknowledged.
fn posting((url, secret): (&str, &str), next: &AtomicU64, (acknowledged, stop): (&Mutex<BTreeSet<u64>>, &AtomicBool)) {
    support::block_on(async move {
        let http = support::client();
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let body = login(&format!("33333333-0000-4000-8000-{number:012}"), 1_795_469_103_342);
            let request = http.post(url).header("x-keycloak-signature", sign(secret, body.as_bytes()));
            match request.header("content-type", "application/json").body(body).send().await {
                Ok(answer) if answer.status().is_success() => drop(acknowledged.lock().unwrap().insert(number)),
                Ok(answer) => assert_eq!(answer.status().as_u16(), 503, "only a journal that ends may refuse"),
                // Nobody listens any more.
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    });
}

#[test]
fn moving_to_kafka_and_back_under_load_leaves_no_gap_and_repeats_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(&KafkaOptions::default()).unwrap();
    let deployment = Deployment::new(dir.path(), &kafka);
    assert!(deployment.apply_topics().status.success());
    let data = deployment.data("up");
    let (next, acknowledged) = (AtomicU64::new(0), Mutex::new(BTreeSet::new()));
    for round in 0..4 {
        let over_kafka = round % 2 == 1;
        let program = if over_kafka { deployment.start("up", "up", &[]) } else { Program::start(&data, &[]) };
        let status = until("a status", || program.get_admin("/v1/status"));
        assert_eq!(status.contains("\"kafka\":null"), !over_kafka, "{status}");
        let (url, secret) = (format!("{}/v1/keycloak/keycloak", program.intake()), program.secret("keycloak.webhook"));
        let (before, stop) = (acknowledged.lock().unwrap().len(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let load = scope.spawn(|| posting((&url, &secret), &next, (&acknowledged, &stop)));
            let _ended = Ending(&stop);
            until("events are taken in", || (acknowledged.lock().unwrap().len() >= before + 100).then_some(()));
            // The load goes on while it stops: what is not stored yet is stored after the move.
            assert_eq!(program.terminate(), Some(0));
            stop.store(true, Ordering::Relaxed);
            load.join().unwrap();
        });
    }
    let program = deployment.start("up", "up", &[]);
    drained(&[&program], &program);
    assert_eq!(program.terminate(), Some(0));
    let program = Program::start(&data, &[]);
    let status = program.drained();
    let events =
        program.sql("SELECT native_id, count() AS n FROM events WHERE source_id = 'keycloak' GROUP BY native_id");
    assert!(events.iter().all(|event| event["n"] == 1));
    let number = |event: &Value| event["native_id"].as_str().unwrap().rsplit('-').next().unwrap().parse().unwrap();
    let stored: BTreeSet<u64> = events.iter().map(number).collect();
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.is_subset(&stored), "lost: {:?}", acknowledged.difference(&stored));
    assert_eq!(&program.sql("SELECT count() AS n FROM receipts")[0]["n"], &status["journal"]["end"]);
    for stream in program.sql("SELECT stream, last_seq, seqs, contested FROM streams") {
        assert_eq!(stream["seqs"].as_u64().unwrap(), stream["last_seq"].as_u64().unwrap() + 1, "a hole in {stream}");
        assert_eq!(stream["contested"], 0);
    }
    assert_eq!(program.terminate(), Some(0));
}
