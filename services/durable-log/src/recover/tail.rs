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
use crate::quarantine::end_of_content;
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
}

/// Frames without a hole between them.
struct Run {
    /// After the last frame that ends an append; the start of the run if none does.
    whole: Mark,
    end: Mark,
    /// What lies between the run before and this one.
    gap: Option<(DamageKind, Range<u64>, Range<u64>)>,
}

/// What a scan to the end of the file found.
struct Scan {
    runs: Vec<Run>,
    frames: u64,
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
        };
        let mut scan = Scan { runs: vec![Run { whole: start, end: start, gap: None }], frames: 0, durable: 0 };
        // Where the chain cannot be followed from: a damaged header, or a hole.
        let mut unlinked = head.header.is_none();
        let mut gap = None;
        loop {
            match scanner.next()? {
                Item::Frame { pos, head, header, .. } => {
                    let link =
                        Link { stream: &head.stream, seq: head.seq, header: &header, commitment: &head.commitment };
                    let Some(mut run) = scan.runs.last_mut() else { return Err(io::ErrorKind::InvalidData.into()) };
                    if !unlinked && gap.is_none() && chain::link(&run.end.last_chain, link) != head.chain {
                        gap = Some((DamageKind::ChainBroken, pos..pos, head.offset..head.offset + 1));
                    }
                    if gap.is_some() {
                        let last_seq = head.seq.wrapping_sub(1);
                        let start = Mark { pos, next_offset: head.offset, last_seq, ..run.end };
                        scan.runs.push(Run { whole: start, end: start, gap: gap.take() });
                        let Some(new) = scan.runs.last_mut() else { return Err(io::ErrorKind::InvalidData.into()) };
                        run = new;
                    }
                    unlinked = false;
                    run.end = Mark {
                        pos: scanner.pos(),
                        next_offset: head.offset + 1,
                        last_seq: head.seq,
                        last_chain: head.chain,
                    };
                    if head.left == 0 {
                        run.whole = run.end;
                    }
                    scan.frames += 1;
                    scan.durable = scan.durable.max(head.durable);
                }
                Item::Damage { bytes, offsets } => {
                    gap = Some(match gap.take() {
                        Some((kind, before, lost)) => (kind, before.start..bytes.end, lost.start..offsets.end),
                        None => (DamageKind::Damaged, bytes, offsets),
                    });
                }
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
            let lost_from = run.gap.as_ref().map(|(_, _, offsets)| offsets.start);
            if lost_from.is_some_and(|offset| offset >= proven) {
                break;
            }
            kept.push(run);
        }
        let mut end =
            Mark { pos: SEGMENT_HEADER_LEN, next_offset: self.first_offset, last_seq: 0, last_chain: [0; 32] };
        if let Some(run) = kept.last() {
            // An append of which a part is missing was not acknowledged: it goes as a whole.
            end = if run.whole.next_offset >= proven { run.whole } else { run.end };
        }
        for (kind, bytes, offsets) in kept.iter().filter_map(|run| run.gap.clone()) {
            let quarantine = self.quarantine(bytes.clone())?;
            damage.push(Damage { kind, file: self.name.into(), bytes, offsets, quarantine });
        }
        let content = end_of_content(self.file, end.pos)?;
        let is_footer = self.is_own_footer(&identity, end, content)?;
        let torn = if is_footer { end.pos..end.pos } else { end.pos..content };
        let quarantine = self.quarantine(torn.clone())?;
        let (kind, offsets) = if end.next_offset < proven {
            (DamageKind::Missing, end.next_offset..proven)
        } else {
            (DamageKind::TornTail, 0..0)
        };
        if !torn.is_empty() || !offsets.is_empty() {
            damage.push(Damage { kind, file: self.name.into(), bytes: torn, offsets, quarantine });
        }
        if end.next_offset == self.first_offset {
            // Without a record, and its other bytes are in quarantine: the name is free for the next segment.
            self.remove()?;
            return Ok(None);
        }
        self.seal(identity, end, scan.frames).map(Some)
    }

    fn seal(&self, identity: Identity, end: Mark, count: u64) -> io::Result<(Segment, Option<LastRecord>)> {
        let footer = Footer {
            mark: identity.mark,
            first_offset: identity.first_offset,
            next_offset: end.next_offset,
            count,
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
        let sealed = Sealed { stream: identity.stream, last_seq: end.last_seq, last_chain: end.last_chain };
        let last = LastRecord { next_offset: end.next_offset, sealed };
        Ok((Segment::new(self.first_offset, Some(identity), extent), Some(last)))
    }

    /// Neither header nor first frame checks out, so no frame can be told from a sender's bytes.
    fn unreadable(&self, proven: u64, damage: &mut Vec<Damage>) -> io::Result<Opened> {
        let content = end_of_content(self.file, 0)?;
        if proven <= self.first_offset {
            let quarantine = self.quarantine(0..content)?;
            damage.push(Damage { quarantine, ..self.damage(DamageKind::TornTail, 0..content) });
            self.remove()?;
            return Ok(None);
        }
        let quarantine = self.quarantine(0..content)?;
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
        let footer = Footer::decode(&bytes[..got]);
        Ok(content <= end.pos + FOOTER_LEN && footer.is_ok_and(|footer| footer.mark == identity.mark))
    }

    fn remove(&self) -> io::Result<()> {
        remove_if_there(self.disk, &self.dir.join(self.name))?;
        self.disk.sync_dir(self.dir)
    }
}
