//! The walk from what is held to what comes of it, along the rows of `world`: what the view `effective_towards` says, in memory.
//! For one person, or one right, ClickHouse takes longer to plan the view than to read the rows that it needs.

use super::rights::EffectiveRecord;
use clickhouse::Row;
use serde::Deserialize;
use std::collections::HashMap;
use uuid::Uuid;

/// Longest way, as in the view.
const WAY_MOST: usize = 64;

/// A time [from, to): for as long as is known and still, where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time(i64, i64);

impl Time {
    const EVER: Self = Self(i64::MIN, i64::MAX);

    fn of(from: Option<i64>, to: Option<i64>) -> Self {
        Self(from.unwrap_or(i64::MIN), to.unwrap_or(i64::MAX))
    }

    /// The part of both that touches the span, both ends of that within.
    fn within(self, other: Self, (from, to): (i64, i64)) -> Option<Self> {
        let both = Self(self.0.max(other.0), self.1.min(other.1));
        (both.0 < both.1 && both.0 <= to && both.1 > from).then_some(both)
    }
}

/// A row of `grant_rows`: where a walk begins.
#[derive(Clone, Debug, Row, Deserialize)]
pub(super) struct Held {
    pub person: String,
    pub account: String,
    pub source_id: String,
    pub right_kind: String,
    pub right_id: String,
    pub from: Option<i64>,
    pub to: Option<i64>,
    pub granted_by: String,
    #[serde(with = "clickhouse::serde::uuid")]
    pub granted_in: Uuid,
    pub by_default: u8,
    pub rests_on_gap: u8,
}

/// A row of `world_rows`.
#[derive(Clone, Debug, Row, Deserialize)]
pub(super) struct Edge {
    pub kind: String,
    pub person: String,
    pub account: String,
    pub source_id: String,
    pub holder: String,
    pub held: String,
    pub held_source_id: String,
    pub from: Option<i64>,
    pub to: Option<i64>,
    #[serde(with = "clickhouse::serde::uuid")]
    pub begun_in: Uuid,
    pub rests_on_gap: u8,
}

/// Kinds of what a row of the world leads from and to.
fn ends(kind: &str) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        "parent" => ("group", "group"),
        "group_role" => ("group", "role"),
        "composite" => ("role", "role"),
        "name" => ("group", "reference"),
        "role_member" => ("reference", "backstage_role"),
        "policy" => ("backstage_role", "permission"),
        _ => return None,
    })
}

/// Source, kind and id of a holder.
type Holder<'a> = (&'a str, &'static str, &'a str);

/// Rows of the world that concern nobody by themselves.
pub(super) struct World<'a> {
    /// What leads from a holder, each with the kind that it leads to.
    from: HashMap<Holder<'a>, Vec<(&'a Edge, &'static str)>>,
    lives: HashMap<(&'a str, &'a str), Vec<Time>>,
}

impl<'a> World<'a> {
    pub(super) fn of(edges: &'a [Edge]) -> Self {
        let (mut from, mut lives) = (HashMap::new(), HashMap::new());
        for edge in edges {
            if edge.kind == "lives" {
                let of: &mut Vec<Time> = lives.entry((&*edge.source_id, &*edge.holder)).or_default();
                of.push(Time::of(edge.from, edge.to));
            } else if let Some((holder, held)) = ends(&edge.kind) {
                let of: &mut Vec<_> = from.entry((&*edge.source_id, holder, &*edge.holder)).or_default();
                of.push((edge, held));
            }
        }
        Self { from, lives }
    }

    /// When a group or role lives: one of which no row says so has always lived.
    fn lives<'b>(&'b self, source: &'b str, id: &'b str) -> &'b [Time] {
        const EVER: &[Time] = &[Time::EVER];
        self.lives.get(&(source, id)).map_or(EVER, Vec::as_slice)
    }
}

/// How the last step of a way counts on the path that is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hop {
    /// The first of its kind.
    First,
    /// A group above, a contained role: only the first is told.
    Same,
    /// The person.
    Person,
}

#[derive(Clone)]
struct Step<'a> {
    person: &'a str,
    account: &'a str,
    source: &'a str,
    kind: &'a str,
    id: &'a str,
    path: Vec<&'a str>,
    hop: Hop,
    way: Vec<&'a str>,
    time: Time,
    begun: Option<i64>,
    granted_by: &'a str,
    granted_in: Uuid,
    by_default: u8,
    gap: u8,
}

/// When the accounts do not exist, and whether they are disabled at the end of the span.
struct Account {
    gone: Vec<Time>,
    disabled: bool,
}

/// `own`: ties and ends of the persons.
pub(super) fn walk(held: &[Held], own: &[Edge], world: &World<'_>, span: (i64, i64)) -> Vec<EffectiveRecord> {
    let mut todo: Vec<Step<'_>> = held.iter().flat_map(|held| begin(held, world, span)).collect();
    todo.extend(own.iter().filter(|edge| edge.kind == "tie").map(tie));
    let accounts = accounts(own, span.1);
    let mut found = Vec::new();
    while let Some(step) = todo.pop() {
        if step.kind != "reference" {
            told(&step, accounts.get(step.account), span, &mut found);
        }
        for (edge, kind) in world.from.get(&(step.source, kind_of(step.kind), step.id)).into_iter().flatten() {
            next(&step, (edge, kind), world, (span, &mut todo));
        }
    }
    in_order(found)
}

/// By right, person and path. What differs in nothing but that is one row: it rests on a gap if one of them does.
fn in_order(mut found: Vec<EffectiveRecord>) -> Vec<EffectiveRecord> {
    fn key(row: &EffectiveRecord) -> impl Ord + '_ {
        let right = (&row.right_kind, &row.right_id, &row.person, &row.path);
        let times = (row.held_from.is_none(), row.held_from, row.held_to.is_none(), row.held_to);
        (right, times, (row.granted_at, &row.granted_by, row.granted_in, row.by_default, &row.source_id))
    }
    found.sort_by(|one, other| key(one).cmp(&key(other)));
    found.dedup_by(|one, kept| {
        let same = key(one) == key(kept);
        if same {
            kept.rests_on_gap = kept.rests_on_gap.max(one.rests_on_gap);
            kept.is_disabled = kept.is_disabled.max(one.is_disabled);
        }
        same
    });
    found
}

fn kind_of(kind: &str) -> &'static str {
    ["group", "role", "reference", "backstage_role"].into_iter().find(|one| *one == kind).unwrap_or_default()
}

fn account<'a>(person: &'a str, account: &'a str) -> &'a str {
    if account.is_empty() { person } else { account }
}

fn begin<'a>(held: &'a Held, world: &World<'_>, span: (i64, i64)) -> Vec<Step<'a>> {
    let time = Time::of(held.from, held.to);
    let lives = world.lives(&held.source_id, &held.right_id).iter();
    let steps = lives.filter_map(|lives| time.within(*lives, span)).map(|time| Step {
        person: &held.person,
        account: account(&held.person, &held.account),
        source: &held.source_id,
        kind: &held.right_kind,
        id: &held.right_id,
        path: Vec::new(),
        hop: Hop::First,
        way: vec![&held.right_id],
        time,
        begun: held.from.filter(|_| !held.granted_in.is_nil()),
        granted_by: &held.granted_by,
        granted_in: held.granted_in,
        by_default: held.by_default,
        gap: held.rests_on_gap,
    });
    steps.collect()
}

fn tie(edge: &Edge) -> Step<'_> {
    Step {
        person: &edge.person,
        account: account(&edge.person, &edge.account),
        source: &edge.source_id,
        kind: "reference",
        id: &edge.holder,
        path: Vec::new(),
        hop: Hop::Person,
        way: vec![&edge.holder],
        time: Time::of(edge.from, edge.to),
        begun: None,
        granted_by: "",
        granted_in: Uuid::nil(),
        by_default: 0,
        gap: edge.rests_on_gap,
    }
}

/// What an edge leads to, if that was at some instant of the span.
fn next<'a>(
    step: &Step<'a>,
    (edge, kind): (&'a Edge, &'static str),
    world: &World<'a>,
    (span, todo): ((i64, i64), &mut Vec<Step<'a>>),
) {
    if step.way.len() >= WAY_MOST || step.way.contains(&&*edge.held) {
        return;
    }
    // With a role end its mappings, and no row of them says so.
    let lives = if kind == "role" { world.lives(&edge.held_source_id, &edge.held) } else { &[Time::EVER] };
    let same = kind == step.kind;
    let from_person = step.hop == Hop::Person;
    for lives in lives {
        let Some(time) = Time::of(edge.from, edge.to).within(*lives, span) else { continue };
        let Some(time) = time.within(step.time, span) else { continue };
        let mut path = step.path.clone();
        if !from_person && (step.hop != Hop::Same || !same) {
            path.push(step.id);
        }
        let mut way = step.way.clone();
        way.push(&edge.held);
        todo.push(Step {
            source: &edge.held_source_id,
            kind,
            id: &edge.held,
            path,
            hop: if same { Hop::Same } else { Hop::First },
            way,
            time,
            begun: if from_person { edge.from.filter(|_| !edge.begun_in.is_nil()) } else { step.begun },
            granted_in: if from_person { edge.begun_in } else { step.granted_in },
            gap: step.gap.max(edge.rests_on_gap),
            ..step.clone()
        });
    }
}

fn accounts(own: &[Edge], at: i64) -> HashMap<&str, Account> {
    let mut accounts: HashMap<&str, Account> = HashMap::new();
    for edge in own.iter().filter(|edge| matches!(edge.kind.as_str(), "gone" | "disabled")) {
        let of = accounts.entry(account(&edge.person, &edge.account));
        let of = of.or_insert(Account { gone: Vec::new(), disabled: false });
        let time = Time::of(edge.from, edge.to);
        match edge.kind.as_str() {
            "gone" => of.gone.push(time),
            _ => of.disabled |= time.0 <= at && time.1 > at,
        }
    }
    accounts.values_mut().for_each(|account| account.gone.sort_unstable());
    accounts
}

/// The rows of a step: one for each time in which the account existed.
fn told(step: &Step<'_>, account: Option<&Account>, span: (i64, i64), found: &mut Vec<EffectiveRecord>) {
    let gone = account.map_or(&[][..], |account| &account.gone);
    let begins = std::iter::once(i64::MIN).chain(gone.iter().map(|gone| gone.1));
    let ends = gone.iter().map(|gone| gone.0).chain(std::iter::once(i64::MAX));
    for time in begins.zip(ends).filter_map(|(from, to)| step.time.within(Time(from, to), span)) {
        let row = EffectiveRecord {
            person: step.person.to_owned(),
            source_id: step.source.to_owned(),
            right_kind: step.kind.to_owned(),
            right_id: step.id.to_owned(),
            path: step.path.iter().map(|&part| part.to_owned()).collect(),
            held_from: Some(time.0).filter(|from| *from != i64::MIN),
            held_to: Some(time.1).filter(|to| *to != i64::MAX),
            granted_at: step.begun,
            granted_by: step.granted_by.to_owned(),
            granted_in: step.granted_in,
            rests_on_gap: step.gap,
            by_default: step.by_default,
            is_disabled: account.is_some_and(|account| account.disabled).into(),
        };
        found.push(row);
    }
}

#[cfg(test)]
pub(super) mod tests;
