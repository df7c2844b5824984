//! The recorded story, and then somebody is deleted whom the catalog goes on to list: through the whole program, found, named, and over when
//! the catalog follows.

use crate::{Story, backstage_log, colliding, judged, until};
use serde_json::Value;

/// finn.
const FINN: &str = "f9e48281-a8f6-43a3-ac70-40219dd74cc0";
/// When he is deleted, Unix seconds, after everything else; the catalog may take 15 s.
const DELETED: i64 = 1_795_469_300;

/// The webhook of his account's deletion.
fn deletion(lines: &[Value]) -> Value {
    let of_finn = |line: &&Value| {
        let body = line["body"].as_str().unwrap();
        body.contains("admin.USER-UPDATE") && body.contains(&format!("\"users/{FINN}\""))
    };
    let mut line = lines.iter().find(of_finn).unwrap().clone();
    let mut body: Value = serde_json::from_str(line["body"].as_str().unwrap()).unwrap();
    for (field, value) in [
        ("id", "11111111-2222-4333-8444-666666666666"),
        ("uid", "11111111-2222-4333-8444-777777777777"),
        ("type", "admin.USER-DELETE"),
        ("operationType", "DELETE"),
    ] {
        body[field] = value.into();
    }
    body["time"] = (DELETED * 1_000).into();
    body.as_object_mut().unwrap().remove("representation");
    line["body"] = body.to_string().into();
    line
}

/// The catalog as it was read last, read again.
fn read_again(catalog: &[Value], seconds: i64, has_finn: bool) -> Value {
    let mut read = catalog.last().unwrap().clone();
    read["read_at"] = ((DELETED + seconds) as f64).into();
    if !has_finn {
        read["entities"].as_array_mut().unwrap().retain(|entity| entity["keycloak_id"] != FINN);
    }
    read
}

#[test]
fn who_was_deleted_and_is_still_in_the_catalog_is_found_until_it_follows() {
    let story = Story::new("");
    let mut events = colliding::lines("keycloak-webhook.ndjson");
    events.push(deletion(&events));
    let mut catalog = colliding::lines("backstage-catalog-history.ndjson");
    let (soon, late, gone) =
        (read_again(&catalog, 10, true), read_again(&catalog, 16, true), read_again(&catalog, 60, false));
    catalog.push(soon);
    let program = story.start();
    let import = |source: &str, name: &str, lines: &[Value]| {
        story.said(&program, &["import", "--source", source, &colliding::written(&story, name, lines)]);
        judged(&program);
    };
    import("kc", "events.ndjson", &events);
    import("bs", "catalog.ndjson", &catalog);
    let log = backstage_log(story.dir.path());
    story.said(&program, &["send", "--source", "bs", "--instance", "b1", log.to_str().unwrap()]);
    judged(&program);
    let found = || -> Vec<Value> {
        let all = story.json(&program, &["findings", "list", "--all", "--rule", "D20"]).as_array().unwrap().clone();
        all.into_iter().filter(|one| one["detail"].as_str().unwrap().contains("\"orphan\"")).collect()
    };
    until(&program, "the catalog's read was not looked at", || {
        let rules = story.text(&program, &["rules", "list"]);
        let line = rules.lines().find(|line| line.contains("D20")).unwrap().to_owned();
        (!line.contains("no complete snapshot")).then_some(())
    });
    assert_eq!(found(), [Value::Null; 0], "the catalog had no time to follow");

    import("bs", "late.ndjson", &[late]);
    let orphan = until(&program, "finn is not found", || found().pop());
    let said: Value = serde_json::from_str(orphan["detail"].as_str().unwrap()).unwrap();
    assert_eq!((&said["orphan"], &said["source"]), (&"entity without a user".into(), &"bs".into()));
    assert_eq!((&orphan["first_at"], &orphan["confidence"]), (&(DELETED * 1_000).into(), &"proven".into()));
    let receipts = orphan["receipts"].as_array().unwrap();
    assert!(receipts.len() == 2 && receipts.iter().all(|place| place != ""), "the entity and the deletion: {orphan}");
    let person = story.text(&program, &["person", "show", said["account"].as_str().unwrap()]);
    assert!(person.contains("finn"), "{person}");

    import("bs", "gone.ndjson", &[gone]);
    until(&program, "it is not over", || found().pop().filter(|one| one["standing"] == "ended"));
    assert_eq!(found().len(), 1, "nobody else");
    assert_eq!(program.terminate(), Some(0));
}
