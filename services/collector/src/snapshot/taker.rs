//! Takes snapshots of one source: begins or goes on, runs the plan, ends, and remembers what was found.

use super::{
    Extent, From, Order, Settings, Surroundings,
    ask::{Ask, BackstageClient},
    backstage, keycloak,
    previous::{Next, Previous},
    progress::Progress,
    run::{Run, Stop, Whose},
};
use crate::pull::{
    NotAppended,
    client::{self, Pace, RealmClient},
};
use events::{
    receipt::{Payload, SourceKind},
    snapshot::{AreaEnd, Begin, End, Outcome},
};
use reqwest::Url;
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::Arc,
};
use trust::TrustError;

/// Why a source cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The base URL is none.
    #[error("the base URL of source {0} is not an http(s) URL")]
    BaseUrl(String),
    /// The HTTP client, for instance a certificate that is none.
    #[error("the HTTP client cannot be made")]
    Http(#[source] TrustError),
}

/// Why a snapshot did not end. What was read is kept, and the next one goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// The source does not answer.
    #[error("the source is {}", .0.as_str())]
    Source(Outcome),
    /// The journal.
    #[error("receipts were not appended")]
    Append(#[source] NotAppended),
    /// Progress cannot be written or read.
    #[error("the progress of the snapshot cannot be kept on disk")]
    Disk(#[source] io::Error),
}

impl std::convert::From<Stop> for NotTaken {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Source(outcome) => Self::Source(outcome),
            Stop::Append(error) => Self::Append(error),
            Stop::Disk(error) => Self::Disk(error),
        }
    }
}

/// A snapshot that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How it began.
    pub begin: Begin,
    /// How it ended.
    pub end: End,
    /// True if it went on from where a dead process had stopped.
    pub resumed: bool,
}

/// Realms by name, or one Backstage under an empty name.
struct Asks {
    kind: SourceKind,
    scopes: Vec<(String, Arc<dyn Ask>)>,
}

/// Takes snapshots of one source, one at a time.
pub struct Taker {
    tenant: String,
    source_id: String,
    asks: Asks,
    settings: Settings,
    around: Surroundings,
}

impl std::fmt::Debug for Taker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Taker").field("source_id", &self.source_id).finish_non_exhaustive()
    }
}

impl Taker {
    /// Sends no request yet.
    pub fn open(from: &From, settings: Settings, around: Surroundings) -> Result<Self, Failed> {
        let base = |url: &str, id: &str| {
            let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            url.ok_or_else(|| Failed::BaseUrl(id.to_owned()))
        };
        let (tenant, source_id, asks) = match from {
            From::Keycloak(source) => {
                let base = base(&source.base_url, &source.source_id)?;
                let http = client::http(source).map_err(Failed::Http)?;
                let pace = Arc::new(Pace::new(&source.limits));
                let realm = |realm: &crate::pull::Realm| -> (String, Arc<dyn Ask>) {
                    let shared = (source.limits, Arc::clone(&pace));
                    let client = RealmClient::new(http.clone(), base.clone(), realm.clone(), shared);
                    (realm.name.clone(), Arc::new(client))
                };
                let scopes = source.realms.iter().map(realm).collect();
                (&source.tenant, &source.source_id, Asks { kind: SourceKind::Keycloak, scopes })
            }
            From::Backstage(source) => {
                let base = base(&source.base_url, &source.source_id)?;
                let client = BackstageClient::new(source, base).map_err(Failed::Http)?;
                let scopes: Vec<(String, Arc<dyn Ask>)> = vec![(String::new(), Arc::new(client))];
                (&source.tenant, &source.source_id, Asks { kind: SourceKind::Backstage, scopes })
            }
        };
        Ok(Self { tenant: tenant.clone(), source_id: source_id.clone(), asks, settings, around })
    }

    /// Over one realm `acme` that answers otherwise than by HTTP.
    #[cfg(test)]
    pub(super) fn over(source: (&str, &str), ask: Arc<dyn Ask>, with: (Settings, Surroundings)) -> Self {
        let asks = Asks { kind: SourceKind::Keycloak, scopes: vec![("acme".to_owned(), ask)] };
        let (tenant, source_id) = (source.0.to_owned(), source.1.to_owned());
        Self { tenant, source_id, asks, settings: with.0, around: with.1 }
    }

    /// Id of the source.
    pub fn source_id(&self) -> &str {
        &self.source_id
    }

    /// Takes one, or goes on with the one that a dead process left.
    pub async fn take(&self, order: Order) -> Result<Report, NotTaken> {
        let previous = Previous::load(&self.file("last"), self.source()).map_err(NotTaken::Disk)?;
        let path = self.file("run");
        let now = (self.around.now)();
        let found = Progress::find(&path).map_err(NotTaken::Disk)?;
        let (progress, resumed) = match found {
            // It ended, and the process died before it tidied up.
            Some(found) if Some(&found.begin.snapshot) == previous.snapshot.as_ref() => {
                drop(found);
                (Progress::start(&path, self.begin(order, (&previous, now))).map_err(NotTaken::Disk)?, false)
            }
            Some(found) if self.goes_on(&found.begin, (&previous, now)) => (found, true),
            found => {
                if let Some(found) = found {
                    self.give_up(found, &previous).await?;
                }
                (Progress::start(&path, self.begin(order, (&previous, now))).map_err(NotTaken::Disk)?, false)
            }
        };
        let mut run = self.run(progress, &previous);
        if run.progress.is_fresh() {
            let body = serde_json::to_vec(&run.progress.begin).unwrap_or_default();
            let begin = run.receipt(Payload::SnapshotBegin, ("begin".into(), body));
            run.append(vec![begin]).await.map_err(NotTaken::Append)?;
        }
        for (name, ask) in &self.asks.scopes {
            match self.asks.kind {
                SourceKind::Keycloak => keycloak::read(&mut run, name, ask.as_ref()).await?,
                SourceKind::Backstage | SourceKind::Tokentrail => backstage::read(&mut run, ask.as_ref()).await?,
            }
        }
        self.finish(run, resumed).await
    }

    fn run<'a>(&'a self, progress: Progress, previous: &'a Previous) -> Run<'a> {
        let whose = Whose { tenant: &self.tenant, source_id: &self.source_id, kind: self.asks.kind };
        Run { whose, settings: &self.settings, around: &self.around, progress, previous, areas: BTreeMap::new() }
    }

    fn begin(&self, order: Order, (previous, now): (&Previous, i64)) -> Begin {
        let full_every = i64::try_from(self.settings.full_every.as_millis()).unwrap_or(i64::MAX);
        let due = previous.snapshot.is_none() || now.saturating_sub(previous.full_at) >= full_every;
        Begin {
            snapshot: uuid::Uuid::new_v4().to_string(),
            time: now,
            trigger: order.trigger,
            full: order.extent == Extent::Full || due,
            previous: previous.snapshot.clone(),
            realms: self.realms(),
        }
    }

    fn realms(&self) -> Vec<String> {
        self.asks.scopes.iter().map(|(name, _)| name.clone()).filter(|name| !name.is_empty()).collect()
    }

    fn goes_on(&self, begin: &Begin, (previous, now): (&Previous, i64)) -> bool {
        let within = i64::try_from(self.settings.resume_within.as_millis()).unwrap_or(i64::MAX);
        begin.realms == self.realms() && begin.previous == previous.snapshot && now.saturating_sub(begin.time) <= within
    }

    /// Tells the log that a snapshot ended half.
    async fn give_up(&self, progress: Progress, previous: &Previous) -> Result<(), NotTaken> {
        let path = progress.path().to_owned();
        let mut run = self.run(progress, previous);
        let areas = if self.asks.kind == SourceKind::Keycloak { keycloak::AREAS } else { backstage::AREAS };
        for (name, _) in &self.asks.scopes {
            run.lack(name, areas, (Outcome::Interrupted, ""));
        }
        let (_, receipt) = self.end(&run);
        run.append(vec![receipt]).await.map_err(NotTaken::Append)?;
        Progress::remove(&path).map_err(NotTaken::Disk)
    }

    fn end(&self, run: &Run<'_>) -> (End, crate::pull::Received) {
        let areas: Vec<AreaEnd> = run.areas.values().cloned().collect();
        let end = End {
            snapshot: run.progress.begin.snapshot.clone(),
            time: (self.around.now)(),
            complete: areas.iter().all(|end| end.outcome.is_whole()),
            areas,
        };
        let body = serde_json::to_vec(&end).unwrap_or_default();
        let receipt = run.receipt(Payload::SnapshotEnd, ("end".into(), body));
        (end, receipt)
    }

    async fn finish(&self, run: Run<'_>, resumed: bool) -> Result<Report, NotTaken> {
        let (end, receipt) = self.end(&run);
        run.append(vec![receipt]).await.map_err(NotTaken::Append)?;
        // Commit point: the snapshot is in the journal. A crash before the file is replaced ends it a second time, with the
        // same words; a crash after it, before the progress is removed, leaves a progress that does not go on.
        let begin = run.progress.begin.clone();
        let full_at = if begin.full { begin.time } else { run.previous.full_at };
        let told_at = if begin.full || run.tells_again() { begin.time } else { run.previous.told_at };
        let path = run.progress.path().to_owned();
        let read: BTreeSet<String> = run.progress.names().collect();
        // What a full snapshot could not read is written anew by the next that can.
        let mut units = if begin.full { Vec::new() } else { run.kept(&read) };
        units.extend(run.progress.into_units().map(|unit| (unit.unit, unit.entries)));
        let next = Next { source: self.source(), snapshot: &begin.snapshot, full_at, told_at, units };
        Previous::save(&self.file("last"), next).map_err(NotTaken::Disk)?;
        Progress::remove(&path).map_err(NotTaken::Disk)?;
        Ok(Report { begin, end, resumed })
    }

    fn source(&self) -> (&str, &str) {
        (&self.tenant, &self.source_id)
    }

    /// A file of this source: its name is safe and distinct.
    fn file(&self, what: &str) -> PathBuf {
        let distinct = hex::encode(&Sha256::digest(format!("{}\n{}", self.tenant, self.source_id))[..6]);
        self.settings.dir.join(format!("{}.{distinct}.{what}", self.source_id))
    }
}
