//! Topics of somebody else's making that take small records only: `topics`, `status` and `doctor` say which setting is too small, intake
//! goes on, and nothing is lost until it is large enough.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering};
use support::{
    Program,
    kafka::{Deployment, drained, post},
    load::{check, deliver, settled, under_load},
    login, sign,
};
use testbed::{Kafka, KafkaOptions, until};

const RECEIPTS: &str = "tokentrail.receipts.v1";
const DEADLETTERS: &str = "tokentrail.deadletters.v1";
/// What the topics take at first: small receipts, and no large one.
const SMALL: u64 = 20_000;
const TOO_SMALL: &str = "max.message.bytes is 20000, must be at least 10485760";
const ENOUGH: u64 = 10_485_760;

fn set_size(kafka: &Kafka, topic: &str, bytes: u64) {
    let setting = format!("max.message.bytes={bytes}");
    let alter = ["--alter", "--entity-type", "topics", "--entity-name", topic, "--add-config", &setting];
    kafka.tool("kafka.admin.ConfigCommand", &alter).unwrap();
}

/// Words of which no compression makes a small text.
fn words() -> String {
    let words: Vec<String> = (0..30_000_u64).map(|n| format!("{:06}", n * n * 7_919 % 999_983)).collect();
    words.join(" ")
}

/// Posts one signed delivery, which must be taken.
fn taken(program: &Program, body: &Value) {
    let body = body.to_string();
    let signature = sign(&program.secret("keycloak.webhook"), body.as_bytes());
    let headers = [("x-keycloak-signature", signature), ("content-type", "application/json".into())];
    let url = format!("{}/v1/keycloak/keycloak", program.intake());
    assert_eq!(post(&url, &headers, body.into_bytes()) / 100, 2, "intake does not depend on Kafka");
}

/// Waits until the forwarder says that the topic is too small, as status, metrics and doctor tell.
fn is_refused(deployment: &Deployment, collector: &Program) {
    until("it is said", || {
        collector.status()["kafka"]["forwarder"]["refused"].as_str()?.contains(TOO_SMALL).then_some(())
    });
    let text = |args: &[&str]| String::from_utf8(deployment.cli("collector", args).stdout).unwrap();
    let status = text(&["status"]);
    assert!(status.contains(&format!("NOTHING IS FORWARDED: {TOO_SMALL}")), "{status}");
    let doctor = text(&["doctor"]);
    assert!(doctor.contains(&format!("look  receipts reach Kafka: {TOO_SMALL}")), "{doctor}");
    assert!(collector.get_admin("/metrics").unwrap().contains("tokentrail_forward_up 0"));
}

#[test]
fn topics_that_take_small_records_only_cost_lag_until_they_take_all() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(&KafkaOptions::default()).unwrap();
    let deployment = Deployment::new(dir.path(), &kafka);
    let size = format!("max.message.bytes={SMALL}");
    for topic in [RECEIPTS, DEADLETTERS] {
        let make = ["--create", "--topic", topic, "--partitions", "6", "--config", &size];
        kafka.tool("org.apache.kafka.tools.TopicCommand", &make).unwrap();
    }
    for doing in ["apply", "plan"] {
        let judged = deployment.cli("topics", &["topics", doing]);
        let text = String::from_utf8(judged.stdout).unwrap();
        assert_eq!(judged.status.code(), Some(1), "{text}");
        assert!(text.contains(&format!("{TOO_SMALL}: a large receipt would hold up all behind it")), "{text}");
        assert!(
            text.contains(&format!("{TOO_SMALL}: large dead letters are not copied, the store has them")),
            "{text}"
        );
    }

    let collector = deployment.start("collect", "collector", &[]);
    // It only reads there: what is on the topic was small enough.
    let processor = deployment.start("process", "processor", &[]);
    assert_eq!(deliver(&collector, 0..10) / 100, 2);
    is_refused(&deployment, &collector);
    assert_eq!(settled(&collector), 0);
    set_size(&kafka, RECEIPTS, ENOUGH);
    until("it goes on by itself", || (settled(&collector) > 10).then_some(()));

    // The same under load, with a receipt among the others that the topic does not take any more.
    let next = AtomicU64::new(10);
    under_load(&collector, &next, || {
        set_size(&kafka, RECEIPTS, SMALL);
        let number = next.fetch_add(1, Ordering::Relaxed);
        let mut event: Value =
            serde_json::from_str(&login(&format!("55555555-0000-4000-8000-{number:012}"), 1_795_469_103_342)).unwrap();
        event["details"]["scope"] = words().into();
        taken(&collector, &event);
        is_refused(&deployment, &collector);
        set_size(&kafka, RECEIPTS, ENOUGH);
        let before = settled(&collector);
        until("it goes on by itself", || (settled(&collector) > before + 500).then_some(()));
    });
    // Nobody understands it, and it is too large for the topic of the copies.
    taken(&collector, &serde_json::json!({ "strange": words() }));
    drained(&[&collector], &processor);
    until("its copy fails", || {
        processor.get_admin("/metrics")?.contains("tokentrail_deadletters_failed_records 1").then_some(())
    });
    check(&processor, &[&collector], next.load(Ordering::Relaxed));
    let large = processor.sql(
        "SELECT r.fate AS fate FROM receipts AS r INNER JOIN raw_bodies AS b ON r.stream = b.stream AND r.seq = b.seq \
         WHERE length(b.body) > 100000 ORDER BY r.seq",
    );
    assert_eq!(
        large,
        [serde_json::json!({ "fate": "event" }), serde_json::json!({ "fate": "dead" })],
        "both came whole"
    );
    let forwarder = collector.status()["kafka"]["forwarder"].clone();
    assert_eq!((&forwarder["refused"], &forwarder["trouble"]), (&Value::Null, &Value::Null), "{forwarder}");
    assert_eq!(collector.terminate(), Some(0));
    assert_eq!(processor.terminate(), Some(0));
}
