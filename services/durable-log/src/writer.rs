//! The one writer: takes what waits, writes it at once, syncs once, then answers everybody.

use crate::chain::{self, Link};
use crate::disk::{DiskFile, is_full};
use crate::format::{FOOTER_LEN, Footer, FrameHead, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::log::{AppendError, Appended, Enc};
use crate::prepare::{NoSpare, Preparer, SPARE, Spare};
use crate::queue::Pending;
use crate::scan::Identity;
use crate::segment::{Extent, Segment, name_of};
use crate::shared::{Shared, now_ms};
use crate::slot::{SlotFile, Value};
use crate::status::Activity;
use crate::trim::{Reason, Trimmed, trim};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A group of appends is written at once up to this many bytes; one larger append is a group of its own.
const GROUP_BYTES: u64 = 4 << 20;
/// A buffer that a large append blew up is given back above this size.
const BUFFER_KEPT: usize = 8 << 20;
/// From the beginning of one small group to that of the next: appends that come meanwhile share a sync. A sync costs the
/// processor as much as thirty records, whatever is in it, and disturbs everybody else's use of the disk.
const GROUP_EVERY: Duration = Duration::from_millis(1);
/// A group of so many appends is not small: its senders come back together, and a wait would only hold them up.
const ENOUGH: usize = 8;
/// After a refusal for lack of space, space is looked for again this often.
const PROBE_AFTER: Duration = Duration::from_millis(300);

pub(crate) struct Writer {
    shared: Arc<Shared>,
    preparer: Preparer,
    mark: SlotFile,
    active: Option<Active>,
    next_offset: u64,
    next_seq: u64,
    chain: [u8; 32],
    buffer: Vec<u8>,
    /// Room that the last refused append needed.
    refused: Option<u64>,
}

/// The segment being written.
struct Active {
    segment: Arc<Segment>,
    file: Arc<dyn DiskFile>,
    mark: [u8; 8],
    capacity: u64,
    pos: u64,
    records: u64,
    /// Up to here a failed write may have left bytes behind `pos`.
    dirty: u64,
}

/// Why a step failed.
pub(crate) enum Fault {
    /// No space now.
    Full,
    /// The state of a file is unknown.
    Dead(&'static str, io::Error),
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, preparer: Preparer, mark: SlotFile) -> Self {
        let next_offset = shared.end();
        let (active, buffer, refused) = (None, Vec::new(), None);
        Self { shared, preparer, mark, active, next_offset, next_seq: 0, chain: chain::START, buffer, refused }
    }

    /// Runs until the queue is closed and empty, or a write or sync fails.
    pub(crate) fn run(mut self) {
        loop {
            let patience = self.refused.map(|_| PROBE_AFTER);
            let Some(group) = self.shared.queue.take(GROUP_BYTES, patience) else { break };
            let (began, small) = (Instant::now(), group.len() < ENOUGH);
            let done = if group.is_empty() { self.probe() } else { self.commit(group) };
            if let Err(Fault::Dead(step, error)) = done {
                return self.stop(step, &error);
            }
            if small {
                std::thread::sleep(GROUP_EVERY.saturating_sub(began.elapsed()));
            }
        }
        if let Err(Fault::Dead(step, error)) = self.seal() {
            return self.stop(step, &error);
        }
        if let Err(error) = self.mark.sync() {
            tracing::warn!(%error, "The durable mark cannot be synced; it stays a lower bound.");
        }
        self.shared.set_activity(Activity::Closed);
        self.shared.progress.send_modify(|progress| progress.closed = true);
    }

    /// A failed sync says nothing about what is on disk, and a second one may lie: nothing is written any more.
    fn stop(self, step: &'static str, error: &io::Error) {
        tracing::error!(%error, step, "The journal cannot write and has stopped; the process must stop, too.");
        self.shared.stop(format!("{step}: {error}"));
    }

    /// Writes what the queue gave and answers all of it, whatever happens.
    pub(crate) fn commit(&mut self, mut waiting: VecDeque<Pending>) -> Result<(), Fault> {
        while let Some(first) = waiting.front() {
            let need = first.bytes;
            let outcome = self.make_room(need).and_then(|()| {
                let group = self.fitting(&waiting);
                let written = self.write(&waiting, group);
                written.map(|firsts| (group, firsts))
            });
            match outcome {
                Ok((group, firsts)) => {
                    self.found_room();
                    for (pending, appended) in waiting.drain(..group).zip(firsts) {
                        self.shared.queue.release(pending.bytes);
                        pending.answer(Ok(appended));
                    }
                }
                Err(Fault::Full) => {
                    self.refused = Some(need);
                    self.shared.set_activity(Activity::Full);
                    if let Some(pending) = waiting.pop_front() {
                        self.shared.queue.release(pending.bytes);
                        pending.answer(Err(AppendError::Full));
                    }
                }
                Err(dead) => {
                    for pending in waiting {
                        self.shared.queue.release(pending.bytes);
                        pending.answer(Err(AppendError::Stopped));
                    }
                    return Err(dead);
                }
            }
        }
        Ok(())
    }

    /// Looks for space without an append, so that a status says by itself when appends are taken in again.
    fn probe(&mut self) -> Result<(), Fault> {
        let Some(need) = self.refused else { return Ok(()) };
        match self.make_room(need) {
            Ok(()) => self.found_room(),
            Err(Fault::Full) => {}
            Err(dead) => return Err(dead),
        }
        Ok(())
    }

    fn found_room(&mut self) {
        if self.refused.take().is_some() {
            tracing::info!("The journal has space again.");
        }
        self.shared.set_activity(Activity::Running);
    }

    fn room(&self) -> u64 {
        self.active.as_ref().map_or(0, |active| active.capacity.saturating_sub(active.pos + FOOTER_LEN))
    }

    /// How many of the first appends fit into the segment.
    fn fitting(&self, waiting: &VecDeque<Pending>) -> usize {
        let mut room = self.room();
        let mut count = 0;
        for pending in waiting {
            let Some(left) = room.checked_sub(pending.bytes) else { break };
            room = left;
            count += 1;
        }
        count
    }

    /// One write and one sync for the first `group` appends.
    fn write(&mut self, waiting: &VecDeque<Pending>, group: usize) -> Result<Vec<Appended>, Fault> {
        let Some(active) = &mut self.active else { return Err(Fault::Full) };
        let (mut seq, mut chain, durable) = (self.next_seq, self.chain, self.next_offset);
        let offset_of = |seq: u64| durable + (seq - self.next_seq);
        let stream = self.shared.stream;
        let mut firsts = Vec::with_capacity(group);
        let mut places = Vec::new();
        self.buffer.clear();
        for pending in waiting.iter().take(group) {
            let count = pending.entries.len() as u32;
            firsts.push(Appended { stream, first_seq: seq, first_offset: offset_of(seq), count });
            for (at, prepared) in pending.entries.iter().enumerate() {
                let (header, body) = (&prepared.entry.header, &prepared.entry.body);
                chain = chain::link(&chain, Link { stream: &stream, seq, header, commitment: &prepared.commitment });
                let head = FrameHead {
                    enc: Enc::NONE,
                    mark: active.mark,
                    header_len: header.len() as u32,
                    body_len: body.len() as u32,
                    left: count - 1 - at as u32,
                    offset: offset_of(seq),
                    seq,
                    durable,
                    stream,
                    salt: prepared.salt,
                    commitment: prepared.commitment,
                    chain,
                };
                places.push((head.offset, active.pos + self.buffer.len() as u64));
                head.encode(header, body, &mut self.buffer);
                seq += 1;
            }
        }
        if self.buffer.is_empty() {
            return Ok(firsts);
        }
        active.put(&self.buffer)?;
        let started = Instant::now();
        // Commit point: once this returns, the group is durable and may be acknowledged and read. A crash before it
        // leaves any part of the group, of which nobody was told; the next start keeps whole appends and cuts the rest.
        active.file.sync_data().map_err(|error| Fault::Dead("sync of a segment", error))?;
        self.shared.syncs.note(started.elapsed());

        // Not before: offsets of a group that is refused go to other records, at other places.
        places.iter().for_each(|(offset, pos)| active.segment.passed(*offset, *pos));
        active.pos += self.buffer.len() as u64;
        active.dirty = active.pos;
        active.records += seq - self.next_seq;
        (self.next_offset, self.next_seq, self.chain) = (offset_of(seq), seq, chain);
        let extent = active.segment.extent();
        active.segment.set_extent(Extent { end: active.pos, next_offset: self.next_offset, ..extent });
        // Before anybody is told, so that after a mere kill of the process the mark is never behind an answer. Not
        // synced: after a power cut it is a lower bound.
        let value = Value { offset: self.next_offset, seq: seq - 1, stream, chain };
        if let Err(error) = self.mark.write(value) {
            tracing::warn!(%error, "The durable mark cannot be written; a lost tail could go unnoticed.");
        }
        self.shared.progress.send_modify(|progress| progress.end = self.next_offset);
        if self.buffer.capacity() > BUFFER_KEPT {
            self.buffer = Vec::new();
        }
        Ok(firsts)
    }

    /// Rolls to the next segment if the present one has no room for so many bytes.
    fn make_room(&mut self, need: u64) -> Result<(), Fault> {
        if self.active.is_some() && self.room() >= need {
            return Ok(());
        }
        let whole = need + SEGMENT_HEADER_LEN + FOOTER_LEN;
        self.keep_below_cap(whole.max(self.shared.options.segment_bytes))?;
        // Space first: while there is none, the present segment stays open for appends that still fit.
        let spare = self.spare(whole)?;
        if let Err(fault) = self.seal() {
            self.preparer.put_back(spare);
            return Err(fault);
        }
        self.begin(spare)
    }

    /// The next segment's file. Where the file system has no room for it, committed segments make some: intake is worth more than
    /// what is kept beyond need.
    fn spare(&self, whole: u64) -> Result<Spare, Fault> {
        let mut tried = false;
        loop {
            match self.preparer.take(whole) {
                Ok(spare) => return Ok(spare),
                Err(NoSpare::Failed) => return Err(Fault::Full),
                // What failed some time ago may find room now.
                Err(NoSpare::Full) if !tried => {
                    tried = true;
                    self.preparer.retry_now();
                    continue;
                }
                Err(NoSpare::Full) => {}
            }
            match trim(&self.shared, Reason::Disk) {
                Ok(freed) if freed.segments > 0 => {
                    let Trimmed { segments, bytes } = freed;
                    tracing::warn!(
                        segments,
                        bytes,
                        "The file system is full: of the journal, what is kept beyond need is freed."
                    );
                    self.preparer.retry_now();
                }
                Ok(_) => return Err(Fault::Full),
                Err(error) => {
                    tracing::warn!(%error, "Committed segments cannot be freed.");
                    return Err(Fault::Full);
                }
            }
        }
    }

    fn keep_below_cap(&self, need: u64) -> Result<(), Fault> {
        let over = || self.shared.bytes() + need > self.shared.options.max_bytes;
        if self.active.is_some() && over() {
            if let Err(error) = trim(&self.shared, Reason::Space(need)) {
                tracing::warn!(%error, "Committed segments cannot be freed.");
            }
            if over() {
                return Err(Fault::Full);
            }
        }
        Ok(())
    }

    /// Turns the spare into the segment of the next record.
    fn begin(&mut self, spare: Spare) -> Result<(), Fault> {
        let mut mark = [0; 8];
        getrandom::fill(&mut mark).map_err(|_| Fault::Dead("random mark", io::ErrorKind::Other.into()))?;
        let identity =
            Identity { mark, first_offset: self.next_offset, first_seq: self.next_seq, stream: self.shared.stream };
        let header = SegmentHeader {
            mark,
            first_offset: identity.first_offset,
            first_seq: identity.first_seq,
            stream: identity.stream,
            previous_chain: self.chain,
            created_ms: now_ms(),
        };
        // Durable with the first group: until then the segment holds nothing that anybody was told of.
        if let Err(error) = spare.file.write_at(&header.encode(), 0) {
            if is_full(&error) {
                self.preparer.put_back(spare);
                return Err(Fault::Full);
            }
            return Err(Fault::Dead("header of a segment", error));
        }
        let (dir, disk) = (&self.shared.options.dir, &self.shared.disk);
        disk.rename(&dir.join(SPARE), &dir.join(name_of(self.next_offset)))
            .map_err(|error| Fault::Dead("rename to a segment", error))?;
        // From here on the segment has its name. A crash before leaves the spare, after it a segment without records:
        // the next start uses the one again and removes the other.
        disk.sync_dir(dir).map_err(|error| Fault::Dead("sync of the folder", error))?;
        let extent =
            Extent { end: SEGMENT_HEADER_LEN, next_offset: self.next_offset, sealed_ms: None, file_len: spare.len };
        let segment = Arc::new(Segment::new(self.next_offset, Some(identity), extent));
        self.shared.edit_segments(|segments| segments.push(segment.clone()));
        let (file, capacity, pos) = (spare.file, spare.len, SEGMENT_HEADER_LEN);
        self.active = Some(Active { segment, file, mark, capacity, pos, records: 0, dirty: pos });
        self.preparer.want();
        Ok(())
    }

    /// Ends the present segment with its footer.
    fn seal(&mut self) -> Result<(), Fault> {
        let Some(active) = self.active.take() else { return Ok(()) };
        if active.records == 0 {
            let name = active.segment.name.clone();
            self.shared.edit_segments(|segments| segments.retain(|known| known.name != name));
            return crate::disk::remove_if_there(&*self.shared.disk, &self.shared.options.dir.join(name))
                .and_then(|()| self.shared.disk.sync_dir(&self.shared.options.dir))
                .map_err(|error| Fault::Dead("removal of an empty segment", error));
        }
        let footer = Footer {
            mark: active.mark,
            first_offset: active.segment.first_offset,
            next_offset: self.next_offset,
            count: active.records,
            last_seq: self.next_seq.saturating_sub(1),
            last_chain: self.chain,
            sealed_ms: now_ms(),
        };
        let file_len = active.pos + FOOTER_LEN;
        let write = || {
            active.file.write_at(&footer.encode(), active.pos)?;
            active.file.truncate(file_len)?;
            // From here on the segment is sealed. A crash on the way leaves it open, with or without a footer at its
            // last record; the next start seals it.
            active.file.sync_data()
        };
        write().map_err(|error| Fault::Dead("sealing of a segment", error))?;
        let extent = active.segment.extent();
        active.segment.set_extent(Extent { sealed_ms: Some(footer.sealed_ms), file_len, ..extent });
        if let Err(error) = self.mark.sync() {
            tracing::warn!(%error, "The durable mark cannot be synced; it stays a lower bound.");
        }
        Ok(())
    }
}

impl Active {
    /// Writes behind the last record. What an earlier failed write may have left there is zeroed first: a whole frame
    /// of it could otherwise pass for a record.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if self.dirty > self.pos {
            self.file.allocate(self.pos, self.dirty).map_err(fault)?;
        }
        self.dirty = self.pos + bytes.len() as u64;
        self.file.write_at(bytes, self.pos).map_err(fault)
    }
}

fn fault(error: io::Error) -> Fault {
    if is_full(&error) { Fault::Full } else { Fault::Dead("write to a segment", error) }
}
