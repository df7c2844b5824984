//! A Keycloak that delivers without a pause, and what must be true of its events afterwards.

use super::{Program, kafka::post, login, sign};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Events of one delivery.
pub const ARRAY: u64 = 50;

/// Clients of a load at a rate.
const CLIENTS: usize = 4;

/// Logins of one person. A person is answered as a whole: one of all logins would be answered again with every block of them.
const LOGINS: u64 = 20;

/// The event with this number: one person after the other logs in, several times into one session.
fn event(number: u64) -> String {
    let person = number / LOGINS;
    login(&format!("55555555-0000-4000-8000-{number:012}"), 1_795_469_103_342 + i64::try_from(number).unwrap())
        .replace("cx-5n1IvfJg3rx8ScohigMeF", &format!("cx-{person:021}"))
        .replace("1bc6ec44-547f-4b49-83b0-3ea39f26a233", &format!("1bc6ec44-547f-4b49-83b0-{:012}", person))
        .replace("\"ann\"", &format!("\"ann{}\"", person))
}

/// Posts one signed delivery of an array of events with these numbers; its status code.
pub fn deliver(program: &Program, numbers: std::ops::Range<u64>) -> u16 {
    let events: Vec<String> = numbers.map(event).collect();
    let body = format!("[{}]", events.join(","));
    let signature = sign(&program.secret("keycloak.webhook"), body.as_bytes());
    let headers = [("x-keycloak-signature", signature), ("content-type", "application/json".into())];
    post(&format!("{}/v1/keycloak/keycloak", program.intake()), &headers, body.into_bytes())
}

/// Delivers while `during` runs; every delivery must be answered 2xx. Returns what `during` does.
pub fn under_load<T>(program: &Program, next: &AtomicU64, during: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let from = next.fetch_add(ARRAY, Ordering::Relaxed);
                assert_eq!(deliver(program, from..from + ARRAY) / 100, 2, "intake does not depend on Kafka");
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        // However `during` ends, the load ends too: a scope waits for it.
        let _ended = Ending(&stop);
        let done = during();
        stop.store(true, Ordering::Relaxed);
        load.join().unwrap();
        done
    })
}

/// The same at `rate` events a second, or as many as come through, from several clients.
pub fn under_rate<T>(program: &Program, next: &AtomicU64, rate: u64, during: impl FnOnce() -> T) -> T {
    let (stop, began, first) = (AtomicBool::new(false), Instant::now(), next.load(Ordering::Relaxed));
    std::thread::scope(|scope| {
        let load = || {
            while !stop.load(Ordering::Relaxed) {
                let from = next.fetch_add(ARRAY, Ordering::Relaxed);
                let due = Duration::from_micros((from - first) * 1_000_000 / rate);
                std::thread::sleep(due.saturating_sub(began.elapsed()));
                assert_eq!(deliver(program, from..from + ARRAY) / 100, 2, "intake does not depend on Kafka");
            }
        };
        let loads: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(load)).collect();
        let _ended = Ending(&stop);
        let done = during();
        stop.store(true, Ordering::Relaxed);
        loads.into_iter().for_each(|load| load.join().unwrap());
        done
    })
}

/// Ends a load when it goes, however that is.
pub struct Ending<'a>(pub &'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Every event that was acknowledged is stored, once; journals and ClickHouse count the same.
pub fn check(processor: &Program, collectors: &[&Program], acknowledged: u64) {
    let rows =
        processor.sql("SELECT count() AS n, uniqExact(event_id) AS ids FROM events WHERE source_id = 'keycloak'");
    assert_eq!((rows[0]["n"].as_u64(), rows[0]["ids"].as_u64()), (Some(acknowledged), Some(acknowledged)));
    let journals: u64 = collectors.iter().map(|one| one.status()["journal"]["end"].as_u64().unwrap()).sum();
    assert_eq!(processor.sql("SELECT count() AS n FROM receipts")[0]["n"], journals);
    for stream in processor.sql("SELECT stream, last_seq, seqs, contested FROM streams") {
        assert_eq!(stream["seqs"].as_u64().unwrap(), stream["last_seq"].as_u64().unwrap() + 1, "a hole in {stream}");
        assert_eq!(stream["contested"], 0);
    }
}

/// Receipts that the brokers have confirmed to a collector since its start.
pub fn settled(collector: &Program) -> u64 {
    collector.status()["kafka"]["forwarder"]["confirmed"].as_u64().unwrap()
}
