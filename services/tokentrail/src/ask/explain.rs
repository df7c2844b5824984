//! `tokentrail explain`: the grounds of one decision, each with the event and the receipt that prove it.

use super::{
    candidates::{self, Candidates},
    incomplete::{self, Incomplete},
    person, words,
};
use crate::{config::Config, status::moment, table::visible};
use anyhow::{Context, bail};
use serde::Serialize;
use std::collections::BTreeMap;
use store::{
    Store, Term, TraceQuery,
    correlation::{AliasRecord, DecisionRecord, GrantRecord, MissingEventRecord, SessionRecord, WorldRecord},
};
use uuid::Uuid;

/// Fewest digits of an id.
const FEWEST_DIGITS: usize = 8;

/// A decision and everything that stands behind it.
#[derive(Serialize)]
pub struct Explanation {
    /// The decision.
    pub decision: DecisionRecord,
    /// Source of the decision.
    pub source: String,
    /// Names of the person.
    pub names: Vec<AliasRecord>,
    /// Its session.
    pub session: Option<SessionRecord>,
    /// How long the clock may take, milliseconds.
    pub budget_ms: Option<i64>,
    /// Grants behind the support, the removed ones too.
    pub grants: Vec<GrantRecord>,
    /// Names of groups and roles by id.
    pub right_names: BTreeMap<String, String>,
    /// Events of this person that are missing.
    pub missing_events: Vec<MissingEventRecord>,
    /// Receipts by event id.
    pub receipts: BTreeMap<String, String>,
    /// What else could have stood behind it, and why it does not.
    pub candidates: Candidates,
    /// Policies of the support that were in force then, each with since when.
    pub policies: Vec<WorldRecord>,
    /// Gaps of its sources that it may rest on.
    pub incomplete: Vec<Incomplete>,
}

/// Gathers the grounds.
pub async fn find(store: &Store, config: &Config, id: &str) -> anyhow::Result<Explanation> {
    let tenant = &config.tenant;
    let decision = decision(store, tenant, id).await?;
    let persons = vec![decision.person.clone()];
    let names = store.records_of::<AliasRecord>(tenant, &persons, i64::from(u32::MAX) * 1_000).await?;
    let mut sessions = match decision.session_id.as_str() {
        "" => Vec::new(),
        session => store.sessions_named(tenant, session).await?,
    };
    store.tell_expired(tenant, &mut sessions).await?;
    let session = sessions.into_iter().find(|session| session.person == decision.person);
    let groups: Vec<&str> = decision.support.iter().map(|path| path.0.as_str()).collect();
    let held = store.records_of::<GrantRecord>(tenant, &persons, decision.at.saturating_add(1)).await?;
    let grants: Vec<GrantRecord> = held.into_iter().filter(|grant| groups.contains(&grant.right_id.as_str())).collect();
    let missing_events =
        store.records_of::<MissingEventRecord>(tenant, &persons, decision.at.saturating_add(1)).await?;
    let right_names = store.right_names(tenant, &rights(&decision, &missing_events)).await?;

    let mut evidence = vec![decision.event_id, decision.credential];
    evidence.extend(grants.iter().flat_map(|grant| [grant.granted_in, grant.removed_in]));
    let (mut receipts, mut source) = (BTreeMap::new(), String::new());
    evidence.sort_unstable();
    evidence.dedup();
    for event in evidence.into_iter().filter(|event| !event.is_nil()) {
        let query = TraceQuery { tenant: tenant.clone(), term: Term::Event(event), limit: 1 };
        if let Some(found) = store.trace(&query).await?.events.pop() {
            let receipt = found.event.receipt;
            receipts.insert(event.to_string(), format!("{}/{}", receipt.stream, receipt.seq));
            if event == decision.event_id {
                source = found.event.source_id;
            }
        }
    }
    let join = config.joins().into_iter().find(|join| join.backstage == source);
    let life = join.as_ref().map(|join| join.token_life);
    let candidates = candidates::find(store, tenant, (&decision, life)).await?;
    let incomplete = match &join {
        Some(join) => incomplete::find(store, tenant, (join, decision.at)).await?,
        None => Vec::new(),
    };
    let policies = policies(store, tenant, &decision).await?;
    let budget_ms = join.and_then(|join| match decision.clock.as_str() {
        "catalog" => Some(join.budgets.catalog),
        "claims" => Some(join.budgets.claims),
        "token" => Some(join.budgets.token),
        _ => None,
    });
    Ok(Explanation {
        decision,
        source,
        names,
        session,
        budget_ms,
        grants,
        right_names,
        missing_events,
        receipts,
        candidates,
        policies,
        incomplete,
    })
}

/// Ids of the groups and roles that the answer speaks of.
fn rights(decision: &DecisionRecord, missing: &[MissingEventRecord]) -> Vec<String> {
    let supporting = decision.support.iter().flat_map(|path| [&path.0, &path.1]);
    supporting.chain(missing.iter().map(|gap| &gap.right_id)).cloned().collect()
}

/// The policies by which the decision was supported: of a right that is gone, those that were in force just before.
async fn policies(store: &Store, tenant: &str, decision: &DecisionRecord) -> anyhow::Result<Vec<WorldRecord>> {
    if decision.support.is_empty() {
        return Ok(Vec::new());
    }
    let gone = matches!(decision.verdict.as_str(), "exposure" | "violation");
    let at = decision.delay_ms.filter(|_| gone).map_or(decision.at, |delay| decision.at - delay - 1);
    let mut in_force = store.policies_at(tenant, at).await?;
    in_force.retain(|policy| decision.support.iter().any(|path| (&path.3, &path.4) == (&policy.holder, &policy.held)));
    Ok(in_force)
}

async fn decision(store: &Store, tenant: &str, id: &str) -> anyhow::Result<DecisionRecord> {
    let id = id.trim().to_lowercase();
    if let Ok(event) = Uuid::parse_str(&id) {
        return store.decision_of(tenant, event).await?.context("no decision is told by that event");
    }
    if id.len() < FEWEST_DIGITS || !id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        bail!("a decision is named by its event id, or by the first {FEWEST_DIGITS} digits of it");
    }
    let mut found = store.decisions_beginning(tenant, &id).await?;
    if found.len() > 1 {
        bail!("several decisions begin with {id}: give more digits");
    }
    found.pop().context("no decision begins with that id")
}

/// For people.
pub fn render(told: &Explanation) -> String {
    let decision = &told.decision;
    let what = if decision.permission.is_empty() { &decision.action } else { &decision.permission };
    let mut out = format!(
        "\n  {} {} {} {}at {}\n\n",
        visible(&decision.reference),
        decision.outcome.to_uppercase(),
        visible(what),
        if decision.resource.is_empty() { String::new() } else { format!("on {} ", visible(&decision.resource)) },
        moment(decision.at)
    );
    let mut line = |name: &str, text: String| out.push_str(&format!("  {name:<12} {}\n", visible(&text)));
    line("verdict", format!("{}: {}", decision.verdict.replace('_', " "), words::verdict(&decision.verdict)));
    if let Some(delay) = decision.delay_ms {
        let budget = told.budget_ms.filter(|_| decision.verdict != "not_judged");
        let of = budget.map(|budget| format!("; {} are allowed", words::seconds(budget))).unwrap_or_default();
        let since = match (decision.verdict.as_str(), decision.clock.as_str()) {
            ("pending_grant" | "denied_with_right", _) => "the right was given",
            ("not_judged", _) => "a group that the person had held went",
            (_, "token") => "the person was disabled or deleted",
            _ => "the last right went",
        };
        line("", format!("{} after {since}{of}", words::seconds(delay)));
    }
    line("clock", words::clock(&decision.clock).to_owned());
    line("person", if told.names.is_empty() { "nobody is known".into() } else { person::names(&told.names) });
    line("session", session(told));
    line("credential", credential(told));
    for path in &decision.support {
        line("right", right(told, path));
    }
    for policy in &told.policies {
        let since = policy.held_from.map_or_else(|| "as far back as is known".into(), moment);
        line("policy", format!("{} of {}, in force since {since}", policy.held, policy.holder));
    }
    for grant in &told.grants {
        line("held", held(told, grant));
    }
    for claim in &decision.stale_claims {
        line("stale claim", format!("{claim}: used, and no longer held"));
    }
    for (name, text) in told.candidates.lines() {
        line(name, text);
    }
    line("grade", decision.grade.clone());
    for reason in &decision.reasons {
        line("", format!("{}: {}", reason.replace('_', " "), words::reason(reason)));
    }
    for gap in &told.missing_events {
        line(
            "missing",
            format!(
                "between {} and {}: {} {}",
                moment(gap.at),
                moment(gap.before),
                name(told, &gap.right_id),
                words::missing(&gap.missing)
            ),
        );
    }
    for one in &told.incomplete {
        line("incomplete", one.line());
    }
    line("told by", evidence(told, decision.event_id));
    if !decision.because.is_nil() {
        line("", format!("an earlier answer was changed by event {}", decision.because));
    }
    out
}

fn session(told: &Explanation) -> String {
    let decision = &told.decision;
    let Some(session) = &told.session else {
        return if decision.session_id.is_empty() { "not known".into() } else { decision.session_id.clone() };
    };
    let begun = session.started_at.map_or_else(|| "beginning not seen".into(), |at| format!("begun {}", moment(at)));
    let ended = session.ended_at.map(|at| format!(", ended {} ({})", moment(at), session.ended_by.replace('_', " ")));
    let acting = session.impersonators.iter().filter(|(since, ..)| *since <= decision.at);
    let by: String =
        acting.map(|(since, name, _)| format!("; {name} acts in it as the person since {}", moment(*since))).collect();
    format!("{} in {}, {begun}{}{by}", session.session_id, session.source_id, ended.unwrap_or_default())
}

fn credential(told: &Explanation) -> String {
    let decision = &told.decision;
    let Some(at) = decision.credential_at else { return "none is known".into() };
    let others = match decision.candidates {
        0 | 1 => "the only one that can stand behind it".to_owned(),
        n => format!("the latest of {n} that can stand behind it"),
    };
    format!("issued {}, {others}{}", moment(at), receipt(told, decision.credential))
}

fn right(told: &Explanation, path: &(String, String, String, String, String, Option<i64>)) -> String {
    let (group, above, reference, role, policy, since) = path;
    let mut steps: Vec<String> = Vec::new();
    let shared = told.decision.reasons.iter().any(|reason| reason == "shared_name");
    match (group.as_str(), above.as_str()) {
        ("", _) => {}
        (group, "") => steps.push(name(told, group)),
        (group, above) if shared => {
            steps.push(format!("{} (has the name of {}, whose role it is)", name(told, group), name(told, above)));
        }
        (group, above) => steps.extend([name(told, group), name(told, above)]),
    }
    steps.extend([reference, role, policy].into_iter().filter(|step| !step.is_empty()).cloned());
    let since = since.map(|at| format!(", held since {}", moment(at))).unwrap_or_default();
    format!("{}{since}", steps.join(" > "))
}

fn held(told: &Explanation, grant: &GrantRecord) -> String {
    let from = grant.held_from.map_or_else(|| "as far back as is known".into(), moment);
    let to = match grant.held_to {
        Some(at) => format!("taken {}{}", moment(at), receipt(told, grant.removed_in)),
        None => "still held".into(),
    };
    format!("{} from {from}{}, {to}", name(told, &grant.right_id), receipt(told, grant.granted_in))
}

fn name(told: &Explanation, id: &str) -> String {
    told.right_names.get(id).cloned().unwrap_or_else(|| id.to_owned())
}

fn receipt(told: &Explanation, event: Uuid) -> String {
    let short = |receipt: &String| match receipt.split_once('/') {
        Some((stream, seq)) => format!(" [{}/{seq}]", stream.get(..8).unwrap_or(stream)),
        None => String::new(),
    };
    told.receipts.get(&event.to_string()).map(short).unwrap_or_default()
}

fn evidence(told: &Explanation, event: Uuid) -> String {
    let receipt = told.receipts.get(&event.to_string()).map(|receipt| format!(", receipt {receipt}"));
    format!("event {event}{}", receipt.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ask::incomplete::Touches, gaps::GapReport};

    const SECOND: i64 = 1_000;

    fn told() -> Explanation {
        let event = Uuid::from_u128(1);
        let gap = |source: &str, cause: &str, until| GapReport {
            source: source.into(),
            scope: String::new(),
            input: "webhook".into(),
            cause: cause.into(),
            since: 60 * SECOND,
            until,
            missing: None,
        };
        Explanation {
            decision: DecisionRecord {
                at: 700 * SECOND,
                event_id: event,
                reference: "user:default/ana\u{1b}[2J".into(),
                permission: "catalog.entity.delete".into(),
                outcome: "allow".into(),
                verdict: "violation".into(),
                delay_ms: Some(583_280),
                clock: "token".into(),
                credential_at: Some(90 * SECOND),
                candidates: 2,
                grade: "inferred".into(),
                reasons: vec!["rests_on_gap".into()],
                ..DecisionRecord::default()
            },
            source: "bs".into(),
            names: Vec::new(),
            session: None,
            budget_ms: Some(600_000),
            grants: Vec::new(),
            right_names: [("g1".to_owned(), "/platform/ops".to_owned())].into(),
            missing_events: vec![MissingEventRecord {
                at: 61 * SECOND,
                before: 62 * SECOND,
                right_id: "g1".into(),
                missing: "removal".into(),
                ..MissingEventRecord::default()
            }],
            receipts: [(event.to_string(), "0123456789abcdef/7".to_owned())].into(),
            candidates: Candidates::default(),
            policies: Vec::new(),
            incomplete: vec![
                Incomplete { touches: Touches::Then, gap: gap("bs", "silent", None) },
                Incomplete { touches: Touches::Rights, gap: gap("kc", "records_missing", Some(120 * SECOND)) },
            ],
        }
    }

    #[test]
    fn what_is_missing_is_named_as_what_supports_is() {
        let mut told = told();
        told.decision.support = vec![("g2".into(), "g3".into(), String::new(), String::new(), String::new(), None)];
        assert_eq!(rights(&told.decision, &told.missing_events), ["g2", "g3", "g1"]);
    }

    #[test]
    fn the_grounds_are_printed_with_what_may_be_missing() {
        let printed = render(&told());
        let lines: Vec<&str> = printed.lines().filter(|line| !line.is_empty()).map(str::trim_end).collect();
        assert_eq!(
            lines[1..],
            [
                "  verdict      violation: allowed although every supporting right was gone, for longer than this clock may take",
                "               583.280 s after the person was disabled or deleted; 600.000 s are allowed",
                "  clock        token: a disabled person keeps what they have until the token ends",
                "  person       nobody is known",
                "  session      not known",
                "  credential   issued 1970-01-01T00:01:30.000Z, the latest of 2 that can stand behind it",
                "  grade        inferred",
                "               rests on gap: an event is missing that this rests on",
                "  missing      between 1970-01-01T00:01:01.000Z and 1970-01-01T00:01:02.000Z: /platform/ops was taken away, and no event says so",
                "  incomplete   bs webhook: silent from 1970-01-01T00:01:00.000Z to now, and it is still open: what stands behind it may be something else",
                "  incomplete   kc webhook: records missing from 1970-01-01T00:01:00.000Z to 1970-01-01T00:02:00.000Z: a change of rights before it may be missing",
                "  told by      event 00000000-0000-0000-0000-000000000001, receipt 0123456789abcdef/7",
            ]
        );
        assert!(lines[0].contains("ALLOW catalog.entity.delete at 1970-01-01T00:11:40.000Z"), "{}", lines[0]);
        assert!(!printed.contains('\u{1b}'), "what users choose steers no terminal");
    }
}
