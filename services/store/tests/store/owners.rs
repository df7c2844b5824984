//! Take-overs of the correlation: of any number at once each has an epoch of its own, and the greatest one is the owner's.

use crate::support::{Database, TENANT};
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread")]
async fn take_overs_at_once_have_epochs_of_their_own() {
    let database = Database::new().await;
    assert_eq!(database.store.correlation_owner(TENANT).await.unwrap(), None);
    let mut taking = tokio::task::JoinSet::new();
    for number in 0..6 {
        let store = database.another();
        taking.spawn(async move {
            let mut last = 0;
            let mut epochs = Vec::new();
            for _ in 0..3 {
                let epoch = store.take_over_correlation(TENANT, &format!("p{number}")).await.unwrap();
                assert!(epoch > last, "a later take-over has a later epoch");
                last = epoch;
                epochs.push((epoch, format!("p{number}")));
            }
            epochs
        });
    }
    let mut all = Vec::new();
    while let Some(epochs) = taking.join_next().await {
        all.extend(epochs.unwrap());
    }
    let apart: BTreeSet<u64> = all.iter().map(|(epoch, _)| *epoch).collect();
    assert_eq!(apart.len(), 18, "no two have one epoch: {all:?}");
    // Rows of attempts that found another at their epoch may be later; whoever takes over next is later still.
    let epoch = database.store.take_over_correlation(TENANT, "last").await.unwrap();
    let owner = database.store.correlation_owner(TENANT).await.unwrap().unwrap();
    assert_eq!((owner.epoch, owner.name.as_str()), (epoch, "last"));
    assert!(all.iter().all(|(other, _)| *other < epoch));
    assert_eq!(database.store.take_over_correlation("another", "first").await.unwrap(), 1, "tenants are apart");
}
