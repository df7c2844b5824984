//! How far a snapshot is, on disk: so that a kill costs one page, and a second start goes on where the first ended.
//!
//! One record per line: eight hex digits of the SHA-256 of the JSON that follows, a space, the JSON. A line is written and
//! synced after the journal has acknowledged what it tells of; a torn last line is as if it was never written. Holds marks, ids
//! of groups, roles and clients and their names, and nothing of a person.

use super::{
    pass::{Entry, Hash, Id, Leg, Pass, Passes},
    unit::{Found, Paging, Request},
};
use events::snapshot::{Area, Begin, ENTRY_DIGITS};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

/// Version of the format.
const VERSION: u32 = 1;
const CHECK_DIGITS: usize = 8;

/// Entities by area, as hex digits of their entries one after another.
pub(super) type Packed = BTreeMap<Area, String>;

/// A page that was read and whose entities are in the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PageRecord {
    pub unit: String,
    pub pass: u32,
    /// Elements of the list read so far.
    pub read: usize,
    /// Mark of the last of them, hex.
    pub anchor: String,
    pub last: bool,
    pub sorted: bool,
    pub times: (i64, i64),
    pub entries: Packed,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<Found>,
    /// New or changed entities, by area.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub changed: BTreeMap<Area, u64>,
}

/// A list whose receipts are in the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct UnitRecord {
    pub unit: String,
    pub times: (i64, i64),
    /// List receipts by area.
    pub pages: BTreeMap<Area, u64>,
    pub changed: BTreeMap<Area, u64>,
    pub entries: Packed,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<Found>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    Begin { v: u32, begin: Begin },
    Page(PageRecord),
    Unit(UnitRecord),
}

/// The file of one running snapshot, and what it says.
#[derive(Debug)]
pub(super) struct Progress {
    file: File,
    path: PathBuf,
    pub begin: Begin,
    done: HashMap<String, UnitRecord>,
    open: HashMap<String, Vec<PageRecord>>,
}

impl Progress {
    /// Begins a new one.
    pub(super) fn start(path: &Path, begin: Begin) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let file = File::options().create(true).write(true).truncate(true).open(path)?;
        let mut progress =
            Self { file, path: path.to_owned(), begin: begin.clone(), done: HashMap::new(), open: HashMap::new() };
        progress.write(&Record::Begin { v: VERSION, begin })?;
        if let Some(dir) = path.parent() {
            File::open(dir)?.sync_all()?;
        }
        Ok(progress)
    }

    /// Finds the one that a dead process left, if it began.
    pub(super) fn find(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::options().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut reader = BufReader::new(file);
        let (mut begin, mut done, mut open) = (None, HashMap::new(), HashMap::<String, Vec<PageRecord>>::new());
        let (mut line, mut good) = (Vec::new(), 0u64);
        loop {
            line.clear();
            let bytes = reader.read_until(b'\n', &mut line)?;
            let Some(record) = parse(&line) else { break };
            good += bytes as u64;
            match record {
                Record::Begin { v: VERSION, begin: told } => begin = Some(told),
                Record::Begin { .. } => return Ok(None),
                Record::Page(page) => open.entry(page.unit.clone()).or_default().push(page),
                Record::Unit(unit) => {
                    open.remove(&unit.unit);
                    done.insert(unit.unit.clone(), unit);
                }
            }
        }
        let mut file = reader.into_inner();
        // What is torn is cut off, so that the next record stands on a line of its own.
        file.set_len(good)?;
        io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
        Ok(begin.map(|begin| Self { file, path: path.to_owned(), begin, done, open }))
    }

    fn write(&mut self, record: &Record) -> io::Result<()> {
        let json = serde_json::to_vec(record)?;
        let mut line = Vec::with_capacity(json.len() + CHECK_DIGITS + 2);
        line.extend_from_slice(check(&json).as_bytes());
        line.push(b' ');
        line.extend_from_slice(&json);
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()
    }

    /// True if nothing was read yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.done.is_empty() && self.open.is_empty()
    }

    /// A page's entities are in the journal.
    pub(super) fn page(&mut self, page: PageRecord) -> io::Result<()> {
        self.write(&Record::Page(page))
    }

    /// A list's receipts are in the journal.
    pub(super) fn unit(&mut self, unit: UnitRecord) -> io::Result<()> {
        let record = Record::Unit(unit);
        self.write(&record)?;
        if let Record::Unit(unit) = record {
            self.open.remove(&unit.unit);
            self.done.insert(unit.unit.clone(), unit);
        }
        Ok(())
    }

    /// A list that is done.
    pub(super) fn done(&self, unit: &str) -> Option<&UnitRecord> {
        self.done.get(unit)
    }

    /// Names of the lists that are done.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.done.keys().cloned()
    }

    /// All lists that are done.
    pub(super) fn into_units(self) -> impl Iterator<Item = UnitRecord> {
        self.done.into_values()
    }

    /// Takes what a dead process read of a list that is not done.
    pub(super) fn take_open(&mut self, unit: &str) -> Vec<PageRecord> {
        self.open.remove(unit).unwrap_or_default()
    }

    /// Removes the file: the snapshot ended.
    pub(super) fn remove(path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn check(json: &[u8]) -> String {
    let mut digits = hex::encode(Sha256::digest(json));
    digits.truncate(CHECK_DIGITS);
    digits
}

fn parse(line: &[u8]) -> Option<Record> {
    let line = line.strip_suffix(b"\n")?;
    let (told, rest) = line.split_at_checked(CHECK_DIGITS)?;
    let json = rest.strip_prefix(b" ")?;
    (check(json).as_bytes() == told).then(|| serde_json::from_slice(json).ok())?
}

/// The passes over a list as far as a dead process came. Only a list by offset goes on inside a pass; others begin it anew.
pub(super) fn passes(pages: &[PageRecord], (request, paging): (Request, Paging)) -> Passes {
    let mut passes = Passes::over(request.clone());
    for page in pages {
        passes.replay(page.pass);
        let pass: &mut Pass = &mut passes.current;
        pass.sorted &= page.sorted;
        pass.pages += 1;
        pass.times = Some((pass.times.map_or(page.times.0, |(min, _)| min), page.times.1));
        pass.entries.extend(unpack(&page.entries));
        pass.found.extend(page.found.iter().cloned());
        let anchor = hex::decode(&page.anchor).ok().and_then(|bytes| Id::try_from(bytes).ok());
        let leg = Leg { request: request.clone(), read: page.read, anchor, cursor: None };
        pass.legs = if page.last { Default::default() } else { [leg].into() };
    }
    if passes.current.pages > 0 && !passes.current.is_over() && paging != Paging::Offset {
        // Under a number of its own, so that its pages are never taken for those of the one that was cut off.
        passes.replay(passes.number + 1);
    }
    passes
}

/// Entries as hex digits by area.
pub(super) fn pack<'a>(entries: impl IntoIterator<Item = (&'a (Area, Id), &'a Hash)>) -> Packed {
    let mut packed = Packed::new();
    for ((area, id), hash) in entries {
        let digits = packed.entry(*area).or_default();
        digits.push_str(&hex::encode(id));
        digits.push_str(&hex::encode(hash));
    }
    packed
}

/// The entries of packed digits; what is none is left out.
pub(super) fn unpack(packed: &Packed) -> impl Iterator<Item = Entry> {
    packed.iter().flat_map(|(area, digits)| {
        digits.as_bytes().chunks_exact(ENTRY_DIGITS).filter_map(|one| {
            let (mut id, mut hash) = (Id::default(), Hash::default());
            let (first, second) = one.split_at(2 * id.len());
            hex::decode_to_slice(first, &mut id).ok()?;
            hex::decode_to_slice(second, &mut hash).ok()?;
            Some(Entry { area: *area, id, hash })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::snapshot::Trigger;

    fn begin() -> Begin {
        Begin {
            snapshot: "s1".into(),
            time: 1,
            trigger: Trigger::Demand,
            full: false,
            previous: None,
            realms: vec!["acme".into()],
        }
    }

    fn page(pass: u32, read: usize, last: bool) -> PageRecord {
        let entries = pack([(&(Area::Users, [read as u8; 16]), &[pass as u8; 8])]);
        PageRecord {
            unit: "u".into(),
            pass,
            read,
            anchor: hex::encode([read as u8; 16]),
            last,
            sorted: true,
            times: (read as i64, read as i64 + 1),
            entries,
            found: Vec::new(),
            changed: BTreeMap::new(),
        }
    }

    #[test]
    fn a_torn_line_is_as_if_it_was_never_written_and_the_next_one_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        let mut progress = Progress::start(&path, begin()).unwrap();
        progress.page(page(1, 3, false)).unwrap();
        progress.page(page(1, 6, false)).unwrap();
        drop(progress);
        let whole = fs::read(&path).unwrap();
        let second = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0 + 1;
        for cut in second..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let mut found = Progress::find(&path).unwrap().unwrap();
            found.page(page(1, 9, true)).unwrap();
            let mut again = Progress::find(&path).unwrap().unwrap();
            let reads: Vec<_> = again.take_open("u").iter().map(|page| page.read).collect();
            assert_eq!(reads, [3, 9], "cut at {cut}");
        }
        assert_eq!(Progress::find(&path).unwrap().unwrap().begin, begin());
        fs::write(&path, b"rubbish\n").unwrap();
        assert!(Progress::find(&path).unwrap().is_none());
    }

    #[test]
    fn passes_go_on_where_they_were() {
        let request = Request::new(&["users"]);
        let read = [page(1, 3, false), page(2, 3, false), page(2, 5, true), page(3, 4, false)];
        let resumed = passes(&read, (request.clone(), Paging::Offset));
        assert_eq!(resumed.number, 3);
        assert_eq!(resumed.current.legs.front().map(|leg| (leg.read, leg.anchor)), Some((4, Some([4; 16]))));
        // The second pass reached its end: if the third agrees, it is believed from the second's beginning on.
        assert_eq!(resumed.times().0, 3);
        let anew = passes(&read, (request.clone(), Paging::Tree));
        assert_eq!((anew.number, anew.current.pages), (4, 0));
        let over = passes(&[page(1, 3, false), page(1, 5, true)], (request, Paging::Tree));
        assert!(over.current.is_over());
        assert_eq!(over.entries().len(), 2);
    }
}
