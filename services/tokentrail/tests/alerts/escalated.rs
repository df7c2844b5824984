//! A recorded Keycloak, with two events that come later than all others: that the administrator was in the group that they gave a role, and
//! that a password was changed in the session in which they acted as somebody else. Through the whole program.

use crate::{Story, judged, recorded::sample, until};
use serde_json::Value;

/// The administrator of the recording, the group that they give a role, and another administrator.
const ADMIN: &str = "faaf8342-d276-42b3-a726-a70c9a6132f6";
const GROUP: &str = "39133bd5-b120-445b-afa5-a0f3f18c1d73";
const OTHER: &str = "77777777-aaaa-4bbb-8ccc-888888888888";

/// A recorded line with another id and time, and its body changed.
fn changed(lines: &[Value], what: &str, (id, later): (&str, i64), change: impl Fn(String) -> String) -> Value {
    let mut line = lines.iter().find(|line| line["body"].as_str().unwrap().contains(what)).unwrap().clone();
    let mut body: Value = serde_json::from_str(&change(line["body"].as_str().unwrap().to_owned())).unwrap();
    (body["id"], body["uid"]) = (id.into(), id.into());
    body["time"] = (body["time"].as_i64().unwrap() + later).into();
    line["body"] = body.to_string().into();
    line
}

#[test]
fn what_makes_a_grant_or_an_impersonation_worse_is_found_also_where_it_comes_after_it() {
    let story = Story::new("");
    let recorded = sample("../keycloak/webhook.ndjson");
    let text = std::fs::read_to_string(&recorded).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ops = "63bcea52-3dee-4fde-87bb-e6fe4df5d13f";
    let member = changed(&lines, "GROUP_MEMBERSHIP-CREATE", ("11111111-2222-4333-8444-000000000001", 0), |body| {
        let body = body.replace(ADMIN, OTHER).replace("fdedb130-d5b9-4395-9d9d-3636abf2f872", ADMIN);
        body.replace(ops, GROUP).replace("carol", "admin").replace("/platform/ops", "/release")
    });
    assert!(member["body"].as_str().unwrap().contains(&format!("users/{ADMIN}/groups/{GROUP}")));
    let password = changed(&lines, "access.IMPERSONATE", ("11111111-2222-4333-8444-000000000002", 5_000), |body| {
        body.replace("access.IMPERSONATE", "access.UPDATE_CREDENTIAL")
    });
    let late = story.dir.path().join("late.ndjson");
    std::fs::write(&late, format!("{member}\n{password}\n")).unwrap();

    let program = story.start();
    let import = |file: &std::path::Path| story.said(&program, &["import", "--source", "kc", file.to_str().unwrap()]);
    import(&recorded);
    judged(&program);
    let found =
        |rule: &str| story.json(&program, &["findings", "list", "--all", "--rule", rule]).as_array().unwrap().clone();
    let first = until(&program, "no impersonation is found", || {
        found("D16").into_iter().find(|one| one["detail"].as_str().unwrap().contains("\"let_in\":0"))
    });
    assert_eq!(first["severity"], "high");
    assert!(found("D05").is_empty(), "{:?}", found("D05"));

    import(&late);
    let gave = until(&program, "the grant to their own group is not found", || found("D05").pop());
    let detail = gave["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("\"through\":\"{GROUP}\"")) && detail.contains("joined_at_ms"), "{detail}");
    assert_eq!(
        (gave["evidence"].as_array().unwrap().len(), gave["receipts"].as_array().unwrap().len()),
        (2, 2),
        "{gave}"
    );
    let worse = until(&program, "the change of the password is not seen", || {
        found("D16").into_iter().find(|one| one["severity"] == "critical")
    });
    assert_eq!(worse["finding_id"], first["finding_id"]);
    assert!(worse["detail"].as_str().unwrap().contains("\"credentials_changed\":1"), "{worse}");
    assert_eq!(program.terminate(), Some(0));
}
