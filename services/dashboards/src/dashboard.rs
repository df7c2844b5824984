//! A dashboard in Grafana's classic form (schema 42), which every release from 11.6 on provisions from files.

use crate::{
    DATA_SOURCE, DATA_SOURCE_UID, panel,
    source::{Annotation, Dashboard, Shared, Variable},
};
use anyhow::Context;
use serde_json::{Value, json};

const SCHEMA: u32 = 42;

pub fn json(shared: &Shared, dashboard: &Dashboard) -> anyhow::Result<Value> {
    let mut variables = vec![json!({
        "type": "datasource", "name": "datasource", "label": "Data source", "query": DATA_SOURCE, "regex": "", "hide": 0,
        "current": {"text": "Tokentrail", "value": DATA_SOURCE_UID}, "options": [], "multi": false, "includeAll": false, "refresh": 1,
    })];
    for name in &dashboard.variables {
        let known = shared.variables.get(name).with_context(|| format!("no variable {name} in shared.toml"))?;
        variables.push(variable(name, known));
    }
    let mut annotations = vec![json!({
        "builtIn": 1, "datasource": {"type": "grafana", "uid": "-- Grafana --"}, "enable": true, "hide": true,
        "iconColor": "rgba(0, 211, 255, 1)", "name": "Annotations & Alerts", "type": "dashboard",
    })];
    for name in &dashboard.annotations {
        let known = shared.annotations.get(name).with_context(|| format!("no annotation {name} in shared.toml"))?;
        annotations.push(annotation(known));
    }
    let panels = dashboard.panels.iter().map(|one| panel::json(shared, one).with_context(|| one.title.clone()));
    Ok(json!({
        "annotations": {"list": annotations},
        "description": dashboard.description,
        "editable": false,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "id": null,
        "links": [{
            "type": "dashboards", "title": "Tokentrail", "tags": ["tokentrail"], "asDropdown": true, "includeVars": false,
            "keepTime": true, "targetBlank": false, "icon": "external link", "tooltip": "", "url": "",
        }],
        "panels": panels.collect::<anyhow::Result<Vec<_>>>()?,
        "preload": false,
        "refresh": "",
        "schemaVersion": SCHEMA,
        "tags": ["tokentrail"],
        "templating": {"list": variables},
        "time": {"from": dashboard.from, "to": "now"},
        "timepicker": {},
        "timezone": "utc",
        "title": dashboard.title,
        "uid": dashboard.uid,
        "version": 1,
        "weekStart": "",
    }))
}

/// What every question names.
pub fn data_source() -> Value {
    json!({"type": DATA_SOURCE, "uid": "${datasource}"})
}

fn variable(name: &str, known: &Variable) -> Value {
    let mut out = json!({"name": name, "label": known.label, "hide": 0, "skipUrlSync": false});
    let all = json!({"text": "All", "value": "$__all"});
    if let Some(sql) = &known.sql {
        let sql = sql.trim();
        out["type"] = "query".into();
        out["datasource"] = data_source();
        out["query"] = json!({"editorType": "sql", "rawSql": sql, "refId": name});
        // Asked again when the period changes.
        out["refresh"] = 2.into();
        out["sort"] = 0.into();
        out["regex"] = "".into();
    } else if known.values.is_empty() {
        out["type"] = "textbox".into();
        out["query"] = "".into();
        out["current"] = json!({"text": "", "value": ""});
        out["options"] = json!([{"selected": true, "text": "", "value": ""}]);
        return out;
    } else {
        out["type"] = "custom".into();
        out["query"] = known.values.join(",").into();
    }
    out["multi"] = known.all.into();
    out["includeAll"] = known.all.into();
    out["current"] = if known.all { all } else { json!({"text": "", "value": ""}) };
    out["options"] = json!([]);
    out
}

fn annotation(known: &Annotation) -> Value {
    json!({
        "name": known.title, "enable": true, "hide": false, "iconColor": known.colour, "datasource": data_source(),
        "target": {"refId": "Anno", "editorType": "sql", "queryType": "table", "format": 1, "rawSql": known.sql.trim()},
    })
}
