//! Kafka topics as a source, on a real broker: what a Keycloak event listener wrote there is taken in like a webhook, each record
//! with one fate; kills lose and double nothing; a poisoned record is a dead letter; what retention took is a gap.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{Program, block_on, command};
use testbed::{Kafka, KafkaOptions, until};

const EVENTS: &str = "keycloak-events";
const ADMIN: &str = "keycloak-admin-events";
const PARTITIONS: i32 = 3;
/// Neither JSON nor an event, and a record without a value: each is one dead letter.
const POISON: [Option<&str>; 4] = [Some("{broken hunter3"), Some("17"), Some(""), None];

struct World {
    kafka: Kafka,
    producer: BaseProducer,
    data: PathBuf,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let kafka = Kafka::start(&KafkaOptions::default()).unwrap();
        let config = client(&kafka);
        let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
        let topics = [EVENTS, ADMIN].map(|name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1)));
        for made in block_on(async { admin.create_topics(&topics, &AdminOptions::new()).await.unwrap() }) {
            made.unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir_all(&data).unwrap();
        let text = format!(
            "[sources.sso]\nkind = \"keycloak\"\ntoken_files = [\"secrets/sso.token\"]\n[sources.sso.kafka]\n\
             brokers = [\"{}\"]\ntopics = [\"{EVENTS}\", \"{ADMIN}\"]\n[sources.sso.kafka.consumer]\n\
             \"session.timeout.ms\" = \"10000\"\n\"heartbeat.interval.ms\" = \"1000\"\n",
            kafka.bootstrap()
        );
        std::fs::write(data.join("tokentrail.toml"), text).unwrap();
        Self { producer: config.create().unwrap(), kafka, data, _dir: dir }
    }

    fn start(&self) -> Program {
        let mut command = command(&self.data);
        command.env("TOKENTRAIL_CONFIG", self.data.join("tokentrail.toml")).arg("up");
        command.stdout(std::process::Stdio::null());
        Program::ready(command, &self.data)
    }

    fn cli(&self, args: &[&str]) -> std::process::Output {
        let config = self.data.join("tokentrail.toml");
        command(&self.data).env("TOKENTRAIL_CONFIG", config).args(args).output().unwrap()
    }

    fn write(&self, topic: &str, value: Option<&str>) {
        let mut record = BaseRecord::<str, str>::to(topic);
        record.payload = value;
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
    }

    fn written(&self) {
        self.producer.flush(Duration::from_secs(60)).unwrap();
    }
}

fn client(kafka: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.bootstrap()).set("linger.ms", "5");
    config
}

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/samples/keycloak").join(name)
}

/// Recorded events as keycloak-kafka's Jackson writes Keycloak's own classes: every field, null where there is nothing.
fn recorded(name: &str) -> Vec<String> {
    let events: Vec<Value> = serde_json::from_slice(&std::fs::read(sample(name)).unwrap()).unwrap();
    let admin = name.starts_with("admin");
    let with_nulls = |mut event: Value| {
        let fields = event.as_object_mut().unwrap();
        let names = if admin {
            &["realmName", "representation", "error", "details", "resourceId"][..]
        } else {
            &["realmName", "clientId", "userId", "sessionId", "ipAddress", "error", "details"][..]
        };
        for name in names {
            fields.entry((*name).to_owned()).or_insert(Value::Null);
        }
        if admin {
            fields.insert("resourceTypeAsString".into(), fields["resourceType"].clone());
        }
        event.to_string()
    };
    events.into_iter().map(with_nulls).collect()
}

fn login(number: usize) -> String {
    json!({
        "id": format!("88888888-0000-4000-8000-{number:012}"), "time": 1_795_469_103_342_i64, "type": "LOGIN",
        "realmId": "bd2a3817-883e-4be5-be28-2514d131622e", "realmName": "pair", "clientId": "backstage",
        "userId": "1bc6ec44-547f-4b49-83b0-3ea39f26a233", "sessionId": null, "ipAddress": "127.0.0.1", "error": null,
        "details": {"username": "ann"},
    })
    .to_string()
}

/// Waits until nothing waits on the topics nor in the journal, and returns the status then.
fn all_in(program: &Program, records: usize) -> Value {
    until("every record is taken in and stored", || {
        let status: Value = serde_json::from_str(&program.get_admin("/v1/status")?).ok()?;
        let read = status["topics"].as_array()?.iter().all(|topic| topic["lag"] == 0);
        let of_topics =
            program.sql("SELECT uniqExact(delivery_id) AS n FROM receipts WHERE delivery_id LIKE 'kafka:%'");
        let settled = status["inputs"].as_array()?.iter().all(|input| input["pending"] == 0);
        (read && settled && status["journal"]["lag"] == 0 && of_topics[0]["n"] == records).then_some(status)
    })
}

/// Every record is one receipt with one fate.
fn each_once(program: &Program, records: usize) {
    let told = program.sql(
        "SELECT count() AS n, uniqExact(delivery_id) AS places FROM receipts WHERE source_id = 'sso' AND delivery_id LIKE 'kafka:%'",
    );
    assert_eq!((&told[0]["n"], &told[0]["places"]), (&records.into(), &records.into()), "{told:?}");
}

#[test]
fn what_a_listener_wrote_is_taken_in_like_a_webhook_and_poison_is_a_dead_letter() {
    let world = World::new();
    let (user, admin) = (recorded("events.json"), recorded("admin-events.json"));
    user.iter().for_each(|event| world.write(EVENTS, Some(event)));
    admin.iter().for_each(|event| world.write(ADMIN, Some(event)));
    POISON.iter().for_each(|value| world.write(EVENTS, *value));
    // As large as a broker takes, and more than is read of a webhook.
    let large = format!("{{\"x\":\"{}\"}}", "y".repeat(900_000));
    world.write(ADMIN, Some(&large));
    world.written();
    let program = world.start();
    let records = user.len() + admin.len() + POISON.len() + 1;
    let status = all_in(&program, records);
    each_once(&program, records);
    let input = status["inputs"].as_array().unwrap().iter().find(|one| one["source"] == "sso").unwrap().clone();
    assert_eq!((&input["input"], &input["dead"]), (&"kafka".into(), &(POISON.len() + 1).into()), "{input}");
    let events =
        "SELECT uniqExact(native_id) AS n, sum(length(conflicts)) AS conflicts FROM events WHERE source_id = 'sso'";
    let found = program.sql(events);
    assert_eq!(found[0]["n"], user.len() + admin.len(), "{found:?}");
    let place =
        program.sql("SELECT delivery_id FROM receipts WHERE delivery_id LIKE 'kafka:keycloak-events/%' LIMIT 1");
    let parts: Vec<&str> = place[0]["delivery_id"].as_str().unwrap().split('/').collect();
    assert!(parts.len() == 3 && parts[1..].iter().all(|number| number.parse::<u64>().is_ok()), "{place:?}");

    // The copies that the API gives say the same.
    let files = ["events.json", "admin-events.json"].map(|name| sample(name).display().to_string());
    let imported = world.cli(&["import", "--source", "sso", &files[0], &files[1]]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    program.drained();
    assert_eq!(program.sql(events), [json!({"n": user.len() + admin.len(), "conflicts": 0})]);

    // Told where operators look, and nothing of a record but its place.
    let metrics = program.get_admin("/metrics").unwrap();
    let lag = format!("tokentrail_source_topic_lag_records{{source=\"sso\",topic=\"{EVENTS}\"}} 0");
    assert!(metrics.contains(&lag) && metrics.contains("tokentrail_source_topic_up"), "{metrics}");
    let table = String::from_utf8(world.cli(&["status"]).stdout).unwrap();
    assert!(table.contains("sso: topic keycloak-events, 0 records not taken in, 3 partitions here"), "{table}");
    assert!(!program.log().contains("hunter3") && !metrics.contains("hunter3"));
    let dead = String::from_utf8(world.cli(&["deadletters", "list"]).stdout).unwrap();
    assert!(dead.contains("5 dead letters") && !dead.contains("hunter3"), "{dead}");

    // A start in good order takes in nothing again.
    assert_eq!(program.terminate(), Some(0));
    let program = world.start();
    world.write(EVENTS, Some(&login(0)));
    world.written();
    all_in(&program, records + 1);
    each_once(&program, records + 1);

    // What retention took before it was read is a gap with its number.
    assert_eq!(program.terminate(), Some(0));
    let before = ends(&world);
    for number in 1..=30 {
        world
            .producer
            .send(BaseRecord::<str, str>::to(EVENTS).partition(0).payload(&login(number)))
            .map_err(|(error, _)| error)
            .unwrap();
    }
    world.written();
    let admin: AdminClient<DefaultClientContext> = client(&world.kafka).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(EVENTS, 0, Offset::Offset(before + 20)).unwrap();
    block_on(async { admin.delete_records(&list, &AdminOptions::new()).await.unwrap() });
    let program = world.start();
    all_in(&program, records + 1 + 10);
    let gap = until("the gap is told", || program.sql("SELECT * FROM gaps WHERE source_id = 'sso'").pop());
    let place = format!("{EVENTS}/0@{before}-{}", before + 19);
    assert_eq!((&gap["missing"], &gap["scope"], &gap["input"]), (&20.into(), &place.into(), &"kafka".into()), "{gap}");
    assert_eq!(program.terminate(), Some(0));
}

/// Offset after the last record of partition 0 of the events' topic.
fn ends(world: &World) -> i64 {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    let consumer: BaseConsumer = client(&world.kafka).set("group.id", "looker").create().unwrap();
    consumer.fetch_watermarks(EVENTS, 0, Duration::from_secs(30)).unwrap().1
}

#[test]
fn kills_lose_and_double_nothing() {
    let world = World::new();
    let (mut written, cycles) = (0, std::env::var("TOKENTRAIL_KAFKA_CYCLES").map_or(2, |text| text.parse().unwrap()));
    for cycle in 0..cycles {
        let program = world.start();
        let before = program.status()["journal"]["end"].as_u64().unwrap();
        for _ in 0..3_000 {
            world.write(EVENTS, Some(&login(written)));
            written += 1;
        }
        world.written();
        // In the middle of taking in: some synced, some not, and few positions committed.
        let some = 200 + cycle as u64 * 400;
        until("some are taken in", || (program.status()["journal"]["end"].as_u64()? > before + some).then_some(()));
        program.kill();
    }
    let program = world.start();
    all_in(&program, written);
    each_once(&program, written);
    let events = program.sql("SELECT count() AS n, uniqExact(native_id) AS ids FROM events WHERE source_id = 'sso'");
    assert_eq!(events, [json!({"n": written, "ids": written})]);
    assert_eq!(program.terminate(), Some(0));
}
