//! Opens what the run before left: reads the side files, the ends of sealed segments and the whole of the last one,
//! tells a torn tail from lost records, and leaves every segment sealed.
//!
//! Nothing is removed but a segment without any record, and nothing is cut off before a copy is durable. Every step
//! can be interrupted and done again.

use crate::cursors::{self, Cursors, side_file};
use crate::damage::{Damage, DamageKind, Run};
use crate::disk::{Disk, DiskFile, is_full};
use crate::format::{Bad, FOOTER_LEN, FRAME_HEAD_LEN, Footer, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::journal::OpenError;
use crate::log::Sealed;
use crate::options::Options;
use crate::quarantine::{Kept, Quarantine};
use crate::scan::{Identity, identity_of_first_frame};
use crate::segment::{Extent, Segment, locked, offset_of};
use crate::shared::now_ms;
use crate::slot::{SlotFile, Value};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

mod tail;

/// File of the durable mark.
pub(crate) const MARK: &str = "mark";
/// File of the trim mark.
pub(crate) const TRIMMED: &str = "trimmed";

/// What was found.
pub(crate) struct Recovered {
    pub(crate) segments: Vec<Arc<Segment>>,
    /// Offset of the next record.
    pub(crate) next_offset: u64,
    pub(crate) sealed: Option<Sealed>,
    pub(crate) damage: Vec<Damage>,
    pub(crate) cursors: Cursors,
    pub(crate) mark: SlotFile,
    pub(crate) trimmed: SlotFile,
    pub(crate) quarantine: Quarantine,
    /// The last stream, as the mark knows it.
    pub(crate) marked: Option<Run>,
}

/// The end of the last segment that holds a record.
pub(crate) struct LastRecord {
    pub(crate) next_offset: u64,
    pub(crate) sealed: Sealed,
}

pub(crate) fn recover(disk: &Arc<dyn Disk>, options: &Options) -> Result<Recovered, OpenError> {
    let dir = &*options.dir;
    let mut damage = Vec::new();
    let quarantine = Quarantine::open(disk, options).map_err(failed("open", crate::quarantine::DIR))?;
    let quarantine = Mutex::new(quarantine);
    let names = sorted(disk.list(dir).map_err(failed("list", "the folder"))?);
    let (trimmed, bad) = slot(&**disk, dir, TRIMMED)?;
    damage.extend(bad);
    let (mark, bad) = slot(&**disk, dir, MARK)?;
    damage.extend(bad);
    let (cursors, bad) =
        Cursors::open(disk.clone(), dir, trimmed.value().offset).map_err(failed("open", cursors::DIR))?;
    damage.extend(bad);

    // A lower bound of what was acknowledged: consumers and trims only ever saw acknowledged records.
    let beyond = cursors.all().into_iter().map(|(_, offset)| offset).max().unwrap_or(0);
    let mut proven = mark.value().offset.max(trimmed.value().offset).max(beyond);
    let mut segments = Vec::with_capacity(names.len());
    let mut last = None;
    for (at, (first_offset, name)) in names.iter().enumerate() {
        let file = disk.open(&dir.join(name)).map_err(failed("open", name))?;
        let found =
            Found { disk: &**disk, dir, name, first_offset: *first_offset, file: &*file, quarantine: &quarantine };
        let next = names.get(at + 1).map(|(next, _)| *next);
        let opened = found.open(next, &mut proven, &mut damage)?;
        if let Some((segment, record)) = opened {
            proven = proven.max(segment.extent().next_offset);
            segments.push(Arc::new(segment));
            last = record.or(last);
        }
    }
    report_gaps(&segments, trimmed.value().offset, proven, &mut damage);
    let (sealed, marked) = (seal_of(last, mark.value()), marked(mark.value()));
    let quarantine = quarantine.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Recovered { segments, next_offset: proven, sealed, damage, cursors, mark, trimmed, quarantine, marked })
}

/// Segments of a folder in order of their offsets.
pub(crate) fn sorted(names: Vec<String>) -> Vec<(u64, String)> {
    let mut segments: Vec<_> = names.into_iter().filter_map(|name| Some((offset_of(&name)?, name))).collect();
    segments.sort();
    segments
}

/// The stream before: as the durable mark knows it, if that reaches further than what can still be read.
pub(crate) fn seal_of(last: Option<LastRecord>, mark: Value) -> Option<Sealed> {
    let marked = Sealed { stream: mark.stream, last_seq: mark.seq, last_chain: mark.chain };
    match last {
        Some(last) if last.next_offset >= mark.offset => Some(last.sealed),
        _ if mark.offset > 0 && mark.stream != [0; 16] => Some(marked),
        last => last.map(|last| last.sealed),
    }
}

/// The stream that a durable mark names.
pub(crate) fn marked(mark: Value) -> Option<Run> {
    Run::new(mark.stream, (mark.offset.checked_sub(1)?, mark.seq), mark.offset)
}

/// Names acknowledged records for which there is no segment.
pub(crate) fn report_gaps(segments: &[Arc<Segment>], trimmed: u64, end: u64, damage: &mut Vec<Damage>) {
    let mut expected = trimmed;
    let ends = segments.iter().map(|segment| (segment.first_offset, segment.extent().next_offset));
    for (first, next) in ends.chain([(end, end)]) {
        if first > expected {
            let file = crate::segment::name_of(expected);
            let offsets = expected..first;
            let covered = damage.iter().any(|known| known.offsets == offsets);
            if !covered {
                damage.push(Damage::new(DamageKind::Missing, file, 0..0, offsets));
            }
        }
        expected = expected.max(next);
    }
}

fn slot(disk: &dyn Disk, dir: &Path, name: &str) -> Result<(SlotFile, Vec<Damage>), OpenError> {
    let (file, bad) = SlotFile::open(disk, &dir.join(name), name, Value::default()).map_err(failed("open", name))?;
    Ok((file, bad.into_iter().map(|bytes| side_file(name.into(), bytes)).collect()))
}

pub(crate) fn failed<'a>(action: &'static str, file: &'a str) -> impl Fn(io::Error) -> OpenError + 'a {
    move |source| OpenError::Io { action, file: file.to_owned(), source }
}

/// One segment file at open.
struct Found<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    name: &'a str,
    first_offset: u64,
    file: &'a dyn DiskFile,
    quarantine: &'a Mutex<Quarantine>,
}

type Opened = Option<(Segment, Option<LastRecord>)>;

impl Found<'_> {
    fn open(&self, next: Option<u64>, proven: &mut u64, damage: &mut Vec<Damage>) -> Result<Opened, OpenError> {
        let head = read_header(self.file, self.first_offset).map_err(failed("read", self.name))?;
        if head.newer {
            return Err(OpenError::Newer { file: self.name.into() });
        }
        if head.header.is_none() && head.identity.is_some() {
            damage.push(self.damage(DamageKind::SegmentHeader, 0..SEGMENT_HEADER_LEN));
        }
        let footer = match &head.identity {
            Some(identity) => read_footer(self.file, identity).map_err(failed("read", self.name))?,
            None => None,
        };
        if let (Some(identity), Some((pos, footer))) = (&head.identity, &footer)
            && footer.next_offset > self.first_offset
            && next.is_none_or(|next| footer.next_offset <= next)
        {
            if next.is_none() {
                // A run that was killed while it sealed leaves the footer to the operating system's memory.
                self.file.sync_data().map_err(failed("sync", self.name))?;
            }
            return Ok(Some(self.sealed(identity, *pos, footer)));
        }
        match next {
            Some(next) => self.unsealed(head, next).map(Some).map_err(failed("read", self.name)),
            None => self.recover_tail(head, proven, damage),
        }
    }

    fn sealed(&self, identity: &Identity, pos: u64, footer: &Footer) -> (Segment, Option<LastRecord>) {
        let extent = Extent {
            end: pos,
            next_offset: footer.next_offset,
            sealed_ms: Some(footer.sealed_ms),
            file_len: pos + FOOTER_LEN,
        };
        let sealed = Sealed { stream: identity.stream, last_seq: footer.last_seq, last_chain: footer.last_chain };
        let last = LastRecord { next_offset: footer.next_offset, sealed };
        (Segment::new(self.first_offset, Some(identity.clone()), extent), Some(last))
    }

    /// A segment with others behind it, whose footer does not check out: the next one's name says where it ended.
    fn unsealed(&self, head: Head, next: u64) -> io::Result<(Segment, Option<LastRecord>)> {
        let len = self.file.size()?;
        // Its time of sealing is not known: now keeps it for longest.
        let extent = Extent { end: len, next_offset: next, sealed_ms: Some(now_ms()), file_len: len };
        Ok((Segment::new(self.first_offset, head.identity, extent), None))
    }

    fn damage(&self, kind: DamageKind, bytes: std::ops::Range<u64>) -> Damage {
        Damage::new(kind, self.name, bytes, 0..0)
    }

    /// Copies bytes to quarantine, using the reserve on a full disk.
    fn quarantine(&self, bytes: std::ops::Range<u64>) -> io::Result<Kept> {
        let mut quarantine = locked(self.quarantine);
        match quarantine.keep_at_start((self.name, self.file), bytes.clone()) {
            Err(error) if is_full(&error) => {
                crate::prepare::release_reserve(self.disk, self.dir)?;
                match quarantine.keep_at_start((self.name, self.file), bytes) {
                    Err(error) if is_full(&error) => Ok(quarantine.refuse()),
                    kept => kept,
                }
            }
            kept => kept,
        }
    }
}

/// The beginning of a segment.
pub(crate) struct Head {
    pub(crate) header: Option<SegmentHeader>,
    pub(crate) identity: Option<Identity>,
    pub(crate) newer: bool,
}

/// Reads the header; if it does not check out, the first frame says what is needed to read the rest.
pub(crate) fn read_header(file: &dyn DiskFile, first_offset: u64) -> io::Result<Head> {
    let mut bytes = [0; SEGMENT_HEADER_LEN as usize + FRAME_HEAD_LEN];
    let got = file.read_at(&mut bytes, 0)?;
    let bytes = &bytes[..got];
    match SegmentHeader::decode(bytes) {
        Ok(header) if header.first_offset == first_offset => {
            let identity =
                Identity { mark: header.mark, first_offset, first_seq: header.first_seq, stream: header.stream };
            return Ok(Head { header: Some(header), identity: Some(identity), newer: false });
        }
        Err(Bad::Newer) => return Ok(Head { header: None, identity: None, newer: true }),
        Ok(_) | Err(Bad::Bytes) => {}
    }
    let frame = bytes.get(SEGMENT_HEADER_LEN as usize..).unwrap_or_default();
    let identity = identity_of_first_frame(frame, first_offset).ok();
    Ok(Head { header: None, identity, newer: false })
}

/// Reads the footer at the end of the file, with its position.
pub(crate) fn read_footer(file: &dyn DiskFile, identity: &Identity) -> io::Result<Option<(u64, Footer)>> {
    let Some(pos) = file.size()?.checked_sub(FOOTER_LEN).filter(|pos| *pos >= SEGMENT_HEADER_LEN) else {
        return Ok(None);
    };
    let mut bytes = [0; FOOTER_LEN as usize];
    let got = file.read_at(&mut bytes, pos)?;
    let footer = Footer::decode(&bytes[..got]).ok();
    let belongs = |footer: &Footer| footer.mark == identity.mark && footer.first_offset == identity.first_offset;
    Ok(footer.filter(belongs).map(|footer| (pos, footer)))
}
