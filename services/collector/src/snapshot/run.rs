//! One snapshot under way: reads units, writes receipts, keeps count of areas.
//!
//! Order of writes: entity receipts of a page, then the page's record on disk; all pages of a list, then its list receipts,
//! then the list's record. A crash between any two repeats receipts with the same native id, which the store knows for one.

use super::{
    Settings, Surroundings,
    ask::{Ask, Missed, patiently},
    pass::{Entry, Hash, Id, Pass, Passes, Seen, Verdict},
    previous::Previous,
    progress::{self, PageRecord, Progress, UnitRecord, pack},
    receipts::needs,
    unit::{Element, Found, Gone, Item, Paging, Unit},
};
use crate::{
    pull::{NotAppended, Received},
    redact::state,
};
use events::{
    receipt::SourceKind,
    snapshot::{Area, AreaEnd, Outcome, canonical, entity_mark, state_hash},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

/// Largest state of one entity, bytes; an area with a larger one is told as too large.
const STATE_BYTES: usize = 1 << 20;

/// Why a snapshot cannot go on now. What was read stays on disk.
#[derive(Debug)]
pub(super) enum Stop {
    /// The source does not answer, for longer than patience lasts.
    Source(Outcome),
    /// The journal.
    Append(NotAppended),
    /// The progress on disk.
    Disk(io::Error),
}

/// Why a list was not read.
enum Unread {
    Missed(Missed),
    Stop(Stop),
}

impl From<Missed> for Unread {
    fn from(missed: Missed) -> Self {
        match missed {
            Missed::Because(outcome @ (Outcome::Unreachable | Outcome::Throttled)) => Self::Stop(Stop::Source(outcome)),
            other => Self::Missed(other),
        }
    }
}

impl From<NotAppended> for Unread {
    fn from(error: NotAppended) -> Self {
        Self::Stop(Stop::Append(error))
    }
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Stop(Stop::Disk(error))
    }
}

/// Whose state it is.
pub(super) struct Whose<'a> {
    pub tenant: &'a str,
    pub source_id: &'a str,
    pub kind: SourceKind,
}

/// A snapshot under way.
pub(super) struct Run<'a> {
    pub whose: Whose<'a>,
    pub settings: &'a Settings,
    pub around: &'a Surroundings,
    pub progress: Progress,
    pub previous: &'a Previous,
    /// What is to be said of each area at the end.
    pub areas: BTreeMap<(String, Area), AreaEnd>,
}

impl Run<'_> {
    /// Says that areas of a realm are read; until one is begun or fails, it is complete with nothing in it.
    pub(super) fn expect(&mut self, realm: &str, areas: &[Area]) {
        for area in areas {
            self.areas.entry((realm.to_owned(), *area)).or_insert_with(|| AreaEnd {
                area: *area,
                realm: realm.to_owned(),
                outcome: Outcome::Complete,
                needs: String::new(),
                lists: 0,
                pages: 0,
                entities: 0,
                changed: 0,
                time_min: 0,
                time_max: 0,
            });
        }
    }

    /// Says that areas were not read, and why.
    pub(super) fn lack(&mut self, realm: &str, areas: &[Area], (outcome, needs): (Outcome, &str)) {
        self.expect(realm, areas);
        for area in areas {
            if let Some(end) =
                self.areas.get_mut(&(realm.to_owned(), *area)).filter(|end| end.outcome == Outcome::Complete)
            {
                end.outcome = outcome;
                needs.clone_into(&mut end.needs);
            }
        }
    }

    /// What became of an area so far.
    pub(super) fn outcome(&self, realm: &str, area: Area) -> Outcome {
        self.areas.get(&(realm.to_owned(), area)).map_or(Outcome::Interrupted, |end| end.outcome)
    }

    /// Reads a list, or takes it from an earlier start of the same snapshot; what it found, or nothing if it was not read.
    pub(super) async fn unit(&mut self, source: &dyn Ask, unit: Unit<'_>) -> Result<Option<Vec<Found>>, Stop> {
        self.expect(unit.realm, unit.areas);
        let key = unit.key();
        if let Some(done) = self.progress.done(&key).cloned() {
            self.count(&unit, &done);
            return Ok(Some(done.found));
        }
        if unit.areas.iter().any(|area| self.outcome(unit.realm, *area) != Outcome::Complete) {
            return Ok(None);
        }
        match self.read(source, &unit, &key).await {
            Ok(found) => Ok(Some(found)),
            Err(Unread::Stop(stop)) => Err(stop),
            Err(Unread::Missed(Missed::NotFound)) => match unit.gone {
                Gone::Empty => self.write_lists(&unit, &key, None).await.map(Some).map_err(stopped),
                Gone::NotThere => {
                    self.lack(unit.realm, unit.areas, (Outcome::NotThere, ""));
                    Ok(None)
                }
                Gone::Missing => {
                    self.lack(unit.realm, unit.areas, (Outcome::NotSupported, ""));
                    Ok(None)
                }
            },
            Err(Unread::Missed(Missed::Because(outcome))) => {
                for area in unit.areas {
                    let needs = if outcome == Outcome::Forbidden { needs(*area) } else { "" };
                    self.lack(unit.realm, &[*area], (outcome, needs));
                }
                Ok(None)
            }
        }
    }

    async fn read(&mut self, source: &dyn Ask, unit: &Unit<'_>, key: &str) -> Result<Vec<Found>, Unread> {
        let known = self.progress.take_open(key);
        let mut written = Written::of(&known);
        let mut passes = progress::passes(&known, (unit.request.clone(), unit.paging));
        loop {
            if passes.current.is_over() {
                let vanished = self.previous.has_beside(key, &passes.entries());
                match passes.judge(vanished) {
                    Ok(Verdict::Believed) => break,
                    Ok(Verdict::Again) => continue,
                    Err(_) => return Err(Missed::Because(Outcome::Unstable).into()),
                }
            }
            self.page(source, (unit, key), (&mut passes, &mut written)).await?;
        }
        self.write_lists(unit, key, Some((&passes, written.changed))).await
    }

    /// Reads one page and writes what is new on it.
    async fn page(
        &mut self,
        source: &dyn Ask,
        (unit, key): (&Unit<'_>, &str),
        (passes, written): (&mut Passes, &mut Written),
    ) -> Result<(), Unread> {
        let Some(leg) = passes.current.legs.front().cloned() else { return Ok(()) };
        let most = self.settings.page.max(2);
        let mut request = leg.request.clone();
        match (unit.paging, &leg.cursor) {
            (Paging::Offset | Paging::Tree, _) => {
                let first = leg.read.saturating_sub(usize::from(leg.anchor.is_some()));
                request = request.with("first", first.to_string()).with("max", most.to_string());
            }
            (Paging::Cursor, Some(cursor)) => request = request.with("cursor", cursor.clone()),
            _ => request.query.append(&mut request.first),
        }
        let asked = (self.around.now)();
        let bytes = match patiently(source, &request, &self.settings.patience).await {
            // A group that went while the tree was read has no children: its own absence shows in a second pass.
            Err(Missed::NotFound) if passes.current.pages > 0 => return self.shift(passes),
            other => other?,
        };
        let times = (asked, (self.around.now)().max(asked));
        let taken = (unit.take)(&bytes).map_err(|_| Missed::Because(Outcome::NotSupported))?;
        let last = match unit.paging {
            Paging::Whole => true,
            Paging::Offset | Paging::Tree => taken.elements.len() < most,
            Paging::Cursor => taken.cursor.is_none(),
        };
        let mut receipts = Vec::new();
        let mut page = Vec::with_capacity(taken.elements.len());
        let mut new: BTreeMap<Area, u64> = BTreeMap::new();
        let again = self.tells_again();
        for element in taken.elements {
            let seen = self.seen(unit.realm, element, &mut |item, entry, state| {
                let entity = (entry.area, entry.id);
                let same = !self.progress.begin.full && self.previous.hash(key, entity) == Some(entry.hash);
                let before = written.hashes.insert(entity, entry.hash);
                let unchanged = same && before.is_none();
                if before == Some(entry.hash) || (unchanged && !(again && entry.area == Area::EventsConfig)) {
                    return;
                }
                *new.entry(entry.area).or_default() += u64::from(!unchanged);
                receipts.push(self.entity((unit.realm, times), (entry, item, state)));
            })?;
            page.push(seen);
        }
        let Ok(overlap) = passes.current.overlap(page.first()) else {
            // What was read is true all the same: it is written, and the list is read again.
            self.append(receipts).await?;
            return self.shift(passes);
        };
        self.append(receipts).await?;
        let read_before = passes.current.entries.len();
        let found_before = passes.current.found.len();
        passes.current.add(&page, (overlap, taken.cursor, last), times);
        written.count(&new);
        let record = record((key, passes), (read_before, found_before), (times, last, new));
        // Commit point: the page's entities are in the journal. A crash before this line reads the page again.
        self.progress.page(record)?;
        Ok(())
    }

    fn shift(&self, passes: &mut Passes) -> Result<(), Unread> {
        passes.shifted().map_err(|_| Missed::Because(Outcome::Unstable).into())
    }

    /// What an element means, each of its entities handed to `take` with its redacted state.
    fn seen(&self, realm: &str, element: Element, take: &mut dyn FnMut(&Item, Entry, Value)) -> Result<Seen, Missed> {
        let key = &self.around.key;
        let source = (self.whose.tenant, self.whose.source_id);
        let mut entries = Vec::with_capacity(element.items.len());
        for item in &element.items {
            let redacted =
                state::redact(key, item.area, &item.state).map_err(|_| Missed::Because(Outcome::NotSupported))?;
            let state = canonical(&redacted);
            let text = state.to_string();
            if text.len() > STATE_BYTES {
                return Err(Missed::Because(Outcome::TooLarge));
            }
            let id = digits(&entity_mark(key, source, (realm, item.area, &item.id)));
            let entry = Entry { area: item.area, id, hash: digits(&state_hash(key, &text)) };
            entries.push(entry);
            take(item, entry, state);
        }
        let anchor = digits(&key.mark("snapshot_anchor", &[source.0, source.1, realm, &element.id]));
        Ok(Seen { anchor, order: element.order, entries, below: element.below, found: element.found })
    }

    /// Writes the lists of a unit that is believed (or of one whose container is gone: empty), and then its record.
    async fn write_lists(
        &mut self,
        unit: &Unit<'_>,
        key: &str,
        read: Option<(&Passes, BTreeMap<Area, u64>)>,
    ) -> Result<Vec<Found>, Unread> {
        let now = (self.around.now)();
        let (entries, times, found, changed) = match read {
            Some((passes, changed)) => (passes.entries(), passes.times(), passes.current.found.clone(), changed),
            None => (BTreeMap::new(), (now, now), Vec::new(), BTreeMap::new()),
        };
        let packed = pack(&entries);
        let (pages, receipts) = self.lists(unit, &packed, times);
        self.append(receipts).await?;
        let record = UnitRecord { unit: key.to_owned(), times, pages, changed, entries: packed, found };
        self.count(unit, &record);
        let found = record.found.clone();
        // Commit point: entities and lists of the unit are in the journal. A crash before this line writes the lists again.
        self.progress.unit(record)?;
        Ok(found)
    }

    fn count(&mut self, unit: &Unit<'_>, done: &UnitRecord) {
        for area in unit.areas {
            let Some(end) = self.areas.get_mut(&(unit.realm.to_owned(), *area)) else { continue };
            let first = end.lists == 0;
            end.lists += 1;
            end.pages += done.pages.get(area).copied().unwrap_or_default();
            end.changed += done.changed.get(area).copied().unwrap_or_default();
            let digits = done.entries.get(area).map_or(0, String::len);
            end.entities += (digits / events::snapshot::ENTRY_DIGITS) as u64;
            end.time_min = if first { done.times.0 } else { end.time_min.min(done.times.0) };
            end.time_max = end.time_max.max(done.times.1);
        }
    }

    pub(super) async fn append(&self, receipts: Vec<Received>) -> Result<(), NotAppended> {
        if receipts.is_empty() { Ok(()) } else { self.around.append.append(receipts).await }
    }

    /// Lists of the last snapshot that this one did not read although their area was meant to be: they are kept as they were.
    pub(super) fn kept(&self, read: &BTreeSet<String>) -> Vec<(String, progress::Packed)> {
        let lacking: BTreeSet<(&str, &str)> = self
            .areas
            .values()
            .filter(|end| !end.outcome.is_whole())
            .map(|end| (end.realm.as_str(), end.area.as_str()))
            .collect();
        let of_lacking = |unit: &&str| {
            let named: Option<(String, String, String)> = serde_json::from_str(unit).ok();
            named.is_some_and(|(realm, area, _)| lacking.contains(&(realm.as_str(), area.as_str())))
        };
        let kept = self.previous.units().filter(|unit| !read.contains(*unit)).filter(of_lacking);
        kept.filter_map(|unit| Some((unit.to_owned(), self.previous.entries(unit)?))).collect()
    }
}

/// What was written of a list, by this start or an earlier one.
#[derive(Default)]
struct Written {
    /// The state that was seen last.
    hashes: BTreeMap<(Area, Id), Hash>,
    /// Entities that are new or changed.
    changed: BTreeMap<Area, u64>,
}

impl Written {
    fn of(known: &[PageRecord]) -> Self {
        let mut written = Self::default();
        for page in known {
            written.hashes.extend(progress::unpack(&page.entries).map(|entry| ((entry.area, entry.id), entry.hash)));
            written.count(&page.changed);
        }
        written
    }

    fn count(&mut self, new: &BTreeMap<Area, u64>) {
        for (area, count) in new {
            *self.changed.entry(*area).or_default() += count;
        }
    }
}

fn stopped(unread: Unread) -> Stop {
    match unread {
        Unread::Stop(stop) => stop,
        Unread::Missed(_) => Stop::Source(Outcome::NotSupported),
    }
}

/// The record of the page that was added last.
fn record(
    (key, passes): (&str, &Passes),
    (entries, found): (usize, usize),
    (times, last, changed): ((i64, i64), bool, BTreeMap<Area, u64>),
) -> PageRecord {
    let pass: &Pass = &passes.current;
    let leg = pass.legs.front();
    let anchor = leg.and_then(|leg| leg.anchor).map(hex::encode).unwrap_or_default();
    let entries: Vec<((Area, Id), Hash)> =
        pass.entries[entries..].iter().map(|entry| ((entry.area, entry.id), entry.hash)).collect();
    PageRecord {
        unit: key.to_owned(),
        pass: passes.number,
        read: leg.map_or(0, |leg| leg.read),
        anchor,
        last: last && pass.is_over(),
        sorted: pass.sorted,
        times,
        entries: pack(entries.iter().map(|(entity, hash)| (entity, hash))),
        found: pass.found[found..].to_vec(),
        changed,
    }
}

/// The first bytes of a mark.
fn digits<const N: usize>(mark: &str) -> [u8; N] {
    let mut bytes = [0; N];
    // A mark is hex digits, and long enough: DeploymentKey::mark.
    let _ = hex::decode_to_slice(mark.get(..2 * N).unwrap_or_default(), &mut bytes);
    bytes
}
