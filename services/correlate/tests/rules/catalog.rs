//! What the catalog alone tells of memberships, until Keycloak speaks of them.

use crate::case::Case;
use correlate::{
    facts::{Entity, List, What},
    rows::Verdict,
};
use events::event::Outcome::Allow;

const OPS: &[(&str, &str)] = &[("group:default/ops", "g-ops")];

#[test]
fn what_the_catalog_alone_told_counts_no_more_once_keycloak_speaks_of_it() {
    let listed: &'static [(&str, &str, &[&str])] = &[("user:default/cleo", "u1", &["group:default/ops"])];
    let of = |later: fn(&mut Case)| {
        let mut case = Case::new();
        case.keycloak(0.5, What::UserCreated { user: "u1" });
        case.catalog(1.0, listed, OPS);
        let event = case.decision(15.0, "user:default/cleo", Allow);
        later(&mut case);
        case.rows().decision(event).verdict
    };
    assert_eq!(of(|_| {}), Verdict::Agrees);
    let read = |case: &mut Case| case.read(20.0, ("kc", "r"), (vec![], vec![], vec![(List::Members, vec![])]));
    assert_eq!(of(read), Verdict::AllowedWithoutRight, "nobody is in the group, by Keycloak's word");
    assert_eq!(
        of(|case| {
            case.member(30.0, ("u1", "g-ops", true));
        }),
        Verdict::AllowedWithoutRight,
        "it was given later"
    );
    // Of whom nothing else is told.
    let unknown = |later: fn(&mut Case)| {
        let mut case = Case::new();
        case.catalog(1.0, listed, OPS);
        let event = case.decision(15.0, "user:default/cleo", Allow);
        case.read(20.0, ("kc", "r"), (vec![], vec![], vec![(List::Members, vec![])]));
        later(&mut case);
        case.rows().decision(event).verdict
    };
    assert_eq!(unknown(|_| {}), Verdict::Agrees, "nobody knows that the realm that was read is theirs");
    assert_eq!(
        unknown(|case| {
            case.keycloak(0.5, What::UserCreated { user: "u1" });
        }),
        Verdict::AllowedWithoutRight
    );
    let user = Entity::User { user: "u1", username: "cleo", email: "", enabled: true };
    let mut case = Case::new();
    case.catalog(1.0, listed, OPS);
    let event = case.decision(15.0, "user:default/cleo", Allow);
    case.read(20.0, ("kc", "r"), (vec![], vec![], vec![(List::Members, vec![])]));
    case.read(40.0, ("kc", "r"), (vec![List::Users], vec![user], vec![]));
    assert_eq!(case.rows().decision(event).verdict, Verdict::AllowedWithoutRight);
}
