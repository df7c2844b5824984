//! What came since a checkpoint, and what stands twice at one position.

use super::{
    Database, LITTLE, PLENTY, Program, all_of_story, assert_same,
    days::{HOUR, Teller, midnight},
    story,
};
use events::receipt::Input;
use pipeline::correlation::Probe;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_came_since_a_checkpoint_fits_into_memory_whatever_it_is() {
    let (blocks, expected) = (story(), all_of_story().await);
    let database = Database::new().await;
    let (first, rest) = blocks.split_at(4);
    for block in first {
        database.store.insert(block).await.unwrap();
    }
    let program = Program::start(&database, LITTLE, Some(Duration::from_millis(1)));
    program.answered().await;
    program.stop().await;
    for block in rest {
        database.store.insert(block).await.unwrap();
    }

    let most = Arc::new(AtomicU64::new(0));
    let seen = most.clone();
    let looks = |acknowledged: &pipeline::correlation::Acknowledged| {
        let acknowledged = acknowledged.clone();
        let look: Probe = Arc::new(move |_| {
            let bytes = acknowledged.remembered().map_or(0, |kept| kept.bytes);
            seen.fetch_max(bytes, Ordering::Relaxed);
        });
        Some(look)
    };
    let program = Program::start_seen((&database, LITTLE), Some(Duration::from_secs(3_600)), looks);
    program.answered().await;
    assert_eq!((program.metrics.resumes.get(), program.metrics.loads.get()), (1, 0));
    let most = most.load(Ordering::Relaxed);
    assert!((LITTLE / 2..=LITTLE).contains(&most), "{most} bytes while it caught up");
    assert_same(&database, expected, "caught up").await;
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_receipt_at_a_taken_position_is_answered_as_well() {
    let database = Database::new().await;
    let program = Program::start(&database, PLENTY, None);
    program.answered().await;
    let mut teller = Teller::new(1);
    teller.begin();
    teller.sign_in(midnight(20) + HOUR, ("ann", "first"));
    program.told(&database, &teller.block()).await;
    program.answered().await;
    // A log that was put back goes on under the numbers that were taken meanwhile.
    let mut other = Teller::by(1, (Input::Webhook, "other-"));
    other.sign_in(midnight(20) + 2 * HOUR, ("bob", "second"));
    let mut block = other.block();
    block.receipts.iter_mut().for_each(|stored| stored.commitment[31] ^= 0xff);
    program.told(&database, &block).await;
    program.answered().await;
    let sessions = "SELECT session_id FROM session_rows FINAL ORDER BY session_id";
    let sessions: Vec<String> = database.sql().query(sessions).fetch_all().await.unwrap();
    assert_eq!(sessions, ["first", "second"]);
    program.stop().await;
}
