//! Checks a whole journal: every CRC, every offset and sequence number, every commitment, the chain from each stream's
//! first kept record to its last, and that the segments follow each other. Changes no segment.

use crate::chain::{self, Link};
use crate::cursors;
use crate::damage::{Damage, DamageKind, Run, locate};
use crate::disk::{Disk, DiskFile, RealDisk};
use crate::format::{Footer, SEGMENT_HEADER_LEN};
use crate::quarantine::end_of_content;
use crate::recover::{Head, MARK, TRIMMED, marked, read_footer, read_header, sorted};
use crate::scan::{Identity, Item, Limit, Scanner};
use crate::segment::{locked, name_of};
use crate::shared::Shared;
use crate::slot::{self, Value};
use std::io;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::TryLockError;

/// Most damages listed in a report; further ones are only counted.
const MAX_LISTED: usize = 10_000;

/// Why a scrub did not come to its end. What it found until then is noted all the same.
#[derive(Debug, thiserror::Error)]
pub enum ScrubError {
    /// There is one at a time.
    #[error("a scrub of this journal is already running")]
    Running,
    /// By its caller.
    #[error("the scrub was stopped")]
    Stopped,
    /// The medium could not be read: try again.
    #[error("cannot read {file}")]
    Io {
        /// The file.
        file: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

/// What a scrub found of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamReport {
    /// Its id.
    pub stream: [u8; 16],
    /// First sequence number kept.
    pub first_seq: u64,
    /// Last sequence number.
    pub last_seq: u64,
    /// Chain value of the last record.
    pub last_chain: [u8; 32],
    /// Records read.
    pub records: u64,
}

/// What a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Segments.
    pub segments: usize,
    /// Records that check out.
    pub records: u64,
    /// Bytes of their headers and bodies.
    pub bytes: u64,
    /// First offset kept.
    pub first_offset: u64,
    /// Offset after the last record.
    pub next_offset: u64,
    /// The durable mark: at least so far was acknowledged.
    pub durable_mark: u64,
    /// Cursor of every consumer.
    pub committed: Vec<(String, u64)>,
    /// Streams in order.
    pub streams: Vec<StreamReport>,
    /// Damages; bounded.
    pub damage: Vec<Damage>,
    /// How many there were.
    pub damage_total: u64,
    /// How many of them lose records or trust in them.
    pub losses: u64,
}

impl ScrubReport {
    /// True if every acknowledged record that was not freed is there, unaltered.
    pub fn is_intact(&self) -> bool {
        self.losses == 0
    }
}

/// Checks the journal in a folder without its lock, so also one that is being written: records that are added meanwhile
/// may be seen or not, and a write in progress shows as a torn tail. Writes nothing.
pub fn inspect(dir: &Path) -> Result<ScrubReport, ScrubError> {
    inspect_on(&RealDisk, dir)
}

/// As [`inspect`], on another disk.
pub fn inspect_on(disk: &dyn Disk, dir: &Path) -> Result<ScrubReport, ScrubError> {
    let mut whole = |_| ControlFlow::Continue(());
    let mut scrub = Scrub::new(None, &mut whole);
    let trimmed = scrub.slot(disk, dir, TRIMMED).map_err(failed(TRIMMED))?.offset;
    let mark = scrub.slot(disk, dir, MARK).map_err(failed(MARK))?;
    scrub.report.durable_mark = mark.offset;
    scrub.runs.extend(marked(mark));
    for name in disk.list(&dir.join(cursors::DIR)).map_err(failed(cursors::DIR))? {
        if cursors::is_name(&name) {
            let file = format!("{}/{name}", cursors::DIR);
            let opened = disk.open_read(&dir.join(&file)).and_then(|opened| slot::load(&*opened, &name));
            let loaded = opened.map_err(failed(&file))?;
            scrub.side_file(&file, loaded.bad);
            scrub.report.committed.push((name, loaded.value.map_or(trimmed, |(_, value)| value.offset)));
        }
    }
    let names = sorted(disk.list(dir).map_err(failed("the folder"))?);
    scrub.begin(trimmed);
    for (at, (first_offset, name)) in names.iter().enumerate() {
        let file = match disk.open_read(&dir.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && at == 0 => continue,
            opened => opened.map_err(failed(name))?,
        };
        let next = names.get(at + 1).map(|(next, _)| *next);
        scrub.file((name, &*file), *first_offset, next)?;
    }
    scrub.finish(None);
    let Scrub { mut report, runs, .. } = scrub;
    report.damage = report.damage.into_iter().flat_map(|damage| locate(&runs, damage)).collect();
    Ok(report)
}

/// How a scrub waits and is stopped: told of every record how many bytes of the disk it took.
pub(crate) type Pace<'a> = &'a mut dyn FnMut(u64) -> ControlFlow<()>;

pub(crate) fn scrub_open(shared: &Shared, pace: Pace<'_>) -> Result<ScrubReport, ScrubError> {
    let _alone = match shared.scrubbing.try_lock() {
        Err(TryLockError::WouldBlock) => return Err(ScrubError::Running),
        // Guards nothing that a panic could have left half-done.
        Err(TryLockError::Poisoned(guard)) => guard.into_inner(),
        Ok(guard) => guard,
    };
    let mut scrub = Scrub::new(Some(shared), pace);
    scrub.report.committed = locked(&shared.cursors).all();
    let end = shared.end();
    scrub.report.durable_mark = end;
    scrub.begin(shared.first());
    for segment in shared.segments() {
        let name = &*segment.name;
        let file = match shared.disk.open_read(&shared.options.dir.join(name)) {
            Ok(file) => file,
            // Freed meanwhile, or gone: then the next segment does not follow.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                scrub.expected = scrub.expected.max(shared.first());
                continue;
            }
            Err(error) => return Err(failed(name)(error)),
        };
        let head = read_header(&*file, segment.first_offset).map_err(failed(name))?;
        let extent = segment.extent();
        let footer = match (&head.identity, extent.sealed_ms) {
            (Some(identity), Some(_)) => read_footer(&*file, identity).map_err(failed(name))?.map(|(_, footer)| footer),
            _ => None,
        };
        scrub.segment((name, &*file), (head, segment.first_offset), Ends { limit: segment.limit(), footer })?;
    }
    scrub.finish(Some(end));
    Ok(scrub.report)
}

fn failed(file: &str) -> impl Fn(io::Error) -> ScrubError + '_ {
    move |source| ScrubError::Io { file: file.to_owned(), source }
}

struct Scrub<'a> {
    report: ScrubReport,
    /// First offset of the next segment.
    expected: u64,
    runs: Vec<Run>,
    /// The journal that is open, and takes note of what is found.
    shared: Option<&'a Shared>,
    pace: Pace<'a>,
}

struct Ends {
    limit: Limit,
    footer: Option<Footer>,
}

impl<'a> Scrub<'a> {
    fn new(shared: Option<&'a Shared>, pace: Pace<'a>) -> Self {
        Self { report: ScrubReport::default(), expected: 0, runs: Vec::new(), shared, pace }
    }

    fn begin(&mut self, first: u64) {
        self.expected = first;
        self.report.first_offset = first;
    }

    fn finish(&mut self, end: Option<u64>) {
        let acknowledged = end.unwrap_or(0).max(self.report.durable_mark);
        if self.expected < acknowledged {
            self.note(
                None,
                Damage::new(DamageKind::Missing, name_of(self.expected), 0..0, self.expected..acknowledged),
            );
        }
        self.report.next_offset = self.expected.max(acknowledged);
    }

    fn file(
        &mut self,
        (name, file): (&str, &dyn DiskFile),
        first_offset: u64,
        next: Option<u64>,
    ) -> Result<(), ScrubError> {
        let head = read_header(file, first_offset).map_err(failed(name))?;
        let footer = match &head.identity {
            Some(identity) => read_footer(file, identity).map_err(failed(name))?,
            None => None,
        };
        let footer = footer.filter(|(_, footer)| next.is_none_or(|next| footer.next_offset <= next));
        let ends = match footer {
            Some((pos, footer)) => {
                Ends { limit: Limit { end: pos, next_offset: Some(footer.next_offset) }, footer: Some(footer) }
            }
            None => {
                let end = file.size().map_err(failed(name))?;
                Ends { limit: Limit { end, next_offset: next }, footer: None }
            }
        };
        self.segment((name, file), (head, first_offset), ends)
    }

    fn segment(
        &mut self,
        (name, file): (&str, &dyn DiskFile),
        (head, first): (Head, u64),
        ends: Ends,
    ) -> Result<(), ScrubError> {
        self.report.segments += 1;
        if self.expected < first {
            self.note(None, Damage::new(DamageKind::Missing, name_of(self.expected), 0..0, self.expected..first));
        }
        self.expected = first;
        self.report.first_offset = self.report.first_offset.min(first);
        if head.header.is_none() && head.identity.is_some() {
            self.note(Some(file), Damage::new(DamageKind::SegmentHeader, name, 0..SEGMENT_HEADER_LEN, 0..0));
        }
        let Some(identity) = head.identity.clone() else {
            let next = ends.limit.next_offset.unwrap_or(self.report.durable_mark.max(first));
            // As recovery judges it: of what was never acknowledged there may be anything, and zeros are nothing.
            let content = end_of_content(file, 0).map_err(failed(name))?;
            let kind = if first < next { DamageKind::Damaged } else { DamageKind::TornTail };
            if first < next || content > 0 {
                self.note(Some(file), Damage::new(kind, name, 0..content, first..next));
            }
            self.expected = next;
            return Ok(());
        };
        let previous = self.continues(&identity, &head, name);
        let last = self.frames((name, file), &identity, (&ends, previous))?;
        let place = (identity.first_offset, identity.first_seq);
        self.runs.extend(Run::new(identity.stream, place, ends.limit.next_offset.unwrap_or(self.expected)));
        if let Some(footer) = &ends.footer
            && (last.chain.is_some_and(|chain| chain != footer.last_chain) || last.count > footer.count)
        {
            let end = ends.limit.end;
            self.note(None, Damage::new(DamageKind::ChainBroken, name, end..end, 0..0));
        }
        Ok(())
    }

    /// The chain value that the first record of a segment continues, where it is known.
    fn continues(&mut self, identity: &Identity, head: &Head, name: &str) -> Option<[u8; 32]> {
        let before = self.report.streams.last().filter(|stream| stream.stream == identity.stream);
        let before = before.filter(|before| before.last_seq.checked_add(1) == Some(identity.first_seq));
        let before = before.map(|before| before.last_chain);
        let declared = head.header.as_ref().map(|header| header.previous_chain);
        if let (Some(before), Some(declared)) = (before, declared)
            && before != declared
        {
            let first = identity.first_offset;
            let bytes = 0..SEGMENT_HEADER_LEN;
            self.note(None, Damage::new(DamageKind::ChainBroken, name, bytes, first..first + 1));
        }
        before.or(declared).or((identity.first_seq == 0).then_some(chain::START))
    }

    /// Checks the frames; what the last of them left.
    fn frames(
        &mut self,
        (name, file): (&str, &dyn DiskFile),
        identity: &Identity,
        (ends, mut previous): (&Ends, Option<[u8; 32]>),
    ) -> Result<Last, ScrubError> {
        let mut scanner = Scanner::new(file, identity, ends.limit);
        let mut count = 0;
        loop {
            let from = scanner.pos();
            match scanner.next().map_err(failed(name))? {
                Item::Frame { pos, head, header, body } => {
                    let (bytes, offsets) = (pos..scanner.pos(), head.offset..head.offset + 1);
                    let link =
                        Link { stream: &head.stream, seq: head.seq, header: &header, commitment: &head.commitment };
                    let broken = |kind| Damage::new(kind, name, bytes.clone(), offsets.clone());
                    if previous.is_some_and(|previous| chain::link(&previous, link) != head.chain) {
                        self.note(Some(file), broken(DamageKind::ChainBroken));
                    }
                    if head.enc.algorithm == 0 && chain::commitment(&head.salt, &body) != head.commitment {
                        self.note(Some(file), broken(DamageKind::CommitmentBroken));
                    }
                    previous = Some(head.chain);
                    count += 1;
                    self.record(&head.stream, (head.seq, head.chain), header.len() + body.len());
                    self.expected = head.offset + 1;
                }
                Item::Damage { bytes, offsets } => {
                    let kind = if offsets.is_empty() { DamageKind::SegmentFooter } else { DamageKind::Damaged };
                    self.expected = offsets.end.max(self.expected);
                    self.note(Some(file), Damage::new(kind, name, bytes, offsets));
                    previous = None;
                }
                Item::Footer(_) => return Ok(Last { chain: previous, count }),
                Item::End { pos } => {
                    let content = match ends.limit.next_offset {
                        None => end_of_content(file, pos).map_err(failed(name))?,
                        Some(_) => pos,
                    };
                    if content > pos {
                        self.note(Some(file), Damage::new(DamageKind::TornTail, name, pos..content, 0..0));
                    }
                    return Ok(Last { chain: previous, count });
                }
            }
            if (self.pace)(scanner.pos() - from).is_break() {
                return Err(ScrubError::Stopped);
            }
        }
    }

    fn record(&mut self, stream: &[u8; 16], (seq, chain): (u64, [u8; 32]), bytes: usize) {
        self.report.records += 1;
        self.report.bytes += bytes as u64;
        match self.report.streams.last_mut().filter(|last| last.stream == *stream) {
            Some(last) => (last.last_seq, last.last_chain, last.records) = (seq, chain, last.records + 1),
            None => self.report.streams.push(StreamReport {
                stream: *stream,
                first_seq: seq,
                last_seq: seq,
                last_chain: chain,
                records: 1,
            }),
        }
    }

    fn slot(&mut self, disk: &dyn Disk, dir: &Path, name: &str) -> io::Result<Value> {
        let file = match disk.open_read(&dir.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Value::default()),
            Err(error) => return Err(error),
        };
        let loaded = slot::load(&*file, name)?;
        self.side_file(name, loaded.bad);
        Ok(loaded.value.map_or(Value::default(), |(_, value)| value))
    }

    fn side_file(&mut self, file: &str, bad: Vec<Range<u64>>) {
        for bytes in bad {
            self.note(None, cursors::side_file(file.into(), bytes));
        }
    }

    /// Counts a damage; an open journal takes note of it, with a copy if `file` is given.
    fn note(&mut self, file: Option<&dyn DiskFile>, damage: Damage) {
        self.report.damage_total += 1;
        self.report.losses += u64::from(damage.kind.loses_records());
        let named = match self.shared {
            Some(shared) => shared.found(damage, file),
            None => vec![damage],
        };
        if self.report.damage.len() < MAX_LISTED {
            self.report.damage.extend(named);
        }
    }
}

/// What the last frame of a segment left.
struct Last {
    /// Its chain value, if nothing after it was damaged.
    chain: Option<[u8; 32]>,
    /// Frames that check out.
    count: u64,
}
