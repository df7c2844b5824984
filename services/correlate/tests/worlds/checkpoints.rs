//! A correlator that is kept as bytes and restored, over and over and at any point, tells what one tells that never stopped.

use crate::{
    deliver::{Delivery, config, correlate_with},
    each_world,
    sim::World,
    worlds,
};
use correlate::{
    Config, Correlator,
    checkpoint::{Reader, Unreadable, Writer},
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

pub fn kept(correlator: &Correlator, size: usize) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    let mut take = |chunk| {
        chunks.push(chunk);
        true
    };
    let mut to = Writer::new(size, &mut take);
    correlator.keep(&mut to);
    assert!(to.finish());
    chunks
}

fn restored(chunks: Vec<Vec<u8>>) -> Result<Correlator, Unreadable> {
    restored_under(&config(), chunks)
}

pub fn restored_under(config: &Config, chunks: Vec<Vec<u8>>) -> Result<Correlator, Unreadable> {
    let mut chunks = chunks.into_iter();
    let mut next = || chunks.next();
    let mut from = Reader::new(&mut next);
    let correlator = Correlator::restore(config.clone(), &mut from)?;
    if from.is_done() { Ok(correlator) } else { Err(Unreadable) }
}

#[test]
fn whoever_goes_on_from_a_checkpoint_tells_what_one_tells_that_never_stopped() {
    let report = each_world(worlds() / 8, |seed, report| {
        let world = World::generate(seed);
        let mut random = StdRng::seed_from_u64(seed ^ 0xc4ec);
        let mut delivery = Delivery::in_order(&world);
        delivery.settle_every = random.random_range(1..20);
        match seed % 4 {
            0 => delivery.order.shuffle(&mut random),
            1 => delivery.delay(&mut random, 72 * 3_600_000),
            2 => drop(delivery.lose_changes(&world, &mut random)),
            _ => delivery.double(&mut random),
        }
        let (rows, told) = correlate_with(&world, &delivery, &mut |_| None);
        // After any line, also where it was not settled.
        let mut restart = |correlator: &Correlator| {
            let now = random.random_bool(0.05);
            now.then(|| {
                report.judged += 1;
                restored(kept(correlator, random.random_range(16..20_000))).unwrap()
            })
        };
        let (other, said) = correlate_with(&world, &delivery, &mut restart);
        assert!(rows.same(&other), "seed {seed}: {}", rows.first_difference(&other));
        for (told, said) in told.iter().zip(&said) {
            assert_eq!(told, said, "seed {seed}");
        }
        assert_eq!(told.len(), said.len(), "seed {seed}");
    });
    assert!(report.judged > worlds() / 8, "{} restarts", report.judged);
}

#[test]
fn a_torn_checkpoint_is_refused() {
    let world = World::generate(1);
    let mut torn = 0;
    correlate_with(&world, &Delivery::in_order(&world), &mut |correlator| {
        let chunks = kept(correlator, 4_000);
        for lost in 0..chunks.len() {
            assert_eq!(restored(chunks[..lost].to_vec()).err(), Some(Unreadable));
            torn += 1;
        }
        None
    });
    assert!(torn > 100, "{torn}");
}
