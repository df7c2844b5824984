//! The correlator with the rows that stand: events in, rows to write out. No I/O.

use super::{behind::Behind, floor::Days, places::Places, rows::Rows, suspects::Suspects};
use correlate::{
    Config, Correlator,
    checkpoint::{Kept, Reader, Unreadable, Writer},
    facts::{Fact, facts},
    rows::Change,
};
use events::event::Event;
use std::collections::{BTreeMap, HashMap};
use store::correlation::{Correlated, Later, Place, Told};

/// Most floors that are tried at once: each costs a walk through all that is kept.
const FLOORS: u32 = 8;
/// Rows that are handed over at once.
const ROWS_AT_ONCE: usize = 20_000;

/// The correlation of one tenant, and what of it is stored.
pub struct Fold {
    correlator: Correlator,
    rows: Rows,
    days: Days,
    contradicted: bool,
    unsure: bool,
    old: Option<i64>,
    needed: Option<(i64, i64)>,
    /// So many blocks had something that is too old.
    olds: u64,
    suspects: Suspects,
    /// Events under suspicion, by group: taken in when all others are answered.
    held: BTreeMap<u64, Vec<Told>>,
    behind: Behind,
}

impl Fold {
    /// Knows nothing yet; `before` are the rows that stand.
    pub fn new(config: Config, epoch: u64, before: HashMap<[u8; 16], Place>) -> Self {
        let mut fold = Self::of(Correlator::new(config.clone()), Rows::new(config, epoch, Places::default()));
        before.iter().for_each(|(id, place)| fold.stands(*id, place));
        fold
    }

    fn of(correlator: Correlator, rows: Rows) -> Self {
        Self {
            correlator,
            rows,
            days: Days::default(),
            contradicted: false,
            unsure: false,
            old: None,
            needed: None,
            olds: 0,
            suspects: Suspects::default(),
            held: BTreeMap::new(),
            behind: Behind::default(),
        }
    }

    /// Tells what it does, and leaves out what is to be left out.
    pub(super) fn told_to(self, suspects: &Suspects) -> Self {
        Self { suspects: suspects.clone(), ..self }
    }

    /// A row stands from before.
    pub(super) fn stands(&mut self, id: [u8; 16], place: &Place) {
        self.rows.stands(id, place);
    }

    /// All of it, but for what stands from before: keep a fold that has said everything.
    pub(super) fn put(&self, to: &mut Writer<'_>) {
        self.rows.said.put(to);
        self.days.put(to);
        self.correlator.keep(to);
    }

    /// As it was kept, under the same configuration, for a later epoch.
    pub(super) fn get(owner: (Config, u64), from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let (config, epoch) = owner;
        let said = Kept::get(from)?;
        let days = Kept::get(from)?;
        let correlator = Correlator::restore(config.clone(), from)?;
        Ok(Self { days, ..Self::of(correlator, Rows::new(config, epoch, said)) })
    }

    /// The version of what was said last.
    pub(super) fn version(&self) -> u64 {
        self.rows.version()
    }

    /// Takes an event in.
    pub fn take(&mut self, told: &Told) {
        let event = &told.event.event_id;
        if self.suspects.leaves_out(event) {
            return;
        }
        match self.suspects.group(event) {
            Some(group) => self.held.entry(group).or_default().push(told.clone()),
            None => self.take_in(told),
        }
    }

    fn take_in(&mut self, told: &Told) {
        if self.floor().is_none_or(|floor| told.event.time >= floor) {
            self.days.note(told.event.time);
        }
        let Self { suspects, correlator, .. } = self;
        suspects.taking(told, || correlator.take_event(&told.event));
    }

    /// Takes an event in of which a copy may have been taken before. A fact stays as it was taken first: where copies of one
    /// event do not say the same, the order of arrival would count, and all must be read anew. The same of what needs what was forgotten,
    /// which the correlator tells when it settles: until then it says what all the rest says.
    pub(super) fn take_late(&mut self, told: &Told) {
        if self.suspects.leaves_out(&told.event.event_id) {
            return;
        }
        let differs = || told.copies.iter().any(|copy| !same_facts(copy, &told.event));
        self.contradicted |= self.suspects.looking(told, differs);
        if self.floor().is_some_and(|floor| told.event.time < floor) {
            let event = &told.event;
            self.behind.note((&event.source_id, event.input), (event.time, event.received_at));
        }
        self.take(told);
    }

    /// The earliest of what came and needs what was forgotten; none: nothing does.
    pub(super) fn old(&self) -> Option<i64> {
        self.old
    }

    /// The earliest and the latest of it since the last time.
    pub(super) fn take_needed(&mut self) -> Option<(i64, i64)> {
        self.needed.take()
    }

    /// After how many blocks some of that had come.
    pub(super) fn olds(&self) -> u64 {
        self.olds
    }

    /// Of which sources that came.
    pub(super) fn behind(&self) -> &Behind {
        &self.behind
    }

    /// Lives with it: everything was read, and this is what fits. The earliest of what needed more.
    pub(super) fn settle_for_less(&mut self) -> Option<i64> {
        self.old.take()
    }

    /// True if the order of arrival may have counted.
    pub(super) fn contradicted(&self) -> bool {
        self.contradicted
    }

    /// True if what is said is what everything that was read says: such a state can be kept and gone on from.
    pub(super) fn is_sound(&self) -> bool {
        !self.contradicted && !self.unsure && self.old.is_none()
    }

    /// Answers everything anew that was touched.
    pub fn settle(&mut self) -> Vec<Change> {
        self.rows.begin();
        let mut changes = self.answer(None);
        if self.held.is_empty() {
            return changes;
        }
        for group in std::mem::take(&mut self.held).into_values() {
            group.iter().for_each(|told| self.take_in(told));
            let first = group.first();
            let alone = first.filter(|one| group.iter().all(|other| other.event.event_id == one.event.event_id));
            changes.extend(self.answer(alone));
        }
        last_words(changes)
    }

    /// `alone`: by all that was taken in since the last time, which was that event.
    fn answer(&mut self, alone: Option<&Told>) -> Vec<Change> {
        let Self { suspects, correlator, .. } = self;
        let changes = suspects.answering(alone, || correlator.settle());
        let old = self.correlator.too_old();
        self.behind.settled(old.map(|(first, _)| first));
        if let Some((first, last)) = old {
            self.olds += 1;
            self.old = Some(self.old.map_or(first, |old| old.min(first)));
            self.needed =
                Some(self.needed.map_or((first, last), |(known, latest)| (first.min(known), last.max(latest))));
        }
        changes
    }

    /// The rows to write so that what stands is what `changes` say.
    pub fn records(&mut self, changes: &[Change]) -> Correlated {
        self.rows.records(changes)
    }

    /// The same while everything is read in parts: of what has no end yet nothing.
    pub(super) fn records_by_now(&mut self, changes: &[Change]) -> Correlated {
        self.rows.records_by_now(changes)
    }

    /// Hands over, some at once, the rows to write that waited, until `each` wants no more. `over`: of sessions alone that nobody used from
    /// this instant on.
    pub(super) fn each_owed(&mut self, over: Option<i64>, each: &mut dyn FnMut(Correlated) -> bool) {
        let Self { correlator, rows, .. } = self;
        if !rows.owes() {
            return;
        }
        rows.begin();
        let (mut out, mut wanted) = (Correlated::default(), true);
        correlator.each_row(&mut |key, row| {
            if !wanted {
                return;
            }
            rows.record_owed((key, row), over, &mut out);
            if out.len() >= ROWS_AT_ONCE {
                wanted = each(std::mem::take(&mut out));
            }
        });
        if wanted {
            each(out);
        }
    }

    /// Takes away what stands from before and is said no more: all of it, or (in the midst of reading) what began before an
    /// instant.
    pub(super) fn unsaid(&mut self, to: Option<i64>) -> Correlated {
        self.rows.unsaid(to)
    }

    /// After a start from a checkpoint: `later` are rows that were written behind it. Takes away those that are not said now, and
    /// says again those that are and were changed or taken away. As a rule there are none: whoever goes on from one state with
    /// the same events comes to the same rows. Only what a block said and a later one took back leaves some. Where a row is not
    /// said that may be one of those that were forgotten, nothing is written, and all must be read anew.
    pub(super) fn amend(&mut self, later: &[Later]) -> Correlated {
        let Self { correlator, rows, .. } = self;
        let Some((mut out, again)) = rows.amend(later, correlator.floor()) else {
            self.unsure = true;
            return Correlated::default();
        };
        if !again.is_empty() {
            correlator.each_row(&mut |key, row| rows.again(&again, (&key, &row), &mut out));
        }
        out
    }

    /// Leaves out those of the rows behind a checkpoint that are said just so.
    pub(super) fn drop_right(&self, later: &mut Vec<Later>) {
        later.retain(|one| !self.rows.is_right(one));
    }

    /// Bytes of all that is kept, about.
    pub(super) fn size(&self) -> usize {
        self.correlator.size() + self.rows.size() + self.days.size()
    }

    /// What was over before this is forgotten; none: everything is known.
    pub(super) fn floor(&self) -> Option<i64> {
        self.correlator.floor()
    }

    /// Forgets what is over, the oldest first, until no more than `target` bytes are left, and nothing that happened at `limit` or
    /// later. What is forgotten stands as it was said: call it when everything is written.
    pub(super) fn make_room(&mut self, target: usize, limit: i64) {
        for tried in 0..FLOORS {
            let size = self.size();
            if size <= target {
                return;
            }
            // What is no event's takes room, too: the part that is too much may have to be let go more than once.
            let part = (size - target) as f64 / size as f64;
            let Some(floor) = self.days.midnight(part.max(f64::from(tried) / f64::from(FLOORS)), limit) else { return };
            self.forget(floor);
        }
    }

    /// Whether anything lies before the last midnight that is not behind `limit`.
    pub(super) fn can_forget(&self, limit: i64) -> bool {
        self.days.midnight(f64::MIN_POSITIVE, limit).is_some()
    }

    fn forget(&mut self, floor: i64) {
        let Self { correlator, rows, days, .. } = self;
        correlator.forget(floor, &mut |key| rows.let_go(key));
        rows.compact();
        days.forget(floor);
    }
}

/// Of changes of one row, the last.
fn last_words(mut changes: Vec<Change>) -> Vec<Change> {
    changes.sort_unstable_by(|a, b| a.key.cmp(&b.key).then(b.version.cmp(&a.version)));
    changes.dedup_by(|earlier, later| earlier.key == later.key);
    changes
}

/// True if two copies of an event say the same to the correlation.
fn same_facts(one: &Event, other: &Event) -> bool {
    let (mut first, mut second): (Vec<Fact<'_>>, Vec<Fact<'_>>) = (Vec::new(), Vec::new());
    facts(one, &mut |fact| first.push(fact));
    facts(other, &mut |fact| second.push(fact));
    first == second
}
