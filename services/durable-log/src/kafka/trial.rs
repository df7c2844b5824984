//! Whether librdkafka takes our settings together: what contradicts each other it says only when a client is made, so one of each
//! kind is made and thrown away. Neither asks anybody anything: they know no broker.

use super::settings::Connection;
use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaResult;
use rdkafka::producer::BaseProducer;

/// Makes a producer of each kind and a consumer. TLS and SASL are left out: their files may be missing where a config is only checked,
/// and whoever makes a client looks at them again and again.
pub(super) fn clients(connection: &Connection) -> KafkaResult<()> {
    // With them: a name or a value that is none is refused here already.
    connection.producer_config().create_native_config()?;
    connection.consumer_config("trial").create_native_config()?;
    let bare = Connection { tls: None, sasl: None, ..connection.clone() };
    for mut producing in [bare.producer_config(), bare.telling_config()] {
        unconnected(&mut producing).create::<BaseProducer>()?;
    }
    unconnected(&mut bare.consumer_config("trial")).create::<BaseConsumer>()?;
    Ok(())
}

/// Without brokers, and in no group that it would have to leave.
fn unconnected(config: &mut ClientConfig) -> &ClientConfig {
    config.remove("bootstrap.servers").remove("group.id")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn connection(producer: &[(&str, &str)], consumer: &[(&str, &str)]) -> Connection {
        let settings = |given: &[(&str, &str)]| -> BTreeMap<String, String> {
            given.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
        };
        Connection {
            brokers: "127.0.0.1:1".into(),
            client_id: "test".into(),
            rack: String::new(),
            tls: None,
            sasl: None,
            producer: settings(producer),
            consumer: settings(consumer),
        }
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused_by_the_check() {
        connection(&[], &[]).check().unwrap();
        connection(&[("max.in.flight", "5")], &[("session.timeout.ms", "300000")]).check().unwrap();
        for (producer, consumer, named) in [
            (None, Some(("session.timeout.ms", "300001")), "max.poll.interval.ms"),
            (None, Some(("group.protocol", "consumer")), "group.protocol"),
            (None, Some(("fetch.max.bytes", "1000000")), "fetch.max.bytes"),
            (Some(("max.in.flight", "6")), None, "max.in.flight"),
            (Some(("linger.ms", "40000")), None, "linger.ms"),
            (Some(("retries", "0")), None, "retries"),
        ] {
            let (producer, consumer) = (producer.as_slice(), consumer.as_slice());
            let error = connection(producer, consumer).check().expect_err(named).to_string();
            assert!(error.contains(named), "{named}: {error}");
        }
    }
}
