//! The recorded story of a Keycloak and a Backstage (schemas/samples/pair), with its times moved so that it ends now.

use super::{
    shift::shift,
    state::State,
    withheld::{Withheld, withhold},
};
use crate::import::{Batches, Entries};
use anyhow::{Context, bail};
use serde::Deserialize;
use std::path::Path;

/// What was recorded, ready to be sent.
pub struct Story {
    /// Bodies of the webhook deliveries, to be signed again.
    pub webhooks: Vec<String>,
    /// What /events and /admin-events returned at the end, one event a line.
    pub exported: Vec<u8>,
    /// Framed lines of the Backstage backend.
    pub lines: Vec<u8>,
    /// States of the catalog, one a line.
    pub catalog: Vec<u8>,
    /// What was recorded of Keycloak's state at the end.
    pub state: State,
    /// When that was read, UTC milliseconds.
    pub state_at: i64,
    /// What is not in `webhooks`, on purpose.
    pub withheld: Withheld,
    /// Time of the story's last record, UTC milliseconds: now.
    pub ends: i64,
}

#[derive(Deserialize)]
struct Delivery {
    received_at: f64,
    body: String,
}

impl Story {
    /// Reads the folder; `now` is UTC milliseconds.
    pub fn read(dir: &Path, now: i64) -> anyhow::Result<Self> {
        let deliveries: Vec<Delivery> = text(dir, "keycloak-webhook.ndjson")?
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()
            .with_context(|| format!("{} holds no recorded deliveries", dir.display()))?;
        let lines = text(dir, "backstage-stdout.cri.log")?;
        let last_line =
            lines.lines().last().and_then(|l| l.split(' ').next()).and_then(|t| t.parse::<jiff::Timestamp>().ok());
        let Some(last_line) = last_line else { bail!("{} holds no framed lines", dir.display()) };
        #[allow(clippy::cast_possible_truncation)] // seconds since the epoch: far below 2^53
        let last_delivery = deliveries.iter().map(|d| (d.received_at * 1000.0) as i64).max().unwrap_or_default();
        let recorded: State = serde_json::from_str(&text(dir, "keycloak-state.json")?)
            .with_context(|| format!("{} holds no recorded state of Keycloak", dir.display()))?;
        let delta = now - last_delivery.max(last_line.as_millisecond()).max(recorded.at());
        let mut exported = Vec::new();
        for name in ["keycloak-events.json", "keycloak-admin-events.json"] {
            let moved = shift(&text(dir, name)?, delta);
            let mut batches = Batches::of(Entries::of(std::io::Cursor::new(moved.into_bytes()), name)?);
            while let Some(batch) = batches.next()? {
                exported.extend_from_slice(&batch.body);
            }
        }
        let catalog = text(dir, "backstage-catalog-history.ndjson")?
            .lines()
            .map(|line| state(line, delta))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut webhooks = deliveries.iter().map(|d| shift(&d.body, delta)).collect();
        let withheld = withhold(&mut webhooks)?;
        Ok(Self {
            webhooks,
            state_at: recorded.at() + delta,
            state: recorded,
            withheld,
            exported,
            lines: shift(&lines, delta).into_bytes(),
            catalog: catalog.concat().into_bytes(),
            ends: now,
        })
    }
}

/// One state of the catalog with its `read_at` (seconds) moved.
fn state(line: &str, delta_ms: i64) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    struct ReadAt {
        read_at: f64,
    }
    let read_at = serde_json::from_str::<ReadAt>(line).context("a catalog state without read_at")?.read_at;
    let mut state: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line)?;
    #[allow(clippy::cast_precision_loss)] // a few years of milliseconds: far below 2^53
    let moved = read_at + delta_ms as f64 / 1000.0;
    state.insert("read_at".into(), serde_json::Number::from_f64(moved).map_or(serde_json::Value::Null, Into::into));
    Ok(serde_json::to_string(&state)? + "\n")
}

/// A file of the recording, plain or gzipped.
fn text(dir: &Path, name: &str) -> anyhow::Result<String> {
    let plain = dir.join(name);
    if plain.exists() {
        return std::fs::read_to_string(&plain).with_context(|| format!("cannot read {}", plain.display()));
    }
    let packed = dir.join(format!("{name}.gz"));
    let bytes = std::fs::read(&packed)
        .with_context(|| format!("the recorded story is missing: neither {} nor its .gz", plain.display()))?;
    let mut text = String::new();
    let inflating = std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(&*bytes), &mut text);
    inflating.with_context(|| format!("{} is no gzipped text", packed.display()))?;
    Ok(text)
}
