//! Standard input on its way to the collector: written to bounded files first, so that an unreachable collector never
//! blocks the writer. Lines are framed with their time of reading in the spool, so a repeated file is recognised as a
//! repetition. When the spool is full, lines are dropped and counted, or the writer waits: as told.

use crate::{
    intake::{Delivery, Intake},
    lines::{frame, is_framed},
    send::now_ns,
};
use anyhow::Context;
use clap::ValueEnum;
use std::{
    collections::VecDeque,
    fs::File,
    io::{BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

/// A spool file is closed at this size; a closed file is deleted when the collector has acknowledged all of it.
const FILE_BYTES: u64 = 8 << 20;
/// Most bytes in one request.
const BATCH_BYTES: usize = 4 << 20;
/// How long a first line waits for company.
const LINGER: Duration = Duration::from_millis(100);

/// What happens to a line for which the spool has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WhenFull {
    /// It is dropped and counted; a line that says how many is sent in their place.
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

    /// Reads lines until the input ends: on to `tee`, and into the spool. Blocking; for a thread of its own.
    pub fn fill(
        &self,
        input: impl Read,
        mut tee: Option<Box<dyn Write + Send>>,
        when_full: WhenFull,
    ) -> anyhow::Result<()> {
        let mut reader = BufReader::new(input);
        let mut line = Vec::new();
        let mut framed = Vec::new();
        let mut number = self.lock().files.back().map_or(0, |(number, _)| number + 1);
        let mut file = self.next_file(number)?;
        let mut last_stamp = 0;
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line);
            if !matches!(read, Ok(1..)) {
                self.end();
                return read.map(|_| ()).context("cannot read standard input");
            }
            if let Some(tee) = &mut tee {
                // A closed pipe behind us is no reason to stop shipping.
                if tee.write_all(&line).and_then(|()| tee.flush()).is_err() {
                    tracing::warn!("what --tee writes to is closed; shipping goes on");
                }
            }
            let text = line.trim_ascii_end();
            if text.is_empty() {
                continue;
            }
            framed.clear();
            // Two lines of one instant keep their order and their own stamps.
            last_stamp = now_ns().max(last_stamp + 1);
            let dropped = self.room_for(text.len() as u64, when_full);
            match dropped {
                Room::None => continue,
                Room::Yes { dropped: 0 } => {}
                Room::Yes { dropped } => {
                    let note =
                        format!("{{\"service\":\"tokentrail-send\",\"type\":\"gap\",\"dropped_lines\":{dropped}}}");
                    frame(&mut framed, last_stamp, note.as_bytes());
                    last_stamp += 1;
                }
            }
            if is_framed(text) {
                framed.extend_from_slice(text);
                framed.push(b'\n');
            } else {
                frame(&mut framed, last_stamp, text);
            }
            file.write_all(&framed).context("cannot write the spool")?;
            let size = self.grew(number, framed.len() as u64);
            if size >= FILE_BYTES {
                number += 1;
                file = self.next_file(number)?;
            }
        }
    }

    fn next_file(&self, number: u64) -> anyhow::Result<File> {
        let path = self.path(number);
        let file = File::options().create_new(true).append(true).open(&path);
        let file = file.with_context(|| format!("cannot create the spool file {}", path.display()))?;
        self.lock().files.push_back((number, 0));
        Ok(file)
    }

    fn room_for(&self, bytes: u64, when_full: WhenFull) -> Room {
        let full = |state: &State| state.files.iter().map(|(_, size)| size).sum::<u64>() + bytes > self.max_bytes;
        let mut state = self.lock();
        if when_full == WhenFull::Block {
            state = self.shared.room.wait_while(state, |state| full(state)).unwrap_or_else(PoisonError::into_inner);
        } else if full(&state) {
            if state.dropped == 0 {
                tracing::error!("the spool is full: lines are dropped and counted until the collector takes some");
            }
            state.dropped += 1;
            return Room::None;
        }
        Room::Yes { dropped: std::mem::take(&mut state.dropped) }
    }

    fn grew(&self, number: u64, bytes: u64) -> u64 {
        let mut state = self.lock();
        let size = state.files.iter_mut().find(|(n, _)| *n == number).map_or(0, |(_, size)| {
            *size += bytes;
            *size
        });
        drop(state);
        self.shared.news.notify_one();
        size
    }

    /// Lines dropped since the last one that found room.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn end(&self) {
        self.lock().ended = true;
        self.shared.news.notify_one();
    }

    /// Ships the files in order until the input has ended and all is acknowledged. Returns bytes acknowledged.
    pub async fn ship(&self, intake: &Intake, instance: &str) -> anyhow::Result<u64> {
        let (mut offset, mut shipped) = (0, 0);
        loop {
            let (first, more, ended) = {
                let state = self.lock();
                (state.files.front().copied(), state.files.len() > 1, state.ended)
            };
            let Some((number, size)) = first else {
                if ended {
                    return Ok(shipped);
                }
                self.shared.news.notified().await;
                continue;
            };
            if offset < size {
                let body = self.batch(number, offset, size)?;
                let length = body.len() as u64;
                let headers = vec![("x-tokentrail-instance", instance.to_owned())];
                intake.deliver(&Delivery { route: "backstage", content_type: "text/plain", headers, body }).await?;
                offset += length;
                shipped += length;
            } else if more || ended {
                // Commit point: all of the file is acknowledged. A crash before the removal sends it again, with the
                // same stamps.
                std::fs::remove_file(self.path(number)).context("cannot remove a shipped spool file")?;
                self.lock().files.pop_front();
                self.shared.room.notify_all();
                offset = 0;
            } else {
                self.shared.news.notified().await;
                tokio::time::sleep(LINGER).await;
            }
        }
    }

    /// Whole lines from `offset` on.
    fn batch(&self, number: u64, offset: u64, size: u64) -> anyhow::Result<Vec<u8>> {
        let mut file = File::open(self.path(number)).context("cannot read the spool")?;
        file.seek(SeekFrom::Start(offset))?;
        let mut reader = BufReader::new(file.take(size - offset));
        let mut body = Vec::new();
        while body.len() < BATCH_BYTES && reader.read_until(b'\n', &mut body)? > 0 {}
        Ok(body)
    }
}

enum Room {
    None,
    Yes { dropped: u64 },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(spool: &Spool) -> Vec<String> {
        let numbers: Vec<_> = spool.lock().files.iter().copied().collect();
        let texts = numbers.iter().map(|(n, _)| std::fs::read_to_string(spool.path(*n)).unwrap());
        texts.flat_map(|t| t.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn lines_are_framed_teed_and_kept_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), 1 << 20).unwrap();
        let tee_path = dir.path().join("tee");
        spool.fill(&b"a\n\nb\nhalf"[..], Some(Box::new(File::create(&tee_path).unwrap())), WhenFull::Drop).unwrap();
        let lines = lines_of(&spool);
        let texts: Vec<_> = lines.iter().map(|l| l.rsplit(' ').next().unwrap()).collect();
        assert_eq!(texts, ["a", "b", "half"]);
        assert!(lines.windows(2).all(|w| w[0][..30] < w[1][..30]), "stamps rise: {lines:?}");
        assert_eq!(std::fs::read(tee_path).unwrap(), b"a\n\nb\nhalf");
        assert!(spool.lock().ended);
    }

    #[test]
    fn a_full_spool_drops_and_counts() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), 120).unwrap();
        spool
            .fill(&b"first line of the input\nsecond line of the input\nthird\nfourth\n"[..], None, WhenFull::Drop)
            .unwrap();
        let kept = lines_of(&spool).len() as u64;
        assert!((1..4).contains(&kept));
        assert_eq!(kept + spool.lock().dropped, 4);
    }

    #[test]
    fn what_an_earlier_run_left_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        Spool::open(dir.path(), 1 << 20).unwrap().fill(&b"old\n"[..], None, WhenFull::Drop).unwrap();
        let spool = Spool::open(dir.path(), 1 << 20).unwrap();
        spool.fill(&b"new\n"[..], None, WhenFull::Drop).unwrap();
        let texts: Vec<_> = lines_of(&spool).iter().map(|l| l.rsplit(' ').next().unwrap().to_owned()).collect();
        assert_eq!(texts, ["old", "new"]);
    }
}
