//! Recorded samples as receipts, and events as lines of text.
#![allow(dead_code)]

use events::{
    event::Event,
    ids::{Position, StreamId},
    normalise::{Context, Normalised, normalise},
    person::DeploymentKey,
    receipt::{HEADER_VERSION, Input, LinePlace, Payload, Receipt, ReceiptHeader, SourceKind, TimeBasis},
};
use serde_json::Value;
use std::{fmt::Write, io::Read, path::PathBuf};

/// When receipts without a recorded time of arrival are taken in.
pub const RECEIVED_AT: i64 = 1_795_500_000_000;

pub fn context() -> Context {
    Context { key: DeploymentKey::new([7; 32]) }
}

/// The text of a file below `schemas/samples`; `.gz` is unpacked.
pub fn sample(path: &str) -> String {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../schemas/samples").join(path);
    let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut text = String::new();
    if path.ends_with(".gz") {
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).expect("gzip of UTF-8");
    } else {
        text = String::from_utf8(bytes).expect("UTF-8");
    }
    text
}

pub fn receipt(payload: Payload, input: Input, body: &str) -> Receipt {
    let backstage = matches!(payload, Payload::BackstageLine | Payload::BackstageCatalogSnapshot);
    Receipt {
        position: Position { stream: StreamId([1; 16]), seq: 0 },
        header: ReceiptHeader {
            v: HEADER_VERSION,
            tenant: "default".into(),
            source_id: if backstage { "bs" } else { "kc" }.into(),
            source_kind: if backstage { SourceKind::Backstage } else { SourceKind::Keycloak },
            input,
            payload,
            received_at: RECEIVED_AT,
            native_id: String::new(),
            delivery_id: "delivery-1".into(),
            delivery_keyed: false,
            delivery_index: 0,
            line: None,
        },
        body: body.as_bytes().to_vec(),
    }
}

/// The deliveries of a recorded webhook file.
pub fn webhook(path: &str) -> Vec<Receipt> {
    let deliveries = sample(path);
    let read = |(seq, line): (u64, &str)| {
        let delivery: Value = serde_json::from_str(line).expect("a delivery");
        let body = delivery["body"].as_str().expect("body");
        let mut receipt = receipt(Payload::KeycloakWebhook, Input::Webhook, body);
        receipt.position.seq = seq;
        receipt.header.received_at = (delivery["received_at"].as_f64().expect("time") * 1e3) as i64;
        receipt
    };
    (0..).zip(deliveries.lines()).map(read).collect()
}

/// The events of a recorded Admin REST answer.
pub fn pulled(path: &str) -> Vec<Receipt> {
    let payload = if path.contains("admin") { Payload::KeycloakAdminEvent } else { Payload::KeycloakEvent };
    let events: Vec<Value> = serde_json::from_str(&sample(path)).expect("an array");
    let read = |(seq, event): (u64, &Value)| {
        let mut receipt = receipt(payload, Input::Pull, &event.to_string());
        receipt.position.seq = seq;
        receipt
    };
    (0..).zip(&events).map(read).collect()
}

/// The lines of a recorded standard output that are JSON objects; framed ones with the time of reading.
pub fn lines(path: &str) -> Vec<Receipt> {
    let text = sample(path);
    let mut receipts = Vec::new();
    for (number, line) in (0u32..).zip(text.lines()) {
        let (time_ns, line) = if path.contains(".cri.") {
            let (time, rest) = line.split_once(" stdout F ").expect("framed");
            let time: jiff::Timestamp = time.parse().expect("a time");
            (Some(i64::try_from(time.as_nanosecond()).expect("in range")), rest)
        } else {
            (None, line)
        };
        if !line.starts_with('{') {
            continue;
        }
        let mut receipt = receipt(Payload::BackstageLine, Input::Lines, line);
        receipt.position.seq = u64::from(number);
        receipt.header.delivery_index = number;
        receipt.header.line = Some(LinePlace {
            instance: if time_ns.is_some() { "pod-1".into() } else { String::new() },
            number,
            time_ns,
            basis: if time_ns.is_some() { TimeBasis::Shipper } else { TimeBasis::Receipt },
            mark: context().key.mark("line", &[line]),
            backlog: false,
        });
        receipts.push(receipt);
    }
    receipts
}

pub fn events(receipt: &Receipt) -> Vec<Event> {
    match normalise(receipt, &context()) {
        Normalised::Events(events) => events,
        other => panic!("no events but {other:?} for {}", String::from_utf8_lossy(&receipt.body)),
    }
}

/// The one event of a body.
pub fn one(payload: Payload, body: &str) -> Event {
    let mut events = events(&receipt(payload, Input::Webhook, body));
    assert_eq!(events.len(), 1, "{events:#?}");
    events.remove(0)
}

/// One line per receipt that is no event, one per event otherwise: what it says and is not empty.
pub fn report(receipts: &[Receipt]) -> String {
    let mut out = String::new();
    for receipt in receipts {
        let seq = receipt.position.seq;
        match normalise(receipt, &context()) {
            Normalised::Ignored(why) => writeln!(out, "{seq} ignored {}", why.as_str()).expect("writes"),
            Normalised::Dead(why) => writeln!(out, "{seq} dead {}", why.as_str()).expect("writes"),
            Normalised::Events(events) => {
                for event in events {
                    writeln!(out, "{seq}.{} {}", event.ordinal, projected(&event)).expect("writes");
                }
            }
        }
    }
    out
}

/// Fields that are the same everywhere or are checked by other tests.
const LEFT_OUT: &[&str] = &[
    "kind",
    "native_type",
    "outcome",
    "time",
    "time_min",
    "time_max",
    "event_id",
    "tenant",
    "source_id",
    "source_kind",
    "input",
    "receipt",
    "ordinal",
    "received_at",
    "normaliser",
    "native_id",
];

fn projected(event: &Event) -> String {
    let mut out = format!("{} [{}] {}", event.kind, event.native_type, event.outcome.as_str());
    let time = jiff::Timestamp::from_millisecond(event.time).expect("in range");
    write!(out, " {time:.3} -{}+{}", event.time - event.time_min, event.time_max - event.time).expect("writes");
    let value = serde_json::to_value(event).expect("serialises");
    for (name, field) in value.as_object().expect("an object") {
        if LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        match field {
            Value::String(text) if text.is_empty() => {}
            // Keys are hashes: their beginning tells them apart.
            Value::String(text) if name == "person" || name == "actor" => {
                write!(out, " {name}={}", &text[..6]).expect("writes")
            }
            Value::String(text) if text == "none" && name == "right_change" => {}
            Value::String(text) => write!(out, " {name}={text}").expect("writes"),
            Value::Array(items) if items.is_empty() => {}
            Value::Object(fields) if fields.is_empty() => {}
            Value::Null => {}
            Value::Object(fields) => {
                for (key, value) in fields {
                    write!(out, " {name}.{key}={}", value.as_str().unwrap_or("?")).expect("writes");
                }
            }
            other => write!(out, " {name}={other}").expect("writes"),
        }
    }
    out
}
