//! `tokentrail send`: ships a file, a growing and rotating file, or standard input, in order, until acknowledged.
//!
//! Stamps each line when it was read. The stamp is on disk before the first try, so a repeated batch carries the same
//! stamps and is recognised as a repetition. Never moves its position before the collector has acknowledged.

use crate::{
    delivery_key,
    intake::{Delivery, Intake},
    lines::{PARTS_BYTES, Parts, frame, is_framed},
    secrets::write_private,
};
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Most lines in one request.
const BATCH_LINES: usize = 10_000;
/// Most bytes in one request, before framing.
const BATCH_BYTES: usize = 4 << 20;
/// A line longer than this is cut, and the cut is said.
const LINE_BYTES: usize = 1 << 20;
/// How often a followed file is looked at when nothing is new.
const POLL: Duration = Duration::from_millis(250);

/// Where a file is read from next, kept beside the data of the sender.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
struct Place {
    /// Inode of the file, to tell a rotated file from a grown one.
    inode: u64,
    /// All bytes below are acknowledged.
    offset: u64,
    /// A batch that was tried: its end and the stamp of its first line.
    pending: Option<Pending>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Pending {
    end: u64,
    stamp_ns: i64,
}

/// What is shipped and how.
pub struct Sender {
    /// The collector.
    pub intake: Intake,
    /// Name of the instance; told to the collector with each batch.
    pub instance: String,
    /// File that keeps the place.
    pub state: PathBuf,
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

impl Sender {
    /// Ships `path`. `progress` hears (bytes acknowledged, size of the file) after each batch.
    pub async fn file(
        &self,
        path: &Path,
        until: Until,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> anyhow::Result<u64> {
        let mut shipped = 0;
        loop {
            let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
            let inode = file.metadata()?.ino();
            let mut place = self.place(inode)?;
            let backlog_end = file.metadata()?.len();
            if place.offset > backlog_end {
                tracing::warn!(
                    "the file is shorter than what was sent of it: it was truncated and is read from its start"
                );
                place = Place { inode, ..Place::default() };
            }
            loop {
                let size = file.metadata()?.len();
                let batch = read_batch(&mut file, &place, now_ns(), until)?;
                if let Some(batch) = batch {
                    shipped += batch.lines as u64;
                    let backlog = place.offset < backlog_end && until == Until::Stopped;
                    self.ship(&mut place, batch, if backlog { Age::Backlog } else { Age::Fresh }).await?;
                    progress(place.offset, size);
                    continue;
                }
                if until == Until::End {
                    return Ok(shipped);
                }
                let rotated = std::fs::metadata(path).map_or(true, |now| now.ino() != inode);
                if rotated && std::fs::metadata(path).is_ok() {
                    break; // everything of the old file is acknowledged; go on with the new one
                }
                if file.metadata()?.len() < place.offset {
                    tracing::warn!("the file was truncated and is read from its start");
                    place = Place { inode, ..Place::default() };
                }
                tokio::time::sleep(POLL).await;
            }
        }
    }

    async fn ship(&self, place: &mut Place, batch: Batch, age: Age) -> anyhow::Result<()> {
        place.pending = Some(Pending { end: batch.end, stamp_ns: batch.stamp_ns });
        // Commit point: from here a crash repeats exactly this batch with exactly these stamps, under the same key.
        self.keep(place)?;
        let at = [self.instance.as_bytes(), &place.inode.to_be_bytes(), &place.offset.to_be_bytes()];
        let key = delivery_key::header("send", &at, &batch.body);
        let mut headers = vec![("x-tokentrail-instance", self.instance.clone()), key];
        if age == Age::Backlog {
            headers.push(("x-tokentrail-backlog", "true".into()));
        }
        if batch.lines > 0 {
            self.intake
                .deliver(&Delivery { route: "backstage", content_type: "text/plain", headers, body: batch.body })
                .await?;
        }
        // Commit point: acknowledged, so on the collector's disk. A crash before the next line repeats the batch.
        place.offset = batch.end;
        place.pending = None;
        self.keep(place)
    }

    fn place(&self, inode: u64) -> anyhow::Result<Place> {
        let fresh = Place { inode, ..Place::default() };
        let text = match std::fs::read(&self.state) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(fresh),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", self.state.display())),
        };
        let place: Place = serde_json::from_slice(&text).with_context(|| {
            format!("{} is damaged; delete it to send the file from its start", self.state.display())
        })?;
        Ok(if place.inode == inode { place } else { fresh })
    }

    fn keep(&self, place: &Place) -> anyhow::Result<()> {
        write_private(&self.state, &serde_json::to_vec(place)?)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    Fresh,
    Backlog,
}

/// The next lines behind the place, framed; none if no whole line is there.
fn read_batch(file: &mut File, place: &Place, now_ns: i64, until: Until) -> anyhow::Result<Option<Batch>> {
    file.seek(SeekFrom::Start(place.offset))?;
    let mut reader = BufReader::new(file);
    let stamp_ns = place.pending.as_ref().map_or(now_ns, |pending| pending.stamp_ns);
    let stop_at = place.pending.as_ref().map(|pending| pending.end);
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
        let text = line.trim_ascii_end();
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
        bail!("the file changed below what was sent of it: delete the sender's state file to send it from its start");
    }
    Ok((batch.end > place.offset).then_some(batch))
}

/// Now, UTC nanoseconds since the epoch.
pub fn now_ns() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn batch_of(content: &[u8], place: &Place, until: Until) -> Option<Batch> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        read_batch(&mut file, place, 1_000_000_000, until).unwrap()
    }

    #[test]
    fn lines_are_stamped_in_order_and_framed_ones_kept() {
        let batch =
            batch_of(b"a\n\nb\n2026-11-23T21:24:51.255972001Z stdout F c\n", &Place::default(), Until::End).unwrap();
        let text = String::from_utf8(batch.body).unwrap();
        assert_eq!(
            text,
            "1970-01-01T00:00:01.000000000Z stdout F a\n1970-01-01T00:00:01.000000001Z stdout F b\n2026-11-23T21:24:51.255972001Z stdout F c\n"
        );
        assert_eq!(batch.lines, 3);
    }

    #[test]
    fn half_a_line_waits_when_following_and_counts_at_the_end() {
        assert_eq!(batch_of(b"a\nhal", &Place::default(), Until::Stopped).unwrap().end, 2);
        assert_eq!(batch_of(b"a\nhal", &Place::default(), Until::End).unwrap().end, 5);
        assert!(batch_of(b"hal", &Place::default(), Until::Stopped).is_none());
    }

    #[test]
    fn a_batch_never_ends_inside_a_line_that_its_runtime_has_cut() {
        let cri = |tag: &str, text: &str| format!("2026-11-23T21:24:51.255972001Z stdout {tag} {text}\n");
        let (begin, end) = (cri("P", "{\"a\":"), cri("F", "1}"));
        let text = format!("{begin}{end}{begin}");
        let whole = (begin.len() + end.len()) as u64;
        assert_eq!(batch_of(text.as_bytes(), &Place::default(), Until::Stopped).unwrap().end, whole);
        let behind = Place { offset: whole, ..Place::default() };
        assert!(batch_of(text.as_bytes(), &behind, Until::Stopped).is_none(), "the rest of the line will come");
        let last = batch_of(text.as_bytes(), &behind, Until::End).unwrap();
        assert_eq!((last.end, last.lines), (text.len() as u64, 1), "nothing more will come");

        let full = "x\n".repeat(BATCH_LINES - 1) + &text;
        let batch = batch_of(full.as_bytes(), &Place::default(), Until::End).unwrap();
        assert_eq!(batch.lines, BATCH_LINES + 1, "one more than fits, so that the line is whole");
        let endless = begin.repeat((BATCH_BYTES + PARTS_BYTES) / begin.len() + 9);
        let batch = batch_of(endless.as_bytes(), &Place::default(), Until::Stopped).unwrap();
        assert!(batch.body.len() < BATCH_BYTES + PARTS_BYTES + begin.len(), "a line without end holds up nobody");
    }

    #[test]
    fn a_tried_batch_is_repeated_byte_for_byte() {
        let place = Place { inode: 0, offset: 0, pending: Some(Pending { end: 2, stamp_ns: 5_000_000_000 }) };
        let batch = batch_of(b"a\nb\n", &place, Until::Stopped).unwrap();
        assert_eq!(batch.body, b"1970-01-01T00:00:05.000000000Z stdout F a\n");
        assert_eq!(batch.end, 2);
    }

    #[test]
    fn a_file_that_changed_below_is_an_error_and_no_silent_jump() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc\nd\n").unwrap();
        let place = Place { inode: 0, offset: 0, pending: Some(Pending { end: 2, stamp_ns: 5 }) };
        assert!(read_batch(&mut file, &place, 1, Until::Stopped).is_err());
    }
}
