//! The entries of a file, one after another: a log of any size is never held as a whole. What a file holds is told by its
//! content.

use super::claim::Holds;
use crate::lines;
use anyhow::{Context, bail};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{
    fs::File,
    io::{BufRead, BufReader, Cursor, Read},
    path::Path,
};

/// Longest line of a log; the rest of a longer one is left out, and that is said. The intake takes no longer ones either.
const LINE_BYTES: usize = 1 << 20;
/// Longest line of a recording, which is one delivery or one state of a catalog.
const RECORD_BYTES: usize = 15 << 20;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `[{...}]` of /events or /admin-events.
    EventArray,
    /// One recorded delivery per line: `{"received_at", "headers", "body"}`.
    WebhookRecording,
    /// One state of the catalog per line: `{"read_at", "entities"}`.
    CatalogHistory,
    /// Lines of a Backstage backend, plain or framed.
    BackstageLog,
}

/// One entry on one line, and its time (UTC milliseconds), 0 if it names none.
pub type Entry = (Vec<u8>, i64);

/// The entries of a file, in order.
pub struct Entries {
    /// What they are.
    pub format: Format,
    /// What they can be complete of.
    pub holds: Holds,
    name: String,
    rest: Rest,
}

enum Rest {
    Array(std::vec::IntoIter<Box<RawValue>>),
    Lines { first: Option<Vec<u8>>, reader: Box<dyn BufRead + Send>, number: usize },
}

impl Entries {
    /// Opens a file; gzip is inflated.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let mut reader = BufReader::new(File::open(path).with_context(|| format!("cannot read {name}"))?);
        let gzip = reader.fill_buf().with_context(|| format!("cannot read {name}"))?.starts_with(&[0x1f, 0x8b]);
        if gzip { Self::of(BufReader::new(MultiGzDecoder::new(reader)), &name) } else { Self::of(reader, &name) }
    }

    /// Tells by the beginning what `reader` gives.
    pub fn of(reader: impl BufRead + Send + 'static, name: &str) -> anyhow::Result<Self> {
        let (mut reader, mut number, name): (Box<dyn BufRead + Send>, _, _) = (Box::new(reader), 0, name.to_owned());
        let first = loop {
            number += 1;
            match line(&mut reader, RECORD_BYTES).with_context(|| format!("cannot read {name}"))? {
                None => bail!("{name} is empty: nothing to import"),
                Some(Line { bytes, .. }) if bytes.trim_ascii().is_empty() => {}
                Some(found) => break found,
            }
        };
        if first.bytes.trim_ascii_start().starts_with(b"[") {
            // An array is one value; what only begins like one is read again as lines.
            let mut content = first.bytes;
            content.push(b'\n');
            reader.read_to_end(&mut content).with_context(|| format!("cannot read {name}"))?;
            if let Ok(entries) = serde_json::from_slice::<Vec<Box<RawValue>>>(&content) {
                let holds = Holds::of_array(entries.first().map(|entry| entry.get()));
                return Ok(Self { format: Format::EventArray, holds, name, rest: Rest::Array(entries.into_iter()) });
            }
            let rest = Rest::Lines { first: None, reader: Box::new(Cursor::new(content)), number: number - 1 };
            return Ok(Self { format: Format::BackstageLog, holds: Holds::of(Format::BackstageLog), name, rest });
        }
        let has = |key: &str| {
            serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&first.bytes)
                .is_ok_and(|map| map.contains_key(key))
        };
        let format = if has("received_at") && has("body") {
            Format::WebhookRecording
        } else if has("read_at") && has("entities") {
            Format::CatalogHistory
        } else {
            Format::BackstageLog
        };
        let rest = Rest::Lines { first: Some(first.bytes), reader, number };
        Ok(Self { format, holds: Holds::of(format), name, rest })
    }

    /// The next entry.
    pub fn next(&mut self) -> anyhow::Result<Option<Entry>> {
        let (first, reader, number) = match &mut self.rest {
            Rest::Array(entries) => {
                return Ok(entries.next().map(|entry| (one_line(entry.get()), time_of(entry.get()))));
            }
            Rest::Lines { first, reader, number } => (first, reader, number),
        };
        let log = self.format == Format::BackstageLog;
        loop {
            let found = match first.take() {
                Some(bytes) => Line { cut: log && bytes.len() > LINE_BYTES, bytes },
                None => {
                    *number += 1;
                    let most = if log { LINE_BYTES } else { RECORD_BYTES };
                    let read = line(reader, most).with_context(|| format!("cannot read {}", self.name))?;
                    let Some(found) = read else { return Ok(None) };
                    found
                }
            };
            let Line { mut bytes, cut } = found;
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            if cut && !log {
                bail!("{} line {number}: longer than {RECORD_BYTES} bytes", self.name);
            }
            if cut {
                bytes.truncate(LINE_BYTES);
                tracing::warn!(file = self.name, line = *number, "a line is longer than a line may be and is cut");
            }
            match self.format {
                Format::BackstageLog => {
                    let time = lines::time(&bytes).unwrap_or(0);
                    return Ok(Some((bytes, time)));
                }
                Format::CatalogHistory => {
                    let time = read_at(&bytes);
                    return Ok(Some((bytes, time)));
                }
                Format::EventArray | Format::WebhookRecording => {}
            }
            let recorded: Recorded<'_> = serde_json::from_slice(&bytes)
                .with_context(|| format!("{} line {number}: no recorded delivery", self.name))?;
            return Ok(Some((one_line(&recorded.body), time_of(&recorded.body))));
        }
    }
}

#[derive(Deserialize)]
struct Recorded<'a> {
    body: std::borrow::Cow<'a, str>,
}

/// A line without its end; `cut` if it is longer than what is kept of it.
struct Line {
    bytes: Vec<u8>,
    cut: bool,
}

/// Reads a line and keeps at most `most` bytes of it; none at the end.
fn line(reader: &mut Box<dyn BufRead + Send>, most: usize) -> std::io::Result<Option<Line>> {
    let mut bytes = Vec::new();
    if reader.by_ref().take(most as u64 + 1).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        return Ok(Some(Line { bytes, cut: false }));
    }
    let cut = bytes.len() > most;
    if cut {
        skip_line(reader)?;
    }
    bytes.truncate(most);
    Ok(Some(Line { bytes, cut }))
}

/// Reads to the end of a line and keeps nothing.
fn skip_line(reader: &mut dyn BufRead) -> std::io::Result<()> {
    loop {
        let left = reader.fill_buf()?;
        let (used, ended) = match left.iter().position(|b| *b == b'\n') {
            Some(end) => (end + 1, true),
            None => (left.len(), left.is_empty()),
        };
        reader.consume(used);
        if ended {
            return Ok(());
        }
    }
}

/// JSON on one line: raw line breaks can only be white space between tokens.
fn one_line(json: &str) -> Vec<u8> {
    json.replace(['\n', '\r'], " ").into_bytes()
}

fn time_of(json: &str) -> i64 {
    #[derive(Deserialize)]
    struct Timed {
        #[serde(default)]
        time: i64,
    }
    serde_json::from_str::<Timed>(json).map_or(0, |timed| timed.time)
}

/// When a state of a catalog was read.
fn read_at(state: &[u8]) -> i64 {
    #[derive(Deserialize)]
    struct State {
        /// Seconds.
        read_at: f64,
    }
    serde_json::from_slice::<State>(state).map_or(0, |state| (state.read_at * 1e3) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Entries {
        Entries::of(Cursor::new(text.as_bytes().to_vec()), "x").unwrap()
    }

    fn all(mut entries: Entries) -> anyhow::Result<Vec<Entry>> {
        let mut out = Vec::new();
        while let Some(entry) = entries.next()? {
            out.push(entry);
        }
        Ok(out)
    }

    #[test]
    fn formats_are_told_by_content() {
        assert_eq!(entries("[\n{\"id\": \"a\"}\n]").format, Format::EventArray);
        let recording = "{\"received_at\": 1.5, \"headers\": {}, \"body\": \"{}\"}\n";
        assert_eq!(entries(recording).format, Format::WebhookRecording);
        assert_eq!(entries("{\"read_at\": 1.5, \"entities\": []}\n").format, Format::CatalogHistory);
        let log = "\n[1] Loading config\n{\"isAuditEvent\":true}\n";
        assert_eq!(entries(log).format, Format::BackstageLog);
        assert_eq!(all(entries(log)).unwrap().len(), 2, "what only looks like an array loses no line");
        assert!(Entries::of(Cursor::new(b" \n\n".to_vec()), "x").is_err());
    }

    #[test]
    fn arrays_become_one_event_per_line_with_its_time() {
        let found = all(entries("[\n{\n\"id\": \"a\",\n\"time\": 5\n},\n{\"id\":\"b\",\"time\":9}]")).unwrap();
        assert_eq!(found.iter().map(|(_, time)| *time).collect::<Vec<_>>(), [5, 9]);
        assert!(found.iter().all(|(line, _)| serde_json::from_slice::<serde_json::Value>(line).is_ok()));
        assert!(found.iter().all(|(line, _)| !line.contains(&b'\n')));
    }

    #[test]
    fn logs_and_states_tell_their_last_time() {
        let log = "plain\n2026-11-23T21:25:07.1Z stdout F x\n{\"isAuditEvent\":true,\"timestamp\":\"2026-11-23T21:25:08Z\"}\n{\"date\":\"2026-11-23T21:25:06Z\"}\n";
        let times: Vec<_> = all(entries(log)).unwrap().into_iter().map(|(_, time)| time).collect();
        assert_eq!(times, [0, 1_795_469_107_100, 1_795_469_108_000, 1_795_469_106_000]);
        let states = all(entries("{\"read_at\": 1795469107.25, \"entities\": []}\n")).unwrap();
        assert_eq!(states[0].1, 1_795_469_107_250);
    }

    #[test]
    fn a_broken_recording_names_file_and_line() {
        let error = all(entries("{\"received_at\":1,\"body\":\"{}\"}\n\nnonsense\n")).err().unwrap();
        assert!(format!("{error}").contains("x line 3"), "{error}");
    }

    #[test]
    fn a_line_without_end_is_cut_and_the_next_one_is_whole() {
        let text = format!("{}\nnext\n{}", "a".repeat(2 * LINE_BYTES), "b".repeat(LINE_BYTES + 1));
        let found = all(entries(&text)).unwrap();
        let lengths: Vec<usize> = found.iter().map(|(line, _)| line.len()).collect();
        assert_eq!(lengths, [LINE_BYTES, 4, LINE_BYTES]);
        let exact = all(entries(&format!("x\n{}\ny", "a".repeat(LINE_BYTES)))).unwrap();
        assert_eq!(exact.len(), 3);
    }
}
