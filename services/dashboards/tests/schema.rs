//! The dashboards against Grafana's own description of their form. `grafana-13.2.2.schema.json` holds JSON Schemas made of the TypeScript
//! declarations in the npm package @grafana/schema 13.2.2 (Apache-2.0): the classic dashboard, and options and custom field settings of
//! each kind of panel that we use, by ts-json-schema-generator, each as the property `it` of an object.
#![allow(clippy::unwrap_used)] // a test may panic

use dashboards::{Source, folder};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn schemas() -> BTreeMap<String, jsonschema::Validator> {
    let text = include_str!("grafana-13.2.2.schema.json");
    let schemas: BTreeMap<String, Value> = serde_json::from_str(text).unwrap();
    let made = |(name, mut schema): (String, Value)| {
        // An annotation's question is its data source's own; the declaration knows that of Grafana's alone.
        if let Some(target) = schema.pointer_mut("/definitions/AnnotationTarget") {
            *target = json!({});
        }
        (name, jsonschema::validator_for(&schema).unwrap())
    };
    schemas.into_iter().map(made).collect()
}

fn complaints(schema: &jsonschema::Validator, value: &Value) -> Vec<String> {
    let value = json!({ "it": value });
    schema.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn made() -> BTreeMap<String, Value> {
    let files = Source::read(&folder().join("source")).unwrap().files().unwrap();
    let json = files.into_iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "json"));
    json.map(|(path, text)| (path.display().to_string(), serde_json::from_str(&text).unwrap())).collect()
}

#[test]
fn dashboards_and_their_panels_have_the_form_that_grafana_declares() {
    let schemas = schemas();
    let dashboards = made();
    assert_eq!(dashboards.len(), dashboards::DASHBOARDS.len());
    let mut kinds = std::collections::BTreeSet::new();
    for (name, dashboard) in dashboards {
        assert_eq!(complaints(&schemas["dashboard"], &dashboard), [""; 0], "{name}");
        for panel in dashboard["panels"].as_array().unwrap() {
            let (kind, title) = (panel["type"].as_str().unwrap(), &panel["title"]);
            assert_eq!(complaints(&schemas[&format!("options {kind}")], &panel["options"]), [""; 0], "{name}: {title}");
            let custom = &panel["fieldConfig"]["defaults"]["custom"];
            match schemas.get(&format!("custom {kind}")) {
                Some(schema) => assert_eq!(complaints(schema, custom), [""; 0], "{name}: {title}"),
                None => assert_eq!(*custom, json!({}), "{name}: {title}: a {kind} has no field settings of its own"),
            }
            kinds.insert(format!("options {kind}"));
        }
    }
    let known = schemas.keys().filter(|name| name.starts_with("options ")).cloned().collect();
    assert_eq!(kinds, known, "a schema of which nothing is held");
}

#[test]
fn what_grafana_would_drop_or_miss_is_found() {
    let schemas = schemas();
    let (_, dashboard) = made().into_iter().next().unwrap();
    let mut unknown = dashboard.clone();
    unknown["panels"][0]["gridPosition"] = json!({});
    let mut wrong = dashboard.clone();
    wrong["templating"]["list"][0]["hide"] = json!("never");
    let mut missing = dashboard;
    missing.as_object_mut().unwrap().remove("schemaVersion");
    for (what, broken) in [("gridPosition", unknown), ("hide", wrong), ("schemaVersion", missing)] {
        let said = complaints(&schemas["dashboard"], &broken).join("\n");
        assert!(!said.is_empty(), "{what} is not found");
    }
    assert!(!complaints(&schemas["options stat"], &json!({"colorMode": "loud"})).is_empty());
}
