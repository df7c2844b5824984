//! The task that keeps watermarks and gaps, round by round.

use super::{
    assess::{Assessment, Beat, Pace, assess},
    reconcile::reconcile,
};
use events::{
    ids::StreamId,
    receipt::{Input, SourceKind},
};
use prometheus::{IntGaugeVec, Opts, Registry};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use store::{Gap, HeartbeatStatus, Seal, Store, StoreError, StreamStatus, Watermark};
use tokio::sync::watch;

/// Longest time between two rounds; heartbeats that are faster make it shorter.
const ROUND: Duration = Duration::from_secs(10);
/// Streams and the whole time of unrepaired gaps are looked at in one of so many rounds.
const THOROUGH: u64 = 30;
/// Heartbeats of this time are judged in every round, milliseconds.
const RECENT: i64 = 2 * 3_600_000;
/// Gaps older than this are left as they are, milliseconds.
const OLDEST: i64 = 32 * 86_400_000;
/// Most that a source's clock and ours may differ for a heartbeat to be found, milliseconds.
const CLOCK: i64 = 600_000;

/// What is expected of one source.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Source.
    pub source_id: String,
    /// Product.
    pub kind: SourceKind,
    /// The input by which it pushes, with the scopes that send heartbeats (realms; one empty name for a Backstage) and the
    /// milliseconds between two of them; none if it does not push or no heartbeats are sent.
    pub push: Option<(Input, Vec<String>, i64)>,
    /// The greatest age that the watermark of its pull may reach, milliseconds; none if it is not pulled.
    pub pull: Option<i64>,
}

/// Keeps watermarks and gaps of one tenant.
pub struct Keeper {
    store: Store,
    tenant: String,
    lateness: i64,
    expected: Vec<Expected>,
    clock: fn() -> i64,
    open: IntGaugeVec,
    complete: IntGaugeVec,
}

impl Keeper {
    /// `lateness`: how late an event may come, milliseconds; `clock`: UTC milliseconds.
    pub fn new(
        (store, tenant): (Store, String),
        lateness: i64,
        expected: Vec<Expected>,
        (clock, registry): (fn() -> i64, &Registry),
    ) -> Result<Self, prometheus::Error> {
        let open = IntGaugeVec::new(
            Opts::new("tokentrail_gaps_unrepaired", "Gaps that are open, or closed and not repaired"),
            &["source", "cause", "state"],
        )?;
        let complete = IntGaugeVec::new(
            Opts::new("tokentrail_complete_until_seconds", "Up to where an input is complete, Unix time"),
            &["source", "input"],
        )?;
        registry.register(Box::new(open.clone()))?;
        registry.register(Box::new(complete.clone()))?;
        Ok(Self { store, tenant, lateness, expected, clock, open, complete })
    }

    /// Runs until `stop` turns true. What fails is tried again in the next round.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut failing = false;
        let fastest = self.expected.iter().filter_map(|expected| Some(expected.push.as_ref()?.2)).min();
        let pause = fastest.map_or(ROUND, |ms| ROUND.min(Duration::from_millis(ms.unsigned_abs())));
        for round in 0.. {
            match self.round((self.clock)(), round % THOROUGH == 0).await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    tracing::warn!(%error, "Completeness cannot be judged now; it is tried again.");
                    failing = true;
                }
                Err(_) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Judges everything once at `now` (UTC milliseconds).
    pub async fn round(&self, now: i64, thorough: bool) -> Result<(), StoreError> {
        let written = self.store.gaps(&self.tenant, now - OLDEST).await?;
        let mut complete = self.watermarks().await?;
        let mut rows = Vec::new();
        for expected in &self.expected {
            let at = (now, thorough);
            if let Some((input, scopes, interval)) = &expected.push {
                let push = Push { expected, input: *input, scopes, interval: *interval };
                rows.extend(self.pushed(&push, at, &written, &mut complete).await?);
            }
            if let Some(stale) = expected.pull {
                rows.extend(self.pulled(expected, (now, stale), &written, &complete));
            }
        }
        rows.extend(self.no_longer_expected(&written, now));
        if thorough {
            rows.extend(self.missing_records(now, &written).await?);
        }
        self.store.put_gaps(&rows).await?;
        self.tell(&complete, written, rows);
        Ok(())
    }

    async fn watermarks(&self) -> Result<BTreeMap<(String, Input), i64>, StoreError> {
        let marks = self.store.watermarks(&self.tenant).await?;
        Ok(marks.into_iter().map(|mark| ((mark.source_id, mark.input), mark.watermark)).collect())
    }

    /// Heartbeats of a source that pushes: its watermark and its gaps.
    async fn pushed(
        &self,
        push: &Push<'_>,
        (now, thorough): (i64, bool),
        written: &[Gap],
        complete: &mut BTreeMap<(String, Input), i64>,
    ) -> Result<Vec<Gap>, StoreError> {
        let (source, input) = (&push.expected.source_id, push.input);
        let own: Vec<Gap> = written.iter().filter(|gap| push.is_of(gap)).cloned().collect();
        // From before every gap that reaches into this time, so that none is cut in two.
        let reaching = own.iter().filter(|gap| gap.repaired_at.is_none() || gap.until.is_none_or(|u| u > now - RECENT));
        let oldest = reaching.map(|gap| gap.since - CLOCK).min().unwrap_or(now);
        let since = oldest.max(now - OLDEST).min(now - RECENT);
        if push.expected.kind == SourceKind::Keycloak {
            let from = if thorough { since } else { now - RECENT };
            self.store.find_heartbeats((&self.tenant, source), input, (from, CLOCK)).await?;
        }
        let beats = self.store.heartbeats(&self.tenant, source, since).await?;
        let covered = complete.get(&(source.clone(), Input::Pull)).map(|complete| (*complete, Input::Pull.as_str()));
        let pace = Pace { interval: push.interval, lateness: self.lateness };
        let (mut rows, mut slowest) = (Vec::new(), Some(i64::MAX));
        for scope in push.scopes {
            let Assessment { watermark, gaps } = assess(&seen_by(&beats, scope, input), now, pace);
            slowest = slowest.zip(watermark).map(|(a, b)| a.min(b));
            let found = gaps.into_iter().map(|span| Gap {
                scope: scope.clone(),
                input: input.as_str().to_owned(),
                until: span.until,
                ..self.gap(source, span.since, span.cause.as_str())
            });
            let of_scope: Vec<Gap> =
                own.iter().filter(|gap| gap.scope == *scope && gap.since >= since).cloned().collect();
            rows.extend(reconcile(&of_scope, found.collect(), now, covered));
        }
        let slowest = slowest.filter(|mark| *mark < i64::MAX);
        if let Some(watermark) = slowest
            && complete.get(&(source.clone(), input)).is_none_or(|before| *before < watermark)
        {
            let tenant = self.tenant.clone();
            let mark = Watermark { tenant, source_id: source.clone(), input, watermark, recorded_at: now };
            self.store.put_watermarks(&[mark]).await?;
            complete.insert((source.clone(), input), watermark);
        }
        Ok(rows)
    }

    /// A pull reads everything from where it stood, so what it did not reach for long is a gap only until it does.
    fn pulled(
        &self,
        expected: &Expected,
        (now, stale): (i64, i64),
        written: &[Gap],
        complete: &BTreeMap<(String, Input), i64>,
    ) -> Vec<Gap> {
        let (source, input) = (&expected.source_id, Input::Pull.as_str());
        let own: Vec<Gap> =
            written.iter().filter(|gap| gap.source_id == *source && gap.input == input).cloned().collect();
        let mark = complete.get(&(source.clone(), Input::Pull));
        let found = mark
            .filter(|mark| now - **mark > stale)
            .map(|mark| Gap { input: input.to_owned(), ..self.gap(source, *mark, "silent") });
        reconcile(&own, found.into_iter().collect(), now, None)
    }

    /// Ends open gaps of sources and realms that the config does not name any more.
    fn no_longer_expected(&self, written: &[Gap], now: i64) -> Vec<Gap> {
        let expected = |gap: &Gap| {
            gap.source_id.is_empty()
                || self.expected.iter().any(|expected| {
                    let pushes = expected
                        .push
                        .as_ref()
                        .is_some_and(|(input, scopes, _)| input.as_str() == gap.input && scopes.contains(&gap.scope));
                    expected.source_id == gap.source_id
                        && (pushes || (expected.pull.is_some() && gap.input == Input::Pull.as_str()))
                })
        };
        let open = written.iter().filter(|gap| gap.until.is_none() && !expected(gap));
        open.map(|gap| Gap { until: Some(now), recorded_at: now, ..gap.clone() }).collect()
    }

    /// Seqs are dense: a hole in a stream, or an end before the one that the next stream's opening names, is loss.
    async fn missing_records(&self, now: i64, written: &[Gap]) -> Result<Vec<Gap>, StoreError> {
        let streams = self.store.streams(&self.tenant).await?;
        let mut found = Vec::new();
        for stream in &streams {
            for range in &stream.missing {
                let (since, until) = self.store.around(&self.tenant, stream.stream, *range).await?;
                // Where several processes write, a block may still be on its way.
                if until.is_some_and(|until| until < now - self.lateness) {
                    found.push(self.hole(stream.stream, *range, (since.unwrap_or(0), until)));
                }
            }
        }
        let by_id: BTreeMap<StreamId, &StreamStatus> = streams.iter().map(|stream| (stream.stream, stream)).collect();
        let mut sealed_before = BTreeSet::new();
        for seal in self.store.seals(&self.tenant).await? {
            let again = !sealed_before.insert(seal.previous);
            let Some(sealed) = by_id.get(&seal.previous) else { continue };
            if again {
                // Two streams go on from one: a backup was put back after the journal had gone on, or a volume was cloned.
                found.push(self.rolled_back(&seal));
            } else if sealed.last_seq < seal.previous_seq {
                let range = (sealed.last_seq + 1, seal.previous_seq);
                found.push(self.hole(seal.previous, range, (sealed.last_received_at, Some(seal.received_at))));
            } else if sealed.last_seq > seal.previous_seq {
                // The journal went on from an older state than what was stored from it: a restored backup.
                found.push(self.rolled_back(&seal));
            }
        }
        let own: Vec<Gap> = written
            .iter()
            .filter(|gap| matches!(gap.cause.as_str(), "records_missing" | "log_rolled_back"))
            .cloned()
            .collect();
        Ok(reconcile(&own, found, now, None))
    }

    fn rolled_back(&self, seal: &Seal) -> Gap {
        let scope = format!("{}:{}", seal.previous, seal.previous_seq);
        Gap { scope, until: Some(seal.received_at), ..self.gap("", seal.received_at, "log_rolled_back") }
    }

    fn hole(&self, stream: StreamId, (first, last): (u64, u64), (since, until): (i64, Option<i64>)) -> Gap {
        let scope = format!("{stream}:{first}-{last}");
        Gap { scope, until, missing: Some(last - first + 1), ..self.gap("", since, "records_missing") }
    }

    fn gap(&self, source: &str, since: i64, cause: &str) -> Gap {
        Gap {
            tenant: self.tenant.clone(),
            source_id: source.to_owned(),
            scope: String::new(),
            input: String::new(),
            since,
            cause: cause.to_owned(),
            until: None,
            missing: None,
            repaired_at: None,
            repaired_by: String::new(),
            recorded_at: 0,
        }
    }

    /// Metrics and the log: a gap is told once when it opens and once when it ends.
    fn tell(&self, complete: &BTreeMap<(String, Input), i64>, written: Vec<Gap>, rows: Vec<Gap>) {
        for ((source, input), mark) in complete {
            self.complete.with_label_values(&[source.as_str(), input.as_str()]).set(mark.div_euclid(1000));
        }
        let mut gaps: BTreeMap<_, Gap> = written.into_iter().map(|gap| (gap.key(), gap)).collect();
        for gap in rows {
            let (source, realm, cause) = (&gap.source_id, &gap.scope, &gap.cause);
            match (gap.repaired_at, gap.until) {
                (Some(_), _) => {
                    tracing::info!(source, realm, cause, by = gap.repaired_by, since = gap.since, "A gap is repaired.");
                }
                (None, None) => tracing::warn!(source, realm, cause, since = gap.since, "A gap is open."),
                (None, Some(until)) => {
                    tracing::warn!(source, realm, cause, since = gap.since, until, "A gap is not repaired.");
                }
            }
            gaps.insert(gap.key(), gap);
        }
        self.open.reset();
        for gap in gaps.into_values().filter(|gap| gap.repaired_at.is_none()) {
            let state = if gap.until.is_none() { "open" } else { "closed" };
            self.open.with_label_values(&[gap.source_id.as_str(), gap.cause.as_str(), state]).inc();
        }
    }
}

struct Push<'a> {
    expected: &'a Expected,
    input: Input,
    scopes: &'a [String],
    interval: i64,
}

impl Push<'_> {
    fn is_of(&self, gap: &Gap) -> bool {
        let judged = matches!(gap.cause.as_str(), "silent" | "source_unreachable" | "no_heartbeat");
        judged && gap.source_id == self.expected.source_id && gap.input == self.input.as_str()
    }
}

/// The heartbeats of one scope as one input saw them, oldest first.
fn seen_by(beats: &[HeartbeatStatus], scope: &str, input: Input) -> Vec<Beat> {
    let of_scope = beats.iter().filter(|beat| beat.scope == scope);
    let beat = |beat: &HeartbeatStatus| Beat {
        sent_at: beat.sent_at,
        taken: beat.state == events::record::SENT,
        seen: beat.seen.iter().filter(|(by, ..)| by == input.as_str()).map(|(_, time, _)| *time).min(),
    };
    of_scope.map(beat).collect()
}
