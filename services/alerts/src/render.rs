//! The words of a message, per kind of receiver. Names only where the receiver's config says so.

use crate::{
    plan::What,
    receiver::{Kind, Naming, Receiver},
};
use drift::{Rule, Severity};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use store::findings::Finding;
use uuid::Uuid;

/// Most findings that a text message spells out; the rest are counted.
const SPELLED: usize = 10;

/// How long an Alertmanager shows what was over before it was told, milliseconds.
const PASSING: i64 = 300_000;

/// What does not come from the finding.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// Tenant.
    pub tenant: String,
    /// Address of a page about a finding, with `{finding}` in it; empty: none.
    pub link: String,
    /// Names by person key; asked for only where names are told.
    pub names: HashMap<String, String>,
}

/// One finding in a message.
pub type Notice<'a> = (&'a Finding, What);

/// The body of a message of at least one notice, made at `now` (UTC milliseconds).
pub fn body(receiver: &Receiver, words: &Words, notices: &[Notice<'_>], now: i64) -> String {
    let each = || notices.iter().map(|notice| told(receiver, words, notice));
    match receiver.kind {
        Kind::Webhook => json!({
            "type": "tokentrail.findings",
            "timestamp": moment(now),
            "data": { "tenant": words.tenant, "findings": each().map(Value::Object).collect::<Vec<_>>() },
        }),
        Kind::Alertmanager => {
            Value::Array(notices.iter().zip(each()).map(|(notice, told)| alert(words, notice, &told, now)).collect())
        }
        Kind::Slack => json!({ "text": text(words, notices, &each().collect::<Vec<_>>()) }),
    }
    .to_string()
}

fn status(what: What) -> &'static str {
    match what {
        What::Firing(_) => "firing",
        What::Resolved => "resolved",
        What::Passed => "passed",
    }
}

fn told(receiver: &Receiver, words: &Words, (finding, what): &Notice<'_>) -> Map<String, Value> {
    let rule = Rule::of(&finding.rule);
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| drop(out.insert(name.to_owned(), value));
    put("finding", json!(finding.finding_id));
    put("status", json!(status(*what)));
    put("state", json!(finding.state));
    put("rule", json!(finding.rule));
    put("name", json!(rule.map_or("", |rule| rule.name)));
    put("severity", json!(finding.severity));
    put("confidence", json!(finding.confidence));
    put("subject", json!(finding.person));
    if receiver.naming == Naming::Names {
        put("subject_name", json!(words.names.get(&finding.person)));
    }
    put("first_at", json!(moment(finding.first_at)));
    put("last_at", json!(moment(finding.last_at)));
    put("values", serde_json::from_str(&finding.detail).unwrap_or_default());
    put("evidence", json!(finding.evidence));
    put("receipts", json!(finding.receipts));
    put("asks", json!(rule.map_or("", |rule| rule.asks)));
    put("check", json!(rule.map_or("", |rule| rule.check)));
    put("show", json!(format!("tokentrail findings show {}", finding.finding_id)));
    if let Some(link) = link(words, finding) {
        put("link", json!(link));
    }
    out
}

fn link(words: &Words, finding: &Finding) -> Option<String> {
    let id = finding.finding_id.to_string();
    (!words.link.is_empty()).then(|| words.link.replace("{finding}", &id))
}

/// Labels tell alerts apart and route them: no personal value, and nothing that changes while it stands.
fn alert(words: &Words, (finding, what): &Notice<'_>, told: &Map<String, Value>, now: i64) -> Value {
    let mut alert = json!({
        "labels": {
            "alertname": told["name"],
            "rule": finding.rule,
            "severity": finding.severity,
            "tenant": words.tenant,
            "finding": finding.finding_id,
        },
        "annotations": {
            "summary": line(told),
            "subject": finding.person,
            "description": told["check"],
            "show": told["show"],
        },
        "startsAt": moment(finding.opened_at.max(1)),
    });
    match what {
        What::Firing(_) => {}
        What::Resolved => alert["endsAt"] = json!(moment(now)),
        // One that ended before it was ever known would be dropped: it stands for a moment and resolves by itself.
        What::Passed => alert["endsAt"] = json!(moment(now + PASSING)),
    }
    if let Some(link) = link(words, finding) {
        alert["generatorURL"] = json!(link);
    }
    if let Some(name) = told.get("subject_name").filter(|name| !name.is_null()) {
        alert["annotations"]["subject_name"] = name.clone();
    }
    alert
}

/// A finding in one line: rule, whom, values.
fn line(told: &Map<String, Value>) -> String {
    let text = |name: &str| told.get(name).and_then(Value::as_str).unwrap_or_default();
    let who = match (told.get("subject_name").and_then(Value::as_str), text("subject")) {
        (Some(name), _) => format!(" {name}"),
        (None, "") => String::new(),
        (None, key) => format!(" person {}", key.get(..8).unwrap_or(key)),
    };
    let values = told.get("values").and_then(Value::as_object).into_iter().flatten();
    let values: Vec<String> = values
        .filter(|(name, value)| !name.ends_with("_ms") && !value.is_null() && !value.is_array() && !value.is_object())
        .map(|(name, value)| {
            format!("{} {}", name.replace('_', " "), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
        .collect();
    format!("{} {}:{who} {}", text("rule"), text("name"), values.join(", "))
}

fn text(words: &Words, notices: &[Notice<'_>], told: &[Map<String, Value>]) -> String {
    let count = |word: &str| notices.iter().filter(|(_, what)| status(*what) == word).count();
    let mut out = format!("Tokentrail ({}): {} firing, {} resolved", words.tenant, count("firing"), count("resolved"));
    if count("passed") > 0 {
        out.push_str(&format!(", {} over before they could be told", count("passed")));
    }
    for ((finding, what), told) in notices.iter().zip(told).take(SPELLED) {
        let state = match what {
            What::Firing(severity) => severity.to_string().to_uppercase(),
            What::Resolved => format!("RESOLVED ({})", finding.state.to_lowercase()),
            What::Passed => format!("OVER ({})", finding.severity),
        };
        let link = told.get("link").or(told.get("show")).and_then(Value::as_str).unwrap_or_default();
        out.push_str(&format!("\n{state} {} since {}\n  {link}", line(told), moment(finding.first_at)));
    }
    if notices.len() > SPELLED {
        out.push_str(&format!("\nand {} more: tokentrail findings list", notices.len() - SPELLED));
    }
    out
}

/// A finding that is none, to try a receiver with.
pub fn test_notice(now: i64) -> Finding {
    Finding {
        finding_id: Uuid::new_v4(),
        rule: "TEST".into(),
        rule_version: 1,
        person: String::new(),
        severity: Severity::Low.as_str().into(),
        confidence: "proven".into(),
        first_at: now,
        last_at: now,
        detail: json!({ "note": "a test that an operator asked for; nothing was found" }).to_string(),
        evidence: Vec::new(),
        receipts: Vec::new(),
        content: 0,
        opened_at: now,
        standing: "open".into(),
        handling: String::new(),
        changes: 1,
        owner: String::new(),
        suppressed_until: None,
        state: "OPEN".into(),
        suppression: String::new(),
        over_unheard: 0,
    }
}

fn moment(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| format!("{time:.3}"))
}
