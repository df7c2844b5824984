//! A change in Keycloak's database while it stands still: no event tells, the catalog follows, and only the next snapshot shows it.

use crate::{
    OPERATORS, asked,
    bench::{Bench, REALM},
    judged,
    ledger::{Span, Stand, Story, now},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use testbed::{Keycloak, backstage::Permission};

/// Quinn is put into a group and nora is taken out of it.
pub async fn a_change_that_only_the_snapshot_shows(story: &mut Story<'_>, keycloak: Keycloak) {
    story.sign_in(&keycloak, "quinn", (Permission::CreateLocation, Stand::Never)).await;
    story.sign_in(&keycloak, "nora", (Permission::CreateLocation, Stand::Held)).await;
    assert!(!story.decide("quinn").await);
    assert!(story.decide("nora").await);
    let before = ["quinn", "nora"].map(|name| judged::as_done(story, name));
    assert_eq!(before.map(|rows| rows.len()), [1, 1]);
    let group = keycloak.admin().group_id(REALM, OPERATORS).await.unwrap();
    let (quinn, nora) = (story.people["quinn"].id.clone(), story.people["nora"].id.clone());
    let database = keycloak.database().unwrap();
    let mut changed = Span { from: 0, to: 0 };
    let keycloak = keycloak
        .restart(async || {
            let added = format!("INSERT INTO USER_GROUP_MEMBERSHIP VALUES ('{group}', '{quinn}', 'UNMANAGED')");
            let taken = format!("DELETE FROM USER_GROUP_MEMBERSHIP WHERE GROUP_ID = '{group}' AND USER_ID = '{nora}'");
            let from = now();
            database.execute(&format!("{added}; {taken}")).unwrap();
            changed = Span { from, to: now() };
        })
        .await
        .unwrap();
    story.people.get_mut("quinn").unwrap().stand = Stand::GivenUnseen;
    story.people.get_mut("nora").unwrap().stand = Stand::TakenUnseen;
    story.until_decided("quinn", true).await;
    story.until_decided("nora", false).await;

    // Nothing that is known explains the last of them, and nothing is known to be missing.
    let last = |name: &str| judged::rows(story, name).pop().unwrap().0;
    let row = last("quinn");
    assert_eq!((&row["verdict"], &row["support"]), (&json!("allowed_without_right"), &json!([])), "{row:#}");
    let row = last("nora");
    assert_eq!((&row["verdict"], &row["support"][0][0]), (&json!("denied_with_right"), &json!(group)), "{row:#}");
    let missing = |bench: &Bench| {
        let gaps = bench.json(&["gaps"]);
        let all = gaps["missing_events"].as_array().unwrap().clone();
        all.into_iter().filter(|gap| gap["right_id"] == group.as_str()).collect::<Vec<Value>>()
    };
    assert_eq!(missing(story.bench), Vec::<Value>::new());

    story.bench.snapshot("keycloak");
    let read = now();
    let gaps = missing(story.bench);
    let told: BTreeSet<(String, String)> = gaps
        .iter()
        .map(|gap| {
            let (after, before) = (gap["at"].as_i64().unwrap(), gap["before"].as_i64().unwrap());
            assert!(after < changed.from && changed.to < before && before <= read, "{changed:?}: {gap}");
            (gap["person"].as_str().unwrap().to_owned(), gap["missing"].as_str().unwrap().to_owned())
        })
        .collect();
    let key = |id: &str| judged::key(story.bench, id).as_str().unwrap().to_owned();
    assert_eq!(told, [(key(&quinn), "grant".to_owned()), (key(&nora), "removal".to_owned())].into());
    assert_eq!(gaps.len(), 2, "{gaps:#?}");
    for (id, what) in [(&quinn, "grant"), (&nora, "removal")] {
        let found = asked::finding(story.bench, "D03", |one| {
            one["person"] == key(id) && one["values"]["right"] == group.as_str()
        });
        assert_eq!((&found["values"]["what"], &found["state"]), (&json!(what), &json!("OPEN")), "{found}");
    }
    rest_on_the_gap(story, "quinn");
    rest_on_the_gap(story, "nora");
    let (row, _) = judged::rows(story, "quinn").pop().unwrap();
    let text = story.bench.text(&["explain", row["event_id"].as_str().unwrap()]);
    assert!(text.contains(&format!("{OPERATORS} was given, and no event says so")), "{text}");
    drop(keycloak);
}

/// When it was within the gap nobody can know: what is said of that time goes by the last that was known, and is not called certain.
fn rest_on_the_gap(story: &Story<'_>, name: &str) {
    let person = &story.people[name];
    let key = judged::key(story.bench, &person.id);
    for (row, done) in judged::rows(story, name) {
        judged::who_and_when((name, person, &key), (&row, &done));
        let verdict = match (done.stand, done.allowed) {
            (Stand::GivenUnseen, true) => "allowed_without_right",
            (Stand::TakenUnseen, false) => "denied_with_right",
            _ => "agrees",
        };
        assert_eq!(row["verdict"], verdict, "{done:?}: {row:#}");
        assert_eq!((&row["grade"], &row["reasons"]), (&json!("inferred"), &json!(["rests_on_gap"])), "{row:#}");
    }
}
