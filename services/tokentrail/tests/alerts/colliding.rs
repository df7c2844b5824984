//! The recorded story, changed in two places, through the whole program: two Keycloak groups share one Backstage name, so that one has
//! the other's role (nothing but its members' events says what it is called); and somebody is deleted and created anew under the same name while the old one's token still lives.

use crate::{Story, backstage_log, judged, recorded::sample, until};
use serde_json::Value;

/// The group that the role belongs to, and the one of the same name below another that cleo joins instead.
const OPS: &str = "336bd650-e948-4a03-b9f1-316e36f654da";
const OTHER_OPS: &str = "11111111-aaaa-4bbb-8ccc-222222222222";
/// Above the first, and above the second.
const PARENTS: [&str; 2] = ["8071654d-8d61-45ab-9968-a28846ff68c8", "7b121c13-2d51-45d1-85ab-ce03819cc853"];
/// finn, and who bears the name after him.
const FINN: &str = "f9e48281-a8f6-43a3-ac70-40219dd74cc0";
const NEXT_FINN: &str = "33333333-aaaa-4bbb-8ccc-444444444444";
/// When the catalog says so, Unix seconds: his token lives for four minutes more.
const ANEW: f64 = 1_795_469_400.0;

pub fn lines(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(sample(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn written(story: &Story, name: &str, lines: &[Value]) -> String {
    let file = story.dir.path().join(name);
    std::fs::write(&file, lines.iter().map(|line| line.to_string() + "\n").collect::<String>()).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn names_that_stand_for_two_are_found_by_whom_they_let_in() {
    let story = Story::new("");
    let mut events = lines("keycloak-webhook.ndjson");
    let of_ops = |line: &&Value| {
        let body = line["body"].as_str().unwrap();
        body.contains(OPS) && body.contains("GROUP_MEMBERSHIP") && body.contains("\"username\":\"cleo\"")
    };
    let mut moved = 0;
    for line in events.iter_mut().filter(|line| of_ops(&&**line)) {
        let body = line["body"].as_str().unwrap();
        let body = body.replace(OPS, OTHER_OPS).replace(PARENTS[0], PARENTS[1]);
        line["body"] = body.replace("/platform/ops", "/contractors/ops").into();
        moved += 1;
    }
    assert_eq!(moved, 2, "cleo joins and leaves");
    let mut catalog = lines("backstage-catalog-history.ndjson");
    let mut anew = catalog.last().unwrap().clone();
    anew["read_at"] = ANEW.into();
    assert!(catalog.last().unwrap()["read_at"].as_f64().unwrap() < ANEW);
    let entities = anew["entities"].as_array_mut().unwrap();
    let finn = entities.iter_mut().find(|entity| entity["keycloak_id"] == FINN).unwrap();
    finn["keycloak_id"] = NEXT_FINN.into();
    catalog.push(anew);

    let program = story.start();
    story.said(&program, &["import", "--source", "kc", &written(&story, "events.ndjson", &events)]);
    story.said(&program, &["import", "--source", "bs", &written(&story, "catalog.ndjson", &catalog)]);
    let log = backstage_log(story.dir.path());
    story.said(&program, &["send", "--source", "bs", "--instance", "b1", log.to_str().unwrap()]);
    judged(&program);
    let found = || story.json(&program, &["findings", "list", "--all", "--rule", "D20"]).as_array().unwrap().clone();
    let of = |how: &str| -> Vec<Value> {
        found()
            .into_iter()
            .filter(|one| one["detail"].as_str().unwrap().contains(&format!("\"collision_of\":\"{how}\"")))
            .collect()
    };
    let group = until(&program, "the group's name is not found", || of("group").pop());
    let shown = story.text(&program, &["findings", "show", group["finding_id"].as_str().unwrap()]);
    assert!(shown.contains("cleo") && shown.contains("D20 ORPHAN_OR_COLLIDING_IDENTITY"), "{shown}");
    let user = until(&program, "the user's name is not found", || of("user").pop());
    let shown = story.text(&program, &["findings", "show", user["finding_id"].as_str().unwrap()]);
    assert!(shown.contains("finn"), "{shown}");
    // One is somebody else than who left, whose own token it was.
    let left = until(&program, "who left is not found", || {
        story.json(&program, &["findings", "list", "--all", "--rule", "D02"]).as_array().unwrap().first().cloned()
    });
    assert_ne!(left["person"], user["person"]);
    // Nobody else, and only while they were let in by it.
    let all = found();
    assert!(all.iter().all(|one| [&group["person"], &user["person"]].contains(&&one["person"])), "{all:?}");
    let of_group = of("group");
    let evidence: usize = of_group.iter().map(|one| one["evidence"].as_array().unwrap().len()).sum();
    assert!(of_group.iter().all(|one| one["state"] == "OPEN") && evidence > 0, "{of_group:?}");
    let began = user["first_at"].as_i64().unwrap();
    assert!(began >= (ANEW * 1_000.0) as i64, "{user}");
    assert_eq!(program.terminate(), Some(0));
}
