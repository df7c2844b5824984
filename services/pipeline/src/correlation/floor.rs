//! From when on to keep what is known: by how many events came of each day. Pure.

use correlate::checkpoint::{Kept, Reader, Unreadable, Writer};
use std::collections::BTreeMap;

const DAY: i64 = 86_400_000;

/// Events that were taken in, by the day on which they happened.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Days(BTreeMap<i64, u64>);

impl Days {
    pub(super) fn note(&mut self, time: i64) {
        *self.0.entry(time.div_euclid(DAY)).or_default() += 1;
    }

    /// The first midnight before which at least `part` of all lies, or the last one that is not behind `limit`; none if nothing
    /// lies before that.
    pub(super) fn midnight(&self, part: f64, limit: i64) -> Option<i64> {
        let enough = self.0.values().sum::<u64>() as f64 * part;
        let (mut before, mut found) = (0, None);
        for (day, count) in &self.0 {
            let end = (day + 1) * DAY;
            if end > limit || before as f64 >= enough {
                break;
            }
            before += count;
            found = Some(end);
        }
        found
    }

    /// What happened before `floor` is not there any more.
    pub(super) fn forget(&mut self, floor: i64) {
        self.0 = self.0.split_off(&floor.div_euclid(DAY));
    }

    /// Bytes, about.
    pub(super) fn size(&self) -> usize {
        self.0.len() * 2 * size_of::<(i64, u64)>()
    }
}

impl Kept for Days {
    fn put(&self, to: &mut Writer<'_>) {
        let days: Vec<(i64, u64)> = self.0.iter().map(|(day, count)| (*day, *count)).collect();
        days.put(to);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let days: Vec<(i64, u64)> = Kept::get(from)?;
        Ok(Self(days.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_lies_behind_enough_and_never_behind_its_limit() {
        let mut days = Days::default();
        // One event of 1970, and then ten on each of ten days.
        days.note(-1);
        for day in 100..110 {
            (0..10).for_each(|hour| days.note(day * DAY + hour));
        }
        let midnight = |days: &Days, part, limit| days.midnight(part, limit * DAY).map(|floor| floor / DAY);
        assert_eq!(midnight(&days, 0.5, 200), Some(105));
        assert_eq!(midnight(&days, 0.001, 200), Some(0), "the day of what lies alone");
        assert_eq!(midnight(&days, 0.9, 104), Some(104));
        assert_eq!(midnight(&days, 0.9, 0), Some(0));
        assert_eq!(days.midnight(0.9, -1), None);
        days.forget(105 * DAY);
        assert_eq!(midnight(&days, 0.5, 200), Some(108));
        assert_eq!(midnight(&days, 0.5, 105), None, "nothing is left before it");
    }
}
