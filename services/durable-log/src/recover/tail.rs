//! The last segment, which no footer ends: finds its last record and seals it.
//!
//! What can be told: a hole below the proven bound is loss of acknowledged records; the bound is the greatest of the
//! durable mark, the cursors, the trim mark, and what the frames themselves say was synced before them. From the bound
//! on, a hole is the tail of a write that was never acknowledged.

use super::{Found, Head, LastRecord, Opened, failed};
use crate::chain::{self, Link};
use crate::damage::{Damage, DamageKind};
use crate::disk::remove_if_there;
use crate::format::{FOOTER_LEN, Footer, SEGMENT_HEADER_LEN};
use crate::journal::OpenError;
use crate::log::Sealed;
use crate::quarantine::{Kept, end_of_content};
use crate::scan::{Identity, Item, Limit, Scanner};
use crate::segment::{Extent, Segment};
use crate::shared::now_ms;
use std::io;
use std::ops::Range;

/// A place between two frames.
#[derive(Clone, Copy)]
struct Mark {
    pos: u64,
    next_offset: u64,
    last_seq: u64,
    last_chain: [u8; 32],
    /// Frames before it.
    count: u64,
}

/// Frames without a hole between them.
struct Run {
    /// After the last frame that ends an append; the start of the run if none does.
    whole: Mark,
    end: Mark,
    /// What lies between the run before and this one, by bytes and offsets, as a read names it.
    gap: Vec<(DamageKind, Range<u64>, Range<u64>)>,
}

/// What a scan to the end of the file found.
struct Scan {
    runs: Vec<Run>,
    durable: u64,
}

impl Found<'_> {
    pub(super) fn recover_tail(
        &self,
        head: Head,
        proven: &mut u64,
        damage: &mut Vec<Damage>,
    ) -> Result<Opened, OpenError> {
        let Some(identity) = head.identity.clone() else {
            return self.unreadable(*proven, damage).map_err(failed("recover", self.name));
        };
        let scan = self.scan(&identity, &head).map_err(failed("read", self.name))?;
        *proven = scan.durable.max(*proven);
        self.settle(identity, scan, (*proven, damage)).map_err(failed("recover", self.name))
    }

    fn scan(&self, identity: &Identity, head: &Head) -> io::Result<Scan> {
        let limit = Limit { end: self.file.size()?, next_offset: None };
        let mut scanner = Scanner::new(self.file, identity, limit);
        let start = Mark {
            pos: SEGMENT_HEADER_LEN,
            next_offset: identity.first_offset,
            last_seq: identity.first_seq.wrapping_sub(1),
            last_chain: head.header.as_ref().map_or(chain::START, |header| header.previous_chain),
            count: 0,
        };
        let mut scan = Scan { runs: vec![Run { whole: start, end: start, gap: Vec::new() }], durable: 0 };
        // Where the chain cannot be followed from: a damaged header, or a hole.
        let mut unlinked = head.header.is_none();
        let mut gap = Vec::new();
        loop {
            match scanner.next()? {
                Item::Frame { pos, head, header, .. } => {
                    let link =
                        Link { stream: &head.stream, seq: head.seq, header: &header, commitment: &head.commitment };
                    let Some(mut run) = scan.runs.last_mut() else { return Err(io::ErrorKind::InvalidData.into()) };
                    if !unlinked && gap.is_empty() && chain::link(&run.end.last_chain, link) != head.chain {
                        gap.push((DamageKind::ChainBroken, pos..pos, head.offset..head.offset + 1));
                    }
                    if !gap.is_empty() {
                        let last_seq = head.seq.wrapping_sub(1);
                        let start = Mark { pos, next_offset: head.offset, last_seq, ..run.end };
                        scan.runs.push(Run { whole: start, end: start, gap: std::mem::take(&mut gap) });
                        let Some(new) = scan.runs.last_mut() else { return Err(io::ErrorKind::InvalidData.into()) };
                        run = new;
                    }
                    unlinked = false;
                    run.end = Mark {
                        pos: scanner.pos(),
                        next_offset: head.offset + 1,
                        last_seq: head.seq,
                        last_chain: head.chain,
                        count: run.end.count + 1,
                    };
                    if head.left == 0 {
                        run.whole = run.end;
                    }
                    scan.durable = scan.durable.max(head.durable);
                }
                Item::Damage { bytes, offsets } => gap.push((DamageKind::Damaged, bytes, offsets)),
                Item::Footer(footer) => {
                    // It was being sealed, which follows the sync of everything in it.
                    scan.durable = scan.durable.max(footer.next_offset);
                    return Ok(scan);
                }
                Item::End { .. } => return Ok(scan),
            }
        }
    }

    /// Decides where the segment ends, keeps a copy of what lies behind, and seals it there.
    fn settle(&self, identity: Identity, scan: Scan, (proven, damage): (u64, &mut Vec<Damage>)) -> io::Result<Opened> {
        let mut kept: Vec<Run> = Vec::new();
        for run in scan.runs {
            let lost_from = run.gap.first().map(|(_, _, offsets)| offsets.start);
            if lost_from.is_some_and(|offset| offset >= proven) {
                break;
            }
            kept.push(run);
        }
        let (next_offset, last_chain) = (self.first_offset, chain::START);
        let mut end = Mark { pos: SEGMENT_HEADER_LEN, next_offset, last_seq: 0, last_chain, count: 0 };
        if let Some(run) = kept.last() {
            // An append of which a part is missing was not acknowledged: it goes as a whole.
            end = if run.whole.next_offset >= proven { run.whole } else { run.end };
        }
        for (kind, bytes, offsets) in kept.iter().flat_map(|run| run.gap.clone()) {
            let quarantine = self.quarantine(bytes.clone())?.name();
            damage.push(Damage { quarantine, ..Damage::new(kind, self.name, bytes, offsets) });
        }
        let content = end_of_content(self.file, end.pos)?;
        let is_footer = self.is_own_footer(&identity, end, content)?;
        let torn = if is_footer { end.pos..end.pos } else { end.pos..content };
        let copy = self.quarantine(torn.clone())?;
        let lost = end.next_offset..proven.max(end.next_offset);
        if copy == Kept::Refused && !lost.is_empty() {
            damage.push(Damage::new(DamageKind::Damaged, self.name, torn, lost));
            return self.leave(identity, end, (content, proven)).map(Some);
        }
        if !torn.is_empty() || !lost.is_empty() {
            let (kind, offsets) =
                if lost.is_empty() { (DamageKind::TornTail, 0..0) } else { (DamageKind::Missing, lost) };
            damage.push(Damage { quarantine: copy.name(), ..Damage::new(kind, self.name, torn, offsets) });
        }
        if end.next_offset == self.first_offset {
            // Without a record, and its other bytes are in quarantine or nobody was told of them: the name is free for
            // the next segment.
            self.remove()?;
            return Ok(None);
        }
        self.seal(identity, end).map(Some)
    }

    /// There is no space for a copy of bytes that may have been acknowledged records: nothing is cut. The next segment's
    /// name says where this one ends, and the bytes are named as damage until it is trimmed.
    fn leave(
        &self,
        identity: Identity,
        end: Mark,
        (content, proven): (u64, u64),
    ) -> io::Result<(Segment, Option<LastRecord>)> {
        self.file.truncate(content)?;
        self.file.sync_data()?;
        let extent = Extent { end: content, next_offset: proven, sealed_ms: Some(now_ms()), file_len: content };
        let last = (end.next_offset > self.first_offset).then(|| last_record(&identity, end));
        Ok((Segment::new(self.first_offset, Some(identity), extent), last))
    }

    fn seal(&self, identity: Identity, end: Mark) -> io::Result<(Segment, Option<LastRecord>)> {
        let footer = Footer {
            mark: identity.mark,
            first_offset: identity.first_offset,
            next_offset: end.next_offset,
            count: end.count,
            last_seq: end.last_seq,
            last_chain: end.last_chain,
            sealed_ms: now_ms(),
        };
        let file_len = end.pos + FOOTER_LEN;
        // From here on every record is durable, also those that only the operating system held until now. The footer
        // says so to the next start, and may reach the disk on its own: it must not be written before.
        self.file.sync_data()?;
        self.file.write_at(&footer.encode(), end.pos)?;
        self.file.truncate(file_len)?;
        // From here on the segment is sealed. A crash before leaves it open, with or without a footer at its last
        // record and bytes behind it; the next start comes here again.
        self.file.sync_data()?;
        let extent = Extent { end: end.pos, next_offset: end.next_offset, sealed_ms: Some(footer.sealed_ms), file_len };
        let last = last_record(&identity, end);
        Ok((Segment::new(self.first_offset, Some(identity), extent), Some(last)))
    }

    /// Neither header nor first frame checks out, so no frame can be told from a sender's bytes.
    fn unreadable(&self, proven: u64, damage: &mut Vec<Damage>) -> io::Result<Opened> {
        let content = end_of_content(self.file, 0)?;
        if proven <= self.first_offset {
            // Nothing but zeros: the power went before the first group was there, and nothing is torn.
            if content > 0 {
                let quarantine = self.quarantine(0..content)?.name();
                damage.push(Damage { quarantine, ..self.damage(DamageKind::TornTail, 0..content) });
            }
            self.remove()?;
            return Ok(None);
        }
        let quarantine = self.quarantine(0..content)?.name();
        let offsets = self.first_offset..proven;
        damage.push(Damage { offsets, quarantine, ..self.damage(DamageKind::Damaged, 0..content) });
        let file_len = self.file.size()?;
        let extent = Extent { end: file_len, next_offset: proven, sealed_ms: Some(now_ms()), file_len };
        Ok(Some((Segment::new(self.first_offset, None, extent), None)))
    }

    /// True if all that lies behind the last record is the footer of an interrupted sealing.
    fn is_own_footer(&self, identity: &Identity, end: Mark, content: u64) -> io::Result<bool> {
        let mut bytes = [0; FOOTER_LEN as usize];
        let got = self.file.read_at(&mut bytes, end.pos)?;
        let is_own = |footer: Footer| {
            let ends = (footer.mark, footer.first_offset, footer.next_offset);
            ends == (identity.mark, identity.first_offset, end.next_offset)
        };
        Ok(content <= end.pos + FOOTER_LEN && Footer::decode(&bytes[..got]).is_ok_and(is_own))
    }

    fn remove(&self) -> io::Result<()> {
        remove_if_there(self.disk, &self.dir.join(self.name))?;
        self.disk.sync_dir(self.dir)
    }
}

fn last_record(identity: &Identity, end: Mark) -> LastRecord {
    let sealed = Sealed { stream: identity.stream, last_seq: end.last_seq, last_chain: end.last_chain };
    LastRecord { next_offset: end.next_offset, sealed }
}
