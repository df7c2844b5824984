//! What the story says, panel by panel: cleo is the chosen person. Persons' keys are read as their names.

use crate::asked::{Answer, Grafana};
use dashboards::expand::Choice;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub struct Story<'a> {
    /// Taken out as they are checked.
    pub answers: &'a mut BTreeMap<(&'static str, u32), Vec<Answer>>,
    /// Names by key.
    pub names: &'a BTreeMap<String, String>,
}

/// The columns of an answer, with names for keys.
pub fn told(answer: &Answer, columns: &[&str], names: &BTreeMap<String, String>) -> Value {
    let columns: Vec<Vec<Value>> = columns.iter().map(|name| answer.column(name)).collect();
    let name = |value: &Value| value.as_str().and_then(|key| names.get(key)).map_or(value.clone(), |name| json!(name));
    let cell = |value: &Value| rounded(&name(value));
    (0..answer.rows.len()).map(|row| columns.iter().map(|column| cell(&column[row])).collect::<Value>()).collect()
}

/// Sums of fractions depend on their order in the last digits: to a millionth.
fn rounded(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(rounded).collect(),
        Value::Number(number) if !number.is_i64() => json!((number.as_f64().unwrap() * 1e6).round() / 1e6),
        other => other.clone(),
    }
}

impl Story<'_> {
    pub fn says(&mut self, (dashboard, panel): (&'static str, u32), columns: &[&str], expected: Value) {
        self.says_at((dashboard, panel), 0, (columns, expected));
        self.answers.remove(&(dashboard, panel));
    }

    fn says_at(&self, panel: (&'static str, u32), at: usize, (columns, expected): (&[&str], Value)) {
        let answer = &self.answers[&panel][at];
        assert_eq!(told(answer, columns, self.names), rounded(&expected), "{}", answer.what);
    }

    pub fn check(&mut self) {
        self.overview();
        self.drift();
        self.investigation();
        self.pipeline();
        self.register();
    }

    fn overview(&mut self) {
        let exposures = json!([
            ["finn", "token", 583.28, 15, 0, "inferred"],
            ["dora", "claims", 15.122, 2, 0, "inferred"],
            ["dora", "catalog", 9.535, 19, 0, "inferred"],
            ["ben", "catalog", 9.177, 19, 0, "inferred"],
            ["cleo", "catalog", 6.576, 17, 0, "inferred"],
            ["egon", "token", 0.056, 1, 0, "inferred"]
        ]);
        let by_clock = json!([
            ["2026-11-23 21:25:00", "catalog", 16.111],
            ["2026-11-23 21:25:00", "claims", 15.122],
            ["2026-11-23 21:26:00", "catalog", 9.177],
            ["2026-11-23 21:26:00", "token", 0.056],
            ["2026-11-23 21:34:00", "token", 583.28]
        ]);
        self.says(("overview", 1), &["continuity"], json!([["gap_open"]]));
        self.says(("overview", 2), &["violations"], json!([[0]]));
        self.says(("overview", 3), &["exposure"], json!([[623.746]]));
        self.says(("overview", 4), &["longest"], json!([[583.28]]));
        // Not the three calls just after egon was disabled: by their lines' times they can be of before.
        self.says(("overview", 5), &["sure"], json!([[102.0 / 161.0]]));
        self.says(("overview", 6), &["missing"], json!([[0]]));
        self.says(("overview", 7), &["time", "clock", "exposure"], by_clock.clone());
        // Of the hour that the period begins in: as late as the period's own beginning.
        let verdicts = json!([
            ["2026-11-23 21:23:00", "agrees", 33],
            ["2026-11-23 21:23:00", "conditional", 7],
            ["2026-11-23 21:23:00", "exposure", 73],
            ["2026-11-23 21:23:00", "granted in backstage", 4],
            ["2026-11-23 21:23:00", "pending grant", 44]
        ]);
        self.says(("overview", 8), &["time", "verdict", "decisions"], verdicts);
        let columns = ["Person", "Clock", "Still allowed for", "Decisions", "Violations", "Grade"];
        self.says(("overview", 9), &columns, exposures.clone());
        let continuity =
            json!([["bs", "gap_not_repaired", 694, 0, 0, 0, 1, 0, 60], ["kc", "gap_open", 119, 3, 2, 1, 0, 1, 780]]);
        let columns = [
            "Source",
            "Continuity",
            "Stored",
            "Heartbeats",
            "Came back",
            "Gaps open",
            "Not repaired",
            "Repaired",
            "Gap time",
        ];
        self.says(("overview", 10), &columns, continuity);
        let gaps = json!([
            ["bs", "not repaired", "b1", "sender dropped", 12, ""],
            ["kc", "open", "pair", "silent", null, ""],
            ["kc", "repaired", "pair", "silent", null, "pull"]
        ]);
        let columns = ["Source", "State", "Scope", "Cause", "Missing", "Repaired by"];
        self.says(("overview", 11), &columns, gaps.clone());
        self.says(("pipeline", 13), &columns, gaps);
        let changes = json!([
            ["backstage policy added", "bs", 15, 2],
            ["backstage role member added", "bs", 9, 2],
            ["backstage role changed", "bs", 4, 2],
            ["backstage policy changed", "bs", 3, 2],
            ["group member added", "kc", 3, 1],
            ["group member removed", "kc", 3, 1],
            ["user updated", "kc", 3, 1],
            ["backstage condition added", "bs", 1, 1],
            ["backstage role member removed", "bs", 1, 1],
            ["sessions ended by admin", "kc", 1, 1]
        ]);
        self.says(("overview", 12), &["Change", "Source", "Number", "By how many"], changes);
        let logins = json!([["2026-11-23 21:23:00", "failure", 2], ["2026-11-23 21:23:00", "success", 8]]);
        self.says(("overview", 13), &["time", "result", "logins"], logins);
        let failed = json!([["invalid user credentials", "pair", 1, 1, 0], ["user disabled", "pair", 1, 1, 0]]);
        self.says(("overview", 14), &["Cause", "Realm", "Number", "People", "By unknown names"], failed);

        self.says(("drift", 7), &["time", "clock", "exposure"], by_clock);
        let columns = ["Person", "Clock", "Still allowed for", "Decisions", "Violations", "Grade"];
        self.says(("drift", 11), &columns, exposures);
    }

    fn drift(&mut self) {
        self.says(("drift", 1), &["violations"], json!([[0]]));
        self.says(("drift", 2), &["stale"], json!([[73]]));
        self.says(("drift", 3), &["exposure"], json!([[25.288]]));
        self.says(("drift", 4), &["exposure"], json!([[15.122]]));
        self.says(("drift", 5), &["exposure"], json!([[583.336]]));
        self.says(("drift", 6), &["against"], json!([[0]]));
        let lags = json!([
            ["2026-11-23 21:25:00", "exposure", 63],
            ["2026-11-23 21:25:00", "pending grant", 44],
            ["2026-11-23 21:26:00", "exposure", 9],
            ["2026-11-23 21:34:00", "exposure", 1]
        ]);
        self.says(("drift", 8), &["time", "verdict", "decisions"], lags);
        let delays = json!([
            ["token", "exposure", 16, 583.28],
            ["claims", "exposure", 2, 15.122],
            ["claims", "pending_grant", 2, 9.718],
            ["catalog", "exposure", 55, 9.535],
            ["catalog", "pending_grant", 42, 9.034]
        ]);
        self.says(("drift", 9), &["Clock", "Verdict", "Decisions", "Longest"], delays);
        let grades = json!([
            ["exposure", 18, 28, 27, 0, 73],
            ["not_judged", 11, 5, 0, 55, 71],
            ["pending_grant", 23, 10, 11, 0, 44],
            ["agrees", 12, 8, 13, 0, 33],
            ["conditional", 0, 0, 7, 0, 7],
            ["granted_in_backstage", 3, 0, 1, 0, 4]
        ]);
        self.says(("drift", 10), &["Verdict", "exact", "session", "inferred", "none", "Decisions"], grades);
        self.says(("drift", 12), &["Person", "Verdict"], json!([]));
        self.says(("drift", 13), &["Person", "Missing"], json!([]));
        let reasons = json!([
            ["several tokens", 67],
            ["straddles", 34],
            ["rights from catalog", 32],
            ["disabled", 16],
            ["several sessions", 2]
        ]);
        self.says(("drift", 14), &["Reason", "Decisions"], reasons);
        let began = ["26:05.179", "25:55.115", "25:45.063", "25:35.013", "25:24.966", "25:14.912", "25:02.823"];
        let entities = [19, 20, 19, 20, 19, 20, 19];
        let snapshots = |columns: fn(&str, u64) -> Value| -> Value {
            began.iter().zip(entities).map(|(at, n)| columns(&format!("2026-11-23 21:{at}"), n)).collect()
        };
        let row = |at: &str, n: u64| json!(["bs", at, "complete", n, n, ""]);
        let columns = ["Source", "Began", "State", "Entities", "Changed", "Lacking"];
        self.says(("drift", 15), &columns, snapshots(row));
        self.says(("pipeline", 18), &columns, snapshots(row));
    }

    fn investigation(&mut self) {
        let who = json!([["email", "cleo@pair.example"], ["reference", "user:default/cleo"], ["username", "cleo"]]);
        self.says(("investigation", 1), &["Kind", "Name"], who);
        self.says(("investigation", 2), &["longest"], json!([[6.576]]));
        let held = json!([["/platform/ops", "group", "2026-11-23 21:25:07.067", "2026-11-23 21:25:16.818", ""]]);
        self.says(("investigation", 3), &["Right", "Kind", "From", "Until", "Note"], held);
        let at = |second: &str| format!("2026-11-23 21:25:{second}");
        let lane = |lane: usize, column: &str, expected: Value| {
            self.says_at(("investigation", 4), lane, (&["time", column], expected));
        };
        lane(0, "Keycloak session", json!([[at("04.237"), "session"]]));
        let token = |second: &str| json!([at(second), format!("Backstage token 21:25:{}", &second[..2])]);
        lane(1, "Backstage token", json!([token("04.326"), token("07.227"), token("17.021")]));
        let held = json!([
            ["2026-11-23 21:23:20.000", "no right known"],
            [at("07.067"), "/platform/ops"],
            [at("16.818"), "no right known"]
        ]);
        lane(2, "Groups and roles", held);
        let decisions = &self.answers[&("investigation", 4)][3].rows;
        // Each ends after ten seconds, a hundredth of the period, unless the next one comes before.
        let (ends, begin): (Vec<&Vec<Value>>, Vec<&Vec<Value>>) = decisions.iter().partition(|row| row[1].is_null());
        assert_eq!((begin.len(), begin[0]), (46, &vec![json!(at("06.261")), json!("agrees")]));
        assert_eq!(json!(ends), json!([[at("33.980"), null], ["2026-11-23 21:26:18.241", null]]));
        self.answers.remove(&("investigation", 4));

        let all = self.answers.remove(&("investigation", 5)).unwrap().remove(0);
        let mut lanes = BTreeMap::<String, usize>::new();
        for lane in all.column("Lane") {
            *lanes.entry(lane.as_str().unwrap().to_owned()).or_default() += 1;
        }
        let expected = [("decision", 54), ("right", 2), ("session", 1), ("token", 6)];
        assert_eq!(lanes.iter().map(|(lane, n)| (lane.as_str(), *n)).collect::<Vec<_>>(), expected);
        let rights: Vec<Value> = told(&all, &["Time", "Lane", "What", "Detail"], self.names)
            .as_array()
            .unwrap()
            .iter()
            .filter(|row| row[1] == "right")
            .cloned()
            .collect();
        let expected = [("16.818", "group taken"), ("07.067", "group given")];
        assert_eq!(rights, expected.map(|(second, what)| json!([at(second), "right", what, "/platform/ops"])));

        self.says(("investigation", 6), &["Policy"], json!([]));
        self.says(("investigation", 13), &["Verdict"], json!([]));
        let sessions = json!([["kc", at("04.237"), null, "backstage", 1, 2, 1, ""]]);
        let columns =
            ["Source", "First seen", "Until", "Clients", "Logins", "Refreshes", "Sign-ins", "Used after its end"];
        self.says(("investigation", 7), &columns, sessions);
        let logins = json!([
            [at("06.074"), "failure", "invalid user credentials", "127.0.0.1", "pair"],
            [at("04.237"), "success", "", "127.0.0.1", "pair"]
        ]);
        self.says(("investigation", 8), &["Time", "Outcome", "Cause", "Address", "Realm"], logins);
        let queue = json!([
            ["finn", "finn", 0, 15, 583_280],
            ["dora", "dora", 0, 21, 15_122],
            ["ben", "ben", 0, 19, 9_177],
            ["cleo", "cleo", 0, 17, 6_576],
            ["egon", "egon", 0, 1, 56]
        ]);
        self.says(("investigation", 9), &["Person", "Name", "Violations", "Stale allows", "Longest"], queue);
    }

    fn pipeline(&mut self) {
        self.says(("pipeline", 1), &["gaps"], json!([[1]]));
        let silent = self.answers.remove(&("pipeline", 2)).unwrap().remove(0);
        assert!(silent.rows[0][0].as_i64().unwrap() >= 0, "{silent:?}");
        self.says(("pipeline", 3), &["dead"], json!([[1]]));
        self.says(("pipeline", 4), &["missing"], json!([[0]]));
        self.says(("pipeline", 5), &["contested"], json!([[0]]));
        self.says(("pipeline", 6), &["behind"], json!([[0]]));
        let stored = self.answers.remove(&("pipeline", 7)).unwrap().remove(0);
        let of = |source: &str| {
            let rows = stored.rows.iter().filter(|row| row[1] == source);
            (rows.clone().count(), rows.map(|row| row[2].as_u64().unwrap()).sum::<u64>())
        };
        assert_eq!((of("kc"), of("bs")), ((12, 119), (12, 694)), "minutes and events");
        let way = json!([["2026-11-23 21:25:00", "kc", 250], ["2026-11-23 21:26:00", "kc", 4_000]]);
        self.says(("pipeline", 8), &["time", "source", "way"], way);
        let lost = json!([
            ["2026-11-23 21:25:00", "kc", 0],
            ["2026-11-23 21:26:00", "kc", 0],
            ["2026-11-23 21:27:00", "kc", 1]
        ]);
        self.says(("pipeline", 9), &["time", "source", "lost"], lost);
        self.says(("pipeline", 10), &["time", "source", "healed"], json!([]));
        let fates = json!([
            ["bs", "lines", 1456, 687, 0, 769, 0],
            ["bs", "snapshot", 7, 7, 0, 0, 0],
            ["kc", "import", 119, 119, 0, 0, 0],
            ["kc", "webhook", 1, 0, 0, 0, 1]
        ]);
        let columns = ["Source", "Input", "Received", "Stored", "Duplicate", "Ignored", "Dead"];
        let found = told(&self.answers.remove(&("pipeline", 11)).unwrap()[0], &columns, self.names);
        // What the collector notes of itself varies with its runs.
        let found: Vec<&Value> = found.as_array().unwrap().iter().filter(|row| row[1] != "collector").collect();
        assert_eq!(json!(found), fates);
        let reasons = told(&self.answers.remove(&("pipeline", 12)).unwrap()[0], &["Reason", "Receipts"], self.names);
        assert_eq!(reasons[0], json!(["bs: initiated", 568]));
        assert!(reasons.as_array().unwrap().contains(&json!(["kc: not json", 1])), "{reasons}");
        let marks = self.answers.remove(&("pipeline", 14)).unwrap().remove(0);
        let known = told(&marks, &["Source", "Input", "Complete up to"], self.names);
        assert!(known.as_array().unwrap().contains(&json!(["kc", "import", "2026-11-23 21:35:06.124"])), "{known}");
        // It was received when the test ran, which is not in the period.
        self.says(("pipeline", 15), &["Reason"], json!([]));
        let streams =
            told(&self.answers.remove(&("pipeline", 16)).unwrap()[0], &["Numbered", "Stored", "Contested"], self.names);
        assert!(
            streams[0][0] == streams[0][1] && streams[0][0].as_u64().unwrap() >= 1583 && streams[0][2] == 0,
            "{streams}"
        );
        let lines = json!([["bs", "access", 432], ["bs", "json", 220], ["bs", "redaction off", 1], ["bs", "text", 1]]);
        self.says(("pipeline", 17), &["Source", "Kind", "Lines"], lines);
    }
}

/// The exposures beside the truth that was written down when the story was recorded: the same people, decisions and seconds.
pub async fn truth(grafana: &Grafana<'_>, choice: &Choice, names: &BTreeMap<String, String>) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/samples/pair/truth.json");
    let truth: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut longest = BTreeMap::<(String, bool), f64>::new();
    for one in truth["stale_decisions"].as_array().unwrap() {
        // Deleting what one owns is judged by claims, all else in the story by roles or by the token.
        let claims = one["what"] == "catalog.entity.delete";
        let seconds = longest.entry((one["user"].as_str().unwrap().to_owned(), claims)).or_default();
        *seconds = seconds.max(one["stale_by_s"].as_f64().unwrap());
    }
    let told = told(&grafana.panel("drift", 11, choice).await[0], &["Person", "Clock", "Still allowed for"], names);
    assert_eq!(told.as_array().unwrap().len(), longest.len(), "{told}: {longest:?}");
    for row in told.as_array().unwrap() {
        let truth = longest[&(row[0].as_str().unwrap().to_owned(), row[1] == "claims")];
        assert!((row[2].as_f64().unwrap() - truth).abs() < 1.0, "{row} was {truth} s");
    }
}

/// finn's last decision: 583 s after he was disabled, by the token of his sign-in.
pub async fn one_decision(grafana: &Grafana<'_>, choice: &Choice) {
    let queue = &grafana.panel("investigation", 9, choice).await[0];
    let last = queue.column("Decision")[0].as_str().unwrap().to_owned();
    let chosen = choice.clone().with("decision", &last);
    let decision = &grafana.panel("investigation", 13, &chosen).await[0];
    let columns = ["Outcome", "Verdict", "Since the change", "Permission", "Tokens that fit"];
    let judged = told(decision, &columns, &BTreeMap::new());
    assert_eq!(judged, json!([["allow", "exposure", 583_280, "scaffolder.task.create", 1]]));
    let grounds = &grafana.panel("investigation", 6, &chosen).await[0];
    let grounds = told(grounds, &["Backstage group", "Backstage role"], &BTreeMap::new());
    assert_eq!(grounds[0], json!(["group:default/release", "role:default/releasers"]), "{grounds}");
    let session = decision.column("Session")[0].as_str().unwrap().to_owned();
    assert!(!session.is_empty());
    // That session alone.
    let alone = &grafana.panel("investigation", 5, &chosen.with("session", &session)).await[0];
    assert!(alone.rows.len() > 10 && alone.column("Session").iter().all(|one| *one == json!(session)));
}
