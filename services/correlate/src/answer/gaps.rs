//! Missing events, named: who, which right, between which two pieces of evidence, and what most likely became of it.

use crate::{
    known::Known,
    names::Id,
    rows::{Cause, GapRow, Key, Missed, RightKind, Row},
    state::ledger::Missing,
};
use events::person::PersonKey;

impl Known {
    /// Rows of every gap in what is known of a user.
    pub(crate) fn gap_rows(&self, user: Id) -> Vec<(Key, Row)> {
        let mut rows = Vec::new();
        let person = self.key(user);
        for (group, ledger) in self.keycloak.members.ever(user) {
            for gap in ledger.gaps() {
                let causes = self.causes(user, gap);
                rows.push(row((&person, RightKind::Group, self.names.name(group)), gap, causes));
            }
        }
        for (role, ledger) in self.keycloak.user_roles.ever(user) {
            for gap in ledger.gaps() {
                let causes = self.causes(user, gap);
                rows.push(row((&person, RightKind::Role, self.names.name(role)), gap, causes));
            }
        }
        if let Some(ledger) = self.keycloak.enabled.get(user) {
            for gap in ledger.gaps() {
                rows.push(row((&person, RightKind::Enabled, ""), gap, vec![Cause::LostDelivery, Cause::BehindTheApi]));
            }
        }
        if let Some(ledger) = self.keycloak.users.get(user) {
            for gap in ledger.gaps() {
                let causes = vec![Cause::LostDelivery, Cause::Federation, Cause::BehindTheApi];
                rows.push(row((&person, RightKind::Existence, ""), gap, causes));
            }
        }
        rows
    }

    /// Likely causes, likeliest first.
    fn causes<V: Copy + PartialEq>(&self, user: Id, gap: &Missing<V>) -> Vec<Cause> {
        let between = |at: i64| gap.after.at < at && at <= gap.before.at;
        let mut causes = Vec::new();
        if gap.becomes.is_none()
            && self.keycloak.unnamed.get(&user).is_some_and(|times| times.iter().any(|at| between(*at)))
        {
            causes.push(Cause::UnnamedRemoval);
        }
        let created = self.keycloak.users.get(user).is_some_and(|ledger| {
            ledger.segments().iter().filter_map(|segment| segment.since).any(|since| between(since.at))
        });
        if gap.becomes.is_some() && created {
            causes.push(Cause::NewUser);
        }
        causes.extend([Cause::LostDelivery, Cause::Federation, Cause::BehindTheApi]);
        causes
    }
}

fn row<V: Copy + PartialEq>(whose: (&PersonKey, RightKind, &str), gap: &Missing<V>, causes: Vec<Cause>) -> (Key, Row) {
    let (person, kind, right) = whose;
    let missing = match (gap.becomes, kind) {
        (_, RightKind::Enabled) => Missed::Change,
        (Some(_), _) => Missed::Grant,
        (None, _) => Missed::Removal,
    };
    let key = Key::Gap(person.0.clone(), kind, right.to_owned(), gap.after.event);
    let (after, before) = (gap.after.at, gap.before.at);
    let evidence = (gap.after.event, gap.before.event);
    let (person, right) = (Some(person.clone()), right.to_owned());
    (key, Row::Gap(GapRow { person, kind, right, missing, after, before, evidence, causes }))
}
