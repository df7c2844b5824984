//! Records of a Kafka topic that a Keycloak event listener writes: redacted and split as a webhook's body, with their place on the
//! topic as delivery id. Total: whatever a record holds, it becomes at least one receipt.
//!
//! Who may write to the topic is the brokers' business; what they hand us was proven by our connection to them.

use crate::{
    config::Limits,
    journal::Entry,
    receive::{Delivery, Labels, Receiver},
    redact::Broken,
    split::Piece,
    verify::KnownSource,
};
use durable_log::MAX_RECORD_BYTES;
use events::{
    lines::SenderGap,
    person::DeploymentKey,
    receipt::{Input, Payload, SourceKind},
};

/// What delivery ids of records begin with: `kafka:TOPIC/PARTITION/OFFSET`.
pub const DELIVERY: &str = "kafka:";

/// Turns the records of one source's topics into entries.
pub struct TopicReceiver {
    receiver: Receiver,
    source: KnownSource,
    key: DeploymentKey,
}

impl TopicReceiver {
    /// For a Keycloak of the config.
    pub fn new((tenant, source): (&str, &str), key: DeploymentKey) -> Self {
        // Every record has a delivery id of its own: the run needs no name.
        // A record cannot be sent back, so that its bytes alone bound how many events it may hold.
        let limits = Limits { keycloak_events: usize::MAX, ..Limits::default() };
        let receiver = Receiver::new(tenant, key.clone(), [0; 8], limits);
        Self { receiver, source: KnownSource::of_topic(source, SourceKind::Keycloak), key }
    }

    /// Entries of one record; `place` is `TOPIC/PARTITION/OFFSET`. What cannot be read, or not kept, is one dead letter.
    pub fn receive(&self, place: &str, body: &[u8], received_at: i64) -> Vec<Entry> {
        let delivery_key = Some(format!("{DELIVERY}{place}"));
        let labels = Labels { delivery_key, ..Labels::default() };
        let delivery = Delivery { source: &self.source, input: Input::Kafka, labels, received_at, body };
        let refused = || {
            let piece = Piece::unparsable(&self.key, body, Broken::RecordTooLarge);
            self.receiver.entries(vec![piece], &delivery).entries
        };
        if body.len() > self.receiver.limits().keycloak_inflated_bytes {
            return refused();
        }
        let Ok(received) = self.receiver.receive(&delivery) else { return refused() };
        // Marks may be longer than what they stand for.
        let fits = |entry: &Entry| entry.header.len() + entry.body.len() <= MAX_RECORD_BYTES;
        if received.entries.iter().all(fits) { received.entries } else { refused() }
    }

    /// The receipt that tells that records were gone before they could be read.
    pub fn lost(&self, gap: &SenderGap, received_at: i64) -> Entry {
        let delivery =
            Delivery { source: &self.source, input: Input::Kafka, labels: Labels::default(), received_at, body: &[] };
        // Names and numbers always serialise.
        let piece = Piece::of(Payload::SenderGap, serde_json::to_vec(gap).unwrap_or_default());
        self.receiver.entries(vec![piece], &delivery).entries.remove(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::receipt::ReceiptHeader;
    use proptest::prelude::*;

    fn receiver() -> TopicReceiver {
        TopicReceiver::new(("acme", "sso"), DeploymentKey::new([7; 32]))
    }

    fn headers(body: &[u8]) -> Vec<ReceiptHeader> {
        let entries = receiver().receive("kc/3/17", body, 1);
        entries.iter().map(|entry| ReceiptHeader::from_bytes(&entry.header).unwrap()).collect()
    }

    /// A user event as Jackson writes Keycloak's own class: with nulls.
    const LOGIN: &str = r#"{"id":"8d2485b0-e243-4d94-a3b0-56400311a0c0","time":1795467054348,"type":"LOGIN","realmId":"r","realmName":"acme","clientId":"c","userId":"u","sessionId":null,"ipAddress":"127.0.0.1","error":null,"details":{"username":"ann"}}"#;

    #[test]
    fn a_record_is_known_by_its_place_and_its_event_by_its_id() {
        let found = headers(LOGIN.as_bytes());
        assert_eq!(found.len(), 1);
        let one = &found[0];
        assert_eq!(
            (one.payload, one.input, one.source_kind),
            (Payload::KeycloakEvent, Input::Kafka, SourceKind::Keycloak)
        );
        assert_eq!((one.delivery_id.as_str(), one.delivery_keyed, one.delivery_index), ("kafka:kc/3/17", true, 0));
        assert_eq!((one.native_id.as_str(), one.tenant.as_str()), ("8d2485b0-e243-4d94-a3b0-56400311a0c0", "acme"));
    }

    #[test]
    fn what_cannot_be_read_or_kept_is_one_dead_letter() {
        for body in [&b""[..], b"\xff\xfe", b"{", b"null", &vec![b' '; (4 << 20) + 1]] {
            let found = headers(body);
            assert_eq!(found.len(), 1, "{} bytes", body.len());
            assert!(matches!(found[0].payload, Payload::Unparsable | Payload::Unknown));
            assert_eq!(found[0].delivery_id, "kafka:kc/3/17");
        }
    }

    #[test]
    fn a_record_of_many_events_keeps_each() {
        let many = format!("[{}]", vec![LOGIN; 600].join(","));
        assert_eq!(headers(many.as_bytes()).iter().filter(|one| one.payload == Payload::KeycloakEvent).count(), 600);
    }

    #[test]
    fn secrets_of_a_record_are_redacted() {
        let body = r#"{"id":"a","time":1,"realmId":"r","operationType":"CREATE","resourceType":"CLIENT","representation":"{\"secret\":\"hunter2-hunter2\"}"}"#;
        let entries = receiver().receive("kc/0/0", body.as_bytes(), 1);
        assert!(!String::from_utf8_lossy(&entries[0].body).contains("hunter2"));
    }

    #[test]
    fn a_loss_is_a_receipt_of_the_collector() {
        let gap =
            SenderGap { source: "sso".into(), instance: "kc/0@3-9".into(), since: 1, until: 2, dropped_lines: Some(7) };
        let entry = receiver().lost(&gap, 5);
        let header = ReceiptHeader::from_bytes(&entry.header).unwrap();
        assert_eq!((header.input, header.payload), (Input::Collector, Payload::SenderGap));
    }

    proptest! {
        #[test]
        fn any_record_becomes_receipts_of_its_place(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let found = headers(&body);
            prop_assert!(!found.is_empty());
            prop_assert!(found.iter().all(|one| one.source_id == "sso" && one.input == Input::Kafka));
        }
    }
}
