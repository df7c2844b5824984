//! `tokentrail send`: ships a file, a growing and rotating file, or standard input, in order, until acknowledged.
//!
//! Stamps each line when it was read. The stamp is on disk before the first try, so a repeated batch carries the same
//! stamps and is recognised as a repetition. Never moves its position before the collector has acknowledged. What a
//! followed file becomes in a rotation is in `follow`.

mod follow;
mod place;
mod rotated;

use crate::{
    delivery_key,
    intake::{Delivery, Intake},
    lines::{PARTS_BYTES, Parts, frame, frame_own, is_framed, text},
};
use anyhow::{Context, bail};
use place::{Pending, Place};
use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

/// Most lines in one request.
const BATCH_LINES: usize = 10_000;
/// Most bytes in one request, before framing.
const BATCH_BYTES: usize = 4 << 20;
/// A line longer than this is cut, and the cut is said.
const LINE_BYTES: usize = 1 << 20;
const NS_PER_MS: i64 = 1_000_000;
/// How often a followed file is looked at when nothing is new.
const POLL: Duration = Duration::from_millis(250);
/// A file that was rotated is read until nothing was added for this long: its writer learns of the rotation later.
pub const QUIET: Duration = Duration::from_secs(2);

/// What is shipped and how.
pub struct Sender {
    /// The collector.
    pub intake: Intake,
    /// Name of the instance; told to the collector with each batch.
    pub instance: String,
    /// File that keeps the place.
    pub state: PathBuf,
    /// How long a rotated file must be quiet.
    pub quiet: Duration,
}

/// How to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// At the end of the file.
    End,
    /// Never: wait for more, and for the next file of this name.
    Stopped,
}

struct Batch {
    body: Vec<u8>,
    lines: usize,
    end: u64,
    stamp_ns: i64,
}

impl Batch {
    /// Whether another line may follow; the parts of one line stay together as far as that is bounded.
    fn has_room(&self, parts: Parts) -> bool {
        let (lines, bytes) = (self.lines, self.body.len());
        (lines < BATCH_LINES && bytes < BATCH_BYTES) || (!parts.whole() && bytes < BATCH_BYTES + PARTS_BYTES)
    }

    fn add(&mut self, text: &[u8]) -> anyhow::Result<()> {
        if text.len() > LINE_BYTES {
            tracing::warn!(bytes = text.len(), "a line is longer than a line may be and is cut");
        }
        let text = &text[..text.len().min(LINE_BYTES)];
        if is_framed(text) {
            self.body.extend_from_slice(text);
            self.body.push(b'\n');
        } else {
            frame(&mut self.body, self.stamp_ns + i64::try_from(self.lines)?, text);
        }
        self.lines += 1;
        Ok(())
    }

    fn cut(&mut self, (end, bytes, lines): (u64, usize, usize)) {
        (self.end, self.lines) = (end, lines);
        self.body.truncate(bytes);
    }
}

/// What was tried before is no longer in the file.
#[derive(Debug)]
struct Changed;

impl std::fmt::Display for Changed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            "the file changed below what was sent of it: delete the sender's state file to send it from its start",
        )
    }
}

impl std::error::Error for Changed {}

impl Sender {
    /// Ships `path`. `progress` hears (bytes acknowledged, size of the file) after each batch.
    pub async fn file(
        &self,
        path: &Path,
        until: Until,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> anyhow::Result<u64> {
        let mut run = Run { sender: self, path, until, progress, lines: 0, taken: false };
        match until {
            Until::End => run.once().await?,
            Until::Stopped => run.follow().await?,
        }
        Ok(run.lines)
    }

    fn key(&self, place: &Place, body: &[u8]) -> (&'static str, String) {
        let at = [self.instance.as_bytes(), &place.inode.to_be_bytes(), &place.offset.to_be_bytes()];
        delivery_key::header("send", &at, body)
    }

    fn next(&self, file: &mut File, place: &Place, until: Until) -> anyhow::Result<Option<Batch>> {
        let batch = read_batch(file, place, now_ns(), until)?;
        let tried = place.pending.as_ref().and_then(|pending| pending.key.as_ref());
        match (&batch, tried) {
            (Some(batch), Some(tried)) if self.key(place, &batch.body).1 != *tried => bail!(Changed),
            _ => Ok(batch),
        }
    }
}

/// How compressed files begin, what they are called, and what inflates them.
const COMPRESSED: [(&[u8], &str, &str); 2] =
    [(&[0x1f, 0x8b], "gzip", "zcat"), (&[0x28, 0xb5, 0x2f, 0xfd], "zstd", "zstdcat")];

/// One run of a sender over one name of a file.
struct Run<'a> {
    sender: &'a Sender,
    path: &'a Path,
    until: Until,
    progress: &'a mut (dyn FnMut(u64, u64) + Send),
    lines: u64,
    /// The collector has taken something of this run.
    taken: bool,
}

impl Run<'_> {
    /// The file of the name; its lines are sent as they stand, so that places in it can be kept.
    fn open(&self) -> anyhow::Result<File> {
        let name = self.path.display();
        let file = File::open(self.path).with_context(|| format!("cannot open {name}"))?;
        let mut head = [0; 4];
        let read = file.read_at(&mut head, 0).with_context(|| format!("cannot read {name}"))?;
        if let Some((_, what, inflate)) = COMPRESSED.iter().find(|(magic, ..)| head[..read].starts_with(magic)) {
            bail!(
                "{name} is compressed ({what}), and lines are sent as they stand: `{inflate} {name} | tokentrail send --source SOURCE -`, \
                 or `tokentrail import`, which reads gzip"
            );
        }
        Ok(file)
    }

    async fn once(&mut self) -> anyhow::Result<()> {
        let mut file = self.open()?;
        let inode = file.metadata()?.ino();
        let kept = Place::kept_in(&self.sender.state)?.filter(|place| place.inode == inode);
        let mut place = kept.unwrap_or_else(|| Place::begin(inode, now_ms()));
        if !place.fits(&file)? {
            place = match place.last_good(&file, now_ms())? {
                Some(good) => cut_short(good),
                None => {
                    tracing::warn!("the file is not the one that was sent in part: it is read from its start");
                    Place::begin(inode, now_ms())
                }
            };
        }
        self.ship_rest(&mut file, &mut place, Age::Fresh).await
    }

    /// Ships all that is there, a last line without an end, too.
    async fn ship_rest(&mut self, file: &mut File, place: &mut Place, age: Age) -> anyhow::Result<()> {
        self.tell_gap(place).await?;
        while let Some(batch) = self.sender.next(file, place, Until::End)? {
            self.ship((file, place), batch, age).await?;
        }
        Ok(())
    }

    async fn ship(&mut self, (file, place): (&File, &mut Place), batch: Batch, age: Age) -> anyhow::Result<()> {
        let key = self.sender.key(place, &batch.body);
        // Of what was read, and now: until the collector has it, the file may have been cut back and have grown again.
        let told = Place::told(file, batch.end)?;
        place.pending = Some(Pending { end: batch.end, stamp_ns: batch.stamp_ns, key: Some(key.1.clone()) });
        // Commit point: from here a crash repeats exactly this batch with exactly these stamps, under the same key.
        place.keep(&self.sender.state)?;
        let mut headers = vec![("x-tokentrail-instance", self.sender.instance.clone()), key];
        if age == Age::Backlog {
            headers.push(("x-tokentrail-backlog", "true".into()));
        }
        if batch.lines > 0 {
            self.deliver(headers, batch.body).await?;
        }
        // Commit point: acknowledged, so on the collector's disk. A crash before the next line repeats the batch.
        let size = file.metadata()?.len();
        if batch.end >= size {
            place.at = batch.stamp_ns / NS_PER_MS;
        }
        let (before, changed_ns) = told;
        place.advance(batch.end, before);
        (place.pending, place.changed_ns) = (None, changed_ns);
        place.keep(&self.sender.state)?;
        self.lines += batch.lines as u64;
        (self.progress)(place.offset, size);
        Ok(())
    }

    /// Tells the collector of lines that nobody can read any more.
    async fn tell_gap(&mut self, place: &mut Place) -> anyhow::Result<()> {
        let Some(gap) = &place.gap else { return Ok(()) };
        let mut body = Vec::new();
        frame_own(&mut body, gap.until.saturating_mul(NS_PER_MS), gap.record().as_bytes());
        let headers = vec![("x-tokentrail-instance", self.sender.instance.clone()), self.sender.key(place, &body)];
        self.deliver(headers, body).await?;
        // Commit point: the gap is told. A crash before the next line tells it again, under the same key.
        place.gap = None;
        place.keep(&self.sender.state)
    }

    /// A refusal ends a run at its start, when whoever began it is there to mend it. Later one that follows goes on trying.
    async fn deliver(&mut self, headers: Vec<(&'static str, String)>, body: Vec<u8>) -> anyhow::Result<()> {
        let ends = self.until == Until::End || !self.taken;
        let delivery = Delivery { route: "backstage", content_type: "text/plain", headers, body };
        self.sender.intake.deliver_at_last(&delivery, || ends).await?;
        self.taken = true;
        Ok(())
    }
}

/// Says that a file goes on from an earlier place.
fn cut_short(good: Place) -> Place {
    tracing::warn!(
        offset = good.offset,
        "the file has lost its end, as after a power cut: it is sent from the last place that is as it was; up to one batch of lines may come twice, \
         and the collector is told that others may be missing"
    );
    good
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    Fresh,
    Backlog,
}

/// The next lines behind the place, framed; none if no whole line is there.
fn read_batch(file: &mut File, place: &Place, now_ns: i64, until: Until) -> anyhow::Result<Option<Batch>> {
    file.seek(SeekFrom::Start(place.offset))?;
    let stamp_ns = place.pending.as_ref().map_or(now_ns, |pending| pending.stamp_ns);
    let stop_at = place.pending.as_ref().map(|pending| pending.end);
    // What was tried is tried again as it was, also where it ended inside a line.
    let until = if stop_at.is_some() { Until::End } else { until };
    let mut reader = BufReader::new(file.take(stop_at.unwrap_or(u64::MAX).saturating_sub(place.offset)));
    let mut batch = Batch { body: Vec::new(), lines: 0, end: place.offset, stamp_ns };
    let (mut line, mut parts, mut whole, mut caught_up) = (Vec::new(), Parts::default(), None, false);
    while match stop_at {
        Some(end) => batch.end < end,
        None => batch.has_room(parts),
    } {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        caught_up = read == 0 || (line.last() != Some(&b'\n') && until == Until::Stopped);
        if caught_up {
            break;
        }
        batch.end += read as u64;
        let text = text(&line);
        if !text.is_empty() {
            batch.add(text)?;
            parts.line(text);
        }
        if parts.whole() {
            whole = Some((batch.end, batch.body.len(), batch.lines));
        }
    }
    match whole {
        // The rest is the beginning of a line whose other parts belong to it: for the next batch.
        Some(whole) if stop_at.is_none() => batch.cut(whole),
        None if stop_at.is_none() && caught_up && until == Until::Stopped => return Ok(None),
        _ => {}
    }
    if let Some(end) = stop_at
        && batch.end != end
    {
        bail!(Changed);
    }
    Ok((batch.end > place.offset).then_some(batch))
}

fn now_ms() -> i64 {
    now_ns() / NS_PER_MS
}

/// Now, UTC nanoseconds since the epoch.
pub fn now_ns() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
