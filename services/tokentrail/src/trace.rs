//! `tokentrail trace`: what is known of a user, session, token, event or receipt, in time order, each line with the
//! receipt that it came from. A user is followed across both systems by the recorded catalog annotation, and what operators said.

mod render;
mod session;

pub use render::{around, render};

use crate::{
    aliases::{self, Alias},
    ask::explain,
    config::{Config, Kind},
    deployment,
    gaps::GapReport,
    status::moment,
};
use anyhow::{Context, bail};
use events::{
    event::{DataClass, Event},
    ids::{Position, StreamId, event_id},
    person::{DeploymentKey, PersonKey},
    receipt::Payload,
};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use store::{
    EventPage, PersonQuery, Store, StoredEvent, Term, TraceQuery,
    correlation::{JudgedRecord, Matching},
};
use uuid::Uuid;

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

/// What a term is said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Person,
    Session,
    Token,
    Event,
    Decision,
    Receipt,
}

impl Subject {
    const ALL: [(&'static str, Self); 6] = [
        ("person", Self::Person),
        ("session", Self::Session),
        ("token", Self::Token),
        ("event", Self::Event),
        ("decision", Self::Decision),
        ("receipt", Self::Receipt),
    ];

    fn named(name: &str) -> anyhow::Result<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        let Some((_, subject)) = found else {
            let known: Vec<&str> = Self::ALL.iter().map(|(known, _)| *known).collect();
            bail!("{name} is nothing that can be traced; that can: {}", known.join(", "));
        };
        Ok(*subject)
    }
}

/// Finds what the words mean and everything about it: a term of any kind, or a kind and a term.
pub async fn lookup(store: &Store, config: &Config, words: &[String]) -> anyhow::Result<Trail> {
    let (subject, term) = match words {
        [term] => (None, term.as_str()),
        [kind, term] => (Some(Subject::named(kind)?), term.as_str()),
        _ => (None, ""),
    };
    if term.trim().is_empty() {
        bail!(
            "trace what? give an event, session or token id, a username, an entity reference, a user id or STREAM/SEQ"
        );
    }
    let mut trail = match subject {
        Some(Subject::Decision) => return decision(store, config, term).await,
        Some(Subject::Person) | None => match find_person(store, config, term).await? {
            Some(found) => return of_persons(store, config, (term, found)).await,
            None if subject.is_some() => {
                let known = "not a user that is known by that name: events that name it as it stands";
                of_terms(store, config, (term, &[Term::Name(term.to_owned())]), known).await?
            }
            None => {
                let known = "not a user of the recorded catalog: events that name it as it stands";
                of_terms(store, config, (term, &meanings(config, term)), known).await?
            }
        },
        Some(Subject::Session) => of_terms(store, config, (term, &[Term::Session(term.to_owned())]), "").await?,
        Some(Subject::Token) => of_terms(store, config, (term, &[Term::Token(term.to_owned())]), "").await?,
        Some(Subject::Event) => {
            let all = [Term::Id(String::new(), events_of(config, term)), Term::Name(term.to_owned())];
            of_terms(store, config, (term, &all), "").await?
        }
        Some(Subject::Receipt) => {
            let receipt = receipt(term).context("a receipt is named STREAM/SEQ")?;
            of_terms(store, config, (term, &[receipt]), "").await?
        }
    };
    judge(store, (&config.tenant, &[]), &mut trail.events).await?;
    let is_session = matches!(subject, None | Some(Subject::Session));
    if is_session && trail.events.iter().any(|step| step.event.session_id == term) {
        trail.understood.extend(session::acts(store, &config.tenant, term).await?);
    }
    Ok(trail)
}

async fn of_persons(
    store: &Store,
    config: &Config,
    (term, (persons, understood)): (&str, (Vec<PersonKey>, Vec<String>)),
) -> anyhow::Result<Trail> {
    let (tenant, to) = (config.tenant.clone(), i64::from(u32::MAX) * 1000);
    let keys: Vec<String> = persons.iter().map(|key| key.0.clone()).collect();
    let query = PersonQuery { tenant, persons, from: 0, to, limit: MOST_EVENTS };
    let mut trail = trail(term, understood, store.person_events(&query).await?);
    judge(store, (&config.tenant, &keys), &mut trail.events).await?;
    Ok(trail)
}

/// What the first of some terms finds that finds anything.
async fn of_terms(
    store: &Store,
    config: &Config,
    (term, meanings): (&str, &[Term]),
    note: &str,
) -> anyhow::Result<Trail> {
    let understood: Vec<String> = Some(note).filter(|note| !note.is_empty()).map(str::to_owned).into_iter().collect();
    let mut page = EventPage { events: Vec::new(), more: false };
    for meaning in meanings {
        let query = TraceQuery { tenant: config.tenant.clone(), term: meaning.clone(), limit: MOST_EVENTS };
        page = store.trace(&query).await?;
        // What one act did is several events of one id of its source.
        let native = page.events.iter().find(|one| one.event.native_id == term).map(|one| one.event.time);
        if let Some(at) = native.filter(|_| matches!(meaning, Term::Id(..))) {
            page = store.trace(&TraceQuery { term: Term::Native(term.to_owned(), at), ..query }).await?;
        }
        if !page.events.is_empty() {
            break;
        }
    }
    Ok(trail(term, understood, page))
}

fn trail(term: &str, understood: Vec<String>, page: EventPage) -> Trail {
    let EventPage { events, more } = page;
    Trail { term: term.to_owned(), understood, events: events.into_iter().map(Step::from).collect(), more }
}

/// Events that an id may be: by our id, or by that of each source.
fn events_of(config: &Config, term: &str) -> Vec<Uuid> {
    let own = Uuid::parse_str(term).ok();
    let of_sources = config.sources.keys().map(|source| event_id(&config.tenant, source, term, 0));
    own.into_iter().chain(of_sources).collect()
}

/// What a term may mean, that first which an index finds.
fn meanings(config: &Config, term: &str) -> Vec<Term> {
    match receipt(term) {
        Some(receipt) => vec![receipt],
        None => vec![Term::Id(term.to_owned(), events_of(config, term)), Term::Name(term.to_owned())],
    }
}

fn receipt(term: &str) -> Option<Term> {
    let (stream, seq) = term.split_once('/')?;
    let (stream, seq) = (stream.parse::<StreamId>().ok()?, seq.parse().ok()?);
    Some(Term::Receipt(Position { stream, seq }))
}

/// From the login to the decision: its session as far as that, the credential, and what gave and took the rights; with what is missing.
async fn decision(store: &Store, config: &Config, id: &str) -> anyhow::Result<Trail> {
    let told = explain::find(store, config, id).await?;
    let decision = &told.decision;
    let mut steps = Vec::new();
    let mut more = false;
    if !decision.session_id.is_empty() {
        let term = Term::Session(decision.session_id.clone());
        let query = TraceQuery { tenant: config.tenant.clone(), term, limit: MOST_EVENTS };
        let page = store.trace_until(&query, decision.at).await?;
        more = page.more;
        steps.extend(page.events.into_iter().map(Step::from));
    }
    let mut evidence = vec![decision.event_id, decision.credential];
    evidence.extend(told.grants.iter().flat_map(|grant| [grant.granted_in, grant.removed_in]));
    evidence.retain(|event| !event.is_nil());
    let found = store.events_named(&config.tenant, &evidence).await?;
    steps.extend(found.into_iter().map(Step::from));
    steps.sort_by_key(|step| (step.event.time, step.event.event_id));
    steps.dedup_by_key(|step| step.event.event_id);
    let began = told.session.as_ref().and_then(|session| session.started_at).unwrap_or(decision.at);
    let mut understood = vec![format!(
        "decision {}: {}, {}; `tokentrail explain {}` says why",
        decision.event_id,
        decision.verdict.replace('_', " "),
        if decision.reasons.is_empty() {
            decision.grade.clone()
        } else {
            format!("{} ({})", decision.grade, decision.reasons.join(", "))
        },
        decision.event_id
    )];
    for missing in &told.missing_events {
        understood.push(format!("an event is missing between {} and {}", moment(missing.at), moment(missing.before)));
    }
    let gaps = store.gaps(&config.tenant, began).await?.into_iter().filter(|gap| {
        gap.repaired_at.is_none() && gap.since <= decision.at && gap.until.is_none_or(|until| until >= began)
    });
    understood.extend(gaps.map(|gap| format!("not complete: {}", GapReport::from(gap).line())));
    judge(store, (&config.tenant, &[]), &mut steps).await?;
    Ok(Trail { term: id.to_owned(), understood, events: steps, more })
}

/// Puts beside each decision what the correlation says of it; nearly all are those of some persons, if any are named.
async fn judge(store: &Store, whose: (&str, &[String]), steps: &mut [Step]) -> anyhow::Result<()> {
    let is_decision = |step: &&Step| step.event.data_class == DataClass::Decision;
    let ids: Vec<_> = steps.iter().filter(is_decision).map(|step| step.event.event_id).collect();
    let times = || steps.iter().filter(is_decision).map(|step| step.event.time);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(()) };
    let rows = store.judged_of(whose, &ids, (first, last)).await?;
    let mut found: HashMap<Uuid, Judged> = rows
        .into_iter()
        .map(|row| {
            let JudgedRecord { event_id, verdict, delay_ms, clock, grade } = row;
            (event_id, Judged { verdict, delay_ms, clock, grade })
        })
        .collect();
    for step in steps {
        step.judged = found.remove(&step.event.event_id);
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_told_from_entity_references_and_kinds_are_named() {
        let stream = "0".repeat(32);
        let position = Position { stream: StreamId([0; 16]), seq: 7 };
        assert_eq!(receipt(&format!("{stream}/7")), Some(Term::Receipt(position)));
        assert_eq!(receipt("user:default/ann"), None);
        assert_eq!(Subject::named("session").unwrap(), Subject::Session);
        let error = Subject::named("group").unwrap_err().to_string();
        assert!(error.contains("person, session, token, event, decision, receipt"), "{error}");
    }
}
