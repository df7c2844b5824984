//! Names of sessions that are gone, as little of each as tells one from another: eight bytes, by the month in which the session was over.
//!
//! Keycloak gives no session id twice, and refuses whoever comes back with one that has ended or expired. What still speaks of such a
//! session speaks of it soon: so a month is forgotten when it lies more than [`MONTHS`] back, and the whole is no larger than the sessions of
//! that time.

use crate::{
    checkpoint::{Kept, Reader, Unreadable, Writer},
    moment::Millis,
    places::Place,
};
use std::collections::BTreeMap;

const MONTH: Millis = 30 * 86_400_000;
/// How many months are kept: more than a year.
const MONTHS: i64 = 14;

/// Enough of a keyed hash that of ten million sessions none is taken for one of ten million others.
type Short = [u8; 8];

/// Sessions, by month, in order.
#[derive(Default)]
pub(crate) struct Spent(BTreeMap<i64, Vec<Short>>);

impl Spent {
    /// Adds sessions that were over by `over`, and forgets those that were so long before.
    pub(crate) fn add(&mut self, over: Millis, sessions: impl Iterator<Item = Place>) {
        let month = over.div_euclid(MONTH);
        let known = self.0.entry(month).or_default();
        known.extend(sessions.map(short));
        known.sort_unstable();
        known.dedup();
        known.shrink_to_fit();
        self.0 = self.0.split_off(&month.saturating_sub(MONTHS - 1));
    }

    pub(crate) fn contains(&self, session: Place) -> bool {
        let session = short(session);
        self.0.values().any(|known| known.binary_search(&session).is_ok())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn short(place: Place) -> Short {
    let [first @ .., _, _, _, _] = place;
    first
}

impl Kept for Spent {
    fn put(&self, to: &mut Writer<'_>) {
        self.0.put(to);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        Kept::get(from).map(Self)
    }

    fn room(&self) -> usize {
        self.0.room()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Places as a hash makes them: spread over all bytes.
    fn place(number: u64) -> Place {
        let mut place = [0; 12];
        place[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        place
    }

    #[test]
    fn it_holds_what_a_set_holds_in_eight_bytes_each_for_more_than_a_year() {
        let (mut spent, mut all, mut next) = (Spent::default(), HashSet::new(), 0);
        assert!(spent.is_empty());
        for day in 0..MONTHS * 30 {
            let today: Vec<Place> = (next..next + 50).map(place).collect();
            next += 40;
            all.extend(today.iter().copied());
            spent.add(day * 86_400_000, today.into_iter());
        }
        assert!(all.iter().all(|known| spent.contains(*known)));
        assert!((next + 10..next + 10_000).all(|number| !spent.contains(place(number))));
        let most = all.len() * size_of::<Short>() + 14 * 200;
        assert!(spent.room() <= most, "{} of {most}", spent.room());
    }

    #[test]
    fn it_grows_no_more_after_that_and_a_year_is_never_forgotten() {
        let mut spent = Spent::default();
        let (mut rooms, daily) = (Vec::new(), 20);
        for day in 0..3_000_i64 {
            let first = day.unsigned_abs() * daily;
            spent.add(day * 86_400_000, (first..first + daily).map(place));
            rooms.push(spent.room());
            if day >= 366 {
                let year = (day - 366).unsigned_abs() * daily;
                assert!(spent.contains(place(year)), "day {day}");
            }
        }
        assert!(
            rooms[2_990..].iter().all(|room| *room <= rooms[450] + rooms[450] / 10),
            "{} {}",
            rooms[450],
            rooms[2_999]
        );
    }
}
