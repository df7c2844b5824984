//! A column with the settings that Grafana gives it: the panel's defaults, then each override that names it; and what it makes of a
//! value. An empty value has no text but the field's own `noValue`: that is so in Grafana, in every cell of a table too.

use super::units;
use jiff::civil::DateTime;
use serde_json::{Value, json};

/// What ClickHouse's types are to Grafana.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Time,
    Number,
    Text,
}

#[derive(Debug)]
pub struct Field {
    pub name: String,
    pub kind: Type,
    /// Times of this column lie within a minute: shown with milliseconds.
    close: bool,
    config: Value,
    /// Its place in Grafana's palette.
    index: usize,
}

/// What the reader sees.
#[derive(Debug, PartialEq)]
pub struct Shown {
    pub text: String,
    pub colour: String,
}

/// Grafana's classic palette, its beginning.
const PALETTE: [&str; 8] =
    ["green", "semi-dark-yellow", "blue", "orange", "red", "purple", "dark-green", "dark-yellow"];
/// Fields whose times span less are shown with milliseconds.
const CLOSE_MS: i64 = 60_000;

impl Field {
    /// The field `name` of ClickHouse's type `kind`; `values` are its own, `index` its place among the panel's fields.
    pub fn new(panel: &Value, (name, kind): &(String, String), values: &[&Value], index: usize) -> Self {
        let config = &panel["fieldConfig"];
        let kind = match kind {
            kind if kind.contains("Date") => Type::Time,
            kind if kind.contains("String") || kind.contains("UUID") => Type::Text,
            _ => Type::Number,
        };
        let mut own = config["defaults"].clone();
        if !own.is_object() {
            own = json!({});
        }
        for one in config["overrides"].as_array().into_iter().flatten().filter(|one| means(&one["matcher"], name, kind))
        {
            for property in one["properties"].as_array().into_iter().flatten() {
                set(&mut own, property["id"].as_str().unwrap_or_default(), &property["value"]);
            }
        }
        let ends = values.first().and_then(|value| millis(value)).zip(values.last().and_then(|value| millis(value)));
        let close = values.len() > 1 && ends.is_some_and(|(first, last)| (last - first).abs() < CLOSE_MS);
        Self { name: name.clone(), kind, close, config: own, index }
    }

    pub fn show(&self, value: &Value) -> Shown {
        let mapped = self.mapped(value);
        let number = if self.unit() == "string" { None } else { value.as_f64().or_else(|| number_in(value)) };
        let text = match mapped.and_then(|one| one["text"].as_str()) {
            Some(text) => text.to_owned(),
            None => match (self.kind, number) {
                (Type::Time, _) if !value.is_null() => self.time(value),
                (_, Some(number)) => units::text(self.unit(), number, self.decimals()),
                _ => plain(value),
            },
        };
        let text = if text.is_empty() { self.string("noValue").to_owned() } else { text };
        let colour = match mapped.and_then(|one| one["color"].as_str()) {
            Some(colour) => css(colour),
            None => self.colour(number),
        };
        Shown { text, colour }
    }

    /// The colour of a number, or of the field as a whole.
    pub fn colour(&self, number: Option<f64>) -> String {
        let colour = &self.config["color"];
        match colour["mode"].as_str() {
            Some("fixed") => css(colour["fixedColor"].as_str().unwrap_or("text")),
            Some("thresholds") => {
                let steps = self.config["thresholds"]["steps"].as_array();
                let reached = |step: &&Value| {
                    step["value"].as_f64().is_none_or(|value| number.is_some_and(|number| number >= value))
                };
                let step = steps.and_then(|steps| steps.iter().rev().find(reached));
                css(step.and_then(|step| step["color"].as_str()).unwrap_or("text"))
            }
            _ => css(PALETTE[self.index % PALETTE.len()]),
        }
    }

    /// `custom.width`, `custom.cellOptions`, ...
    pub fn custom(&self, key: &str) -> &Value {
        &self.config["custom"][key]
    }

    /// It has data links.
    pub fn linked(&self) -> bool {
        self.config["links"].as_array().is_some_and(|links| !links.is_empty())
    }

    pub fn unit(&self) -> &str {
        self.string("unit")
    }

    pub fn decimals(&self) -> Option<u32> {
        self.config["decimals"].as_u64().and_then(|decimals| u32::try_from(decimals).ok())
    }

    fn string(&self, key: &str) -> &str {
        self.config[key].as_str().unwrap_or_default()
    }

    fn mapped(&self, value: &Value) -> Option<&Value> {
        let word = plain(value);
        self.config["mappings"].as_array()?.iter().find_map(|set| match set["type"].as_str() {
            Some("regex") => {
                let beginning = set["options"]["pattern"].as_str()?.strip_prefix('^')?.strip_suffix(".*")?;
                word.starts_with(beginning).then(|| &set["options"]["result"])
            }
            _ => set["options"].get(&word),
        })
    }

    fn time(&self, value: &Value) -> String {
        let text = plain(value);
        let (whole, rest) = text.split_once('.').unwrap_or((&text, "000"));
        let precise = if self.unit().starts_with("time:") { self.unit().ends_with(".SSS") } else { self.close };
        if precise { format!("{whole}.{rest}") } else { whole.to_owned() }
    }
}

/// Does an override's matcher mean this field? `/.*/` means each.
fn means(matcher: &Value, name: &str, kind: Type) -> bool {
    let options = &matcher["options"];
    match matcher["id"].as_str() {
        Some("byName") => options == name,
        Some("byRegexp") => options == "/.*/",
        Some("byType") => match kind {
            Type::Time => options == "time",
            Type::Number => options == "number",
            Type::Text => options == "string",
        },
        _ => false,
    }
}

fn set(config: &mut Value, id: &str, value: &Value) {
    match id.strip_prefix("custom.") {
        Some(own) => config["custom"][own] = value.clone(),
        None => config[id] = value.clone(),
    }
}

/// Grafana takes a text for a number where it can.
fn number_in(value: &Value) -> Option<f64> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .and_then(|text| text.trim().parse().ok())
        .filter(|n: &f64| n.is_finite())
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// UTC milliseconds of a time as ClickHouse writes it.
pub fn millis(value: &Value) -> Option<i64> {
    let time: DateTime = value.as_str()?.parse().ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// A colour of Grafana as the page's style knows it.
pub fn css(name: &str) -> String {
    if name.starts_with(['#', 'r']) && name != "red" { name.to_owned() } else { format!("var(--{name})") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn field(config: Value, name: &str, kind: &str) -> Field {
        Field::new(&json!({"fieldConfig": config}), &(name.into(), kind.into()), &[], 0)
    }

    #[test]
    fn an_override_wins_and_an_empty_cell_says_what_its_field_says_of_nothing() {
        let config = json!({"defaults": {"unit": "short", "noValue": "nothing is known"}, "overrides": [
            {"matcher": {"id": "byRegexp", "options": "/.*/"}, "properties": [{"id": "noValue", "value": ""}]},
            {"matcher": {"id": "byName", "options": "Age"}, "properties": [{"id": "unit", "value": "s"}]}]});
        assert_eq!(field(config.clone(), "Age", "UInt64").show(&json!(120)).text, "2 mins");
        assert_eq!(field(config.clone(), "Age", "Nullable(UInt64)").show(&Value::Null).text, "");
        let bare = json!({"defaults": config["defaults"], "overrides": []});
        assert_eq!(field(bare.clone(), "Until", "Nullable(DateTime64(3))").show(&Value::Null).text, "nothing is known");
        assert_eq!(
            field(bare, "Stream", "String").show(&json!("12345678")).text,
            "12.3 Mil",
            "a text that looks like a number"
        );
    }

    #[test]
    fn words_and_thresholds_give_colours() {
        let steps = json!([{"value": null, "color": "green"}, {"value": 1.0, "color": "red"}]);
        let defaults = json!({"unit": "none", "color": {"mode": "thresholds"}, "thresholds": {"steps": steps},
            "mappings": [{"type": "value", "options": {"open": {"color": "orange"}, "D01": {"text": "D01 stale"}}}]});
        let field = field(json!({"defaults": defaults, "overrides": []}), "State", "String");
        let of = |value: Value| field.show(&value);
        assert_eq!(of(json!(0)).colour, "var(--green)");
        assert_eq!(of(json!(1)).colour, "var(--red)");
        assert_eq!(of(json!("open")), Shown { text: "open".into(), colour: "var(--orange)".into() });
        assert_eq!(of(json!("D01")), Shown { text: "D01 stale".into(), colour: "var(--green)".into() });
    }

    #[test]
    fn times_that_lie_close_have_milliseconds() {
        let name = ("Time".to_owned(), "DateTime64(3, 'UTC')".to_owned());
        let (a, b, c) =
            (json!("2026-11-23 21:25:06.179"), json!("2026-11-23 21:25:07.000"), json!("2026-11-23 22:25:07.000"));
        assert_eq!(Field::new(&json!({}), &name, &[&a, &b], 0).show(&a).text, "2026-11-23 21:25:06.179");
        assert_eq!(Field::new(&json!({}), &name, &[&a, &c], 0).show(&a).text, "2026-11-23 21:25:06");
        assert_eq!(millis(&a), Some(1_795_469_106_179));
    }
}
