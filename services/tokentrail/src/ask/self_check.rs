//! `tokentrail self-check`: answers everything again from all stored events in this process and compares with the rows that
//! stand, for a random sample of persons. Takes no more memory than the correlation may, and writes nothing but that rows differ: as a
//! gap, which whoever runs it from a timer is told of like of any other.

use crate::{app::now_ms, config::Config, secrets};
use anyhow::Context;
use events::person::DeploymentKey;
use pipeline::correlation::{Compared, Differing, compare};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use store::{Gap, Store};

/// What a comparison came to.
#[derive(Serialize)]
pub struct Checked {
    /// Events that were read.
    pub events: u64,
    /// Persons that were compared.
    pub persons: usize,
    /// Rows that were compared.
    pub rows: usize,
    /// Person keys whose rows differ, with the number of rows that do. The empty key: rows of nobody.
    pub differ: BTreeMap<String, usize>,
}

/// Cause of the gap that stands for a person whose rows differ.
pub const ANSWERS_DIFFER: &str = "answers_differ";
/// How such a gap is repaired.
const BY: &str = "self-check";
/// Most persons who get a gap of their own; the others share one.
const MOST: usize = 100;
const OTHERS: &str = "others";
const NOBODY: &str = "nobody";

/// Compares `sample` persons (0: all), and whoever differed before. What differs is told as a gap, so that status, doctor, D12 and
/// reports know of it, until a comparison finds that it agrees.
pub async fn run(store: &Store, config: &Config, (sample, mend): (usize, Mend)) -> anyhow::Result<Checked> {
    let key = DeploymentKey::new(secrets::deployment_key(&config.data_dir, &config.deployment_key_file)?);
    let look = || async {
        let compared = compare(store, config.correlation(key.clone()), config.correlation.memory());
        compared.await.context("cannot read what is stored")
    };
    let Compared { events, rows, mut differ } = look().await?;
    let standing = store.gaps(&config.tenant, now_ms()).await.context("cannot read the gaps")?;
    let standing: Vec<Gap> = standing.into_iter().filter(|gap| gap.cause == ANSWERS_DIFFER).collect();
    let everybody: BTreeSet<&str> = rows.keys().chain(differ.keys()).map(String::as_str).collect();
    let mut persons: BTreeSet<String> =
        choose(everybody.iter().copied().collect(), sample)?.into_iter().map(str::to_owned).collect();
    persons.extend(
        everybody.iter().filter(|one| standing.iter().any(|gap| gap.scope == scope(one))).map(|one| (*one).to_owned()),
    );
    let all = persons.len() == everybody.len();
    differ.retain(|person, _| persons.contains(person));
    // What came in between the two reads makes rows differ that agree in the end.
    if !differ.is_empty() {
        let again = look().await?.differ;
        differ = again.into_iter().filter(|(person, _)| differ.contains_key(person)).collect();
    }
    let gaps = alarms((&config.tenant, now_ms()), &standing, &differ, &Looked { persons: &persons, all });
    store.put_gaps(&gaps).await.context("cannot tell what differs")?;
    if mend == Mend::Yes && !differ.is_empty() {
        store.note_past_change(&config.tenant).await.context("cannot have everything answered anew")?;
    }
    let compared = persons.iter().filter_map(|person| rows.get(person)).sum();
    let differ = differ.into_iter().map(|(person, differing)| (person, differing.rows)).collect();
    Ok(Checked { events, persons: persons.len(), rows: compared, differ })
}

/// Whether what differs is to be answered anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mend {
    /// Everything is.
    Yes,
    /// It is told.
    No,
}

/// Who was compared.
struct Looked<'a> {
    persons: &'a BTreeSet<String>,
    /// They are all that there are.
    all: bool,
}

/// What is to be written: a gap for each person who differs and has none, and an end to those of whoever agrees.
fn alarms(
    (tenant, now): (&str, i64),
    standing: &[Gap],
    differ: &BTreeMap<String, Differing>,
    looked: &Looked<'_>,
) -> Vec<Gap> {
    let stands = |scope: &str| standing.iter().any(|gap| gap.scope == scope);
    let gap = |scope: String, Differing { rows, since }: Differing| Gap {
        tenant: tenant.to_owned(),
        scope,
        since: since.max(0),
        cause: ANSWERS_DIFFER.to_owned(),
        missing: Some(rows as u64),
        recorded_at: now,
        ..Gap::default()
    };
    let mut gaps: Vec<Gap> = Vec::new();
    let mut others: Option<Differing> = None;
    for (person, one) in differ.iter().filter(|(person, _)| !stands(&scope(person))) {
        if gaps.len() < MOST {
            gaps.push(gap(scope(person), *one));
            continue;
        }
        let known = others.get_or_insert(Differing { rows: 0, since: one.since });
        *known = Differing { rows: known.rows + one.rows, since: known.since.min(one.since) };
    }
    gaps.extend(others.filter(|_| !stands(OTHERS)).map(|others| gap(OTHERS.to_owned(), others)));
    let differs = |gap: &Gap| differ.keys().any(|person| scope(person) == gap.scope);
    // Of whom nothing stands any more nothing can differ: that is known when everybody was compared.
    let agrees = |gap: &&Gap| match looked.persons.iter().any(|person| scope(person) == gap.scope) {
        true => !differs(gap),
        false => looked.all && differ.is_empty(),
    };
    let over = standing.iter().filter(agrees).map(|gap| Gap {
        until: Some(now),
        repaired_at: Some(now),
        repaired_by: BY.to_owned(),
        recorded_at: now.max(gap.recorded_at + 1),
        ..gap.clone()
    });
    gaps.into_iter().chain(over).collect()
}

fn scope(person: &str) -> String {
    if person.is_empty() { NOBODY.to_owned() } else { format!("person {person}") }
}

fn choose(mut persons: Vec<&str>, sample: usize) -> anyhow::Result<BTreeSet<&str>> {
    if sample == 0 || sample >= persons.len() {
        return Ok(persons.into_iter().collect());
    }
    let mut chosen = BTreeSet::new();
    while chosen.len() < sample {
        let mut random = [0; 8];
        getrandom::fill(&mut random).context("the system gives no random bytes")?;
        let index = u64::from_le_bytes(random) % persons.len() as u64;
        chosen.insert(persons.swap_remove(usize::try_from(index).unwrap_or_default()));
    }
    Ok(chosen)
}

/// For people.
pub fn render(checked: &Checked) -> String {
    let mut out = format!(
        "  {} events answered again; {} rows of {} persons compared with those that stand\n",
        checked.events, checked.rows, checked.persons
    );
    for (person, rows) in &checked.differ {
        let person = if person.is_empty() { "nobody" } else { person };
        out.push_str(&format!("  DIFFERENT  {rows} rows of {person}\n"));
    }
    if checked.differ.is_empty() {
        out.push_str("  they agree\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(persons: &[(&str, usize, i64)]) -> BTreeMap<String, Differing> {
        persons
            .iter()
            .map(|(person, rows, since)| ((*person).to_owned(), Differing { rows: *rows, since: *since }))
            .collect()
    }

    fn looked(persons: &[&str]) -> BTreeSet<String> {
        persons.iter().map(|person| (*person).to_owned()).collect()
    }

    fn told(gaps: &[Gap]) -> Vec<(&str, i64, Option<u64>, &str)> {
        gaps.iter().map(|gap| (gap.scope.as_str(), gap.since, gap.missing, gap.repaired_by.as_str())).collect()
    }

    #[test]
    fn whoever_differs_has_one_gap_until_they_are_found_to_agree() {
        let persons = looked(&["", "a", "b"]);
        let all = |persons| Looked { persons, all: true };
        let first = alarms(("t", 1_000), &[], &differ(&[("", 1, i64::MIN), ("a", 2, 50)]), &all(&persons));
        assert_eq!(told(&first), [("nobody", 0, Some(1), ""), ("person a", 50, Some(2), "")]);
        assert!(first.iter().all(|gap| gap.cause == ANSWERS_DIFFER && gap.source_id.is_empty() && gap.until.is_none()));
        // Once more, with other rows: it stands.
        assert!(alarms(("t", 2_000), &first, &differ(&[("", 1, 0), ("a", 9, 20)]), &all(&persons)).is_empty());
        // Whom nobody looked at is not known to agree.
        let (some, others) = (looked(&["b"]), differ(&[("b", 1, 70)]));
        let part = Looked { persons: &some, all: false };
        assert_eq!(told(&alarms(("t", 3_000), &first, &others, &part)), [("person b", 70, Some(1), "")]);
        let over = alarms(("t", 4_000), &first, &differ(&[("", 1, 0)]), &all(&persons));
        assert_eq!(told(&over), [("person a", 50, Some(2), "self-check")]);
        assert_eq!((over[0].until, over[0].repaired_at), (Some(4_000), Some(4_000)));
    }

    #[test]
    fn of_very_many_the_rest_share_one_gap_which_ends_when_nobody_differs() {
        let names: Vec<String> = (0..MOST + 20).map(|n| format!("{n:03}")).collect();
        let many = names.iter().map(|name| (name.clone(), Differing { rows: 2, since: 7 })).collect();
        let persons: BTreeSet<String> = names.iter().cloned().collect();
        let looked = Looked { persons: &persons, all: true };
        let gaps = alarms(("t", 1), &[], &many, &looked);
        assert_eq!((gaps.len(), told(&gaps)[MOST]), (MOST + 1, (OTHERS, 7, Some(40), "")));
        let over = alarms(("t", 2), &gaps, &BTreeMap::new(), &looked);
        assert_eq!(over.iter().filter(|gap| gap.repaired_at.is_some()).count(), MOST + 1);
        let one_left = differ(&[("000", 1, 7)]);
        assert_eq!(alarms(("t", 3), &gaps, &one_left, &looked).len(), MOST - 1, "the first one and the others stand");
    }
}
