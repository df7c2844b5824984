//! What stands beside the panels: what can be chosen, marks on the time axis, and what fires.

use crate::{asked::Grafana, said::told, story::PERIOD};
use dashboards::{Source, expand::Choice};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What can be chosen.
pub async fn variables(grafana: &Grafana<'_>, source: &Source, choice: &Choice, names: &BTreeMap<String, String>) {
    let ask = async |name: &str, choice: &Choice| {
        grafana.ask(name, source.shared.variables[name].sql.as_ref().unwrap(), choice).await.rows
    };
    assert_eq!(ask("tenant", choice).await, [[json!("default")]]);
    assert_eq!(ask("source", choice).await, [[json!("bs")], [json!("kc")]]);
    assert_eq!(ask("realm", choice).await, [[json!("pair")]]);
    let rules: Vec<Value> = ask("rule", choice).await.into_iter().map(|row| row[0].clone()).collect();
    let named: Vec<Value> = source.shared.words["rule"].keys().map(|rule| json!(rule)).collect();
    assert_eq!(rules, named, "each rule that is listed has its name on the dashboards");
    let found = async |text: &str| -> Vec<Value> {
        let rows = ask("person", &choice.clone().with("search", text)).await;
        assert!(rows.iter().all(|row| names[row[0].as_str().unwrap()] == row[1].as_str().unwrap()));
        rows.into_iter().map(|row| row[1].clone()).collect()
    };
    let callers = ["catalog-reader", "ci-deployer", "service-account-backstage-catalog"];
    let mut everybody = ["ann", "ben", "cleo", "dora", "egon", "finn"].iter().chain(&callers).collect::<Vec<_>>();
    everybody.sort();
    assert_eq!(found("").await, everybody.into_iter().map(|name| json!(name)).collect::<Vec<_>>());
    assert_eq!(found("DORA@pair").await, [json!("dora")]);
    assert_eq!(found("CI-dep").await, [json!("ci-deployer")], "a static token is nobody, and is found");
    assert_eq!(found("user:default/ann").await, [json!("ann")]);
    let (key, name) = names.iter().next().unwrap();
    assert_eq!(found(key).await, [json!(name)], "links search by the key");
}

/// Marks on the time axis.
pub async fn annotations(grafana: &Grafana<'_>, source: &Source, choice: &Choice) {
    let ask = async |name: &str| grafana.ask(name, &source.shared.annotations[name].sql, choice).await;
    let gaps = ask("gaps").await;
    let expected = json!([
        ["2026-11-23 21:27:00.000", "kc webhook: silent", "gap,open"],
        ["2026-11-23 21:30:00.000", "bs lines: sender dropped", "gap,not repaired"]
    ]);
    assert_eq!(told(&gaps, &["time", "text", "tags"], &BTreeMap::new()), expected);
    let repaired = ask("repaired").await;
    let expected = json!([["2026-11-23 21:24:00.000", "kc webhook: silent, brought by pull", "gap,repaired"]]);
    assert_eq!(told(&repaired, &["time", "text", "tags"], &BTreeMap::new()), expected);
    let colour = |name: &str| source.shared.annotations[name].colour.as_str();
    assert_eq!(
        (colour("gaps"), colour("repaired")),
        ("red", "green"),
        "what was repaired does not look like what is open"
    );
    let changes = ask("changes").await;
    assert_eq!(changes.rows.len(), 33, "what changed policies, roles and their members, not groups of people");
    assert!(changes.column("text").contains(&json!("backstage role member added: role:default/rbac_admin")));
    let snapshots = ask("snapshots").await;
    assert_eq!((snapshots.rows.len(), &snapshots.rows[0][2]), (7, &json!("snapshot of bs")));
}

/// What fires: the open gap, silence, and the dead letter of now. Nothing is missing, contested or behind.
pub async fn alerts(grafana: &Grafana<'_>, source: &Source) {
    let now =
        i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let choice = grafana.everything((now - 900_000, now + 60_000));
    let mut answers = BTreeMap::new();
    for rule in &source.alerts.rules {
        let answer = grafana.ask(&rule.uid, &rule.sql, &choice).await;
        let numbers = answer.columns.iter().filter(|(_, kind)| kind.contains("Int"));
        assert_eq!(numbers.count(), 1, "{}: one value, all else labels", rule.uid);
        let rows: Vec<Vec<Value>> = answer.rows.iter().map(|row| row[1..].to_vec()).collect();
        answers.insert(rule.uid.as_str(), rows);
    }
    assert_eq!(answers["tokentrail-gap-open"], [[json!("kc"), json!("silent"), json!(1)]]);
    assert_eq!(answers["tokentrail-dead-letters"], [[json!("kc"), json!("not_json"), json!(1)]]);
    let silent: Vec<&Value> = answers["tokentrail-source-silent"].iter().map(|row| &row[0]).collect();
    assert!(silent.contains(&&json!("kc")) && silent.contains(&&json!("bs")), "{silent:?}");
    for quiet in ["tokentrail-stream-holes", "tokentrail-contested", "tokentrail-correlation-behind"] {
        assert!(answers[quiet].is_empty(), "{quiet}: {:?}", answers[quiet]);
    }
    assert!(PERIOD.1 < now);
}
