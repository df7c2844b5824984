//! `tokentrail import`: backfill from exports, through the same door as everything else. Ends by closing its input,
//! so that what it brought counts as complete up to its last time, and with what its operator says that it holds.

pub mod claim;

use crate::{
    delivery_key,
    intake::{Delivery, Intake},
};
use anyhow::{Context, bail};
use claim::Holds;
use events::record::InputClosed;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::path::Path;

/// Most bytes in one request; below every limit of the intake.
const BATCH_BYTES: usize = 3 << 20;
/// Most Keycloak events in one request.
const BATCH_EVENTS: usize = 500;
/// Most lines in one request.
const BATCH_LINES: usize = 20_000;

/// What a file holds, told by its content.
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

#[derive(Deserialize)]
struct Recorded<'a> {
    body: std::borrow::Cow<'a, str>,
}

/// One batch to send and how many entries it holds.
pub struct Batch {
    /// Route below `/v1/`.
    pub route: &'static str,
    /// NDJSON or lines.
    pub body: Vec<u8>,
    /// Events, lines or states in it.
    pub entries: usize,
    /// Latest time named in it, UTC milliseconds; 0 if none.
    pub last_time: i64,
}

/// Tells the format by the first bytes.
pub fn detect(content: &[u8]) -> Format {
    let text = content.trim_ascii_start();
    let first = text.split(|b| *b == b'\n').next().unwrap_or_default();
    let has = |key: &str| {
        serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(first)
            .is_ok_and(|map| map.contains_key(key))
    };
    if text.starts_with(b"[") && serde_json::from_slice::<Vec<&RawValue>>(text).is_ok() {
        Format::EventArray
    } else if has("received_at") && has("body") {
        Format::WebhookRecording
    } else if has("read_at") && has("entities") {
        Format::CatalogHistory
    } else {
        Format::BackstageLog
    }
}

/// Cuts the content of a file into batches.
pub fn batches(content: &[u8], name: &Path) -> anyhow::Result<Vec<Batch>> {
    let format = detect(content);
    let (route, most) = match format {
        Format::EventArray | Format::WebhookRecording => ("keycloak", BATCH_EVENTS),
        Format::CatalogHistory => ("snapshot/backstage-catalog", BATCH_EVENTS),
        Format::BackstageLog => ("backstage", BATCH_LINES),
    };
    let mut out: Vec<Batch> = Vec::new();
    let mut add = |entry: &[u8], time: i64| {
        let fits = out.last().is_some_and(|b| b.entries < most && b.body.len() + entry.len() < BATCH_BYTES);
        if !fits {
            out.push(Batch { route, body: Vec::new(), entries: 0, last_time: 0 });
        }
        if let Some(batch) = out.last_mut() {
            batch.body.extend_from_slice(entry);
            batch.body.push(b'\n');
            batch.entries += 1;
            batch.last_time = batch.last_time.max(time);
        }
    };
    match format {
        Format::EventArray => {
            let events: Vec<&RawValue> =
                serde_json::from_slice(content).with_context(|| format!("{} is no JSON array", name.display()))?;
            for event in events {
                add(one_line(event.get()).as_bytes(), time_of(event.get()));
            }
        }
        Format::WebhookRecording => {
            for (number, line) in lines(content).enumerate() {
                let recorded: Recorded<'_> = serde_json::from_slice(line)
                    .with_context(|| format!("{} line {}: no recorded delivery", name.display(), number + 1))?;
                add(one_line(&recorded.body).as_bytes(), time_of(&recorded.body));
            }
        }
        Format::CatalogHistory => lines(content).for_each(|line| add(line, 0)),
        Format::BackstageLog => lines(content).for_each(|line| add(line, 0)),
    }
    Ok(out)
}

fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty())
}

/// JSON on one line: raw line breaks can only be white space between tokens.
fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

fn time_of(json: &str) -> i64 {
    #[derive(Deserialize)]
    struct Timed {
        #[serde(default)]
        time: i64,
    }
    serde_json::from_str::<Timed>(json).map_or(0, |timed| timed.time)
}

/// What one file was.
pub struct Sent {
    /// Entries that were sent.
    pub entries: usize,
    /// Latest time named in it, UTC milliseconds; 0 if none.
    pub last_time: i64,
    /// What it can hold.
    pub holds: Holds,
}

/// Reads a file, inflated.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let content = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let content = if content.starts_with(&[0x1f, 0x8b]) {
        gunzip(&content).with_context(|| format!("cannot inflate {}", path.display()))?
    } else {
        content
    };
    if content.trim_ascii().is_empty() {
        bail!("{} is empty: nothing to import", path.display());
    }
    Ok(content)
}

/// Sends one file. `progress` hears each acknowledged batch.
pub async fn file(intake: &Intake, path: &Path, progress: &mut dyn FnMut(usize)) -> anyhow::Result<Sent> {
    let content = read(path)?;
    let (mut entries, mut last_time) = (0, 0);
    let name = std::path::absolute(path).with_context(|| format!("cannot name {}", path.display()))?;
    for (number, batch) in (0u64..).zip(batches(&content, path)?) {
        // Equal when the import is repeated: a second one of the same file brings nothing new.
        let at = [name.as_os_str().as_encoded_bytes(), &number.to_be_bytes()];
        let key = delivery_key::header("import", &at, &batch.body);
        let delivery = Delivery {
            route: batch.route,
            content_type: "application/x-ndjson",
            headers: vec![("x-tokentrail-input", "import".into()), key],
            body: batch.body,
        };
        intake.deliver(&delivery).await?;
        entries += batch.entries;
        last_time = last_time.max(batch.last_time);
        progress(batch.entries);
    }
    Ok(Sent { entries, last_time, holds: claim::holds(detect(&content), &content) })
}

/// Closes an input of the source.
pub async fn close(intake: &Intake, closed: &InputClosed) -> anyhow::Result<()> {
    let body = serde_json::to_vec(closed)?;
    intake.deliver(&Delivery { route: "close", content_type: "application/json", headers: Vec::new(), body }).await
}

/// Inflates a gzip file.
pub fn gunzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(bytes), &mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_content() {
        assert_eq!(detect(b"[\n{\"id\": \"a\"}\n]"), Format::EventArray);
        assert_eq!(detect(b"{\"received_at\": 1.5, \"headers\": {}, \"body\": \"{}\"}\n"), Format::WebhookRecording);
        assert_eq!(detect(b"{\"read_at\": 1.5, \"entities\": []}\n"), Format::CatalogHistory);
        assert_eq!(detect(b"Loading config\n{\"isAuditEvent\":true}\n"), Format::BackstageLog);
    }

    #[test]
    fn arrays_become_one_event_per_line_with_the_last_time() {
        let batches =
            batches(b"[\n{\n\"id\": \"a\",\n\"time\": 5\n},\n{\"id\":\"b\",\"time\":9}]", Path::new("x")).unwrap();
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].last_time, 9);
        let lines: Vec<_> = lines(&batches[0].body).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| serde_json::from_slice::<serde_json::Value>(line).is_ok()));
    }

    #[test]
    fn batches_stay_below_the_limits() {
        let log = b"x\n".repeat(45_000);
        let sizes: Vec<_> = batches(&log, Path::new("x")).unwrap().iter().map(|b| b.entries).collect();
        assert_eq!(sizes, [20_000, 20_000, 5_000]);
    }

    #[test]
    fn a_broken_recording_names_file_and_line() {
        let error = batches(b"{\"received_at\":1,\"body\":\"{}\"}\nnonsense\n", Path::new("rec.ndjson")).err().unwrap();
        assert!(format!("{error}").contains("rec.ndjson line 2"));
    }
}
