//! `tokentrail trace`: what is known of a user, session, token, event or receipt, in time order, each line with the
//! receipt that it came from. A user is followed across both systems by the recorded catalog annotation, and what operators said.

use crate::{
    aliases::{self, Alias},
    config::{Config, Kind},
    deployment,
    status::moment,
    table::{Align, Table},
};
use anyhow::{Context, bail};
use events::{
    event::{DataClass, Event},
    ids::{Position, StreamId},
    person::{DeploymentKey, PersonKey},
    receipt::Payload,
};
use serde::Serialize;
use std::collections::BTreeSet;
use store::{EventPage, PersonQuery, Store, StoredEvent, Term, TraceQuery, correlation::Matching};

/// Most events of one trace.
const MOST_EVENTS: u32 = 10_000;
/// Most recorded catalog states that are read for aliases.
const MOST_STATES: u32 = 10_000;

/// What was found.
#[derive(Serialize)]
pub struct Trail {
    /// What was looked for.
    pub term: String,
    /// How the term was understood, one line each.
    pub understood: Vec<String>,
    /// In order of time.
    pub events: Vec<Step>,
    /// True if there are more than are listed.
    pub more: bool,
}

/// One event of the trail.
#[derive(Serialize)]
pub struct Step {
    /// The event, merged from its inputs.
    #[serde(flatten)]
    pub event: Event,
    /// Inputs that report it.
    pub inputs: Vec<&'static str>,
    /// Fields in which they contradict each other.
    pub conflicts: Vec<String>,
    /// What the correlation says of a decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judged: Option<Judged>,
}

/// How a decision stands.
#[derive(Clone, PartialEq, Serialize)]
pub struct Judged {
    /// Verdict.
    pub verdict: String,
    /// Between the change of the right and the decision, milliseconds.
    pub delay_ms: Option<i64>,
    /// The clock that it obeys.
    pub clock: String,
    /// How sure the grounds are.
    pub grade: String,
}

impl From<StoredEvent> for Step {
    fn from(stored: StoredEvent) -> Self {
        let inputs = stored.inputs.iter().map(|input| input.as_str()).collect();
        Self { event: stored.event, inputs, conflicts: stored.conflicts, judged: None }
    }
}

/// Finds what the term means and everything about it.
pub async fn lookup(store: &Store, config: &Config, term: &str) -> anyhow::Result<Trail> {
    if term.trim().is_empty() {
        bail!(
            "trace what? give an event, session or token id, a username, an entity reference, a user id or STREAM/SEQ"
        );
    }
    let (page, understood) = match find_person(store, config, term).await? {
        Some((persons, understood)) => {
            let query = PersonQuery {
                tenant: config.tenant.clone(),
                persons,
                from: 0,
                to: i64::from(u32::MAX) * 1000,
                limit: MOST_EVENTS,
            };
            (store.person_events(&query).await?, understood)
        }
        None => {
            let query = TraceQuery { tenant: config.tenant.clone(), term: kind_of(term), limit: MOST_EVENTS };
            let page = store.trace(&query).await?;
            let note = "not a user of the recorded catalog: events that name it as it stands".to_owned();
            (page, vec![note])
        }
    };
    let EventPage { events, more } = page;
    let mut steps: Vec<Step> = events.into_iter().map(Step::from).collect();
    judge(store, config, &mut steps).await?;
    Ok(Trail { term: term.to_owned(), understood, events: steps, more })
}

/// Puts beside each decision what the correlation says of it.
async fn judge(store: &Store, config: &Config, steps: &mut [Step]) -> anyhow::Result<()> {
    let is_decision = |step: &&Step| step.event.data_class == DataClass::Decision;
    let ids: Vec<_> = steps.iter().filter(is_decision).map(|step| step.event.event_id).collect();
    let mut found: std::collections::HashMap<_, _> = std::collections::HashMap::new();
    for ids in ids.chunks(1_000) {
        for row in store.decisions_of(&config.tenant, ids).await? {
            let judged = Judged { verdict: row.verdict, delay_ms: row.delay_ms, clock: row.clock, grade: row.grade };
            found.insert(row.event_id, judged);
        }
    }
    for step in steps {
        step.judged = found.remove(&step.event.event_id);
    }
    Ok(())
}

fn kind_of(term: &str) -> Term {
    if let Some((stream, seq)) = term.split_once('/')
        && let (Ok(stream), Ok(seq)) = (stream.parse::<StreamId>(), seq.parse())
    {
        return Term::Receipt(Position { stream, seq });
    }
    Term::Any(term.to_owned())
}

/// The person keys behind a name, if a recorded catalog state ties it to a Keycloak user.
async fn find_person(
    store: &Store,
    config: &Config,
    term: &str,
) -> anyhow::Result<Option<(Vec<PersonKey>, Vec<String>)>> {
    let key = deployment::key(config)?;
    let wanted = term.to_lowercase();
    let matches = |alias: &Alias| {
        let name = alias.entity_ref.rsplit('/').next().unwrap_or_default();
        alias.keycloak_id == wanted || alias.entity_ref == wanted || name == wanted
    };
    let (mut persons, mut understood) = (Vec::new(), Vec::new());
    for (source, aliases) in recorded(store, config).await? {
        for alias in aliases.iter().filter(|alias| matches(alias)) {
            persons.push(key.named(&config.tenant, &source, "user", &alias.entity_ref));
            let keycloaks = config.sources.iter().filter(|(_, source)| source.kind == Kind::Keycloak);
            persons.extend(keycloaks.map(|(id, _)| key.keycloak_user(&config.tenant, id, &alias.keycloak_id)));
            understood.push(format!(
                "{} in {source} is Keycloak user {} (catalog annotation, seen from {} to {})",
                alias.entity_ref,
                alias.keycloak_id,
                moment(alias.seen.0),
                moment(alias.seen.1)
            ));
        }
    }
    let accounts = known_person(store, (config, &key), term).await?;
    if let Some((keys, line)) = accounts {
        persons.extend(keys);
        understood.push(line);
    }
    Ok((!persons.is_empty()).then_some((persons, understood)))
}

/// The one person who bears a name, with all accounts that are theirs: events carry the account's own key for good.
async fn known_person(
    store: &Store,
    (config, key): (&Config, &DeploymentKey),
    term: &str,
) -> anyhow::Result<Option<(Vec<PersonKey>, String)>> {
    let mut bearers = store.bearers(&config.tenant, term.trim(), Matching::Whole).await?;
    let (Some(bearer), true) = (bearers.pop(), bearers.is_empty()) else { return Ok(None) };
    let mut keys: BTreeSet<String> = BTreeSet::from([bearer.person.clone()]);
    for name in &bearer.names {
        keys.extend(Some(&name.account).filter(|account| !account.is_empty()).cloned());
        let backstages = config.sources.iter().filter(|(_, source)| source.kind == Kind::Backstage);
        for (id, _) in backstages.filter(|_| name.kind == "reference") {
            keys.insert(key.named(&config.tenant, id, "user", &name.name).0);
        }
    }
    let merged: BTreeSet<&str> =
        bearer.names.iter().map(|name| name.account.as_str()).filter(|a| !a.is_empty()).collect();
    let with = if merged.is_empty() {
        String::new()
    } else {
        format!(", with {} merged by hand", merged.into_iter().collect::<Vec<_>>().join(", "))
    };
    Ok(Some((keys.into_iter().map(PersonKey).collect(), format!("{term} is person {}{with}", bearer.person))))
}

/// Aliases by the source whose catalog recorded them.
async fn recorded(store: &Store, config: &Config) -> anyhow::Result<Vec<(String, Vec<Alias>)>> {
    let mut out = Vec::new();
    for (id, _) in config.sources.iter().filter(|(_, source)| source.kind == Kind::Backstage) {
        let states = store.bodies_of(&config.tenant, (id, Payload::BackstageCatalogSnapshot), MOST_STATES).await;
        let states = states.context("cannot read the recorded catalog states")?;
        out.push((id.clone(), aliases::gather(states.iter().map(Vec::as_slice))));
    }
    Ok(out)
}

/// The part of a trail that leads to one event: the other system's last words before it, and those of its own, at most so many
/// lines together. Returns how many events between the two are left out.
pub fn around(mut trail: Trail, event: uuid::Uuid, lines: usize) -> (Trail, usize) {
    let steps = &trail.events;
    let Some(at) = steps.iter().rposition(|step| step.event.event_id == event) else { return (trail, 0) };
    let own = &steps[at].event.source_id;
    let other = steps[..at].iter().rposition(|step| step.event.source_id != *own);
    // From `end` back as far as half of the lines go.
    let begin = |end: usize, least: usize| {
        let fits = |start: &usize| runs(&steps[*start..=end]).len() <= lines / 2;
        (least..=end).rev().take_while(fits).last().unwrap_or(end)
    };
    let Some(other) = other else {
        trail.events = trail.events.drain(begin(at, 0)..=at).collect();
        return (trail, 0);
    };
    let (first, second) = (begin(other, 0), begin(at, other + 1));
    let mut index = 0;
    trail.events.retain(|_| {
        index += 1;
        (first..=other).contains(&(index - 1)) || (second..=at).contains(&(index - 1))
    });
    trail.more = false;
    (trail, second - other - 1)
}

/// The trail for people; at most `lines` rows, repeated neighbours in one.
pub fn render(trail: &Trail, lines: usize) -> String {
    use Align::Left;
    let mut out: String = trail.understood.iter().map(|line| format!("  {}\n", crate::table::visible(line))).collect();
    if trail.events.is_empty() {
        out.push_str("  nothing is known of it\n");
        return out;
    }
    out.push('\n');
    let mut table = Table::new(&[
        ("time (UTC)", Left),
        ("repeated", Left),
        ("source", Left),
        ("what", Left),
        ("outcome", Left),
        ("verdict, grade", Left),
        ("session", Left),
        ("dated by", Left),
        ("receipt", Left),
    ]);
    let runs = runs(&trail.events);
    let hidden = runs.len().saturating_sub(lines);
    for run in runs.iter().take(lines) {
        let event = &run.first.event;
        let repeats = || format!("×{} until {}", run.count, clock(run.last));
        table.row(vec![
            moment(event.time),
            if run.count > 1 { repeats() } else { String::new() },
            event.source_id.clone(),
            what(event),
            outcome(run.first),
            judged(run.first.judged.as_ref()),
            event.session_id.chars().take(8).collect(),
            event.time_basis.as_str().to_owned(),
            format!("{}/{}", event.receipt.stream.to_string().get(..8).unwrap_or_default(), event.receipt.seq),
        ]);
    }
    out.push_str(&table.render());
    if hidden > 0 || trail.more {
        out.push_str(&format!(
            "  ... {hidden} more lines{}\n",
            if trail.more { ", and more events than one trace lists" } else { "" }
        ));
    }
    out
}

/// Neighbours that say the same: one line with a count and the time of the last.
struct Run<'a> {
    first: &'a Step,
    count: usize,
    last: i64,
}

fn runs(steps: &[Step]) -> Vec<Run<'_>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    for step in steps {
        let same = |run: &&mut Run<'_>| {
            let (verdict, other) = (run.first.judged.as_ref(), step.judged.as_ref());
            what(&run.first.event) == what(&step.event)
                && outcome(run.first) == outcome(step)
                && verdict.map(|judged| (&judged.verdict, &judged.grade))
                    == other.map(|judged| (&judged.verdict, &judged.grade))
        };
        match runs.last_mut().filter(same) {
            Some(run) => (run.count, run.last) = (run.count + 1, step.event.time),
            None => runs.push(Run { first: step, count: 1, last: step.event.time }),
        }
    }
    runs
}

/// The time of day.
fn clock(ms: i64) -> String {
    moment(ms).split('T').nth(1).unwrap_or_default().to_owned()
}

fn outcome(step: &Step) -> String {
    let event = &step.event;
    let mut text = event.outcome.as_str().to_owned();
    if !event.error.is_empty() {
        text = format!("{text}: {}", event.error);
    }
    if !step.conflicts.is_empty() {
        text = format!("{text} CONFLICT in {}", step.conflicts.join(", "));
    }
    text
}

/// Verdict, seconds and grade; nothing where no permission was judged.
fn judged(judged: Option<&Judged>) -> String {
    let Some(judged) = judged.filter(|judged| judged.verdict != "not_judged") else { return String::new() };
    let delay =
        judged.delay_ms.map(|ms| format!(" {}.{} s", ms / 1_000, ms.rem_euclid(1_000) / 100)).unwrap_or_default();
    format!("{}{delay}, {}", judged.verdict.replace('_', " "), judged.grade)
}

/// What happened, in few words.
fn what(event: &Event) -> String {
    let mut parts = vec![event.kind.clone()];
    let object = [&event.permission, &event.right_name, &event.right_id, &event.resource, &event.client];
    parts.extend(object.into_iter().find(|text| !text.is_empty()).cloned());
    if event.kind == "user_updated"
        && let Some(enabled) = event.details.get("enabled")
    {
        parts.push(format!("enabled={enabled}"));
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_told_from_entity_references() {
        let stream = "0".repeat(32);
        assert_eq!(kind_of(&format!("{stream}/7")), Term::Receipt(Position { stream: StreamId([0; 16]), seq: 7 }));
        assert_eq!(kind_of("user:default/ann"), Term::Any("user:default/ann".into()));
    }
}
