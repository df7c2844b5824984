//! What is forgotten, and what is told when it would be needed.

use crate::case::Case;
use correlate::{
    Correlator, Moment, Rank, Span,
    facts::{Decided, Fact, Grant, Issued, What},
};
use events::event::Outcome;
use uuid::Uuid;

const DAY: i64 = 86_400_000;

/// The same people, day by day: each signs in, is given new tokens four times, and is decided about forty times.
struct Days {
    correlator: Correlator,
    events: u128,
}

impl Days {
    fn new() -> Self {
        Self { correlator: Correlator::new(Case::new().config), events: 0 }
    }

    fn take(&mut self, at: i64, place: (&str, Rank), what: What<'_>) {
        let (source, rank) = place;
        self.events += 1;
        let moment = Moment { at, rank, event: Uuid::new_v5(&Uuid::NAMESPACE_OID, &self.events.to_le_bytes()) };
        let realm = if source == "kc" { "r" } else { "" };
        self.correlator.take(&Fact { moment, span: Span::exact(at), source, realm, by: "", what });
    }

    fn day(&mut self, day: i64) {
        for number in 0..100 {
            let at = day * DAY + number * 1_000;
            let (user, reference) = (format!("user-{number:032}"), format!("user:default/person{number}"));
            let session = format!("session-{day:08}-{number:019}");
            self.take(at, ("kc", Rank::Login), What::Named { user: &user, username: &reference[13..], email: "" });
            let login = What::Login { user: &user, session: &session, client: "backstage", impersonator: "" };
            self.take(at, ("kc", Rank::Login), login);
            for turn in 0..4 {
                let at = at + turn * 600_000;
                let token = |turn: i64| format!("refresh-{day:08}-{number:08}-{turn:08}");
                let (grant, presented) =
                    if turn == 0 { (Grant::Code, String::new()) } else { (Grant::Refresh, token(turn - 1)) };
                let (access, refresh) = (format!("access-{day:08}-{number:08}-{turn:08}"), token(turn));
                let (user, session, client) = (&*user, &*session, "backstage");
                let (access, presented, refresh, offline) = (&*access, &*presented, &*refresh, false);
                let issued = Issued { user, session, client, grant, access, presented, refresh, offline };
                self.take(at + 100, ("kc", Rank::Issue), What::Issued(issued));
                let issuing = What::BackstageIssued { reference: &reference, claims: "", instance: "pod-1" };
                self.take(at + 200, ("bs", Rank::BackstageIssue), issuing);
                for decision in 0..10 {
                    let trace = format!("trace-{day:08}-{number:08}-{turn:08}-{decision:02}");
                    let decided = Decided {
                        reference: &reference,
                        actor: ("plugin", "plugin:permission"),
                        permission: "deploy",
                        action: "use",
                        resource_type: "",
                        resource: "",
                        outcome: Outcome::Deny,
                        owner_refs: &[],
                        instance: "pod-1",
                        trace: &trace,
                    };
                    self.take(at + 1_000 + decision, ("bs", Rank::Decision), What::Decided(decided));
                }
            }
        }
        self.correlator.settle();
    }

    fn size(&self) -> usize {
        self.correlator.rooms().iter().map(|(_, bytes)| bytes).sum()
    }
}

#[test]
fn memory_does_not_grow_with_the_days() {
    let (mut all, mut forgetful) = (Days::new(), Days::new());
    let (mut grown, mut flat) = (Vec::new(), Vec::new());
    for day in 0..15 {
        all.day(day);
        forgetful.day(day);
        grown.push(all.size());
        if day > 3 {
            forgetful.correlator.forget((day - 3) * DAY, &mut |_| {});
            let (size, rooms) = (forgetful.correlator.size(), forgetful.size());
            assert_eq!(size, rooms, "measured when it has forgotten");
        }
        flat.push(forgetful.size());
    }
    assert!(grown[14] > 2 * grown[5], "{grown:?}");
    // Sessions and refresh tokens stay.
    assert!(flat[14] * 100 < flat[5] * 135, "{flat:?}");
    assert_eq!(forgetful.correlator.too_old(), None, "nothing reached back");
}
