//! Checks a whole journal: every CRC, every offset and sequence number, every commitment, the chain from each stream's
//! first kept record to its last, and that the segments follow each other. Changes nothing.

use crate::chain::{self, Link};
use crate::cursors;
use crate::damage::{Damage, DamageKind};
use crate::disk::{Disk, DiskFile, RealDisk};
use crate::format::{Footer, SEGMENT_HEADER_LEN};
use crate::quarantine::end_of_content;
use crate::recover::{Head, MARK, TRIMMED, read_footer, read_header, sorted};
use crate::scan::{Item, Limit, Scanner};
use crate::segment::{locked, name_of};
use crate::shared::Shared;
use crate::slot;
use std::io;
use std::ops::Range;
use std::path::Path;

/// Most damages listed in a report; further ones are only counted.
const MAX_LISTED: usize = 10_000;

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
/// may be seen or not, and a write in progress shows as a torn tail.
pub fn inspect(dir: &Path) -> io::Result<ScrubReport> {
    inspect_on(&RealDisk, dir)
}

/// As [`inspect`], on another disk.
pub fn inspect_on(disk: &dyn Disk, dir: &Path) -> io::Result<ScrubReport> {
    let mut scrub = Scrub::default();
    let trimmed = scrub.slot(disk, dir, TRIMMED)?;
    scrub.report.durable_mark = scrub.slot(disk, dir, MARK)?;
    for name in disk.list(&dir.join(cursors::DIR))? {
        if cursors::is_name(&name) {
            let loaded = slot::load(&*disk.open_read(&dir.join(cursors::DIR).join(&name))?, &name)?;
            let file = format!("{}/{name}", cursors::DIR);
            scrub.side_file(&file, loaded.bad);
            scrub.report.committed.push((name, loaded.value.map_or(trimmed, |(_, value)| value.offset)));
        }
    }
    let names = sorted(disk.list(dir)?);
    scrub.begin(trimmed);
    for (at, (first_offset, name)) in names.iter().enumerate() {
        let file = match disk.open_read(&dir.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && at == 0 => continue,
            opened => opened?,
        };
        let next = names.get(at + 1).map(|(next, _)| *next);
        scrub.file((name, &*file), *first_offset, next)?;
    }
    scrub.finish(None);
    Ok(scrub.report)
}

pub(crate) fn scrub_open(shared: &Shared) -> io::Result<ScrubReport> {
    let mut scrub = Scrub::default();
    scrub.report.committed = locked(&shared.cursors).all();
    let end = shared.end();
    scrub.report.durable_mark = end;
    scrub.begin(shared.first());
    for segment in shared.segments() {
        let file = match shared.disk.open_read(&shared.options.dir.join(&segment.name)) {
            Ok(file) => file,
            // Freed meanwhile, or gone: then the next segment does not follow.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                scrub.expected = scrub.expected.max(shared.first());
                continue;
            }
            Err(error) => return Err(error),
        };
        let head = read_header(&*file, segment.first_offset)?;
        let extent = segment.extent();
        let footer = match (&head.identity, extent.sealed_ms) {
            (Some(identity), Some(_)) => read_footer(&*file, identity)?.map(|(_, footer)| footer),
            _ => None,
        };
        scrub.segment(
            (&segment.name, &*file),
            (head, segment.first_offset),
            Ends { limit: segment.limit(), footer },
        )?;
    }
    scrub.finish(Some(end));
    Ok(scrub.report)
}

#[derive(Default)]
struct Scrub {
    report: ScrubReport,
    /// First offset of the next segment.
    expected: u64,
}

struct Ends {
    limit: Limit,
    footer: Option<Footer>,
}

impl Scrub {
    fn begin(&mut self, first: u64) {
        self.expected = first;
        self.report.first_offset = first;
    }

    fn finish(&mut self, end: Option<u64>) {
        let acknowledged = end.unwrap_or(0).max(self.report.durable_mark);
        if self.expected < acknowledged {
            self.note(DamageKind::Missing, name_of(self.expected), (0..0, self.expected..acknowledged));
        }
        self.report.next_offset = self.expected.max(acknowledged);
    }

    fn file(&mut self, file: (&str, &dyn DiskFile), first_offset: u64, next: Option<u64>) -> io::Result<()> {
        let head = read_header(file.1, first_offset)?;
        let footer = match &head.identity {
            Some(identity) => read_footer(file.1, identity)?,
            None => None,
        };
        let footer = footer.filter(|(_, footer)| next.is_none_or(|next| footer.next_offset <= next));
        let ends = match footer {
            Some((pos, footer)) => {
                Ends { limit: Limit { end: pos, next_offset: Some(footer.next_offset) }, footer: Some(footer) }
            }
            None => Ends { limit: Limit { end: file.1.size()?, next_offset: next }, footer: None },
        };
        self.segment(file, (head, first_offset), ends)
    }

    fn segment(&mut self, file: (&str, &dyn DiskFile), (head, first): (Head, u64), ends: Ends) -> io::Result<()> {
        let (name, file) = file;
        self.report.segments += 1;
        if self.expected < first {
            self.note(DamageKind::Missing, name_of(self.expected), (0..0, self.expected..first));
        }
        self.expected = first;
        self.report.first_offset = self.report.first_offset.min(first);
        if head.header.is_none() {
            self.note(DamageKind::SegmentHeader, name.into(), (0..SEGMENT_HEADER_LEN, 0..0));
        }
        let Some(identity) = head.identity else {
            let next = ends.limit.next_offset.unwrap_or(self.report.durable_mark.max(first));
            self.note(DamageKind::Damaged, name.into(), (0..file.size()?, first..next));
            self.expected = next;
            return Ok(());
        };
        let before = self.report.streams.last().filter(|stream| stream.stream == identity.stream);
        let before = before.filter(|before| before.last_seq.checked_add(1) == Some(identity.first_seq));
        let before = before.map(|before| before.last_chain);
        let declared = head.header.map(|header| header.previous_chain);
        if let (Some(before), Some(declared)) = (before, declared)
            && before != declared
        {
            self.note(DamageKind::ChainBroken, name.into(), (0..SEGMENT_HEADER_LEN, first..first + 1));
        }
        let start = (identity.first_seq == 0).then_some(chain::START);
        // The chain value that the next record continues, where it is known.
        let mut previous = before.or(declared).or(start);
        let mut scanner = Scanner::new(file, &identity, ends.limit);
        let mut count = 0;
        loop {
            match scanner.next()? {
                Item::Frame { pos, head, header, body } => {
                    let range = (pos..scanner.pos(), head.offset..head.offset + 1);
                    let link =
                        Link { stream: &head.stream, seq: head.seq, header: &header, commitment: &head.commitment };
                    if previous.is_some_and(|previous| chain::link(&previous, link) != head.chain) {
                        self.note(DamageKind::ChainBroken, name.into(), range.clone());
                    }
                    if head.enc.algorithm == 0 && chain::commitment(&head.salt, &body) != head.commitment {
                        self.note(DamageKind::CommitmentBroken, name.into(), range);
                    }
                    previous = Some(head.chain);
                    count += 1;
                    self.record(&head.stream, (head.seq, head.chain), header.len() + body.len());
                    self.expected = head.offset + 1;
                }
                Item::Damage { bytes, offsets } => {
                    let kind = if offsets.is_empty() { DamageKind::SegmentFooter } else { DamageKind::Damaged };
                    self.expected = offsets.end.max(self.expected);
                    self.note(kind, name.into(), (bytes, offsets));
                    previous = None;
                }
                Item::Footer(_) => break,
                Item::End { pos } => {
                    let content = if ends.limit.next_offset.is_none() { end_of_content(file, pos)? } else { pos };
                    if content > pos {
                        self.note(DamageKind::TornTail, name.into(), (pos..content, 0..0));
                    }
                    break;
                }
            }
        }
        if let Some(footer) = ends.footer
            && (previous.is_some_and(|last| last != footer.last_chain) || count > footer.count)
        {
            self.note(DamageKind::ChainBroken, name.into(), (ends.limit.end..ends.limit.end, 0..0));
        }
        Ok(())
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

    fn slot(&mut self, disk: &dyn Disk, dir: &Path, name: &str) -> io::Result<u64> {
        let file = match disk.open_read(&dir.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        let loaded = slot::load(&*file, name)?;
        self.side_file(name, loaded.bad);
        Ok(loaded.value.map_or(0, |(_, value)| value.offset))
    }

    fn side_file(&mut self, file: &str, bad: Vec<Range<u64>>) {
        for bytes in bad {
            self.note(DamageKind::SideFile, file.into(), (bytes, 0..0));
        }
    }

    fn note(&mut self, kind: DamageKind, file: String, (bytes, offsets): (Range<u64>, Range<u64>)) {
        self.report.damage_total += 1;
        self.report.losses += u64::from(kind.loses_records());
        if self.report.damage.len() < MAX_LISTED {
            self.report.damage.push(Damage { kind, file, bytes, offsets, quarantine: None });
        }
    }
}
