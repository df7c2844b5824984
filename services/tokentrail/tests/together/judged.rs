//! Each decision as the program tells it, held against the ledger: whose it was, in which session, by which right, how stale.

use crate::{
    bench::{BUDGET, Bench, TOKEN_LIFE},
    ledger::{Decided, Person, Span, Stand, Story},
};
use serde_json::Value;
use std::collections::BTreeSet;

/// Milliseconds around a budget within which either verdict is right: what was done has a time before and a time after.
const EDGE: i64 = 100;
/// Milliseconds that a reader of lines can be late.
const READER: i64 = 1_000;

/// What must be said of a decision.
struct Expected {
    verdicts: &'static [&'static str],
    delay: Option<Span>,
    clock: &'static str,
    reasons: &'static [&'static str],
}

/// The rows of all decisions of a person, in order, each with what was done.
pub fn rows(story: &Story<'_>, name: &str) -> Vec<(Value, Decided)> {
    let person = &story.people[name];
    let args = ["decisions", "--person", name, "--permission", person.permission.name(), "--limit", "10000"];
    story.bench.until("decisions are missing", || {
        let told = story.bench.json(&args);
        let told = told.as_array().unwrap().len();
        assert!(told <= person.decided.len(), "{name} decided {} times, and not {told}", person.decided.len());
        (told == person.decided.len()).then_some(())
    });
    story.bench.answered();
    let mut told = story.bench.json(&args).as_array().unwrap().clone();
    told.sort_by_key(|row| row["at"].as_i64());
    told.into_iter().zip(person.decided.clone()).collect()
}

/// Holds every decision of a person whose rights events told.
pub fn as_done(story: &Story<'_>, name: &str) -> Vec<(Value, Decided)> {
    let person = &story.people[name];
    let (rows, key) = (rows(story, name), key(story.bench, &person.id));
    for (row, done) in &rows {
        who_and_when((name, person, &key), (row, done));
        let expected = expected(done);
        let said = row["verdict"].as_str().unwrap();
        assert!(expected.verdicts.contains(&said), "{done:?}, not {said}: {row:#}");
        match (expected.delay, row["delay_ms"].as_i64()) {
            (None, None) => {}
            (Some(span), Some(said)) => assert!((span.from..=span.to).contains(&said), "{span:?} of {done:?}: {row:#}"),
            other => panic!("{other:?} of {done:?}: {row:#}"),
        }
        assert_eq!(row["clock"], expected.clock, "{done:?}: {row:#}");
        let mut reasons: BTreeSet<&str> = row["reasons"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        // One token was out, or several of one session: nothing else lowers a grade here.
        let several = reasons.remove("several_tokens");
        assert!(several == (done.tokens > 1) || several && renewed_just_after(person, done), "{done:?}: {row:#}");
        assert_eq!(row["grade"], if several { "session" } else { "exact" }, "{done:?}: {row:#}");
        assert_eq!(reasons, BTreeSet::from_iter(expected.reasons.iter().copied()), "{done:?}: {row:#}");
    }
    rows
}

/// A line that names a token has no time but that of its reader, who can be late: the token may have been there already.
fn renewed_just_after(person: &Person, done: &Decided) -> bool {
    person.renewed.iter().any(|token| token.from > done.at.from && token.from - done.at.to <= READER)
}

pub fn who_and_when((name, person, key): (&str, &Person, &Value), (row, done): (&Value, &Decided)) {
    let at = row["at"].as_i64().unwrap();
    assert!((done.at.from..=done.at.to).contains(&at), "{done:?}: {row:#}");
    let outcome = if done.allowed { "allow" } else { "deny" };
    assert_eq!((&row["outcome"], &row["reference"]), (&outcome.into(), &format!("user:default/{name}").into()));
    assert_eq!(row["session_id"], person.session.keycloak_session.as_str(), "{row:#}");
    assert_eq!(row["candidates"], done.tokens, "{row:#}");
    assert_eq!(&row["person"], key, "{row:#}");
}

/// The person whom a Keycloak user id is.
pub fn key(bench: &Bench, id: &str) -> Value {
    bench.json(&["person", "show", id])["person"].clone()
}

/// The first of two verdicts up to the catalog's budget, the second beyond it, any of them near it.
fn by_the_catalog(delay: Span, verdicts: &'static [&'static str; 2]) -> Expected {
    let budget = i64::try_from(BUDGET.as_millis()).unwrap();
    let verdicts = match (delay.to < budget - EDGE, delay.from > budget + EDGE) {
        (true, _) => &verdicts[..1],
        (_, true) => &verdicts[1..],
        _ => &verdicts[..],
    };
    Expected { verdicts, delay: Some(delay), clock: "catalog", reasons: &[] }
}

fn expected(done: &Decided) -> Expected {
    // Between a change and the decision, whenever within their times each was.
    let since = |change: Span| Span { from: done.at.from - change.to, to: done.at.to - change.from };
    let agrees = |clock| Expected { verdicts: &["agrees"], delay: None, clock, reasons: &[] };
    match (done.stand, done.allowed) {
        (Stand::Never | Stand::Taken(_), false) | (Stand::Held | Stand::Given(_), true) => agrees("catalog"),
        (Stand::Given(change), false) => by_the_catalog(since(change), &["pending_grant", "denied_with_right"]),
        (Stand::Taken(change), true) => by_the_catalog(since(change), &["exposure", "violation"]),
        (Stand::Disabled(change), true) => {
            let delay = since(change);
            assert!(delay.to < i64::try_from(TOKEN_LIFE.as_millis()).unwrap(), "longer than a token lives: {done:?}");
            Expected { verdicts: &["exposure"], delay: Some(delay), clock: "token", reasons: &["disabled"] }
        }
        (stand, allowed) => panic!("{stand:?} was answered {allowed}"),
    }
}
