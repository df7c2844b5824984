//! A rule is suppressed for a source or a person: what it finds stands in the register, nobody is told until the suppression is ended,
//! and what stands then is told.

use crate::{Story, receiver::Receiver, support::Program, told, until};
use serde_json::Value;

const WORD: [&str; 4] = ["--by", "ana", "--reason", "known"];
/// Within the longest that is taken.
const DAYS: i64 = 30;

fn at(days: i64) -> String {
    let now = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
    now.to_string()
}

/// Why it was refused.
fn refused(story: &Story, program: &Program, args: &[&str]) -> String {
    let output = story.cli(program, &[&["findings", "suppress"], args, &WORD].concat());
    assert!(!output.status.success(), "{args:?} was taken");
    String::from_utf8(output.stderr).unwrap()
}

/// Before anything is found: D11 is suppressed for the source. What is meant by nobody is refused.
pub fn before(story: &Story, program: &Program) {
    let (later, late) = (at(DAYS), at(400));
    let refusals = [
        (&["--rule", "D11", "--source", "kc", "--until", "2020-01-01T00:00:00Z"][..], "366 days"),
        (&["--rule", "D11", "--source", "kc", "--until", &late], "366 days"),
        (&["--rule", "D11", "--source", "kcc", "--until", &later], "has no source kcc"),
        (&["--rule", "D11", "--person", "ann", "--until", &later], "told by --source"),
        (&["--rule", "D16", "--source", "kc", "--until", &later], "told by --person"),
        (&["--rule", "D99", "--source", "kc", "--until", &later], "no rule D99"),
        (&["--rule", "D16", "--person", "nobody-at-all", "--until", &later], "nobody of that name"),
        (&["--rule", "D11", "--until", &later], "--person"),
        (&["--source", "kc", "--until", &later], "--rule"),
    ];
    for (args, why) in refusals {
        let said = refused(story, program, args);
        assert!(said.contains(why), "{args:?}: {said}");
    }
    assert_eq!(story.json(program, &["findings", "suppressions", "--all"]).as_array().unwrap().len(), 0);
    let mut args = vec![
        "findings",
        "suppress",
        "--rule",
        "logging_impaired",
        "--source",
        "kc",
        "--owner",
        "bo",
        "--until",
        &later,
    ];
    args.extend(WORD);
    story.said(program, &args);
}

fn states(story: &Story, program: &Program, rule: &str) -> Vec<Value> {
    let found = story.json(program, &["findings", "list", "--all", "--rule", rule]);
    found.as_array().unwrap().iter().map(|one| one["state"].clone()).collect()
}

/// D11 stands in the register and was not told, though other findings were; when the suppression is ended, it is.
pub fn of_a_source(story: &Story, program: &Program, hook: &Receiver) {
    until(program, "D11 is not found", || (states(story, program, "D11") == ["SUPPRESSED"]).then_some(()));
    assert!(told(hook, "D11").is_empty(), "nobody is to be told");
    let text = |args: &[&str]| story.text(program, args);
    let listed = text(&["findings", "list"]);
    assert!(!listed.contains("D11") && listed.contains("1 more suppressed"), "{listed}");
    assert!(text(&["findings", "list", "--all"]).contains("by bo"));
    let standing = story.json(program, &["findings", "suppressions"]);
    let one = &standing.as_array().unwrap()[0];
    let said =
        ["rule", "subject_kind", "subject", "owner", "made_by", "reason"].map(|name| one[name].as_str().unwrap());
    assert_eq!(said, ["D11", "source", "kc", "bo", "ana", "known"]);
    let found = story.json(program, &["findings", "list", "--all", "--rule", "D11"]);
    let shown = text(&["findings", "show", found[0]["finding_id"].as_str().unwrap()]);
    assert!(shown.contains("for this source until") && shown.contains("by bo: known"), "{shown}");

    let id = &one["suppression_id"].as_str().unwrap()[..8];
    story.said(program, &["findings", "unsuppress", id, "--by", "cy", "--reason", "it is no laboratory any more"]);
    until(program, "D11 is not told when the suppression ended", || {
        told(hook, "D11").into_iter().find(|(_, notice)| notice["status"] == "firing")
    });
    let again = story.cli(program, &["findings", "unsuppress", id, "--by", "cy", "--reason", "again"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("it has been over since"));
    assert!(text(&["findings", "suppressions", "--all"]).contains("by cy: it is no laboratory any more"));
    assert!(text(&["findings", "suppressions"]).contains("nothing is suppressed"));
}

/// D16 was told of a person: suppressed for them it is resolved, and fires again when that is ended.
pub fn of_a_person(story: &Story, program: &Program, (hook, notice): (&Receiver, &Value)) {
    let (person, until_then) = (notice["subject"].as_str().unwrap(), at(DAYS));
    let mut args = vec!["findings", "suppress", "--rule", "D16", "--person", person, "--until", &until_then];
    args.extend(WORD);
    story.said(program, &args);
    let of_them = |status: &str| {
        let mine = |notice: &Value| notice["subject"] == person && notice["status"] == status;
        told(hook, "D16").into_iter().map(|(_, notice)| notice).filter(mine).collect::<Vec<_>>()
    };
    let resolved = until(program, "the suppression is not told", || of_them("resolved").pop());
    assert_eq!(resolved["state"], "SUPPRESSED");
    let (fired, standing) = (of_them("firing").len(), story.json(program, &["findings", "suppressions"]));
    assert_eq!((&standing[0]["subject"], &standing[0]["owner"]), (&person.into(), &"ana".into()));
    let id = standing[0]["suppression_id"].as_str().unwrap();
    story.said(program, &["findings", "unsuppress", id, "--by", "cy", "--reason", "over"]);
    until(program, "what stands is not told again", || (of_them("firing").len() > fired).then_some(()));
}
