//! Alert rules in the form of Grafana's provisioning files. The keys of files are not those of its HTTP API: a key that it does not
//! know is dropped in silence, so nothing is passed through.

use crate::{
    DATA_SOURCE, DATA_SOURCE_UID,
    source::{Alerts, Rule},
};
use serde_json::{Value, json};

/// Seconds that a query looks back, for `$__timeFilter`.
const LOOK_BACK: u32 = 900;
/// Evaluations without its row after which an alert is resolved: a healthy query answers no row.
const EVALS_TO_RESOLVE: u32 = 1;

pub fn json(alerts: &Alerts) -> Value {
    let rules: Vec<Value> = alerts.rules.iter().map(|rule| one(alerts, rule)).collect();
    json!({
        "apiVersion": 1,
        "groups": [{"orgId": 1, "name": alerts.group, "folder": alerts.folder, "interval": alerts.interval, "rules": rules}],
    })
}

fn one(alerts: &Alerts, rule: &Rule) -> Value {
    let expression = |refers: &str, model: Value| {
        let mut model = model;
        model["refId"] = refers.into();
        model["datasource"] = json!({"type": "__expr__", "uid": "__expr__"});
        json!({"refId": refers, "relativeTimeRange": {"from": 0, "to": 0}, "datasourceUid": "__expr__", "model": model})
    };
    json!({
        "uid": rule.uid,
        "title": rule.title,
        "condition": "C",
        "for": rule.lasts,
        "data": [
            {
                "refId": "A",
                "relativeTimeRange": {"from": LOOK_BACK, "to": 0},
                "datasourceUid": DATA_SOURCE_UID,
                "model": {
                    "refId": "A",
                    "datasource": {"type": DATA_SOURCE, "uid": DATA_SOURCE_UID},
                    "editorType": "sql",
                    "queryType": "table",
                    "format": 1,
                    "rawSql": rule.sql.trim(),
                },
            },
            expression("B", json!({"type": "reduce", "expression": "A", "reducer": "last"})),
            expression("C", json!({
                "type": "threshold",
                "expression": "B",
                "conditions": [{"evaluator": {"type": "gt", "params": [rule.above]}}],
            })),
        ],
        "noDataState": rule.no_data,
        "execErrState": "Error",
        "missing_series_evals_to_resolve": EVALS_TO_RESOLVE,
        "labels": {"severity": rule.severity, "product": "tokentrail"},
        "annotations": {
            "summary": rule.summary,
            "description": rule.remedy,
            "__dashboardUid__": alerts.dashboard,
            "__panelId__": rule.panel.to_string(),
        },
        "dashboardUid": alerts.dashboard,
        "panelId": rule.panel,
        "isPaused": false,
    })
}
