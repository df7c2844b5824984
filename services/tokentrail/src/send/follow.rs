//! A file that grows and is rotated: what is read next, so that no line is lost where it can still be read, and a gap is
//! told where it cannot.
//!
//! A file that is renamed is read on by its open handle until it is quiet, then to its end, a last line without an end,
//! too; files that came and went meanwhile follow in their order. After a restart the file of the place is looked for
//! among the siblings, by inode and content; so is a copy of a file that was cut back (`copytruncate`). One whose end is gone and that
//! nothing holds a copy of, as after a power cut, is read from the last place that is still as it was.

use super::{
    Age, Changed, POLL, Run, Until, cut_short, now_ms,
    place::{Gap, Place, changed_ns},
    rotated::{Sibling, find, siblings},
};
use std::{
    collections::VecDeque,
    fs::File,
    os::unix::fs::MetadataExt,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

const NS_PER_MS: i128 = 1_000_000;
/// A line that was written since the sender last read to the end of the file is as young as that: younger than this, milliseconds, its
/// time is the time of reading; of an older one nobody knows.
const FRESH: i64 = 1_000;

/// A file and where in it.
struct Open {
    file: File,
    place: Place,
}

/// Why a file is followed no longer.
enum Next {
    /// Its name is another file's.
    Renamed,
    /// It was cut back, or written anew.
    Cut,
}

impl Run<'_> {
    /// Ships what comes, without end.
    pub(super) async fn follow(&mut self) -> anyhow::Result<()> {
        let current = self.open()?;
        let mut files = match Place::kept_in(&self.sender.state)? {
            None => {
                VecDeque::from([Open { place: Place::begin(current.metadata()?.ino(), born(&current)), file: current }])
            }
            Some(place) => self.where_it_went(place, current)?,
        };
        while let Some(mut open) = files.pop_front() {
            // From here a crash goes on with this file: the one before is acknowledged to its end.
            open.place.keep(&self.sender.state)?;
            if !files.is_empty() {
                self.ship_rest(&mut open.file, &mut open.place, Age::Backlog).await?;
                continue;
            }
            files = match self.grow(&mut open).await? {
                Next::Renamed => {
                    self.until_quiet(&mut open).await?;
                    self.younger(&open)?
                }
                Next::Cut => {
                    tracing::warn!("the file was cut back or written anew");
                    let current = self.open()?;
                    let mut place = open.place;
                    if place.offset == 0 || (place.pending.is_some() && place.fits(&current)?) {
                        // Nothing before the place tells the file, or all of that still stands: what was tried is not there any more.
                        place.pending = None;
                        place.gap = place.gap.or(Some(Gap { since: place.at, until: now_ms() }));
                    }
                    self.where_it_went(place, current)?
                }
            };
        }
        Ok(())
    }

    /// Ships what is added, while the file keeps its name and its content.
    async fn grow(&mut self, open: &mut Open) -> anyhow::Result<Next> {
        self.tell_gap(&mut open.place).await?;
        let backlog_end = open.file.metadata()?.len();
        let inode = open.file.metadata()?.ino();
        // When all was read that was there.
        let mut read_at = now_ms();
        loop {
            let Open { file, place } = open;
            if !place.fits(file)? {
                return Ok(Next::Cut);
            }
            let (looked, there) = (now_ms(), file.metadata()?.len());
            match self.sender.next(file, place, Until::Stopped) {
                Ok(Some(batch)) => {
                    let known = place.offset >= backlog_end && looked - read_at <= FRESH;
                    self.ship((file, place), batch, if known { Age::Fresh } else { Age::Backlog }).await?;
                    if place.offset >= there {
                        read_at = looked;
                    }
                    continue;
                }
                Ok(None) => (place.at, read_at) = (looked, looked),
                Err(error) if error.is::<Changed>() => return Ok(Next::Cut),
                Err(error) => return Err(error),
            }
            if std::fs::metadata(self.path).is_ok_and(|now| now.ino() != inode) {
                return Ok(Next::Renamed);
            }
            tokio::time::sleep(POLL.min(self.sender.quiet)).await;
        }
    }

    /// Ships what its writer still adds to a file that was renamed, and then a last line without an end.
    async fn until_quiet(&mut self, Open { file, place }: &mut Open) -> anyhow::Result<()> {
        let mut last = Instant::now();
        while last.elapsed() < self.sender.quiet {
            let looked = now_ms();
            if let Some(batch) = self.sender.next(file, place, Until::Stopped)? {
                let age = if looked - place.at <= FRESH { Age::Fresh } else { Age::Backlog };
                self.ship((file, place), batch, age).await?;
                last = Instant::now();
            } else {
                place.at = looked;
                tokio::time::sleep(POLL.min(self.sender.quiet)).await;
            }
        }
        let age = if now_ms() - place.at <= FRESH { Age::Fresh } else { Age::Backlog };
        self.ship_rest(file, place, age).await
    }

    /// The files that were written after one that was read to its end.
    fn younger(&self, read: &Open) -> anyhow::Result<VecDeque<Open>> {
        let metadata = read.file.metadata()?;
        let mut after = siblings(self.path)?;
        match after.iter().position(|one| one.inode == metadata.ino()) {
            Some(index) => drop(after.drain(..=index)),
            None => after.retain(|one| one.changed_ns > changed_ns(&metadata)),
        }
        self.in_turn(&after, self.open()?, read.place.at)
    }

    /// The file of a place, under whatever name, and those after it; else a gap, and what is younger.
    fn where_it_went(&self, place: Place, current: File) -> anyhow::Result<VecDeque<Open>> {
        if current.metadata()?.ino() == place.inode && place.fits(&current)? {
            return Ok([Open { file: current, place }].into());
        }
        let siblings = siblings(self.path)?;
        if let Some((index, sibling, file)) = find(&siblings, &place) {
            tracing::info!(file = %sibling.path.display(), "the rest of a rotated file is sent first");
            let mut files = self.in_turn(&siblings[index + 1..], current, place.at)?;
            files.push_front(Open { file, place });
            return Ok(files);
        }
        if place.is_told_by_content() && place.fits(&current)? {
            return Ok([Open { file: current, place }].into());
        }
        if current.metadata()?.ino() == place.inode
            && let Some(good) = place.last_good(&current, now_ms())?
        {
            return Ok([Open { file: current, place: cut_short(good) }].into());
        }
        tracing::error!(
            "the file that was sent in part is gone or was cut back: lines of it may be missing, which the collector is told"
        );
        let younger = |one: &&Sibling| place.changed_ns > 0 && one.changed_ns > place.changed_ns;
        let after: Vec<&Sibling> = siblings.iter().filter(younger).collect();
        let mut files = self.in_turn(after, current, place.at)?;
        if let Some(first) = files.front_mut() {
            first.place.gap = Some(Gap { since: place.at, until: now_ms() });
        }
        Ok(files)
    }

    /// Rotated files from their start, then the one that grows. One that cannot be read leaves a gap before the next.
    fn in_turn<'a>(
        &self,
        rotated: impl IntoIterator<Item = &'a Sibling>,
        current: File,
        since: i64,
    ) -> anyhow::Result<VecDeque<Open>> {
        let (mut files, mut gap) = (VecDeque::new(), None::<Gap>);
        let mut add = |file: File, gap: Option<Gap>| {
            let place = Place { gap, ..Place::begin(file.metadata()?.ino(), since) };
            files.push_back(Open { file, place });
            anyhow::Ok(())
        };
        for one in rotated {
            let readable = if one.compressed { None } else { File::open(&one.path).ok() };
            let Some(file) = readable else {
                tracing::error!(file = %one.path.display(), "a rotated file cannot be read: the collector is told that its lines are missing");
                let until = i64::try_from(one.changed_ns / NS_PER_MS)?.max(since);
                gap = Some(Gap { since, until });
                continue;
            };
            add(file, gap.take())?;
        }
        add(current, gap)?;
        Ok(files)
    }
}

/// When a file was made, UTC milliseconds; now, where that is not known.
fn born(file: &File) -> i64 {
    let made = file.metadata().and_then(|metadata| metadata.created());
    let since = made.ok().and_then(|made: SystemTime| made.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or_else(now_ms)
}
