//! ClickHouse is lost and filled anew from the journal: what people did with findings stands again, as they did it.

use crate::{Story, judged, support::Program, until};
use serde_json::Value;

/// What people said of a finding, and their suppressions of more than one.
fn said(story: &Story, program: &Program, finding: &str) -> (Vec<Value>, Value) {
    let shown = story.json(program, &["findings", "show", finding]);
    let history = shown["history"].as_array().unwrap().iter();
    let by_people = history.filter(|one| one["actor"] != "rules").cloned().collect();
    (by_people, story.json(program, &["findings", "suppressions", "--all"]))
}

/// `finding`: one that was acknowledged and closed.
pub fn what_people_did(story: &Story, program: Program, finding: &Value) {
    let (id, person) = (finding["finding_id"].as_str().unwrap(), finding["person"].as_str().unwrap());
    let until_then = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(48)).to_string();
    let word = ["--by", "bo", "--reason", "known"];
    let one = ["findings", "suppress", id, "--until", &until_then];
    story.said(&program, &[&one[..], &word].concat());
    let group = ["findings", "suppress", "--rule", "D05", "--person", person, "--until", &until_then];
    story.said(&program, &[&group[..], &word].concat());
    let refused = story.cli(&program, &["findings", "ack", id, "--by", "rules", "--reason", "x"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is no person"), "{refused:?}");
    // An act that takes its time is followed later than its command waits.
    let before = until(&program, "the acts are not followed", || {
        let said = said(story, &program, id);
        (said.0.len() == 3).then_some(said)
    });
    assert_eq!(before.1.as_array().unwrap().len(), 1, "{before:?}");

    let data = program.data.clone();
    assert_eq!(program.terminate(), Some(0));
    std::fs::remove_dir_all(data.join("clickhouse")).unwrap();
    std::fs::remove_file(data.join("journal/cursors/clickhouse")).unwrap();
    let program = story.start();
    judged(&program);
    until(&program, "it is not found anew", || {
        let found = story.json(&program, &["findings", "list", "--all", "--rule", "D02"]);
        (found.as_array()?.first()?["state"] == "CLOSED" && said(story, &program, id) == before).then_some(())
    });
    assert_eq!(program.terminate(), Some(0));
}
