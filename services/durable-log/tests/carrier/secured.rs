//! TLS and SASL on brokers of their own: every mechanism carries, and so does a certificate of ours where a broker asks for one; a wrong
//! password, a wrong CA, a certificate that is none or no TLS does not.

use crate::broker::{OnKafka, connection, fresh, make_topic, now_ms};
use crate::contract::{LARGE, World, entries, take};
use durable_log::kafka::{
    Connection, KafkaCarrier, LagMeter, Mechanism, Sasl, Subscription, Tls, Token, TopicPlan, Topics, TopicsError,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use testbed::kafka::{PASSWORD, Security, USER};
use testbed::{Kafka, KafkaOptions, until};

fn password(mechanism: Mechanism, password: &str) -> Option<Sasl> {
    Some(Sasl::Password { mechanism, user: USER.into(), password: password.into() })
}

/// Tokens as a test broker takes them: unsigned.
fn tokens(asked: Arc<AtomicU32>) -> Option<Sasl> {
    Some(Sasl::Token(Arc::new(move || {
        asked.fetch_add(1, Ordering::SeqCst);
        let expires_at = now_ms() + 3_600_000;
        let claims = format!(r#"{{"sub":"{USER}","iat":{},"exp":{}}}"#, now_ms() / 1000, expires_at / 1000);
        let token = format!("{}.{}.", base64(br#"{"alg":"none"}"#), base64(claims.as_bytes()));
        Ok(Token { token, principal: USER.into(), expires_at })
    })))
}

/// Base64 for URLs, without padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().enumerate().fold(0_u32, |bits, (at, byte)| bits | u32::from(*byte) << (16 - 8 * at));
        let digits = (0..=chunk.len()).map(|at| DIGITS[(bits >> (18 - 6 * at)) as usize & 63] as char);
        out.extend(digits);
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mechanism_carries_and_nothing_wrong_does() {
    let options = KafkaOptions { security: Security::SaslOverTls, ..KafkaOptions::default() };
    let kafka = tokio::task::block_in_place(|| Kafka::start(&options)).unwrap();
    let tls = Some(Tls { ca_file: Some(kafka.ca_file()), ..Tls::default() });
    let plain = connection(&kafka.bootstrap());
    let asked = Arc::new(AtomicU32::new(0));
    let good = [
        password(Mechanism::Plain, PASSWORD),
        password(Mechanism::ScramSha256, PASSWORD),
        password(Mechanism::ScramSha512, PASSWORD),
        tokens(asked.clone()),
    ];
    let topic = fresh("secured");
    let right = Connection { tls: tls.clone(), sasl: password(Mechanism::ScramSha512, PASSWORD), ..plain.clone() };
    for (round, sasl) in good.into_iter().enumerate() {
        let connection = Connection { tls: tls.clone(), sasl, ..plain.clone() };
        if round == 0 {
            let plan = TopicPlan {
                name: topic.clone(),
                partitions: 1,
                replication: 1,
                retention: Duration::from_secs(86_400),
            };
            let made = Topics::new(connection.clone()).create(&plan).await;
            assert!(made.unwrap_or_else(|error| panic!("{error}; {}", kafka.log(0))));
        }
        let world = tokio::task::block_in_place(|| OnKafka::on(connection, topic.clone()));
        world.journal.append(entries(0..9, 100)).await.unwrap();
        let carrier = world.open(LARGE);
        assert_eq!(take(&carrier, 10).await.len(), 10);
        tokio::task::block_in_place(|| {
            until("all is settled", || carrier.status().trouble.is_none().then_some(()));
            world.close(carrier);
            drop(world);
        });
    }
    assert!(asked.load(Ordering::SeqCst) >= 2, "forwarder and consumer ask for tokens");

    // Topics are made and judged with a token, too.
    let topics = Topics::new(Connection { tls: tls.clone(), sasl: tokens(asked.clone()), ..plain.clone() });
    let plan =
        TopicPlan { name: fresh("borne"), partitions: 1, replication: 1, retention: Duration::from_secs(86_400) };
    assert!(topics.create(&plan).await.unwrap_or_else(|error| panic!("{error}; {}", kafka.log(0))));
    let judged = || tokio::runtime::Handle::current().block_on(topics.check(&plan.name)).ok();
    let found = tokio::task::block_in_place(|| until("its settings are known", judged));
    let found: Vec<&str> = found.iter().map(|finding| finding.setting.as_str()).collect();
    assert_eq!(found, ["replication.factor", "min.insync.replicas"], "what one broker risks, and nothing else");
    let refused = Sasl::Token(Arc::new(|| Err("the realm is away".into())));
    let made = Topics::new(Connection { tls: tls.clone(), sasl: Some(refused), ..plain.clone() }).create(&plan).await;
    let why = made.expect_err("no token, no answer");
    assert!(matches!(why, TopicsError::Unreachable(_)) && why.to_string().contains("the realm is away"), "{why}");

    // A CA that is exchanged in its file counts without a restart; a file that is of no use changes nothing.
    let (other, own) = (rcgen_ca(), std::fs::read(kafka.ca_file()).unwrap());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::copy(other.path(), file.path()).unwrap();
    let exchanged = Some(Tls { ca_file: Some(file.path().to_owned()), ..Tls::default() });
    let connection = Connection { tls: exchanged, sasl: password(Mechanism::ScramSha512, PASSWORD), ..plain.clone() };
    let made = fresh("exchanged");
    tokio::task::block_in_place(|| make_topic(&right, &made, 1));
    let meter = LagMeter::new(&connection, &made, &made);
    let carrier = KafkaCarrier::join(&connection, Subscription::receipts(&made, &made), LARGE).unwrap();
    let answer = tokio::task::block_in_place(|| meter.measure());
    assert!(answer.is_err());
    let world = tokio::task::block_in_place(|| OnKafka::on(right, made.clone()));
    world.journal.append(entries(0..9, 100)).await.unwrap();
    tokio::task::block_in_place(|| {
        world.forwarded();
        until("it is said", || carrier.status().trouble);
    });
    std::fs::write(file.path(), "half of a certificate").unwrap();
    std::fs::write(file.path(), own).unwrap();
    assert_eq!(take(&carrier, 10).await.len(), 10);
    tokio::task::block_in_place(|| {
        until("the lag is measured, too", || meter.measure().ok());
        world.close(carrier);
        drop(world);
    });

    let wrong = [
        (tls.clone(), password(Mechanism::ScramSha512, "wrong")),
        (tls.clone(), password(Mechanism::Plain, "wrong")),
        (tls.clone(), None),
        (Some(Tls { ca_file: Some(other.path().to_owned()), ..Tls::default() }), password(Mechanism::Plain, PASSWORD)),
        (None, password(Mechanism::ScramSha512, PASSWORD)),
    ];
    for (tls, sasl) in wrong {
        let connection = Connection { tls, sasl, ..plain.clone() };
        let answer = tokio::task::block_in_place(|| LagMeter::new(&connection, &topic, "x").measure());
        assert!(answer.is_err());
    }

    // The right broker by a name that its certificate does not have.
    let brokers = plain.brokers.replace("127.0.0.1", "127.1");
    let misnamed = Connection { tls, sasl: password(Mechanism::Plain, PASSWORD), brokers, ..plain };
    let answer = tokio::task::block_in_place(|| LagMeter::new(&misnamed, &topic, "x").measure());
    assert!(answer.is_err());
}

/// A broker that takes only whoever has a certificate of its CA.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_ours_carries_where_a_broker_asks_for_one_and_nothing_else_does() {
    let options = KafkaOptions { security: Security::Certificates, ..KafkaOptions::default() };
    let kafka = tokio::task::block_in_place(|| Kafka::start(&options)).unwrap();
    let (certificate, key) = kafka.client_files();
    let of = |files: Option<(&Path, &Path)>| Connection {
        tls: Some(Tls {
            ca_file: Some(kafka.ca_file()),
            certificate_file: files.map(|(certificate, _)| certificate.to_owned()),
            key_file: files.map(|(_, key)| key.to_owned()),
        }),
        ..connection(&kafka.bootstrap())
    };
    let right = of(Some((&certificate, &key)));
    let topic = fresh("certified");
    tokio::task::block_in_place(|| make_topic(&right, &topic, 1));
    let world = tokio::task::block_in_place(|| OnKafka::on(right.clone(), topic.clone()));
    world.journal.append(entries(0..9, 100)).await.unwrap();
    let carrier = world.open(LARGE);
    assert_eq!(take(&carrier, 10).await.len(), 10);
    tokio::task::block_in_place(|| {
        world.forwarded();
        until("the lag is measured", || LagMeter::new(&right, &topic, &topic).measure().ok());
        world.close(carrier);
        drop(world);
    });

    // Of another CA, by itself; its key is that of the certificate.
    let (other, other_key) = certificate_of_its_own();
    for wrong in [of(None), of(Some((other.path(), other_key.path()))), connection(&kafka.bootstrap())] {
        assert!(Topics::new(wrong.clone()).check(&topic).await.is_err());
        tokio::task::block_in_place(|| {
            assert!(LagMeter::new(&wrong, &topic, "x").measure().is_err());
            let world = OnKafka::on(wrong, topic.clone());
            let status = || world.forwarding.as_ref().unwrap().status();
            until("it is said", || status().refused.or_else(|| status().trouble));
            assert_eq!(status().confirmed, 0);
        });
    }
}

/// A certificate that nobody trusts here, and its key.
fn certificate_of_its_own() -> (tempfile::NamedTempFile, tempfile::NamedTempFile) {
    let key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
    let files = [own.pem(), key.serialize_pem()].map(|text| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    });
    files.into()
}

/// A CA that signed nothing here.
fn rcgen_ca() -> tempfile::NamedTempFile {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), ca.self_signed(&key).unwrap().pem()).unwrap();
    file
}
