//! Reads durable records from an offset on. Never waits, never stops at damage, never skips without naming it.

use crate::damage::{Damage, DamageKind};
use crate::disk::DiskFile;
use crate::format::FrameHead;
use crate::log::{Batch, ReadError, ReadLimits, Record};
use crate::scan::{Item, Scanner};
use crate::segment::Segment;
use crate::shared::{Place, Shared};
use bytes::Bytes;
use std::io;
use std::ops::Range;

/// Most damages in one batch.
const MAX_DAMAGE: usize = 256;

pub(crate) fn read(shared: &Shared, from: u64, limits: ReadLimits) -> Result<Batch, ReadError> {
    let end = shared.end();
    if from > end {
        return Err(ReadError::Beyond { end });
    }
    let mut reading =
        Reading { shared, batch: Batch { records: Vec::new(), next: from, damage: Vec::new() }, limits, bytes: 0, end };
    while reading.batch.next < end && !reading.is_full() {
        match shared.find(reading.batch.next) {
            Place::In(segment) => reading.segment(&segment)?,
            Place::Trimmed(first) if reading.batch.next == from => return Err(ReadError::Trimmed { first }),
            Place::Trimmed(_) => break,
            Place::Nowhere(next) => reading.missing(next.min(end)),
        }
    }
    Ok(reading.batch)
}

struct Reading<'a> {
    shared: &'a Shared,
    batch: Batch,
    limits: ReadLimits,
    bytes: usize,
    end: u64,
}

impl Reading<'_> {
    fn is_full(&self) -> bool {
        let some = !self.batch.records.is_empty();
        some && (self.batch.records.len() >= self.limits.records || self.bytes >= self.limits.bytes)
            || self.batch.damage.len() >= MAX_DAMAGE
    }

    fn segment(&mut self, segment: &Segment) -> Result<(), ReadError> {
        let file = match self.shared.disk.open_read(&self.shared.options.dir.join(&segment.name)) {
            Ok(file) => file,
            // Either trimmed this instant, which the next look-up tells, or gone.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.gone(segment),
            Err(source) => return Err(ReadError::Io { file: segment.name.clone(), source }),
        };
        let extent = segment.extent();
        let Some(identity) = &segment.identity else {
            self.damaged(segment, &*file, (0..extent.file_len, self.batch.next..extent.next_offset));
            return Ok(());
        };
        let mut scanner = Scanner::new(&*file, identity, segment.limit());
        if let Some((offset, pos)) = segment.nearest(self.batch.next) {
            scanner.seek(offset, pos);
        }
        while !self.is_full() && self.batch.next < self.end {
            let item = scanner.next().map_err(|source| ReadError::Io { file: segment.name.clone(), source })?;
            match item {
                Item::Frame { pos, head, header, body } => {
                    segment.passed(head.offset, pos);
                    if head.offset >= self.batch.next {
                        self.record(head, header, body);
                    }
                }
                Item::Damage { bytes, offsets } => {
                    if offsets.end > self.batch.next || offsets.is_empty() && offsets.start == self.batch.next {
                        self.damaged(segment, &*file, (bytes, offsets));
                    }
                }
                Item::Footer(_) | Item::End { .. } => {
                    if self.batch.next < extent.next_offset {
                        let offsets = self.batch.next..extent.next_offset;
                        self.damaged(segment, &*file, (extent.end..extent.end, offsets));
                    }
                    return Ok(());
                }
            }
        }
        segment.stopped(self.batch.next, scanner.pos());
        Ok(())
    }

    fn record(&mut self, head: FrameHead, header: Bytes, body: Bytes) {
        self.bytes += header.len() + body.len();
        self.batch.next = head.offset + 1;
        self.batch.records.push(record(head, header, body));
    }

    fn damaged(&mut self, segment: &Segment, file: &dyn DiskFile, (bytes, offsets): (Range<u64>, Range<u64>)) {
        let kind = if offsets.is_empty() { DamageKind::SegmentFooter } else { DamageKind::Damaged };
        self.batch.next = self.batch.next.max(offsets.end);
        let damage = Damage::new(kind, segment.name.clone(), bytes, offsets);
        self.batch.damage.extend(self.shared.found(damage, Some(file)));
    }

    fn missing(&mut self, next: u64) {
        let file = crate::segment::name_of(self.batch.next);
        self.note_missing(file, self.batch.next..next);
    }

    fn gone(&mut self, segment: &Segment) -> Result<(), ReadError> {
        let still = self.shared.segments().iter().any(|known| known.first_offset == segment.first_offset);
        if still {
            self.note_missing(segment.name.clone(), self.batch.next..segment.extent().next_offset);
        }
        Ok(())
    }

    fn note_missing(&mut self, file: String, offsets: Range<u64>) {
        self.batch.next = offsets.end;
        self.batch.damage.extend(self.shared.found(Damage::new(DamageKind::Missing, file, 0..0, offsets), None));
    }
}

fn record(head: FrameHead, header: Bytes, body: Bytes) -> Record {
    Record {
        offset: head.offset,
        stream: head.stream,
        seq: head.seq,
        header,
        body,
        salt: head.salt,
        commitment: head.commitment,
        chain: head.chain,
        enc: head.enc,
    }
}
