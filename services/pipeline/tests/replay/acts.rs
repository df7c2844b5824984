//! An operator's act that an older program did not understand reaches the register when its dead letter is judged again, once.

use crate::{
    law::{arrived, law, webhooks},
    support::{Database, NOON, TENANT, position},
};
use events::{
    finding_act::{FindingAct, Group, Handled, change_id},
    normalise::{Dead, Ignored, Normalised},
    receipt::{Input, Payload, ReceiptHeader},
};
use pipeline::replay::Mode;
use store::{DeadLetters, Selection, StoredReceipt, findings::FindingChange};
use uuid::Uuid;

/// An act as a newer collector took it in.
fn act(seq: u64, (id, said): (Uuid, Handled)) -> StoredReceipt {
    let said = FindingAct { said, by: "ana".into(), reason: "token ended".into() };
    let mut stored = arrived(position(1, seq), Input::Operator, &serde_json::to_string(&said).unwrap());
    stored.receipt.header = ReceiptHeader {
        native_id: id.to_string(),
        ..ReceiptHeader::own(TENANT, (Input::Operator, Payload::FindingAct), NOON + 7)
    };
    stored
}

#[tokio::test]
async fn an_act_that_was_a_dead_letter_reaches_the_register_when_it_is_judged_again() {
    let database = Database::new().await;
    let (close, finding) = (Uuid::from_u128(1), Uuid::from_u128(9));
    let (silence, suppression) = (Uuid::from_u128(2), Uuid::from_u128(8));
    let (rule, subject_kind, subject) = ("D12".into(), "source".into(), "kc".into());
    let group = Group { suppression, rule, subject_kind, subject, owner: "bo".into() };
    let mut receipts = webhooks(&["a login"]);
    receipts.push(act(1, (close, Handled::Close { finding, severity: Some("high".into()) })));
    receipts.push(act(2, (silence, Handled::SuppressGroup { group, until: NOON + 99 })));
    let older = law(1, |_| Normalised::Dead(Dead::MissingField));
    database.store.insert(&older.block(&receipts)).await.unwrap();
    let understands = law(2, |receipt| match receipt.header.payload {
        Payload::FindingAct => Normalised::Ignored(Ignored::Bookkeeping),
        _ => Normalised::Dead(Dead::MissingField),
    });
    let dead = Selection { dead: DeadLetters::Only, ..Selection::default() };
    understands.try_replay(&database.store, &dead, Mode::DryRun).await;
    assert!(!database.store.register_holds(TENANT, change_id(close)).await.unwrap(), "a dry run writes nothing");
    // Killed and run again, and once more with everything: one act is one change.
    for selection in [&dead, &dead, &Selection::default()] {
        understands.replay(&database.store, selection).await;
        let changes = database.store.finding_changes(TENANT, finding).await.unwrap();
        let closed = FindingChange {
            tenant: TENANT.into(),
            finding_id: finding,
            change_id: change_id(close),
            changed_at: NOON + 7,
            what: "closed".into(),
            actor: "ana".into(),
            reason: "token ended".into(),
            until: None,
            severity: "high".into(),
            answers: None,
        };
        assert_eq!(changes, [closed], "when it was done, not when it was understood");
        let suppressions = database.store.suppressions(TENANT).await.unwrap();
        assert_eq!(suppressions.len(), 1);
        assert_eq!((suppressions[0].suppression_id, suppressions[0].owner.as_str()), (suppression, "bo"));
    }
}
