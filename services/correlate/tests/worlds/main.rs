//! Generated worlds whose truth is known, because the simulator that made them kept it: what the correlation says of every
//! decision, session and right is the truth, or a gap is named. Any order of arrival, repeats and delays change no row.
//!
//! The simulator shares no code with what it tests: it keeps sets, not histories, and writes the very payloads that Keycloak and
//! Backstage write. `TOKENTRAIL_WORLDS` asks for more worlds than the default.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod check;
mod checkpoints;
mod conditions;
mod deliver;
mod forgetting;
mod groups;
mod lines;
mod losses;
mod model;
mod reader;
mod rights;
mod sign_ins;
mod sim;
mod snapshots;

use check::Report;
use correlate::rows::RightKind;
use deliver::{Delivery, correlate, correlated};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use sim::World;

fn worlds() -> u64 {
    std::env::var("TOKENTRAIL_WORLDS").ok().and_then(|count| count.parse().ok()).unwrap_or(2_000)
}

/// Runs `one` for every seed below `worlds` on two threads and adds up.
fn each_world(worlds: u64, one: impl Fn(u64, &mut Report) + Sync) -> Report {
    let half = |odd: u64| {
        let mut report = Report::default();
        (0..worlds).filter(|seed| seed % 2 == odd).for_each(|seed| one(seed, &mut report));
        report
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        let mut report = half(0);
        report.add(other.join().expect("the other half"));
        report
    })
}

#[test]
fn what_is_said_is_the_truth() {
    let report = each_world(worlds(), |seed, report| {
        let world = World::generate(seed);
        let (rows, correlator) = correlated(&world, &Delivery::in_order(&world));
        check::decisions(&world, &rows, report);
        check::sessions(&world, &rows, report);
        check::rights(&world, &rows, report);
        check::conditional(&world, &rows, report);
        check::could(&world, &correlator, report);
        check::no_gaps(&rows, report);
        report.assert_right(seed);
    });
    println!("{report}");
    assert!(report.judged > 5 * worlds(), "{report}");
    report.assert_every_kind_was_seen();
}

/// Lines that their reader stamps late stand behind the callbacks that they were written before: the same is said.
#[test]
fn lines_that_are_read_late_are_of_their_sign_ins() {
    let report = each_world(worlds() / 2, |seed, report| {
        let world = World::slow(seed);
        let in_order = Delivery::in_order(&world);
        let rows = correlate(&world, &in_order);
        check::decisions(&world, &rows, report);
        check::sessions(&world, &rows, report);
        let mut random = StdRng::seed_from_u64(seed);
        let mut delivery = Delivery::in_order(&world);
        delivery.order.shuffle(&mut random);
        let other = correlate(&world, &delivery);
        assert!(rows.same(&other), "seed {seed}: {}", rows.first_difference(&other));
        delivery.lose_ties(&world, &mut random);
        check::ties(&world, (&correlate(&world, &delivery), &delivery), report);
        report.assert_right(seed);
    });
    println!("{report}");
    assert!(report.judged > 2 * worlds(), "{report}");
}

#[test]
fn no_order_of_arrival_changes_a_row() {
    each_world(worlds(), |seed, _| {
        let world = World::generate(seed);
        let in_order = correlate(&world, &Delivery::in_order(&world));
        let mut random = StdRng::seed_from_u64(seed);
        let mut delivery = Delivery::in_order(&world);
        match seed % 3 {
            0 => delivery.order.shuffle(&mut random),
            1 => delivery.delay(&mut random, 72 * 3_600_000),
            _ => delivery.delay(&mut random, 60_000),
        }
        delivery.double(&mut random);
        delivery.settle_every = random.random_range(1..20);
        let other = correlate(&world, &delivery);
        assert!(in_order.same(&other), "seed {seed}: {}", in_order.first_difference(&other));
    });
}

/// Seeds beyond the default that found faults once: a cause that was not told anew, and groups taken for ended for good.
const FOUND: [u64; 4] = [1246, 3343, 4696, 4727];

#[test]
fn what_is_lost_is_a_named_gap_or_changes_nothing() {
    let one = |seed: u64, report: &mut Report| {
        let world = World::generate(seed);
        let mut delivery = Delivery::in_order(&world);
        let mut random = StdRng::seed_from_u64(seed ^ 0x5eed);
        let lost = delivery.lose_changes(&world, &mut random);
        let rows = correlate(&world, &delivery);
        losses::check(&world, &lost, &rows, report);
        // The same losses, in another order of arrival.
        delivery.order.shuffle(&mut random);
        let other = correlate(&world, &delivery);
        assert!(rows.same(&other), "seed {seed}: {}", rows.first_difference(&other));
        report.assert_right(seed);
    };
    FOUND.into_iter().for_each(|seed| one(seed, &mut Report::default()));
    let report = each_world(worlds() / 4, one);
    println!("{report}");
    assert!(report.gaps > worlds() / 16, "{report}");
    for kind in RightKind::ALL.into_iter().filter(|kind| *kind != RightKind::Policy) {
        assert!(report.kinds.contains_key(&kind), "no gap of kind {kind:?}: {report}");
    }
}

/// The same of lost ties: a refresh whose line is lost, and a line whose refresh is lost, more than a second apart.
const FOUND_APART: [u64; 1] = [4713];

#[test]
fn lost_ties_lower_the_grade_and_never_name_another_session() {
    let one = |seed: u64, report: &mut Report| {
        let world = World::generate(seed);
        let mut delivery = Delivery::in_order(&world);
        delivery.lose_ties(&world, &mut StdRng::seed_from_u64(seed ^ 0x71e5));
        let rows = correlate(&world, &delivery);
        check::ties(&world, (&rows, &delivery), report);
        report.assert_right(seed);
    };
    FOUND_APART.into_iter().for_each(|seed| one(seed, &mut Report::default()));
    let report = each_world(worlds() / 4, one);
    println!("{report}");
}
