//! The recorded story without the sign-in of one person: what they did later has no login behind it.

use crate::{
    Story, judged,
    recorded::{CONFIG, backstage_log, sample},
    until,
};
use serde_json::Value;
use std::io::Write;

/// Nearly as long as the tokens of the recording live: their last decision comes when all of that time has been heard.
const LIFE: &str = "token_life_seconds = 590";

/// Decisions without login that were found.
fn found(story: &Story, program: &crate::Program) -> Vec<Value> {
    story.json(program, &["findings", "list", "--all", "--rule", "D19"]).as_array().unwrap().clone()
}

#[test]
fn a_decision_whose_login_was_withheld_is_found_and_no_other() {
    let sources = CONFIG.replace("token_life_seconds = 600", LIFE);
    assert!(sources.contains(LIFE));
    let story = Story::of(&sources, "");
    // Everything that let finn sign in: Keycloak's events of his session's begin, and Backstage's line of the token.
    let log = std::fs::read_to_string(story.dir.path().join("backstage.log")).unwrap();
    let kept: Vec<&str> = log.lines().filter(|line| !line.contains("Issuing token for user:default/finn")).collect();
    assert!(kept.len() < log.lines().count());
    std::fs::write(story.dir.path().join("backstage.log"), kept.join("\n") + "\n").unwrap();
    let text = std::fs::read_to_string(sample("keycloak-webhook.ndjson")).unwrap();
    let login = |line: &&str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let body: Value = serde_json::from_str(line["body"].as_str().unwrap()).unwrap();
        let kind = body["type"].as_str().unwrap_or_default();
        body["authDetails"]["username"] == "finn" && matches!(kind, "access.LOGIN" | "access.CODE_TO_TOKEN")
    };
    let events = story.dir.path().join("events.ndjson");
    let mut file = std::fs::File::create(&events).unwrap();
    let kept = text.lines().filter(|line| !login(line));
    assert!(kept.clone().count() < text.lines().count());
    kept.for_each(|line| writeln!(file, "{line}").unwrap());

    let program = story.start();
    story.play_with(&program, &events);
    judged(&program);
    let one = until(&program, "D19 is not found", || found(&story, &program).pop());
    assert_eq!((found(&story, &program).len(), &one["severity"]), (1, &"high".into()), "{one}");
    let shown = story.text(&program, &["findings", "show", one["finding_id"].as_str().unwrap()]);
    assert!(shown.contains("finn") && shown.contains("D19 DECISION_WITHOUT_LOGIN"), "{shown}");
    // The report names the rule on the decision.
    let period = ["--from", "2026-11-23T21:34:00Z", "--to", "2026-11-23T21:36:00Z"];
    // Imported, and nobody says that the import is whole: NOT_PROVEN, exit code 1.
    let made = story.cli(&program, &[&["report", "run", "R08"], &period[..], &["--format", "ndjson"]].concat());
    let rows = made.stdout;
    let rows: Vec<Value> =
        String::from_utf8(rows).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named: Vec<&Value> = rows.iter().filter(|row| row["drift_rule"].to_string().contains("D19")).collect();
    assert!(!named.is_empty() && named.iter().all(|row| row["username"] == "finn"), "{rows:?}");
    assert_eq!(named.len(), one["evidence"].as_array().unwrap().len());
    // What was withheld comes after all: the decisions are said otherwise, and the finding was none.
    backstage_log(story.dir.path());
    story.play(&program);
    until(&program, "it is not withdrawn", || (found(&story, &program)[0]["state"] == "WITHDRAWN").then_some(()));
    assert_eq!(program.terminate(), Some(0));

    // The whole recording has none.
    let story = Story::of(&sources, "");
    let program = story.start();
    story.play(&program);
    judged(&program);
    until(&program, "the rule is not judged", || {
        let rules = story.json(&program, &["rules", "list"]);
        rules.as_array().unwrap().iter().find(|rule| rule["rule"] == "D19" && rule["state"] == "OK").map(drop)
    });
    until(&program, "D02 is not found", || {
        story.json(&program, &["findings", "list", "--all", "--rule", "D02"]).as_array().unwrap().first().map(drop)
    });
    assert_eq!(found(&story, &program), Vec::<Value>::new());
    let of_another = story.json(&program, &["findings", "list", "--all", "--rule", "D20"]);
    assert_eq!(of_another, Value::Array(Vec::new()), "no two of one name are in it");
    assert_eq!(program.terminate(), Some(0));
}
