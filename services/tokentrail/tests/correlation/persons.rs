//! Two people of the story are made one by hand, and two again: what every command, view and report says then.

use super::{Program, Story, assert_same, command, correlated};
use serde_json::Value;
use std::collections::HashMap;

/// Asks and refuses: what is said on standard error.
fn refused(story: &Story, program: &Program, args: &[&str]) -> String {
    let output = command(&program.data).env("TOKENTRAIL_CONFIG", story.settings()).args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Rows of a report.
fn report(story: &Story, program: &Program, args: &[&str]) -> Vec<Value> {
    let args = [&["report", "run"], args, &["--format", "ndjson"]].concat();
    let output = command(&program.data).env("TOKENTRAIL_CONFIG", story.settings()).args(&args).output().unwrap();
    assert!(output.status.code().unwrap() < 2, "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Merges, restarts, splits; afterwards the rows are those from before.
pub fn by_hand(story: &Story, program: Program, expected: &HashMap<&'static str, Vec<Value>>) -> Program {
    let ask = |program: &Program, args: &[&str]| -> Value {
        serde_json::from_slice(&story.cli(program, &[args, &["--format", "json"]].concat()).stdout).unwrap()
    };
    let show = |program: &Program, name: &str| ask(program, &["person", "show", name]);
    let (cleo, dora) = (show(&program, "cleo"), show(&program, "dora"));
    let (cleo, dora) = (cleo["person"].as_str().unwrap().to_owned(), dora["person"].as_str().unwrap().to_owned());
    let count = |program: &Program, view: &str, person: &str| {
        let sql = format!("SELECT count() AS n FROM {view} WHERE person = '{person}'");
        program.sql(&sql)[0]["n"].as_u64().unwrap()
    };
    let (logins, changes) = ("logins_in(from = 0, to = 4000000000000)", "changes_in(from = 0, to = 4000000000000)");
    let views = ["decisions", "sessions", "tokens", "credentials", "grants", "aliases", logins, changes];
    let before: Vec<(u64, u64)> =
        views.iter().map(|view| (count(&program, view, &cleo), count(&program, view, &dora))).collect();
    assert!(before.iter().all(|(one, other)| *one > 0 && *other > 0), "{before:?}");
    let trail = |program: &Program, name: &str| ask(program, &["trace", name])["events"].as_array().unwrap().len();
    let trails = [trail(&program, "cleo"), trail(&program, "dora")];

    // Machines are told as such, by Keycloak's own word and not by what they are called.
    let found = ask(&program, &["person", "search", "backstage-catalog"]);
    let kinds: Vec<(&Value, usize)> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (&one["kind"], one["names"].as_array().unwrap().iter().filter(|name| name["kind"] == "client").count())
        })
        .collect();
    assert_eq!(kinds, [(&Value::from("service_account"), 1)], "{found}");
    assert_eq!(
        (&show(&program, &cleo)["kind"], &ask(&program, &["access", "backstage-catalog"])["kind"]),
        (&"user".into(), &"service_account".into())
    );
    let listed = report(story, &program, &["R01", "--as-of", "2026-11-23T21:25:10Z"]);
    let machines: Vec<&Value> =
        listed.iter().filter(|row| row["account_type"] == "service account").map(|row| &row["username"]).collect();
    assert_eq!(machines, [&Value::from("service-account-backstage-catalog")]);

    let why = ["--by", "ann", "--reason", "same badge"];
    let merge = |one: &'static str, other: &'static str| [&["person", "merge", one, other], &why[..]].concat();
    let said = refused(story, &program, &merge("cleo", "dorra"));
    assert!(said.contains("most like it: dora"), "{said}");
    let said = refused(story, &program, &merge("cleo", "user:default/cleo"));
    assert!(said.contains("same account"), "{said}");
    let said = refused(story, &program, &merge("cleo", "dora"));
    assert!(said.contains("two users of realm") && said.contains("--force"), "{said}");
    let said = refused(story, &program, &["person", "merge", "cleo", "dora", "--by", "ann", "--reason", " "]);
    assert!(said.contains("--reason"), "{said}");
    let said = refused(story, &program, &[&["person", "split", "dora"], &why[..]].concat());
    assert!(said.contains("nothing to split"), "{said}");
    assert!(program.sql("SELECT * FROM person_acts").is_empty(), "what is refused leaves nothing");

    let done = ask(&program, &[&merge("cleo", "dora")[..], &["--force"]].concat());
    assert_eq!((&done["person"], &done["account"]), (&(*cleo).into(), &(*dora).into()));
    // The command waits a while for it, and says so where that is not enough.
    correlated(&program);
    let receipt = done["receipt"].as_str().unwrap();
    let told = program.sql(
        "SELECT concat(lower(hex(stream)), '/', toString(seq)) AS at, fate FROM receipts WHERE payload = 'person_act'",
    );
    assert_eq!((&told[0]["at"], &told[0]["fate"], told.len()), (&receipt.into(), &"event".into(), 1));
    let one_person = |program: &Program| {
        for (view, (one, other)) in views.iter().zip(&before) {
            let now = (count(program, view, &cleo), count(program, view, &dora));
            assert_eq!(now, (one + other, 0), "{view}");
        }
        let shown = show(program, "dora");
        assert_eq!(shown, show(program, "cleo"), "one person, whichever name is given");
        assert_eq!((&shown["person"], shown["acts"].as_array().unwrap().len()), (&(*cleo).into(), 1));
        let act = &shown["acts"][0];
        assert_eq!((&act["standing"], &act["reason"]), (&"in_force".into(), &"same badge".into()));
        assert_eq!((&act["done_by"], &act["into"]), (&"ann".into(), &(*cleo).into()));
        let text = String::from_utf8(story.cli(program, &["person", "show", "dora"]).stdout).unwrap();
        assert!(text.contains("by ann: same badge (in force)"), "{text}");
        assert_eq!(trail(program, "dora"), trail(program, "cleo"));
        assert!(trail(program, "dora") > trails[0].max(trails[1]), "events of both accounts");
        // Rights are the accounts': all of both, each by its own path.
        let held = |at: &str| {
            let told = ask(program, &["access", "dora", "--at", at]);
            let id = |right: &Value| {
                let id = right["right_id"].as_str().unwrap();
                told["right_names"][id].as_str().unwrap_or(id).to_owned()
            };
            told["rights"].as_array().unwrap().iter().map(id).collect::<Vec<_>>()
        };
        let held = held("2026-11-23T21:25:10Z");
        assert!(held.iter().any(|right| right == "/platform/ops"), "cleo's: {held:?}");
        let can = ask(program, &["who-can", "/platform/ops", "--at", "2026-11-23T21:25:10Z"]);
        assert_eq!((&can["holders"][0]["person"], can["holders"].as_array().unwrap().len()), (&(*cleo).into(), 1));
        // Reports: rights of both accounts, the later of both logins, attempts of both in one row.
        let listed = report(story, program, &["R01", "--as-of", "2026-11-23T21:25:10Z"]);
        let of = |rows: &[Value], person: &str| -> Vec<Value> {
            rows.iter().filter(|row| row["person"] == person).cloned().collect()
        };
        assert_eq!((of(&listed, &cleo).is_empty(), of(&listed, &dora)), (false, Vec::new()));
        let last = "2026-11-23T21:25:04.755Z";
        assert!(
            of(&listed, &cleo).iter().all(|row| row["username"] == "cleo" && row["last_login"] == last),
            "{listed:?}"
        );
        let tried = report(story, program, &["R05", "--from", "2026-11-23T00:00:00Z", "--to", "2026-11-24T00:00:00Z"]);
        assert_eq!((of(&tried, &cleo).is_empty(), of(&tried, &dora)), (false, Vec::new()));
        // From events alone, without a checkpoint, it comes to the same.
        let checked = ask(program, &["self-check", "--persons", "0"]);
        assert_eq!(checked["differ"], serde_json::json!({}), "{checked}");
    };
    one_person(&program);
    let said = refused(story, &program, &merge("dora", "cleo"));
    assert!(said.contains("one person already") && said.contains("by ann: same badge"), "{said}");

    // Killed with the act behind the newest checkpoint or within it.
    program.kill();
    let program = story.start("first");
    correlated(&program);
    one_person(&program);

    // The account that others were merged into stands for the merge as well.
    let done = ask(&program, &[&["person", "split", "cleo"], &why[..]].concat());
    assert_eq!((&done["account"], &done["act"]), (&(*dora).into(), &"split".into()));
    correlated(&program);
    assert_same(&program, expected, "merged and split");
    let acts = show(&program, "dora")["acts"].clone();
    let standing: Vec<&Value> = acts.as_array().unwrap().iter().map(|act| &act["standing"]).collect();
    assert_eq!(standing, [&Value::from("undone"), &"in_force".into()]);
    assert_eq!([trail(&program, "cleo"), trail(&program, "dora")].map(|n| n > 0), [true; 2]);
    program
}
