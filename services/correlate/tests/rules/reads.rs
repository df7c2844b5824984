//! What reads of a Keycloak say of rights that events told otherwise, or not at all.

use crate::{case::person, rights::case};
use correlate::{
    facts::{List, What},
    rows::{Cause, Grade, Missed, Reason, RightKind, Verdict},
};
use events::event::Outcome::Allow;

#[test]
fn a_removal_that_was_lost_is_a_gap_and_healed_by_the_next_read() {
    let mut case = case();
    case.read(5.0, ("kc", "r"), (vec![], vec![], vec![(List::Members, vec![])]));
    case.member(10.0, ("u1", "g-ops", true));
    let inside = case.decision(50.0, "user:default/cleo", Allow);
    case.read(100.0, ("kc", "r"), (vec![], vec![], vec![(List::Members, vec![])]));
    let after = case.decision(190.0, "user:default/cleo", Allow);
    let rows = case.rows();
    let gap = rows.gaps()[0];
    assert_eq!((gap.person.as_ref(), gap.kind, gap.right.as_str()), (Some(&person("u1")), RightKind::Group, "g-ops"));
    assert_eq!((gap.missing, gap.after, gap.before), (Missed::Removal, 10_000, 100_000));
    assert_eq!(gap.causes[0], Cause::LostDelivery);
    assert_eq!(rows.decision(inside).verdict, Verdict::Agrees);
    // Gone since the read at the latest: beyond the budget, but what rests on a gap is no violation.
    let after = rows.decision(after);
    assert_eq!((after.verdict, after.delay, after.grade <= Grade::Inferred), (Verdict::Exposure, Some(90_000), true));
    for row in [rows.decision(inside), after] {
        assert!(row.reasons.contains(&Reason::RestsOnGap), "{row:?}");
    }
}

#[test]
fn a_removal_without_an_addition_means_that_it_was_held_before() {
    let mut case = case();
    case.member(100.0, ("u1", "g-ops", false));
    let before = case.decision(50.0, "user:default/cleo", Allow);
    let rows = case.rows();
    assert_eq!(rows.decision(before).verdict, Verdict::Agrees);
    assert_eq!(rows.decision(before).support[0].since, None);
    assert_eq!((rows.grants()[0].from, rows.grants()[0].to), (None, Some(100_000)));
}

#[test]
fn a_read_of_which_a_piece_is_missing_says_nothing() {
    use correlate::{
        Rank,
        facts::{Piece, Read},
    };
    let mut case = case();
    case.member(10.0, ("u1", "g-ops", true));
    let place = ("kc", "r", Rank::Read);
    case.tell(100.0, place, What::Read(Read { id: "r1", piece: Piece::Begin { at: 100_000 } }));
    let end = Piece::End { at: 100_000, whole: vec![List::Members], entities: 0, pairs: 1 };
    case.tell(100.0, place, What::Read(Read { id: "r1", piece: end }));
    let decision = case.decision(190.0, "user:default/cleo", Allow);
    assert!(case.rows().gaps().is_empty());
    assert_eq!(case.rows().decision(decision).verdict, Verdict::Agrees);
    let page = Piece::List { list: List::Members, pairs: vec![("u9", "g-ops")] };
    case.tell(100.0, place, What::Read(Read { id: "r1", piece: page }));
    assert_eq!(case.rows().gaps().len(), 1, "now it is whole, and does not list cleo");
}

#[test]
fn a_read_at_the_time_of_a_change_is_not_held_against_it() {
    let mut case = case();
    case.member(100.0, ("u1", "g-ops", true));
    case.read(100.4, ("kc", "r"), (vec![], vec![], vec![(List::Members, vec![])]));
    assert!(case.rows().gaps().is_empty());
}
