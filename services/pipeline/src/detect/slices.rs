//! A time in slices of which each is one answer, the earliest first. The whole time is tried first; what is too much is cut by how many
//! events its days have, a day that is too much by its minutes, and a minute by its milliseconds. Pure, but for the loop that asks.

use super::facts::{Reader, act};
use drift::facts::Act;
use std::collections::BTreeSet;
use store::{StoreError, drift_facts::DriftQuery};
use uuid::Uuid;

/// Most events of a slice: less than one answer holds, for some come meanwhile.
const TOGETHER: u64 = 20_000;
/// Most events of an answer.
const MOST: u32 = 40_000;
/// By what is cut, milliseconds: a day, a minute of it, one of that.
const UNITS: [i64; 3] = [86_400_000, 60_000, 1];
/// So often a time is cut at most: three times, and again where much came meanwhile.
const CUTS_MOST: usize = 8;

/// A time, UTC milliseconds, [from, to).
type Span = (i64, i64);

struct Slices {
    /// The earliest is the last one; with how often it was cut.
    waiting: Vec<(Span, usize)>,
    /// Most events of one.
    together: u64,
    /// Events of the slice before.
    last: BTreeSet<Uuid>,
}

impl Slices {
    fn of(whole: Span, together: u64) -> Self {
        Self { waiting: vec![(whole, 0)], together, last: BTreeSet::new() }
    }

    /// By what one that is too much is to be cut; none: it is one millisecond, or cuts do not help.
    fn unit(((from, to), cut): (Span, usize)) -> Option<i64> {
        (from.saturating_add(1) < to && cut < CUTS_MOST).then(|| UNITS[cut.min(UNITS.len() - 1)])
    }

    /// One that is too much, by how many events each unit of it has, in order. A unit that is too much stands alone.
    fn cut(&mut self, ((from, to), cut): (Span, usize), (unit, counts): (i64, &[(i64, u64)])) {
        let mut cuts = Vec::new();
        let mut sum = 0_u64;
        for &(begins, count) in counts {
            sum = sum.saturating_add(count);
            if sum > self.together {
                cuts.push(begins);
                sum = count;
            }
            if count > self.together {
                cuts.push(begins.saturating_add(unit));
                sum = 0;
            }
        }
        let mut end = to;
        for begins in cuts.into_iter().rev() {
            // The unit may have begun before, and end after; and one that ends where the next begins is one cut.
            if from < begins && begins < end {
                self.waiting.push(((begins, end), cut + 1));
                end = begins;
            }
        }
        self.waiting.push(((from, end), cut + 1));
    }

    /// What of a slice the one before has not told: copies of one event can have other times (a kill repeats a read), and the earliest
    /// counts.
    fn news(&mut self, slice: Vec<Act>) -> impl Iterator<Item = Act> {
        let told = std::mem::replace(&mut self.last, slice.iter().map(|act| act.event).collect());
        slice.into_iter().filter(move |act| !told.contains(&act.event))
    }
}

impl Reader {
    /// Gives events of some kinds in order of time. No more than one answer of them is held here.
    pub(super) async fn in_slices(
        &self,
        (query, kinds): (&DriftQuery<'_>, &[&str]),
        mut take: impl FnMut(Act) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut slices = Slices::of((query.from, query.to), TOGETHER);
        while let Some(slice) = slices.waiting.pop() {
            let asked = DriftQuery { from: slice.0.0, to: slice.0.1, most: MOST, ..*query };
            match (self.store.drift_acts(&asked, kinds).await, Slices::unit(slice)) {
                (Err(StoreError::TooMany { .. }), Some(unit)) => {
                    slices.cut(slice, (unit, &self.store.drift_spans(&asked, kinds, unit).await?));
                }
                (read, _) => slices.news(read?.into_iter().map(act).collect()).try_for_each(&mut take)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const DAY: i64 = UNITS[0];

    /// As [`Reader::in_slices`] asks it; `most`: of one answer. None: too many in one millisecond.
    fn read(times: &[i64], whole: Span, (most, together): (usize, u64)) -> Option<(Vec<i64>, usize)> {
        let (mut slices, mut found, mut asked) = (Slices::of(whole, together), Vec::new(), 0);
        while let Some(slice) = slices.waiting.pop() {
            asked += 1;
            let ((from, to), _) = slice;
            let answer = &times[times.partition_point(|at| *at < from)..times.partition_point(|at| *at < to)];
            if answer.len() <= most {
                found.extend(answer);
                continue;
            }
            let unit = Slices::unit(slice)?;
            let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
            answer.iter().for_each(|at| *counts.entry(at.div_euclid(unit) * unit).or_default() += 1);
            slices.cut(slice, (unit, &Vec::from_iter(counts)));
        }
        Some((found, asked))
    }

    proptest! {
        #[test]
        fn each_event_is_read_once_in_order_or_there_are_too_many_in_a_millisecond(
            mut times in prop::collection::vec(prop_oneof![-3 * DAY..3 * DAY, 0_i64..60_010, 0_i64..4], 0..80),
            (from, to) in prop_oneof![Just((i64::MIN, i64::MAX)), (-4 * DAY..0, 0..4 * DAY)],
            (most, together) in (1_usize..6).prop_flat_map(|most| (Just(most), 1..=most as u64)),
        ) {
            times.sort_unstable();
            let within: Vec<i64> = times.iter().copied().filter(|at| (from..to).contains(at)).collect();
            let fits = !within.windows(most + 1).any(|some| some[0] == some[most]);
            let found = read(&times, (from, to), (most, together)).map(|(found, _)| found);
            prop_assert_eq!(found, fits.then_some(within));
        }
    }

    #[test]
    fn days_are_read_together_as_far_as_they_fit_and_a_large_one_by_its_minutes() {
        let day = |day: i64, count: u64| (day * DAY, count);
        let days = [day(1, 60_000), day(2, 40_000), day(3, 1), day(9, 300_000), day(10, 5), day(20, 99_995)];
        let mut slices = Slices::of((i64::MIN, i64::MAX), 100_000);
        let whole = slices.waiting.pop().unwrap();
        slices.cut(whole, (DAY, &days));
        let spans: Vec<Span> = slices.waiting.iter().rev().map(|(span, _)| *span).collect();
        assert_eq!(spans, [(i64::MIN, 3 * DAY), (3 * DAY, 9 * DAY), (9 * DAY, 10 * DAY), (10 * DAY, i64::MAX)]);
        assert_eq!([Slices::unit(whole), Slices::unit(slices.waiting[0])], [Some(DAY), Some(60_000)]);
        // An event a minute: the whole, and seven slices.
        let times: Vec<i64> = (0..10_000).map(|minute| minute * 60_000).collect();
        assert_eq!(read(&times, (i64::MIN, i64::MAX), (2_000, 1_500)), Some((times.clone(), 8)));
        // Half a day fits: each whole day and its two parts.
        assert_eq!(read(&times, (0, 2 * DAY), (1_000, 800)), Some((times[..2_880].to_vec(), 7)));
    }

    #[test]
    fn a_copy_behind_a_cut_is_no_other_event() {
        let slice = |events: &[(u128, i64)]| {
            let act = |(event, at): &(u128, i64)| Act { event: Uuid::from_u128(*event), at: *at, ..Act::default() };
            events.iter().map(act).collect::<Vec<_>>()
        };
        let mut slices = Slices::of((0, 10), TOGETHER);
        let mut times = |events| slices.news(slice(events)).map(|act| act.at).collect::<Vec<_>>();
        assert_eq!(times(&[(1, 1), (2, 2)]), [1, 2]);
        assert_eq!(times(&[(2, 3), (3, 4)]), [4]);
        assert_eq!(times(&[(3, 5), (1, 6)]), [6], "the slice before alone is looked at");
    }
}
