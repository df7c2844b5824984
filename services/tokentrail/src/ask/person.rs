//! `tokentrail person show|search`: who somebody is over time.

use super::{one_person, short};
use crate::{
    status::moment,
    table::{Align, Table},
};
use serde::Serialize;
use store::{
    Store,
    correlation::{AliasRecord, Bearer, DecisionQuery, DecisionRecord, Matching, SessionRecord},
};

/// Decisions of a person that are shown: the latest.
const DECISIONS: u32 = 20;

/// A name.
#[derive(Serialize)]
pub struct Name {
    kind: String,
    name: String,
    from: Option<i64>,
    to: Option<i64>,
}

/// A person with names.
#[derive(Serialize)]
pub struct Named {
    person: String,
    names: Vec<Name>,
}

impl From<Bearer> for Named {
    fn from(bearer: Bearer) -> Self {
        let name = |alias: AliasRecord| Name {
            kind: alias.kind,
            name: alias.name,
            from: alias.borne_from,
            to: alias.borne_to,
        };
        Self { person: bearer.person, names: bearer.names.into_iter().map(name).collect() }
    }
}

/// A person's story in short.
#[derive(Serialize)]
pub struct Shown {
    #[serde(flatten)]
    named: Named,
    sessions: Vec<SessionRecord>,
    decisions: Vec<DecisionRecord>,
}

/// Everything of one person.
pub async fn show(store: &Store, tenant: &str, name: &str) -> anyhow::Result<Shown> {
    let bearer = one_person(store, tenant, name).await?;
    let persons = vec![bearer.person.clone()];
    let always = i64::from(u32::MAX) * 1_000;
    let sessions = store.records_of(tenant, &persons, always).await?;
    let query =
        DecisionQuery { tenant: tenant.to_owned(), persons, to: always, limit: DECISIONS, ..Default::default() };
    let decisions = store.decisions(&query).await?;
    Ok(Shown { named: bearer.into(), sessions, decisions })
}

/// Persons whose names contain a text.
pub async fn search(store: &Store, tenant: &str, text: &str) -> anyhow::Result<Vec<Named>> {
    Ok(store.bearers(tenant, text, Matching::Part).await?.into_iter().map(Named::from).collect())
}

/// The names that somebody bears, in one line: each once, the latest of a kind last.
pub(super) fn names(aliases: &[AliasRecord]) -> String {
    let mut seen: Vec<&str> = Vec::new();
    for alias in aliases.iter().rev() {
        if !seen.contains(&alias.name.as_str()) {
            seen.push(&alias.name);
        }
    }
    seen.join(", ")
}

/// For people.
pub fn render_search(found: &[Named]) -> String {
    let mut table = Table::new(&[("person", Align::Left), ("names", Align::Left)]);
    for named in found {
        let names: Vec<&str> = named.names.iter().map(|name| name.name.as_str()).collect();
        table.row(vec![named.person.clone(), names.join(", ")]);
    }
    if found.is_empty() { "  nobody\n".into() } else { table.render() }
}

/// For people.
pub fn render_show(shown: &Shown) -> String {
    use Align::Left;
    let time = |at: Option<i64>, none: &str| at.map_or_else(|| none.to_owned(), moment);
    let mut out = format!("  person {}\n\n", shown.named.person);
    let mut table = Table::new(&[("name", Left), ("kind", Left), ("from", Left), ("until", Left)]);
    for name in &shown.named.names {
        table.row(vec![
            name.name.clone(),
            name.kind.clone(),
            time(name.from, "as far back as known"),
            time(name.to, "now"),
        ]);
    }
    out.push_str(&table.render());
    let mut table = Table::new(&[("session", Left), ("begun", Left), ("ended", Left), ("by", Left), ("clients", Left)]);
    for session in &shown.sessions {
        table.row(vec![
            session.session_id.clone(),
            time(session.started_at, "not seen"),
            time(session.ended_at, ""),
            session.ended_by.replace('_', " "),
            session.clients.join(", "),
        ]);
    }
    out.push('\n');
    out.push_str(&table.render());
    out.push('\n');
    out.push_str(&super::decisions::table(&shown.decisions));
    if let Some(last) = shown.decisions.last() {
        out.push_str(&format!("\n  tokentrail explain {} says on what grounds\n", short(last.event_id)));
    }
    out
}
