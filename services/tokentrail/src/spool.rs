//! Standard input on its way to the collector: written to bounded files first, so that an unreachable collector never
//! blocks the writer. Lines are framed with their time of reading in the spool, so a repeated batch is recognised as a
//! repetition. When the spool is full, lines are dropped and counted, or the writer waits: as told.

mod place;
mod writer;

use crate::{
    delivery_key,
    intake::{Delivery, Intake},
    lines::{PARTS_BYTES, Parts, frame, frame_own, is_framed, text},
    send::now_ns,
};
use anyhow::Context;
use clap::ValueEnum;
use place::{Dropping, Place};
use std::{
    collections::VecDeque,
    fs::File,
    io::{BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;
use writer::{Tee, Teed, Writer};

/// A spool file is closed at this size, or at a part of the spool's; a closed file is deleted when the collector has
/// acknowledged all of it.
const FILE_BYTES: u64 = 8 << 20;
/// Into how many files a small spool is cut.
const FILES: u64 = 4;
/// A line longer than this is cut, and the cut is said.
const LINE_BYTES: usize = 1 << 20;
/// Most bytes in one request.
const BATCH_BYTES: usize = 4 << 20;
/// Between two tries after an error of the spool itself.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a first line waits for company.
const LINGER: Duration = Duration::from_millis(100);

/// What happens to a line for which the spool has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WhenFull {
    /// It is dropped; a record that says how many were, and when, is sent in their place.
    Drop,
    /// The writer waits.
    Block,
}

/// A bounded folder of framed lines.
#[derive(Clone)]
pub struct Spool {
    dir: PathBuf,
    max_bytes: u64,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    room: Condvar,
    news: Notify,
}

#[derive(Default)]
struct State {
    /// Files in order: number and bytes written.
    files: VecDeque<(u64, u64)>,
    ended: bool,
    /// Lines dropped in this run.
    dropped: u64,
}

impl Spool {
    /// Opens the folder; files that an earlier run left are sent first.
    pub fn open(dir: &Path, max_bytes: u64) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create the spool {}", dir.display()))?;
        let mut left = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if let Some(number) =
                entry.file_name().to_str().and_then(|n| n.strip_suffix(".lines")).and_then(|n| n.parse().ok())
            {
                left.push((number, entry.metadata()?.len()));
            }
        }
        left.sort_unstable();
        if let Err(error) = Place::reserve(dir) {
            tracing::warn!(
                error = format!("{error:#}"),
                "the spool's disk takes nothing: nothing is sent until there is room"
            );
        }
        let state = State { files: left.into(), ..State::default() };
        let shared = Shared { state: Mutex::new(state), room: Condvar::new(), news: Notify::new() };
        Ok(Self { dir: dir.to_owned(), max_bytes, shared: Arc::new(shared) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:020}.lines"))
    }

    /// Reads lines until the input ends: on to `tee`, and into the spool. Blocking; for a thread of its own. What becomes
    /// of the spool (a full disk) never ends the reading: who writes would die of a closed pipe.
    pub fn fill(
        &self,
        input: impl Read,
        tee: Option<Box<dyn Write + Send>>,
        when_full: WhenFull,
    ) -> anyhow::Result<()> {
        let filled = self.read_lines(input, tee, when_full);
        self.lock().ended = true;
        self.shared.news.notify_one();
        filled
    }

    fn read_lines(
        &self,
        input: impl Read,
        tee: Option<Box<dyn Write + Send>>,
        when_full: WhenFull,
    ) -> anyhow::Result<()> {
        let mut input = Teed { reader: BufReader::new(input), tee: tee.map(Tee::new) };
        let (mut line, mut framed) = (Vec::new(), Vec::new());
        let mut files = Writer::new(self)?;
        let mut dropping = Dropping::left_in(&self.dir)?;
        let mut last_stamp = 0;
        loop {
            let read = input.line(&mut line);
            let ended = !matches!(read, Ok(true));
            let text = text(&line);
            if !ended && text.is_empty() {
                continue;
            }
            if !ended && files.is_rest(text) {
                self.drop_line(&mut dropping);
                continue;
            }
            if !ended && !self.has_room_for(text.len() as u64, &mut files, when_full) {
                files.dropped(text);
                self.drop_line(&mut dropping);
                continue;
            }
            if let Some(dropped) = dropping.take() {
                // At the end of the input it is the one record for which there is always room.
                dropping = self.tell(dropped, &mut files, &mut last_stamp);
            }
            if ended {
                return read.map(|_| ()).context("cannot read standard input");
            }
            framed.clear();
            if is_framed(text) {
                framed.extend_from_slice(text);
                framed.push(b'\n');
            } else {
                frame(&mut framed, stamp(&mut last_stamp), text);
            }
            while let Err(error) = files.write(&framed, text) {
                tracing::debug!(error = format!("{error:#}"), "the spool's disk takes nothing");
                if when_full == WhenFull::Drop {
                    files.dropped(text);
                    self.drop_line(&mut dropping);
                    break;
                }
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn drop_line(&self, dropping: &mut Option<Dropping>) {
        self.lock().dropped += 1;
        dropping.get_or_insert_with(|| Dropping::begin(&self.dir, now_ns())).line(now_ns());
    }

    /// Writes the record of dropped lines in their place; gives it back if it cannot be written now.
    fn tell(&self, dropping: Dropping, files: &mut Writer<'_>, last_stamp: &mut i64) -> Option<Dropping> {
        let mut framed = Vec::new();
        frame_own(&mut framed, stamp(last_stamp), dropping.record().as_bytes());
        if files.write(&framed, b"").is_err() {
            return Some(dropping);
        }
        // Commit point: the record is in the spool. A crash before the mark is removed tells the gap twice, as one that
        // began at the same time.
        if let Err(error) = dropping.told() {
            tracing::warn!(error = format!("{error:#}"), "lines that were dropped will be told of again");
        }
        None
    }

    /// Waits for room, or says that there is none. One line has room in a spool that holds nothing.
    fn has_room_for(&self, bytes: u64, files: &mut Writer<'_>, when_full: WhenFull) -> bool {
        let full = |state: &State| {
            let taken: u64 = state.files.iter().map(|(_, size)| size).sum();
            taken > 0 && taken + bytes > self.max_bytes
        };
        // The end of a line that has begun is worth more than the bound: without it, what is kept of it is no line.
        if !full(&self.lock()) || files.is_inside(bytes) {
            return true;
        }
        // Only closed files are ever deleted: without this, what is acknowledged of the last one would be full for ever.
        files.close();
        let state = self.lock();
        if when_full == WhenFull::Block {
            drop(self.shared.room.wait_while(state, |state| full(state)).unwrap_or_else(PoisonError::into_inner));
            return true;
        }
        !full(&state)
    }

    /// Lines dropped in this run.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Ships the files in order until the input has ended and all is acknowledged. Returns bytes acknowledged. Nothing
    /// ends it before the input ends, for with the process the pipe of who writes would break; from then on a refusal
    /// does, and what is left in the spool is sent at the next start.
    pub async fn ship(&self, intake: &Intake, instance: &str) -> anyhow::Result<u64> {
        let mut place = Place::kept_in(&self.dir)?.unwrap_or_default();
        let mut shipped = 0;
        loop {
            match self.ship_files(&mut place, &mut shipped, (intake, instance)).await {
                Ok(()) => return Ok(shipped),
                Err(error) if self.lock().ended => return Err(error),
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "the spool cannot be sent for the moment");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn ship_files(
        &self,
        place: &mut Place,
        shipped: &mut u64,
        (intake, instance): (&Intake, &str),
    ) -> anyhow::Result<()> {
        loop {
            let (first, more, ended) = {
                let state = self.lock();
                (state.files.front().copied(), state.files.len() > 1, state.ended)
            };
            let Some((number, size)) = first else {
                if ended {
                    return Ok(());
                }
                self.shared.news.notified().await;
                continue;
            };
            *place = std::mem::take(place).in_file(number, size);
            let complete = more || ended;
            let next = if place.offset < size { self.batch(place, size, complete)? } else { None };
            if let Some(body) = next {
                let end = place.offset + body.len() as u64;
                // Commit point: from here a crash repeats exactly this batch, under the same key.
                place.pending = Some(end);
                place.keep(&self.dir)?;
                let at = [instance.as_bytes(), &number.to_be_bytes(), &place.offset.to_be_bytes()];
                let headers =
                    vec![("x-tokentrail-instance", instance.to_owned()), delivery_key::header("spool", &at, &body)];
                let delivery = Delivery { route: "backstage", content_type: "text/plain", headers, body };
                intake.deliver_at_last(&delivery, || self.lock().ended).await?;
                // Commit point: acknowledged, so on the collector's disk. A crash before the next line repeats the batch.
                *shipped += end - place.offset;
                (place.offset, place.pending) = (end, None);
                place.keep(&self.dir)?;
            } else if complete && place.offset >= size {
                std::fs::remove_file(self.path(number)).context("cannot remove a shipped spool file")?;
                self.lock().files.pop_front();
                self.shared.room.notify_all();
            } else {
                self.shared.news.notified().await;
                tokio::time::sleep(LINGER).await;
            }
        }
    }

    /// Whole lines behind the place: the batch that was tried before, or the next; none while there is no whole one.
    fn batch(&self, place: &Place, size: u64, complete: bool) -> anyhow::Result<Option<Vec<u8>>> {
        let mut file = File::open(self.path(place.file)).context("cannot read the spool")?;
        file.seek(SeekFrom::Start(place.offset))?;
        let mut reader = BufReader::new(file.take(place.pending.unwrap_or(size).saturating_sub(place.offset)));
        let (mut body, mut parts, mut whole) = (Vec::new(), Parts::default(), 0);
        let room = |length: usize, parts: Parts| {
            length < BATCH_BYTES || (!parts.whole() && length < BATCH_BYTES + PARTS_BYTES)
        };
        while place.pending.is_some() || room(body.len(), parts) {
            let start = body.len();
            if reader.read_until(b'\n', &mut body)? == 0 {
                break;
            }
            parts.line(body[start..].trim_ascii_end());
            if parts.whole() {
                whole = body.len();
            }
        }
        let waits_for_more = body.len() < BATCH_BYTES && !complete;
        if place.pending.is_none() && (whole > 0 || waits_for_more) {
            body.truncate(whole);
        }
        Ok((!body.is_empty()).then_some(body))
    }
}

/// The next stamp: two lines of one instant keep their order and their own stamps.
fn stamp(last: &mut i64) -> i64 {
    *last = now_ns().max(*last + 1);
    *last
}

#[cfg(test)]
mod tests;
