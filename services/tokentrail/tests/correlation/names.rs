//! Behind the story: logins at identity providers, by which people are found, and sessions that nobody ended.

use super::{Program, Story, command, correlated};
use serde_json::{Value, json};

const REALM: &str = "bd2a3817-883e-4be5-be28-2514d131622e";
/// Before the story, and a day behind it.
const BEFORE: i64 = 1_795_468_900_000;
const LATER: i64 = 1_795_555_500_000;

fn import(story: &Story, program: &Program, (name, events): (&str, Value)) {
    let path = story.dir.path().join(name);
    std::fs::write(&path, events.to_string()).unwrap();
    story.import(program, "kc", &path);
    correlated(program);
}

fn admin((id, at): (&str, i64), what: [&str; 3], representation: &Value) -> Value {
    let [operation, resource, path] = what;
    let mut event = json!({"id": id, "time": at, "realmId": REALM, "operationType": operation, "resourceType": resource,
        "authDetails": {"realmId": "m", "clientId": "c", "userId": "a", "ipAddress": "127.0.0.1"},
        "representation": representation.to_string()});
    if !path.is_empty() {
        event["resourcePath"] = path.into();
    }
    event
}

/// Logins are names with from, until and evidence; one that leads to two accounts is told as a conflict.
pub fn logins(story: &Story, program: &Program) {
    let ask = |args: &[&str]| -> Value {
        serde_json::from_slice(&story.cli(program, &[args, &["--format", "json"]].concat()).stdout).unwrap()
    };
    let users = program.sql("SELECT name, user_id FROM aliases WHERE kind = 'username'");
    let id = |name: &str| users.iter().find(|user| user["name"] == name).unwrap()["user_id"].as_str().unwrap();
    let link = |event, user: &str| {
        let path = format!("users/{user}/federated-identity/github");
        admin(event, ["CREATE", "USER", &path], &json!({"userId": "583231", "userName": "octocat"}))
    };
    import(story, program, ("linked.json", json!([link(("fed-1", LATER), id("cleo"))])));
    let details = json!({"identity_provider": "github", "identity_provider_identity": "mona", "username": "dora"});
    let event = json!([{"id": "fed-2", "time": LATER + 1_000, "type": "FEDERATED_IDENTITY_LINK", "realmId": REALM,
        "clientId": "account", "userId": id("dora"), "details": details}]);
    import(story, program, ("self-linked.json", event));

    let cleo = ask(&["person", "show", "cleo"]);
    for name in ["583231", "github/583231", "Octocat", "github/octocat"] {
        assert_eq!(ask(&["person", "show", name])["person"], cleo["person"], "{name}");
    }
    let found = ask(&["person", "search", "octoc"]);
    assert_eq!((found.as_array().unwrap().len(), &found[0]["person"]), (1, &cleo["person"]));
    let name = cleo["names"].as_array().unwrap().iter().find(|name| name["kind"] == "federated_id").unwrap();
    assert_eq!((&name["from"], &name["to"]), (&LATER.into(), &Value::Null));
    let evidence = name["evidence"][0].as_str().unwrap();
    let told = program.sql(&format!("SELECT kind, native_id FROM events WHERE event_id = '{evidence}'"));
    assert_eq!((&told[0]["kind"], &told[0]["native_id"]), (&"identity_linked".into(), &"fed-1".into()));
    let trail = ask(&["trace", "mona"]);
    let kinds: Vec<&Value> = trail["events"].as_array().unwrap().iter().map(|event| &event["kind"]).collect();
    assert!(kinds.contains(&&"identity_linked".into()) && kinds.contains(&&"decision".into()), "{kinds:?}");
    assert!(cleo["shared"].as_array().unwrap().is_empty(), "{}", cleo["shared"]);

    import(story, program, ("linked-too.json", json!([link(("fed-3", LATER + 2_000), id("dora"))])));
    let cleo = ask(&["person", "show", "cleo"]);
    let shared: Vec<(&Value, &Value)> =
        cleo["shared"].as_array().unwrap().iter().map(|shared| (&shared["kind"], &shared["shared_from"])).collect();
    let since = Value::from(LATER + 2_000);
    assert_eq!(shared, [(&"federated_id".into(), &since), (&"federated_name".into(), &since)]);
    let text = String::from_utf8(story.cli(program, &["person", "show", "cleo"]).stdout).unwrap();
    assert!(text.contains("conflict: the login github/583231 leads to person"), "{text}");
    let asked = ["person", "show", "583231"];
    let refused = command(&program.data).env("TOKENTRAIL_CONFIG", story.settings()).args(asked).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("583231 fits 2 persons"));
}

/// Once the realm's lifespans are known, sessions that nobody can use any more have ended, and say that this is computed.
pub fn expiry(story: &Story, program: &Program) {
    let open = |program: &Program| {
        program.sql("SELECT count() AS n FROM sessions WHERE ended_at IS NULL")[0]["n"].as_u64().unwrap()
    };
    let before = open(program);
    assert!(before > 0, "nothing tells the end of some sessions");
    let said = json!({"ssoSessionIdleTimeout": 600, "ssoSessionMaxLifespan": 36_000, "offlineSessionIdleTimeout": 2_592_000,
        "offlineSessionMaxLifespanEnabled": false});
    let realm = admin(("realm-1", BEFORE), ["UPDATE", "REALM", ""], &said);
    import(story, program, ("realm.json", json!([realm])));
    let computed = program.sql("SELECT session_id, ended_at = expires_by AS same, expires_by > last_seen_at AS later FROM sessions WHERE ended_by = 'expiry_computed'");
    assert_eq!((computed.len() as u64, open(program)), (before, 0));
    assert!(computed.iter().all(|session| session["same"] == 1 && session["later"] == 1), "{computed:?}");
    let text = String::from_utf8(story.cli(program, &["person", "show", "finn"]).stdout).unwrap();
    assert!(text.contains("expiry computed"), "{text}");
}
