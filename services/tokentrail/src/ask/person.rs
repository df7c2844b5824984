//! `tokentrail person show|search`: who somebody is over time.

use super::{
    acts::{self, Acts},
    one_person, short,
};
use crate::{
    status::moment,
    table::{Align, Table, visible},
};
use serde::Serialize;
use std::collections::BTreeSet;
use store::{
    Store,
    correlation::{AliasRecord, Bearer, DecisionQuery, DecisionRecord, Matching, SessionRecord, SharedName},
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
    /// Key of the account that bears it.
    account: String,
    /// The events that began and ended it.
    evidence: [Option<uuid::Uuid>; 2],
}

/// A person with names.
#[derive(Serialize)]
pub struct Named {
    person: String,
    /// What they are, see [`kind`].
    kind: &'static str,
    names: Vec<Name>,
}

impl From<Bearer> for Named {
    fn from(bearer: Bearer) -> Self {
        let name = |alias: AliasRecord| Name {
            kind: alias.kind,
            name: alias.name,
            from: alias.borne_from,
            to: alias.borne_to,
            account: if alias.account.is_empty() { alias.person } else { alias.account },
            evidence: [alias.begun_in, alias.ended_in].map(|event| Some(event).filter(|event| !event.is_nil())),
        };
        let kind = kind(&bearer.names);
        Self { person: bearer.person, kind, names: bearer.names.into_iter().map(name).collect() }
    }
}

/// What bears these names, as far as a source says: a Keycloak user that is no service account as far as is known, a service
/// account, a static token, a plugin, or a name that nothing ties to a Keycloak user.
pub(super) fn kind(names: &[AliasRecord]) -> &'static str {
    let any = |kind: &str| names.iter().any(|name| name.kind == kind);
    match names.iter().all(|name| name.user_id.is_empty()) {
        _ if any("client") => "service_account",
        false => "user",
        true if any("static") => "static",
        true if any("plugin") => "plugin",
        true => "name",
    }
}

/// For people.
pub(super) fn describe(kind: &str) -> &'static str {
    match kind {
        "service_account" => "service account of a client",
        "user" => "Keycloak user",
        "static" => "static token of a Backstage",
        "plugin" => "plugin of a Backstage",
        _ => "a name that nothing ties to a Keycloak user",
    }
}

/// A person's story in short.
#[derive(Serialize)]
pub struct Shown {
    #[serde(flatten)]
    named: Named,
    /// What operators said of this person.
    acts: Vec<acts::Told>,
    /// Names that others bore at the same time.
    shared: Vec<SharedName>,
    sessions: Vec<SessionRecord>,
    decisions: Vec<DecisionRecord>,
}

/// Everything of one person.
pub async fn show(store: &Store, tenant: &str, name: &str) -> anyhow::Result<Shown> {
    let bearer = one_person(store, tenant, name).await?;
    let persons = vec![bearer.person.clone()];
    let always = i64::from(u32::MAX) * 1_000;
    let mut sessions = store.records_of(tenant, &persons, always).await?;
    store.tell_expired(tenant, &mut sessions).await?;
    let query =
        DecisionQuery { tenant: tenant.to_owned(), persons, to: always, limit: DECISIONS, ..Default::default() };
    let decisions = store.decisions(&query).await?;
    let shared = store.shared_names(tenant, &bearer.person).await?;
    let named = Named::from(bearer);
    let accounts: BTreeSet<String> = named.names.iter().map(|name| name.account.clone()).collect();
    let said = store.person_acts(tenant).await?;
    let acts = Acts::of(&said).about(&accounts);
    Ok(Shown { named, acts, shared, sessions, decisions })
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
    let mut table = Table::new(&[("person", Align::Left), ("kind", Align::Left), ("names", Align::Left)]);
    for named in found {
        let names: Vec<&str> = named.names.iter().map(|name| name.name.as_str()).collect();
        table.row(vec![named.person.clone(), named.kind.replace('_', " "), names.join(", ")]);
    }
    if found.is_empty() { "  nobody\n".into() } else { table.render() }
}

/// What operators said of the person, and what nobody has said yet.
fn by_hand(shown: &Shown) -> String {
    let mut out = String::new();
    for told in &shown.acts {
        let act = &told.act;
        let into = if act.into.is_empty() { String::new() } else { format!(" into {} {}", act.into, act.into_name) };
        let text = format!(
            "{} {} {} {}{into} by {}: {} ({})",
            moment(act.done_at),
            act.act,
            act.account,
            act.account_name,
            act.done_by,
            act.reason,
            acts::standing(told.standing)
        );
        out.push_str(&format!("  {}\n", visible(&text)));
    }
    for shared in &shown.shared {
        let time = |at: Option<i64>, none: &str| at.map_or_else(|| none.to_owned(), moment);
        let (from, to) = (time(shared.shared_from, "as far back as known"), time(shared.shared_to, "now"));
        let SharedName { kind, name, person, .. } = shared;
        let text = match kind.as_str() {
            "federated_id" => format!(
                "conflict: the login {name} leads to person {person} as well, from {from} until {to}: two accounts of one login"
            ),
            _ => format!(
                "{kind} {name} is also a name of person {person}, from {from} until {to}: nobody is taken for another by a name alone"
            ),
        };
        out.push_str(&format!("  {}\n", visible(&text)));
    }
    if out.is_empty() { out } else { format!("\n{out}") }
}

/// For people.
pub fn render_show(shown: &Shown) -> String {
    use Align::Left;
    let time = |at: Option<i64>, none: &str| at.map_or_else(|| none.to_owned(), moment);
    let mut out = format!("  person {}: {}\n\n", shown.named.person, describe(shown.named.kind));
    let mut table =
        Table::new(&[("name", Left), ("kind", Left), ("from", Left), ("until", Left), ("account merged", Left)]);
    for name in &shown.named.names {
        table.row(vec![
            name.name.clone(),
            name.kind.clone(),
            time(name.from, "as far back as known"),
            time(name.to, "now"),
            Some(&name.account).filter(|account| **account != shown.named.person).cloned().unwrap_or_default(),
        ]);
    }
    out.push_str(&table.render());
    out.push_str(&by_hand(shown));
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
