//! Names that nothing reaches any more, and room that nothing needs: the state is written with each name under a new number, and read
//! again.
//!
//! Numbers keep their order, so whatever is sorted by them stays as it is.

use crate::{
    checkpoint::{Kept, Reader, Writer},
    correlator::Correlator,
    known::Known,
};

/// Bytes of one piece of the state as it is written.
const CHUNK: usize = 1 << 20;

impl Correlator {
    /// Brings the state into as little memory as it needs.
    pub(super) fn pack(&mut self) {
        let Self { known, rows, .. } = self;
        let mut nothing = |_| false;
        let mut noting = Writer::noting(known.names.count(), &mut nothing);
        known.keep_but_names(&mut noting);
        rows.keep_listed(&mut noting);
        // Those of the configuration have numbers from the beginning, spoken of or not.
        for name in known.config.joins.iter().flat_map(|join| [&join.backstage, &join.keycloak]) {
            known.names.known(name).into_iter().for_each(|name| name.put(&mut noting));
        }
        let (names, numbers) = std::mem::take(&mut known.names).only(&noting.reached());
        let mut chunks = Vec::new();
        let mut take = |chunk| {
            chunks.push(chunk);
            true
        };
        let mut to = Writer::new(CHUNK, &mut take);
        to.renumber(numbers);
        known.keep_but_names(&mut to);
        rows.keep_listed(&mut to);
        to.finish();
        let config = known.config.clone();
        // Not twice in memory: what is written goes before it is read.
        drop(std::mem::replace(known, Known::new(config.clone())));
        let mut chunks = chunks.into_iter();
        let mut next = || chunks.next();
        let mut from = Reader::new(&mut next);
        *known = Known::restore_under((config, names), &mut from).expect("what was just written is read");
        rows.restore_listed(&mut from).expect("what was just written is read");
    }
}
