//! Whether the rows that stand are those of everything that is stored: reads as one does that begins anew (`reading.rs`), and writes
//! nothing.

use super::{Acknowledged, CorrelationMetrics, Memory, Stage, Suspects, begin::Begun, pen::Halt, reading::Out};
use crate::faults::Faults;
use correlate::Config;
use prometheus::Registry;
use std::collections::{BTreeMap, HashMap};
use store::{
    Store, StoreError,
    correlation::{Correlated, Place, Stretch},
};

/// What a comparison came to.
#[derive(Debug, Default)]
pub struct Compared {
    /// Events that were read.
    pub events: u64,
    /// Rows that stand, by person; the empty key: of nobody.
    pub rows: BTreeMap<String, usize>,
    /// Rows that differ, likewise.
    pub differ: BTreeMap<String, Differing>,
}

/// Rows of one person that differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Differing {
    /// How many.
    pub rows: usize,
    /// The earliest time by which one of them is sorted, UTC milliseconds.
    pub since: i64,
}

/// Where a row stands: its id, and by what it is sorted.
type Spot = ([u8; 16], String, i64);

/// Takes what would be written.
#[derive(Default)]
struct Looking {
    rows: BTreeMap<String, usize>,
    /// What must stand there; none: nothing. What is said early may be said otherwise later: the last word counts.
    wanted: HashMap<Spot, Option<u64>>,
}

impl Out for Looking {
    fn stands(&mut self, place: &Place) {
        match self.rows.get_mut(&place.person) {
            Some(rows) => *rows += 1,
            None => drop(self.rows.insert(place.person.clone(), 1)),
        }
    }

    async fn write(&mut self, rows: &Correlated) -> Result<(), Halt> {
        rows.each(&mut |head, deleted| {
            self.wanted.insert((head.row_id, head.person, head.at), (!deleted).then_some(head.content));
        });
        Ok(())
    }
}

/// Compares everything, in no more memory than the correlation itself may take.
pub async fn compare(store: &Store, config: Config, memory: Memory) -> Result<Compared, StoreError> {
    let broken = |error: prometheus::Error| StoreError::Unavailable(error.to_string());
    let registry = Registry::new();
    let tenant = config.tenant.clone();
    let stage = Stage {
        store: store.clone(),
        config,
        acknowledged: Acknowledged::default(),
        name: String::new(),
        metrics: CorrelationMetrics::register(&registry).map_err(broken)?,
        checkpoints: None,
        memory,
        faults: Faults::register(&registry, memory.clock).map_err(broken)?,
        suspects: Suspects::default(),
    };
    // What the correlation leaves out is in no row that stands.
    stage.leave_out().await?;
    let mut looking = Looking::default();
    let read = stage.read_all((0, None), &mut looking).await;
    let Begun { events, .. } = match read {
        Ok(begun) => begun,
        Err(Halt::Store(error)) => return Err(error),
        Err(Halt::Superseded) => return Err(super::ending()),
    };
    let Looking { rows, mut wanted } = looking;
    let mut differ: BTreeMap<([u8; 16], String), i64> = BTreeMap::new();
    let all = Stretch { from: None, to: None };
    let mut look = |id: [u8; 16], place: Place| {
        let spot = (id, place.person, place.at);
        if wanted.remove(&spot).is_some_and(|wanted| wanted != Some(place.content)) {
            note(&mut differ, spot);
        }
    };
    store.places_in(&tenant, all, &mut look).await?;
    wanted.into_iter().filter(|(_, wanted)| wanted.is_some()).for_each(|(spot, _)| note(&mut differ, spot));
    let mut compared = Compared { events, rows, differ: BTreeMap::new() };
    for ((_, person), at) in differ {
        let of_person = compared.differ.entry(person).or_insert(Differing { rows: 0, since: at });
        *of_person = Differing { rows: of_person.rows + 1, since: of_person.since.min(at) };
    }
    Ok(compared)
}

/// A row that stands at two times differs once.
fn note(differ: &mut BTreeMap<([u8; 16], String), i64>, (id, person, at): Spot) {
    differ.entry((id, person)).and_modify(|known| *known = at.min(*known)).or_insert(at);
}
