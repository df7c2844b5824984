//! What came since a checkpoint, what stands twice at one position, and what is told to wait.

use super::{
    Database, LITTLE, PLENTY, Program, TENANT, all_of_story, assert_same,
    days::{DAYS, HOUR, Teller, midnight},
    story, until,
};
use events::{ids::StreamId, receipt::Input};
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

/// What the cursor says of a stream: the first number that is in no answer, ranges behind it, and how many are; none while nothing is.
async fn cursor(database: &Database, stream: StreamId) -> Option<(u64, String, u64)> {
    let sql = "SELECT next, toString(beyond), taken FROM correlated WHERE tenant = ? AND stream = ?";
    database.sql().query(sql).bind(TENANT).bind(stream.to_string()).fetch_optional().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_what_is_kept_counts_as_correlated_when_everything_was_read() {
    let (database, program, floor) = forgot_much().await;

    // Beside what happened just now.
    let mut teller = Teller::imported(2);
    teller.sign_in(midnight(DAYS - 1) + 20 * HOUR, ("ann", "now"));
    teller.member(midnight(3) + 12 * HOUR, ("ann", false));
    teller.sign_in(midnight(DAYS - 1) + 21 * HOUR, ("bob", "now, too"));
    let block = teller.block();
    let (late, end) = (block.events.iter().position(|event| event.time < floor).unwrap(), block.events.len());
    let (stream, late, end) = (block.events[late].receipt.stream, late as u64, end as u64);
    assert!(late > 0 && late + 1 < end, "it lies between others");
    program.told(&database, &block).await;
    program.answered().await;
    let told = cursor(&database, stream).await;
    if program.metrics.old_loads.get() == 0 {
        assert_eq!(told, Some((late, format!("[({},{end})]", late + 1), end - 1)));
    }
    read_anew(&program).await;
    assert_eq!(cursor(&database, stream).await, Some((end, "[]".to_owned(), end)));
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_from_what_was_forgotten_waits_whenever_it_happened() {
    let (database, program, _) = forgot_much().await;
    let mut teller = Teller::new(2);
    teller.sign_in(midnight(DAYS - 1) + 20 * HOUR, ("bob", "now"));
    teller.member(midnight(3) + 12 * HOUR, ("ann", false));
    teller.refresh(midnight(DAYS - 1) + 20 * HOUR, ("ann", "s-3-ann"), 9);
    let block = teller.block();
    let (stream, end) = (block.events[0].receipt.stream, block.events.len() as u64);
    program.told(&database, &block).await;
    program.answered().await;
    let told = cursor(&database, stream).await;
    if program.metrics.old_loads.get() == 0 {
        assert_eq!(told, None, "which of them need it, their times do not tell");
    }
    read_anew(&program).await;
    assert_eq!(cursor(&database, stream).await, Some((end, "[]".to_owned(), end)));
    program.stop().await;
}

/// One that has followed the story and keeps the end of it, with the floor of what it keeps.
async fn forgot_much() -> (Database, Program, i64) {
    let database = Database::new().await;
    let program = Program::start(&database, LITTLE, Some(Duration::from_millis(1)));
    program.answered().await;
    for block in story() {
        program.told(&database, &block).await;
        program.answered().await;
    }
    let floor = program.answered().await.floor.unwrap();
    (database, program, floor)
}

async fn read_anew(program: &Program) {
    until("it was read anew", async || {
        let kept = program.answered().await;
        (program.metrics.old_loads.get() > 0 && kept.waiting.is_none()).then_some(())
    })
    .await;
}
