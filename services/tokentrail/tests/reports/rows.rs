//! Rows of each report, against what the recorded story was.

use crate::story::{PERIOD, Story, json, sha256, words};
use serde_json::{Value, json};

pub fn names_and_times(story: &Story) {
    for (name, args, hint) in [
        ("acess-trace", &PERIOD[..], "did you mean access-trace?"),
        ("R08", &["--as-of", "now"], "--from and --to"),
        ("R01", &PERIOD[..], "--as-of"),
        ("R08", &["--from", "2026-11-24", "--to", "2026-11-23"], "not before"),
        ("R08", &["--from", "2026-11-24", "--to", "2026-11-25", "--zone", "Mars/Base"], "Europe/Berlin"),
        ("R08", &["--from", "soon", "--to", "2026-11-25"], "is no time"),
    ] {
        let made = story.report(name, args);
        assert!(made.code == 2 && made.said.contains(hint) && made.out.is_empty(), "{name} {args:?}: {}", made.said);
    }
    let list = String::from_utf8(story.good(&["report", "list"]).stdout).unwrap();
    for id in ["R01", "R05", "R07", "R08", "R11"] {
        assert!(list.contains(id), "{list}");
    }
    let show = String::from_utf8(story.good(&["report", "show", "r11"]).stdout).unwrap();
    assert!(show.contains("lost_by_webhook") && show.contains("clock_offset") && show.contains("none on record"));
    // The same hour, said in another zone.
    let berlin = ["--from", "2026-11-23T22:00", "--to", "2026-11-23T23:00", "--zone", "Europe/Berlin"];
    assert_eq!(story.report("R08", &berlin).out, story.report("R08", &PERIOD).out);
}

/// R08 against the truth of the story.
pub fn trace(story: &Story) {
    let rows = story.rows("R08", &PERIOD);
    let verdicts = [
        ("agrees", 33),
        ("conditional", 7),
        ("exposure", 73),
        ("granted_in_backstage", 4),
        ("not_judged", 71),
        ("pending_grant", 44),
    ];
    assert_eq!(words(&rows, "verdict"), verdicts.map(|(word, n)| (word.to_owned(), n)));
    // finn was disabled at 21:25:06.810 and let in for 583 s, on the strength of the login of 21:25:05.666.
    let of_finn = |row: &&Value| row["username"] == "finn" && row["verdict"] == "exposure";
    let last = rows.iter().rfind(of_finn).unwrap();
    assert_eq!(last["staleness_seconds"].as_f64().map(f64::floor), Some(583.0), "{last}");
    assert_eq!(
        (&last["clock"], &last["within_budget"], &last["login_time"], &last["pending_seconds"]),
        (&json!("token"), &json!(1), &json!("2026-11-23T21:25:05.666Z"), &Value::Null)
    );
    assert_eq!(last["session_id"].as_str().unwrap().len(), 24);
    // cleo created a location 6.05 s after she had left the group that carried the right.
    let created = |row: &&Value| row["permission"] == "catalog.location.create" && row["username"] == "cleo";
    let cleo = rows.iter().find(|row| created(row) && row["decision_time"] == "2026-11-23T21:25:22.865Z").unwrap();
    assert_eq!(cleo["verdict"], "exposure");
    assert!((cleo["staleness_seconds"].as_f64().unwrap() - 6.05).abs() < 0.01, "{cleo}");
    assert_eq!(cleo["granting_role"], json!(["role:default/operators"]));
    assert_eq!(cleo["granting_group"], json!(["/platform/ops"]));
    assert_eq!(cleo["member_since"], "2026-11-23T21:25:07.067Z");
    assert!(rows.iter().all(|row| row["auth_factor"] == "none on record"));
    // Where a gap leaves open when the right went, nobody says that the time was kept.
    let id = last["evidence"].as_str().unwrap();
    for (reasons, budget) in
        [("arrayPushBack(reasons, 'rests_on_gap')", Value::Null), ("arrayPopBack(reasons)", json!(1))]
    {
        story.program.sql(&format!(
            "INSERT INTO decision_rows SELECT * REPLACE ({reasons} AS reasons, version + 1 AS version) FROM decision_rows FINAL \
             WHERE event_id = '{id}'"
        ));
        let rows = story.rows("R08", &PERIOD);
        assert_eq!(rows.iter().find(|row| row["evidence"] == id).unwrap()["within_budget"], budget);
    }
    // The register's word on each decision: what finn was let in for after the end, and nothing else.
    story.found("D02");
    let rows = story.rows("R08", &PERIOD);
    let named: Vec<_> = rows.iter().filter(|row| row["drift_rule"] == json!(["D02"])).collect();
    assert!(named.len() > 5 && named.iter().all(of_finn), "{named:?}");
    assert!(named.iter().any(|row| row["evidence"] == last["evidence"]));
    let others = rows.iter().filter(|row| row["drift_rule"] != json!(["D02"]));
    assert!(
        others.clone().count() + named.len() == rows.len() && others.clone().all(|row| row["drift_rule"] == json!([]))
    );
    let keys: Vec<_> = rows.iter().map(|row| (row["decision_time"].to_string(), row["evidence"].to_string())).collect();
    assert!(keys.is_sorted());
}

/// What is equal in time is told in one order, whatever the order in which it came.
pub fn ties(story: &Story) {
    for (person, ids) in [("c", ["1", "2"]), ("d", ["2", "1"])] {
        let person = person.repeat(32);
        story.program.sql(&format!(
            "INSERT INTO decision_rows (tenant, person, at, row_id, version, event_id, permission, outcome, verdict, session_id, grade) \
             VALUES ('default', '{person}', toDateTime64('2025-03-01 12:00:00', 3, 'UTC'), repeat('t', 16), 1, generateUUIDv4(), 'p', 'allow', 'agrees', 's', 'session')"
        ));
        for (id, name, source, hour) in [(ids[0], "first", "kc-a", 11), (ids[1], "second", "kc-b", 10)] {
            story.program.sql(&format!(
                "INSERT INTO alias_rows (tenant, person, at, row_id, version, kind, name) \
                 VALUES ('default', '{person}', toDateTime64('2025-03-01 10:00:00', 3, 'UTC'), repeat('{id}', 16), 1, 'username', '{name}')"
            ));
            story.program.sql(&format!(
                "INSERT INTO session_rows (tenant, person, at, row_id, version, source_id, session_id, started_at) \
                 SELECT 'default', '{person}', toDateTime64('2025-03-01 09:00:00', 3, 'UTC'), repeat('{id}', 16), 1, '{source}', 's', \
                 toDateTime64('2025-03-01 {hour}:00:00', 3, 'UTC')"
            ));
        }
    }
    let rows = story.rows("R08", &["--from", "2025-03-01", "--to", "2025-03-02"]);
    let told: Vec<_> =
        rows.iter().map(|row| (row["username"].as_str().unwrap(), row["login_time"].as_str().unwrap())).collect();
    assert_eq!(told, [("second", "2025-03-01T11:00:00.000Z"); 2]);
}

pub fn listing(story: &Story) {
    let at = |time: &str| story.rows("R01", &["--as-of", time]);
    let then = at("2026-11-23T21:25:10Z");
    let held: Vec<_> = then.iter().filter(|row| row["right_kind"] != "" && row["username"] == "cleo").collect();
    assert_eq!(held.len(), 3, "{held:?}");
    for row in &held {
        assert_eq!(row["basis"], "replay");
        assert_eq!(row["granted_time"], "2026-11-23T21:25:07.067Z");
        assert_eq!(row["last_login"], "2026-11-23T21:25:04.237Z");
    }
    let paths: Vec<_> = held.iter().map(|row| (row["right_name"].clone(), row["grant_path"].clone())).collect();
    assert_eq!(
        paths,
        [
            (json!("/platform"), json!("through /platform/ops")),
            (json!("/platform/ops"), json!("direct")),
            (json!("role:default/operators"), json!("through /platform/ops > group:default/ops")),
        ]
    );
    let egon = then.iter().find(|row| row["right_kind"] == "backstage_role" && row["username"] == "egon").unwrap();
    assert_eq!(
        (&egon["right_name"], &egon["grant_path"]),
        (&json!("role:default/rbac_admin"), &json!("given in Backstage"))
    );
    let finn = then.iter().find(|row| row["username"] == "finn").unwrap();
    assert_eq!((&finn["enabled"], &finn["approval"]), (&json!(0), &json!("none on record")));
    // Removed at 21:25:16.818.
    assert!(at("2026-11-23T21:25:20Z").iter().all(|row| row["username"] != "cleo" || row["right_kind"] == ""));
    counted(story, ("2026-11-23T21:55:00Z", "at the end"));
    above_and_gone(story);
}

/// The rows of R01 are as many as the count that is made another way.
fn counted(story: &Story, (at, what): (&str, &str)) -> u64 {
    let (_, sheet) = story.sheet("R01", &["--as-of", at]);
    let completeness = &sheet["completeness"];
    let rows = completeness["rows"].as_u64().unwrap();
    assert_eq!(completeness["control_totals"]["rows"], rows, "{what}: {completeness}");
    assert!(!completeness["reasons"].to_string().contains("control totals"), "{what}");
    rows
}

/// Groups known by their names alone, and somebody who is gone, count as they are listed.
fn above_and_gone(story: &Story) {
    const AT: &str = "2026-11-23T21:25:10Z";
    let person = "(SELECT person FROM persons WHERE username = 'cleo' AND keycloak_user_id != '' LIMIT 1)";
    let event = |(id, version): (u8, u8), kind: &str, rest: &str| {
        story.program.sql(&format!(
            "INSERT INTO event_rows (tenant, source_id, time, event_id, input, version, is_deleted, source_kind, kind, data_class, time_basis, outcome, realm, person, right_id, right_name) \
             SELECT 'default', 'kc', toDateTime64('2026-11-23 21:25:09', 3, 'UTC'), toUUID('00000000-0000-5000-8000-00000000080{id}'), 'snapshot', {version}, {version} - 1, \
             'keycloak', '{kind}', 'change', 'event', 'success', 'pair', {rest}"
        ));
    };
    let grant = |version: u8| {
        story.program.sql(&format!(
            "INSERT INTO grant_rows (tenant, person, at, row_id, version, is_deleted, right_kind, right_id, source_id) \
             SELECT 'default', {person}, toDateTime64('2026-11-23 21:00:00', 3, 'UTC'), repeat('g', 16), {version}, {version} - 1, 'group', 'g-deep', 'kc'"
        ));
    };
    let named = "toFixedString('', 16), 'g-deep', '/a/b/c'";
    let gone = format!("unhex({person}), '', ''");
    let before = counted(story, (AT, "as it was"));
    grant(1);
    assert_eq!(counted(story, (AT, "a right without a name")), before + 1);
    event((1, 1), "group_created", named);
    assert_eq!(counted(story, (AT, "two groups above it, by its name")), before + 3);
    let held = story.rows("R01", &["--as-of", AT]).iter().filter(|row| row["username"] == "cleo").count() as u64;
    event((2, 1), "user_deleted", &gone);
    assert_eq!(counted(story, (AT, "somebody is gone")), before + 3 - held);
    event((2, 2), "user_deleted", &gone);
    event((1, 2), "group_created", named);
    grant(2);
    assert_eq!(counted(story, (AT, "as it was again")), before);
}

pub fn authentication(story: &Story) {
    let rows = story.rows("R05", &PERIOD);
    let one = |user: &str, outcome: &str| {
        let fits = |row: &&Value| row["username"] == user && row["outcome"] == outcome && row["kind"] == "login";
        rows.iter().find(fits).cloned().unwrap_or_default()
    };
    assert_eq!(one("cleo", "failure")["cause"], "invalid_user_credentials");
    assert_eq!(one("egon", "failure")["cause"], "user_disabled");
    let egon = one("egon", "success");
    assert_eq!(
        (&egon["attempts"], &egon["success_after_failures"], &egon["most_failures_before"]),
        (&json!(2), &json!(1), &json!(1))
    );
    assert_eq!(one("ann", "success")["success_after_failures"], 0);
    // The failure was before midnight, so to speak: who came in after it still came in after a failure.
    let failed: jiff::Timestamp = one("egon", "failure")["last_time"].as_str().unwrap().parse().unwrap();
    let later = (failed + jiff::SignedDuration::from_millis(1)).to_string();
    let after = story.rows("R05", &["--from", &later, PERIOD[2], PERIOD[3]]);
    let of_egon: Vec<_> = after.iter().filter(|row| row["username"] == "egon" && row["kind"] == "login").collect();
    let told: Vec<_> = of_egon.iter().map(|row| (&row["outcome"], &row["success_after_failures"])).collect();
    assert_eq!(told, [(&json!("success"), &json!(1))], "{of_egon:?}");
    let refused = rows.iter().find(|row| row["username"] == "finn" && row["kind"] == "token_refreshed").unwrap();
    assert_eq!((&refused["outcome"], &refused["attempts"]), (&json!("failure"), &json!(2)));
    // What was typed and belongs to nobody may be a password.
    story.user_event(&json!({
        "id": "00000000-0000-4000-8000-000000000001", "time": 1_795_469_106_500_i64, "realmId": "bd2a3817-883e-4be5-be28-2514d131622e", "realmName": "pair",
        "error": "user_not_found", "uid": "a85a96a5-f757-4c37-b528-3b19bffe3cdf", "type": "access.LOGIN_ERROR",
        "authDetails": {"realmId": "pair", "clientId": "backstage", "ipAddress": "127.0.0.1", "username": "hunter2-my-password"},
        "details": {"auth_method": "openid-connect", "username": "hunter2-my-password"}
    }));
    let made = story.report("R05", &[&PERIOD[..], &["--format", "csv"]].concat());
    assert!(made.out.contains("(unknown user)") && !made.out.contains("hunter2"), "{}", made.out);
}

pub fn configuration(story: &Story) {
    let rows = story.rows("R07", &PERIOD);
    let by_egon: Vec<_> = rows.iter().filter(|row| row["actor"] == "user:default/egon").collect();
    let what: Vec<_> =
        by_egon.iter().map(|row| (row["kind"].as_str().unwrap(), row["operation"].as_str().unwrap())).collect();
    for change in [
        ("backstage_role_changed", "create"),
        ("backstage_policy_added", "create"),
        ("backstage_role_changed", "delete"),
    ] {
        assert!(what.contains(&change), "{what:?}");
    }
    let policy = by_egon.iter().find(|row| row["kind"] == "backstage_policy_added").unwrap();
    assert_eq!(policy["resource"], "role:default/helpers catalog.location.create,create,allow");
    assert!(rows.iter().all(|row| row["found_by"] == "event" && row["approver"] == "none on record"));
}

/// The same question gives the same bytes; files are whole or absent; lots are the same everywhere.
pub fn bytes(story: &Story) {
    for format in ["csv", "json", "ndjson", "parquet"] {
        let run = |folder: &str| {
            let folder = story.path(folder);
            let args = [&PERIOD[..], &["--format", format, "--output", &folder]].concat();
            assert!(story.report("R08", &args).code < 2);
            let data = format!("{folder}r08-access-trace.{format}");
            let sheet = json(&format!("{data}.ipe.json"));
            assert_eq!(sheet["integrity"]["files"][0]["sha256"].as_str().unwrap(), sha256(&data));
            assert_eq!(
                (&sheet["completeness"]["rows"], &sheet["completeness"]["control_totals"]["rows"]),
                (&json!(232), &json!(232))
            );
            (data, sheet)
        };
        let ((first, sheet), (second, again)) = (run("first/"), run("second/"));
        assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap(), "{format}");
        assert_eq!(sheet["integrity"]["rows_sha256"], again["integrity"]["rows_sha256"]);
        assert_ne!(sheet["run"]["id"], again["run"]["id"]);
        if format == "ndjson" {
            assert_eq!(sheet["integrity"]["rows_sha256"].as_str().unwrap(), sha256(&first));
        }
        if format == "parquet" {
            assert!(std::fs::read(&first).unwrap().starts_with(b"PAR1"));
        }
        if format == "json" {
            assert_eq!(json(&first)["rows"].as_array().unwrap().len(), 232);
        }
    }
    let drawn = |seed: &str| story.rows("R08", &[&PERIOD[..], &["--sample", "25", "--seed", seed]].concat());
    let (all, sample) = (story.rows("R08", &PERIOD), drawn("4711"));
    assert_eq!(sample.len(), 25);
    assert_ne!(sample, drawn("4712"));
    assert!(sample.iter().all(|row| all.contains(row)));
    // A file that cannot be written leaves nothing.
    std::fs::write(story.path("no-folder"), "").unwrap();
    let into = story.path("no-folder/trace.csv");
    let made = story.report("R08", &[&PERIOD[..], &["--format", "csv", "--output", &into]].concat());
    assert!(made.code == 2 && made.said.contains("cannot write"), "{}", made.said);
    let left = |folder: &str| std::fs::read_dir(story.path(folder)).unwrap().count();
    assert_eq!(left("first"), 8, "four data files, each with its sheet, and nothing half-written");
    // Another report into the same folder takes nobody's sheet.
    let folder = story.path("first/");
    assert!(story.report("R05", &[&PERIOD[..], &["--format", "csv", "--output", &folder]].concat()).code < 2);
    for name in ["r05-authentication", "r08-access-trace"] {
        let sheet = json(&format!("{folder}{name}.csv.ipe.json"));
        assert_eq!(sheet["integrity"]["files"][0]["sha256"], sha256(&format!("{folder}{name}.csv")));
    }
    assert_eq!(left("first"), 10);
}
