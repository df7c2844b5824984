//! `tokentrail decisions`: decisions by verdict, person, permission and time.

use super::{DecisionsArgs, at, one_person, short, words};
use crate::table::{Align, Table};
use anyhow::bail;
use std::collections::BTreeMap;
use store::{
    Store,
    correlation::{DecisionQuery, DecisionRecord},
};

/// What is asked for when no beginning is given.
const DAY_MS: i64 = 86_400_000;
/// Verdicts of the tables.
const VERDICTS: &[&str] = &[
    "agrees",
    "granted_in_backstage",
    "exposure",
    "violation",
    "pending_grant",
    "conditional",
    "name_collision",
    "allowed_without_right",
    "denied_with_right",
    "not_judged",
];

/// The decisions that fit.
pub async fn find(store: &Store, tenant: &str, args: &DecisionsArgs) -> anyhow::Result<Vec<DecisionRecord>> {
    let persons = match &args.person {
        Some(name) => vec![one_person(store, tenant, name).await?.person],
        None => Vec::new(),
    };
    let to = at(args.to).saturating_add(i64::from(args.to.is_none()));
    let query = DecisionQuery {
        tenant: tenant.to_owned(),
        persons,
        verdicts: verdicts(&args.verdict)?,
        permission: args.permission.clone(),
        from: args.from.map_or(to - DAY_MS, |from| from.0),
        to,
        limit: args.limit,
    };
    Ok(store.decisions(&query).await?)
}

fn verdicts(said: &[String]) -> anyhow::Result<Vec<String>> {
    let mut out = Vec::new();
    for word in said {
        match word.replace('-', "_").as_str() {
            "stale_allow" => out.extend(["exposure".to_owned(), "violation".to_owned()]),
            known if VERDICTS.contains(&known) => out.push(known.to_owned()),
            _ => bail!("there is no verdict {word}; there are stale-allow and {}", VERDICTS.join(", ")),
        }
    }
    Ok(out)
}

/// For people.
pub fn render(found: &[DecisionRecord]) -> String {
    if found.is_empty() {
        return "  none\n".into();
    }
    table(found)
}

/// Per person and clock: how many, and the longest.
pub fn longest(found: &[DecisionRecord]) -> String {
    use Align::{Left, Right};
    let mut groups: BTreeMap<(&str, &str), (usize, &DecisionRecord)> = BTreeMap::new();
    for one in found {
        let (count, longest) = groups.entry((&one.reference, &one.clock)).or_insert((0, one));
        *count += 1;
        if one.delay_ms > longest.delay_ms {
            *longest = one;
        }
    }
    let columns = [
        ("who", Left),
        ("clock", Left),
        ("decisions", Right),
        ("longest", Right),
        ("of them", Left),
        ("decision", Left),
    ];
    let mut table = Table::new(&columns);
    for ((who, clock), (count, longest)) in groups {
        table.row(vec![
            who.to_owned(),
            clock.to_owned(),
            count.to_string(),
            words::seconds(longest.delay_ms.unwrap_or_default()),
            longest.permission.clone(),
            short(longest.event_id),
        ]);
    }
    table.render()
}

/// The table; the id's first digits are enough for `explain`.
pub(crate) fn table(found: &[DecisionRecord]) -> String {
    use Align::{Left, Right};
    let mut table = Table::new(&[
        ("time (UTC)", Left),
        ("who", Left),
        ("what", Left),
        ("outcome", Left),
        ("verdict", Left),
        ("seconds", Right),
        ("clock", Left),
        ("grade", Left),
        ("decision", Left),
    ]);
    for one in found {
        table.row(vec![
            crate::status::moment(one.at).replace('T', " ").trim_end_matches('Z').to_owned(),
            one.reference.trim_start_matches("user:default/").to_owned(),
            if one.permission.is_empty() { one.action.clone() } else { one.permission.clone() },
            one.outcome.clone(),
            one.verdict.replace('_', " "),
            one.delay_ms.map(|ms| format!("{}.{:03}", ms / 1_000, ms.rem_euclid(1_000))).unwrap_or_default(),
            one.clock.clone(),
            one.grade.clone(),
            short(one.event_id),
        ]);
    }
    table.render()
}
