//! A real Keycloak and a real Backstage that signs in through it and follows its groups: people gain and lose a group between
//! decisions, are disabled with a live token, lose a role by the console, and are changed in Keycloak's database behind everybody's back.
//! What was done, and when, is what the program says of every decision.
#![allow(clippy::unwrap_used)] // a test may panic

mod asked;
mod bench;
mod judged;
mod ledger;
#[path = "../support/mod.rs"]
mod support;
mod unseen;

use bench::REALM;
use ledger::{Change, Span, Stand, Story, now};
use std::collections::BTreeMap;
use testbed::{
    Keycloak,
    backstage::{Permission, Refresh, SignIn},
};

/// The group whose role may register locations.
pub const OPERATORS: &str = "/engineering/sre";

#[tokio::test(flavor = "multi_thread")]
async fn each_decision_is_told_with_who_by_which_right_and_how_stale_while_rights_come_and_go() {
    let (bench, keycloak) = bench::start().await;
    let mut story = Story { bench: &bench, people: BTreeMap::new() };
    gains_and_loses_a_group(&mut story, &keycloak).await;
    is_disabled_with_a_live_token(&mut story, &keycloak).await;
    asked::a_group_that_came_and_went(&story, &keycloak).await;
    asked::a_disabled_person(&story);
    asked::a_role_that_the_console_took(&bench, &keycloak).await;
    unseen::a_change_that_only_the_snapshot_shows(&mut story, keycloak).await;
    // Every decision again, once all is known.
    for name in ["pia", "sven"] {
        judged::as_done(&story, name);
    }
    let checked = bench.json(&["self-check", "--persons", "0"]);
    assert!(checked["rows"].as_u64().unwrap() > 50 && checked["differ"] == serde_json::json!({}), "{checked}");
    assert_eq!(bench.program.terminate(), Some(0));
}

/// Pia: refused until the catalog has heard that she came, with her token and with a new one; let in until it has heard that she left.
async fn gains_and_loses_a_group(story: &mut Story<'_>, keycloak: &Keycloak) {
    story.sign_in(keycloak, "pia", (Permission::CreateLocation, Stand::Never)).await;
    assert!(!story.decide("pia").await);
    story.decide_before_the_sync(keycloak, "pia", (Change::Join, OPERATORS)).await;
    story.refresh("pia").await;
    story.until_decided("pia", true).await;
    story.decide_before_the_sync(keycloak, "pia", (Change::Leave, OPERATORS)).await;
    story.until_decided("pia", false).await;
}

/// Sven: the account ends, the token does not; no sync changes that.
async fn is_disabled_with_a_live_token(story: &mut Story<'_>, keycloak: &Keycloak) {
    story.sign_in(keycloak, "sven", (Permission::CreateTask, Stand::Held)).await;
    assert!(story.decide("sven").await);
    let admin = keycloak.admin();
    let sven = story.people.get_mut("sven").unwrap();
    let from = now();
    admin.disable_user(REALM, &sven.id).await.unwrap();
    sven.stand = Stand::Disabled(Span { from, to: now() });
    assert_eq!(sven.session.refresh().await.unwrap(), Refresh::Refused);
    assert!(story.decide("sven").await);
    let again = story.bench.backstage.sign_in("sven", "sven-pw").await.unwrap();
    assert!(matches!(again, SignIn::RefusedByKeycloak), "{again:?}");
    for _ in 0..2 {
        story.bench.backstage.synced().await.unwrap();
        assert!(story.decide("sven").await);
    }
}
