//! A finding that somebody closed gets worse: it fires again, once, until they are done with that, too.

use crate::{Story, judged, receiver::Receiver, recorded::sample, told, until, webhook};
use serde_json::Value;
use std::path::PathBuf;

/// So long after finn's login, a second before they were disabled, they get a new token, milliseconds: beyond the grace, before their last
/// decision.
const LATER: i64 = 300_000;

/// The recorded refresh of somebody else as one of finn, who was disabled meanwhile: as a file to import.
fn refreshed(story: &Story) -> PathBuf {
    let text = std::fs::read_to_string(sample("keycloak-webhook.ndjson")).unwrap();
    let lines = || text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let body = |line: &Value| serde_json::from_str::<Value>(line["body"].as_str().unwrap()).unwrap();
    let login = lines().map(|line| body(&line)).find(|body| body["authDetails"]["username"] == "finn").unwrap();
    let mut line = lines().find(|line| body(line)["type"] == "access.REFRESH_TOKEN").unwrap();
    let mut said = body(&line);
    said["id"] = "11111111-2222-4333-8444-666666666666".into();
    said["uid"] = said["id"].clone();
    said["time"] = (login["time"].as_i64().unwrap() + LATER).into();
    said["authDetails"] = login["authDetails"].clone();
    said["details"]["refresh_token_sub"] = login["authDetails"]["userId"].clone();
    for (n, token) in ["token_id", "refresh_token_id", "updated_refresh_token_id"].into_iter().enumerate() {
        said["details"][token] = format!("11111111-2222-4333-8444-77777777777{n}").into();
    }
    line["body"] = said.to_string().into();
    let file = story.dir.path().join("refreshed.ndjson");
    std::fs::write(&file, line.to_string() + "\n").unwrap();
    file
}

#[test]
fn what_gets_worse_after_it_was_closed_fires_again() {
    let hook = Receiver::start();
    let story = Story::new(&webhook(&hook));
    let program = story.start();
    story.play(&program);
    judged(&program);
    let (_, notice) = until(&program, "D02 is not told", || told(&hook, "D02").pop());
    assert_eq!(notice["severity"], "medium");
    let id = notice["finding"].as_str().unwrap();
    let close = ["findings", "close", id, "--by", "ana", "--reason", "token ended"];
    story.said(&program, &close);
    let last = |status: &str| told(&hook, "D02").pop().map(|(_, one)| one).filter(|one| one["status"] == status);
    until(&program, "the end is not told", || last("resolved"));

    let file = refreshed(&story);
    story.said(&program, &["import", "--source", "kc", file.to_str().unwrap()]);
    let again = until(&program, "what got worse is not told", || last("firing"));
    assert_eq!((&again["severity"], &again["state"]), (&"critical".into(), &"OPEN".into()), "{again}");
    let shown = story.text(&program, &["findings", "show", id]);
    assert!(shown.contains("revived by rules: it is worse than it was when it was closed"), "{shown}");

    story.said(&program, &close);
    until(&program, "the end is not told again", || last("resolved"));
    judged(&program);
    let found = story.json(&program, &["findings", "list", "--all", "--rule", "D02"]);
    assert_eq!(found[0]["state"], "CLOSED", "whoever closed it has seen how bad it is");
    let said: Vec<_> =
        told(&hook, "D02").into_iter().map(|(_, one)| one["status"].as_str().unwrap().to_owned()).collect();
    assert_eq!(said, ["firing", "resolved", "firing", "resolved"], "each is told once");
    assert_eq!(program.terminate(), Some(0));
}
