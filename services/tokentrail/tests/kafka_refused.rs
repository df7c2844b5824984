//! What brokers refuse: rights that are taken away from a collector or a processor, a disk that runs full. Nothing is lost,
//! intake goes on, it is said in words what to do, and all is caught up once it was done.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};
use support::{
    Program,
    kafka::{Deployment, drained},
    load::{Ending, check, deliver, settled, under_load},
};
use testbed::{
    Kafka, KafkaOptions, SmallDisk,
    kafka::{OTHER_USER, PASSWORD, Security, USER},
    until,
};

const RECEIPTS: &str = "tokentrail.receipts.v1";
const DEADLETTERS: &str = "tokentrail.deadletters.v1";
const EVENTS: &str = "tokentrail.events.v1";
/// Room for everything that this load brings while the test lasts.
const DISK_MIB: u32 = 96;
/// Events of one delivery now and then.
const FEW: u64 = 5;
const ACLS: &str = "org.apache.kafka.tools.AclCommand";

/// Gives a user rights, by Kafka's own tool. `what` names operations and resources as the tool does.
fn give(kafka: &Kafka, user: &str, what: &str) {
    let principal = format!("User:{user}");
    let mut arguments = vec!["--add", "--allow-principal", &principal];
    arguments.extend(what.split(' '));
    kafka.tool(ACLS, &arguments).unwrap();
}

/// Takes them away.
fn take(kafka: &Kafka, user: &str, what: &str) {
    let principal = format!("User:{user}");
    let mut arguments = vec!["--remove", "--force", "--allow-principal", &principal];
    arguments.extend(what.split(' '));
    kafka.tool(ACLS, &arguments).unwrap();
}

/// The value of a metric without labels.
fn metric(program: &Program, name: &str) -> Option<f64> {
    let metrics = program.get_admin("/metrics")?;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line?.parse().ok()
}

fn waiting(collector: &Program) -> u64 {
    collector.status()["kafka"]["forwarder"]["waiting"].as_u64().unwrap()
}

/// A deployment on a guarded broker; programs are USER unless they are started as somebody else.
fn guarded(dir: &std::path::Path, kafka: &Kafka) -> Deployment {
    let mut deployment = Deployment::new(dir, kafka);
    std::fs::write(dir.join("kafka.password"), PASSWORD).unwrap();
    deployment.set("TOKENTRAIL__KAFKA__TLS__CA_FILE", kafka.ca_file().to_str().unwrap());
    deployment.set("TOKENTRAIL__KAFKA__SASL__MECHANISM", "SCRAM-SHA-512");
    deployment.set("TOKENTRAIL__KAFKA__SASL__USER", USER);
    deployment.set("TOKENTRAIL__KAFKA__SASL__PASSWORD_FILE", dir.join("kafka.password").to_str().unwrap());
    deployment
}

/// A token endpoint for [`USER`] with [`PASSWORD`]; its tokens are unsigned, as a test's broker takes them.
fn token_endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    std::thread::spawn(move || listener.incoming().for_each(|asked| drop(token(asked.unwrap()))));
    url
}

fn token(mut asked: TcpStream) -> std::io::Result<()> {
    let (mut reader, mut length) = (BufReader::new(asked.try_clone()?), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        length = line.strip_prefix("content-length: ").map_or(length, |length| length.parse().unwrap());
    }
    let mut form = vec![0; length];
    reader.read_exact(&mut form)?;
    let wanted = format!("grant_type=client_credentials&client_id={USER}&client_secret={PASSWORD}");
    let (status, body) = if form == wanted.as_bytes() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let claims = format!(r#"{{"sub":"{USER}","iat":{now},"exp":{}}}"#, now + 3600);
        let parts = [r#"{"alg":"none"}"#, &claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        ("200 OK", format!(r#"{{"access_token":"{}.{}.","expires_in":3600}}"#, parts[0], parts[1]))
    } else {
        ("401 Unauthorized", "{}".to_owned())
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", body.len());
    asked.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes())
}

/// What doctor says of the program on this folder, run with its user.
fn doctor(deployment: &Deployment, name: &str, user: &str) -> String {
    let mut command = support::command(&deployment.data(name));
    command.envs(deployment.settings(1)).env("TOKENTRAIL__KAFKA__SASL__USER", user);
    String::from_utf8(command.arg("doctor").output().unwrap().stdout).unwrap()
}

/// Waits until a program says what is wrong, with the remedy.
fn says(program: &Program, of: &str, remedy: &str) -> String {
    until(remedy, || trouble(program, of).filter(|said| said.contains(remedy)))
}

/// What is wrong with the brokers, as the status of a program says.
fn trouble(program: &Program, of: &str) -> Option<String> {
    Some(program.status()["kafka"][of]["trouble"].as_str()?.to_owned())
}

/// Waits until the brokers confirm again.
fn forwards_on(collector: &Program) {
    let before = settled(collector);
    until("confirmations again", || (settled(collector) > before + 1000).then_some(()));
    until("nothing is wrong any more", || trouble(collector, "forwarder").is_none().then_some(()));
    assert_eq!(metric(collector, "tokentrail_forward_up"), Some(1.0));
}

/// Waits until a processor stores so many events more.
fn stores_more(processor: &Program, events: f64) {
    let stored = || metric(processor, "tokentrail_stored_events_total");
    let before = stored().unwrap();
    until("it stores again", || (stored()? > before + events).then_some(()));
}

/// Waits until a processor stores again.
fn stores_on(processor: &Program) {
    stores_more(processor, 1000.0);
    until("nothing is wrong any more", || trouble(processor, "member").is_none().then_some(()));
    assert_eq!(metric(processor, "tokentrail_kafka_up"), Some(1.0));
}

/// Waits until a processor says that it cannot announce what it stores.
fn says_untold(processor: &Program, remedy: &str) -> String {
    until("it cannot tell what it stores", || {
        let said = processor.status()["correlation"]["unannounced"].as_str()?.to_owned();
        said.contains(remedy).then_some(said)
    })
}

/// Delivers now and then while `during` runs.
fn trickling(collector: &Program, next: &AtomicU64, during: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let from = next.fetch_add(FEW, Ordering::Relaxed);
                assert_eq!(deliver(collector, from..from + FEW) / 100, 2);
                std::thread::sleep(Duration::from_millis(300));
            }
        });
        let _ended = Ending(&stop);
        during();
        stop.store(true, Ordering::Relaxed);
        load.join().unwrap();
    });
}

/// Waits until the correlation takes in what nobody announced.
fn answers_go_on(processor: &Program) {
    let by_store = || metric(processor, "tokentrail_correlation_told_by_store_blocks_total");
    // What was announced before may still be on its way.
    until("what ClickHouse alone tells is taken in", || (by_store()? > 0.0).then_some(()));
    let answered = || metric(processor, "tokentrail_correlated_events_total");
    let before = answered().unwrap();
    until("answers go on", || (answered()? > before + 20.0).then_some(()));
}

#[test]
fn a_right_that_is_taken_away_is_named_and_costs_lag_only() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(&KafkaOptions { security: Security::Guarded, ..KafkaOptions::default() }).unwrap();
    let mut deployment = guarded(dir.path(), &kafka);
    // A topic that goes and comes is seen soon.
    for client in ["CONSUMER", "PRODUCER"] {
        deployment.set(&format!("TOKENTRAIL__KAFKA__{client}__TOPIC.METADATA.REFRESH.INTERVAL.MS"), "\"2000\"");
    }
    // The rights that docs/kafka.md names for collectors and for processors, and no other.
    let topics = format!("--topic {RECEIPTS} --topic {DEADLETTERS} --topic {EVENTS}");
    let write = format!("--operation Write --topic {RECEIPTS}");
    let read = format!("--operation Read --topic {RECEIPTS}");
    let read_group = "--operation Read --group tokentrail";
    let tell = format!("--operation Write --topic {EVENTS}");
    let all = [
        (USER, format!("--operation Create --operation Describe --operation DescribeConfigs {topics}")),
        (USER, write.clone()),
        (USER, "--operation Describe --group tokentrail".into()),
        (OTHER_USER, format!("--operation Describe --operation DescribeConfigs {read}")),
        (OTHER_USER, format!("--operation Write --operation Describe --topic {DEADLETTERS}")),
        (OTHER_USER, read_group.into()),
        (OTHER_USER, format!("--operation Read --operation Describe --operation DescribeConfigs {tell}")),
        (OTHER_USER, "--operation Read --group tokentrail.correlation".into()),
    ];
    // Each is a Java of its own.
    let give_all = |to: &str| {
        let its = all.iter().filter(|(user, _)| *user == to);
        std::thread::scope(|scope| its.for_each(|(user, what)| drop(scope.spawn(|| give(&kafka, user, what)))));
    };
    give_all(USER);
    let made = deployment.apply_topics();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // The collector proves itself by tokens.
    let bearer = [
        ("TOKENTRAIL__KAFKA__SASL__MECHANISM".into(), "OAUTHBEARER".into()),
        ("TOKENTRAIL__KAFKA__SASL__TOKEN_URL".into(), token_endpoint()),
    ];
    let collector = deployment.start("collect", "collector", &bearer);
    let other = [("TOKENTRAIL__KAFKA__SASL__USER".into(), OTHER_USER.into())];
    // A processor that comes before its rights waits for them.
    let processor = std::thread::scope(|scope| {
        let starting = scope.spawn(|| deployment.start("process", "processor", &other));
        let log = deployment.data("processor").join("log.ndjson");
        until("it waits", || std::fs::read_to_string(&log).ok()?.contains("cannot be judged yet").then_some(()));
        give_all(OTHER_USER);
        starting.join().unwrap()
    });
    let next = AtomicU64::new(0);
    under_load(&collector, &next, || {
        until("the first confirmations", || (settled(&collector) > 500).then_some(()));
        until("the first ones are stored", || {
            (metric(&processor, "tokentrail_stored_events_total")? > 0.0).then_some(())
        });
        until("it correlates", || (processor.status()["correlation"]["phase"] == "following").then_some(()));
        for (name, user) in [("collector", USER), ("processor", OTHER_USER)] {
            let good = doctor(&deployment, name, user);
            assert!(good.contains("ok    the Kafka brokers answer"), "the documented rights are enough: {good}");
        }

        take(&kafka, USER, &write);
        let said = says(&collector, "forwarder", "give it the rights Write and Describe");
        assert_eq!(metric(&collector, "tokentrail_forward_up"), Some(0.0));
        let before = waiting(&collector);
        until("receipts wait", || (waiting(&collector) > before + 1000).then_some(()));
        let told = doctor(&deployment, "collector", USER);
        assert!(
            told.contains("look  receipts reach Kafka: TopicAuthorizationFailed") && told.contains(&said),
            "{told}"
        );
        give(&kafka, USER, &write);
        forwards_on(&collector);

        take(&kafka, OTHER_USER, &read);
        let said = says(&processor, "member", "give it the rights Read and Describe");
        // The brokers answer other questions meanwhile, and are asked how far the group is behind: it stays said.
        for _ in 0..3 {
            let lag = || metric(&processor, "tokentrail_kafka_lag_records");
            let before = lag().unwrap();
            until("more waits", || (lag()? > before).then_some(()));
        }
        until("how long they wait is told", || {
            (metric(&processor, "tokentrail_kafka_lag_seconds")? >= 1.0).then_some(())
        });
        assert_eq!(trouble(&processor, "member").as_ref(), Some(&said));
        assert_eq!(metric(&processor, "tokentrail_kafka_up"), Some(0.0));
        let told = doctor(&deployment, "processor", OTHER_USER);
        assert!(told.contains(&format!("look  {RECEIPTS} is read: {said}")), "{told}");
        give(&kafka, OTHER_USER, &read);
        stores_on(&processor);

        take(&kafka, OTHER_USER, read_group);
        let said = says(&processor, "member", "this group: give processors the right Read");
        until("its partitions are gone", || {
            processor.status()["kafka"]["member"]["partitions"].as_array()?.is_empty().then_some(())
        });
        let table = String::from_utf8(deployment.cli("processor", &["status"]).stdout).unwrap();
        assert!(table.contains(&format!("THE TOPIC IS NOT READ: {said}")), "{table}");
        assert_eq!(metric(&processor, "tokentrail_kafka_up"), Some(0.0));
        give(&kafka, OTHER_USER, read_group);
        stores_on(&processor);
    });
    // From here on a little at a time: to read everything again is to be a matter of seconds.
    trickling(&collector, &next, || {
        // It may not tell what it stores, then nobody can: storing goes on, and so do answers, as long as somebody may correlate.
        take(&kafka, OTHER_USER, &tell);
        let said = says_untold(&processor, "give it the rights Write and Describe");
        answers_go_on(&processor);
        let told = doctor(&deployment, "processor", OTHER_USER);
        assert!(told.contains(&format!("look  the correlation hears of what is stored: {said}")), "{told}");
        give(&kafka, OTHER_USER, &tell);
        until("it tells again", || processor.status()["correlation"]["unannounced"].is_null().then_some(()));
        kafka.tool("org.apache.kafka.tools.TopicCommand", &["--delete", "--topic", EVENTS]).unwrap();
        says_untold(&processor, "");
        until("nobody correlates", || (processor.status()["correlation"]["phase"] == "standing_by").then_some(()));
        stores_more(&processor, 20.0);
        assert!(deployment.apply_topics().status.success());
        until("it correlates again", || (processor.status()["correlation"]["phase"] == "following").then_some(()));
        until("it tells again", || processor.status()["correlation"]["unannounced"].is_null().then_some(()));
    });
    drained(&[&collector], &processor);
    until("everything is correlated", || {
        let told = &processor.status()["correlation"];
        (told["announced"] == 0 && told["noted"] == 0 && told["lag"] == 0).then_some(())
    });
    let sessions = processor.sql("SELECT sum(logins) AS n FROM session_rows FINAL");
    assert_eq!(sessions[0]["n"], next.load(Ordering::Relaxed), "what nobody announced is answered, too");
    check(&processor, &[&collector], next.load(Ordering::Relaxed));
    assert_eq!(collector.terminate(), Some(0));
    assert_eq!(processor.terminate(), Some(0));
}

#[test]
fn a_broker_whose_disk_is_full_stops_and_costs_lag_only() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("disk");
    std::fs::create_dir(&place).unwrap();
    let Some(disk) = SmallDisk::mount(&place, DISK_MIB).unwrap() else { return };
    let options = KafkaOptions { data: Some(disk.dir().join("data")), ..KafkaOptions::default() };
    let mut kafka = Kafka::start(&options).unwrap();
    let deployment = Deployment::new(dir.path(), &kafka);
    assert!(deployment.apply_topics().status.success());
    let collector = deployment.start("collect", "collector", &[]);
    let processor = deployment.start("process", "processor", &[]);
    let next = AtomicU64::new(0);
    under_load(&collector, &next, || {
        until("the first confirmations", || (settled(&collector) > 500).then_some(()));
        disk.fill().unwrap();
        until("the broker stops", || kafka.ended(0).unwrap().then_some(()));
        assert!(kafka.log(0).contains("Shutdown broker because all log dirs"), "{}", kafka.log(0));
        let before = waiting(&collector);
        until("receipts wait", || (waiting(&collector) > before + 1000).then_some(()));
        says(&collector, "forwarder", "its disk");
        assert_eq!(metric(&collector, "tokentrail_forward_up"), Some(0.0));
        disk.make_room().unwrap();
        kafka.restart(0).unwrap();
        forwards_on(&collector);
    });
    drained(&[&collector], &processor);
    check(&processor, &[&collector], next.load(Ordering::Relaxed));
    assert_eq!(collector.terminate(), Some(0));
    assert_eq!(processor.terminate(), Some(0));
    // Its files are on the disk that goes next.
    drop(kafka);
}
