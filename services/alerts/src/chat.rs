//! A message as text for a chat: short, and nothing that came from outside can steer it.
//!
//! Usernames, names of groups and realms, permissions: whoever may choose one would write into the analysts' channel. They stand in
//! code spans, which Slack and Mattermost show as they are: no mention, no link, no line of their own.

use serde_json::{Map, Value};

/// Most characters of one value, of all of a finding, and of a whole text: well below what Slack (40,000) and Mattermost (16,383) take.
const VALUE_CHARS: usize = 160;
const VALUES_CHARS: usize = 1_000;
pub(crate) const TEXT_CHARS: usize = 8_000;

/// A finding that is told, in its parts.
pub(crate) struct Parts {
    /// Rule and its name.
    pub rule: String,
    /// Whom it is about; empty: nobody.
    pub who: String,
    /// Its values.
    pub values: String,
}

impl Parts {
    pub(crate) fn of(told: &Map<String, Value>) -> Self {
        let text = |name: &str| told.get(name).and_then(Value::as_str).unwrap_or_default();
        let who = match (told.get("subject_name").and_then(Value::as_str), text("subject")) {
            (Some(name), _) => name.to_owned(),
            (None, "") => String::new(),
            (None, key) => format!("person {}", key.get(..8).unwrap_or(key)),
        };
        let values = told.get("values").and_then(Value::as_object).into_iter().flatten();
        let said = |value: &Value| !value.is_null() && !value.is_array() && !value.is_object() && value != "";
        let values: Vec<String> = values
            .filter(|(name, value)| !name.ends_with("_ms") && said(value))
            .map(|(name, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                format!("{} {}", name.replace('_', " "), line(&text, VALUE_CHARS))
            })
            .collect();
        Self {
            rule: format!("{} {}", text("rule"), text("name")),
            who: line(&who, VALUE_CHARS),
            values: line(&values.join(", "), VALUES_CHARS),
        }
    }

    /// In one line, for what is no chat.
    pub(crate) fn plain(&self) -> String {
        let who = if self.who.is_empty() { String::new() } else { format!(" {}", self.who) };
        format!("{}:{who} {}", self.rule, self.values)
    }

    /// In one line of a chat.
    pub(crate) fn chat(&self) -> String {
        let spans = [&self.who, &self.values].into_iter().filter(|text| !text.is_empty());
        let spans: Vec<String> = spans.map(|text| format!("`{}`", span(text))).collect();
        format!("{}: {}", self.rule, spans.join(" "))
    }
}

/// One line of bounded length, without what is not seen.
fn line(text: &str, most: usize) -> String {
    let unseen = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut out: String = text.chars().take(most).map(|c| if unseen(c) { ' ' } else { c }).collect();
    if text.chars().nth(most).is_some() {
        out.push('…');
    }
    out
}

/// What nothing within a code span ends or escapes from.
fn span(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('`', "'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_came_from_outside_cannot_steer_a_chat() {
        let told = json!({
            "rule": "D04", "name": "BASELINE_DRIFT", "subject": "0123456789abcdef", "subject_name": "x` <!channel>\u{202e}\nCRITICAL",
            "values": { "group": "/a <https://evil.example|all is well> & more", "long": "y".repeat(500), "at_ms": 5, "empty": "", "groups": ["g"] },
        });
        let parts = Parts::of(told.as_object().unwrap());
        let chat = parts.chat();
        assert!(chat.starts_with("D04 BASELINE_DRIFT: `x' &lt;!channel&gt;  CRITICAL` `group /a &lt;https://evil.example|all is well&gt; &amp; more, long yyy"), "{chat}");
        assert_eq!((chat.matches('`').count(), chat.lines().count()), (4, 1));
        assert!(chat.ends_with("y…`") && chat.chars().count() < 400, "{chat}");
        assert_eq!(parts.plain().lines().count(), 1);
        let nobody = Parts::of(json!({"rule": "D12", "name": "N", "subject": ""}).as_object().unwrap());
        assert_eq!((nobody.plain().as_str(), nobody.chat().as_str()), ("D12 N: ", "D12 N: "));
    }
}
