//! Whatever changes between two pages: what is told complete was true, entity by entity, at some instant of its reading.

use super::{
    state::Derived,
    world::{Bench, Change, User, World, name},
};
use events::snapshot::{Area, Outcome};
use proptest::prelude::*;
use std::collections::VecDeque;

/// Users at the beginning; their numbers are even, so that others fit between.
const USERS: u8 = 9;

fn change() -> impl Strategy<Value = Change> {
    let n = 0..2 * USERS;
    prop_oneof![
        4 => n.clone().prop_map(Change::AddUser),
        4 => n.clone().prop_map(Change::RemoveUser),
        1 => n.clone().prop_map(Change::Disable),
        1 => n.clone().prop_map(Change::Enable),
        3 => n.clone().prop_map(Change::Join),
        3 => n.prop_map(Change::Leave),
    ]
}

/// What happens between requests: often nothing, so that some lists come to rest. At most one change of a sort key, of a user
/// whom the first snapshot listed: more is what docs/snapshots.md names as not seen.
fn story() -> impl Strategy<Value = VecDeque<Vec<Change>>> {
    let between = prop_oneof![3 => Just(Vec::new()), 2 => prop::collection::vec(change(), 1..4)];
    let rename = (0..USERS, 0..2 * USERS, 8usize..24).prop_map(|(n, to, at)| (Change::Rename(2 * n, to), at));
    (prop::collection::vec(between, 0..60), prop::option::of(rename)).prop_map(|(mut steps, rename)| {
        if let Some((rename, at)) = rename
            && let Some(step) = steps.get_mut(at)
        {
            step.push(rename);
        }
        steps.into()
    })
}

/// The states of a user at the instants of an interval.
fn instants(world: &World, n: u8, (from, to): (i64, i64)) -> Vec<Option<User>> {
    let before = world.history.iter().rev().find(|(at, _)| *at <= from);
    let within = world.history.iter().filter(|(at, _)| *at > from && *at <= to);
    before.into_iter().chain(within).map(|(_, users)| users.get(&n).cloned()).collect()
}

/// Checks one snapshot against the history; how many complete areas it looked at.
fn check(world: &World, told: &Derived) -> Result<usize, TestCaseError> {
    let mut checked = 0;
    for area in [Area::Users, Area::Members] {
        if told.outcome("acme", area) != Outcome::Complete {
            continue;
        }
        checked += 1;
        let list = told.lists.iter().find(|list| list.area == area).expect("a complete area has a list");
        let interval = (list.time_min, list.time_max);
        for n in 0..2 * USERS {
            let id = format!("u{n}");
            let field = if area == Area::Users { "id" } else { "user" };
            let listed = told.states.get(&area).and_then(|all| all.values().find(|state| state[field] == id.as_str()));
            let instants = instants(world, n, interval);
            let was = instants.iter().any(|user| match (area, listed, user) {
                (Area::Users, Some(state), Some(user)) => {
                    state["enabled"] == user.enabled && state["username"] == user.name.as_str()
                }
                (Area::Users, None, user) => user.is_none(),
                (_, Some(_), user) => user.as_ref().is_some_and(|user| user.member),
                (_, None, user) => user.as_ref().is_none_or(|user| !user.member),
            });
            prop_assert!(was, "{area:?} {id} told as {listed:?} in {interval:?}; it was {instants:?}");
        }
    }
    Ok(checked)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_told_that_never_was(steps in story(), page in 2usize..5) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench::new(World::with_users(USERS), (dir.path(), page));
        let first = runtime.block_on(bench.take()).unwrap();
        let told = bench.derive(&first);
        prop_assert_eq!(check(&bench.source.world.lock().unwrap(), &told)?, 2);
        // Whom no snapshot has listed yet is there too, before the reading begins.
        for n in (0..USERS).step_by(2) {
            bench.source.world.lock().unwrap().apply(&Change::AddUser(2 * n + 1));
        }
        bench.source.world.lock().unwrap().changes = steps;
        let second = runtime.block_on(bench.take()).unwrap();
        let told = bench.derive(&second);
        check(&bench.source.world.lock().unwrap(), &told)?;
        // At rest again, the next one is complete and exactly what is there.
        bench.source.world.lock().unwrap().changes.clear();
        let third = runtime.block_on(bench.take()).unwrap();
        let told = bench.derive(&third);
        let world = bench.source.world.lock().unwrap();
        prop_assert_eq!(check(&world, &told)?, 2);
        let there = world.users.keys().map(|n| format!("u{n}")).collect();
        prop_assert_eq!(told.field(Area::Users, "id"), there);
    }
}

/// More by environment.
fn cases() -> u32 {
    std::env::var("TOKENTRAIL_SNAPSHOT_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(120)
}

#[test]
fn a_jump_over_the_reader_is_seen_by_the_second_pass() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new(World::with_users(USERS), (dir.path(), 3));
    runtime.block_on(bench.take()).unwrap();
    let pages = {
        let mut world = bench.source.world.lock().unwrap();
        let asked = world.asked.iter().position(|request| request.path == ["users"]).unwrap();
        // While the second page of users is on its way, the last user is renamed to stand before all read ones, and one of
        // those goes: the element that is asked for twice still stands where it stood.
        let mut steps = vec![Vec::new(); asked + 1];
        steps.push(vec![Change::RemoveUser(0), Change::Rename(16, 1)]);
        world.changes = steps.into();
        world.asked.clear();
        asked
    };
    let told = bench.derive(&runtime.block_on(bench.take()).unwrap());
    assert!(told.field(Area::Users, "username").contains(&name(1)), "missed, after {pages} requests");
    assert!(!told.field(Area::Users, "id").contains("u0"));
    let asked = bench.source.world.lock().unwrap().asked.iter().filter(|request| request.path == ["users"]).count();
    assert_eq!(
        asked,
        3 * 4,
        "who was renamed is missing from the first pass, who went from the second; the third agrees"
    );
}
