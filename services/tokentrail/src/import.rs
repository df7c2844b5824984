//! `tokentrail import`: backfill from exports, through the same door as everything else. Ends by closing its input,
//! so that what it brought counts as complete up to its last time, and with what its operator says that it holds.

pub mod claim;
mod entries;

pub use entries::{Entries, Format};

use crate::{
    ImportArgs,
    app::now_ms,
    config::{Config, Kind},
    delivery_key,
    intake::{Delivery, Intake},
    lines::{PARTS_BYTES, Parts},
};
use anyhow::{Context, bail};
use claim::Holds;
use events::{receipt::Input, record::InputClosed};
use flate2::{Compression, write::GzEncoder};
use indicatif::ProgressBar;
use std::{io::Write, path::Path};

/// Most bytes in one request of Keycloak events, of catalog states and of lines; below the limits of the intake.
const BATCH_BYTES: (usize, usize) = (900 << 10, 3 << 20);
/// Most bytes of one event, inflated and as it is sent: those of the intake.
const LARGEST_EVENT: (usize, usize) = (4 << 20, 1 << 20);
/// Most Keycloak events in one request.
const BATCH_EVENTS: usize = 500;
/// Most lines in one request.
const BATCH_LINES: usize = 20_000;

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

/// A body as it goes over the wire, with its coding. One event can be too large for a request of plain JSON; none if it is too large
/// for any.
fn packed(route: &str, body: Vec<u8>) -> anyhow::Result<Option<(Vec<u8>, Option<Coding>)>> {
    if route != "keycloak" || body.len() <= BATCH_BYTES.0 {
        return Ok(Some((body, None)));
    }
    if body.len() > LARGEST_EVENT.0 {
        return Ok(None);
    }
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&body)?;
    let coding = ("content-encoding", "gzip".to_owned());
    Ok(Some((packed.finish()?, Some(coding))).filter(|(packed, _)| packed.len() <= LARGEST_EVENT.1))
}

type Coding = (&'static str, String);

/// Cuts entries into batches.
pub struct Batches {
    entries: Entries,
    /// What did not fit into the last one.
    left: Option<entries::Entry>,
}

impl Batches {
    /// In order.
    pub fn of(entries: Entries) -> Self {
        Self { entries, left: None }
    }

    /// The next one; none at the end.
    pub fn next(&mut self) -> anyhow::Result<Option<Batch>> {
        let (route, most, bytes) = match self.entries.format {
            Format::EventArray | Format::WebhookRecording => ("keycloak", BATCH_EVENTS, BATCH_BYTES.0),
            Format::CatalogHistory => ("snapshot/backstage-catalog", BATCH_EVENTS, BATCH_BYTES.1),
            Format::BackstageLog => ("backstage", BATCH_LINES, BATCH_BYTES.1),
        };
        let mut batch = Batch { route, body: Vec::new(), entries: 0, last_time: 0 };
        let mut parts = Parts::default();
        // Not inside a line that its runtime cut: the collector joins the parts of one delivery only.
        let inside = |batch: &Batch, parts: &Parts| !parts.whole() && batch.body.len() < bytes + PARTS_BYTES;
        while batch.entries < most || inside(&batch, &parts) {
            let next = match self.left.take() {
                Some(left) => Some(left),
                None => self.entries.next()?,
            };
            let Some((entry, time)) = next else { break };
            if batch.entries > 0 && batch.body.len() + entry.len() >= bytes && !inside(&batch, &parts) {
                self.left = Some((entry, time));
                break;
            }
            if matches!(self.entries.format, Format::BackstageLog) {
                parts.line(&entry);
            }
            batch.body.extend_from_slice(&entry);
            batch.body.push(b'\n');
            batch.entries += 1;
            batch.last_time = batch.last_time.max(time);
        }
        Ok(Some(batch).filter(|batch| batch.entries > 0))
    }
}

impl Format {
    /// The product that writes it.
    fn kind(self) -> Kind {
        match self {
            Self::EventArray | Self::WebhookRecording => Kind::Keycloak,
            Self::CatalogHistory | Self::BackstageLog => Kind::Backstage,
        }
    }

    /// In words.
    fn describe(self) -> &'static str {
        match self {
            Self::EventArray => "an array of Keycloak events",
            Self::WebhookRecording => "recorded webhook deliveries of a Keycloak",
            Self::CatalogHistory => "recorded states of a Backstage catalog",
            Self::BackstageLog => "lines, as a Backstage logs them (JSON that is broken or cut looks so too)",
        }
    }
}

/// Refuses a file that no source of this product can have written; the collector could only say that the token is wrong.
pub fn check(path: &Path, kind: Kind) -> anyhow::Result<()> {
    let format = Entries::open(path)?.format;
    if format.kind() != kind {
        let (name, found) = (path.display(), format.describe());
        match kind {
            Kind::Keycloak => {
                bail!("{name} holds {found}; a Keycloak's exports are arrays of /events and /admin-events")
            }
            Kind::Backstage => bail!("{name} holds {found}, and the source is a Backstage"),
        }
    }
    Ok(())
}

/// What one file was.
pub struct Sent {
    /// Entries that were sent.
    pub entries: usize,
    /// Latest time named in it, UTC milliseconds; 0 if none.
    pub last_time: i64,
    /// What it can hold.
    pub holds: Holds,
    /// Entries that no request can bring, because each is larger than the collector takes.
    pub left_out: usize,
}

/// Sends one file. `progress` hears each acknowledged batch.
pub async fn file(intake: &Intake, path: &Path, progress: &mut dyn FnMut(usize)) -> anyhow::Result<Sent> {
    let entries = Entries::open(path)?;
    let mut sent = Sent { entries: 0, last_time: 0, holds: entries.holds.clone(), left_out: 0 };
    let name = std::path::absolute(path).with_context(|| format!("cannot name {}", path.display()))?;
    let (mut batches, mut number) = (Batches::of(entries), 0u64);
    while let Some(batch) = batches.next()? {
        // Equal when the import is repeated: a second one of the same file brings nothing new.
        let at = [name.as_os_str().as_encoded_bytes(), &number.to_be_bytes()];
        let key = delivery_key::header("import", &at, &batch.body);
        number += 1;
        let Some((body, coding)) = packed(batch.route, batch.body)? else {
            let event = sent.entries + sent.left_out + 1;
            tracing::error!(file = %path.display(), event, "an event is larger than the collector takes and is left out");
            sent.left_out += batch.entries;
            continue;
        };
        let mut headers = vec![("x-tokentrail-input", "import".into()), key];
        headers.extend(coding);
        let delivery = Delivery { route: batch.route, content_type: "application/x-ndjson", headers, body };
        intake.deliver(&delivery).await?;
        sent.entries += batch.entries;
        sent.last_time = sent.last_time.max(batch.last_time);
        progress(batch.entries);
    }
    Ok(sent)
}

/// Sends all files, then says up to where they go and what they are said to hold.
pub async fn run(config: &Config, args: &ImportArgs, to: (&Intake, &ProgressBar)) -> anyhow::Result<bool> {
    let (intake, bar) = to;
    let times = args.from.zip(args.to);
    // Whatever is wrong with the claim is said before anything is sent.
    let claim = |holds| times.map(|times| claim::claim(config, (&args.source, &args.scope), times, holds)).transpose();
    claim(Default::default())?;
    if let Some(source) = config.sources.get(&args.source) {
        args.files.iter().try_for_each(|file| check(file, source.kind))?;
    }
    let (mut total, mut last, mut holds, mut left_out) = (0, 0, Vec::new(), 0);
    for file in &args.files {
        let sent = self::file(intake, file, &mut |n| bar.inc(n as u64)).await?;
        total += sent.entries;
        left_out += sent.left_out;
        last = last.max(sent.last_time);
        holds.push(sent.holds);
    }
    if left_out > 0 {
        bar.finish_and_clear();
        bail!(
            "{total} entries acknowledged, {left_out} left out: the files hold more than was brought, so nothing is called complete"
        );
    }
    let claim = if times.is_some() { claim(claim::together(&holds)?)? } else { None };
    // An event of a clock that is ahead makes nothing complete that has not happened yet.
    let last = claim.as_ref().map_or(0, |claim| claim.to).max(last.min(now_ms()));
    let said = claim.as_ref().map(claim::describe);
    if last > 0 {
        close(intake, &InputClosed { input: Input::Import, watermark: last, claim }).await?;
    }
    bar.finish_and_clear();
    eprintln!("{total} entries of {} files acknowledged", args.files.len());
    if holds.iter().any(|holds| *holds != Holds::NoEvents) {
        eprintln!("{}", said.as_deref().unwrap_or(claim::NOTHING_SAID));
    }
    Ok(true)
}

/// Closes an input of the source.
pub async fn close(intake: &Intake, closed: &InputClosed) -> anyhow::Result<()> {
    let body = serde_json::to_vec(closed)?;
    intake.deliver(&Delivery { route: "close", content_type: "application/json", headers: Vec::new(), body }).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use collector::config::Limits;
    use sha2::{Digest, Sha256};
    use std::io::{Cursor, Read};

    fn batches(text: Vec<u8>) -> Vec<Batch> {
        let mut batches = Batches::of(Entries::of(Cursor::new(text), "x").unwrap());
        std::iter::from_fn(|| batches.next().unwrap()).collect()
    }

    #[test]
    fn batches_stay_below_the_limits() {
        let sizes: Vec<_> = batches(b"x\n".repeat(45_000)).iter().map(|batch| batch.entries).collect();
        assert_eq!(sizes, [20_000, 20_000, 5_000]);
        // A line that its runtime cut stays in one batch.
        let part = |kind: char| format!("2026-11-23T21:25:07.1Z stdout {kind} {{\"isAuditEvent\":true\n");
        let cut = ["x\n".repeat(19_999), part('P'), part('P'), part('F'), "x\n".repeat(9)].concat();
        let sizes: Vec<_> = batches(cut.into_bytes()).iter().map(|batch| batch.entries).collect();
        assert_eq!(sizes, [20_002, 9]);
        // Large admin events: the intake takes less in one request from a Keycloak than from a shipper.
        let event = |n: usize| format!(r#"{{"id":"{n}","time":{n},"representation":"{}"}}"#, "r".repeat(4_000));
        let array = format!("[{}]", (1..=900).map(event).collect::<Vec<_>>().join(","));
        let found = batches(array.into_bytes());
        let limit = Limits::default().keycloak_bytes;
        assert!(found.len() > 3 && found.iter().all(|batch| batch.body.len() < limit));
        assert_eq!(found.iter().map(|batch| batch.entries).sum::<usize>(), 900);
        assert_eq!(found.iter().map(|batch| batch.last_time).max(), Some(900));
    }

    #[test]
    fn one_event_that_is_too_large_for_plain_json_is_packed_and_one_too_large_for_any_request_is_none() {
        let limits = Limits::default();
        assert_eq!(LARGEST_EVENT, (limits.keycloak_inflated_bytes, limits.keycloak_bytes));
        let sent = |bytes: usize| packed("keycloak", vec![b'x'; bytes]).unwrap();
        assert_eq!(sent(BATCH_BYTES.0), Some((vec![b'x'; BATCH_BYTES.0], None)));
        let (body, coding) = sent(3 << 20).unwrap();
        assert_eq!(coding, Some(("content-encoding", "gzip".to_owned())));
        let mut inflated = Vec::new();
        flate2::read::GzDecoder::new(&*body).read_to_end(&mut inflated).unwrap();
        assert!(inflated == vec![b'x'; 3 << 20] && body.len() < limits.keycloak_bytes);
        assert_eq!(sent((4 << 20) + 1), None);
        let noise: Vec<u8> = (0..1_u32 << 16).flat_map(|n| Sha256::digest(n.to_le_bytes())).collect();
        assert_eq!(packed("keycloak", noise).unwrap(), None, "and one that does not shrink");
        assert!(packed("backstage", vec![b'x'; 3 << 20]).unwrap().unwrap().1.is_none());
    }

    #[test]
    fn a_file_of_another_product_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = |text: &str| {
            let path = dir.path().join("export.json");
            std::fs::write(&path, text).unwrap();
            path
        };
        let events = file("[{\"id\": \"a\"}]");
        assert!(check(&events, Kind::Keycloak).is_ok());
        let error = check(&events, Kind::Backstage).unwrap_err().to_string();
        assert!(error.contains("export.json holds an array of Keycloak events"), "{error}");
        let error = check(&file("[{\"id\": \"a\"}"), Kind::Keycloak).unwrap_err().to_string();
        assert!(error.contains("broken or cut"), "{error}");
        assert!(check(&file("plain\n"), Kind::Backstage).is_ok());
    }
}
