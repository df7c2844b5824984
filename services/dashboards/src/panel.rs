//! One panel in Grafana's form.

use crate::{
    dashboard::data_source,
    source::{Column, Kind, Panel, Shared},
};
use anyhow::{Context, bail};
use serde_json::{Value, json};

/// Most bars of a panel: one for each pixel of width would be too thin to see.
const BARS: u32 = 100;
/// Pixels that a column of a table has at least; Grafana's own least is 150, and cuts off what is then beyond the panel.
const LEAST_WIDTH: u32 = 60;
/// A bar stands after its time, which is its beginning, and not around it.
const AFTER: u32 = 1;
/// Times in tables.
const TIME: &str = "time:YYYY-MM-DD HH:mm:ss";

pub fn json(shared: &Shared, panel: &Panel) -> anyhow::Result<Value> {
    let [x, y, w, h] = panel.at;
    let mut defaults = json!({
        "unit": panel.unit,
        "noValue": panel.empty,
        "color": colour(panel),
        "mappings": mappings(shared, panel.colours.names())?,
        "thresholds": thresholds(&panel.steps)?,
        "custom": custom(panel.kind),
    });
    if let Some(decimals) = panel.decimals {
        defaults["decimals"] = decimals.into();
    }
    if let Some(series) = &panel.series {
        defaults["displayName"] = format!("${{__field.labels.{series}}}").into();
    }
    let mut overrides = if panel.kind == Kind::Table { every_column() } else { Vec::new() };
    for (name, column) in &panel.columns {
        overrides
            .push(json!({"matcher": {"id": "byName", "options": name}, "properties": properties(shared, column)?}));
    }
    if panel.series.is_some() {
        overrides.extend(series_colours(shared, panel)?);
    }
    let (format, kind) = match panel.kind {
        Kind::Bars | Kind::Line => (0, "timeseries"),
        _ => (1, "table"),
    };
    let target = |(at, sql): (usize, &str)| {
        let refers = char::from(b'A' + u8::try_from(at).unwrap_or_default()).to_string();
        json!({
            "refId": refers, "datasource": data_source(), "editorType": "sql", "queryType": kind, "format": format, "rawSql": sql,
        })
    };
    let mut out = json!({
        "id": panel.id,
        "title": panel.title,
        "description": panel.description,
        "type": plugin(panel.kind),
        "datasource": data_source(),
        "gridPos": {"x": x, "y": y, "w": w, "h": h},
        "fieldConfig": {"defaults": defaults, "overrides": overrides},
        "options": options(panel.kind),
        "targets": panel.questions().enumerate().map(target).collect::<Vec<_>>(),
    });
    if let Some(interval) = &panel.interval {
        out["interval"] = interval.as_str().into();
    }
    if panel.kind == Kind::Bars {
        out["maxDataPoints"] = BARS.into();
    }
    Ok(out)
}

/// What holds in each column of a table before its own settings. Grafana writes `noValue` into each empty cell, takes a text of digits for a
/// number, shows milliseconds where first and last time of a column lie within a minute, and takes room in a name for the sign of its filter.
fn every_column() -> Vec<Value> {
    let one = |matcher: &str, options: &str, (id, value): (&str, Value)| json!({"matcher": {"id": matcher, "options": options}, "properties": [{"id": id, "value": value}]});
    vec![
        one("byRegexp", "/.*/", ("noValue", "".into())),
        one("byType", "string", ("unit", "string".into())),
        one("byType", "time", ("unit", TIME.into())),
        one("byType", "number", ("custom.filterable", false.into())),
    ]
}

/// Colours of what no word and no step colours: in tables and of single values the text's own, as green would say that all is well.
fn colour(panel: &Panel) -> Value {
    match panel.kind {
        Kind::Ranking => json!({"mode": "fixed", "fixedColor": "blue"}),
        Kind::Stat | Kind::Table => json!({"mode": "thresholds"}),
        Kind::Bars | Kind::Line | Kind::Timeline => json!({"mode": "palette-classic"}),
    }
}

fn plugin(kind: Kind) -> &'static str {
    match kind {
        Kind::Stat => "stat",
        Kind::Table => "table",
        Kind::Bars | Kind::Line => "timeseries",
        Kind::Timeline => "state-timeline",
        Kind::Ranking => "bargauge",
    }
}

fn custom(kind: Kind) -> Value {
    let stacked = if kind == Kind::Bars { "normal" } else { "none" };
    match kind {
        Kind::Bars | Kind::Line => json!({
            "drawStyle": if kind == Kind::Bars { "bars" } else { "line" }, "lineWidth": 1, "fillOpacity": if kind == Kind::Bars { 80 } else { 0 },
            "showPoints": "auto", "spanNulls": false, "barAlignment": AFTER, "barWidthFactor": 0.9, "stacking": {"mode": stacked, "group": "A"}, "axisSoftMin": 0,
        }),
        Kind::Timeline => json!({"fillOpacity": 75, "lineWidth": 0}),
        Kind::Table => json!({
            "align": "auto", "cellOptions": {"type": "auto"}, "inspect": true, "filterable": true, "minWidth": LEAST_WIDTH, "wrapHeaderText": true,
        }),
        Kind::Stat | Kind::Ranking => json!({}),
    }
}

fn options(kind: Kind) -> Value {
    let reduce = |values: bool, fields: &str| json!({"calcs": ["lastNotNull"], "fields": fields, "values": values});
    match kind {
        Kind::Stat => json!({
            "reduceOptions": reduce(false, "/.*/"), "colorMode": "value", "graphMode": "none", "justifyMode": "auto",
            "orientation": "auto", "textMode": "value", "wideLayout": true, "percentChangeColorMode": "standard", "showPercentChange": false,
        }),
        Kind::Table => json!({"showHeader": true, "cellHeight": "sm", "frameIndex": 0}),
        Kind::Bars | Kind::Line => json!({
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc", "hideZeros": true},
        }),
        Kind::Timeline => json!({
            "mergeValues": true, "showValue": "auto", "alignValue": "left", "rowHeight": 0.8,
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []},
            "tooltip": {"mode": "single", "sort": "none"},
        }),
        Kind::Ranking => json!({
            "reduceOptions": reduce(true, ""), "displayMode": "basic", "orientation": "horizontal", "showUnfilled": false,
            "valueMode": "text", "namePlacement": "left", "sizing": "auto", "minVizHeight": 16, "minVizWidth": 8, "maxVizHeight": 300,
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": false, "calcs": []},
        }),
    }
}

/// Words with their colours, read without underscores; `word *` is the beginning of a text.
fn mappings(shared: &Shared, sets: &[String]) -> anyhow::Result<Value> {
    let mut options = serde_json::Map::new();
    let mut beginnings = Vec::new();
    for set in sets {
        let words = shared.colours.get(set).with_context(|| format!("no colours {set} in shared.toml"))?;
        for (word, colour) in words {
            let index = options.len() + beginnings.len();
            if let Some(beginning) = word.strip_suffix('*') {
                let result = json!({"color": colour, "index": index});
                beginnings.push(
                    json!({"type": "regex", "options": {"pattern": format!("^{beginning}.*"), "result": result}}),
                );
            } else {
                options.insert(word.clone(), json!({"text": read(word), "color": colour, "index": index}));
            }
        }
    }
    let words = (!options.is_empty()).then(|| json!({"type": "value", "options": options}));
    Ok(words.into_iter().chain(beginnings).collect())
}

fn read(word: &str) -> String {
    word.replace('_', " ")
}

/// A series has the colour of its word.
fn series_colours(shared: &Shared, panel: &Panel) -> anyhow::Result<Vec<Value>> {
    let mut overrides = Vec::new();
    for set in panel.colours.names() {
        let words = shared.colours.get(set).with_context(|| format!("no colours {set} in shared.toml"))?;
        for (word, colour) in words {
            overrides.push(json!({
                "matcher": {"id": "byName", "options": read(word)},
                "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
            }));
        }
    }
    Ok(overrides)
}

fn thresholds(steps: &[String]) -> anyhow::Result<Value> {
    let mut out = Vec::new();
    for step in steps {
        let (value, colour) = match step.split_once(' ') {
            None if out.is_empty() => (Value::Null, step.as_str()),
            Some((value, colour)) if !out.is_empty() => {
                (json!(value.parse::<f64>().with_context(|| format!("the threshold {step}"))?), colour)
            }
            _ => bail!("thresholds are a colour, then values with a colour: {step}"),
        };
        out.push(json!({"value": value, "color": colour}));
    }
    if out.is_empty() {
        out.push(json!({"value": null, "color": "text"}));
    }
    Ok(json!({"mode": "absolute", "steps": out}))
}

fn properties(shared: &Shared, column: &Column) -> anyhow::Result<Vec<Value>> {
    let mut out = Vec::new();
    let mut set = |id: &str, value: Value| out.push(json!({"id": id, "value": value}));
    if let Some(name) = &column.link {
        let link = shared.links.get(name).with_context(|| format!("no link {name} in shared.toml"))?;
        set("links", json!([{"title": link.title, "url": link.url, "targetBlank": false}]));
    }
    if let Some(unit) = &column.unit {
        set("unit", unit.as_str().into());
    }
    if let Some(decimals) = column.decimals {
        set("decimals", decimals.into());
    }
    if let Some(width) = column.width {
        set("custom.width", width.into());
    }
    if let Some(colours) = &column.colours {
        set("mappings", mappings(shared, std::slice::from_ref(colours))?);
    }
    if let Some(name) = &column.words {
        let words = shared.words.get(name).with_context(|| format!("no words {name} in shared.toml"))?;
        let shown =
            words.iter().enumerate().map(|(index, (word, text))| (word.clone(), json!({"text": text, "index": index})));
        set("mappings", json!([{"type": "value", "options": shown.collect::<serde_json::Map<_, _>>()}]));
    }
    if !column.steps.is_empty() {
        set("thresholds", thresholds(&column.steps)?);
        set("color", json!({"mode": "thresholds"}));
    }
    if column.colours.is_some() || !column.steps.is_empty() {
        set("custom.cellOptions", json!({"type": "color-text"}));
    }
    Ok(out)
}
