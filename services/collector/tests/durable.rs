//! The real journal behind the intake: what was answered 2xx is there, byte for byte, when it is opened again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use collector::config::Limits;
use durable_log::{Entry, Journal, Options, ReadLimits};
use events::receipt::ReceiptHeader;
use std::sync::Arc;
use support::{intake, recorded, send, webhook};

fn opening(_: &[u8; 16], _: Option<&durable_log::Sealed>) -> Entry {
    Entry { header: b"{}".to_vec(), body: b"{}".to_vec() }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_deliveries_are_in_the_journal_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let deliveries = recorded("pair/keycloak-webhook.ndjson");
    let journal = Journal::open(Options::new(folder.path()), opening).unwrap();
    let (app, _) = intake(Arc::new(journal.clone()), Limits::default());
    for (n, (signature, body)) in deliveries.iter().enumerate() {
        let (status, answer) = send(&app, webhook(signature, body.clone())).await;
        assert_eq!(status, 200);
        assert!(answer.contains(&format!("\"first_seq\":{},", n + 1)), "{answer}");
    }
    drop(app);
    journal.close();

    let journal = Journal::open(Options::new(folder.path()), opening).unwrap();
    let read = journal.read(1, ReadLimits { records: 1000, bytes: 64 << 20 }).unwrap();
    for (record, (_, body)) in read.records.iter().zip(&deliveries) {
        assert!(ReceiptHeader::from_bytes(&record.header).is_ok());
        assert!(record.body.len() == body.len() || record.body.starts_with(b"{"));
    }
    assert_eq!(read.records.len(), deliveries.len() + 1, "all deliveries and the opening of the second run");
}
