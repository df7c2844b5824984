//! What a receipt is called on Kafka: its key, and labels by which other consumers choose without reading our header.

use durable_log::Record;
use events::{
    ids::StreamId,
    receipt::{Payload, ReceiptHeader},
};

/// Key and labels of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// The source's own id of the event, so that copies of one event meet on one partition; else stream and number.
    pub key: Vec<u8>,
    /// Name and text; docs/kafka.md says what each means.
    pub headers: Vec<(&'static str, String)>,
}

/// Labels of a record. One whose header cannot be read has a key and no more: it goes its way like all others.
pub fn labels(record: &Record) -> Labels {
    let place = || format!("{}/{}", StreamId(record.stream), record.seq).into_bytes();
    let Ok(header) = ReceiptHeader::from_bytes(&record.header) else {
        return Labels { key: place(), headers: Vec::new() };
    };
    let key = if header.native_id.is_empty() { place() } else { header.native_id.clone().into_bytes() };
    // What came as JSON is JSON after redaction; of the rest, only lines are none.
    let json = matches!(record.body.first(), Some(b'{' | b'[')) || header.payload != Payload::BackstageLine;
    let content_type = if json { "application/json" } else { "text/plain" };
    let mut headers = vec![
        ("tenant", header.tenant),
        ("source_id", header.source_id),
        ("input", header.input.as_str().to_owned()),
        ("payload", header.payload.as_str().to_owned()),
        ("received_at", header.received_at.to_string()),
        ("content-type", content_type.to_owned()),
    ];
    if !header.native_id.is_empty() {
        headers.push(("native_id", header.native_id));
    }
    if !header.delivery_id.is_empty() {
        headers.push(("delivery_id", header.delivery_id));
        headers.push(("delivery_index", header.delivery_index.to_string()));
    }
    Labels { key, headers }
}

#[cfg(test)]
mod tests {
    use super::*;
    use durable_log::Enc;
    use events::receipt::{HEADER_VERSION, Input, SourceKind};

    fn record(header: Vec<u8>) -> Record {
        Record {
            offset: 0,
            stream: [7; 16],
            seq: 3,
            header: header.into(),
            body: (&b"{}"[..]).into(),
            salt: [0; 16],
            commitment: [0; 32],
            chain: [0; 32],
            enc: Enc::NONE,
        }
    }

    fn header(native_id: &str) -> Vec<u8> {
        let header = ReceiptHeader {
            v: HEADER_VERSION,
            tenant: "acme".into(),
            source_id: "kc".into(),
            source_kind: SourceKind::Keycloak,
            input: Input::Webhook,
            payload: Payload::KeycloakWebhook,
            received_at: 12,
            native_id: native_id.into(),
            delivery_id: "d".into(),
            delivery_keyed: false,
            delivery_index: 4,
            line: None,
        };
        header.to_bytes()
    }

    #[test]
    fn copies_of_one_event_have_one_key_and_all_others_their_own() {
        assert_eq!(labels(&record(header("id-1"))).key, b"id-1");
        let place = format!("{}/3", "07".repeat(16)).into_bytes();
        assert_eq!(labels(&record(header(""))).key, place);
        let broken = labels(&record(b"no header".to_vec()));
        assert_eq!((broken.key, broken.headers.len()), (place, 0));
    }

    #[test]
    fn labels_say_what_the_header_says() {
        let labels = labels(&record(header("id-1")));
        let get = |name| labels.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str());
        assert_eq!(
            ["tenant", "source_id", "input", "payload", "received_at", "content-type", "native_id", "delivery_index"]
                .map(get),
            ["acme", "kc", "webhook", "keycloak_webhook", "12", "application/json", "id-1", "4"].map(Some)
        );
    }
}
