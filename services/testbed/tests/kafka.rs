//! Three real brokers: they serve, one dies and comes back, and nothing stays behind.
#![allow(clippy::unwrap_used)] // a test may panic

use std::net::TcpStream;
use testbed::{Kafka, KafkaOptions};

#[test]
fn brokers_start_die_and_come_back() {
    let mut kafka = Kafka::start(&KafkaOptions { brokers: 3, ..KafkaOptions::default() }).unwrap();
    let addresses: Vec<String> = kafka.bootstrap().split(',').map(str::to_owned).collect();
    assert_eq!(addresses.len(), 3);
    let serves = |address: &String| TcpStream::connect(address).is_ok();
    assert!(addresses.iter().all(serves));
    kafka.kill(1);
    assert!(serves(&addresses[0]) && !serves(&addresses[1]) && serves(&addresses[2]));
    kafka.restart(1).unwrap();
    assert!(addresses.iter().all(serves));
    drop(kafka);
    assert!(!addresses.iter().any(serves));
}
