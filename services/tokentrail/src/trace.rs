//! `tokentrail trace`: what is known of a user, session, token, event or receipt, in time order, each line with the
//! receipt that it came from. A user is followed across both systems by the recorded catalog annotation only.

use crate::{
    aliases::{self, Alias},
    config::{Config, Kind},
    deployment,
    status::moment,
    table::{Align, Table},
};
use anyhow::{Context, bail};
use events::{
    event::Event,
    ids::{Position, StreamId},
    person::PersonKey,
    receipt::Payload,
};
use serde::Serialize;
use store::{EventPage, PersonQuery, Store, StoredEvent, Term, TraceQuery};

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
}

impl From<StoredEvent> for Step {
    fn from(stored: StoredEvent) -> Self {
        let inputs = stored.inputs.iter().map(|input| input.as_str()).collect();
        Self { event: stored.event, inputs, conflicts: stored.conflicts }
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
    Ok(Trail { term: term.to_owned(), understood, events: events.into_iter().map(Step::from).collect(), more })
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
    Ok((!persons.is_empty()).then_some((persons, understood)))
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
        let same =
            |run: &&mut Run<'_>| what(&run.first.event) == what(&step.event) && outcome(run.first) == outcome(step);
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
