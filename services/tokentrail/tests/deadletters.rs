//! `tokentrail deadletters`: what nobody understood is listed, shown and judged again, over the journal and over Kafka alike.
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use serde_json::Value;
use std::process::Output;
use support::{Program, block_on, client, command, login, sign};

/// Authentic, and of no class: kept redacted.
const STRANGE: &str = r#"{"hello":"\u001b[31mworld","password":"hunter2-hunter2"}"#;
/// Authentic, and no JSON: only its length and mark are kept.
const BROKEN: &str = "{broken hunter3";

fn deliver(program: &Program, body: &str) {
    let signature = sign(&program.secret("keycloak.webhook"), body.as_bytes());
    let request = client().post(format!("{}/v1/keycloak/keycloak", program.intake()));
    let request = request.header("x-keycloak-signature", signature).header("content-type", "application/json");
    let request = request.body(body.to_owned());
    assert!(block_on(async move { request.send().await.unwrap().status().is_success() }));
}

/// Two dead letters and one event.
fn deliver_all(program: &Program) {
    deliver(program, STRANGE);
    deliver(program, BROKEN);
    deliver(program, &login("77777777-0000-4000-8000-000000000001", 1_795_469_103_342));
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn said(output: &Output) -> (Option<i32>, Value) {
    let value = serde_json::from_slice(&output.stdout);
    (output.status.code(), value.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))))
}

/// Turns the one event into what an older program that did not understand it would have left.
fn forget_the_event(program: &Program) {
    for statement in [
        "CREATE TABLE kept AS receipt_rows ENGINE = MergeTree ORDER BY tuple()",
        "INSERT INTO kept SELECT * REPLACE (0 AS normaliser, 'dead' AS fate, 'unknown_shape' AS reason, \
         toUUID('00000000-0000-0000-0000-000000000000') AS event_id) FROM (SELECT * FROM receipt_rows FINAL WHERE fate = 'event')",
        "INSERT INTO kept SELECT * FROM receipt_rows FINAL WHERE fate != 'event'",
        "TRUNCATE TABLE receipt_rows",
        "TRUNCATE TABLE event_rows",
        "INSERT INTO receipt_rows SELECT * FROM kept",
        "DROP TABLE kept",
    ] {
        program.sql(statement);
    }
}

/// The same over every carrier: `program` has the store.
fn listed_shown_and_retried(program: &Program, cli: &dyn Fn(&[&str]) -> Output) {
    let (code, list) = said(&cli(&["deadletters", "list", "--format", "json"]));
    assert_eq!((code, list["total"].as_u64()), (Some(0), Some(2)), "{list}");
    let (code, only) = said(&cli(&["deadletters", "list", "--reason", "not_json", "--format", "json"]));
    assert_eq!((code, only["total"].as_u64()), (Some(0), Some(1)));
    let table = text(&cli(&["deadletters", "list"]));
    assert!(table.contains("2 dead letters") && table.contains("unknown_shape"), "{table}");
    assert!(!table.contains("hello"), "no content in a list: {table}");

    let of = |reason: &str| {
        let letters = list["letters"].as_array().unwrap();
        letters.iter().find(|one| one["reason"] == reason).unwrap()["receipt"].as_str().unwrap().to_owned()
    };
    let strange = of("unknown_shape");
    let shown = cli(&["deadletters", "show", &strange]);
    let page = text(&shown);
    assert_eq!(shown.status.code(), Some(0), "{page}");
    assert!(page.contains("hello") && page.contains("redacted:") && !page.contains("hunter"), "{page}");
    assert!(!page.contains('\u{1b}'), "text from outside does not steer a terminal");
    let (_, broken) = said(&cli(&["deadletters", "show", &of("not_json"), "--format", "json"]));
    let body = broken["letters"][0]["body"].as_str().unwrap();
    assert!(body.contains("\"length\":15") && !body.contains("hunter3"), "{body}");

    // This program judged them itself: trying again says so and mends nothing.
    let (code, retried) = said(&cli(&["deadletters", "retry", "--format", "json"]));
    assert_eq!((code, &retried["receipts"]["current"], &retried["still_dead"]), (Some(1), &2.into(), &2.into()));
    // After an upgrade it does.
    forget_the_event(program);
    assert!(text(&cli(&["deadletters", "list"])).contains("1 of these were judged by an older normaliser"));
    let (code, dry) = said(&cli(&["deadletters", "retry", "--dry-run", "--format", "json"]));
    assert_eq!((code, &dry["still_dead"]), (Some(1), &2.into()));
    assert!(program.sql("SELECT * FROM events WHERE source_id = 'keycloak'").is_empty());
    let again = program.sql("SELECT lower(hex(stream)) AS stream, seq FROM receipt_rows FINAL WHERE normaliser = 0");
    let place = format!("{}/{}", again[0]["stream"].as_str().unwrap(), again[0]["seq"]);
    let one = cli(&["deadletters", "retry", &place]);
    assert_eq!(one.status.code(), Some(0), "{}{}", text(&one), String::from_utf8_lossy(&one.stderr));
    assert!(text(&one).contains("dead before, event now"), "{}", text(&one));
    assert_eq!(program.sql("SELECT * FROM events WHERE source_id = 'keycloak'").len(), 1);
    let none = cli(&["deadletters", "retry", &place]);
    assert_eq!(none.status.code(), Some(2), "it is none any more");
    let none = cli(&["deadletters", "show", &place]);
    assert_eq!(none.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&none.stderr).contains("is no dead letter"));

    // A body that somebody changed is named, not shown and not used.
    program.sql("CREATE TABLE bodies AS raw_bodies ENGINE = MergeTree ORDER BY tuple()");
    program.sql("INSERT INTO bodies SELECT * REPLACE ('{\"hello\":\"forged\"}' AS body) FROM raw_bodies FINAL");
    program.sql("TRUNCATE TABLE raw_bodies");
    program.sql("INSERT INTO raw_bodies SELECT * FROM bodies");
    let forged = cli(&["deadletters", "show", &strange]);
    assert_eq!(forged.status.code(), Some(1));
    assert!(text(&forged).contains("NOT THE ONE") && !text(&forged).contains("forged"), "{}", text(&forged));
}

/// Longest wait on a loaded machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// An event that the correlation left out is listed with its receipt, and taken in when somebody asks for another try.
fn what_the_correlation_left_out_is_listed_and_tried_again(program: &Program, cli: &dyn Fn(&[&str]) -> Output) {
    program.sql(
        "INSERT INTO set_aside_rows SELECT tenant, event_id, source_id, time, kind, data_class, person, 'of older rules', 'aside', now64(3) \
         FROM events WHERE source_id = 'keycloak'",
    );
    let list = || said(&cli(&["deadletters", "list", "--reason", "correlation_failed", "--format", "json"])).1;
    let listed = list();
    let [one] = &listed["left_out"].as_array().unwrap()[..] else { panic!("{listed}") };
    assert_eq!((&listed["total"], &one["kind"], &one["source"]), (&0.into(), &"login".into(), &"keycloak".into()));
    let receipt = one["receipt"].as_str().unwrap().to_owned();
    let stands = program.sql("SELECT lower(hex(stream)) AS stream, seq FROM receipt_rows FINAL WHERE fate = 'event'");
    assert_eq!(receipt, format!("{}/{}", stands[0]["stream"].as_str().unwrap(), stands[0]["seq"]));
    let (_, not_meant) = said(&cli(&["deadletters", "list", "--reason", "not_json", "--format", "json"]));
    assert_eq!(not_meant["left_out"], serde_json::json!([]));
    let table = text(&cli(&["deadletters", "list"]));
    assert!(table.contains("2 dead letters") && table.contains("leaves out") && table.contains(&receipt), "{table}");

    let (code, dry) = said(&cli(&["deadletters", "retry", &receipt, "--dry-run", "--format", "json"]));
    assert_eq!((code, &dry["left_out"], &dry["still_dead"]), (Some(0), &1.into(), &0.into()));
    assert_eq!(list()["left_out"].as_array().unwrap().len(), 1, "a dry run asks for nothing");
    let retried = cli(&["deadletters", "retry", "--reason", "correlation_failed"]);
    assert_eq!(retried.status.code(), Some(0), "{}", text(&retried));
    assert!(text(&retried).contains("1 events") && text(&retried).contains("tried again"), "{}", text(&retried));
    let started = std::time::Instant::now();
    while list()["left_out"] != serde_json::json!([]) {
        assert!(started.elapsed() < PATIENCE, "it is not taken in; log: {}", program.log());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let gap = program.sql("SELECT toString(repaired_by) AS by FROM gaps WHERE cause = 'event_set_aside'");
    assert_eq!(gap[0]["by"], "correlation");
}

#[test]
fn over_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(dir.path(), &[]);
    let cli = |args: &[&str]| command(&program.data).args(args).output().unwrap();
    // The intake is open before ClickHouse answers.
    while program.get_admin("/v1/status").is_none() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let none = cli(&["deadletters", "list"]);
    assert_eq!((none.status.code(), text(&none).as_str()), (Some(0), "  no dead letters\n"));
    deliver_all(&program);
    program.drained();
    what_the_correlation_left_out_is_listed_and_tried_again(&program, &cli);
    listed_shown_and_retried(&program, &cli);
    assert_eq!(program.terminate(), Some(0));
}

#[cfg(feature = "kafka")]
#[test]
fn over_kafka_with_copies_on_their_topic() {
    use durable_log::{
        carrier::Appetite,
        kafka::{Connection, ForeignTopic},
    };
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    use support::kafka::{Deployment, drained};
    use testbed::until;
    use testbed::{Kafka, KafkaOptions};

    let dir = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(&KafkaOptions::default()).unwrap();
    let deployment = Deployment::new(dir.path(), &kafka);
    let made = deployment.apply_topics();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(text(&made).contains("tokentrail.deadletters.v1"), "{}", text(&made));
    let program = deployment.start("up", "up", &[]);
    until("a status", || program.get_admin("/v1/status"));
    deliver_all(&program);
    drained(&[&program], &program);
    until("both are copied", || {
        let metrics = program.get_admin("/metrics")?;
        metrics.contains("tokentrail_deadletters_copied_records 2").then_some(())
    });
    listed_shown_and_retried(&program, &|args| deployment.cli("up", args));
    let (letters, schema) =
        (support::topic::records(&deployment.brokers, "tokentrail.deadletters.v1"), support::topic::schema());
    let reasons: Vec<_> = letters.iter().map(|one| one["headers"]["tokentrail.reason"].clone()).collect();
    assert!(
        reasons.len() == 2 && reasons.contains(&"not_json".into()) && letters.iter().all(|one| schema.is_valid(one))
    );

    // Anybody may read the copies: the redacted bodies, as they were taken in.
    let connection = Connection {
        brokers: deployment.brokers.clone(),
        client_id: "reader".into(),
        rack: String::new(),
        tls: None,
        sasl: None,
        producer: Default::default(),
        consumer: Default::default(),
    };
    let appetite = Appetite { records: 100, bytes: 1 << 20, enough: 1, linger: std::time::Duration::from_millis(20) };
    let mut bodies = Vec::new();
    block_on(async {
        let reader = ForeignTopic::join(&connection, ("tokentrail.deadletters.v1", "reader"), appetite).unwrap();
        while bodies.len() < 2 {
            let load = reader.next().await.unwrap();
            bodies.extend(load.records.iter().map(|one| String::from_utf8_lossy(&one.body).into_owned()));
            reader.settle(load.mark).unwrap();
        }
        reader.leave();
    });
    assert!(bodies.iter().any(|body| body.contains("hello")), "{bodies:?}");
    assert!(bodies.iter().all(|body| !body.contains("hunter")), "{bodies:?}");

    // What is no receipt at all is in the store under its place, and nothing of it but that.
    let mut config = rdkafka::ClientConfig::new();
    let producer: BaseProducer = config.set("bootstrap.servers", &deployment.brokers).create().unwrap();
    let stranger = BaseRecord::<str, str>::to("tokentrail.receipts.v1").partition(0).payload("hunter-of-strangers");
    producer.send(stranger).map_err(|(error, _)| error).unwrap();
    producer.flush(std::time::Duration::from_secs(60)).unwrap();
    let row = until("its row", || program.sql("SELECT * FROM dead_letters WHERE stream = ''").pop());
    assert_eq!(row["reason"], "record_unreadable");
    assert!(row["place"].as_str().unwrap().starts_with("tokentrail.receipts.v1/0@"), "{row}");
    let listed = text(&deployment.cli("up", &["deadletters", "list"]));
    assert!(listed.contains(row["place"].as_str().unwrap()), "{listed}");
    assert!(!format!("{row}{listed}").contains("hunter"), "{row} {listed}");
    assert_eq!(program.sql("SELECT count() AS n FROM dead_letters")[0]["n"], 3);
    assert_eq!(program.terminate(), Some(0));
}
