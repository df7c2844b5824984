//! A correlator that forgets, at any moment and as much as it may, says all in all what one says that never forgets; or it tells that
//! something reached back too far. And what it let go, it never says again.

use crate::{
    checkpoints::{kept, restored_under},
    deliver::{Delivery, Rows, config},
    each_world,
    sim::World,
    worlds,
};
use correlate::{
    Config, Correlator,
    rows::{Key, Row},
};
use events::event::Event;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Lives so short that a world is long.
fn under(random: &mut StdRng) -> Config {
    let mut config = config();
    config.joins[0].token_life = [10_000, 40_000, 600_000][random.random_range(0..3)];
    config.joins[0].tie = [200, 300, 5_000][random.random_range(0..3)];
    config.joins[0].by_name = random.random_bool(0.2);
    config
}

/// Lines of a world in an order in which each comes late by no more than `most`; and of each, the earliest time of what comes after it.
fn arrival(world: &World, lines: &[usize], (random, most): (&mut StdRng, i64)) -> Vec<(usize, i64)> {
    let late = lines.iter().map(|line| (world.lines[*line].at + random.random_range(0..=most), *line));
    let mut late: Vec<(i64, usize)> = late.collect();
    late.sort_unstable();
    let mut earliest = i64::MAX;
    let mut order = Vec::new();
    for (_, line) in late.into_iter().rev() {
        order.push((line, earliest));
        earliest = world.lines[line].events.iter().map(|event| event.time).fold(earliest, i64::min);
    }
    order.reverse();
    order
}

/// Snapshots of which some lines have come: by source and id, how many are still to come, and the earliest time of those that did.
#[derive(Default)]
struct Reading(BTreeMap<(String, String), (usize, i64)>);

impl Reading {
    fn of(world: &World, lines: &[usize]) -> Self {
        let mut reading = Self::default();
        for event in lines.iter().flat_map(|line| &world.lines[*line].events) {
            if let Some(snapshot) = event.details.get("snapshot") {
                reading.0.entry((event.source_id.clone(), snapshot.clone())).or_insert((0, i64::MAX)).0 += 1;
            }
        }
        reading
    }

    fn comes(&mut self, event: &Event) {
        let Some(snapshot) = event.details.get("snapshot") else { return };
        if let Some((left, earliest)) = self.0.get_mut(&(event.source_id.clone(), snapshot.clone())) {
            (*left, *earliest) = (*left - 1, event.time.min(*earliest));
        }
    }

    /// Since when one goes on that began.
    fn open(&self) -> Option<i64> {
        self.0
            .values()
            .filter(|(left, earliest)| *left > 0 && *earliest < i64::MAX)
            .map(|(_, earliest)| *earliest)
            .min()
    }
}

/// One that forgets, and all that it says.
struct Forgetful {
    correlator: Correlator,
    said: BTreeMap<Key, (u32, Option<Row>)>,
    gone: BTreeSet<Key>,
    /// The first time that it told of something too old.
    told: Option<(i64, i64)>,
}

impl Forgetful {
    fn settle(&mut self, seed: u64) {
        for change in self.correlator.settle() {
            assert!(!self.gone.contains(&change.key), "seed {seed}: said again: {change:?}");
            let known = self.said.get(&change.key).map_or(0, |(version, _)| *version);
            assert_eq!(change.version, known + 1, "seed {seed}: versions grow by one: {change:?}");
            self.said.insert(change.key, (change.version, change.row));
        }
        self.told = self.told.or(self.correlator.too_old());
    }

    fn forget(&mut self, floor: i64, seed: u64) {
        let Self { correlator, said, gone, .. } = self;
        let before = correlator.floor();
        correlator.forget(floor, &mut |key| {
            assert!(gone.insert(key.clone()), "seed {seed}: gone twice: {key:?}");
            assert!(said.contains_key(key), "seed {seed}: was never said: {key:?}");
        });
        assert_eq!(correlator.floor(), before.max(Some(floor)));
        assert_eq!(correlator.settle(), [], "seed {seed}: it says nothing by itself");
        assert_eq!(correlator.too_old(), None, "seed {seed}");
    }

    /// What it would say at once is what it said, but for what is gone.
    fn is_whole(&self, seed: u64) {
        let there = self.said.iter().filter(|(key, _)| !self.gone.contains(key));
        let there = there.filter_map(|(key, (_, row))| Some((key.clone(), row.clone()?)));
        let (there, at_once) = (Rows(there.collect()), Rows(self.correlator.rows()));
        assert!(there.same(&at_once), "seed {seed}: {}", there.first_difference(&at_once));
    }

    fn rows(&self) -> Rows {
        Rows(self.said.iter().filter_map(|(key, (_, row))| Some((key.clone(), row.clone()?))).collect())
    }
}

#[test]
fn what_is_forgotten_is_as_if_it_were_known() {
    // Of floors that lie in the midst of what is read and done just then: worlds as if nothing were forgotten, and with a snapshot that crosses one.
    let (close, crossed) = (AtomicU64::new(0), AtomicU64::new(0));
    let report = each_world(worlds() / 8, |seed, report| {
        let near = seed % 4 == 1;
        let world = World::of_steps(seed, 200);
        let mut random = StdRng::seed_from_u64(seed ^ 0xf09);
        let config = under(&mut random);
        let mut lines = Delivery::in_order(&world);
        let lost = seed % 8 == 7 && !lines.lose_changes(&world, &mut random).is_empty();
        let order = arrival(&world, &lines.order, (&mut random, if near { 2_000 } else { 20_000 }));
        let (mut reading, mut crossing) = (Reading::of(&world, &lines.order), false);
        let mut all = Correlator::new(config.clone());
        let correlator = Correlator::new(config.clone());
        let mut forgetful = Forgetful { correlator, said: BTreeMap::new(), gone: BTreeSet::new(), told: None };
        for (line, rest) in order {
            for event in &world.lines[line].events {
                all.take_event(event);
                forgetful.correlator.take_event(event);
                reading.comes(event);
            }
            if !random.random_bool(0.1) {
                continue;
            }
            forgetful.settle(seed);
            if random.random_bool(if near { 0.1 } else { 0.5 }) {
                let back = if near { 0..400_000 } else { 450_000..800_000 };
                forgetful.forget(rest.min(world.now) - random.random_range(back), seed);
            }
            if let Some(begun) = reading.open().filter(|_| near && random.random_bool(0.02)) {
                forgetful.forget(begun + random.random_range(1..60), seed);
                crossing = true;
            }
            if random.random_bool(0.2) {
                let size = random.random_range(16..20_000);
                forgetful.correlator = restored_under(&config, kept(&forgetful.correlator, size)).unwrap();
            }
            if random.random_bool(0.1) {
                forgetful.is_whole(seed);
            }
        }
        forgetful.settle(seed);
        forgetful.is_whole(seed);
        report.forgot(forgetful.gone.iter());
        crossed.fetch_add(u64::from(crossing), Relaxed);
        if forgetful.told.is_some() {
            report.unseen += u64::from(!lost && !near);
            return;
        }
        close.fetch_add(u64::from(near), Relaxed);
        let (said, all) = (forgetful.rows(), Rows(all.rows()));
        assert!(said.same(&all), "seed {seed}: {}", said.first_difference(&all));
        report.judged += 1;
    });
    println!("{} worlds as if nothing were forgotten, {} told: {:?}", report.judged, report.unseen, report.gone);
    let (close, crossed) = (close.into_inner(), crossed.into_inner());
    println!("{close} of floors close by, {crossed} with a snapshot across one");
    assert!(close > worlds() / 256 && crossed > worlds() / 512, "{close}, {crossed}");
    // A change that was lost reaches back by its nature; and now and then nobody reads the catalog for longer than the floor lies back.
    assert!(report.unseen < report.judged / 8, "{} told, {} not", report.unseen, report.judged);
    assert!(report.gone.len() == 4 && report.gone.values().all(|gone| *gone > report.judged), "{:?}", report.gone);
}
