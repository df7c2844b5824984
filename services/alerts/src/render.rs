//! The words of a message, per kind of receiver. Names only where the receiver's config says so.

use crate::{
    chat::{Parts, TEXT_CHARS},
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

/// Most bytes of a message of more than one finding.
const BODY_BYTES: usize = 256 << 10;

/// How long an Alertmanager shows what was over before it was told, milliseconds.
const PASSING: i64 = 300_000;
/// How far an Alertmanager's clock may be behind ours, ms.
const SKEW: i64 = 60_000;

/// What does not come from the finding.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// Tenant.
    pub tenant: String,
    /// Address of a page about a finding, with `{finding}` in it; empty: none.
    pub link: String,
    /// Names by person key; asked for only where names are told.
    pub names: HashMap<String, String>,
    /// How bad findings were when they were told before.
    pub before: HashMap<Uuid, Severity>,
    /// What fires ends after so many milliseconds, to an Alertmanager, unless it is told again; none: when it says itself.
    pub lasting: Option<i64>,
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
            let alerts = notices.iter().zip(each()).flat_map(|(notice, told)| {
                let alert = alert(words, notice, &told, now);
                [ended(words, notice, &alert, now), Some(alert)].into_iter().flatten()
            });
            Value::Array(alerts.collect())
        }
        Kind::Slack => json!({ "text": text(words, notices, &each().collect::<Vec<_>>()) }),
    }
    .to_string()
}

/// The body of a message of as many of the first notices as fit into one; the others are taken out.
pub(crate) fn fitting(receiver: &Receiver, words: &Words, notices: &mut Vec<Notice<'_>>, now: i64) -> String {
    let mut text = body(receiver, words, notices, now);
    while text.len() > BODY_BYTES && notices.len() > 1 {
        notices.truncate(notices.len() / 2);
        text = body(receiver, words, notices, now);
    }
    text
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
    // Alertmanager drops a label that is empty, and calls the alert nothing.
    put("name", json!(rule.map_or(finding.rule.as_str(), |rule| rule.name)));
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

/// The end of the alert that a finding was while it was told to be less bad: to Alertmanager another severity is another alert.
fn ended(words: &Words, (finding, what): &Notice<'_>, alert: &Value, now: i64) -> Option<Value> {
    let before = words.before.get(&finding.finding_id)?;
    if !matches!(what, What::Firing(severity) if severity != before) {
        return None;
    }
    let mut ended = alert.clone();
    ended["labels"]["severity"] = json!(before);
    ended["endsAt"] = json!(end(finding, now));
    Some(ended)
}

/// When an alert ended. An Alertmanager whose clock is behind ours would take an end that has not come there for none, and keep the one that it was
/// told before.
fn end(finding: &Finding, now: i64) -> String {
    moment((now - SKEW).max(finding.opened_at.max(1)))
}

/// Labels tell alerts apart and route them: no personal value, and of what changes while it stands the severity alone.
fn alert(words: &Words, (finding, what): &Notice<'_>, told: &Map<String, Value>, now: i64) -> Value {
    // As it was told: what ends, or is told again, is that alert.
    let severity = match what {
        What::Firing(severity) => severity.as_str(),
        What::Resolved | What::Passed => {
            words.before.get(&finding.finding_id).map_or(&*finding.severity, |one| one.as_str())
        }
    };
    let mut alert = json!({
        "labels": {
            "alertname": told["name"],
            "rule": finding.rule,
            "severity": severity,
            "tenant": words.tenant,
            "finding": finding.finding_id,
        },
        "annotations": {
            "summary": Parts::of(told).plain(),
            "subject": finding.person,
            "description": told["check"],
            "show": told["show"],
        },
        "startsAt": moment(finding.opened_at.max(1)),
    });
    match what {
        What::Firing(_) => {
            if let Some(lasting) = words.lasting {
                alert["endsAt"] = json!(moment(now.saturating_add(lasting)));
            }
        }
        What::Resolved => alert["endsAt"] = json!(end(finding, now)),
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

fn text(words: &Words, notices: &[Notice<'_>], told: &[Map<String, Value>]) -> String {
    let count = |word: &str| notices.iter().filter(|(_, what)| status(*what) == word).count();
    let mut out = format!("Tokentrail ({}): {} firing, {} resolved", words.tenant, count("firing"), count("resolved"));
    if count("passed") > 0 {
        out.push_str(&format!(", {} over before they could be told", count("passed")));
    }
    let mut spelled = 0;
    for ((finding, what), told) in notices.iter().zip(told).take(SPELLED) {
        let state = match what {
            What::Firing(severity) => severity.to_string().to_uppercase(),
            What::Resolved => format!("RESOLVED ({})", finding.state.to_lowercase()),
            What::Passed => format!("OVER ({})", finding.severity),
        };
        let link = told.get("link").or(told.get("show")).and_then(Value::as_str).unwrap_or_default();
        let one = format!("\n{state} {} since {}\n  {link}", Parts::of(told).chat(), moment(finding.first_at));
        if out.chars().count() + one.chars().count() > TEXT_CHARS {
            break;
        }
        out.push_str(&one);
        spelled += 1;
    }
    if notices.len() > spelled {
        out.push_str(&format!("\nand {} more: tokentrail findings list", notices.len() - spelled));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receiver::Proof;
    use trust::Trust;

    fn receiver(kind: Kind) -> Receiver {
        let how = (&Trust::system(), Proof::default());
        Receiver::new(("r", kind), "http://127.0.0.1:1/", how, (Severity::Low, Naming::Pseudonyms)).unwrap()
    }

    fn said(kind: Kind, words: &Words, notices: &[Notice<'_>]) -> Value {
        serde_json::from_str(&body(&receiver(kind), words, notices, 1_000)).unwrap()
    }

    #[test]
    fn to_an_alertmanager_another_severity_is_the_end_of_the_alert_before() {
        let worse = Finding { severity: "critical".into(), rule: "D02".into(), ..test_notice(7) };
        let words = Words { before: [(worse.finding_id, Severity::Medium)].into(), ..Words::default() };
        let alerts = |words, what| {
            let alerts = said(Kind::Alertmanager, words, &[(&worse, what)]);
            let each = alerts.as_array().unwrap().iter();
            each.map(|one| (one["labels"]["severity"].clone(), one.get("endsAt").is_some())).collect::<Vec<_>>()
        };
        let firing = What::Firing(Severity::Critical);
        assert_eq!(alerts(&words, firing), [("medium".into(), true), ("critical".into(), false)]);
        assert_eq!(alerts(&words, What::Resolved), [("medium".into(), true)]);
        // Less bad than it was told: told again, it is the alert that stands.
        assert_eq!(alerts(&words, What::Firing(Severity::Medium)), [("medium".into(), false)]);
        assert_eq!(alerts(&Words::default(), firing), [("critical".into(), false)]);
    }

    #[test]
    fn what_an_alertmanager_is_told_again_stands_for_a_while_and_what_ended_does_not() {
        let (one, words) = (test_notice(7), Words { lasting: Some(300_000), ..Words::default() });
        let ends = |what| said(Kind::Alertmanager, &words, &[(&one, what)])[0]["endsAt"].clone();
        assert_eq!(ends(What::Firing(Severity::Low)), "1970-01-01T00:05:01.000Z");
        assert_eq!(ends(What::Resolved), "1970-01-01T00:00:00.007Z", "not before it began");
        assert_eq!(end(&one, 100_000), "1970-01-01T00:00:40.000Z", "over by a clock that is a minute behind, too");
    }

    #[test]
    fn a_message_of_more_than_one_finding_has_no_more_than_256_kib() {
        let values = Map::from_iter([("v".to_owned(), json!("x".repeat(9_000)))]);
        let long = Finding { detail: Value::Object(values).to_string(), ..test_notice(7) };
        let firing = What::Firing(Severity::Low);
        let count = |kind, finding: &Finding, many| {
            let mut notices = vec![(finding, firing); many];
            let text = fitting(&receiver(kind), &Words::default(), &mut notices, 1_000);
            (text.len(), notices.len())
        };
        let (bytes, findings) = count(Kind::Webhook, &long, 100);
        assert!(bytes <= 256 * 1_024 && findings == 25, "{bytes} bytes of {findings} findings");
        assert_eq!(count(Kind::Alertmanager, &long, 100).1, 100, "an alert holds a few values only");
        assert_eq!(count(Kind::Webhook, &test_notice(7), 100).1, 100, "what fits is told at once");
        // What is too long by itself is told all the same: nothing smaller tells it.
        let values = Map::from_iter([("v".to_owned(), json!("x".repeat(300_000)))]);
        let longest = Finding { detail: Value::Object(values).to_string(), ..long };
        let (bytes, findings) = count(Kind::Webhook, &longest, 3);
        assert!(bytes > 300_000 && findings == 1, "{bytes} bytes of {findings} findings");
    }

    #[test]
    fn a_test_has_a_name_and_a_text_has_an_end() {
        let one = test_notice(7);
        let notice = (&one, What::Firing(Severity::Low));
        let alert = said(Kind::Alertmanager, &Words::default(), &[notice]);
        assert_eq!(alert[0]["labels"]["alertname"], "TEST");
        let values =
            |n: usize| (0..n).map(|place| (format!("v{place}"), json!("x".repeat(1_000)))).collect::<Map<_, _>>();
        let long = Finding { detail: Value::Object(values(40)).to_string(), ..test_notice(7) };
        let text = said(Kind::Slack, &Words::default(), &[(&long, notice.1); 10]);
        let text = text["text"].as_str().unwrap();
        assert!(
            text.chars().count() <= TEXT_CHARS + 100 && text.ends_with("and 3 more: tokentrail findings list"),
            "{text}"
        );
    }
}
