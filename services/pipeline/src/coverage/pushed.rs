//! A source that pushes: its watermark, and its gaps as heartbeats and claims on imports tell them.

use super::{
    Keeper,
    assess::{Beat, Pace, Span, assess},
    clocks,
    keeper::{CLOCK, Expected, Look},
    reconcile::reconcile,
    repair::{self, claimed, proven, time_of},
    spans::Spans,
};
use events::receipt::{Input, SourceKind};
use std::collections::BTreeMap;
use store::{Gap, HeartbeatStatus, StoreError, Watermark};

/// Heartbeats of this time are judged in every round, milliseconds.
const RECENT: i64 = 2 * 3_600_000;

/// The same of a clock that is wrong: by an hour, or by its zone. Looked for now and then, and for as long as it is known to be, milliseconds.
const WRONG_CLOCK: i64 = 26 * 3_600_000;

/// The input by which a source pushes.
pub(super) struct Push<'a> {
    pub expected: &'a Expected,
    pub input: Input,
    pub scopes: &'a [String],
    /// Milliseconds between two heartbeats.
    pub interval: i64,
}

impl Push<'_> {
    fn is_of(&self, gap: &Gap) -> bool {
        let judged = matches!(gap.cause.as_str(), "silent" | "source_unreachable" | "no_heartbeat");
        judged && gap.source_id == self.expected.source_id && gap.input == self.input.as_str()
    }
}

/// What is known of one scope of such a source.
struct Scope<'a> {
    name: &'a str,
    /// Since when heartbeats are looked at, UTC milliseconds.
    since: i64,
    beats: &'a [HeartbeatStatus],
    /// Its gaps as they were written.
    own: &'a [Gap],
    claims: Spans,
}

impl Keeper {
    /// Brings the watermark of the input forward; the rows of gaps that change.
    pub(super) async fn pushed(
        &self,
        push: &Push<'_>,
        look: &Look<'_>,
        complete: &mut BTreeMap<(String, Input), i64>,
    ) -> Result<Vec<Gap>, StoreError> {
        let (source, input) = (&push.expected.source_id, push.input);
        let own: Vec<Gap> = look.written.iter().filter(|gap| push.is_of(gap)).cloned().collect();
        let since = begin(&own, look, complete.get(&(source.clone(), input)).copied());
        let claims = |scope: &str| claimed(look.claims, (push.expected.kind, source, scope));
        if push.expected.kind == SourceKind::Keycloak {
            let from = if look.thorough { since } else { look.now - RECENT };
            let is_off = |gap: &Gap| gap.cause == clocks::CAUSE && gap.source_id == *source && gap.until.is_none();
            let clock = if look.thorough || look.written.iter().any(is_off) { WRONG_CLOCK } else { CLOCK };
            self.store.find_heartbeats((&self.tenant, source), input, (from, clock)).await?;
            if own.iter().any(|gap| gap.repaired_at.is_none() && claims(&gap.scope).touch(time_of(gap))) {
                self.store.find_heartbeats((&self.tenant, source), Input::Import, (since, CLOCK)).await?;
            }
        }
        let beats = self.store.heartbeats(&self.tenant, source, since).await?;
        let covered = complete.get(&(source.clone(), Input::Pull)).map(|complete| (*complete, Input::Pull.as_str()));
        let (mut rows, mut slowest) = (Vec::new(), Some(i64::MAX));
        for name in push.scopes {
            let seen = seen_by(&beats, name, Some(input));
            slowest = slowest.zip(assess(&seen, look.now, self.pace(push)).watermark).map(|(a, b)| a.min(b));
            let of_scope: Vec<Gap> = own.iter().filter(|gap| gap.scope == *name).cloned().collect();
            let scope = Scope { name, since, beats: &beats, own: &of_scope, claims: claims(name) };
            if let Some(found) = self.gaps_of((push, &scope), seen, look.now) {
                let before: Vec<Gap> = scope.known().cloned().collect();
                rows.extend(reconcile(&before, found, look.now, covered));
            }
        }
        rows.extend(self.clocks((push, look), &beats));
        let slowest = slowest.filter(|mark| *mark < i64::MAX);
        if let Some(watermark) = slowest
            && complete.get(&(source.clone(), input)).is_none_or(|before| *before < watermark)
        {
            let tenant = self.tenant.clone();
            let mark = Watermark { tenant, source_id: source.clone(), input, watermark, recorded_at: look.now };
            self.store.put_watermarks(&[mark]).await?;
            complete.insert((source.clone(), input), watermark);
        }
        Ok(rows)
    }

    /// Gaps for the times in which the source's clock was off.
    fn clocks(&self, (push, look): (&Push<'_>, &Look<'_>), beats: &[HeartbeatStatus]) -> Vec<Gap> {
        let (source, input) = (push.expected.source_id.as_str(), push.input.as_str());
        let mut rows = Vec::new();
        let mut worst: Option<i64> = None;
        for scope in push.scopes {
            let of_scope = |gap: &&Gap| {
                gap.cause == clocks::CAUSE && gap.source_id == source && gap.input == input && gap.scope == *scope
            };
            let own: Vec<Gap> = look.written.iter().filter(of_scope).cloned().collect();
            let Some((from, off)) = clocks::off(beats, (scope, input), &own) else { continue };
            let judged: Vec<Gap> = own.into_iter().filter(|gap| gap.until.is_none_or(|until| until > from)).collect();
            let gap = |(since, until): (i64, Option<i64>)| Gap {
                scope: scope.clone(),
                input: input.to_owned(),
                until,
                ..self.gap(source, since, clocks::CAUSE)
            };
            rows.extend(reconcile(&judged, off.into_iter().map(gap).collect(), look.now, None));
            let newest = clocks::newest(beats, (scope, input));
            worst = worst.into_iter().chain(newest).max_by_key(|offset| offset.abs());
        }
        if let Some(offset) = worst {
            self.offset.with_label_values(&[source, input]).set(offset as f64 / 1_000.0);
        }
        rows
    }

    fn pace(&self, push: &Push<'_>) -> Pace {
        Pace { interval: push.interval, lateness: self.lateness }
    }

    /// The gaps of one scope as they are found now. None if this needs a look at more.
    fn gaps_of(&self, (push, scope): (&Push<'_>, &Scope<'_>), seen: Vec<Beat>, now: i64) -> Option<Vec<Gap>> {
        let begun = scope.begun();
        if begun.is_some_and(|gap| gap.repaired_at.is_none() && scope.claims.touch(time_of(gap))) {
            return None; // the next thorough round looks at the whole of it
        }
        // What began before is judged as if its beginning were looked at.
        let start = begun.map(|gap| scope.start_of(gap));
        let with_start = |beats: Vec<Beat>| -> Vec<Beat> {
            let beat = start.map(|start| Beat { sent_at: start, taken: true, seen: Some(start) });
            beat.into_iter().chain(beats).collect()
        };
        let gaps = assess(&with_start(seen), now, self.pace(push)).gaps;
        let everything = with_start(seen_by(scope.beats, scope.name, None));
        let everything = assess(&everything, now, self.pace(push));
        let missing = Spans::of(gaps.iter().map(|span| (span.since, span.until.unwrap_or(i64::MAX))));
        let there = proven(&missing, &scope.claims, (push.expected.kind, &everything)).or(&scope.repaired());
        let gap = |span: Span| {
            let known = begun.filter(|_| Some(span.since) == start).map(|gap| gap.cause.as_str());
            Gap {
                scope: scope.name.to_owned(),
                input: push.input.as_str().to_owned(),
                until: span.until,
                ..self.gap(&push.expected.source_id, span.since, known.unwrap_or(span.cause.as_str()))
            }
        };
        Some(gaps.into_iter().flat_map(|span| repair::parts(&gap(span), &there, now)).collect())
    }
}

impl Scope<'_> {
    /// The gap that began before the time that is looked at and reaches into it.
    fn begun(&self) -> Option<&Gap> {
        self.own.iter().find(|gap| gap.since < self.since && gap.until.is_none_or(|end| end > self.since))
    }

    /// Where the gap begins of which this is a part.
    fn start_of(&self, part: &Gap) -> i64 {
        let mut start = part.since;
        while let Some(before) = self.own.iter().find(|gap| gap.until == Some(start) && gap.since < start) {
            start = before.since;
        }
        start
    }

    /// What imports have repaired.
    fn repaired(&self) -> Spans {
        let imported = self.own.iter().filter(|gap| gap.repaired_by == Input::Import.as_str());
        Spans::of(imported.map(time_of))
    }

    /// The gaps as they were written that are judged now: all of the time that is looked at, and what reaches into it.
    fn known(&self) -> impl Iterator<Item = &Gap> {
        let from = self.begun().map_or(self.since, |gap| self.start_of(gap));
        self.own.iter().filter(move |gap| gap.since >= from)
    }
}

/// From when on heartbeats are judged, UTC milliseconds: from before every gap that reaches into the time that is looked at, and
/// from before the watermark where nothing is written of the time after it: nobody has looked since, for however long.
fn begin(own: &[Gap], look: &Look<'_>, watermark: Option<i64>) -> i64 {
    let recent = look.now - RECENT;
    let reaching = own.iter().filter(|gap| gap.repaired_at.is_none() || gap.until.is_none_or(|until| until > recent));
    let oldest = reaching.map(|gap| gap.since - CLOCK).min().unwrap_or(look.now);
    let unseen = watermark.filter(|mark| own.iter().all(|gap| gap.since < *mark)).map_or(recent, |mark| mark - CLOCK);
    oldest.max(look.oldest).min(recent).min(unseen)
}

/// The heartbeats of one scope as one input saw them, or all together, oldest first.
pub(super) fn seen_by(beats: &[HeartbeatStatus], scope: &str, input: Option<Input>) -> Vec<Beat> {
    let of_scope = beats.iter().filter(|beat| beat.scope == scope);
    let is_asked = |by: &str| input.is_none_or(|input| by == input.as_str());
    let beat = |beat: &HeartbeatStatus| Beat {
        sent_at: beat.sent_at,
        taken: beat.state == events::record::SENT,
        seen: beat.seen.iter().filter(|(by, ..)| is_asked(by)).map(|(_, time, _)| *time).min(),
    };
    of_scope.map(beat).collect()
}
