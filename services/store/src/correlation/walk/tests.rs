//! Ways by hand; the oracle of the pipeline holds the walk against the view.

use super::*;

const NOW: (i64, i64) = (100, 100);

pub(in crate::correlation) fn edge(
    kind: &str,
    (holder, held): (&str, &str),
    (from, to): (Option<i64>, Option<i64>),
) -> Edge {
    Edge {
        kind: kind.into(),
        person: String::new(),
        account: String::new(),
        source_id: "kc".into(),
        holder: holder.into(),
        held: held.into(),
        held_source_id: "kc".into(),
        from,
        to,
        begun_in: Uuid::nil(),
        rests_on_gap: 0,
    }
}

pub(in crate::correlation) fn own(kind: &str, holder: &str, (from, to): (Option<i64>, Option<i64>)) -> Edge {
    Edge { person: "ann".into(), ..edge(kind, (holder, ""), (from, to)) }
}

pub(in crate::correlation) fn group(id: &str) -> Held {
    Held {
        person: "ann".into(),
        account: String::new(),
        source_id: "kc".into(),
        right_kind: "group".into(),
        right_id: id.into(),
        from: Some(10),
        to: None,
        granted_by: "root".into(),
        granted_in: Uuid::from_u128(7),
        by_default: 0,
        rests_on_gap: 0,
    }
}

fn had(held: &[Held], own: &[Edge], edges: &[Edge]) -> Vec<(String, Vec<String>, Option<i64>)> {
    let found = walk(held, own, &World::of(edges), NOW);
    found.into_iter().map(|row| (row.right_id, row.path, row.held_from)).collect()
}

fn row(id: &str, path: &[&str], from: Option<i64>) -> (String, Vec<String>, Option<i64>) {
    (id.into(), path.iter().map(|&part| part.to_owned()).collect(), from)
}

#[test]
fn a_walk_goes_round_no_circle_and_holds_for_as_long_as_all_of_it_does() {
    let still = (None, None);
    let edges = [
        edge("parent", ("g", "top"), (Some(20), None)),
        edge("parent", ("top", "g"), still),
        edge("group_role", ("top", "r"), (Some(5), None)),
        edge("composite", ("r", "inner"), still),
        edge("group_role", ("top", "over"), (Some(5), Some(90))),
        edge("name", ("g", "group:g"), still),
        edge("role_member", ("group:g", "role:b"), still),
        edge("policy", ("role:b", "read|use|allow"), still),
        // A role that died.
        edge("group_role", ("g", "dead"), still),
        edge("lives", ("dead", ""), (None, Some(50))),
    ];
    let found = had(&[group("g")], &[], &edges);
    let expected = [
        row("role:b", &["g", "group:g"], Some(10)),
        row("g", &[], Some(10)),
        row("top", &["g"], Some(20)),
        row("read|use|allow", &["g", "group:g", "role:b"], Some(10)),
        row("inner", &["g", "top", "r"], Some(20)),
        row("r", &["g", "top"], Some(20)),
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_account_that_was_gone_holds_from_its_return_on_and_a_tie_leads_to_what_a_reference_has() {
    let still = (None, None);
    let edges = [edge("role_member", ("user:ann", "role:b"), (Some(3), None))];
    let gone =
        [own("gone", "", (Some(30), Some(40))), own("tie", "user:ann", still), own("disabled", "", (Some(90), None))];
    let found = walk(&[group("g")], &gone, &World::of(&edges), (35, 100));
    let told: Vec<_> = found.iter().map(|row| (row.right_id.as_str(), row.held_from, row.held_to)).collect();
    assert_eq!(told, [("role:b", Some(40), None), ("g", Some(40), None)]);
    assert!(found.iter().all(|row| row.is_disabled == 1));
    // What a person has by themselves begins with the row that gives it.
    assert_eq!((found[0].path.len(), found[0].granted_at, found[1].granted_at), (0, None, Some(10)));
}
