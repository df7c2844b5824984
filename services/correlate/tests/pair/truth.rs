//! Holds what was said against what was done.

use crate::story::Story;
use correlate::rows::{CredentialRow, DecisionRow, Grade, Key, Row, SessionRow, TokenRow, Verdict};
use serde_json::Value;
use std::{collections::BTreeMap, fmt};
use uuid::Uuid;

pub struct Told {
    pub rows: BTreeMap<Key, Row>,
}

impl Told {
    pub fn decisions(&self) -> impl Iterator<Item = &DecisionRow> {
        self.rows.values().filter_map(|row| match row {
            Row::Decision(row) => Some(&**row),
            _ => None,
        })
    }

    pub fn decision(&self, event: Uuid) -> Option<&DecisionRow> {
        match self.rows.get(&Key::Decision(event)) {
            Some(Row::Decision(row)) => Some(row),
            _ => None,
        }
    }

    pub fn session(&self, id: &str) -> &SessionRow {
        match self.rows.get(&Key::Session("kc".to_owned(), id.to_owned())) {
            Some(Row::Session(row)) => row,
            _ => panic!("no session {id}"),
        }
    }

    pub fn credential(&self, event: Uuid) -> &CredentialRow {
        match self.rows.get(&Key::Credential(event)) {
            Some(Row::Credential(row)) => row,
            _ => panic!("no credential {event}"),
        }
    }

    pub fn credentials(&self) -> impl Iterator<Item = &CredentialRow> {
        self.rows.values().filter_map(|row| match row {
            Row::Credential(row) => Some(row),
            _ => None,
        })
    }

    pub fn tokens(&self) -> impl Iterator<Item = &TokenRow> {
        self.rows.values().filter_map(|row| match row {
            Row::Token(row) => Some(row),
            _ => None,
        })
    }
}

#[derive(Default)]
pub struct Report {
    pub wrong: Vec<String>,
    pub judged: usize,
    pub operations: usize,
    pub grades: BTreeMap<Grade, usize>,
    pub verdicts: BTreeMap<Verdict, usize>,
    pub not_knowable: BTreeMap<&'static str, usize>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} judged, grades {:?}, verdicts {:?}, ", self.judged, self.grades, self.verdicts)?;
        write!(f, "not knowable {:?}, {} wrong", self.not_knowable, self.wrong.len())
    }
}

/// Checks every decision that the truth judges: person, session, verdict, delay within a second.
pub fn check(story: &Story, told: &Told) -> Report {
    let mut report = Report::default();
    let operations = story.truth["operations"].as_array().unwrap();
    for operation in operations {
        if !matches!(operation["op"].as_str(), Some("bs-authorize" | "bs-call")) {
            continue;
        }
        let lines = operation["audit_lines"].as_array().unwrap();
        let events = lines.iter().filter_map(|line| story.audit.get(&line.as_u64().unwrap()));
        // A call is judged by the evaluation inside it; reads of plugins and the call's own line name no permission.
        let rows = events.filter_map(|event| told.decision(*event)).filter(|row| !row.permission.is_empty());
        let person = story.key(operation);
        let rows: Vec<&DecisionRow> = rows.collect();
        if rows.is_empty() {
            let why =
                if operation["status"] == 401 { "refused without an audit line" } else { "no permission is evaluated" };
            *report.not_knowable.entry(why).or_default() += 1;
            continue;
        }
        report.operations += 1;
        for row in rows {
            report.judged += 1;
            *report.grades.entry(row.grade).or_default() += 1;
            *report.verdicts.entry(row.verdict).or_default() += 1;
            let mut wrong = |what: &str| {
                let n = &operation["n"];
                report.wrong.push(format!("{n} {what}: {} {}\n{row:#?}", operation["verdict"], operation["note"]));
            };
            if row.person.as_ref() != Some(&person) {
                wrong("person");
            }
            if !verdict_fits(operation, row) {
                wrong("verdict");
            }
            let delay = operation["stale_by_s"].as_f64().or(operation["late_by_s"].as_f64());
            let fits = match (delay, row.delay) {
                (Some(truth), Some(said)) => (truth * 1_000.0 - said as f64).abs() <= 1_000.0,
                (None, None) => true,
                // Whether a conditional decision became what its claims suggest is in no line.
                _ => false,
            };
            if !fits {
                wrong("delay");
            }
            if !credential_fits(operations, operation, row) {
                wrong("credential");
            }
            if row.outcome == events::event::Outcome::Conditional {
                assert_eq!(row.final_outcome, None, "no line tells it");
                *report.not_knowable.entry("what became of a conditional decision").or_default() += 1;
            }
        }
    }
    report
}

fn verdict_fits(operation: &Value, row: &DecisionRow) -> bool {
    let conditional = operation["audit_result"] == "CONDITIONAL";
    match (operation["verdict"].as_str(), row.verdict) {
        (Some("stale-allow"), Verdict::Exposure) => true,
        (Some("pending-grant"), Verdict::PendingGrant) => true,
        (Some("granted-in-backstage"), Verdict::GrantedInBackstage) => true,
        (Some("conditional"), Verdict::Conditional) => true,
        (Some("agrees"), Verdict::Conditional) => conditional,
        (Some("agrees") | None, Verdict::Agrees) => true,
        // The administrator of roles has that role in Backstage itself; the truth does not judge these calls.
        (None, Verdict::GrantedInBackstage) => true,
        _ => false,
    }
}

/// The token that was used is one of those that can stand behind it; and if the grade says so, the very one.
fn credential_fits(operations: &[Value], operation: &Value, row: &DecisionRow) -> bool {
    let at = operation["at"].as_f64().unwrap();
    // Tokens that the browser of this operation had got by then, in order.
    let tokens: Vec<&Value> = operations
        .iter()
        .filter(|o| matches!(o["op"].as_str(), Some("bs-signin" | "bs-refresh")) && o["ok"] == true)
        .filter(|o| o["user"] == operation["user"] && o["at"].as_f64().unwrap() <= at)
        .collect();
    let sign_in = |token: &Value| {
        let mut before = tokens.iter().rev().filter(|o| o["op"] == "bs-signin" && o["slot"] == token["slot"]);
        before.find(|o| o["n"].as_u64() <= token["n"].as_u64()).unwrap()["sid"].as_str().unwrap()
    };
    let of_slot = || tokens.iter().filter(|o| o["slot"] == operation["slot"]);
    let used = if operation["token"] == "old" { of_slot().next() } else { of_slot().next_back() };
    let used = used.expect("somebody who decides has signed in");
    let latest = tokens.last().unwrap();
    let said = row.credential.map(|(at, _)| at);
    let near = |token: &Value| {
        let issued = token["done"].as_f64().unwrap() * 1_000.0;
        said.is_some_and(|said| (issued - said as f64).abs() < 1_000.0)
    };
    match row.grade {
        Grade::Exact => row.session.as_deref() == Some(sign_in(used)) && near(used),
        Grade::Session => row.session.as_deref() == Some(sign_in(used)) && near(latest),
        // Only what could be is said: the latest that can stand behind it.
        Grade::Inferred => row.session.is_none() || (row.session.as_deref() == Some(sign_in(latest)) && near(latest)),
        Grade::None => row.session.is_none(),
    }
}
