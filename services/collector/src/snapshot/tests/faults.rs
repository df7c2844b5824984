//! A process that dies between any two requests or writes, a journal that refuses, answers that do not come.

use super::world::{Bench, Change, Fault, World};
use crate::snapshot::{NotTaken, ask::Missed};
use events::{
    receipt::Payload,
    snapshot::{Area, Outcome, Trigger},
};
use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

const USERS: u8 = 9;

fn bench(dir: &std::path::Path) -> Bench {
    Bench::new(World::with_users(USERS), (dir, 3))
}

/// Takes one, but dies at the request of that number; false if it got through.
async fn dies_at(bench: &Bench, request: u64) -> bool {
    let number = bench.source.world.lock().unwrap().requests + request;
    bench.source.world.lock().unwrap().faults.insert(number, Fault::Dies);
    // Dropped where it stands, as by a kill: nothing of it runs on.
    let died = tokio::select! {
        taken = bench.take() => taken.is_err(),
        () = bench.source.died.notified() => true,
    };
    bench.source.world.lock().unwrap().faults.clear();
    died
}

#[tokio::test]
async fn a_kill_at_any_request_costs_a_page_and_ends_in_the_same_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let whole = bench(dir.path());
    let id = whole.take().await.unwrap();
    let (total, expected) = (whole.source.world.lock().unwrap().requests, whole.derive(&id));
    let mut at = 1;
    loop {
        let dir = tempfile::tempdir().unwrap();
        let bench = bench(dir.path());
        if !dies_at(&bench, at).await {
            break;
        }
        let id = bench.take().await.unwrap();
        let told = bench.derive(&id);
        assert!(told.end.as_ref().unwrap().complete);
        assert_eq!(told.states, expected.states, "killed at request {at}");
        let counts = |told: &super::state::Derived| -> Vec<(u64, u64, u64)> {
            told.end.as_ref().unwrap().areas.iter().map(|end| (end.lists, end.entities, end.changed)).collect()
        };
        assert_eq!(counts(&told), counts(&expected), "killed at request {at}");
        let begins = bench
            .journal
            .kept
            .lock()
            .unwrap()
            .iter()
            .filter(|one| one.header.payload == Payload::SnapshotBegin)
            .count();
        let asked = bench.source.world.lock().unwrap().requests;
        // Single answers are not kept: the page that died, and what says which clients have sessions.
        assert!(asked <= total + 6, "{asked} requests where {total} do, killed at {at}");
        assert!(begins <= 2);
        at += 1;
    }
    assert!(at > 15, "only {at} requests");
}

#[tokio::test]
async fn a_refused_append_stops_it_and_the_next_start_goes_on() {
    for happened in [false, true] {
        let mut at = 1;
        loop {
            let dir = tempfile::tempdir().unwrap();
            let bench = bench(dir.path());
            bench.journal.refused.lock().unwrap().insert(at, happened);
            match bench.take().await {
                Err(NotTaken::Append(_)) => {}
                Ok(_) => break,
                Err(other) => panic!("{other}"),
            }
            let told = bench.derive(&bench.take().await.unwrap());
            assert!(told.end.as_ref().unwrap().complete, "refused at {at}");
            assert_eq!(told.field(Area::Users, "id").len(), usize::from(USERS));
            // What came twice has one identity.
            let mut bodies: BTreeMap<String, Vec<u8>> = BTreeMap::new();
            for one in bench.journal.kept.lock().unwrap().iter() {
                if one.header.payload == Payload::SnapshotList {
                    let before = bodies.insert(one.header.native_id.clone(), one.body.clone());
                    assert!(before.is_none_or(|before| before == one.body), "one id, two lists");
                }
            }
            at += 1;
        }
        assert!(at > 5);
    }
}

#[tokio::test]
async fn what_may_pass_is_asked_again_and_what_does_not_is_told_by_area() {
    let missed = |outcome| Fault::Missed(Missed::Because(outcome));
    for outcome in [Outcome::Unreachable, Outcome::ServerError, Outcome::Throttled] {
        let dir = tempfile::tempdir().unwrap();
        let bench = bench(dir.path());
        bench.source.world.lock().unwrap().faults.extend([(4, missed(outcome)), (5, missed(outcome))]);
        assert!(bench.derive(&bench.take().await.unwrap()).end.unwrap().complete, "{outcome:?} passed");
    }
    // A source that is gone stops the snapshot, which goes on later; nothing is told of it before.
    let dir = tempfile::tempdir().unwrap();
    let gone = bench(dir.path());
    gone.source.world.lock().unwrap().faults.extend((8..11).map(|n| (n, missed(Outcome::Unreachable))));
    assert!(matches!(gone.take().await, Err(NotTaken::Source(Outcome::Unreachable))));
    assert!(!gone.journal.kept.lock().unwrap().iter().any(|one| one.header.payload == Payload::SnapshotEnd));
    assert!(gone.derive(&gone.take().await.unwrap()).end.unwrap().complete);
    // One list that answers with errors for good: its area is told, and what hangs at it, and nothing else.
    let dir = tempfile::tempdir().unwrap();
    let broken = bench(dir.path());
    let id = broken.take().await.unwrap();
    let groups =
        broken.source.world.lock().unwrap().asked.iter().position(|request| request.path == ["groups"]).unwrap() as u64;
    let before = broken.source.world.lock().unwrap().requests;
    broken
        .source
        .world
        .lock()
        .unwrap()
        .faults
        .extend((1..4).map(|n| (before + groups + n, missed(Outcome::ServerError))));
    let told = broken.derive(&broken.take().await.unwrap());
    let outcomes = [Area::Groups, Area::Members, Area::Users].map(|area| told.outcome("acme", area));
    assert_eq!(outcomes, [Outcome::ServerError, Outcome::ServerError, Outcome::Complete]);
    // What was not read is compared with what it was before, once it is read again.
    let healed = broken.derive(&broken.take().await.unwrap());
    let written: Vec<Area> = healed.written.iter().map(|entity| entity.area).collect();
    assert_eq!((written, healed.states == broken.derive(&id).states), (vec![Area::EventsConfig], true));
    // What is told though it did not change is no change.
    assert!(healed.end.unwrap().areas.iter().all(|end| end.changed == 0));
}

#[tokio::test]
async fn one_that_was_interrupted_long_ago_is_told_as_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench(dir.path());
    assert!(dies_at(&bench, 8).await);
    bench.settings.resume_within = Duration::ZERO;
    let id = bench.take().await.unwrap();
    let begun = bench
        .journal
        .kept
        .lock()
        .unwrap()
        .iter()
        .find(|one| one.header.payload == Payload::SnapshotBegin)
        .unwrap()
        .clone();
    assert_ne!(begun.header.delivery_id, id);
    let given_up = bench.derive(&begun.header.delivery_id);
    let end = given_up.end.as_ref().unwrap();
    assert!(!end.complete && end.areas.iter().all(|area| area.outcome == Outcome::Interrupted));
    assert!(bench.derive(&id).end.unwrap().complete);
}

#[tokio::test]
async fn a_list_that_never_rests_is_told_as_unstable() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path());
    // Somebody before the reader comes or goes at every request.
    let steps = (0..400).map(|n| vec![if n % 2 == 0 { Change::RemoveUser(0) } else { Change::AddUser(0) }]);
    bench.source.world.lock().unwrap().changes = steps.collect();
    let told = bench.derive(&bench.take().await.unwrap());
    assert_eq!(told.outcome("acme", Area::Users), Outcome::Unstable);
    assert!(!told.end.as_ref().unwrap().complete);
    assert!(!told.lists.iter().any(|list| list.area == Area::Users), "a list that is not believed was written");
}

#[tokio::test]
async fn what_is_recorded_is_told_twice_a_day_though_it_did_not_change() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path());
    bench.take().await.unwrap();
    for (hours, told) in [(11, 0), (2, 1), (1, 0), (12, 1)] {
        bench.source.clock.fetch_add(hours * 3_600_000, Ordering::SeqCst);
        let id = bench.take_by(Trigger::Schedule).await.unwrap();
        assert_eq!(bench.derive(&id).written.len(), told, "{hours} hours later");
    }
}
