//! How the lines of a world arrive, and what the correlation then says.

use crate::{
    lines,
    losses::Change,
    sim::{CATALOG_BUDGET, TOKEN_LIFE, World},
};
use correlate::{
    Budgets, Config, Correlator, Join,
    rows::{self, Key, Row},
};
use rand::{Rng, rngs::StdRng};
use std::collections::BTreeMap;

/// Indexes of a world's lines in the order in which they arrive.
pub struct Delivery {
    pub order: Vec<usize>,
    pub settle_every: usize,
}

impl Delivery {
    pub fn in_order(world: &World) -> Self {
        Self { order: (0..world.lines.len()).collect(), settle_every: 7 }
    }

    /// Every line comes late, by up to `most` milliseconds.
    pub fn delay(&mut self, random: &mut StdRng, most: i64) {
        let mut late: Vec<(i64, usize)> =
            self.order.iter().map(|line| (*line as i64 * 10_000 + random.random_range(0..most), *line)).collect();
        late.sort_unstable();
        self.order = late.into_iter().map(|(_, line)| line).collect();
    }

    /// Some lines come twice.
    pub fn double(&mut self, random: &mut StdRng) {
        for _ in 0..self.order.len() / 4 {
            let again = self.order[random.random_range(0..self.order.len())];
            self.order.insert(random.random_range(0..self.order.len()), again);
        }
    }

    /// Loses some of what ties tokens to sessions. Not the "Issuing" line of a sign-in whose callback stays: that is what a
    /// refused sign-in leaves, and no source tells the two apart.
    pub fn lose_ties(&mut self, world: &World, random: &mut StdRng) {
        let refreshed: Vec<i64> = world
            .users
            .iter()
            .flat_map(|user| &user.tokens)
            .filter(|token| !token.sign_in)
            .map(|token| token.at)
            .collect();
        let can_be_lost = |line: &usize| match world.lines[*line].events[0].kind.as_str() {
            "login" | "token_issued" | "token_refreshed" | "backstage_callback" => true,
            "backstage_token_issued" => refreshed.contains(&world.lines[*line].at),
            _ => false,
        };
        self.order.retain(|line| !can_be_lost(line) || random.random_bool(0.75));
    }

    /// Loses some changes of what a snapshot finds; which ones.
    pub fn lose_changes(&mut self, world: &World, random: &mut StdRng) -> Vec<usize> {
        let is_change = |line: &usize| Change::told(world, *line).is_some();
        let lost: Vec<usize> =
            self.order.iter().copied().filter(is_change).filter(|_| random.random_bool(0.2)).collect();
        self.order.retain(|line| !lost.contains(line));
        lost
    }
}

/// Rows as they are in the end.
pub struct Rows(pub BTreeMap<Key, Row>);

impl Rows {
    pub fn same(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    pub fn first_difference(&self, other: &Self) -> String {
        let keys: Vec<&Key> = self.0.keys().chain(other.0.keys()).collect();
        let key = keys.into_iter().find(|key| self.0.get(key) != other.0.get(key));
        key.map(|key| format!("{key:?}\n{:#?}\n{:#?}", self.0.get(key), other.0.get(key))).unwrap_or_default()
    }
}

/// Takes the lines in, in the order of the delivery.
pub fn correlate(world: &World, delivery: &Delivery) -> Rows {
    correlate_with(world, delivery, &mut |_| None).0
}

/// The same, with what can be asked as of an instant.
pub fn correlated(world: &World, delivery: &Delivery) -> (Rows, Correlator) {
    let mut correlator = Correlator::new(config());
    for index in &delivery.order {
        world.lines[*index].events.iter().for_each(|event| correlator.take_event(event));
    }
    (correlate(world, delivery), correlator)
}

/// The same, with whatever `instead` gives in place of the correlator after each line; and every change that was told.
pub fn correlate_with(
    world: &World,
    delivery: &Delivery,
    instead: &mut dyn FnMut(&Correlator) -> Option<Correlator>,
) -> (Rows, Vec<rows::Change>) {
    let mut correlator = Correlator::new(config());
    let mut told: Vec<rows::Change> = Vec::new();
    let mut versions: BTreeMap<Key, (u32, Option<Row>)> = BTreeMap::new();
    let mut settle = |correlator: &mut Correlator| {
        for change in correlator.settle() {
            let known = versions.get(&change.key).map_or(0, |(version, _)| *version);
            assert_eq!(change.version, known + 1, "versions grow by one");
            assert_eq!(change.because.is_some(), known > 0, "a change says why");
            told.push(change.clone());
            versions.insert(change.key, (change.version, change.row));
        }
    };
    for (count, index) in delivery.order.iter().enumerate() {
        let line = &world.lines[*index];
        line.events.iter().for_each(|event| correlator.take_event(event));
        if count % delivery.settle_every == 0 {
            settle(&mut correlator);
        }
        if let Some(other) = instead(&correlator) {
            correlator = other;
        }
    }
    settle(&mut correlator);
    let rows = versions.into_iter().filter_map(|(key, (_, row))| row.map(|row| (key, row)));
    let rows: BTreeMap<Key, Row> = rows.collect();
    let (rows, at_once) = (Rows(rows), Rows(correlator.rows()));
    assert!(rows.same(&at_once), "not as answered at once: {}", rows.first_difference(&at_once));
    (rows, told)
}

/// What the worlds are correlated under.
pub fn config() -> Config {
    let mut join = Join::new("bs", "kc");
    join.clients = vec!["backstage".to_owned()];
    join.token_life = TOKEN_LIFE;
    join.budgets = Budgets { catalog: CATALOG_BUDGET, claims: TOKEN_LIFE, token: TOKEN_LIFE };
    Config { tenant: "default".to_owned(), key: lines::key(), joins: vec![join], skew: 1_000 }
}
