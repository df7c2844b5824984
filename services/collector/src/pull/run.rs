//! The loop: every realm of a source is checked and read, again and again, until the process stops.

use super::{Failed, Feed, NotAppended, PassError, PassReport, RealmPull, Severity, Source, State, Surroundings};
use std::time::Duration;
use tokio::{sync::watch, task::JoinSet};

/// Longest pause between tries of a source that does not answer.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// The journal has stopped; so must the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal has stopped")]
pub struct Stopped;

/// What is known of a realm now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RealmStatus {
    /// Name of the realm.
    pub realm: String,
    /// What is to be said of it, worst first. Empty before the first look.
    pub states: Vec<State>,
    /// Up to here user events are complete, UTC milliseconds of Keycloak's clock.
    pub user_watermark: Option<i64>,
    /// The same for admin events.
    pub admin_watermark: Option<i64>,
    /// Events appended since the start.
    pub appended: u64,
    /// Events skipped since the start because they were known.
    pub known: u64,
    /// Events too large to keep, since the start.
    pub too_large: u64,
    /// Complete passes over both feeds since the start.
    pub passes: u64,
    /// When the last of them ended, UTC milliseconds.
    pub last_pass: Option<i64>,
}

impl RealmStatus {
    /// Up to here both feeds are complete.
    pub fn watermark(&self) -> Option<i64> {
        Some(self.user_watermark?.min(self.admin_watermark?))
    }

    fn note(&mut self, feed: Feed, report: &PassReport) {
        self.appended += report.appended;
        self.known += report.known;
        self.too_large += report.too_large;
        // What is not stored cannot be complete, however often it is read.
        let (off, watermark) = match feed {
            Feed::User => (State::EventsOff, &mut self.user_watermark),
            Feed::Admin => (State::AdminEventsOff, &mut self.admin_watermark),
        };
        if !self.states.contains(&off) {
            *watermark = Some(watermark.map_or(report.watermark, |before| before.max(report.watermark)));
        }
    }
}

/// Pulls all realms of one source.
#[derive(Debug)]
pub struct Puller {
    realms: Vec<(RealmPull, watch::Sender<RealmStatus>)>,
    poll: Duration,
    around: Surroundings,
}

impl Puller {
    /// Reads the cursors; sends no request yet.
    pub fn open(source: &Source, around: &Surroundings) -> Result<Self, Failed> {
        let realms = RealmPull::open(source, around)?;
        let with_status = realms.into_iter().map(|realm| {
            let status = RealmStatus { realm: realm.name().to_owned(), ..RealmStatus::default() };
            (realm, watch::Sender::new(status))
        });
        Ok(Self { realms: with_status.collect(), poll: source.limits.poll, around: around.clone() })
    }

    /// The status of each realm, as it changes.
    pub fn status(&self) -> Vec<watch::Receiver<RealmStatus>> {
        self.realms.iter().map(|(_, status)| status.subscribe()).collect()
    }

    /// Runs until `stop` becomes true (or its sender is gone). A pass under way is dropped where it stands: what the
    /// journal took without the cursor knowing is read again and doubled, never lost.
    pub async fn run(self, stop: watch::Receiver<bool>) -> Result<(), Stopped> {
        let mut tasks = JoinSet::new();
        for (realm, status) in self.realms {
            tasks.spawn(keep_reading(realm, status, (self.poll, self.around.clone()), stop.clone()));
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap_or(Err(Stopped))?;
        }
        Ok(())
    }
}

async fn keep_reading(
    mut realm: RealmPull,
    status: watch::Sender<RealmStatus>,
    pace: (Duration, Surroundings),
    mut stop: watch::Receiver<bool>,
) -> Result<(), Stopped> {
    let (poll, around) = pace;
    let mut pause = poll;
    loop {
        let round = tokio::select! {
            round = read_once(&mut realm, &status) => round,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        pause = match round {
            Ok(()) => {
                status.send_modify(|status| {
                    status.passes += 1;
                    status.last_pass = Some((around.now)());
                });
                poll
            }
            Err(PassError::Append(NotAppended::Stopped)) => return Err(Stopped),
            Err(error) => {
                let states = vec![state_of(&error)];
                if status.borrow().states != states {
                    tracing::warn!(
                        realm = realm.name(),
                        state = states[0].as_str(),
                        "Keycloak events cannot be read; trying again."
                    );
                }
                status.send_modify(|status| status.states = states);
                (pause * 2).min(MAX_PAUSE).max(poll).max(realm.quiet().await)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
    }
}

/// Looks at the realm's health and reads both feeds to their ends.
async fn read_once(realm: &mut RealmPull, status: &watch::Sender<RealmStatus>) -> Result<(), PassError> {
    let states = realm.check().await;
    if let Some(down) = states.iter().find(|state| state.severity() == Severity::Down) {
        return Err(PassError::Source(down.clone()));
    }
    status.send_modify(|status| status.states = states);
    for feed in Feed::ALL {
        let report = realm.pass(feed).await?;
        status.send_modify(|status| status.note(feed, &report));
    }
    Ok(())
}

fn state_of(error: &PassError) -> State {
    match error {
        PassError::Source(state) => state.clone(),
        PassError::Append(_) => State::JournalFull,
        PassError::Cursor => State::CursorNotWritten,
    }
}
