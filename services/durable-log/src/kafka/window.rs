//! Which records of the journal the broker has confirmed: pure, so that any order of answers ends in the same cursor.

use std::collections::VecDeque;

/// Records from the cursor on. Everything below `cursor` is confirmed.
#[derive(Debug)]
pub(super) struct Window {
    cursor: u64,
    /// True: confirmed, or lost in the journal.
    slots: VecDeque<bool>,
}

impl Window {
    pub(super) fn new(cursor: u64) -> Self {
        Self { cursor, slots: VecDeque::new() }
    }

    /// Offset below which every record is confirmed.
    pub(super) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Offset of the next record to come.
    pub(super) fn next(&self) -> u64 {
        self.cursor + self.slots.len() as u64
    }

    /// Records between cursor and next.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The record at [`Window::next`] is on its way.
    pub(super) fn sent(&mut self) {
        self.slots.push_back(false);
    }

    /// Nothing can be sent up to `next`: the journal has lost it, and says so.
    pub(super) fn lost(&mut self, next: u64) {
        while self.next() < next {
            self.slots.push_back(true);
        }
        self.advance();
    }

    /// The broker has it. A second confirmation, and one from before a step back, change nothing.
    pub(super) fn confirmed(&mut self, offset: u64) {
        let Some(at) = offset.checked_sub(self.cursor).and_then(|at| usize::try_from(at).ok()) else { return };
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = true;
        }
        self.advance();
    }

    fn advance(&mut self) {
        while self.slots.front() == Some(&true) {
            self.slots.pop_front();
            self.cursor += 1;
        }
    }

    /// Offsets that are not confirmed.
    pub(super) fn open(&self) -> impl Iterator<Item = u64> + '_ {
        let open = |(at, done): (usize, &bool)| (!done).then_some(self.cursor + at as u64);
        self.slots.iter().enumerate().filter_map(open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_stands_below_the_first_open_record() {
        let mut window = Window::new(10);
        (0..5).for_each(|_| window.sent());
        for offset in [12, 11, 14] {
            window.confirmed(offset);
            assert_eq!(window.cursor(), 10);
        }
        assert_eq!(window.open().collect::<Vec<_>>(), [10, 13]);
        window.confirmed(10);
        assert_eq!((window.cursor(), window.next()), (13, 15));
        window.confirmed(3);
        window.confirmed(13);
        window.confirmed(13);
        assert_eq!((window.cursor(), window.len()), (15, 0));
    }

    #[test]
    fn what_the_journal_lost_holds_nothing_up() {
        let mut window = Window::new(0);
        window.sent();
        window.lost(4);
        assert_eq!((window.cursor(), window.next()), (0, 4));
        window.confirmed(0);
        assert_eq!(window.cursor(), 4);
    }

    #[test]
    fn any_order_of_answers_ends_at_the_end() {
        use rand::seq::SliceRandom;
        let mut rng = rand::rng();
        for _ in 0..200 {
            let mut window = Window::new(7);
            (0..50).for_each(|_| window.sent());
            let mut answers: Vec<u64> = (7..57).chain(20..30).collect();
            answers.shuffle(&mut rng);
            let mut confirmed = std::collections::BTreeSet::new();
            for offset in answers {
                window.confirmed(offset);
                confirmed.insert(offset);
                let expected = (7..).find(|offset| !confirmed.contains(offset)).unwrap();
                assert_eq!(window.cursor(), expected);
            }
            assert_eq!(window.len(), 0);
        }
    }
}
