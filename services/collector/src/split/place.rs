//! Where lines stood: numbers per instance, and the rule that dates a decision by the access line that follows it.

use super::Piece;
use events::receipt::TimeBasis;
use std::collections::HashMap;

/// How many lines of its instance a decision may stand before the access line that dates it.
pub const NEIGHBOUR_LINES: u32 = 20;

/// What a line is to its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A terminal permission evaluation: piece number.
    Evaluation(usize),
    /// The access line of an authorize call, with its time.
    Authorize(i64),
}

/// The lines of one delivery that matter to each other.
#[derive(Default)]
pub(super) struct Neighbours {
    instances: HashMap<String, Instance>,
}

#[derive(Default)]
struct Instance {
    lines: u32,
    roles: Vec<(u32, Role)>,
}

impl Neighbours {
    /// Counts a line of an instance.
    pub fn line(&mut self, instance: &str, role: Option<Role>) {
        if !self.instances.contains_key(instance) {
            self.instances.insert(instance.to_owned(), Instance::default());
        }
        let Some(found) = self.instances.get_mut(instance) else { return };
        if let Some(role) = role {
            found.roles.push((found.lines, role));
        }
        found.lines += 1;
    }

    /// Gives undated evaluations the time of the next authorize line of their instance, if it is near.
    pub fn date(self, pieces: &mut [Piece]) {
        for instance in self.instances.into_values() {
            let mut next: Option<(u32, i64)> = None;
            for (line, role) in instance.roles.into_iter().rev() {
                match role {
                    Role::Authorize(time_ns) => next = Some((line, time_ns)),
                    Role::Evaluation(piece) => {
                        let near = next.filter(|(at, _)| at - line <= NEIGHBOUR_LINES);
                        let place = pieces.get_mut(piece).and_then(|piece| piece.line.as_mut());
                        if let (Some((_, time_ns)), Some(place)) = (near, place) {
                            place.time_ns = Some(time_ns);
                            place.basis = TimeBasis::NeighbourLine;
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::receipt::{LinePlace, Payload};

    /// Whether an evaluation is dated by an authorize line so many lines on, of its own instance or another.
    fn dated(lines_on: u32, instance: &str) -> Option<i64> {
        let mut neighbours = Neighbours::default();
        neighbours.line("a", Some(Role::Evaluation(0)));
        (1..lines_on).for_each(|_| neighbours.line("a", None));
        neighbours.line(instance, Some(Role::Authorize(7)));
        let mut piece = Piece::of(Payload::BackstageLine, Vec::new());
        let (instance, mark) = ("a".to_owned(), String::new());
        let basis = TimeBasis::Receipt;
        piece.line = Some(LinePlace { instance, number: 0, time_ns: None, basis, mark, backlog: false });
        let mut pieces = [piece];
        neighbours.date(&mut pieces);
        let place = pieces[0].line.as_ref().unwrap();
        assert_eq!(place.time_ns.is_some(), place.basis == TimeBasis::NeighbourLine);
        place.time_ns
    }

    #[test]
    fn a_decision_is_dated_by_a_line_of_its_instance_at_most_twenty_lines_on() {
        assert_eq!((dated(1, "a"), dated(20, "a")), (Some(7), Some(7)));
        assert_eq!((dated(21, "a"), dated(1, "b")), (None, None));
    }
}
