//! The recorded story of one Keycloak and one Backstage against what was really done, second by second: in order of arrival,
//! shuffled, from audit lines alone, and with two instances interleaved.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

#[path = "../../../events/tests/support/mod.rs"]
mod samples;
mod story;
mod truth;

use correlate::rows::{Clock, CredentialKind, Grade, Reason, Row, Verdict};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use std::collections::BTreeMap;
use story::{Input, Story};
use truth::{Told, check};

#[test]
fn every_operation_is_found_in_order_of_arrival() {
    let story = Story::recorded();
    let told = story.told(&story.inputs);
    let report = check(&story, &told);
    println!("{report}");
    assert_eq!(report.wrong, Vec::<String>::new());
    assert_eq!((report.operations, report.judged), (144, 152), "operations that left a decision, and their decisions");
}

#[test]
fn any_order_of_arrival_gives_the_same_rows() {
    let story = Story::recorded();
    let in_order = story.told(&story.inputs);
    for seed in 0..12 {
        let mut inputs = story.inputs.clone();
        inputs.extend(story.inputs.iter().filter(|input| input.number() % 3 == 0).cloned());
        inputs.shuffle(&mut StdRng::seed_from_u64(seed));
        let shuffled = story.told(&inputs);
        assert!(shuffled.rows == in_order.rows, "seed {seed}: {}", first_difference(&shuffled, &in_order));
    }
}

#[test]
fn audit_lines_alone_lower_the_grades_and_say_nothing_wrong() {
    let story = Story::recorded();
    let inputs: Vec<Input> = story.inputs.iter().filter(|input| input.is_no_plain_line()).cloned().collect();
    let told = story.told(&inputs);
    let report = check(&story, &told);
    println!("{report}");
    assert_eq!(report.wrong, Vec::<String>::new());
    assert!(told.decisions().all(|row| row.grade <= Grade::Inferred), "no line ties a token to a session");
}

#[test]
fn lines_of_two_instances_are_tied_per_person() {
    let story = Story::recorded().on_two_instances();
    let told = story.told(&story.inputs);
    let report = check(&story, &told);
    println!("{report}");
    assert_eq!(report.wrong, Vec::<String>::new());
    let without = Story::recorded().without_instance();
    let told = without.told(&without.inputs);
    let report = check(&without, &told);
    println!("{report}");
    assert_eq!(report.wrong, Vec::<String>::new());
    assert!(told.decisions().all(|row| row.grade <= Grade::Inferred), "without an instance nothing is certain");
}

#[test]
fn without_reads_of_keycloak_the_catalog_tells_who_was_in_which_group() {
    let story = Story::recorded();
    let inputs: Vec<Input> =
        story.inputs.iter().filter(|input| !matches!(input, Input::KeycloakState(_))).cloned().collect();
    let report = check(&story, &story.told(&inputs));
    println!("{report}");
    assert_eq!(report.wrong, Vec::<String>::new());
}

#[test]
fn sessions_sign_ins_and_tokens_are_those_of_the_story() {
    let story = Story::recorded();
    let told = story.told(&story.inputs);
    let sessions: Vec<_> = told
        .rows
        .values()
        .filter_map(|row| match row {
            Row::Session(row) => Some(row),
            _ => None,
        })
        .collect();
    let sign_ins = story.operations("bs-signin");
    let good: Vec<_> = sign_ins.iter().filter(|operation| operation["ok"] == true).collect();
    for operation in &good {
        let row = told.session(operation["sid"].as_str().unwrap());
        assert_eq!(row.person.as_ref(), Some(&story.key(operation)), "{operation}");
        assert_eq!(row.sign_ins.len(), 1, "{operation}");
        let credential = told.credential(row.sign_ins[0].credential.expect("a good sign-in brings a token"));
        assert_eq!((credential.kind, credential.sure), (CredentialKind::SignIn, true));
        assert_eq!(credential.session.as_deref(), operation["sid"].as_str());
        let mut claims: Vec<&str> =
            operation["ownership"].as_array().unwrap().iter().filter_map(|c| c.as_str()).collect();
        claims.retain(|claim| claim.starts_with("group:"));
        assert_eq!(credential.claims, claims);
        assert!((credential.at - operation["bs_iat"].as_i64().unwrap() * 1_000).abs() <= 1_000, "{operation}");
    }
    let tied = sessions.iter().flat_map(|row| &row.sign_ins).filter(|sign_in| sign_in.credential.is_some()).count();
    assert_eq!(tied, good.len());
    let refreshed: Vec<_> = told.credentials().filter(|row| row.kind == CredentialKind::Refresh).collect();
    let refreshes = story.operations("bs-refresh");
    assert_eq!(refreshed.len(), refreshes.iter().filter(|operation| operation["ok"] == true).count());
    assert!(refreshed.iter().all(|row| row.sure && row.session.is_some() && row.callback.is_none()));
    let chains: Vec<_> = told.tokens().filter(|row| row.grant == correlate::facts::Grant::Refresh).collect();
    assert!(chains.iter().all(|row| row.parent.is_some() && !row.reused), "each refresh presents the token before it");
}

#[test]
fn ends_of_sessions_are_known_by_what_tells_them() {
    use correlate::facts::EndKind;
    let story = Story::recorded();
    let told = story.told(&story.inputs);
    let of = |user: &str| {
        let first = story.operations("bs-signin").into_iter().find(|o| o["user"] == user && o["ok"] == true).unwrap();
        told.session(first["sid"].as_str().unwrap()).ended
    };
    let at = |op: &str| (story.operations(op)[0]["at"].as_f64().unwrap() * 1_000.0) as i64;
    let (signed_out, how) = of("ann").expect("ann signed out");
    assert_eq!(how, EndKind::RevokeGrant);
    assert!((signed_out - at("bs-logout")).abs() < 1_000);
    let (ended, how) = of("ben").expect("an admin ended it");
    assert_eq!(how, EndKind::Admin);
    assert!((ended - at("kc-admin-logout")).abs() < 1_000);
    assert_eq!(of("cleo"), None, "the last read lists it");
}

#[test]
fn a_disabled_person_is_on_the_clock_of_the_token() {
    let story = Story::recorded();
    let told = story.told(&story.inputs);
    let finn = told.decisions().filter(|row| row.reasons.contains(&Reason::Disabled)).collect::<Vec<_>>();
    let longest = finn.iter().filter_map(|row| row.delay).max().unwrap();
    assert!((580_000..=600_000).contains(&longest), "{longest}");
    let allowed = || finn.iter().filter(|row| row.outcome == events::event::Outcome::Allow);
    assert!(
        allowed().count() > 0 && allowed().all(|row| row.clock == Clock::Token && row.verdict == Verdict::Exposure)
    );
}

#[test]
fn keycloaks_words_for_a_refresh_token_that_was_used_before_are_known() {
    use correlate::facts::{Refusal, What, facts};
    use events::normalise::{Normalised, normalise};
    let receipts = samples::webhook("pair/keycloak-webhook.ndjson");
    let refused = |body: &str| body.contains("REFRESH_TOKEN_ERROR") && body.contains("User disabled");
    let recorded = receipts.into_iter().find(|one| refused(&String::from_utf8_lossy(&one.body))).unwrap();
    let why = |reason: &str| {
        let body = String::from_utf8_lossy(&recorded.body).replace("User disabled", reason);
        let receipt = events::receipt::Receipt { body: body.into_bytes(), ..recorded.clone() };
        let Normalised::Events(events) = normalise(&receipt, &samples::context()) else { panic!("no event") };
        let mut found = Vec::new();
        facts(&events[0], &mut |fact| {
            if let What::Refused { session, why, .. } = fact.what {
                found.push((session.len(), why));
            }
        });
        found
    };
    assert_eq!(why("Maximum allowed refresh token reuse exceeded"), [(24, Refusal::Reuse)]);
    assert_eq!(why("Stale token"), [(24, Refusal::Stale)]);
    assert_eq!(why("User disabled"), [(24, Refusal::Other)]);
}

fn first_difference(one: &Told, other: &Told) -> String {
    let all: BTreeMap<_, _> = one.rows.iter().chain(&other.rows).collect();
    let differs = all.keys().find(|key| one.rows.get(key) != other.rows.get(key));
    differs.map(|key| format!("{key:?}\n{:#?}\n{:#?}", one.rows.get(key), other.rows.get(key))).unwrap_or_default()
}
