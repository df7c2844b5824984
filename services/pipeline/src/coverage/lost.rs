//! What the webhook (or topic) of a Keycloak lost while its heartbeats came back: events that pull alone brought. One gap per source and hour, repaired
//! when it is written, so that the loss stands on record and costs no verdict.
//!
//! Never counts what lies in a gap (that is told by the gap), what happened before the webhook's first event, or what is so young that
//! the webhook may still bring it, or that a gap around it may still be found.

use super::{
    Keeper,
    keeper::{Expected, Look},
};
use events::receipt::{Input, SourceKind};
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
};
use store::{Gap, GapTime, LostInMinute, StoreError};

/// Cause of such a gap.
pub(super) const DELIVERIES_LOST: &str = "deliveries_lost";
/// What is told as one, milliseconds.
const HOUR: i64 = 3_600_000;
const MINUTE: i64 = 60_000;
/// Minutes of this time are looked at in every round, milliseconds.
const RECENT: i64 = 2 * HOUR;
/// Most minutes whose events are read in one round; the others wait for the next.
const MINUTES_MAX: usize = 240;
/// A gap around an event is found at the latest so many intervals of heartbeats (and the lateness) after it.
const INTERVALS: i64 = 3;

/// What was read already: minutes are read again only where their counts or the gaps around them change.
#[derive(Default)]
pub(super) struct Read {
    /// When the first event happened that the webhook brought.
    first: BTreeMap<String, i64>,
    /// What a minute of a source was read with, and what it held.
    minutes: BTreeMap<(String, u32), (u64, LostInMinute)>,
}

impl Keeper {
    /// The rows of such gaps that change. `found`: gaps that this round changes.
    pub(super) async fn lost(
        &self,
        expected: &Expected,
        look: &Look<'_>,
        found: &[Gap],
    ) -> Result<Vec<Gap>, StoreError> {
        let source = expected.source_id.as_str();
        if expected.kind != SourceKind::Keycloak || expected.pull.is_none() {
            return Ok(Vec::new());
        }
        let mut read = self.read.lock().await;
        let first = match read.first.get(source) {
            Some(first) => *first,
            None => {
                let Some(first) = self.store.first_pushed(&self.tenant, source).await? else { return Ok(Vec::new()) };
                read.first.insert(source.to_owned(), first);
                first
            }
        };
        let interval = expected.push.as_ref().map_or(0, |push| push.2);
        let before = look.now - self.lateness - INTERVALS * interval;
        let from = if look.thorough { look.oldest } else { look.now - RECENT };
        let from = from.max(first).div_euclid(HOUR) * HOUR;
        let input = expected.push.as_ref().map_or(Input::Webhook, |push| push.0);
        let gaps = around(look.written.iter().chain(found), (source, input));
        let minutes = self.store.pulled_alone((&self.tenant, source), (from, before)).await?;
        let signed: Vec<(u32, u64)> =
            minutes.iter().map(|(minute, alone)| (*minute, sign((*minute, *alone), &gaps, before))).collect();
        let known = |minute: u32| read.minutes.get(&(source.to_owned(), minute)).map(|(signature, _)| *signature);
        let changed: Vec<(u32, u64)> = signed
            .iter()
            .rev()
            .filter(|(minute, signature)| known(*minute) != Some(*signature))
            .take(MINUTES_MAX)
            .copied()
            .collect();
        let asked: Vec<u32> = changed.iter().map(|(minute, _)| *minute).collect();
        let held = self.store.lost_in_minutes((&self.tenant, source), (&asked, &gaps), (first, before)).await?;
        for (minute, signature) in changed {
            let nothing = LostInMinute { minute, ..LostInMinute::default() };
            let one = held.iter().find(|one| one.minute == minute).copied().unwrap_or(nothing);
            read.minutes.insert((source.to_owned(), minute), (signature, one));
        }
        let oldest = look.oldest;
        read.minutes.retain(|(_, minute), _| i64::from(*minute) * MINUTE >= oldest - HOUR);
        let lost = by_hour(&signed, |minute, signature| {
            let (with, lost) = read.minutes.get(&(source.to_owned(), minute))?;
            (*with == signature).then_some(*lost)
        });
        let row = |hour: i64, events: u64, last: i64| Gap {
            input: input.as_str().to_owned(),
            until: Some(last + 1),
            missing: Some(events),
            repaired_at: Some(look.now),
            // What it brings itself in the end was only late.
            repaired_by: if events > 0 { Input::Pull } else { input }.as_str().to_owned(),
            recorded_at: look.now,
            ..self.gap(source, hour, DELIVERIES_LOST)
        };
        let found = lost.iter().filter_map(|(hour, lost)| Some((*hour, (*lost)?)));
        let own = |gap: &&Gap| gap.source_id == source && gap.cause == DELIVERIES_LOST && gap.since >= from;
        let written: BTreeMap<i64, &Gap> = look.written.iter().filter(own).map(|gap| (gap.since, gap)).collect();
        let gone = written.iter().filter(|(hour, _)| !lost.contains_key(hour));
        let gone = gone.map(|(hour, gap)| (*hour, (0, gap.until.unwrap_or(*hour) - 1)));
        let all = found.chain(gone).map(|(hour, (events, last))| row(hour, events, last));
        Ok(all.filter(|gap| differs(gap, written.get(&gap.since).copied())).collect())
    }
}

/// True if a row is to be written: nothing is written where nothing was lost and nothing is on record.
fn differs(row: &Gap, written: Option<&Gap>) -> bool {
    match written {
        None => row.missing != Some(0),
        Some(written) if row.missing == Some(0) => written.missing != Some(0),
        Some(written) => (written.missing, written.until) != (row.missing, row.until),
    }
}

/// The gaps of the input by which a loss is told already.
fn around<'a>(gaps: impl Iterator<Item = &'a Gap>, (source, input): (&str, Input)) -> Vec<GapTime> {
    let of = |gap: &&Gap| gap.source_id == source && gap.input == input.as_str() && gap.cause != DELIVERIES_LOST;
    let times: BTreeSet<GapTime> =
        gaps.filter(of).map(|gap| (gap.scope.clone(), gap.since, gap.until.unwrap_or(i64::MAX))).collect();
    times.into_iter().collect()
}

/// Changes when what a minute holds may have changed.
fn sign((minute, alone): (u32, u64), gaps: &[GapTime], before: i64) -> u64 {
    let (since, until) = (i64::from(minute) * MINUTE, i64::from(minute) * MINUTE + MINUTE);
    let mut hasher = DefaultHasher::new();
    alone.hash(&mut hasher);
    gaps.iter().filter(|gap| gap.1 < until && gap.2 > since).for_each(|gap| gap.hash(&mut hasher));
    (until > before).then_some(before).hash(&mut hasher);
    hasher.finish()
}

/// Per hour how many were lost and the last of them; none for an hour of which a minute is not read yet.
fn by_hour(
    minutes: &[(u32, u64)],
    read: impl Fn(u32, u64) -> Option<LostInMinute>,
) -> BTreeMap<i64, Option<(u64, i64)>> {
    let mut hours: BTreeMap<i64, Option<(u64, i64)>> = BTreeMap::new();
    for (minute, signature) in minutes {
        let hour = (i64::from(*minute) * MINUTE).div_euclid(HOUR) * HOUR;
        let sum = hours.entry(hour).or_insert(Some((0, hour)));
        *sum = sum
            .zip(read(*minute, *signature))
            .map(|((events, last), one)| (events + one.events, if one.events > 0 { last.max(one.last) } else { last }));
    }
    hours
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(missing: u64, until: i64) -> Gap {
        Gap {
            tenant: "default".into(),
            source_id: "kc".into(),
            scope: String::new(),
            input: "webhook".into(),
            since: 0,
            cause: DELIVERIES_LOST.into(),
            until: Some(until),
            missing: Some(missing),
            repaired_at: Some(1),
            repaired_by: "pull".into(),
            recorded_at: 1,
        }
    }

    #[test]
    fn an_hour_counts_once_all_its_minutes_are_read() {
        let lost = |minute, events| LostInMinute { minute, events, last: i64::from(minute) * MINUTE + 5 };
        let read = |minute, _| (minute != 61).then(|| lost(minute, if minute == 3 { 0 } else { 2 }));
        let hours = by_hour(&[(1, 0), (3, 0), (60, 0), (61, 0)], read);
        assert_eq!(hours, [(0, Some((2, MINUTE + 5))), (HOUR, None)].into());
    }

    #[test]
    fn what_is_on_record_changes_and_nothing_is_written_of_nothing() {
        assert!(!differs(&row(0, 1), None));
        assert!(differs(&row(2, 9), None));
        assert!(!differs(&row(2, 9), Some(&row(2, 9))));
        assert!(differs(&row(3, 12), Some(&row(2, 9))));
        assert!(differs(&row(0, 9), Some(&row(2, 9))));
        assert!(!differs(&row(0, 9), Some(&row(0, 9))));
    }

    #[test]
    fn a_minute_is_read_again_only_where_something_about_it_changed() {
        let gap = |since, until| ("acme".to_owned(), since, until);
        let plain = sign((10, 2), &[], 100 * MINUTE);
        assert_eq!(plain, sign((10, 2), &[gap(0, 10 * MINUTE), gap(11 * MINUTE, i64::MAX)], 200 * MINUTE));
        assert_ne!(plain, sign((10, 3), &[], 100 * MINUTE));
        assert_ne!(plain, sign((10, 2), &[gap(0, 10 * MINUTE + 1)], 100 * MINUTE));
        assert_ne!(plain, sign((10, 2), &[], 10 * MINUTE + 5), "its end was too young to be read");
    }
}
